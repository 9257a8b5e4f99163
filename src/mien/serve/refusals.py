"""What the server does not do, and the one shape in which it says so: ``{"error": {"code", "message", "status"}}``."""

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A message repeats so many characters of what a client sent.
MAX_TOLD = 200
MAX_TOLD_VALUES = 5


class Refusal(Exception):  # noqa: N818 - an answer as much as an error
    """A request that gets no other answer.

    Attributes:
        status: of HTTP.
        code: a word for programs.
        message: for a person: what was required, what came, what to do.
        headers: of the answer.
    """

    def __init__(
        self, status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers = dict(headers or {})

    def to_response(self) -> JSONResponse:
        """Return the answer."""
        error = {"code": self.code, "message": self.message, "status": self.status}
        return JSONResponse({"error": error}, self.status, self.headers)


def add_refusals(app: FastAPI) -> None:
    """Let every failure of an app be answered in the one shape."""

    @app.exception_handler(Refusal)
    async def refuse(_request: Request, refusal: Refusal) -> JSONResponse:
        return refusal.to_response()

    @app.exception_handler(HTTPException)
    async def refuse_route(request: Request, error: HTTPException) -> JSONResponse:
        return _of_route(request, error).to_response()

    @app.exception_handler(RequestValidationError)
    async def refuse_value(_request: Request, error: RequestValidationError) -> JSONResponse:
        return Refusal(422, "bad_value", _told(error)).to_response()

    @app.exception_handler(Exception)
    async def refuse_bug(_request: Request, _error: Exception) -> JSONResponse:
        message = "The server failed; its log says how. Other requests are not affected"
        return Refusal(500, "server_error", message).to_response()


class OneShape:
    """Puts into the one shape what libraries answer in words of their own, such as to a range that a file has not."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        start: Message | None = None
        text = b""

        async def reshape(message: Message) -> None:
            nonlocal start, text
            if message["type"] == "http.response.start" and _is_misshapen(message):
                start = message
                return
            if start is None:
                await send(message)
                return
            text += message.get("body", b"")
            if not message.get("more_body", False):
                await _in_words(start, text).to_response()(scope, receive, send)

        await self.app(scope, receive, reshape if scope["type"] == "http" else send)


def _is_misshapen(start: Message) -> bool:
    kind = Headers(raw=start["headers"]).get("content-type", "")
    return bool(start["status"] >= 400) and not kind.startswith("application/json")


def _in_words(start: Message, text: bytes) -> Refusal:
    status, headers = start["status"], Headers(raw=start["headers"])
    phrase = HTTPStatus(status).phrase
    kept = {name: value for name, value in headers.items() if name not in ("content-type", "content-length")}
    message = text.decode("utf-8", "replace")[:MAX_TOLD] or phrase
    return Refusal(status, _code_of(status), message, headers=kept)


def _code_of(status: int) -> str:
    # Python 3.13 renamed the phrase.
    if status == 416:
        return "range_not_satisfiable"
    return HTTPStatus(status).phrase.lower().replace(" ", "_")


def _of_route(request: Request, error: HTTPException) -> Refusal:
    code = _code_of(error.status_code)
    what = f"{request.method} {request.url.path[:MAX_TOLD]}"
    told = {
        404: f"There is no {what}. /openapi.json lists what there is",
        405: f"{what} is not possible here. /openapi.json lists what is",
    }
    return Refusal(
        error.status_code, code, told.get(error.status_code, str(error.detail)), headers=error.headers
    )


def _told(error: RequestValidationError) -> str:
    """Return what is wrong with a request's values, the first few of them, in one line."""
    parts = []
    for one in error.errors()[:MAX_TOLD_VALUES]:
        name = ".".join(str(part)[:MAX_TOLD] for part in one["loc"][1:]) or str(one["loc"][0])
        parts.append(f"`{name}`: {one['msg']}, got {str(one.get('input'))[:MAX_TOLD]!r}")
    return "; ".join(parts)
