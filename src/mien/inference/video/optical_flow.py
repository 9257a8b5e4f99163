"""A face moved on from one frame to the next by the image itself, so that it need not be found anew in each.

Corners within the face's box are followed by optical flow forwards and back again; those that do not come back to where
they began are dropped (the median flow of Kalal, Mikolajczyk and Matas 2010, https://doi.org/10.1109/ICPR.2010.675), and
the shift, turn and scale that most of the rest agree on moves the box and the points.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.faces.crop import transform_points
from mien.faces.detector import DetectedFace

# The face and its surroundings are looked at in at most this size, whatever the size of the video.
WINDOW_SIDE = 160
# Added on each side of the box, as a part of its longer side: so far a face may move within a frame.
WINDOW_MARGIN = 0.5
MAX_CORNERS = 40
MIN_CORNERS = 4
# A corner must come back this close, in pixels of the window, and agree with the others as closely.
MAX_RETURN_PX = 1.0
MAX_DISAGREEMENT_PX = 2.0
# So many of the corners must do both, and the face cannot grow or shrink faster than this within a frame.
MIN_SHARE = 0.5
MAX_GROWTH = 1.25


def move_face(
    before_rgb: NDArray[np.uint8], after_rgb: NDArray[np.uint8], face: DetectedFace
) -> DetectedFace | None:
    """Return a face of one frame as it stands in the next, or None where that is not certain.

    Args:
        before_rgb: ``(H, W, 3)`` uint8, the frame in which the face is known.
        after_rgb: the next, of the same size.
        face: in ``before_rgb``.
    """
    window = _window(face.box_xyxy, before_rgb.shape[1::-1])
    if window is None:
        return None
    x0, y0, x1, y1 = window
    before, scale = _shrunk(before_rgb[y0:y1, x0:x1])
    after, _ = _shrunk(after_rgb[y0:y1, x0:x1])
    motion = _motion(before, after, (face.box_xyxy - (x0, y0, x0, y0)) * scale)
    if motion is None:
        return None
    growth = float(np.hypot(motion[0, 0], motion[1, 0]))
    if not 1 / MAX_GROWTH < growth < MAX_GROWTH:
        return None
    corner = np.array([x0, y0], dtype=np.float64)
    # window coordinates -> image coordinates: the linear part stays
    shift = motion[:, 2] / scale + corner - motion[:, :2] @ corner
    in_image = np.column_stack([motion[:, :2], shift])
    return _moved(face, in_image, growth)


def _window(box_xyxy: NDArray[np.float64], size_wh: tuple[int, ...]) -> tuple[int, int, int, int] | None:
    """Return the part of the image around a box as whole pixels, None where little of it is there."""
    margin = WINDOW_MARGIN * float((box_xyxy[2:] - box_xyxy[:2]).max())
    limits = np.asarray(size_wh)
    x0, y0 = np.clip(np.floor(box_xyxy[:2] - margin), 0, limits).astype(int).tolist()
    x1, y1 = np.clip(np.ceil(box_xyxy[2:] + margin), 0, limits).astype(int).tolist()
    return (x0, y0, x1, y1) if min(x1 - x0, y1 - y0) >= 8 else None


def _shrunk(part_rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """Return a part of the image in grey, halved until it is at most `WINDOW_SIDE` long, and its scale."""
    grey = cv2.cvtColor(part_rgb, cv2.COLOR_RGB2GRAY)
    scale = 1.0
    # Halving keeps blocks of pixels whole, and is ten times as fast as shrinking to any size at once.
    while max(grey.shape) > WINDOW_SIDE:
        grey = cv2.resize(grey[: grey.shape[0] // 2 * 2, : grey.shape[1] // 2 * 2], None, fx=0.5, fy=0.5)
        scale /= 2
    return np.asarray(grey, dtype=np.uint8), scale


def _motion(
    before: NDArray[np.uint8], after: NDArray[np.uint8], box_xyxy: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Return the ``(2, 3)`` similarity by which what is in the box moves, None where it is not certain."""
    inside = np.zeros_like(before)
    x0, y0, x1, y1 = box_xyxy.round().astype(int).tolist()
    inside[max(0, y0 - 1) : max(0, y1 + 1), max(0, x0 - 1) : max(0, x1 + 1)] = 255
    corners = cv2.goodFeaturesToTrack(before, MAX_CORNERS, 0.02, 3, mask=inside)
    if corners is None or len(corners) < MIN_CORNERS:
        return None
    ahead, is_found, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, None, winSize=(13, 13), maxLevel=2)
    back, is_back, _ = cv2.calcOpticalFlowPyrLK(after, before, ahead, None, winSize=(13, 13), maxLevel=2)
    apart = np.linalg.norm(back - corners, axis=2)
    is_good = ((apart < MAX_RETURN_PX) & (is_found == 1) & (is_back == 1))[:, 0]
    least = max(MIN_CORNERS, MIN_SHARE * len(corners))
    if is_good.sum() < least:
        return None
    motion, agrees = cv2.estimateAffinePartial2D(
        corners[is_good], ahead[is_good], method=cv2.RANSAC, ransacReprojThreshold=MAX_DISAGREEMENT_PX
    )
    if motion is None or agrees.sum() < least or not np.isfinite(motion).all():
        return None
    return np.asarray(motion, dtype=np.float64)


def _moved(face: DetectedFace, motion: NDArray[np.float64], growth: float) -> DetectedFace:
    """Move a face; its box stays upright. The detector's score is of another frame, so it has none."""
    corners = face.box_xyxy.reshape(2, 2)
    center = transform_points(motion, corners.mean(axis=0, keepdims=True))
    half = (corners[1] - corners[0]) * growth / 2
    points = None if face.points is None else transform_points(motion, face.points)
    return DetectedFace(np.concatenate([center - half, center + half]).reshape(4), None, points)
