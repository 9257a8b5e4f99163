"""HTTP errors, all in one format: ``{"error": {"code", "message", "status"}}``."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Characters of client input that a message may echo.
MAX_ECHO = 200
MAX_ECHOED_VALUES = 5
INTERNAL_ERROR = "Internal server error; the server's log has the traceback. Other requests are not affected"


class ApiError(Exception):
    """An error response.

    Attributes:
        status: HTTP status.
        code: machine-readable error code.
        message: human-readable: what was required, what came, what to do next.
        headers: extra response headers.
    """

    def __init__(
        self, status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers = dict(headers or {})

    def to_dict(self) -> dict[str, str | int]:
        """Return what the body says of the error, under `error`."""
        return {"code": self.code, "message": self.message, "status": self.status}

    def to_response(self) -> JSONResponse:
        """Return the error as a JSON response."""
        return JSONResponse({"error": self.to_dict()}, self.status, self.headers)


def invalid_parameters(problems: Sequence[Mapping[str, Any]]) -> ApiError:
    """Return the error for parameters that pydantic rejects, whose messages echo little of what the client sent.

    Args:
        problems: each with ``loc``, ``type``, ``msg`` and ``input``.
    """
    texts = []
    for one in problems[:MAX_ECHOED_VALUES]:
        name = ".".join(str(part)[:MAX_ECHO] for part in one["loc"])
        message = "there is no such parameter" if one["type"] == "extra_forbidden" else one["msg"]
        texts.append(f"`{name}`: {message}, got {str(one.get('input'))[:MAX_ECHO]!r}")
    return ApiError(422, "invalid_parameter", "; ".join(texts))


def add_error_handlers(app: FastAPI) -> None:
    """Make an app return every exception in the common error format."""

    @app.exception_handler(ApiError)
    async def on_api_error(_request: Request, error: ApiError) -> JSONResponse:
        return error.to_response()

    @app.exception_handler(HTTPException)
    async def on_http_exception(request: Request, error: HTTPException) -> JSONResponse:
        route = f"{request.method} {request.url.path[:MAX_ECHO]}"
        message = {
            404: f"Not found: {route}. /openapi.json lists all routes",
            405: f"Method not allowed: {route}. /openapi.json lists all routes",
        }.get(error.status_code, str(error.detail))
        headers = dict(error.headers or {})
        if headers.get("Allow") == "GET":
            headers["Allow"] = "GET, HEAD"
        code = _status_code_name(error.status_code)
        return ApiError(error.status_code, code, message, headers=headers).to_response()

    @app.exception_handler(RequestValidationError)
    async def on_validation_error(_request: Request, error: RequestValidationError) -> JSONResponse:
        # The first part of a place is where the name is, such as the query.
        problems = [
            one | {"loc": one["loc"][1:] if any(one["loc"][1:]) else one["loc"][:1]} for one in error.errors()
        ]
        return invalid_parameters(problems).to_response()

    @app.exception_handler(Exception)
    async def on_bug(_request: Request, _error: Exception) -> JSONResponse:
        return ApiError(500, "internal_server_error", INTERNAL_ERROR).to_response()


class UniformErrors:
    """Rewrites plain-text error responses of libraries, such as to an invalid Range header, in the common format."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start: Message | None = None
        text = b""

        async def rewrite(message: Message) -> None:
            nonlocal start, text
            if message["type"] == "http.response.start" and message["status"] >= 400:
                kind = Headers(raw=message["headers"]).get("content-type", "")
                if not kind.startswith("application/json"):
                    start = message
                    return
            if start is None:
                await send(message)
                return
            text += message.get("body", b"")
            if message.get("more_body", False):
                return
            status = start["status"]
            headers = {
                name: value
                for name, value in Headers(raw=start["headers"]).items()
                if name not in ("content-type", "content-length")
            }
            detail = text.decode("utf-8", "replace")[:MAX_ECHO] or HTTPStatus(status).phrase
            error = ApiError(status, _status_code_name(status), detail, headers=headers)
            await error.to_response()(scope, receive, send)

        await self.app(scope, receive, rewrite)


def _status_code_name(status: int) -> str:
    # Python 3.13 renamed the phrase.
    if status == 416:
        return "range_not_satisfiable"
    return HTTPStatus(status).phrase.lower().replace(" ", "_")
