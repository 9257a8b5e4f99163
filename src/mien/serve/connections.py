"""HTTP connections that cannot hang: every phase of a connection has a timeout, whatever the client does.

uvicorn sets and clears its timers on events, and a byte at the wrong moment clears them for good. Here the server instead
checks every connection a few times a second: which phase is it in, and since when? No order of events can evade that.
"""

import re
from http import HTTPStatus
from typing import Any

import h11
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from mien.serve.api_errors import MAX_ECHO, ApiError
from mien.serve.authentication import PUBLIC_PATHS, SECURITY_HEADERS
from mien.serve.body_drain import MAX_DRAIN_SECONDS, close_after_response
from mien.serve.connection_limits import ConnectionLimiter
from mien.serve.metrics import Metrics
from mien.serve.settings import ServeSettings

MAX_HEAD_BYTES = 16 * 1024
MAX_HEADERS = 100
# h11 takes about 10 microseconds per chunk, however small, during which no other client is served.
FREE_CHUNKS = 32
MIN_CHUNK_BYTES = 256
# A client that reads less of its response than this makes no progress.
_PROGRESS_BYTES = 48 * 1024
# The app's own timeouts fire first and send a proper error; this much later the connection is just closed.
_GRACE_SECONDS = 5.0
EXCESS_SECONDS = 2.0
STREAM_PATH = "/v1/stream"
# While the server is shutting down, idle clients get this long.
_SHUTDOWN_SECONDS = 1.0
_END_OF_HEAD = re.compile(rb"\n\r?\n")


class _BoundedParser(h11.Connection):
    """h11's parser, with bounds on the cost of a request."""

    error = ApiError(400, "bad_request", "Invalid HTTP request")
    is_chunked = False
    _n_chunks = 0
    _n_bytes = 0

    def next_event(self) -> Any:
        if self.their_state is h11.IDLE:
            # h11 checks the length of a head only while it is incomplete.
            head = self.trailing_data[0][:MAX_HEAD_BYTES]
            if len(head) == MAX_HEAD_BYTES and not _END_OF_HEAD.search(head):
                message = f"The request line and headers may have at most {MAX_HEAD_BYTES:,} bytes"
                self._reject(431, "headers_too_large", message)
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            status = error.error_status_hint
            if status == 431:
                self.error = ApiError(431, "headers_too_large", "A chunk header or the trailers are too long")
            elif status == 501:
                self.error = ApiError(501, "not_implemented", f"{error}"[:MAX_ECHO])
            else:
                self.error = ApiError(400, "bad_request", f"Invalid HTTP request: {error}"[:MAX_ECHO])
            raise
        if isinstance(event, h11.Request):
            self._n_chunks = self._n_bytes = 0
            self.is_chunked = any(name == b"transfer-encoding" for name, _ in event.headers)
            if len(event.headers) > MAX_HEADERS:
                self._reject(431, "headers_too_large", f"A request may have at most {MAX_HEADERS} headers")
        elif isinstance(event, h11.Data):
            self._n_chunks += event.chunk_end
            self._n_bytes += len(event.data)
            if self._n_chunks > FREE_CHUNKS + self._n_bytes // MIN_CHUNK_BYTES:
                message = (
                    f"The chunks are too small: beyond the first {FREE_CHUNKS} they must average "
                    f"{MIN_CHUNK_BYTES} bytes. Send larger chunks, or a Content-Length"
                )
                self._reject(400, "chunks_too_small", message)
        return event

    def _reject(self, status: int, code: str, message: str) -> None:
        self.error = ApiError(status, code, message)
        raise h11.RemoteProtocolError(message, error_status_hint=status)


def _raw_response(error: ApiError) -> bytes:
    """Return the bytes of an error response that bypasses the app and closes the connection."""
    response = error.to_response()
    security = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
    headers = [*response.raw_headers, *security, (b"connection", b"close")]
    lines = [b"HTTP/1.1 %d %b" % (error.status, HTTPStatus(error.status).phrase.encode())]
    lines += [b"%b: %b" % header for header in headers]
    return b"\r\n".join([*lines, b"", bytes(response.body)])


_HEALTH_REQUESTS = tuple(
    b"%b %b%b" % (method, path.encode(), end)
    for method in (b"GET", b"HEAD")
    for path in PUBLIC_PATHS
    for end in (b" ", b"?")
)
_TOO_MANY_CONNECTIONS = _raw_response(
    ApiError(
        503,
        "too_many_connections",
        "The server has reached its connection limit. Try again later",
        headers={"Retry-After": "1"},
    )
)


def make_protocol_class(
    base: type[Any], settings: ServeSettings, limiter: ConnectionLimiter, metrics: Metrics
) -> type[Any]:
    """Return the protocol class for a uvicorn server: `TimedConnection` or `StreamConnection` with what they share."""
    attributes = {"settings": settings, "limiter": limiter, "metrics": metrics}
    return type("_Connection", (base,), attributes)


