"""Optical flow: a face carried from one frame to the next without running the detector.

Corners within the face's box are tracked forward and back again; those that do not return to where they started are
dropped (the median flow of Kalal, Mikolajczyk and Matas 2010, https://doi.org/10.1109/ICPR.2010.675), and the translation,
rotation and scale on which most of the rest agree are applied to the box and the points.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.faces.crop import transform_points
from mien.faces.detector import DetectedFace

# The face and its surroundings are processed at this size at most, whatever the size of the video.
WINDOW_SIDE = 160
# Added on each side of the box, as a fraction of its longer side: how far a face may move within a frame.
WINDOW_MARGIN = 0.5
MAX_CORNERS = 40
MIN_CORNERS = 4
# How close a corner must return, in pixels of the window, and how closely it must agree with the others.
MAX_RETURN_PX = 1.0
MAX_DISAGREEMENT_PX = 2.0
# The fraction of corners that must do both, and the largest change of scale between two frames.
MIN_CORNER_RATIO = 0.5
MAX_GROWTH = 1.25


def propagate_face(
    previous_rgb: NDArray[np.uint8], current_rgb: NDArray[np.uint8], face: DetectedFace
) -> DetectedFace | None:
    """Return a face of the previous frame as it is in the current one, or None if that is uncertain.

    The box stays upright. The detector's score belongs to another frame, so the result has none.

    Args:
        previous_rgb: ``(H, W, 3)`` uint8, the frame of the face.
        current_rgb: the frame after it, of the same size.
        face: in ``previous_rgb``.
    """
    window = _window(face.box_xyxy, previous_rgb.shape[1::-1])
    if window is None:
        return None
    x0, y0, x1, y1 = window
    previous, scale = _shrunk_gray(previous_rgb[y0:y1, x0:x1])
    current, _ = _shrunk_gray(current_rgb[y0:y1, x0:x1])
    motion = _motion(previous, current, (face.box_xyxy - (x0, y0, x0, y0)) * scale)
    if motion is None:
        return None
    growth = float(np.hypot(motion[0, 0], motion[1, 0]))
    if not 1 / MAX_GROWTH < growth < MAX_GROWTH:
        return None
    # from window to image coordinates: the linear part stays
    origin = np.array([x0, y0], dtype=np.float64)
    translation = motion[:, 2] / scale + origin - motion[:, :2] @ origin
    motion = np.column_stack([motion[:, :2], translation])
    corners = face.box_xyxy.reshape(2, 2)
    center = transform_points(motion, corners.mean(axis=0, keepdims=True))
    half = (corners[1] - corners[0]) * growth / 2
    points = None if face.points is None else transform_points(motion, face.points)
    return DetectedFace(np.concatenate([center - half, center + half]).reshape(4), None, points)


def _window(box_xyxy: NDArray[np.float64], size_wh: tuple[int, ...]) -> tuple[int, int, int, int] | None:
    """Return the part of the image around a box in integer pixels, None if little of it is inside the image."""
    margin = WINDOW_MARGIN * float((box_xyxy[2:] - box_xyxy[:2]).max())
    limits = np.asarray(size_wh)
    x0, y0 = np.clip(np.floor(box_xyxy[:2] - margin), 0, limits).astype(int).tolist()
    x1, y1 = np.clip(np.ceil(box_xyxy[2:] + margin), 0, limits).astype(int).tolist()
    return (x0, y0, x1, y1) if min(x1 - x0, y1 - y0) >= 8 else None


def _shrunk_gray(part_rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """Return a part of the image in grayscale, halved until it is at most `WINDOW_SIDE` long, and its scale."""
    gray = cv2.cvtColor(part_rgb, cv2.COLOR_RGB2GRAY)
    scale = 1.0
    # Halving averages complete blocks of pixels, and is ten times as fast as shrinking to any size at once.
    while max(gray.shape) > WINDOW_SIDE:
        gray = cv2.resize(gray[: gray.shape[0] // 2 * 2, : gray.shape[1] // 2 * 2], None, fx=0.5, fy=0.5)
        scale /= 2
    return np.asarray(gray, dtype=np.uint8), scale


def _motion(
    previous: NDArray[np.uint8], current: NDArray[np.uint8], box_xyxy: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Return the ``(2, 3)`` similarity transform of what is inside a box, None if it is uncertain."""
    mask = np.zeros_like(previous)
    x0, y0, x1, y1 = box_xyxy.round().astype(int).tolist()
    mask[max(0, y0 - 1) : max(0, y1 + 1), max(0, x0 - 1) : max(0, x1 + 1)] = 255
    corners = cv2.goodFeaturesToTrack(previous, MAX_CORNERS, 0.02, 3, mask=mask)
    if corners is None or len(corners) < MIN_CORNERS:
        return None
    forward, is_found, _ = cv2.calcOpticalFlowPyrLK(
        previous, current, corners, None, winSize=(13, 13), maxLevel=2
    )
    back, is_back, _ = cv2.calcOpticalFlowPyrLK(
        current, previous, forward, None, winSize=(13, 13), maxLevel=2
    )
    error_px = np.linalg.norm(back - corners, axis=2)
    is_good = ((error_px < MAX_RETURN_PX) & (is_found == 1) & (is_back == 1))[:, 0]
    n_required = max(MIN_CORNERS, MIN_CORNER_RATIO * len(corners))
    if is_good.sum() < n_required:
        return None
    motion, is_inlier = cv2.estimateAffinePartial2D(
        corners[is_good], forward[is_good], method=cv2.RANSAC, ransacReprojThreshold=MAX_DISAGREEMENT_PX
    )
    if motion is None or is_inlier.sum() < n_required or not np.isfinite(motion).all():
        return None
    return np.asarray(motion, dtype=np.float64)
