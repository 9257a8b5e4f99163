"""A client that is refused while it still sends gets to read why.

A connection that is closed over unread bytes is reset, and the answer is lost with it. So what is still coming is
taken and dropped first, within bounds.
"""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.serve.refusals import Refusal

MAX_SECONDS = 2.0


class Courtesy:
    """Takes what is left of a refused request's body before the answer is sent."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        """Wrap an app; no more than so many bytes are taken and dropped."""
        self.app, self.max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        # A client that waits to be told to go on has sent nothing, and is not to be told so.
        is_all_there = _waits_for_a_word(scope)

        async def note_end() -> Message:
            nonlocal is_all_there
            message = await receive()
            is_all_there = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        async def drop_rest() -> None:
            n_bytes = 0
            while not is_all_there and n_bytes <= self.max_bytes:
                n_bytes += len((await note_end()).get("body", b""))

        async def send_in_time(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                await _within(MAX_SECONDS, drop_rest())
            await send(message)

        await self.app(scope, note_end, send_in_time)


class BodyWhereDue:
    """Refuses a body where none is due: nobody would read it, and its client could go on with it for ever."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD") or not _has_body(scope):
            await self.app(scope, receive, send)
            return
        message = f"A {scope['method']} request has no body here. Send it without one"
        refusal = Refusal(400, "unexpected_body", message, headers={"Connection": "close"})
        await refusal.to_response()(scope, receive, send)


def _has_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0"))
        for name, value in scope["headers"]
    )


def closing(app: ASGIApp) -> ASGIApp:
    """Return an app each of whose answers is the end of its connection."""

    async def answer_and_close(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        await app(scope, receive, send_and_close)

    return answer_and_close


def _waits_for_a_word(scope: Scope) -> bool:
    return any(name == b"expect" and value.lower() == b"100-continue" for name, value in scope["headers"])


async def _within(seconds: float, work: "asyncio._CoroutineLike[None]") -> None:
    try:
        await asyncio.wait_for(work, seconds)
    except TimeoutError:
        return
