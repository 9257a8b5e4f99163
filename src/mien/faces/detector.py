"""Finding faces in an image: with YuNet, or with OpenCV's cascade if YuNet's file is not available.

`mien.faces.detector_file` says where the file comes from, `mien.faces.yunet` runs the network.

Convention: boxes ``xyxy`` in pixels of the image, x right, y down; they may extend beyond the image's edge.
"""

import hashlib
import math
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mien.errors import ModelError
from mien.faces.boxes import area_xyxy, intersection_xyxy
from mien.faces.detector_file import YUNET_NAME, find_detector_file, how_to_get_yunet, read_detector_file
from mien.faces.images import to_rgb
from mien.faces.yunet import YuNet

CASCADE_PATH = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_alt2.xml"
# At this score threshold 588 of 600 FER+ faces (48x48) and 100 of 100 LFW faces are found, and nothing in 150 patches
# of background.
SCORE_THRESHOLD = 0.7
# YuNet was trained on faces of 10 to 300 pixels.
LARGEST_SIDE = 300
# A face that fills the image is found at this size, with a border.
CLOSE_UP_SIDE = 320
CLOSE_UP_BORDER = 0.1
# Faces of at least this many pixels are found reliably: of 60 LFW faces 59 at 77 pixels, 55 at 64 and 50 at 51.
SURE_SIDE = 80
# A second pass looks for small faces in large images, at this size at most: in an image of 3000 pixels it finds
# faces of about 100 pixels (at 1024: 110; at 1600: 70, for 1.5 times the time).
FINE_SIDE = 1280
# Smaller images are padded: YuNet has no cells for them.
MIN_SIDE = 64
# Two boxes show the same face above this intersection over union, or over the smaller box.
SAME_FACE_IOU = 0.4
SAME_FACE_COVER = 0.7


@dataclass(frozen=True, slots=True, eq=False)
class DetectedFace:
    """A face found in an image.

    Attributes:
        box_xyxy: ``(4,)`` float64.
        score: the detector's confidence in [0, 1], or None if it has none.
        points: ``(5, 2)`` float64: left eye, right eye, nose, left and right mouth corner, left and right as seen in
            the image; or None.
    """

    box_xyxy: NDArray[np.float64]
    score: float | None
    points: NDArray[np.float64] | None

    @property
    def anchors(self) -> NDArray[np.float64] | None:
        """The ``(4, 2)`` points of an aligned crop, in the order of `landmarks.anchors_from_landmarks`."""
        return None if self.points is None else self.points[[0, 1, 3, 4]]

    @property
    def area(self) -> float:
        """Area of the box in pixels."""
        return float(area_xyxy(self.box_xyxy))


class Detector(Protocol):
    """Anything that finds faces."""

    def find_faces(self, image_rgb: NDArray[np.uint8]) -> list[DetectedFace]:
        """Return the faces in an image, largest first.

        Args:
            image_rgb: ``(H, W, 3)`` RGB or ``(H, W)`` grayscale uint8.
        """


@runtime_checkable
class QuickDetector(Detector, Protocol):
    """A detector that can also search for faces of a known size only, in less time."""

    def find_faces_like(
        self, image_rgb: NDArray[np.uint8], *, smallest: float, largest: float
    ) -> list[DetectedFace]:
        """Return at least the faces whose longer side is in a range of pixels, largest first."""


class YuNetDetector:
    """YuNet (Wu et al. 2023, https://doi.org/10.1007/s11633-023-1423-y), run at two scales of the image."""

    def __init__(self, path: Path) -> None:
        """Load the network.

        Raises:
            SourceError: the file cannot be read.
            ModelError: it is not YuNet.
        """
        self._data = read_detector_file(path)
        try:
            self._network = YuNet(self._data)
        except ValueError as error:
            raise ModelError(f"{path} is not the YuNet face detector: {error}. Use {YUNET_NAME}") from None

    def __getstate__(self) -> dict[str, bytes]:
        """Return the file's bytes: a session cannot be pickled."""
        return {"data": self._data}

    def __setstate__(self, state: dict[str, bytes]) -> None:
        """Load the network again."""
        self._data = state["data"]
        self._network = YuNet(self._data)

    def find_faces(self, image_rgb: NDArray[np.uint8]) -> list[DetectedFace]:
        """Return the faces in an image, largest first. See `Detector`."""
        image_bgr = _to_bgr(image_rgb)
        faces = self._find_close_up(image_bgr)
        longer = max(image_bgr.shape[:2])
        fine = min(1.0, FINE_SIDE / longer)
        if fine > 1.5 * _close_up_scale(longer):
            faces += self._find_at(image_bgr, fine, border=0)
        return _largest_first(_without_repeats(faces))

    def find_faces_like(
        self, image_rgb: NDArray[np.uint8], *, smallest: float, largest: float
    ) -> list[DetectedFace]:
        """Run once at the scale that suits these faces, or twice if no single scale does. See `QuickDetector`."""
        longer = max(image_rgb.shape[:2])
        # In steps of a square root of two: the network is laid out again for each size.
        wanted = 2 ** (math.ceil(2 * math.log2(SURE_SIDE / max(1.0, smallest))) / 2)
        scale = min(wanted, 1.0, FINE_SIDE / longer)
        if scale <= _close_up_scale(longer):
            return _largest_first(_without_repeats(self._find_close_up(_to_bgr(image_rgb))))
        if largest * scale > LARGEST_SIDE:
            return self.find_faces(image_rgb)
        return _largest_first(_without_repeats(self._find_at(_to_bgr(image_rgb), scale, border=0)))

    def _find_close_up(self, image_bgr: NDArray[np.uint8]) -> list[DetectedFace]:
        longer = max(image_bgr.shape[:2])
        scale = _close_up_scale(longer)
        return self._find_at(image_bgr, scale, border=round(longer * CLOSE_UP_BORDER * scale))

    def _find_at(self, image_bgr: NDArray[np.uint8], scale: float, *, border: int) -> list[DetectedFace]:
        height, width = image_bgr.shape[:2]
        size_wh = max(1, round(width * scale)), max(1, round(height * scale))
        scaled = cv2.resize(
            image_bgr, size_wh, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        )
        right, bottom = (border + max(0, MIN_SIDE - side - 2 * border) for side in size_wh)
        if right or bottom:
            scaled = cv2.copyMakeBorder(scaled, border, bottom, border, right, cv2.BORDER_CONSTANT)
        rows = self._network.detect(np.asarray(scaled, dtype=np.uint8), score_threshold=SCORE_THRESHOLD)
        to_image = np.array([width / size_wh[0], height / size_wh[1]])
        faces = []
        for row in rows:
            x, y, w, h = (float(value) for value in row[:4])
            corners = (np.array([[x, y], [x + w, y + h]]) - border) * to_image
            points = (row[4:14].reshape(5, 2).astype(np.float64) - border) * to_image
            faces.append(DetectedFace(corners.reshape(4), min(1.0, float(row[14])), points))
        return faces


