"""The routes: predictions, model metadata, health checks, metrics, and the page's files."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, WebSocket
from fastapi.params import Depends
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles

import mien
from mien.errors import ModelError
from mien.faces.detector import describe_detector
from mien.faces.detector_file import PATH_VARIABLE, YUNET_NAME
from mien.formats.onnx_model import OnnxModel
from mien.inference.decision_rule import DecisionRule
from mien.inference.label_sets import LabelSets
from mien.serve.api_errors import ApiError
from mien.serve.metrics import Metrics
from mien.serve.schemas import ErrorResponse, Health, ModelMetadata, Predictions, PredictQuery
from mien.serve.service import ONLY_DETECTED, FaceService
from mien.serve.site import DETECTOR_FILE, INDEX, MODEL_FILE, MODEL_JSON, NO_PAGE, STATIC, describe_model
from mien.serve.static_files import respond_with_file
from mien.serve.stream import Stream, parse_stream_query
from mien.serve.uploads import FIELD, JSON

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
_BASE64 = {
    "type": "string",
    "description": "Base64 or a data URL",
    "examples": ["data:image/jpeg;base64,/9j/4AAQ"],
}
_JSON_IMAGE = {
    "anyOf": [
        _BASE64,
        {
            "type": "object",
            "required": ["data"],
            "properties": {
                "source": {"type": "string"},
                "data": _BASE64,
                "boxes_xyxy": {
                    "type": "array",
                    "description": "Left, top, right, bottom of each face in pixels of the upright image, which is then not "
                    "searched for faces",
                    "items": {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4},
                },
                "landmarks": {
                    "type": "array",
                    "description": "68 points (iBUG order), or 5 (left eye, right eye, nose, mouth corners), x and y, of each "
                    "face; enough without boxes",
                    "items": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
                },
            },
            "additionalProperties": False,
        },
    ]
}
_JSON_BODY = {
    "schema": {
        "oneOf": [
            {
                "type": "object",
                "required": ["image"],
                "properties": {"image": _JSON_IMAGE},
                "additionalProperties": False,
            },
            {
                "type": "object",
                "required": [FIELD],
                "properties": {FIELD: {"type": "array", "items": _JSON_IMAGE, "minItems": 1}},
                "additionalProperties": False,
            },
        ]
    }
}
_BODY = {
    "requestBody": {
        "required": True,
        "description": f"Image files as form field `{FIELD}`, whose file names become `source`; a single image as the body; "
        f"or `image` or `{FIELD}` in base64 as JSON.",
        "content": {
            "multipart/form-data": _FORM,
            JSON: _JSON_BODY,
            "image/*": _BINARY,
            "application/octet-stream": _BINARY,
        },
    }
}
_ERRORS = {
    400: "Malformed form or JSON, a body where none is allowed, or the client disconnected",
    401: "Missing or invalid bearer token",
    404: "Not found",
    408: "Request body timeout",
    413: "The body is too large, or has too many images",
    415: "The body is neither a form nor JSON nor an image, or is compressed",
    421: "The `Host` header is not allowed",
    422: "Invalid parameter, or no image in the body",
    426: "Not a WebSocket",
    429: "Too many requests in flight, or open streams: retry after `Retry-After` seconds",
    500: "Internal server error",
    503: "The server is starting, shutting down or stuck, or has too many connections",
    504: "Processing timeout",
}


def _error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ErrorResponse, "description": _ERRORS[status]} for status in statuses}


def _stalled(what: str) -> ApiError:
    return ApiError(
        503, "stalled", f"{what}; see mien_oldest_work_seconds in /metrics", headers={"Retry-After": "5"}
    )


def _require_service(request: HTTPConnection) -> FaceService:
    """Return the service of the request's app.

    Raises:
        ApiError: 503, the server is starting or shutting down.
    """
    service: FaceService | None = getattr(request.app.state, "service", None)
    if service is None or service.is_stopping:
        message = "The server is starting or shutting down"
        raise ApiError(503, "service_unavailable", message, headers={"Retry-After": "5"})
    return service


def answer_head(router: APIRouter) -> APIRouter:
    """Let every GET route of a router answer HEAD as well, as monitors send it; FastAPI does not."""
    for route in list(router.routes):
        if isinstance(route, APIRoute) and route.methods == {"GET"}:
            router.add_api_route(route.path, route.endpoint, methods=["HEAD"], include_in_schema=False)
    return router


def prediction_routes(
    model: OnnxModel, detector_file: Path | None, label_sets: LabelSets | None, bearer: Sequence[Depends]
) -> APIRouter:
    """Return the API routes that depend on the model, which give each face its set of classes, if there are any."""
    router = APIRouter(tags=["predictions"], dependencies=bearer)

    @router.post(
        "/v1/predict",
        summary="Predict the expressions of all faces in one or more images",
        response_model=Predictions,
        response_description="One result per image, in request order, with a row per face",
        responses=_error_responses(400, 401, 408, 413, 415, 421, 422, 429, 500, 503, 504),
        openapi_extra=_BODY,
    )
    async def predict(request: Request, query: Annotated[PredictQuery, Query()]) -> Response:
        """Detect faces and predict their expression, landmarks, valence and arousal, as far as the model supports them.

        The rows are the same as those of `mien predict`. An image that cannot be decoded has a row with the reason; the
        request as a whole fails only if none of its files is an image.
        """
        rule = _read_rule(request, query, model)
        if label_sets is not None:
            if rule.changes_probabilities:
                message = "This server adds a set of classes to each face, which is for the model's own probabilities"
                raise ApiError(422, "invalid_parameter", f"{message}: leave out `classes` and `prior`")
            rule = replace(rule, label_sets=label_sets)
        text = await _require_service(request).predict(request, rule, query)
        return Response(text, media_type="application/json")

    description = describe_model(model, label_sets)
    of_server = {
        "sha256": model.sha256,
        "mien_version": mien.__version__,
        "detector": describe_detector(detector_file),
    }

    @router.get(
        "/v1/model",
        summary="Metadata of the served model",
        response_model=ModelMetadata,
        responses=_error_responses(400, 401, 421, 500),
    )
    async def model_metadata() -> Response:
        """Return the model's name, hash, card, classes, tasks, crop, license and training, and what finds the faces."""
        return JSONResponse(description | of_server)

    @router.get(f"/{MODEL_JSON}", include_in_schema=False)
    async def model_json() -> Response:
        return JSONResponse(description, headers={"Cache-Control": "no-cache"})

    return router


