"""Connections that get on: whatever a client does or leaves undone, each thing it is at has an end.

uvicorn's own timers are set and cleared by events, and a byte at the wrong time clears them for good. Here every
connection is looked at a few times a second: what is it at, and since when? No order of events escapes that.
"""

import re
from http import HTTPStatus
from typing import Any

import h11
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from mien.serve.counters import Counters
from mien.serve.courtesy import MAX_SECONDS as REST_SECONDS
from mien.serve.courtesy import closing
from mien.serve.crowd import Crowd
from mien.serve.gate import OPEN_PATHS, SECURITY_HEADERS
from mien.serve.refusals import MAX_TOLD, Refusal
from mien.serve.settings import ServeSettings

MAX_HEAD_BYTES = 16 * 1024
MAX_HEADERS = 100
# h11 takes about 10 microseconds for a chunk, however small, in which nobody else is served.
FREE_CHUNKS = 32
MIN_CHUNK_BYTES = 256
# What a client takes of an answer by less than this is no progress.
_PROGRESS_BYTES = 48 * 1024
# The app's own limits come first, so that a client is told; what has passed them by so much is beyond words.
_GRACE_SECONDS = 5.0
GUEST_SECONDS = 2.0
# When the server stops, those whose client does nothing get so long.
_STOPPING_SECONDS = 1.0
_END_OF_HEAD = re.compile(rb"\n\r?\n")


class _BoundedParser(h11.Connection):
    """h11's parser, with bounds to what a request can cost."""

    refusal = Refusal(400, "bad_request", "This is no valid HTTP request")
    is_chunked = False
    _n_chunks = 0
    _n_bytes = 0

    def next_event(self) -> Any:
        if self.their_state is h11.IDLE:
            self._require_small_head()
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            self.refusal = _refusal_of(error)
            raise
        if isinstance(event, h11.Request):
            self._n_chunks = self._n_bytes = 0
            self.is_chunked = any(name == b"transfer-encoding" for name, _ in event.headers)
            if len(event.headers) > MAX_HEADERS:
                self._refuse(431, "head_too_large", f"A request may have {MAX_HEADERS} headers")
        elif isinstance(event, h11.Data):
            self._n_chunks += event.chunk_end
            self._n_bytes += len(event.data)
            if self._n_chunks > FREE_CHUNKS + self._n_bytes // MIN_CHUNK_BYTES:
                message = (
                    f"The chunks are too small: beyond {FREE_CHUNKS} they must have {MIN_CHUNK_BYTES} bytes on "
                    "average. Send larger ones, or a Content-Length"
                )
                self._refuse(400, "chunks_too_small", message)
        return event

    def _require_small_head(self) -> None:
        # h11 looks at the length of a head only as long as it is not whole.
        head = self.trailing_data[0][:MAX_HEAD_BYTES]
        if len(head) == MAX_HEAD_BYTES and not _END_OF_HEAD.search(head):
            message = f"A request's first line and headers may have {MAX_HEAD_BYTES:,} bytes"
            self._refuse(431, "head_too_large", message)

    def _refuse(self, status: int, code: str, message: str) -> None:
        self.refusal = Refusal(status, code, message)
        raise h11.RemoteProtocolError(message, error_status_hint=status)


def _refusal_of(error: h11.RemoteProtocolError) -> Refusal:
    if error.error_status_hint == 431:
        return Refusal(431, "head_too_large", "A line between the chunks, or what follows them, is too long")
    if error.error_status_hint == 501:
        return Refusal(501, "not_implemented", f"{error}"[:MAX_TOLD])
    return Refusal(400, "bad_request", f"This is no valid HTTP request: {error}"[:MAX_TOLD])


def _bytes_of(refusal: Refusal) -> bytes:
    """Return a refusal as it goes over the wire, without the time that an app takes; the connection ends with it."""
    answer = refusal.to_response()
    own = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
    headers = [*answer.raw_headers, *own, (b"connection", b"close")]
    lines = [b"HTTP/1.1 %d %b" % (refusal.status, HTTPStatus(refusal.status).phrase.encode())]
    lines += [b"%b: %b" % header for header in headers]
    return b"\r\n".join([*lines, b"", bytes(answer.body)])


_HEALTH = tuple(b"GET %b" % path.encode() for path in OPEN_PATHS)
_CROWDED = _bytes_of(
    Refusal(
        503,
        "too_many_connections",
        "The server has as many connections as it takes. Try again later",
        headers={"Retry-After": "1"},
    )
)


