"""The parts of a face, as masks drawn through its landmarks."""

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.faces.landmarks import JAW, LEFT_BROW, LEFT_EYE, NOSE, OUTER_MOUTH, RIGHT_BROW, RIGHT_EYE

# The features, each as the convex hulls of some landmarks.
_FEATURES = {
    "eyes and brows": ((LEFT_BROW, LEFT_EYE), (RIGHT_BROW, RIGHT_EYE)),
    "nose": ((NOSE,),),
    "mouth": ((OUTER_MOUTH,),),
}
REGIONS = (*_FEATURES, "rest of the face", "background")
# Skin around a feature that moves with it, as a fraction of the face's width.
_MARGIN = 0.04
# The landmarks end at the brows: the forehead reaches this fraction of the distance from chin to brows above them.
_FOREHEAD = 0.35


def region_masks(landmarks: NDArray[np.floating], side: int) -> dict[str, NDArray[np.bool_]]:
    """Return the pixels of each part of a face by its name in `REGIONS`; every pixel is in exactly one.

    Args:
        landmarks: ``(68, 2)`` finite fractions of the crop.
        side: side S of the crop in pixels.

    Returns:
        ``(S, S)`` each.
    """
    points = np.clip(landmarks * side, -side, 2 * side).astype(np.float32)
    brows = np.concatenate([points[LEFT_BROW], points[RIGHT_BROW]])
    raised = brows + _FOREHEAD * (brows.mean(axis=0) - points[8])
    free = _fill_hull(np.concatenate([points[JAW], brows, raised]), side)
    background = ~free
    margin = max(1, round(_MARGIN * float(np.ptp(points[JAW, 0]))))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1, 2 * margin + 1))
    masks = {}
    for name, hulls in _FEATURES.items():
        feature = np.zeros((side, side), dtype=bool)
        for parts in hulls:
            filled = _fill_hull(np.concatenate([points[part] for part in parts]), side)
            feature |= cv2.dilate(filled.astype(np.uint8), kernel).astype(bool)
        masks[name] = feature & free
        free = free & ~feature
    return dict(zip(REGIONS, (*masks.values(), free, background), strict=True))


def _fill_hull(points: NDArray[np.float32], side: int) -> NDArray[np.bool_]:
    mask = np.zeros((side, side), dtype=np.uint8)
    cv2.fillConvexPoly(mask, np.rint(cv2.convexHull(points)).astype(np.int32), 1)
    return mask.astype(bool)