def stream_routes(model: OnnxModel, metrics: Metrics, bearer: Sequence[Depends]) -> APIRouter:
    """Return the WebSocket that predicts the frames of a camera, and the route that describes it."""
    router = APIRouter(tags=["predictions"])

    @router.get(
        "/v1/stream",
        summary="Predict the frames of a camera over a WebSocket",
        responses={
            101: {"description": "The WebSocket is open: frames in as binary messages, rows out as JSON"},
            **_error_responses(400, 401, 421, 422, 426, 429, 500, 503),
        },
        status_code=101,
        response_class=PlainTextResponse,
        dependencies=bearer,
    )
    async def stream_needs_upgrade(_query: Annotated[PredictQuery, Query()]) -> Response:
        """Open a WebSocket at this address, with the same parameters as a prediction.

        Each binary message is a frame: the bytes of a JPEG, PNG or WebP image. The answer to a frame is one JSON text
        message, `{"frame": 7, "seconds": 0.41, "skipped": 2, "rows": [...]}`: the number of the frame among those received,
        the time since the stream began, how many frames were left out so far because a newer one had arrived, and the rows of
        a prediction, whose `track` tells faces apart over time. In place of `rows`, `error` says why a frame failed. The
        newest frame is predicted first; no more than one waits.
        """
        raise ApiError(
            426,
            "upgrade_required",
            "This is a WebSocket: open it with ws:// or wss:// and send frames",
            headers={"Upgrade": "websocket"},
        )

    @router.websocket("/v1/stream")
    async def stream(websocket: WebSocket) -> None:
        try:
            query = parse_stream_query(websocket)
            rule = _read_rule(websocket, query, model)
            service = _require_service(websocket)
            with service.open_stream():
                await websocket.accept()
                await Stream(websocket, service, metrics, rule, query).run()
        except ApiError as error:
            await websocket.send_denial_response(error.to_response())

    return router


