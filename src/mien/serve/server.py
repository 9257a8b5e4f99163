"""`mien serve`: the server process, and its graceful shutdown."""

import asyncio
import logging
import math
import os
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

import cv2
import uvicorn

from mien.assets.bundled_models import find_model, model_name
from mien.errors import SourceError
from mien.faces.detector import open_detector
from mien.faces.detector_file import CASCADE_FALLBACK, find_detector_file
from mien.formats.onnx_model import OnnxModel
from mien.inference.decision_rule import DecisionRule
from mien.inference.pipeline import warn_if_trained_on_crops
from mien.serve.app import ServeApp
from mien.serve.authentication import Access
from mien.serve.body_drain import MAX_DRAIN_SECONDS
from mien.serve.connection_limits import (
    ACCEPTED_PER_TURN,
    ConnectionLimiter,
    ConnectionLimits,
    open_file_limit,
    resolve_limits,
)
from mien.serve.connections import TimedConnection, make_protocol_class
from mien.serve.options import ServeOptions
from mien.serve.settings import ServeSettings
from mien.serve.stream_connection import StreamConnection

_log = logging.getLogger(__name__)

DUTY_TO_INFORM = (
    "In the European Union, persons exposed to emotion recognition must be informed of it (AI Act, Article 50(3)), and it is "
    "prohibited at work and in schools (Article 5)"
)
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
# Connections waiting to be accepted; beyond them the system makes clients retry.
_BACKLOG = 2048
_UNSENT_BYTES = 64 * 1024


def run_serve(model: str | Path | None = None, *, options: ServeOptions) -> None:
    """Serve a model until SIGTERM or SIGINT; requests in flight are finished first, a second signal exits immediately.

    Args:
        model: name of a bundled model, a file written by `mien export`, or None for the default.
        options: see `ServeOptions`.

    Raises:
        ArtifactError: the model does not exist or is unusable, or the report for prediction sets is not on it.
        ModelError: the detector's file is invalid.
        SourceError: the detector's file does not exist, the address cannot be bound, or the open-file limit is too low
            for the connections asked for.
    """
    limits = resolve_limits(options.settings, open_file_limit())
    onnx_model = OnnxModel.load(find_model(model))
    label_sets = options.sets.add_to(DecisionRule(), onnx_model).label_sets
    warn_if_trained_on_crops(onnx_model.info)
    file = find_detector_file(
        options.detector_path,
        fallback=f"{CASCADE_FALLBACK}, and the page can detect faces only through the server",
    )

    make_detector = partial(open_detector, file)
    make_detector()  # an invalid file fails here, not in the first request
    # Images are already spread over threads; OpenCV's own would compete with them.
    cv2.setNumThreads(1)
    app = ServeApp(
        onnx_model,
        options.settings,
        make_detector=make_detector,
        detector_file=file,
        label_sets=label_sets,
        access=Access(
            token=options.token,
            allow_origins=options.allow_origins,
            allowed_hosts=None
            if options.token
            else (options.host, socket.gethostname(), *options.allow_hosts),
            root_path=options.root_path,
            trusted_proxies=options.trusted_proxies,
        ),
    )
    if options.token is None and options.host not in _LOOPBACK:
        _log.warning(
            "Anyone who can reach %s can use this server: set MIEN_TOKEN to require a token", options.host
        )
    listener = bind_socket(options.host, options.port)
    host = f"[{options.host}]" if ":" in options.host else options.host
    address = f"Serving {model_name(onnx_model.path)} at http://{host}:{listener.getsockname()[1]}/"

    def announce() -> None:
        _log.info(DUTY_TO_INFORM)
        _log.info(address)

    Server(app, options.settings, limits, on_start=announce).run([listener])
    if app.is_busy:
        _log.warning(
            "Abandoning an image that is still being processed: only the end of the process can stop it"
        )
        sys.stderr.flush()
        os._exit(0)