class TimedConnection(H11Protocol):
    """A uvicorn connection with a timeout for every phase, and connection limits."""

    settings: ServeSettings
    limiter: ConnectionLimiter
    metrics: Metrics

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = self._parser = _BoundedParser(h11.SERVER, MAX_HEAD_BYTES)
        self.address = ""
        self._is_admitted = False
        self._phase: tuple[Any, ...] = ()
        self._since, self._unsent, self._n_resumed = 0.0, 0, 0

    def connection_made(self, transport: Any) -> None:
        """Register the connection; beyond the limits it may only ask for health, once."""
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        self._is_admitted = self.limiter.add(self)
        self._since = self.loop.time()
        if not self._is_admitted:
            self.metrics.closed_connections.labels("over_limit").inc()
            self.app = close_after_response(self.app)
        self._inner_app: ASGIApp = self.app
        self.app: ASGIApp = self._call_app

    def connection_lost(self, exc: Exception | None) -> None:
        """Unregister the connection."""
        self.limiter.remove(self, was_admitted=self._is_admitted)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse received bytes; of an excess connection, only a request for health."""
        if not self._is_admitted:
            if self.conn.their_state is not h11.IDLE or self.transport.is_closing():
                return
            if not self._parser.trailing_data[0] and not data.startswith(_HEALTH_REQUESTS):
                self.transport.write(_TOO_MANY_CONNECTIONS)
                self.transport.close()
                return
            data = b"".join(data.partition(b"\r\n\r\n")[:2])
        while data and not self.transport.is_closing():
            # In pieces, after each of which h11 checks the line length; only a body of known length goes in as it is.
            is_plain_body = self.conn.their_state is h11.SEND_BODY and not self._parser.is_chunked
            n_bytes = len(data) if is_plain_body else MAX_HEAD_BYTES
            super().data_received(data[:n_bytes])
            data = data[n_bytes:]

    def _should_upgrade(self) -> bool:
        """Only the stream is a WebSocket; elsewhere, a request to upgrade is an ordinary request.

        A WebSocket counts as within the limits, so an excess connection may not become one.
        """
        is_stream = self._get_upgrade() == b"websocket" and self.scope["path"].endswith(STREAM_PATH)
        return self._is_admitted and is_stream

    async def _call_app(self, scope: Scope, receive: Receive, send: Send) -> None:
        # A request whose body was rejected in the same turn of the event loop should cost no more than its parsing.
        if not self.cycle.disconnected:
            await self._inner_app(scope, receive, send)

    def resume_writing(self) -> None:
        """Record that the client is reading its response."""
        self._n_resumed += 1
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's argument
        """Respond to invalid HTTP with the API's error format, unless a response has already begun."""
        self.metrics.closed_connections.labels("bad_request").inc()
        if self.cycle is not None:
            # Tell the app that its client is gone.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.abort()
            return
        self.transport.write(_raw_response(self._parser.error))
        self.transport.close()

    def abort(self) -> None:
        """Close the connection immediately, discarding unsent bytes."""
        self.transport.abort()

    def close_if_timed_out(self, *, is_shutting_down: bool = False) -> None:
        """Close the connection if its current phase has exceeded its timeout."""
        phase, timeout = self._current_phase()
        now, unsent = self.loop.time(), self.transport.get_write_buffer_size()
        if phase != self._phase or unsent <= self._unsent - _PROGRESS_BYTES:
            self._phase, self._since, self._unsent = phase, now, unsent
        if not self._is_admitted:
            timeout = min(timeout, EXCESS_SECONDS)
        if is_shutting_down and phase[0] not in ("processing", "body"):
            timeout = min(timeout, _SHUTDOWN_SECONDS)
        if now - self._since >= timeout:
            self.metrics.closed_connections.labels(phase[0]).inc()
            self.abort()

    def _current_phase(self) -> tuple[tuple[Any, ...], float]:
        """Return the phase, with what distinguishes it from a later phase of the same name, and its timeout in seconds."""
        settings, cycle, state = self.settings, self.cycle, self.conn.their_state
        if self.transport.get_write_buffer_size():
            return ("response", cycle, self._n_resumed), settings.answer_seconds
        if state is h11.IDLE:
            if cycle is None or self.conn.trailing_data[0]:
                return ("headers", cycle), settings.head_seconds
            return ("idle", cycle), settings.keep_alive_seconds
        if cycle is None or cycle.response_complete:
            return ("drain", cycle), MAX_DRAIN_SECONDS
        if state is h11.SEND_BODY:
            return ("body", cycle), settings.body_seconds + _GRACE_SECONDS
        return ("processing", cycle), settings.request_seconds + _GRACE_SECONDS
