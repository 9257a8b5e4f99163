"""Copies among faces: candidates are aligned to each other, and are copies if their detail agrees."""

import math
from functools import cache, lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.faces.copy_search import INDEXED, LOOKED_UP, find_candidates
from mien.faces.thumbnail import OUTSIDE, THUMBNAIL_SIDE, fill_outside

# docs/guide/data.md has what this finds and how often it is wrong.
MIN_CORRELATION = 0.94
# Of LFW's copies that are turned by 10 degrees or cut to 90%, 1 of 1,181 correlates less before it is aligned, and so do 45%
# of the other candidates, whose alignment is the largest part of the cost.
_WORTH_ALIGNING = 0.7
# A map that stretches one axis would fit the faces of two people to each other.
_MAX_STRETCH = 1.12
_SCALES = (0.75, 1.35)
# Alignment takes two steps, and two more if the detail then agrees about as well as a copy's. That loses none of 2,835 copies
# of LFW's that are cut to 90% or turned by 10 degrees, and ends the alignment of most other candidates.
_WORTH_CONTINUING = 0.88
_CRITERIA = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 2, 1e-3)
# Copies that were shifted or turned have black or repeated pixels at the border.
_BORDER = 3
# Pixels next to those outside the image are mixed with black.
_MARGIN = 1
_MIN_OVERLAP = 0.3
# Root mean square of the detail, in gray levels, below which there is nothing to compare.
_MIN_DETAIL = 1.0
_SIZE = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
# A face is in several candidates, most of them near each other.
_N_CACHED = 4096


class Detail(NamedTuple):
    """What is compared of a face.

    Attributes:
        values: ``(32, 32)`` float32, what is finer than a tenth of the face, without pixel noise.
        mask: ``(32, 32)`` float32, 1 for the pixels that are compared, 0 at the border and outside the image.
    """

    values: NDArray[np.float32]
    mask: NDArray[np.float32]


def find_copies(thumbnails: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return ``(P, 2)`` pairs of faces that are turned, cut, shifted, mirrored or otherwise edited copies.

    Args:
        thumbnails: ``(N, 32, 32)`` uint8 from `mien.faces.thumbnail`; may be memory-mapped.
    """
    pairs = find_candidates(thumbnails)
    detail_of = lru_cache(_N_CACHED)(lambda face: detail(thumbnails[face]))
    found = [
        (one, other)
        for one, other, lookup, window in zip(
            pairs.looked_up.tolist(),
            pairs.indexed.tolist(),
            pairs.lookup.tolist(),
            pairs.window.tolist(),
            strict=True,
        )
        if are_copies(detail_of(one), detail_of(other), lookup=lookup, window=window)
    ]
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def are_copies(looked_up: Detail, indexed: Detail, *, lookup: int, window: int) -> bool:
    """Return whether the detail of two faces agrees once they are aligned.

    Alignment maximizes the enhanced correlation coefficient over affine maps (Evangelidis and Psarakis 2008,
    https://doi.org/10.1109/TPAMI.2008.113), starting from the windows that agree.

    Args:
        looked_up: the face whose window is ``LOOKED_UP[lookup]``.
        indexed: the face whose window is ``INDEXED[window]``.
        lookup: index into `LOOKED_UP`.
        window: index into `INDEXED`.
    """
    matrix = _pixel_matrix(lookup, window).copy()  # the alignment changes it in place
    correlation = _correlation(looked_up, indexed, matrix)
    if not _WORTH_ALIGNING <= correlation < MIN_CORRELATION:
        return correlation >= MIN_CORRELATION
    mask = looked_up.mask.astype(np.uint8)
    for _ in range(2):
        try:
            _, matrix = cv2.findTransformECC(
                indexed.values, looked_up.values, matrix, cv2.MOTION_AFFINE, _CRITERIA, mask, 1
            )
        except cv2.error:  # the two do not overlap, or one is uniform
            return False
        correlation = _correlation(looked_up, indexed, matrix)
        if correlation < _WORTH_CONTINUING:
            return False
    if correlation < MIN_CORRELATION:
        return False
    large, small = np.linalg.svd(matrix[:, :2], compute_uv=False)
    return bool(large <= _MAX_STRETCH * small and _SCALES[0] <= small and large <= _SCALES[1])


def _correlation(one: Detail, other: Detail, matrix: NDArray[np.float32]) -> float:
    """Return the correlation where two faces overlap, borders left out; -1 if they overlap too little or show nothing.

    Args:
        one: a face.
        other: another face.
        matrix: ``(2, 3)`` from pixels of ``other`` to pixels of ``one``.
    """
    warped = cv2.warpAffine(one.values, matrix, _SIZE, flags=cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR)
    reached = cv2.warpAffine(one.mask, matrix, _SIZE, flags=cv2.WARP_INVERSE_MAP | cv2.INTER_NEAREST)
    both = (reached * other.mask).ravel()
    n_pixels = float(both @ both)
    if n_pixels < _MIN_OVERLAP * both.size:
        return -1.0
    x, y = warped.ravel() * both, other.values.ravel() * both
    x -= both * (float(x @ both) / n_pixels)
    y -= both * (float(y @ both) / n_pixels)
    norms = math.sqrt(x @ x), math.sqrt(y @ y)
    if min(norms) < _MIN_DETAIL * math.sqrt(n_pixels):
        return -1.0
    return float(x @ y) / (norms[0] * norms[1])


@cache
def _pixel_matrix(lookup: int, window: int) -> NDArray[np.float32]:
    """Return the ``(2, 3)`` matrix from pixels of the indexed thumbnail to pixels of the one that was looked up."""
    matrix, indexed = LOOKED_UP[lookup].matrix(), INDEXED[window]
    shift = np.array([indexed.shift_x, indexed.shift_y]) * THUMBNAIL_SIDE
    center = (THUMBNAIL_SIDE - 1) / 2
    matrix[:, 2] = center - matrix[:, :2] @ (shift + center)
    return matrix.astype(np.float32)


def detail(thumbnail: NDArray[np.uint8]) -> Detail:
    """Return what is compared of a ``(32, 32)`` uint8 thumbnail."""
    pixels = fill_outside(thumbnail).astype(np.float32)
    fine, coarse = (cv2.GaussianBlur(pixels, (0, 0), sigma) for sigma in (0.7, THUMBNAIL_SIDE / 10))
    mask = (thumbnail != OUTSIDE).astype(np.float32)
    mask = np.asarray(cv2.erode(mask, np.ones((2 * _MARGIN + 1, 2 * _MARGIN + 1), np.uint8)), np.float32)
    for side in (mask, mask.T):
        side[:_BORDER] = side[-_BORDER:] = 0
    return Detail(np.asarray(fine - coarse, dtype=np.float32), mask)
