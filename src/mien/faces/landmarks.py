"""The 68 facial landmarks in iBUG order (https://ibug.doc.ic.ac.uk/resources/facial-point-annotations/).

Convention: ``(68, 2)`` float arrays of x, y; x to the right, y down. "Left" and "right" are as seen in
the image. A face without landmarks has None or NaN, never a magic number.
"""

import numpy as np
from numpy.typing import NDArray

N_LANDMARKS = 68
N_POINTS = 5

JAW = slice(0, 17)
LEFT_BROW = slice(17, 22)
RIGHT_BROW = slice(22, 27)
NOSE = slice(27, 36)
LEFT_EYE = slice(36, 42)
RIGHT_EYE = slice(42, 48)
OUTER_MOUTH = slice(48, 60)
INNER_MOUTH = slice(60, 68)
NOSE_TIP = 30
LEFT_EYE_OUTER_CORNER, RIGHT_EYE_OUTER_CORNER = 36, 45
LEFT_MOUTH_CORNER, RIGHT_MOUTH_CORNER = 48, 54

# Polylines that draw a face through the points: (slice, closed).
CONTOURS = (
    (JAW, False),
    (LEFT_BROW, False),
    (RIGHT_BROW, False),
    (slice(27, 31), False),
    (slice(31, 36), False),
    (LEFT_EYE, True),
    (RIGHT_EYE, True),
    (OUTER_MOUTH, True),
    (INNER_MOUTH, True),
)

# Order of the points in a mirrored image: mirrored[i] = original[FLIP_PERMUTATION[i]].
FLIP_PERMUTATION = np.array(
    [
        *range(16, -1, -1),
        *range(26, 16, -1),
        *range(27, 31),
        *range(35, 30, -1),
        45, 44, 43, 42, 47, 46,
        39, 38, 37, 36, 41, 40,
        *range(54, 47, -1),
        *range(59, 54, -1),
        *range(64, 59, -1),
        *range(67, 64, -1),
    ]
)  # fmt: skip

# Each anchor is a mean of landmarks.
_ANCHOR_WEIGHTS = np.zeros((4, N_LANDMARKS))
_ANCHOR_WEIGHTS[0, LEFT_EYE] = _ANCHOR_WEIGHTS[1, RIGHT_EYE] = 1 / 6
_ANCHOR_WEIGHTS[2, LEFT_MOUTH_CORNER] = _ANCHOR_WEIGHTS[3, RIGHT_MOUTH_CORNER] = 1
# Left, right, top and bottom of a face in distances between its eyes, from their middle, along and across their line: the
# medians of the bounds of 68 landmarks of 3,374 photographs (LFW), rounded.
_FACE_EXTENT = (-1.1, 1.1, -0.4, 1.8)


def anchors_from_landmarks(landmarks: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the four points that position an aligned crop.

    Args:
        landmarks: ``(68, 2)`` x, y.

    Returns:
        ``(4, 2)``: left eye center, right eye center, left mouth corner, right mouth corner.
    """
    return np.asarray(_ANCHOR_WEIGHTS @ landmarks, dtype=np.float64)


def five_from_landmarks(landmarks: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the ``(5, 2)`` points of `DetectedFace.points` from ``(68, 2)`` landmarks."""
    return np.insert(anchors_from_landmarks(landmarks), 2, landmarks[NOSE_TIP], axis=0)


def box_of_points(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the xyxy box ``(4,)`` of a face: the bounds of 68 landmarks, or what five points, which lie inside the face, suggest.

    Args:
        points: ``(68, 2)`` landmarks, or ``(5, 2)`` in the order of `DetectedFace.points`; x, y in pixels.
    """
    if len(points) == N_POINTS:
        left, right, top, bottom = _FACE_EXTENT
        across = points[1] - points[0]
        down = np.array([-across[1], across[0]])
        corners = np.array([(left, top), (right, top), (left, bottom), (right, bottom)])
        points = points[:2].mean(axis=0) + corners @ np.stack([across, down])
    return np.concatenate([points.min(axis=0), points.max(axis=0)]).astype(np.float64)


def are_in_order(landmarks: NDArray[np.floating]) -> bool:
    """Return whether the mouth is below the eyes and left is left, however the face is turned in the image.

    Points in another order, or with x and y exchanged, hardly ever look so.

    Args:
        landmarks: ``(68, 2)`` x, y.
    """
    left, right, left_corner, right_corner = anchors_from_landmarks(landmarks)
    along, to_mouth = right - left, (left_corner + right_corner - left - right) / 2
    below = along[0] * to_mouth[1] - along[1] * to_mouth[0]
    return bool(below > 0.1 * (along @ along) and (right_corner - left_corner) @ along > 0)


def eye_aspect_ratio(landmarks: NDArray[np.floating]) -> float:
    """Return the height of the eyes over their width, the mean of both: it falls when they close.

    Soukupova and Cech, Real-Time Eye Blink Detection using Facial Landmarks, 2016: half the sum of the two distances between
    the lids, over the distance between the corners. NaN if an eye has no width.

    Args:
        landmarks: ``(68, 2)`` x, y.
    """
    eyes = np.stack([landmarks[LEFT_EYE], landmarks[RIGHT_EYE]])
    heights = np.linalg.norm(eyes[:, [1, 2]] - eyes[:, [5, 4]], axis=2).mean(axis=1)
    return _mean_ratio(heights, np.linalg.norm(eyes[:, 0] - eyes[:, 3], axis=1))


def mouth_aspect_ratio(landmarks: NDArray[np.floating]) -> float:
    """Return the height of the mouth's opening over its width: 0 for a closed mouth.

    The mean of the three distances between the inner lips, over the distance between the inner corners. NaN if the mouth has
    no width.

    Args:
        landmarks: ``(68, 2)`` x, y.
    """
    mouth = landmarks[INNER_MOUTH]
    heights = np.linalg.norm(mouth[[1, 2, 3]] - mouth[[7, 6, 5]], axis=1).mean(keepdims=True)
    return _mean_ratio(heights, np.linalg.norm(mouth[:1] - mouth[4:5], axis=1))


def _mean_ratio(heights: NDArray[np.floating], widths: NDArray[np.floating]) -> float:
    return float(np.mean(heights / widths)) if (widths > 0).all() else float("nan")
