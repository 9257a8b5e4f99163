"""The routes: readings, the model, health, figures, and the page's files."""

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles

from mien.bundle import Bundle
from mien.errors import ModelError
from mien.faces.detector import PATH_VARIABLE, YUNET_NAME
from mien.reading.answers import AnswerRule
from mien.serve.bodies import Failure, Health, Model, PredictQuery, Readings
from mien.serve.counters import Counters
from mien.serve.refusals import Refusal
from mien.serve.service import FaceService, Question
from mien.serve.site import DETECTOR_FILE, INDEX, MODEL_FILE, MODEL_JSON, NO_PAGE, STATIC, describe_model
from mien.serve.uploads import FIELD

REFERENCE = Path(__file__).parent / "reference"
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FORM = {
    "schema": {
        "type": "object",
        "required": [FIELD],
        "properties": {FIELD: {"type": "array", "items": {"type": "string", "format": "binary"}}},
    },
    "encoding": {FIELD: {"contentType": "image/*"}},
}
_BODY = {
    "requestBody": {
        "required": True,
        "description": f"Picture files as `{FIELD}`, whose names become `source`; or one picture as the body.",
        "content": {"multipart/form-data": _FORM, "image/*": _BINARY, "application/octet-stream": _BINARY},
    }
}
_FAILURES = {
    400: "The form is damaged, the request has a body that it should not have, or the client left",
    401: "The token is missing or wrong",
    404: "There is no such thing",
    408: "The body came too slowly",
    413: "The body is too large, or has too many pictures",
    415: "The body is neither a form nor a picture, or is compressed",
    421: "The address in `Host` is none of the server's",
    422: "A parameter is wrong, or nothing in the body is a picture",
    429: "The server has as many requests in hand as it takes: try again after `Retry-After` seconds",
    500: "The server failed",
    503: "The server is starting, stopping or stuck, or has too many connections",
    504: "The answer took too long",
}


def _failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Failure, "description": _FAILURES[status]} for status in statuses}


def _service(request: Request) -> FaceService | None:
    service: FaceService | None = getattr(request.app.state, "service", None)
    return service


def _stalled(what: str) -> Refusal:
    return Refusal(503, "stalled", f"{what}. /metrics tells for how long", headers={"Retry-After": "5"})


def _is_ready(request: Request) -> FaceService:
    """Return the service of the request's app.

    Raises:
        Refusal: 503, it is not there yet, or stopping.
    """
    service = _service(request)
    if service is None or service.is_stopping:
        raise Refusal(503, "stopping", "The server is starting or stopping", headers={"Retry-After": "5"})
    return service


def reading_routes(bundle: Bundle) -> APIRouter:
    """Return the routes of the API that know the model."""
    router = APIRouter(tags=["readings"])

    @router.post(
        "/v1/predict",
        summary="Read the faces of pictures",
        response_model=Readings,
        response_description="The pictures in the order in which they were sent, a row a face",
        responses=_failures(400, 401, 408, 413, 415, 421, 422, 429, 500, 503, 504),
        openapi_extra=_BODY,
    )
    async def predict(request: Request, query: Annotated[PredictQuery, Query()]) -> Response:
        """Read one picture or many; a picture that cannot be read has a row that says why.

        The rows are those of `mien predict`. Only a request in which nothing is a picture is an error.
        """
        rule = AnswerRule(query.classes, query.min_confidence, query.top)
        try:
            rule.classes(bundle.info.classes)
        except ModelError as error:
            raise Refusal(422, "bad_value", str(error)) from None
        text = await _is_ready(request).answer(request, Question(rule, query.crop))
        return Response(text, media_type="application/json")

    description = describe_model(bundle)

    @router.get(
        "/v1/model", summary="What is served", response_model=Model, responses=_failures(400, 401, 421, 500)
    )
    async def model() -> Response:
        """Return the model's name, card, classes, tasks, crop, licence and training."""
        return JSONResponse(description)

    @router.get(f"/{MODEL_JSON}", include_in_schema=False)
    async def model_json() -> Response:
        return JSONResponse(description, headers={"Cache-Control": "no-cache"})

    return router


