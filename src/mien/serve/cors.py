"""Cross-origin requests: which other sites' pages may call the API."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mien.serve.api_errors import MAX_ECHO, ApiError
from mien.serve.options import parse_origin


class CrossOrigin(CORSMiddleware):
    """Starlette's CORS, with preflight errors in the common format."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        """Wrap an app.

        Args:
            app: the wrapped app.
            origins: allowed origins, ``*`` for any.

        Raises:
            ValueError: one of them is not an origin.
        """
        super().__init__(
            app,
            allow_origins=[parse_origin(origin) for origin in origins],
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Retry-After"],
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer a browser's question whether a page may send a request."""
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        names = ("origin", "access-control-request-method", "access-control-request-headers")
        origin, method, headers = (request_headers.get(name, "")[:MAX_ECHO] for name in names)
        if not self.is_allowed_origin(request_headers["origin"]):
            message = f"Pages of {origin!r} may not use this server. Start it with `--allow-origin {origin}`"
            code = "origin_not_allowed"
        else:
            message = (
                f"Pages of other sites may send GET, HEAD and POST with Authorization and Content-Type; this one asks for "
                f"{method!r} with {headers!r}"
            )
            code = "cross_origin_request_not_allowed"
        kept = {
            name: value
            for name, value in response.headers.items()
            if name not in ("content-type", "content-length")
        }
        return ApiError(400, code, message, headers=kept).to_response()


class OwnOrigin:
    """Rejects WebSockets that the page of another site opens. Browsers let any page open one, and ask nobody."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        """Wrap an app.

        Args:
            app: the wrapped app.
            origins: other sites whose pages may open WebSockets, ``*`` for any.
        """
        self.app, self._origins = app, {parse_origin(origin) for origin in origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        headers = Headers(scope=scope) if scope["type"] == "websocket" else {}
        origin = headers.get("origin")
        # A program that is no browser sends none.
        is_own = origin is None or origin.partition("://")[2].lower() == headers.get("host", "").lower()
        if is_own or origin in self._origins or "*" in self._origins:
            await self.app(scope, receive, send)
            return
        shown = str(origin)[:MAX_ECHO]
        message = f"Pages of {shown!r} may not use this server. Start it with `--allow-origin {shown}`"
        await ApiError(400, "origin_not_allowed", message).to_response()(scope, receive, send)
