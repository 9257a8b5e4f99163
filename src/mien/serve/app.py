"""The whole server as one ASGI app, ready for any ASGI server."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

import mien
from mien.bundle import Bundle
from mien.faces.detector import Detector
from mien.serve.counters import Counters, CountRequests
from mien.serve.courtesy import BodyWhereDue, Courtesy
from mien.serve.gate import Access, Gate, KnownHosts, SecurityHeaders
from mien.serve.refusals import OneShape, add_refusals
from mien.serve.routes import health_routes, page_routes, reading_routes
from mien.serve.service import FaceService
from mien.serve.settings import ServeSettings

_ABOUT = """Faces read in pictures: expression, 68 landmarks, valence and arousal.

Every answer that is no success has one shape: `{"error": {"code", "message", "status"}}`. Uploaded pictures are held
in memory while they are read, and nowhere else.
"""


class ServeApp:
    """The server's ASGI app."""

    def __init__(
        self,
        bundle: Bundle,
        settings: ServeSettings | None = None,
        *,
        make_detector: Callable[[], Detector],
        detector_file: Path | None = None,
        access: Access | None = None,
    ) -> None:
        """Put the app together; the lifespan starts its threads.

        Args:
            bundle: the model.
            settings: the limits.
            make_detector: makes a face detector, once for each thread.
            detector_file: YuNet's file for the page, or None where there is none.
            access: who may use it, None for all.
        """
        self._bundle, self._settings = bundle, settings or ServeSettings()
        self._make_detector, self.counters = make_detector, Counters()
        self.api = FastAPI(
            title="mien",
            version=mien.__version__,
            description=_ABOUT,
            docs_url=None,
            redoc_url=None,
            lifespan=self._live,
        )
        add_refusals(self.api)
        self.api.include_router(reading_routes(bundle))
        self.api.include_router(health_routes(self.counters))
        self.api.include_router(page_routes(bundle, detector_file))
        self._asgi = self._wrapped(access or Access())

    def _wrapped(self, access: Access) -> ASGIApp:
        asgi: ASGIApp = self.api
        if access.token is not None:
            asgi = Gate(asgi, access.token)
        if access.allow_origins:
            asgi = CORSMiddleware(
                asgi,
                allow_origins=access.allow_origins,
                allow_methods=["GET", "POST"],
                allow_headers=["Authorization", "Content-Type"],
            )
        if access.known_hosts is not None:
            asgi = KnownHosts(asgi, access.known_hosts)
        asgi = CountRequests(BodyWhereDue(asgi), self.counters)
        return SecurityHeaders(OneShape(Courtesy(asgi, self._settings.body_bytes)))

    @asynccontextmanager
    async def _live(self, api: FastAPI) -> AsyncIterator[None]:
        service = FaceService(
            self._bundle, self._settings, make_detector=self._make_detector, counters=self.counters
        )
        api.state.service = service
        try:
            yield
        finally:
            await service.close()

    @property
    def n_in_hand(self) -> int:
        """Requests to read pictures that are not answered yet."""
        return self.api.state.service.n_in_hand if hasattr(self.api.state, "service") else 0

    @property
    def is_at_work(self) -> bool:
        """Whether a thread is at work that nothing can end but the end of the process."""
        return hasattr(self.api.state, "service") and self.api.state.service.is_at_work()

    def give_up(self) -> None:
        """Refuse what is in hand."""
        if hasattr(self.api.state, "service"):
            self.api.state.service.give_up()

    def stop_taking(self) -> None:
        """Refuse new work from now on; before the start there is none to refuse."""
        if hasattr(self.api.state, "service"):
            self.api.state.service.is_stopping = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self._asgi(scope, receive, send)