def bind_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        SourceError: the port is taken, or the address does not belong to this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"Cannot listen on port {port} of {host}: {reason}. Choose another") from None
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        # Otherwise the system buffers megabytes of a response, and a slow reader looks like one that reads nothing.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
    # asyncio sets TCP_NODELAY only on sockets whose protocol is TCP; without it, small responses are delayed by 40 ms.
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=listener.detach())


class Server(uvicorn.Server):
    """uvicorn with timeouts for every connection, and a shutdown that finishes or fails every request in bounded time."""

    def __init__(
        self,
        app: ServeApp,
        settings: ServeSettings,
        limits: ConnectionLimits,
        *,
        on_start: Callable[[], None],
    ) -> None:
        limiter = ConnectionLimiter(limits)
        super().__init__(
            uvicorn.Config(
                app,
                http=make_protocol_class(TimedConnection, settings, limiter, app.metrics),
                ws=make_protocol_class(StreamConnection, settings, limiter, app.metrics),
                ws_max_size=settings.stream_bytes,
                # A few bytes could unfold to any number.
                ws_per_message_deflate=False,
                # uvloop accepts all pending connections at once, which would defeat the connection limits.
                loop="asyncio",
                lifespan="on",
                log_config=None,
                # uvicorn warns about all invalid HTTP, so that a client could fill the log.
                log_level="error",
                access_log=False,
                server_header=False,
                proxy_headers=False,  # `ProxyHeaders` reads them
                backlog=ACCEPTED_PER_TURN,
                timeout_keep_alive=settings.keep_alive_seconds,
                # A safety net: `shutdown` below comes first.
                timeout_graceful_shutdown=math.ceil(settings.stop_seconds) + 2,
            )
        )
        self._app, self._settings, self._on_start = app, settings, on_start
        self._drained_at: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening and call `on_start`."""
        await super().startup(sockets)
        for listener in sockets or []:
            # asyncio uses one number both for the backlog and for the connections accepted at once.
            listener.listen(_BACKLOG)
        self._on_start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's arguments
        """Begin to drain on the first signal, exit on the second."""
        if self._drained_at is not None:
            self.should_exit = self.force_exit = True
        self._app.drain()
        self._drained_at = time.monotonic() + self._settings.drain_seconds

    async def on_tick(self, counter: int) -> bool:
        """Close timed-out connections; exit when no request is in flight or the time is up."""
        self._close_timed_out()
        if self._drained_at is not None:
            elapsed = time.monotonic() - self._drained_at
            if elapsed >= self._settings.stop_seconds:
                self._app.abort_requests()
            if elapsed >= 0 and not self._app.n_in_flight:
                self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let clients finish reading their responses, within bounds."""

        async def close_connections() -> None:
            # Long enough for clients that are still sending to read that their request has failed.
            deadline = (self._drained_at or 0) + self._settings.stop_seconds + MAX_DRAIN_SECONDS + 0.5
            while time.monotonic() < deadline:
                self._close_timed_out(is_shutting_down=True)
                await asyncio.sleep(0.1)
            for connection in self._connections():
                connection.abort()

        closing = asyncio.create_task(close_connections())
        try:
            await super().shutdown(sockets)
        finally:
            closing.cancel()
        if self.force_exit:
            # uvicorn would cancel the remaining requests and log a traceback for each.
            self._app.abort_requests()
            for connection in self._connections():
                connection.abort()
            if self.server_state.tasks:
                await asyncio.wait(self.server_state.tasks, timeout=1)
            await self.lifespan.shutdown()

    def _close_timed_out(self, *, is_shutting_down: bool = False) -> None:
        for connection in self._connections():
            connection.close_if_timed_out(is_shutting_down=is_shutting_down)

    def _connections(self) -> list[TimedConnection | StreamConnection]:
        known = (TimedConnection, StreamConnection)
        return [one for one in self.server_state.connections if isinstance(one, known)]
