"""Operations on boxes.

Convention: ``xyxy`` is left, top, right, bottom; x to the right, y down.
"""

import numpy as np
from numpy.typing import NDArray


def area_xyxy(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the area of each box: ``(..., 4)`` gives ``(...)``."""
    return np.asarray((boxes[..., 2:] - boxes[..., :2]).prod(axis=-1), dtype=np.float64)


def intersection_xyxy(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the area that boxes have in common, 0 if they do not overlap; ``(..., 4)`` arrays broadcast to ``(...)``.

    Example:
        >>> float(intersection_xyxy(np.array([0.0, 0, 4, 4]), np.array([2.0, 3, 9, 9])))
        2.0
    """
    low = np.maximum(one[..., :2], other[..., :2])
    high = np.minimum(one[..., 2:], other[..., 2:])
    return np.asarray(np.clip(high - low, 0, None).prod(axis=-1), dtype=np.float64)


def iou_xyxy(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ``(N, M)`` intersection over union of each of N boxes with each of M."""
    one, other = one[:, None], other[None]
    intersection = intersection_xyxy(one, other)
    union = area_xyxy(one) + area_xyxy(other) - intersection
    return np.asarray(intersection / np.maximum(union, 1e-9), dtype=np.float64)
