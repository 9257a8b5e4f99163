"""The verb `serve`: the process that listens, and stops without leaving work half done."""

import math
import socket
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
from mien.serve.connections import connections_with_patience
from mien.serve.settings import ServeSettings
from mien.zoo import find_model, model_name

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """Where to listen, and to whom.

    Attributes:
        host: address to listen at.
        port: 0 takes any that is free.
        detector_path: YuNet's file, or None to look where `mien.faces.detector` says.
        token: that clients must have, or None where all are let in.
        allow_origins: other sites whose pages may use the API.
        settings: the limits.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    detector_path: Path | None = None
    token: str | None = field(default=None, repr=False)
    allow_origins: Sequence[str] = ()
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
        SourceError: the detector's file does not exist, or the address cannot be listened at.
    """
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
        token=options.token,
        allow_origins=options.allow_origins,
    )
    if options.token is None and options.host not in _LOOPBACK:
        announce(
            f"Whoever reaches {options.host} can use this server: set MIEN_TOKEN to let in who has a token"
        )
    listener = _listen(options.host, options.port)
    host = f"[{options.host}]" if ":" in options.host else options.host
    where = f"Serving {model_name(bundle.path)} at http://{host}:{listener.getsockname()[1]}/"
    _Server(app, options.settings, on_start=lambda: announce(where)).run([listener])


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        SourceError: the address is taken, or none of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"Port {port} of {host} cannot be listened at: {reason}. Choose another") from None
    # asyncio sends at once (TCP_NODELAY) only on sockets that say they are TCP; others wait 40 ms for the client's word.
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=listener.detach())


class _Server(uvicorn.Server):
    """uvicorn, but with a time between the signal and the end in which new work is refused in words."""

    def __init__(self, app: ServeApp, settings: ServeSettings, *, on_start: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=connections_with_patience(settings.head_seconds),
                ws="none",
                lifespan="on",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_keep_alive=settings.keep_alive_seconds,
                timeout_graceful_shutdown=math.ceil(settings.request_seconds),
            )
        )
        self._app, self._drain_seconds, self._on_start = app, settings.drain_seconds, on_start
        self._may_end_at: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self._on_start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's arguments
        """Begin to stop; at the second signal, end."""
        if self._may_end_at is not None:
            self.should_exit = self.force_exit = True
        self._app.stop_taking()
        self._may_end_at = time.monotonic() + self._drain_seconds

    async def on_tick(self, counter: int) -> bool:
        """End when there is nothing left to do."""
        if self._may_end_at is not None and time.monotonic() >= self._may_end_at and not self._app.n_in_hand:
            self.should_exit = True
        return await super().on_tick(counter)
