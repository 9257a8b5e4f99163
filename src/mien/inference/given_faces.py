"""Faces that come with an image: boxes and landmarks that the user already has, instead of a detector's."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.faces.boxes import iou_xyxy
from mien.faces.detector import SAME_FACE_IOU, DetectedFace, Detector
from mien.faces.landmarks import N_LANDMARKS, N_POINTS, box_of_points, five_from_landmarks

# No image has as many pixels in a row.
MAX_COORDINATE = 10_000_000
MAX_FRACTION = 2
# The sine of the angle from the line of the eyes to that from the eyes to the mouth: 1 for a face, -1 for its mirror image.
_LEAST_SINE = -0.5
# The status of an image with a box that is not in it.
OUTSIDE_IMAGE = "face_outside_image"


class FaceOutsideImageError(ValueError):
    """A given face is not in the image."""


class GivenFaces:
    """Takes the place of a detector for one image whose faces are known; keeps their order. Picklable with its detector."""

    def __init__(
        self,
        boxes_xyxy: ArrayLike | None,
        landmarks: ArrayLike | Sequence[ArrayLike | None] | None = None,
        *,
        detector: Detector | None = None,
    ) -> None:
        """Check what does not depend on the image.

        Args:
            boxes_xyxy: ``(N, 4)`` left, top, right, bottom in pixels of the upright image; None: those of `box_of_points`.
            landmarks: ``(N, 68, 2)`` in the iBUG order, or ``(N, 5, 2)`` in the order of `DetectedFace.points`, in pixels; None
                for boxes only, as for single faces of a list.
            detector: for boxes without landmarks: finds the points of the face in each box, to align it by; where it finds
                none, the box is cropped as it is.

        Raises:
            ValueError: neither is given, a shape is another one, a number is not finite or a fraction of the image, the corners of
                a box are in another order, or landmarks are all one point, mirrored or outside their box.
        """
        if boxes_xyxy is None and landmarks is None:
            raise ValueError("`boxes_xyxy` or `landmarks` is required")
        self.detector = detector
        given = None if landmarks is None else _as_points(landmarks)
        if boxes_xyxy is None:
            # Without boxes, every face must have landmarks.
            known = [_as_floats("landmarks", face) for face in given or ()]
            self._boxes = np.array([box_of_points(face) for face in known]).reshape(-1, 4)
        else:
            boxes = _as_floats("boxes_xyxy", boxes_xyxy)
            self._boxes = boxes if boxes.size else boxes.reshape(0, 4)
        if self._boxes.ndim != 2 or self._boxes.shape[1] != 4:
            raise ValueError(f"`boxes_xyxy` must be (N, 4), got {self._boxes.shape}")
        # Fractions of the image, of which a face may reach a little beyond it.
        if self._boxes.size and (np.abs(self._boxes) < MAX_FRACTION).all():
            raise ValueError(
                f"boxes and landmarks must be in pixels, but box 0 is {self._boxes[0].round(3).tolist()} (x0, y0, x1, y1): multiply "
                "fractions of the image by its width and height"
            )
        self._points = [
            face if face is None or len(face) == N_POINTS else five_from_landmarks(face)
            for face in ([None] * len(self._boxes) if given is None else given)
        ]
        if len(self._points) != len(self._boxes):
            raise ValueError(f"got {len(self._boxes)} boxes, but landmarks of {len(self._points)} faces")
        for index, box_xyxy in enumerate(self._boxes.tolist()):
            if not (box_xyxy[0] < box_xyxy[2] and box_xyxy[1] < box_xyxy[3]):
                raise ValueError(
                    f"box {index} must be left < right and top < bottom (x0, y0, x1, y1), got {box_xyxy}. Convert "
                    "(x, y, width, height) to (x, y, x + width, y + height)"
                )
        for index, points in enumerate(self._points):
            if points is not None:
                _require_face(index, self._boxes[index], points)

    def __len__(self) -> int:
        """Return the number of faces."""
        return len(self._boxes)

    def find_faces(self, image_rgb: NDArray[np.uint8]) -> list[DetectedFace]:
        """Return the given faces in their order.

        Raises:
            FaceOutsideImageError: the center of a box is outside the image.
        """
        height, width = image_rgb.shape[:2]
        centers = (self._boxes[:, :2] + self._boxes[:, 2:]) / 2
        for index in np.flatnonzero(((centers < 0) | (centers > (width, height))).any(axis=1)):
            raise FaceOutsideImageError(
                f"box {index} {self._boxes[index].tolist()} (x0, y0, x1, y1) is outside the image of {width}x{height} pixels"
            )
        points = list(self._points)
        needs_points = self.detector is not None and any(known is None for known in points)
        found = self.detector.find_faces(image_rgb) if self.detector is not None and needs_points else []
        if found:
            overlaps = iou_xyxy(self._boxes, np.stack([face.box_xyxy for face in found]))
            for row, column in enumerate(overlaps.argmax(axis=1).tolist()):
                if points[row] is None and overlaps[row, column] > SAME_FACE_IOU:
                    points[row] = found[column].points
        return [
            DetectedFace(box_xyxy, None, face_points, "given")
            for box_xyxy, face_points in zip(self._boxes, points, strict=True)
        ]


def _require_face(index: int, box_xyxy: NDArray[np.float64], points: NDArray[np.float64]) -> None:
    """Check that ``(5, 2)`` points can be those of a face in its box.

    Raises:
        ValueError: they are all one point, mirrored, or outside the box.
    """
    if not np.ptp(points, axis=0).any():
        raise ValueError(f"the landmarks of face {index} are all one point: give None where they are missing")
    eyes, down = points[1] - points[0], points[3:].mean(axis=0) - points[:2].mean(axis=0)
    # From the side, the eyes are too close to each other to tell.
    area = float(eyes[0] * down[1] - eyes[1] * down[0])
    if area < _LEAST_SINE * math.hypot(*eyes) * math.hypot(*down) < 0:
        raise ValueError(
            f"the landmarks of face {index} are those of a mirrored face: a point is (x, y), and left is what is on the "
            "left of an upright image, the person's right"
        )
    middle = points.mean(axis=0)
    # A detector's box may be cut at the edge of the image, or show only the inner face.
    if (np.abs(2 * middle - box_xyxy[:2] - box_xyxy[2:]) > 1.5 * (box_xyxy[2:] - box_xyxy[:2])).any():
        raise ValueError(
            f"the landmarks of face {index} are around {middle.round().tolist()}, outside its box {box_xyxy.tolist()} "
            "(x0, y0, x1, y1): boxes and landmarks must be in the same order"
        )


def _as_points(landmarks: ArrayLike | Sequence[ArrayLike | None]) -> list[NDArray[np.float64] | None]:
    """Return the ``(68, 2)`` or ``(5, 2)`` points of each face, None where a list has None.

    Raises:
        ValueError: a face has another shape.
    """
    if isinstance(landmarks, list | tuple) and any(face is None for face in landmarks):
        faces = [None if face is None else _as_floats("landmarks", face) for face in landmarks]
    else:
        stacked = _as_floats("landmarks", landmarks)  # type: ignore[arg-type]
        faces = [*stacked] if stacked.ndim == 3 or not stacked.size else [stacked[None]]
    for face in faces:
        if face is not None and face.shape not in ((N_LANDMARKS, 2), (N_POINTS, 2)):
            raise ValueError(f"`landmarks` must be (N, 68, 2) or (N, 5, 2), got {(len(faces), *face.shape)}")
    return faces


def _as_floats(name: str, values: ArrayLike | None) -> NDArray[np.float64]:
    """Return an array of finite numbers.

    Raises:
        ValueError: it is none.
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"`{name}` must be an array of numbers, got {values!r:.80}") from None
    if not (np.abs(array) < MAX_COORDINATE).all():
        raise ValueError(f"`{name}` must be finite numbers of pixels, less than {MAX_COORDINATE:,}")
    return array
