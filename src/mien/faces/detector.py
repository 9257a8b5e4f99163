"""Finding faces in an image: with YuNet, or with OpenCV's cascade if YuNet's file is not available.

`mien.faces.detector_file` says where the file comes from, `mien.faces.yunet` runs the network.

Convention: boxes ``xyxy`` in pixels of the image, x right, y down; they may extend beyond the image's edge.
"""

import hashlib
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol, Self, TypeAlias, runtime_checkable

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mien.errors import ModelError
from mien.faces.boxes import area_xyxy, intersection_xyxy
from mien.faces.crop import (
    CropContract,
    crop_image,
    crop_matrix,
    halve_image,
    invert_matrix,
    transform_points,
)
from mien.faces.detector_file import YUNET_NAME, find_detector_file, how_to_get_yunet, read_detector_file
from mien.faces.images import to_rgb
from mien.faces.yunet import YuNet
from mien.runtime.options import require_number

FoundBy: TypeAlias = Literal["detector", "whole", "given"]

CASCADE_PATH = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_alt2.xml"
# At this score threshold 588 of 600 FER+ faces (48x48) and 100 of 100 LFW faces are found, and nothing in 150 patches
# of background.
SCORE_THRESHOLD = 0.7
# YuNet was trained on faces of 10 to 300 pixels.
LARGEST_SIDE = 300
# A face that fills the image is found at this size, with a border.
CLOSE_UP_SIDE = 320
CLOSE_UP_BORDER = 0.1
# A candidate from this score on is looked at again, enlarged and in four turns, unless it is certain already: a face that
# is upside down scores less. The second look costs 0.4 times the pass for close-ups per candidate.
CANDIDATE_SCORE = 0.3
CERTAIN_SCORE = 0.88
MAX_SECOND_LOOKS = 12
# A second look sees a square of twice the face's side.
SECOND_LOOK = CropContract("box", margin=0.5, size=160)
# A turned copy must score this much more than the image as it is.
TURNED_GAIN = 0.03
# An image without a face is a close-up that the detector missed if a candidate covers this much of it with this score:
# so 59 of 71 missed FER+ training faces, and none of 150 patches of background.
FILLING_SCORE = 0.2
FILLING_COVER = 0.3
# No close-up is longer than this, in widths: a face that is stretched so much is not what a model has seen.
FILLING_ASPECT = 2
# Faces of at least this many pixels are found reliably: of 60 LFW faces 59 at 77 pixels, 55 at 64 and 50 at 51.
SURE_SIDE = 80
# A second pass looks for small faces, at this size at most. A third one, which takes up to four times as long, follows if
# there is no face, or a candidate of less than `SMALL_SIDE` pixels at the scale of the second.
FINE_SIDE = 1280
SMALL_SIDE = 40
# With a least size of faces, the second pass is so large that a face of that size has this side.
SOUGHT_SIDE = 28
# It enlarges an image to `FINE_SIDE`, but twice at most, and takes so many pixels of a larger one.
MAX_ENLARGEMENT = 2.0
LARGE_PIXELS = 4_900_000
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
        points: ``(5, 2)`` float64: left eye, right eye, nose, left and right mouth corner, left and right as seen when
            the face is upright; or None.
        found_by: ``detector``; ``whole`` if the image is the face; ``given`` if the box came with the image.
    """

    box_xyxy: NDArray[np.float64]
    score: float | None
    points: NDArray[np.float64] | None
    found_by: FoundBy = "detector"

    @property
    def anchors(self) -> NDArray[np.float64] | None:
        """The ``(4, 2)`` points of an aligned crop, in the order of `landmarks.anchors_from_landmarks`."""
        return None if self.points is None else self.points[[0, 1, 3, 4]]

    @property
    def roll_deg(self) -> float:
        """The direction from the left to the right eye, in (-180, 180]: 0 upright, positive clockwise; 0 without points."""
        if self.points is None:
            return 0.0
        x, y = self.points[1] - self.points[0]
        return math.degrees(math.atan2(y, x))

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


@runtime_checkable
class CloseUpDetector(Detector, Protocol):
    """A detector that can also say of an image without a detected face whether one fills it."""

    def fills_image(self, image_rgb: NDArray[np.uint8]) -> bool:
        """Return whether an image in which no face is found looks like a close-up of one."""


class SelectiveDetector(Detector):
    """A detector that can leave out small faces."""

    _min_face_px: float = 0

    def with_min_face_px(self, min_face_px: float) -> Self:
        """Return a detector on the same network that leaves out faces whose box's shorter side is less.

        The passes of YuNet for smaller ones take less time, or none.

        Raises:
            ValueError: `min_face_px` is less than 0.
        """
        require_min_face_px(min_face_px)
        # `copy` would load the network again, as unpickling does.
        detector = object.__new__(type(self))
        detector.__dict__.update(self.__dict__, _min_face_px=min_face_px)
        return detector


class YuNetDetector(SelectiveDetector):
    """YuNet (Wu et al. 2023, https://doi.org/10.1007/s11633-023-1423-y), run at two scales of the image."""

    def __init__(self, path: Path) -> None:
        """Load the network from its file.

        Raises:
            SourceError: the file cannot be read.
            ModelError: it is not YuNet.
        """
        self._data = read_detector_file(path)
        try:
            self._network = YuNet(self._data)
        except ValueError as error:
            raise ModelError(f"{path} is not the YuNet face detector: {error}. Use {YUNET_NAME}") from None

    def __getstate__(self) -> tuple[bytes, float]:
        """Return the file's bytes: a session cannot be pickled."""
        return self._data, self._min_face_px

    def __setstate__(self, state: tuple[bytes, float]) -> None:
        """Load the network again."""
        self._data, self._min_face_px = state
        self._network = YuNet(self._data)

    def find_faces(self, image_rgb: NDArray[np.uint8]) -> list[DetectedFace]:
        """Return the faces in an image at any roll, largest first. See `Detector`.

        Candidates with a low score get a second look, enlarged and turned; an image without a face is searched in
        three more turns, at the size of the pass for close-ups.
        """
        image_bgr = _to_bgr(image_rgb)
        found = self._find_close_up(image_bgr, CANDIDATE_SCORE)
        scale = _close_up_scale(max(image_bgr.shape[:2]))
        for finer in _fine_scales(image_bgr.shape[:2]):
            enough = min(finer, SOUGHT_SIDE / self._min_face_px) if self._min_face_px else finer
            if finer > 1.5 * scale and enough > scale:
                found += self._find_at(image_bgr, enough, border=0, score_threshold=CANDIDATE_SCORE)
                scale = enough
            sides = [longest_side(face) * scale for face in found]
            if any((face.score or 0) >= SCORE_THRESHOLD for face in found) and min(sides) >= SMALL_SIDE:
                break
        found = _without_repeats(_of_at_least(self._min_face_px, found))
        faces = [face for face in found if (face.score or 0) >= CERTAIN_SCORE]
        doubtful = found[len(faces) :]
        for face in doubtful[:MAX_SECOND_LOOKS]:
            faces += self._look_again(image_bgr, face)
        faces += [face for face in doubtful[MAX_SECOND_LOOKS:] if (face.score or 0) >= SCORE_THRESHOLD]
        if not faces:
            for turns in (1, 2, 3):
                turned = np.ascontiguousarray(np.rot90(image_bgr, turns))
                size_wh = image_bgr.shape[1::-1]
                faces += [turn_back(face, turns, size_wh) for face in self._find_close_up(turned)]
        return _largest_first(_without_repeats(_of_at_least(self._min_face_px, faces)))

    def fills_image(self, image_rgb: NDArray[np.uint8]) -> bool:
        """Return whether an image in which no face is found looks like a close-up. See `CloseUpDetector`."""
        height, width = image_rgb.shape[:2]
        if not self._min_face_px <= min(height, width) >= max(height, width) / FILLING_ASPECT:
            return False
        frame_xyxy = np.array([0.0, 0.0, width, height])
        candidates = self._find_close_up(_to_bgr(image_rgb), FILLING_SCORE)
        covers = [float(intersection_xyxy(face.box_xyxy, frame_xyxy)) for face in candidates]
        return bool(max(covers, default=0.0) >= FILLING_COVER * width * height)

    def _look_again(self, image_bgr: NDArray[np.uint8], face: DetectedFace) -> list[DetectedFace]:
        """Return a candidate as it is found enlarged, in the turn that scores highest; nothing if it is no face."""
        matrix, _ = crop_matrix(SECOND_LOOK, image_bgr.shape[1::-1], box_xyxy=face.box_xyxy)
        part = crop_image(image_bgr, matrix, SECOND_LOOK.size)
        to_image = invert_matrix(matrix) / (SECOND_LOOK.size, SECOND_LOOK.size, 1)
        found = [face] if (face.score or 0.0) >= SCORE_THRESHOLD else []
        best_score = 0.0
        for turns in range(4):
            if best_score >= CERTAIN_SCORE:
                break
            turned = np.ascontiguousarray(np.rot90(part, turns))
            for seen in self._find_at(turned, 1.0, border=0):
                upright = turn_back(seen, turns, part.shape[1::-1])
                box_xyxy = transform_points(to_image, upright.box_xyxy.reshape(2, 2)).reshape(4)
                score = (seen.score or 0.0) - (TURNED_GAIN if turns else 0.0)
                if score <= best_score or not _is_same_face(box_xyxy, face.box_xyxy):
                    continue
                best_score = score
                if turns or not found:
                    points = None if upright.points is None else transform_points(to_image, upright.points)
                    found = [DetectedFace(box_xyxy, seen.score, points)]
        return found

    def find_faces_like(
        self, image_rgb: NDArray[np.uint8], *, smallest: float, largest: float
    ) -> list[DetectedFace]:
        """Run once at the scale that suits these faces, or twice if no single scale does. See `QuickDetector`."""
        longer = max(image_rgb.shape[:2])
        # In steps of a square root of two: the network is laid out again for each size.
        wanted = 2 ** (math.ceil(2 * math.log2(SURE_SIDE / max(1.0, smallest))) / 2)
        scale = min(wanted, MAX_ENLARGEMENT if smallest < SURE_SIDE / 2 else 1.0, FINE_SIDE / longer)
        if scale > _close_up_scale(longer) and largest * scale > LARGEST_SIDE:
            return self.find_faces(image_rgb)
        image_bgr = _to_bgr(image_rgb)
        if scale <= _close_up_scale(longer):
            found = self._find_close_up(image_bgr)
        else:
            found = self._find_at(image_bgr, scale, border=0)
        return _largest_first(_without_repeats(_of_at_least(self._min_face_px, found)))

    def _find_close_up(
        self, image_bgr: NDArray[np.uint8], score_threshold: float = SCORE_THRESHOLD
    ) -> list[DetectedFace]:
        longer = max(image_bgr.shape[:2])
        scale = _close_up_scale(longer)
        border = round(longer * CLOSE_UP_BORDER * scale)
        return self._find_at(image_bgr, scale, border=border, score_threshold=score_threshold)

    def _find_at(
        self,
        image_bgr: NDArray[np.uint8],
        scale: float,
        *,
        border: int,
        score_threshold: float = SCORE_THRESHOLD,
    ) -> list[DetectedFace]:
        size_wh = tuple(max(1, round(side * scale)) for side in image_bgr.shape[1::-1])
        # Averaging over areas of any size takes up to seven times as long, and finds the same faces.
        halvings = max(0, math.floor(math.log2(1 / scale)))
        halved = halve_image(image_bgr, halvings)
        scaled = cv2.resize(halved, size_wh, interpolation=cv2.INTER_LINEAR)
        right, bottom = (border + max(0, MIN_SIDE - side - 2 * border) for side in size_wh)
        if right or bottom:
            scaled = cv2.copyMakeBorder(scaled, border, bottom, border, right, cv2.BORDER_CONSTANT)
        rows = self._network.detect(np.asarray(scaled, dtype=np.uint8), score_threshold=score_threshold)
        # Of an odd size, the last row or column is dropped.
        to_image = np.array(halved.shape[1::-1]) * 2**halvings / size_wh
        faces = []
        for row in rows:
            x, y, w, h = (float(value) for value in row[:4])
            corners = (np.array([[x, y], [x + w, y + h]]) - border) * to_image
            points = (row[4:14].reshape(5, 2).astype(np.float64) - border) * to_image
            faces.append(DetectedFace(corners.reshape(4), min(1.0, float(row[14])), points))
        return faces


def _to_bgr(image_rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(to_rgb(image_rgb), cv2.COLOR_RGB2BGR), dtype=np.uint8)


def _fine_scales(size_hw: tuple[int, ...]) -> tuple[float, float]:
    """Return the scales of the second and the third pass."""
    fit = FINE_SIDE / max(size_hw)
    if fit >= 1:
        return 1.0, min(MAX_ENLARGEMENT, fit)
    return fit, min(1.0, math.sqrt(LARGE_PIXELS / (size_hw[0] * size_hw[1])))


def longest_side(face: DetectedFace) -> float:
    """Return the longer side of a face's box in pixels."""
    return float((face.box_xyxy[2:] - face.box_xyxy[:2]).max())


def turn_back(face: DetectedFace, turns: int, size_wh: tuple[int, ...]) -> DetectedFace:
    """Return a face of an image that ``numpy.rot90`` has turned, in the coordinates of the image before.

    Args:
        face: in the turned image.
        turns: counterclockwise quarter turns.
        size_wh: width and height of the image before.
    """
    width, height = size_wh
    corners = face.box_xyxy.reshape(2, 2)
    points = face.points
    for turn in range(turns % 4, 0, -1):
        # The width of the image before this quarter turn.
        before = width if turn % 2 else height
        corners = np.column_stack([before - corners[:, 1], corners[:, 0]])
        points = None if points is None else np.column_stack([before - points[:, 1], points[:, 0]])
    box_xyxy = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    return replace(face, box_xyxy=box_xyxy, points=points)


def _close_up_scale(longer_side: int) -> float:
    return CLOSE_UP_SIDE / (longer_side * (1 + 2 * CLOSE_UP_BORDER))


class CascadeDetector(SelectiveDetector):
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

    def __reduce__(self) -> tuple[Callable[[], SelectiveDetector], tuple[()]]:
        """Load the cascade again: OpenCV's classifier cannot be pickled."""
        return partial(open_detector, None, min_face_px=self._min_face_px), ()

    def find_faces(self, image_rgb: NDArray[np.uint8]) -> list[DetectedFace]:
        """Return the faces in an image, largest first. See `Detector`."""
        gray = image_rgb if image_rgb.ndim == 2 else cv2.cvtColor(image_rgb, cv2.COLOR_RGB2GRAY)
        scale = min(1.0, FINE_SIDE / max(gray.shape))
        if scale < 1:
            # A strip of one pixel stays one.
            size_wh = tuple(max(1, round(side * scale)) for side in gray.shape[::-1])
            gray = cv2.resize(gray, size_wh, interpolation=cv2.INTER_AREA)
        try:
            cascade = self._free.pop()
        except IndexError:
            cascade = _load_cascade()
        boxes = cascade.detectMultiScale(cv2.equalizeHist(gray), scaleFactor=1.1, minNeighbors=4)
        self._free.append(cascade)
        faces = [DetectedFace(np.array([x, y, x + w, y + h]) / scale, None, None) for x, y, w, h in boxes]
        return _largest_first(_of_at_least(self._min_face_px, faces))


def _load_cascade() -> Any:
    """Return OpenCV's classifier.

    Raises:
        ModelError: this build of OpenCV has none.
    """
    cascade = cv2.CascadeClassifier(str(CASCADE_PATH))
    if cascade.empty():
        raise ModelError(f"OpenCV's cascade {CASCADE_PATH} cannot be loaded. {how_to_get_yunet()}")
    return cascade


def _of_at_least(least_px: float, faces: list[DetectedFace]) -> list[DetectedFace]:
    """Leave out faces whose box's shorter side is less than this."""
    # Python's numbers, since numpy's do not compare with integers beyond their range.
    return [face for face in faces if float((face.box_xyxy[2:] - face.box_xyxy[:2]).min()) >= least_px]


def _without_repeats(faces: list[DetectedFace]) -> list[DetectedFace]:
    """Keep the highest-scoring of boxes that show the same face, such as those of the two passes."""
    kept: list[DetectedFace] = []
    for face in sorted(faces, key=lambda face: -(face.score or 0.0)):
        if not any(_is_same_face(face.box_xyxy, other.box_xyxy) for other in kept):
            kept.append(face)
    return kept


def _is_same_face(one_xyxy: NDArray[np.float64], other_xyxy: NDArray[np.float64]) -> bool:
    """Return whether two boxes show the same face."""
    shared = float(intersection_xyxy(one_xyxy, other_xyxy))
    areas = float(area_xyxy(one_xyxy)), float(area_xyxy(other_xyxy))
    return shared > SAME_FACE_IOU * (sum(areas) - shared) or shared > SAME_FACE_COVER * min(areas)


def _largest_first(faces: list[DetectedFace]) -> list[DetectedFace]:
    return sorted(faces, key=lambda face: (-face.area, *face.box_xyxy))


def require_min_face_px(min_face_px: float) -> None:
    """Check the shortest side of a face to find.

    Raises:
        TypeError: it is no number.
        ValueError: it is less than 0.
    """
    require_number("min_face_px", min_face_px)
    if not min_face_px >= 0:
        raise ValueError(f"`min_face_px` must be 0 or more, got {min_face_px!r}")


def load_detector(path: Path | None = None, *, min_face_px: float = 0) -> SelectiveDetector:
    """Return YuNet, or the cascade if YuNet's file is not available.

    Args:
        path: YuNet's file, or None to look for it as `find_detector_file` does.
        min_face_px: leave out smaller faces, see `SelectiveDetector`.

    Raises:
        SourceError: a file that was named does not exist or cannot be read.
        ModelError: it is not YuNet.
        ValueError: `min_face_px` is less than 0.
    """
    return open_detector(find_detector_file(path), min_face_px=min_face_px)


def open_detector(file: Path | None, *, min_face_px: float = 0) -> SelectiveDetector:
    """Return the detector for a result of `find_detector_file`: YuNet from that file, or the cascade for None.

    Raises:
        SourceError: the file cannot be read.
        ModelError: it is not YuNet.
        ValueError: `min_face_px` is less than 0.
    """
    detector = CascadeDetector() if file is None else YuNetDetector(file)
    return detector.with_min_face_px(min_face_px)


def describe_detector(file: Path | None) -> dict[str, str]:
    """Return what determines the faces that `open_detector` finds: name and hash of the network or cascade, and its runtime.

    Raises:
        SourceError: the file cannot be read.
    """
    name, path = ("yunet", file) if file is not None else ("cascade", CASCADE_PATH)
    runtime = {"onnxruntime": onnxruntime.__version__} if file is not None else {}
    return {"name": name, "sha256": hashlib.sha256(read_detector_file(path)).hexdigest(), **runtime}
