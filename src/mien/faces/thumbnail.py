"""A small grayscale version of a crop, by which turned, cut and shifted copies are found.

A crop that reaches beyond its image is black there, at other places than a copy's that was turned or cut. So the thumbnail
shows the part of the crop that is image, centered and scaled to one area, and says which of its pixels lie outside.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

THUMBNAIL_SIDE = 32
# The value of pixels outside the image; those inside are brighter.
OUTSIDE = 0
# Black that went through JPEG is darker than this.
_BLACK = 12
_SIDE = 2 * THUMBNAIL_SIDE
# A smaller part shows no face: the crop is a dark image, and no image with a black border.
_MIN_AREA = 0.15


def thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a ``(32, 32)`` uint8 thumbnail of a ``(H, W, 3)`` RGB or ``(H, W)`` grayscale uint8 crop, 0 outside the image."""
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) if pixels.ndim == 3 else pixels
    small = np.asarray(cv2.resize(gray, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.uint8)
    outline = _outline(small)
    if outline is None:
        shown = cv2.resize(small, (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA)
        return np.asarray(np.maximum(shown, OUTSIDE + 1), np.uint8)
    moments = cv2.moments(outline)
    scale = math.sqrt(moments["m00"]) / _SIDE
    center = np.array([moments["m10"], moments["m01"]]) / moments["m00"]
    middle = (_SIDE - 1) / 2
    matrix = np.array([[scale, 0, center[0] - scale * middle], [0, scale, center[1] - scale * middle]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    enlarged = cv2.warpAffine(small, matrix, (_SIDE, _SIDE), flags=flags)
    inside = np.zeros((_SIDE, _SIDE), np.uint8)
    cv2.fillConvexPoly(inside, np.rint((outline[:, 0] - matrix[:, 2]) / scale).astype(np.int32), 255)
    shown, covered = (
        cv2.resize(full, (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA)
        for full in (enlarged, inside)
    )
    return np.where(covered == 255, np.maximum(shown, OUTSIDE + 1), OUTSIDE).astype(np.uint8)


def _outline(small: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    """Return the ``(N, 1, 2)`` convex outline of what is not black, or None if that is nearly all or nearly nothing.

    An image in a crop is convex, so that dark hair and corners in it do not matter.
    """
    edges = (small[0], small[-1], small[:, 0], small[:, -1])
    if min(int(edge.min()) for edge in edges) > _BLACK:
        return None
    bright = small > _BLACK
    rows = np.flatnonzero(bright.any(axis=1))
    left, right = bright[rows].argmax(axis=1), _SIDE - 1 - bright[rows, ::-1].argmax(axis=1)
    points = np.concatenate([np.column_stack([left, rows]), np.column_stack([right, rows])])
    if len(rows) < 3:
        return None
    outline = np.asarray(cv2.convexHull(points.astype(np.float32)))
    return outline if _MIN_AREA < cv2.contourArea(outline) / (_SIDE - 1) ** 2 < 0.99 else None


def fill_outside(shown: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a thumbnail whose pixels outside the image have the value of the nearest pixel inside."""
    outside = (shown == OUTSIDE).astype(np.uint8)
    if not outside.any() or outside.all():
        return shown
    _, labels = cv2.distanceTransformWithLabels(
        outside, cv2.DIST_L2, cv2.DIST_MASK_3, labelType=cv2.DIST_LABEL_PIXEL
    )
    values = np.zeros(int(labels.max()) + 1, np.uint8)
    inside = outside == 0
    values[labels[inside]] = shown[inside]
    return values[labels]
