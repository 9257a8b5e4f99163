"""Finding faces in a picture: YuNet, or OpenCV's own cascade where YuNet cannot be had.

YuNet's file comes from a path that is named, the environment variable ``MIEN_DETECTOR``, the user's cache, or
once from OpenCV's model zoo; `find_detector_file` says which.

Convention: boxes ``xyxy`` in picture pixels, x right, y down; they may reach beyond the picture's edge.
"""

import hashlib
import http.client
import math
import os
import queue
import tempfile
import threading
import urllib.request
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mien.errors import ModelError, SourceError
from mien.faces.images import to_rgb
from mien.faces.yunet import YuNet
from mien.inputs import read_regular

YUNET_NAME = "face_detection_yunet_2023mar.onnx"
YUNET_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
YUNET_URL = "https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/face_detection_yunet_2023mar.onnx"
YUNET_BYTES = 232_589
PATH_VARIABLE = "MIEN_DETECTOR"
CASCADE_PATH = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_alt2.xml"
# Of each answer of the network, and of the whole download.
FETCH_TIMEOUT_S = 10.0
CASCADE_INSTEAD = "OpenCV's cascade is used, which finds fewer faces and crops them less exactly"
FETCH_DEADLINE_S = 60.0
# A network of another build may be somewhat larger than YuNet; a file of this size is something else.
MAX_DETECTOR_BYTES = 16 * 1024 * 1024

# Above this score 588 of 600 FER+ faces (48x48) and 100 of 100 LFW faces are found, and nothing in 150 patches
# of background.
SCORE_THRESHOLD = 0.7
# YuNet learned faces of 10 to 300 pixels.
LARGEST_SIDE = 300
# A face that fills the picture is found at this size, with a border.
CLOSE_UP_SIDE = 320
CLOSE_UP_BORDER = 0.1
# A face of this many pixels is found for certain: of 60 LFW faces 59 are at 77 pixels, 55 at 64 and 50 at 51.
SURE_SIDE = 80
# Small faces in a large picture are looked for in a second pass, at most at this size: in a picture of 3000 pixels
# it finds faces of about 100 pixels (at 1024: 110; at 1600: 70, for 1.5 times the time).
FINE_SIDE = 1280
# Smaller pictures get a border: YuNet has no cells for them.
MIN_SIDE = 64
# Two boxes are one face where they share this part of their union, or this part of the smaller one.
SAME_FACE_IOU = 0.4
SAME_FACE_COVER = 0.7


