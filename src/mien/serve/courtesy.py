"""A client that is refused while it still sends gets to read why.

A connection that is closed over unread bytes is reset, and the answer is lost with it. So what is still coming is
taken and dropped first, within bounds.
"""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

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


def _waits_for_a_word(scope: Scope) -> bool:
    return any(name == b"expect" and value.lower() == b"100-continue" for name, value in scope["headers"])


async def _within(seconds: float, work: "asyncio._CoroutineLike[None]") -> None:
    try:
        await asyncio.wait_for(work, seconds)
    except TimeoutError:
        return