def connections_with_patience(
    settings: ServeSettings, crowd: Crowd, counters: Counters
) -> type["PatientConnection"]:
    """Return uvicorn's protocol, with patience that ends."""
    own = {"settings": settings, "crowd": crowd, "counters": counters}
    return type("_Connection", (PatientConnection,), own)


class PatientConnection(H11Protocol):
    """A connection that can be asked whether it is overdue."""

    settings: ServeSettings
    crowd: Crowd
    counters: Counters

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = self._parser = _BoundedParser(h11.SERVER, MAX_HEAD_BYTES)
        self.address = ""
        self._is_admitted = False
        self._phase: tuple[Any, ...] = ()
        self._since, self._unsent, self._n_resumed = 0.0, 0, 0

    def connection_made(self, transport: Any) -> None:
        """Take in a client, or make it a guest."""
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        self._is_admitted = self.crowd.enter(self)
        self._since = self.loop.time()
        if not self._is_admitted:
            self.counters.ended.labels("guest").inc()
            self.app = closing(self.app)
        self._whole_app: ASGIApp = self.app
        self.app: ASGIApp = self._answer

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room."""
        self.crowd.leave(self, was_admitted=self._is_admitted)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; of a guest, what asks for health, and nothing more."""
        if not self._is_admitted:
            if self.conn.their_state is not h11.IDLE or self.transport.is_closing():
                return
            if not self._parser.trailing_data[0] and not data.startswith(_HEALTH):
                self.transport.write(_CROWDED)
                self.transport.close()
                return
            data = b"".join(data.partition(b"\r\n\r\n")[:2])
        while data and not self.transport.is_closing():
            # All but a body of known length in pieces, after each of which h11 looks whether a line is too long.
            is_plain_body = self.conn.their_state is h11.SEND_BODY and not self._parser.is_chunked
            n_bytes = len(data) if is_plain_body else MAX_HEAD_BYTES
            super().data_received(data[:n_bytes])
            data = data[n_bytes:]

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        # A request whose body is refused in the same turn costs no more than its parsing.
        if not self.cycle.disconnected:
            await self._whole_app(scope, receive, send)

    def resume_writing(self) -> None:
        """Note that the client takes its answer."""
        self._n_resumed += 1
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's argument
        """Refuse what is no HTTP in the one shape, where an answer has not begun."""
        self.counters.ended.labels("bad_request").inc()
        if self.cycle is not None:
            # Whatever the app still has to say finds nobody there.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.abort()
            return
        self.transport.write(_bytes_of(self._parser.refusal))
        self.transport.close()

    def abort(self) -> None:
        """End it at once, whatever is still to be sent."""
        self.transport.abort()

    def end_if_overdue(self, *, is_stopping: bool = False) -> None:
        """End it, if its client has been at one thing for longer than that may take."""
        phase, limit = self._look()
        now, unsent = self.loop.time(), self.transport.get_write_buffer_size()
        if phase != self._phase or unsent <= self._unsent - _PROGRESS_BYTES:
            self._phase, self._since, self._unsent = phase, now, unsent
        if not self._is_admitted:
            limit = min(limit, GUEST_SECONDS)
        if is_stopping and phase[0] not in ("work", "body"):
            limit = min(limit, _STOPPING_SECONDS)
        if now - self._since >= limit:
            self.counters.ended.labels(phase[0]).inc()
            self.abort()

    def _look(self) -> tuple[tuple[Any, ...], float]:
        """Return what a client is at, told apart from the same thing at another time, and the seconds that it may take."""
        settings, cycle, state = self.settings, self.cycle, self.conn.their_state
        if self.transport.get_write_buffer_size():
            return ("answer", cycle, self._n_resumed), settings.answer_seconds
        if state is h11.IDLE:
            if cycle is None or self.conn.trailing_data[0]:
                return ("head", cycle), settings.head_seconds
            return ("idle", cycle), settings.keep_alive_seconds
        if cycle is None or cycle.response_complete:
            return ("rest", cycle), REST_SECONDS
        if state is h11.SEND_BODY:
            return ("body", cycle), settings.body_seconds + _GRACE_SECONDS
        return ("work", cycle), settings.request_seconds + _GRACE_SECONDS