def _read_rule(connection: HTTPConnection, query: PredictQuery, model: OnnxModel) -> DecisionRule:
    """Return the rule that the parameters of a request select, if they go together and the model supports it."""
    sent = Counter(name for name, _ in connection.query_params.multi_items())
    if repeated := [f"`{name}`" for name, count in sent.items() if count > 1]:
        raise ApiError(422, "invalid_parameter", f"Given more than once: {', '.join(repeated)}")
    if query.crop == "whole" and query.min_face_px:
        raise ApiError(422, "invalid_parameter", ONLY_DETECTED)
    rule = DecisionRule(query.classes, query.min_confidence, query.top, query.prior, query.quality_rule)
    try:
        rule.require_supported_by(model.info)
    except ModelError as error:
        raise ApiError(422, "invalid_parameter", str(error)) from None
    return rule


def monitoring_routes(metrics: Metrics, bearer: Sequence[Depends]) -> APIRouter:
    """Return the health checks and the metrics."""
    router = APIRouter(tags=["monitoring"])

    @router.get(
        "/healthz", summary="Liveness check", response_model=Health, responses=_error_responses(400, 503)
    )
    async def healthz(request: Request) -> Response:
        """Return 200 while the process is alive, and 503 when only a restart helps because no progress is possible."""
        service: FaceService | None = getattr(request.app.state, "service", None)
        if service is not None and service.is_stuck():
            raise _stalled("The model's thread or every preprocessing thread is stuck. Restart the server")
        return JSONResponse({"status": "ok"})

    @router.get(
        "/readyz", summary="Readiness check", response_model=Health, responses=_error_responses(400, 503)
    )
    async def readyz(request: Request) -> Response:
        """Return 200 while the server accepts work; 503 during startup, after a stop signal, and while work is stalled."""
        if _require_service(request).is_slow():
            raise _stalled("An image decode or a model call is taking far too long")
        return JSONResponse({"status": "ok"})

    @router.get(
        "/metrics",
        summary="Metrics in the Prometheus text format",
        response_class=PlainTextResponse,
        responses=_error_responses(400, 401, 421, 500),
        dependencies=bearer,
    )
    async def prometheus_metrics() -> Response:
        """Return request counts and durations by route, face counts, batch sizes, requests in flight and closed connections."""
        return Response(metrics.to_text(), media_type="text/plain; version=0.0.4")

    return router


def page_routes(model: OnnxModel, detector_file: Path | None, static: Path = STATIC) -> APIRouter:
    """Return the routes of the files that a browser loads."""
    router = APIRouter(include_in_schema=False)
    folder, reference = StaticFiles(directory=static, check_dir=False), StaticFiles(directory=REFERENCE)

    @router.api_route("/", methods=["GET", "HEAD"])
    async def index(request: Request) -> Response:
        if not (static / INDEX).is_file():
            raise ApiError(404, "page_missing", NO_PAGE)
        return await respond_with_file(folder, INDEX, request)

    @router.api_route("/assets/{path:path}", methods=["GET", "HEAD"])
    async def asset(request: Request, path: str) -> Response:
        return await respond_with_file(folder, f"assets/{path}", request)

    @router.api_route(f"/{MODEL_FILE}", methods=["GET", "HEAD"])
    async def model_file(request: Request) -> Response:
        return _model_response(folder, model.path, request)

    @router.api_route(f"/{DETECTOR_FILE}", methods=["GET", "HEAD"])
    async def detector(request: Request) -> Response:
        if detector_file is None or not detector_file.is_file():
            # The message does not say where it was looked for: clients need not know the server's folders.
            message = (
                f"The server has no YuNet file. Start it with {PATH_VARIABLE} set to the path of {YUNET_NAME} from "
                "OpenCV's model repository"
            )
            raise ApiError(404, "detector_missing", message)
        return _model_response(folder, detector_file, request)

    @router.api_route("/docs", methods=["GET", "HEAD"])
    async def docs(request: Request) -> Response:
        return await respond_with_file(reference, INDEX, request)

    @router.api_route("/docs/{path:path}", methods=["GET", "HEAD"])
    async def docs_file(request: Request, path: str) -> Response:
        if not path:
            return RedirectResponse("../docs")
        return await respond_with_file(reference, path, request)

    return router


def _model_response(folder: StaticFiles, file: Path, request: Request) -> Response:
    response = folder.file_response(file, file.stat(), request.scope)
    if isinstance(response, FileResponse):
        response.headers["Content-Type"] = "application/octet-stream"
    # A browser may cache the file, but asks by its ETag whether it has changed.
    response.headers["Cache-Control"] = "no-cache"
    return response