@dataclass(frozen=True, slots=True, eq=False)
class DetectedFace:
    """A face in a picture.

    Attributes:
        box_xyxy: ``(4,)`` float64.
        score: the detector's certainty in [0, 1], or None where it gives none.
        points: ``(5, 2)`` float64: the eye that is left in the picture, the right eye, the nose, the left and
            the right corner of the mouth; or None.
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
        """Of the box, in pixels."""
        return float((self.box_xyxy[2] - self.box_xyxy[0]) * (self.box_xyxy[3] - self.box_xyxy[1]))


class Detector(Protocol):
    """Anything that finds faces."""

    def find_faces(self, image_rgb: NDArray[np.uint8]) -> list[DetectedFace]:
        """Return the faces of a picture, the largest first.

        Args:
            image_rgb: ``(H, W, 3)`` RGB or ``(H, W)`` grey uint8.
        """


@runtime_checkable
class QuickDetector(Detector, Protocol):
    """A detector that can also look for faces of known sizes alone, for less."""

    def find_faces_like(
        self, image_rgb: NDArray[np.uint8], *, smallest: float, largest: float
    ) -> list[DetectedFace]:
        """Return at least the faces whose longer side lies between two, in pixels; the largest first."""


class YuNetDetector:
    """YuNet (Wu et al. 2023, https://doi.org/10.1007/s11633-023-1423-y), looking at two sizes of the picture."""

    def __init__(self, path: Path) -> None:
        """Load the network.

        Raises:
            SourceError: the file cannot be read.
            ModelError: it is not YuNet.
        """
        try:
            data = read_regular(path, max_bytes=MAX_DETECTOR_BYTES)
        except OSError as error:
            raise SourceError(f"The face detector {path} cannot be read: {error.strerror}") from None
        try:
            self._network = YuNet(data)
        except ValueError as error:
            raise ModelError(f"{path} is not the YuNet face detector: {error}. Use {YUNET_NAME}") from None

    def find_faces(self, image_rgb: NDArray[np.uint8]) -> list[DetectedFace]:
        """Return the faces of a picture, the largest first. See `Detector`."""
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
        """Look once, at the size of the picture that suits these faces; twice where none does. See `QuickDetector`."""
        longer = max(image_rgb.shape[:2])
        # In steps of a square root of two: the network is laid out anew for each size.
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
        found = self._network.detect(np.asarray(scaled, dtype=np.uint8), score_threshold=SCORE_THRESHOLD)
        to_picture = np.array([width / size_wh[0], height / size_wh[1]])
        return [_face_of(row, to_picture, border=border) for row in found]


def _to_bgr(image_rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(to_rgb(image_rgb), cv2.COLOR_RGB2BGR), dtype=np.uint8)


def _close_up_scale(longer_side: int) -> float:
    return CLOSE_UP_SIDE / (longer_side * (1 + 2 * CLOSE_UP_BORDER))


class CascadeDetector:
    """OpenCV's bundled frontal-face cascade: no points, no score, and blind to turned and covered faces.

    It can be used from several threads at once.
    """

    def __init__(self) -> None:
        """Load the cascade.

        Raises:
            ModelError: this OpenCV has none.
        """
        # OpenCV's classifier keeps the image in itself: each call takes one that no other call has.
        self._free = deque([_load_cascade()])

    def find_faces(self, image_rgb: NDArray[np.uint8]) -> list[DetectedFace]:
        """Return the faces of a picture, the largest first. See `Detector`."""
        grey = image_rgb if image_rgb.ndim == 2 else cv2.cvtColor(image_rgb, cv2.COLOR_RGB2GRAY)
        scale = min(1.0, FINE_SIDE / max(grey.shape))
        if scale < 1:
            grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        try:
            cascade = self._free.pop()
        except IndexError:
            cascade = _load_cascade()
        boxes = cascade.detectMultiScale(cv2.equalizeHist(grey), scaleFactor=1.1, minNeighbors=4)
        self._free.append(cascade)
        return _largest_first(
            [DetectedFace(np.array([x, y, x + w, y + h]) / scale, None, None) for x, y, w, h in boxes]
        )


def _load_cascade() -> Any:
    """Return OpenCV's classifier.

    Raises:
        ModelError: this OpenCV has none.
    """
    cascade = cv2.CascadeClassifier(str(CASCADE_PATH))
    if cascade.empty():
        raise ModelError(f"OpenCV's cascade {CASCADE_PATH} cannot be loaded. {how_to_get_yunet()}")
    return cascade


def _face_of(row: NDArray[np.float32], to_picture: NDArray[np.float64], *, border: int) -> DetectedFace:
    """Read one of YuNet's rows: x, y, w, h, five points, score."""
    x, y, w, h = (float(value) for value in row[:4])
    corners = (np.array([[x, y], [x + w, y + h]]) - border) * to_picture
    points = (row[4:14].reshape(5, 2).astype(np.float64) - border) * to_picture
    return DetectedFace(corners.reshape(4), min(1.0, float(row[14])), points)


def _without_repeats(faces: list[DetectedFace]) -> list[DetectedFace]:
    """Keep the most certain of boxes that show one face, such as those of the two passes."""
    kept: list[DetectedFace] = []
    for face in sorted(faces, key=lambda face: -(face.score or 0.0)):
        if not any(_is_same_face(face, other) for other in kept):
            kept.append(face)
    return kept


def _is_same_face(one: DetectedFace, other: DetectedFace) -> bool:
    sides = np.minimum(one.box_xyxy[2:], other.box_xyxy[2:]) - np.maximum(
        one.box_xyxy[:2], other.box_xyxy[:2]
    )
    if (sides <= 0).any():
        return False
    shared = float(sides.prod())
    return shared > SAME_FACE_IOU * (one.area + other.area - shared) or shared > SAME_FACE_COVER * min(
        one.area, other.area
    )


def _largest_first(faces: list[DetectedFace]) -> list[DetectedFace]:
    return sorted(faces, key=lambda face: (-face.area, *face.box_xyxy))


def load_detector(path: Path | None = None, *, announce: Callable[[str], None] | None = None) -> Detector:
    """Return YuNet, or the cascade where YuNet's file cannot be had.

    Args:
        path: YuNet's file, or None to look as `find_detector_file` does.
        announce: is told, in one line each, of a download and of falling back to the cascade.

    Raises:
        SourceError: a file that was named cannot be read.
        ModelError: it is not YuNet.
    """
    return open_detector(find_detector_file(path, announce=announce))


def open_detector(file: Path | None) -> Detector:
    """Return the detector of what `find_detector_file` has found: YuNet of that file, or the cascade.

    Raises:
        SourceError: the file cannot be read.
        ModelError: it is not YuNet.
    """
    return CascadeDetector() if file is None else YuNetDetector(file)


def describe_detector(file: Path | None) -> dict[str, str]:
    """Return what decides which faces `open_detector` finds: the network or cascade by its hash, and what runs it.

    Raises:
        SourceError: the file cannot be read.
    """
    name, path = ("yunet", file) if file is not None else ("cascade", CASCADE_PATH)
    try:
        data = read_regular(path, max_bytes=MAX_DETECTOR_BYTES)
    except OSError as error:
        raise SourceError(f"The face detector {path} cannot be read: {error.strerror}") from None
    runner = {"onnxruntime": onnxruntime.__version__} if file is not None else {}
    return {"name": name, "sha256": hashlib.sha256(data).hexdigest(), **runner}


def find_detector_file(
    path: Path | None = None,
    *,
    fetch: bool = True,
    announce: Callable[[str], None] | None = None,
    otherwise: str = CASCADE_INSTEAD,
) -> Path | None:
    """Return where YuNet's file is, after fetching it into the user's cache if need be and ``fetch`` allows.

    Looks at ``path``, then the environment variable ``MIEN_DETECTOR``, then the cache. A file in the cache that
    is not the official one is fetched again; a file that was named is taken as it is.

    Args:
        path: YuNet's file, or None.
        fetch: download the file if it is nowhere.
        announce: is told, in one line each, of a download and of its failure.
        otherwise: what follows from the failure, for that line.

    Returns:
        The file, or None where it is not there and was not or could not be fetched.

    Raises:
        SourceError: ``path``, or what the variable names, is no file.
    """
    named = path if path is not None else named_detector_file()
    if named is not None:
        if not named.is_file():
            origin = "" if path is not None else f" (from {PATH_VARIABLE})"
            raise SourceError(f"The face detector {named}{origin} does not exist. {how_to_get_yunet()}")
        return named
    cached = cached_detector_file()
    if is_official_yunet(cached):
        return cached
    if not fetch:
        return None
    say = announce or (lambda _line: None)
    say(f"Fetching the YuNet face detector ({YUNET_BYTES / 1000:.0f} kB) into {cached}")
    try:
        _fetch_yunet(cached)
    except (OSError, http.client.HTTPException, ValueError) as error:
        say(f"YuNet could not be fetched ({error}): {otherwise}. {how_to_get_yunet()}")
        return None
    return cached


def how_to_get_yunet() -> str:
    """Return the sentence that tells how to get YuNet's file by hand."""
    return f"Download {YUNET_URL} to {cached_detector_file()}, or name a copy in {PATH_VARIABLE}"


def named_detector_file() -> Path | None:
    """Return the file that ``MIEN_DETECTOR`` names, if it names one."""
    name = os.environ.get(PATH_VARIABLE, "")
    return Path(name).expanduser() if name else None


def cached_detector_file() -> Path:
    """Return where the user's cache keeps YuNet's file, whether it is there or not."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(cache) if cache else Path.home() / ".cache") / "mien" / YUNET_NAME


def is_official_yunet(path: Path) -> bool:
    """Return whether a file is the official YuNet, by its hash. A missing file is not."""
    try:
        data = read_regular(path, max_bytes=MAX_DETECTOR_BYTES)
        return hashlib.sha256(data).hexdigest() == YUNET_SHA256
    except OSError:
        return False


def _download(url: str, *, max_bytes: int) -> bytes:
    """Return what is at an address, one byte more than wanted at most.

    A server that sends a byte now and then holds each read within its time, for ever: the whole is waited for in a thread.

    Raises:
        OSError: the network refuses, or it takes too long.
    """
    outcome: queue.Queue[bytes | Exception] = queue.Queue()

    def download() -> None:
        try:
            with urllib.request.urlopen(url, timeout=FETCH_TIMEOUT_S) as response:  # noqa: S310 - our own address
                outcome.put(response.read(max_bytes + 1))
        except Exception as error:  # noqa: BLE001 - raised again below
            outcome.put(error)

    threading.Thread(target=download, daemon=True).start()
    try:
        found = outcome.get(timeout=FETCH_DEADLINE_S)
    except queue.Empty:
        raise TimeoutError(f"it took longer than {FETCH_DEADLINE_S:g} s") from None
    if isinstance(found, Exception):
        raise found
    return found


def _fetch_yunet(target: Path) -> None:
    """Download YuNet, check its hash, and only then give it its name.

    Raises:
        OSError: the network or the disk refuses.
        ValueError: what came is not the official file.
    """
    data = _download(YUNET_URL, max_bytes=YUNET_BYTES)
    if hashlib.sha256(data).hexdigest() != YUNET_SHA256:
        raise ValueError(f"{YUNET_URL} gave {len(data):,} bytes that are not the official file")
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(dir=target.parent, prefix=target.name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(partial).replace(target)
    finally:
        Path(partial).unlink(missing_ok=True)
