"""Fixtures: a server of the tiny model in the test's process."""

import io
import math
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

from mien.bench.stage import DRAWN_IMAGE, read_image
from mien.faces.detector import DetectedFace, Detector
from mien.formats.onnx_model import OnnxModel
from mien.inference.label_sets import LabelSets
from mien.serve.app import ServeApp
from mien.serve.authentication import Access
from mien.serve.settings import ServeSettings

GREEN = (0, 255, 0)
CLASSES = ("Neutral", "Happy", "Sad")


def green_square(side: int = 60) -> NDArray[np.uint8]:
    pixels = np.full((120, 200, 3), 100, np.uint8)
    pixels[20 : 20 + side, 30 : 30 + side] = GREEN
    return pixels


@pytest.fixture(scope="session")
def png() -> bytes:
    """An image with one green face, which the tiny model takes for Happy."""
    data = io.BytesIO()
    Image.fromarray(green_square()).save(data, "PNG")
    return data.getvalue()


@pytest.fixture(scope="session")
def two_faces() -> bytes:
    """A photograph of a large and a small drawn face."""
    face = Image.fromarray(read_image(DRAWN_IMAGE))
    photo = Image.new("RGB", (2 * face.width, face.height), (110, 110, 110))
    photo.paste(face, (0, 0))
    photo.paste(face.resize((face.width // 2, face.height // 2)), (face.width + 20, 20))
    data = io.BytesIO()
    photo.reduce(2).save(data, "PNG")
    return data.getvalue()


@pytest.fixture(scope="session")
def model(model_path: Path) -> OnnxModel:
    """The tiny model."""
    return OnnxModel.load(model_path, threads=1)


class BlockingDetector:
    """A detector that blocks until it is released."""

    def __init__(self, inner: Detector) -> None:
        self.inner = inner
        self.is_running, self.release = threading.Event(), threading.Event()

    def find_faces(self, image_rgb: NDArray[np.uint8]) -> list[DetectedFace]:
        """Wait for the release, then detect."""
        self.is_running.set()
        assert self.release.wait(20), "the test never released the detector"
        return self.inner.find_faces(image_rgb)


@pytest.fixture
def blocking_detector(detector: Detector) -> BlockingDetector:
    """A detector that blocks until the test releases it."""
    return BlockingDetector(detector)


@pytest.fixture
def make_app(model: OnnxModel, detector: Detector) -> Callable[..., ServeApp]:
    """Return a function that creates an app; settings are keyword arguments."""

    def make(
        *,
        app_detector: Detector | None = None,
        token: str | None = None,
        allow_origins: tuple[str, ...] = (),
        allowed_hosts: tuple[str, ...] | None = None,
        root_path: str = "",
        trusted_proxies: tuple[str, ...] = (),
        detector_file: Path | None = None,
        app_model: OnnxModel | None = None,
        label_sets: LabelSets | None = None,
        **settings: float,
    ) -> ServeApp:
        return ServeApp(
            app_model or model,
            ServeSettings(**settings),
            make_detector=lambda: app_detector or detector,
            detector_file=detector_file,
            label_sets=label_sets,
            access=Access(
                token=token,
                allow_origins=allow_origins,
                allowed_hosts=allowed_hosts,
                root_path=root_path,
                trusted_proxies=trusted_proxies,
            ),
        )

    return make


@pytest.fixture(scope="session")
def label_sets() -> LabelSets:
    """Sets that have Neutral from a probability of 0.4 on, Happy from 0.5, and Sad always."""
    return LabelSets(0.9, CLASSES, (0.6, 0.5, math.inf), (20, 20, 3))


@pytest.fixture
def running() -> Callable[..., object]:
    """Return a context manager that runs an app in this event loop and yields a client."""

    @asynccontextmanager
    async def run(app: ServeApp) -> AsyncIterator[httpx2.AsyncClient]:
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.api.router.lifespan_context(app.api),
            httpx2.AsyncClient(transport=transport, base_url="http://mien", timeout=30) as client,
        ):
            yield client

    return run
