"""The verb `serve`: the process that listens, and stops without leaving work half done."""

import asyncio
import math
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import cv2
import uvicorn

from mien.bundle import Bundle
from mien.errors import SourceError
from mien.faces.detector import (
    CASCADE_INSTEAD,
    CascadeDetector,
    Detector,
    YuNetDetector,
    find_detector_file,
)
from mien.reading.recognise import say_how_faces_are_cut
from mien.serve.app import ServeApp
from mien.serve.connections import PatientConnection, connections_with_patience
from mien.serve.courtesy import MAX_SECONDS as REST_SECONDS
from mien.serve.crowd import ACCEPTED_AT_ONCE, Crowd, CrowdLimits, crowd_limits, open_files_limit
from mien.serve.gate import Access
from mien.serve.settings import ServeSettings
from mien.zoo import find_model, model_name

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
# Connections that wait to be accepted; beyond them the system lets clients try again.
_BACKLOG = 2048
_UNSENT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """Where to listen, and to whom.

    Attributes:
        host: address to listen at.
        port: 0 takes any that is free.
        detector_path: YuNet's file, or None to look where `mien.faces.detector` says.
        token: that clients must have, or None where all are let in.
        allow_origins: other sites whose pages may use the API.
        allow_hosts: names by which the server is reached, besides addresses, localhost and the machine's own; ``*``
            for any. With a token any is taken.
        settings: the limits.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    detector_path: Path | None = None
    token: str | None = field(default=None, repr=False)
    allow_origins: Sequence[str] = ()
    allow_hosts: Sequence[str] = ()
    settings: ServeSettings = field(default_factory=ServeSettings)


def run_serve(
    model: str | Path | None = None, *, options: ServeOptions, announce: Callable[[str], None]
) -> None:
    """Serve a model until SIGTERM or SIGINT; what was accepted is answered first, a second signal ends it at once.

    Args:
        model: the name of a model in the box, a file that `mien export` wrote, or None for the default.
        options: see `ServeOptions`.
        announce: is told in one line each what a person should know, and where it listens.

    Raises:
        ArtifactError: there is no such model, or it cannot be used.
        ModelError: the detector's file is not one.
        SourceError: the detector's file does not exist, the address cannot be listened at, or there may be too few
            open files for the connections asked for.
    """
    limits = crowd_limits(options.settings, open_files_limit())
    bundle = Bundle.load(find_model(model))
    say_how_faces_are_cut(bundle.info, announce)
    file = find_detector_file(
        options.detector_path,
        announce=announce,
        otherwise=f"{CASCADE_INSTEAD}, and the page finds faces by the server alone",
    )

    def make_detector() -> Detector:
        return CascadeDetector() if file is None else YuNetDetector(file)

    make_detector()
    # The pictures are dealt to threads; OpenCV's own would only be in their way.
    cv2.setNumThreads(1)
    app = ServeApp(
        bundle,
        options.settings,
        make_detector=make_detector,
        detector_file=file,
        access=Access(
            token=options.token,
            allow_origins=options.allow_origins,
            known_hosts=None if options.token else (options.host, socket.gethostname(), *options.allow_hosts),
        ),
    )
    if options.token is None and options.host not in _LOOPBACK:
        announce(
            f"Whoever reaches {options.host} can use this server: set MIEN_TOKEN to let in who has a token"
        )
    listener = _listen(options.host, options.port)
    host = f"[{options.host}]" if ":" in options.host else options.host
    where = f"Serving {model_name(bundle.path)} at http://{host}:{listener.getsockname()[1]}/"
    Server(app, options.settings, limits, on_start=lambda: announce(where)).run([listener])
    if app.is_at_work:
        announce(
            "A picture is still worked at, and is given up: nothing can end it but the end of the process"
        )
        sys.stderr.flush()
        os._exit(0)


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        SourceError: the address is taken, or none of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"Port {port} of {host} cannot be listened at: {reason}. Choose another") from None
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        # Else megabytes of an answer wait in the system, and a client that takes them slowly seems to take nothing.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
    # asyncio sends at once (TCP_NODELAY) only on sockets that say they are TCP; others wait 40 ms for the client's word.
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=listener.detach())


class Server(uvicorn.Server):
    """uvicorn, but every connection is looked after, and a signal is followed by words, work done, and an end in time."""

    def __init__(
        self, app: ServeApp, settings: ServeSettings, limits: CrowdLimits, *, on_start: Callable[[], None]
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=connections_with_patience(settings, Crowd(limits), app.counters),
                # uvloop accepts all that wait at once, which the limits of connections do not allow for.
                loop="asyncio",
                ws="none",
                lifespan="on",
                log_config=None,
                # uvicorn warns of whatever is no HTTP: a client could fill the log.
                log_level="error",
                access_log=False,
                server_header=False,
                backlog=ACCEPTED_AT_ONCE,
                timeout_keep_alive=settings.keep_alive_seconds,
                # `shutdown` comes first; this is for what it does not think of.
                timeout_graceful_shutdown=math.ceil(settings.stop_seconds) + 2,
            )
        )
        self._app, self._settings, self._on_start = app, settings, on_start
        self._stops_at: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        for listener in sockets or []:
            # asyncio has but one number for how many wait and how many are accepted at once.
            listener.listen(_BACKLOG)
        self._on_start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's arguments
        """Begin to stop; at the second signal, end."""
        if self._stops_at is not None:
            self.should_exit = self.force_exit = True
        self._app.stop_taking()
        self._stops_at = time.monotonic() + self._settings.drain_seconds

    async def on_tick(self, counter: int) -> bool:
        """Look after the connections; end when there is nothing left to do, or no time."""
        self._end_overdue()
        if self._stops_at is not None:
            late = time.monotonic() - self._stops_at
            if late >= self._settings.stop_seconds:
                self._app.give_up()
            if late >= 0 and not self._app.n_in_hand:
                self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let clients take their answers, as long as they do and there is time."""
        sweeping = asyncio.create_task(self._sweep_to_the_end())
        try:
            await super().shutdown(sockets)
        finally:
            sweeping.cancel()
        if self.force_exit:
            # uvicorn would cancel all that is left, and write a traceback for each.
            self._app.give_up()
            for connection in self._connections():
                connection.abort()
            if self.server_state.tasks:
                await asyncio.wait(self.server_state.tasks, timeout=1)
            await self.lifespan.shutdown()

    async def _sweep_to_the_end(self) -> None:
        # Those who are refused in the end, while they still send, get to read it.
        deadline = (self._stops_at or 0) + self._settings.stop_seconds + REST_SECONDS + 0.5
        while time.monotonic() < deadline:
            self._end_overdue(is_stopping=True)
            await asyncio.sleep(0.1)
        for connection in self._connections():
            connection.abort()

    def _end_overdue(self, *, is_stopping: bool = False) -> None:
        for connection in self._connections():
            connection.end_if_overdue(is_stopping=is_stopping)

    def _connections(self) -> list[PatientConnection]:
        return [one for one in self.server_state.connections if isinstance(one, PatientConnection)]
