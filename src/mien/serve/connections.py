"""Connections that must say what they want: one that sends no whole head of a request in time is closed."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


def connections_with_patience(head_seconds: float) -> type[asyncio.Protocol]:
    """Return uvicorn's protocol, but with a time for a request's first line and headers to come.

    uvicorn counts only from the end of one request to the beginning of the next.
    """

    class PatientProtocol(H11Protocol):
        _end_of_patience: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._watch_head()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(exc)

        def _watch_head(self) -> None:
            if self.conn.their_state is not h11.IDLE:
                self._stop_waiting()
            elif self._end_of_patience is None:
                self._end_of_patience = self.loop.call_later(head_seconds, self.transport.close)

        def _stop_waiting(self) -> None:
            if self._end_of_patience is not None:
                self._end_of_patience.cancel()
                self._end_of_patience = None

    return PatientProtocol
