"""Bearer authentication, Host validation and browser security headers."""

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from starlette.datastructures import MutableHeaders
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.serve.api_errors import MAX_ECHO, ApiError
from mien.serve.proxies import route_path

PUBLIC_PATHS = ("/healthz", "/readyz")
COOKIE = "mien"

# The page compiles WebAssembly and creates workers, images and videos from memory. WebAssembly threads require the two
# cross-origin headers.
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; "
        "img-src 'self' blob: data:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# A page, not a redirect: in a redirect chain started by a link on another site, the browser does not send a strict
# cookie.
_SIGNED_IN_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=./"><link rel="icon" href="data:,">
<title>mien</title>
<p><a href="./">Continue to mien</a></p></html>
"""


class SecurityHeaders:
    """Adds `SECURITY_HEADERS` to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""

        async def add_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        await self.app(scope, receive, add_headers if scope["type"] == "http" else send)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Access control.

    Attributes:
        token: bearer token that clients must send, None for no authentication.
        allow_origins: other sites whose pages may call the API (CORS), see `CrossOrigin`.
        allowed_hosts: accepted names in the ``Host`` header, see `AllowedHosts`; None for any.
        root_path: path under which a proxy publishes the server, see `ProxyHeaders`.
        trusted_proxies: proxies whose headers are believed, see `ProxyHeaders`.

    Raises:
        ValueError: the token is empty.
    """

    token: str | None = field(default=None, repr=False)
    allow_origins: Sequence[str] = ()
    allowed_hosts: Sequence[str] | None = None
    root_path: str = ""
    trusted_proxies: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.token == "":
            raise ValueError("`token` must not be empty")


class AllowedHosts:
    """Rejects requests whose ``Host`` is not a name of this server.

    Otherwise a page of another site could point its own name at this server's address, and the browser would take the
    two for the same site (DNS rebinding). IP addresses are safe: they cannot be pointed elsewhere.
    """

    def __init__(self, app: ASGIApp, names: Sequence[str]) -> None:
        """Wrap an app.

        Args:
            app: the wrapped app.
            names: allowed names besides IP addresses and localhost; ``*`` for any.
        """
        self.app = app
        self._names = {"localhost", *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] == "lifespan" or route_path(scope) in PUBLIC_PATHS or "*" in self._names:
            await self.app(scope, receive, send)
            return
        header = dict(scope["headers"]).get(b"host", b"").decode("latin-1").strip().lower()
        host = re.sub(r":\d*$", "", header)
        if host in self._names or is_ip_address(host):
            await self.app(scope, receive, send)
            return
        message = f"Host {host[:MAX_ECHO]!r} is not allowed. Start the server with `--allow-host NAME`, or set a token"
        await ApiError(421, "host_not_allowed", message).to_response()(scope, receive, send)


def is_ip_address(host: str) -> bool:
    """Return whether the host of a URL is an IP address; IPv6 in brackets or without."""
    try:
        ipaddress.ip_address(host[1:-1] if host.startswith("[") and host.endswith("]") else host)
    except ValueError:
        return False
    return True


class BearerAuth:
    """Requires the token: as ``Authorization: Bearer``, or through the cookie that ``/?token=`` sets."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app = app
        self._token = token.encode()
        # A digest instead of the token: it has only characters that cookies allow, and does not reveal the token.
        self._cookie = hmac.new(self._token, b"mien page", hashlib.sha256).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] == "lifespan" or route_path(scope) in PUBLIC_PATHS or self._is_authorized(scope):
            await self.app(scope, receive, send)
            return
        token = b""
        if route_path(scope) == "/":
            query = parse_qs(scope["query_string"].decode("latin-1"), encoding="utf-8", errors="replace")
            token = query.get("token", [""])[0].encode()
        if self._is_token(token):
            response = HTMLResponse(_SIGNED_IN_PAGE, headers={"Cache-Control": "no-store"})
            is_https = scope.get("scheme") == "https"
            path = scope.get("root_path", "") or "/"
            response.set_cookie(
                COOKIE, self._cookie, path=path, httponly=True, samesite="strict", secure=is_https
            )
            await response(scope, receive, send)
            return
        message = "Missing or invalid bearer token. Send `Authorization: Bearer TOKEN`, or open /?token=TOKEN in a browser"
        error = ApiError(401, "unauthorized", message, headers={"WWW-Authenticate": "Bearer"})
        await error.to_response()(scope, receive, send)

    def _is_authorized(self, scope: Scope) -> bool:
        headers = dict(scope["headers"])
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() == b"bearer" and self._is_token(token.strip()):
            return True
        # Cookies of other programs on the same host may be malformed, and one of another path has the same name.
        cookies = (cookie.partition(b"=") for cookie in headers.get(b"cookie", b"").split(b";"))
        return any(
            name.strip() == COOKIE.encode() and hmac.compare_digest(value.strip(), self._cookie.encode())
            for name, _, value in cookies
        )

    def _is_token(self, token: bytes) -> bool:
        return hmac.compare_digest(token, self._token)