def _to_bgr(image_rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(to_rgb(image_rgb), cv2.COLOR_RGB2BGR), dtype=np.uint8)


def _close_up_scale(longer_side: int) -> float:
    return CLOSE_UP_SIDE / (longer_side * (1 + 2 * CLOSE_UP_BORDER))


class CascadeDetector:
    """OpenCV's bundled frontal-face cascade: no points, no score, and misses turned and covered faces.

    It can be used from several threads at once.
    """

    def __init__(self) -> None:
        """Load the cascade.

        Raises:
            ModelError: this build of OpenCV has none.
        """
        # OpenCV's classifier stores the image in itself: each call takes one that no other call is using.
        self._free = deque([_load_cascade()])

    def __reduce__(self) -> tuple[type["CascadeDetector"], tuple[()]]:
        """Load the cascade again: OpenCV's classifier cannot be pickled."""
        return CascadeDetector, ()

    def find_faces(self, image_rgb: NDArray[np.uint8]) -> list[DetectedFace]:
        """Return the faces in an image, largest first. See `Detector`."""
        gray = image_rgb if image_rgb.ndim == 2 else cv2.cvtColor(image_rgb, cv2.COLOR_RGB2GRAY)
        scale = min(1.0, FINE_SIDE / max(gray.shape))
        if scale < 1:
            gray = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        try:
            cascade = self._free.pop()
        except IndexError:
            cascade = _load_cascade()
        boxes = cascade.detectMultiScale(cv2.equalizeHist(gray), scaleFactor=1.1, minNeighbors=4)
        self._free.append(cascade)
        return _largest_first(
            [DetectedFace(np.array([x, y, x + w, y + h]) / scale, None, None) for x, y, w, h in boxes]
        )


def _load_cascade() -> Any:
    """Return OpenCV's classifier.

    Raises:
        ModelError: this build of OpenCV has none.
    """
    cascade = cv2.CascadeClassifier(str(CASCADE_PATH))
    if cascade.empty():
        raise ModelError(f"OpenCV's cascade {CASCADE_PATH} cannot be loaded. {how_to_get_yunet()}")
    return cascade


def _without_repeats(faces: list[DetectedFace]) -> list[DetectedFace]:
    """Keep the highest-scoring of boxes that show the same face, such as those of the two passes."""
    kept: list[DetectedFace] = []
    for face in sorted(faces, key=lambda face: -(face.score or 0.0)):
        for other in kept:
            shared = float(intersection_xyxy(face.box_xyxy, other.box_xyxy))
            union = face.area + other.area - shared
            if shared > SAME_FACE_IOU * union or shared > SAME_FACE_COVER * min(face.area, other.area):
                break
        else:
            kept.append(face)
    return kept


def _largest_first(faces: list[DetectedFace]) -> list[DetectedFace]:
    return sorted(faces, key=lambda face: (-face.area, *face.box_xyxy))


def load_detector(path: Path | None = None) -> Detector:
    """Return YuNet, or the cascade if YuNet's file is not available.

    Args:
        path: YuNet's file, or None to look for it as `find_detector_file` does.

    Raises:
        SourceError: a file that was named does not exist or cannot be read.
        ModelError: it is not YuNet.
    """
    return open_detector(find_detector_file(path))


def open_detector(file: Path | None) -> Detector:
    """Return the detector for a result of `find_detector_file`: YuNet from that file, or the cascade for None.

    Raises:
        SourceError: the file cannot be read.
        ModelError: it is not YuNet.
    """
    return CascadeDetector() if file is None else YuNetDetector(file)


def describe_detector(file: Path | None) -> dict[str, str]:
    """Return what determines the faces that `open_detector` finds: name and hash of the network or cascade, and its runtime.

    Raises:
        SourceError: the file cannot be read.
    """
    name, path = ("yunet", file) if file is not None else ("cascade", CASCADE_PATH)
    runtime = {"onnxruntime": onnxruntime.__version__} if file is not None else {}
    return {"name": name, "sha256": hashlib.sha256(read_detector_file(path)).hexdigest(), **runtime}