def health_routes(counters: Counters) -> APIRouter:
    """Return the routes for those who watch the server."""
    router = APIRouter(tags=["health"])

    @router.get(
        "/healthz", summary="Whether the process lives", response_model=Health, responses=_failures(400, 503)
    )
    async def healthz(request: Request) -> Response:
        """Answer while the process lives; 503 where only a new process helps, since nothing gets on in this one."""
        service = _service(request)
        if service is not None and service.is_stuck():
            raise _stalled(
                "The model's thread, or each that decodes pictures, is stuck. Start the server anew"
            )
        return JSONResponse({"status": "ok"})

    @router.get(
        "/readyz", summary="Whether it takes work", response_model=Health, responses=_failures(400, 503)
    )
    async def readyz(request: Request) -> Response:
        """Answer 503 before the model is loaded, while a piece of work takes far too long, and from the signal to stop on."""
        if _is_ready(request).is_slow():
            raise _stalled("A picture being decoded, or a call of the model, takes far too long")
        return JSONResponse({"status": "ok"})

    @router.get(
        "/metrics",
        summary="Figures in Prometheus' text format",
        response_class=PlainTextResponse,
        responses=_failures(400, 401, 421, 500),
    )
    async def metrics() -> Response:
        """Return requests by route and status, their times, faces read, faces a batch, requests in hand."""
        return Response(counters.to_text(), media_type="text/plain; version=0.0.4")

    return router


def page_routes(bundle: Bundle, detector_file: Path | None, static: Path = STATIC) -> APIRouter:
    """Return the routes of the files that a browser asks for."""
    router = APIRouter(include_in_schema=False)
    folder, reference = StaticFiles(directory=static, check_dir=False), StaticFiles(directory=REFERENCE)

    @router.api_route("/", methods=["GET", "HEAD"])
    async def index(request: Request) -> Response:
        if not (static / INDEX).is_file():
            raise Refusal(404, "page_missing", NO_PAGE)
        return _revalidated(await folder.get_response(INDEX, request.scope))

    @router.api_route("/assets/{path:path}", methods=["GET", "HEAD"])
    async def asset(request: Request, path: str) -> Response:
        return _revalidated(await folder.get_response(f"assets/{path}", request.scope))

    @router.api_route(f"/{MODEL_FILE}", methods=["GET", "HEAD"])
    async def model_file(request: Request) -> Response:
        return _revalidated(_model_response(folder, bundle.path, request))

    @router.api_route(f"/{DETECTOR_FILE}", methods=["GET", "HEAD"])
    async def detector(request: Request) -> Response:
        if detector_file is None or not detector_file.is_file():
            # Not where it is looked for: whoever asks need not know the server's folders.
            raise Refusal(
                404,
                "detector_missing",
                f"The server has no YuNet file. Start it with {PATH_VARIABLE} naming {YUNET_NAME} of OpenCV's model zoo",
            )
        return _revalidated(_model_response(folder, detector_file, request))

    @router.api_route("/docs", methods=["GET", "HEAD"])
    async def docs(request: Request) -> Response:
        return _revalidated(await reference.get_response(INDEX, request.scope))

    @router.api_route("/docs/{path:path}", methods=["GET", "HEAD"])
    async def docs_file(request: Request, path: str) -> Response:
        return _revalidated(await reference.get_response(path, request.scope))

    return router


def _model_response(folder: StaticFiles, file: Path, request: Request) -> Response:
    answer = folder.file_response(file, file.stat(), request.scope)
    if isinstance(answer, FileResponse):
        answer.headers["Content-Type"] = "application/octet-stream"
    return answer


def _revalidated(answer: Response) -> Response:
    """Let a browser keep a file, and ask by its ETag whether it is still the same."""
    answer.headers["Cache-Control"] = "no-cache"
    return answer
