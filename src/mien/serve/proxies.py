"""The server behind a proxy: under which path it is published, and whether over TLS."""

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit, urlunsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.serve.options import parse_prefix

# Folders of the server's own routes. Under a prefix of that name, the path is taken to come without the prefix.
_OWN_FOLDERS = ("/v1", "/docs", "/assets", "/models")
_LOOPBACK = ("127.0.0.0/8", "::1/128")


def route_path(scope: Scope) -> str:
    """Return the path of a request without the proxy's prefix."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


class ProxyHeaders:
    """Sets the scheme and ``root_path`` of requests, and keeps redirects under that path and on the client's host.

    Works for proxies that remove the prefix from the path and for those that do not.
    """

    def __init__(self, app: ASGIApp, root_path: str = "", trusted: Sequence[str] = ()) -> None:
        """Wrap an app.

        Args:
            app: the wrapped app.
            root_path: the prefix, empty for that of a trusted proxy's ``X-Forwarded-Prefix``.
            trusted: addresses and networks of proxies, ``*`` for any, none for this machine.
        """
        self.app, self._root_path = app, parse_prefix(root_path)
        self._trusts_all = "*" in trusted
        self._networks = [ipaddress.ip_network(one) for one in (trusted or _LOOPBACK) if one != "*"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        scope, prefix = dict(scope), self._root_path
        if self._is_trusted(scope.get("client")):
            headers = Headers(scope=scope)
            scheme = headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
            if scheme in ("http", "https"):
                scope["scheme"] = scheme.replace("http", "ws") if scope["type"] == "websocket" else scheme
            prefix = prefix or _parse_forwarded(headers.getlist("x-forwarded-prefix"))
        if prefix:
            has_prefix = prefix not in _OWN_FOLDERS and f"{scope['path']}/".startswith(f"{prefix}/")
            scope["root_path"] = prefix
            scope["path"] = scope["path"] if has_prefix else prefix + scope["path"]
            if scope["path"] == prefix:
                # The page's addresses are relative to its folder.
                query = scope["query_string"].decode("latin-1")
                await RedirectResponse(f"{prefix}/" + f"?{query}" * bool(query))(scope, receive, send)
                return

        async def send_with_local_redirect(message: Message) -> None:
            if message["type"] == "http.response.start" and 300 <= message["status"] < 400:
                answer = MutableHeaders(scope=message)
                if "location" in answer:
                    # The host of a request is often not the one that the client used.
                    parts = urlsplit(answer["location"])
                    answer["location"] = urlunsplit(("", "", parts.path, parts.query, ""))
            await send(message)

        await self.app(scope, receive, send_with_local_redirect)

    def _is_trusted(self, client: Sequence[object] | None) -> bool:
        if self._trusts_all:
            return True
        try:
            address = ipaddress.ip_address(str(client[0]).partition("%")[0] if client else "")
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)


def _parse_forwarded(values: Sequence[str]) -> str:
    """Return the prefix that a chain of proxies adds; empty if it is not one."""
    try:
        return "".join(parse_prefix(part) for value in values for part in value.split(","))
    except ValueError:
        return ""
