"""From a picture's bytes to cut faces, in a few threads that each have a detector of their own."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mien.bundle import BundleInfo
from mien.cores import usable_cores
from mien.faces.detector import DetectedFace, Detector
from mien.reading.recognise import CutPicture, cut_encoded
from mien.serve.settings import ServeSettings
from mien.serve.uploads import Upload
from mien.serve.workers import Workers

CropWay = Literal["detect", "whole"]
# What is read here: photographs as cameras and browsers have them, and nothing whose reader is slow, as Pillow's is for
# PPM and for packed BMP, or talks to standard error, as libtiff does.
FORMATS = {"JPEG": b"\xff\xd8", "PNG": b"\x89PNG", "WebP": b"RIFF", "GIF": b"GIF8"}


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
        self.workers = Workers(settings.threads or usable_cores(), "mien-cut")

    async def cut(self, upload: Upload, crop: CropWay) -> tuple[CutPicture, int]:
        """Return a picture's cut faces, and how many more it has than are read."""
        return await self.workers.run(self._cut, upload, crop)

    def _cut(self, upload: Upload, crop: CropWay) -> tuple[CutPicture, int]:
        if upload.data and not upload.data.startswith(tuple(FORMATS.values())):
            detail = f"begins with {upload.data[:16]!r}; {', '.join(FORMATS)} are read here"
            return CutPicture(upload.source, (), problem=("not_an_image", detail)), 0
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
