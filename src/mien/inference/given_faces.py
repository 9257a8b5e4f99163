"""Faces that come with an image: boxes and landmarks that the user already has, instead of a detector's."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.faces.boxes import iou_xyxy
from mien.faces.detector import SAME_FACE_IOU, DetectedFace, Detector
from mien.faces.landmarks import N_LANDMARKS
from mien.faces.quality import five_from_landmarks

N_POINTS = 5


class GivenFaces:
    """Takes the place of a detector for one image whose faces are known; keeps their order."""

    def __init__(
        self,
        boxes_xyxy: ArrayLike | None,
        landmarks: ArrayLike | None = None,
        *,
        detector: Detector | None = None,
    ) -> None:
        """Check what does not depend on the image.

        Args:
            boxes_xyxy: ``(N, 4)`` left, top, right, bottom in pixels of the upright image; None: the bounds of the landmarks.
            landmarks: ``(N, 68, 2)`` in the iBUG order, or ``(N, 5, 2)`` in the order of `DetectedFace.points`, in pixels; None
                for boxes only.
            detector: for boxes without landmarks: finds the points of the face in each box, to align it by; where it finds
                none, the box is cropped as it is.

        Raises:
            ValueError: neither is given, a shape is another one, a number is not finite, or the corners of a box are in
                another order.
        """
        if boxes_xyxy is None and landmarks is None:
            raise ValueError("`boxes_xyxy` or `landmarks` is required")
        self._detector = detector
        self._landmarks = None if landmarks is None else _as_floats("landmarks", landmarks)
        if self._landmarks is not None and (
            self._landmarks.ndim != 3 or self._landmarks.shape[1:] not in ((N_LANDMARKS, 2), (N_POINTS, 2))
        ):
            raise ValueError(f"`landmarks` must be (N, 68, 2) or (N, 5, 2), got {self._landmarks.shape}")
        if boxes_xyxy is None:
            points = np.asarray(self._landmarks)
            self._boxes = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
        else:
            self._boxes = _as_floats("boxes_xyxy", boxes_xyxy)
        if self._boxes.ndim != 2 or self._boxes.shape[1] != 4:
            raise ValueError(f"`boxes_xyxy` must be (N, 4), got {self._boxes.shape}")
        if self._landmarks is not None and len(self._landmarks) != len(self._boxes):
            raise ValueError(f"got {len(self._boxes)} boxes, but landmarks of {len(self._landmarks)} faces")
        for index, box_xyxy in enumerate(self._boxes.tolist()):
            if not (box_xyxy[0] < box_xyxy[2] and box_xyxy[1] < box_xyxy[3]):
                raise ValueError(
                    f"box {index} must be left < right and top < bottom (x0, y0, x1, y1), got {box_xyxy}. Convert "
                    "(x, y, width, height) to (x, y, x + width, y + height)"
                )

    def find_faces(self, image_rgb: NDArray[np.uint8]) -> list[DetectedFace]:
        """Return the given faces in their order.

        Raises:
            ValueError: the center of a box is outside the image.
        """
        height, width = image_rgb.shape[:2]
        centers = (self._boxes[:, :2] + self._boxes[:, 2:]) / 2
        for index in np.flatnonzero(((centers < 0) | (centers > (width, height))).any(axis=1)):
            raise ValueError(
                f"box {index} {self._boxes[index].tolist()} (x0, y0, x1, y1) is outside the image of {width}x{height} pixels"
            )
        points = self._find_points(image_rgb)
        return [
            DetectedFace(box_xyxy, None, face_points, "given")
            for box_xyxy, face_points in zip(self._boxes, points, strict=True)
        ]

    def _find_points(self, image_rgb: NDArray[np.uint8]) -> list[NDArray[np.float64] | None]:
        """Return the ``(5, 2)`` points of each face, None where they are not known."""
        if self._landmarks is not None:
            is_five = self._landmarks.shape[1] == N_POINTS
            return [points if is_five else five_from_landmarks(points) for points in self._landmarks]
        found = [] if self._detector is None or not len(self._boxes) else self._detector.find_faces(image_rgb)
        if not found:
            return [None] * len(self._boxes)
        overlaps = iou_xyxy(self._boxes, np.stack([face.box_xyxy for face in found]))
        best = overlaps.argmax(axis=1)
        return [
            found[column].points if overlaps[row, column] > SAME_FACE_IOU else None
            for row, column in enumerate(best.tolist())
        ]


def _as_floats(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Return an array of finite numbers.

    Raises:
        ValueError: it is none.
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"`{name}` must be an array of numbers, got {values!r:.80}") from None
    if not np.isfinite(array).all():
        raise ValueError(f"`{name}` must be finite")
    return array
