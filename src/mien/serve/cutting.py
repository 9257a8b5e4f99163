"""From a picture's bytes to cut faces, in a few threads that each have a detector of their own."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from mien.bundle import BundleInfo
from mien.cores import usable_cores
from mien.faces.detector import DetectedFace, Detector
from mien.reading.recognise import CutPicture, cut_encoded
from mien.serve.settings import ServeSettings
from mien.serve.uploads import Upload

CropWay = Literal["detect", "whole"]
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class _LargestFaces:
    """Finds no more than so many faces of a picture, and counts the others."""

    detector: Detector
    limit: int
    n_left_out: int = 0

    def find_faces(self, image_rgb: NDArray[np.uint8]) -> list[DetectedFace]:
        faces = self.detector.find_faces(image_rgb)
        self.n_left_out = max(0, len(faces) - self.limit)
        return faces[: self.limit]


class Cutter:
    """Decodes pictures and cuts their faces, off the event loop."""

    def __init__(
        self, info: BundleInfo, settings: ServeSettings, make_detector: Callable[[], Detector]
    ) -> None:
        """Make the threads; each makes its detector when it first needs one."""
        self._info, self._settings, self._make_detector = info, settings, make_detector
        self._own = threading.local()
        self._threads = ThreadPoolExecutor(settings.threads or usable_cores(), "mien-cut")

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a piece of work in one of the threads; one that nobody waits for any more does not begin."""
        future = self._threads.submit(work, *args, **kwargs)
        return await asyncio.wrap_future(future)

    async def cut(self, upload: Upload, crop: CropWay) -> tuple[CutPicture, int]:
        """Return a picture's cut faces, and how many more it has than are read."""
        return await self.run(self._cut, upload, crop)

    def _cut(self, upload: Upload, crop: CropWay) -> tuple[CutPicture, int]:
        detector = _LargestFaces(self._detector(), self._settings.faces) if crop == "detect" else None
        picture = cut_encoded(
            upload.source,
            upload.data,
            self._info,
            detector=detector,
            max_pixels=self._settings.image_pixels,
        )
        return picture, 0 if detector is None else detector.n_left_out

    def _detector(self) -> Detector:
        if not hasattr(self._own, "detector"):
            self._own.detector = self._make_detector()
        detector: Detector = self._own.detector
        return detector

    def close(self) -> None:
        """Let the threads end when they have done what they are at."""
        self._threads.shutdown(wait=False, cancel_futures=True)
