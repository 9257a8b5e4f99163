"""Middleware for request bodies that the app does not read.

Closing a connection that still has unread bytes resets it, and the client then loses the response. Therefore the rest of
the body is drained, within bounds, before an error response is sent.
"""

import asyncio
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.serve.api_errors import ApiError

MAX_DRAIN_SECONDS = 2.0


class BodyDrain:
    """Drains the request body before an error response."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        """Wrap an app.

        Args:
            app: the wrapped app.
            max_bytes: bytes to drain at most.
        """
        self.app, self.max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        # A client that waits for `100 Continue` has sent no body, and reading would tell it to send one.
        is_complete = any(
            name == b"expect" and value.lower() == b"100-continue" for name, value in scope["headers"]
        )

        async def receive_and_track() -> Message:
            nonlocal is_complete
            message = await receive()
            is_complete = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        async def drain() -> None:
            n_bytes = 0
            while not is_complete and n_bytes <= self.max_bytes:
                n_bytes += len((await receive_and_track()).get("body", b""))

        async def send_after_drain(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                with suppress(TimeoutError):
                    await asyncio.wait_for(drain(), MAX_DRAIN_SECONDS)
            await send(message)

        await self.app(scope, receive_and_track, send_after_drain)


class RejectUnexpectedBody:
    """Rejects GET and HEAD requests with a body: no route would read it, and a client could send it forever."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        has_body = scope["type"] == "http" and any(
            name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0"))
            for name, value in scope["headers"]
        )
        if not has_body or scope["method"] not in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        message = f"A {scope['method']} request must not have a body here. Send it without one"
        error = ApiError(400, "unexpected_body", message, headers={"Connection": "close"})
        await error.to_response()(scope, receive, send)


def close_after_response(app: ASGIApp) -> ASGIApp:
    """Return an app that closes the connection after every response."""

    async def respond_and_close(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        await app(scope, receive, send_and_close)

    return respond_and_close
