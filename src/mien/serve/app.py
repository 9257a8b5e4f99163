"""The complete server as an ASGI app, for any ASGI server."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Security
from fastapi.security import HTTPBearer
from starlette.types import ASGIApp, Receive, Scope, Send

import mien
from mien.faces.detector import SelectiveDetector
from mien.formats.onnx_model import OnnxModel
from mien.inference.label_sets import LabelSets
from mien.runtime.cpu import usable_cpu_cores
from mien.runtime.memory import usable_memory_bytes
from mien.serve.api_errors import UniformErrors, add_error_handlers
from mien.serve.authentication import Access, AllowedHosts, BearerAuth, SecurityHeaders
from mien.serve.body_drain import BodyDrain, RejectUnexpectedBody
from mien.serve.cors import CrossOrigin, OwnOrigin
from mien.serve.memory_budget import fit_to_memory
from mien.serve.metrics import MeasureRequests, Metrics
from mien.serve.proxies import ProxyHeaders
from mien.serve.routes import answer_head, monitoring_routes, page_routes, prediction_routes, stream_routes
from mien.serve.service import FaceService
from mien.serve.settings import ServeSettings

_DESCRIPTION = """Facial-expression recognition: the expression of every face of an image and, as far as the model predicts them, 68
landmarks, valence, arousal and action units.

All errors have the same format: `{"error": {"code", "message", "status"}}`. Uploaded images are kept in memory while they
are processed and are never stored.
"""


class ServeApp:
    """The server's ASGI app."""

    def __init__(
        self,
        model: OnnxModel,
        settings: ServeSettings | None = None,
        *,
        make_detector: Callable[[], SelectiveDetector],
        detector_file: Path | None = None,
        label_sets: LabelSets | None = None,
        access: Access | None = None,
    ) -> None:
        """Assemble the app; its lifespan starts the threads.

        Args:
            model: loaded model.
            settings: limits and timeouts, None for the defaults.
            make_detector: creates a face detector, called once per thread.
            detector_file: YuNet's file for the page, None if there is none.
            label_sets: which classes each face of an image may have; None for no sets.
            access: access control, None for an open server.
        """
        self.metrics = Metrics()
        self.service: FaceService | None = None
        access = access or Access()
        settings = fit_to_memory(settings or ServeSettings(), usable_cpu_cores(), usable_memory_bytes())

        @asynccontextmanager
        async def lifespan(api: FastAPI) -> AsyncIterator[None]:
            service = FaceService(model, settings, make_detector=make_detector, metrics=self.metrics)
            self.service = api.state.service = service
            try:
                yield
            finally:
                await service.close()

        self.api = FastAPI(
            title="mien",
            version=mien.__version__,
            description=_DESCRIPTION,
            docs_url=None,
            redoc_url=None,
            lifespan=lifespan,
        )
        add_error_handlers(self.api)
        # For the API reference and generated clients; `BearerAuth` below is what checks it.
        bearer = [] if access.token is None else [Security(HTTPBearer(auto_error=False))]
        self.api.include_router(answer_head(prediction_routes(model, detector_file, label_sets, bearer)))
        self.api.include_router(answer_head(stream_routes(model, self.metrics, bearer)))
        self.api.include_router(answer_head(monitoring_routes(self.metrics, bearer)))
        self.api.include_router(page_routes(model, detector_file))
        asgi: ASGIApp = self.api
        if access.token is not None:
            asgi = BearerAuth(asgi, access.token)
        if access.allowed_hosts is not None:
            asgi = AllowedHosts(asgi, access.allowed_hosts)
        asgi = OwnOrigin(RejectUnexpectedBody(asgi), access.allow_origins)
        if access.allow_origins:
            asgi = CrossOrigin(asgi, access.allow_origins)
        asgi = UniformErrors(BodyDrain(MeasureRequests(asgi, self.metrics), settings.body_bytes))
        self._asgi = ProxyHeaders(SecurityHeaders(asgi), access.root_path, access.trusted_proxies)

    @property
    def n_in_flight(self) -> int:
        """Prediction requests in flight."""
        return 0 if self.service is None else self.service.n_in_flight

    @property
    def is_busy(self) -> bool:
        """Whether a thread is running a task, which only the end of the process can interrupt."""
        return self.service is not None and self.service.is_busy()

    def abort_requests(self) -> None:
        """Fail all requests in flight with 503."""
        if self.service is not None:
            self.service.abort_requests()

    def drain(self) -> None:
        """Reject new work from now on; does nothing before startup."""
        if self.service is not None:
            self.service.is_stopping = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        await self._asgi(scope, receive, send)
