"""Who is let in, and what a browser may do with what it gets."""

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import MutableHeaders
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.serve.refusals import MAX_TOLD, Refusal

OPEN_PATHS = ("/healthz", "/readyz")
COOKIE = "mien"

# The page compiles WebAssembly and makes workers, pictures and videos from what it holds in memory. The two
# cross-origin headers are what lets WebAssembly use several threads.
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
# A page of this site leads on, not a redirect: on one that began at another site's link, the browser would hold a
# strict cookie back.
_LET_IN = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=./"><link rel="icon" href="data:,">
<title>mien</title>
<p><a href="./">Go on to mien</a></p></html>
"""


class SecurityHeaders:
    """Adds `SECURITY_HEADERS` to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""

        async def add_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        await self.app(scope, receive, add_headers if scope["type"] == "http" else send)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may use the server.

    Attributes:
        token: that clients must have, or None where all are let in.
        allow_origins: other sites whose pages may use the API, ``*`` for all.
        known_hosts: names in a request's ``Host`` that are the server's, see `KnownHosts`; None for any.

    Raises:
        ValueError: the token is empty.
    """

    token: str | None = field(default=None, repr=False)
    allow_origins: Sequence[str] = ()
    known_hosts: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.token == "":
            raise ValueError("`token` must not be empty")


class KnownHosts:
    """Refuses a ``Host`` that is a name which the server does not go by.

    A page of another site can point its own name at this server's address, and would then be of this site for the
    browser (DNS rebinding). An address in place of a name cannot be pointed anywhere.
    """

    def __init__(self, app: ASGIApp, names: Sequence[str]) -> None:
        """Wrap an app.

        Args:
            app: what those get to who know its name.
            names: besides addresses and localhost; ``*`` for all.
        """
        self.app = app
        self._names = {"localhost", *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS or self._is_known(host := _host_of(scope)):
            await self.app(scope, receive, send)
            return
        message = f"The server does not go by the name {host[:MAX_TOLD]!r}. Start it with `--allow-host NAME`, or set a token"
        await Refusal(421, "wrong_host", message).to_response()(scope, receive, send)

    def _is_known(self, host: str) -> bool:
        return "*" in self._names or host in self._names or is_address(host)


def is_address(host: str) -> bool:
    """Say whether a host is an IP address, as it stands in an address of HTTP."""
    try:
        ipaddress.ip_address(host[1:-1] if host.startswith("[") and host.endswith("]") else host)
    except ValueError:
        return False
    return True


def _host_of(scope: Scope) -> str:
    """Return the host that a request names, without its port, in small letters."""
    host = dict(scope["headers"]).get(b"host", b"").decode("latin-1").strip().lower()
    return re.sub(r":\d*$", "", host)


class Gate:
    """Lets in who has the token: in the header ``Authorization: Bearer``, or by the cookie that `/?token=` gives."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app = app
        self._token = token.encode()
        # Not the token itself: a cookie holds no character of it that cookies cannot hold, and does not tell it.
        self._ticket = hmac.new(self._token, b"mien page", hashlib.sha256).hexdigest().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS or self._has_right(scope):
            await self.app(scope, receive, send)
        elif scope["path"] == "/" and self._is_token(_token_of_query(scope)):
            answer = HTMLResponse(_LET_IN, headers={"Cache-Control": "no-store"})
            is_https = scope.get("scheme") == "https"
            answer.set_cookie(
                COOKIE, self._ticket.decode(), httponly=True, samesite="strict", secure=is_https
            )
            await answer(scope, receive, send)
        else:
            await _no_entry().to_response()(scope, receive, send)

    def _has_right(self, scope: Scope) -> bool:
        headers = dict(scope["headers"])
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() == b"bearer" and self._is_token(token.strip()):
            return True
        return hmac.compare_digest(_ticket_of(headers.get(b"cookie", b"")), self._ticket)

    def _is_token(self, token: bytes) -> bool:
        return hmac.compare_digest(token, self._token)


def _no_entry() -> Refusal:
    message = "The server wants its token: `Authorization: Bearer TOKEN`, or open /?token=TOKEN in a browser"
    return Refusal(401, "unauthorized", message, headers={"WWW-Authenticate": "Bearer"})


def _token_of_query(scope: Scope) -> bytes:
    values = parse_qs(scope["query_string"].decode("latin-1"), encoding="utf-8", errors="replace").get(
        "token"
    )
    return values[0].encode() if values else b""


def _ticket_of(cookies: bytes) -> bytes:
    try:
        ticket = SimpleCookie(cookies.decode("latin-1")).get(COOKIE)
    except CookieError:
        return b""
    return b"" if ticket is None else ticket.value.encode()
