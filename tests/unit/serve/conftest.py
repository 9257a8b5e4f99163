"""A server of the tiny model, in the test's own process."""

import io
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

pytest.importorskip("fastapi", reason="serving needs the serve extra")

import httpx2

from mien.bundle import Bundle
from mien.faces.detector import DetectedFace, Detector
from mien.serve.app import ServeApp
from mien.serve.gate import Access
from mien.serve.settings import ServeSettings

GREEN = (0, 255, 0)


def green_square(side: int = 60) -> NDArray[np.uint8]:
    pixels = np.full((120, 200, 3), 100, np.uint8)
    pixels[20 : 20 + side, 30 : 30 + side] = GREEN
    return pixels


@pytest.fixture(scope="session")
def png() -> bytes:
    """A picture with one green, hence Happy, face."""
    data = io.BytesIO()
    Image.fromarray(green_square()).save(data, "PNG")
    return data.getvalue()


@pytest.fixture(scope="session")
def bundle(model_path: Path) -> Bundle:
    """The tiny model, loaded."""
    return Bundle.load(model_path, threads=1)


class HeldDetector:
    """A detector that is at it until it is released."""

    def __init__(self, inner: Detector) -> None:
        self.inner = inner
        self.is_at_it, self.release = threading.Event(), threading.Event()

    def find_faces(self, image_rgb: NDArray[np.uint8]) -> list[DetectedFace]:
        """Wait, then find."""
        self.is_at_it.set()
        assert self.release.wait(20), "the test never released the detector"
        return self.inner.find_faces(image_rgb)


@pytest.fixture
def held_detector(detector: Detector) -> HeldDetector:
    """A detector that the test releases."""
    return HeldDetector(detector)


@pytest.fixture
def make_app(bundle: Bundle, detector: Detector) -> Callable[..., ServeApp]:
    """Return a function that makes an app; settings are given by name."""

    def make(
        *,
        finder: Detector | None = None,
        token: str | None = None,
        allow_origins: tuple[str, ...] = (),
        known_hosts: tuple[str, ...] | None = None,
        detector_file: Path | None = None,
        model: Bundle | None = None,
        **settings: float,
    ) -> ServeApp:
        return ServeApp(
            model or bundle,
            ServeSettings(**settings),
            make_detector=lambda: finder or detector,
            detector_file=detector_file,
            access=Access(token=token, allow_origins=allow_origins, known_hosts=known_hosts),
        )

    return make


@pytest.fixture
def running() -> Callable[..., object]:
    """Return a context in which an app runs in this event loop, and a client asks it."""

    @asynccontextmanager
    async def run(app: ServeApp) -> AsyncIterator[httpx2.AsyncClient]:
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.api.router.lifespan_context(app.api),
            httpx2.AsyncClient(transport=transport, base_url="http://mien", timeout=30) as client,
        ):
            yield client

    return run
