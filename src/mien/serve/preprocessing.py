"""From image bytes to face crops, in worker threads that each have their own detector."""

import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mien.faces.detector import CloseUpDetector, DetectedFace, Detector, SelectiveDetector
from mien.faces.file_signatures import identify_format
from mien.formats.onnx_model import ModelInfo
from mien.inference.pipeline import CroppedImage, preprocess_bytes, take_given
from mien.serve.schemas import PredictQuery
from mien.serve.settings import ServeSettings
from mien.serve.uploads import Upload
from mien.serve.worker_threads import Workers

# Only the formats of cameras and browsers. Left out are formats whose decoders are slow, such as Pillow's for PPM and
# packed BMP, or print to standard error, such as libtiff.
FORMATS = {"JPEG": b"\xff\xd8", "PNG": b"\x89PNG", "WebP": b"RIFF", "GIF": b"GIF8"}


class _LargestFaces:
    """Wraps a detector to return only the largest faces of an image and count the others."""

    def __init__(self, detector: Detector, limit: int) -> None:
        self.detector, self.limit, self.n_skipped = detector, limit, 0

    def find_faces(self, image_rgb: NDArray[np.uint8]) -> list[DetectedFace]:
        faces = self.detector.find_faces(image_rgb)
        self.n_skipped = max(0, len(faces) - self.limit)
        return faces[: self.limit]

    def fills_image(self, image_rgb: NDArray[np.uint8]) -> bool:
        return isinstance(self.detector, CloseUpDetector) and self.detector.fills_image(image_rgb)


class Preprocessor:
    """Decodes images and crops their faces, off the event loop."""

    def __init__(
        self, info: ModelInfo, settings: ServeSettings, make_detector: Callable[[], SelectiveDetector]
    ) -> None:
        """Create the threads; each creates its detector on first use."""
        self._info, self._settings, self._make_detector = info, settings, make_detector
        self._thread_local = threading.local()
        self.workers = Workers(settings.threads, "mien-preprocess")

    async def crop_faces(self, upload: Upload, query: PredictQuery) -> tuple[CroppedImage, int]:
        """Return an image's face crops, and how many faces were skipped because they exceed the limit."""
        return await self.workers.run(self._crop_faces, upload, query)

    def _crop_faces(self, upload: Upload, query: PredictQuery) -> tuple[CroppedImage, int]:
        if upload.data and not upload.data.startswith(tuple(FORMATS.values())):
            name = identify_format(upload.data)
            detail = f"{name or f'begins with {upload.data[:16]!r}'}; supported formats: {', '.join(FORMATS)}"
            return CroppedImage(upload.source, (), problem=("not_an_image", detail)), 0
        finder: Detector | None = None
        limited: _LargestFaces | None = None
        if query.crop == "detect":
            if not hasattr(self._thread_local, "detector"):
                self._thread_local.detector = self._make_detector()
            detector: SelectiveDetector = self._thread_local.detector
            if query.min_face_px:
                detector = detector.with_min_face_px(query.min_face_px)
            finder = limited = _LargestFaces(detector, self._settings.faces)
        if upload.faces is not None:
            finder, limited = take_given(upload.faces, self._info, self._thread_local.detector), None
        image = preprocess_bytes(
            upload.source,
            upload.data,
            self._info,
            detector=finder,
            max_pixels=self._settings.image_pixels,
        )
        return image, 0 if limited is None else limited.n_skipped
