"""WebSocket connections of the stream, within the same limits as any other connection."""

import socket
from typing import Any

from uvicorn.protocols.websockets.wsproto_impl import WSProtocol
from wsproto.events import BytesMessage, Ping, TextMessage

from mien.serve.connection_limits import ConnectionLimiter
from mien.serve.metrics import Metrics
from mien.serve.settings import ServeSettings

# Parsing a piece of a message takes tens of microseconds, however small, during which no other client is served.
FREE_PIECES = 64
MIN_PIECE_BYTES = 256
# A client that reads less of what it is sent than this makes no progress.
_PROGRESS_BYTES = 48 * 1024
_SEND_BUFFER_BYTES = 32 * 1024


class _TooManyPiecesError(Exception):
    """Messages in tiny pieces, or pings without end."""


class StreamConnection(WSProtocol):
    """A uvicorn WebSocket whose client must read what it is sent, and may not send it in tiny pieces."""

    settings: ServeSettings
    limiter: ConnectionLimiter
    metrics: Metrics

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.address = ""
        self._n_pieces, self._n_bytes = 0, 0
        self._since, self._unsent = self.loop.time(), 0

    def connection_made(self, transport: Any) -> None:
        """Take over a connection that is within the limits."""
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        # Otherwise the system keeps megabytes of answers for a slow client, which then reads old ones.
        if (connection := transport.get_extra_info("socket")) is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        """Unregister the connection."""
        self.limiter.remove(self, was_admitted=True)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse received bytes, and close the connection if they come in too many pieces."""
        self._n_bytes += len(data)
        try:
            super().data_received(data)
        except _TooManyPiecesError:
            self.metrics.closed_connections.labels("bad_request").inc()
            self.abort()

    def handle_message(self, event: TextMessage | BytesMessage) -> None:
        """Add a piece to the message."""
        self._count_piece()
        super().handle_message(event)

    def handle_ping(self, event: Ping) -> None:
        """Answer a ping."""
        self._count_piece()
        super().handle_ping(event)

    def _count_piece(self) -> None:
        self._n_pieces += 1
        if self._n_pieces > FREE_PIECES + self._n_bytes // MIN_PIECE_BYTES:
            raise _TooManyPiecesError

    def abort(self) -> None:
        """Close the connection immediately, discarding unsent bytes."""
        self.transport.abort()

    def close_if_timed_out(self, *, is_shutting_down: bool = False) -> None:  # noqa: ARG002 - like `TimedConnection`
        """Close the connection if its client has not read what it was sent for too long."""
        now, unsent = self.loop.time(), self.transport.get_write_buffer_size()
        self._unsent = max(unsent, self._unsent)
        if not unsent or unsent <= self._unsent - _PROGRESS_BYTES:
            self._since, self._unsent = now, unsent
        if now - self._since >= self.settings.answer_seconds:
            self.metrics.closed_connections.labels("response").inc()
            self.abort()
