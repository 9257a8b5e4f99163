"""Copies among faces: candidates are aligned to each other, and are copies if their detail agrees."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.faces.copy_search import INDEXED, LOOKED_UP, Transform, find_candidates
from mien.faces.thumbnail import OUTSIDE, THUMBNAIL_SIDE, fill_outside
from mien.runtime.cpu import usable_cpu_cores

# docs/guide/data.md has what this finds and how often it is wrong.
MIN_CORRELATION = 0.94
# Of LFW's copies that are turned by 10 degrees or cut to 90 %, 1 of 1,181 correlates less before it is aligned, and so do 45 %
# of the other candidates, whose alignment is the largest part of the cost.
_WORTH_ALIGNING = 0.7
# A map that stretches one axis would fit the faces of two people to each other.
_MAX_STRETCH = 1.12
_SCALES = (0.75, 1.35)
_CRITERIA = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 6, 1e-3)
# Copies that were shifted or turned have black or repeated pixels at the border.
_BORDER = 3
# Pixels next to those outside the image are mixed with black.
_MARGIN = 1
_MIN_OVERLAP = 0.3
# Root mean square of the detail, in gray levels, below which there is nothing to compare.
_MIN_DETAIL = 1.0
_SIZE = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)


def find_copies(thumbnails: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return ``(P, 2)`` pairs of faces that are turned, cut, shifted, mirrored or otherwise edited copies.

    Args:
        thumbnails: ``(N, 32, 32)`` uint8 from `mien.faces.thumbnail`; may be memory-mapped.
    """
    pairs = find_candidates(thumbnails)

    def check(index: int) -> bool:
        return are_copies(
            thumbnails[pairs.looked_up[index]],
            thumbnails[pairs.indexed[index]],
            lookup=int(pairs.lookup[index]),
            window=int(pairs.window[index]),
        )

    with ThreadPoolExecutor(usable_cpu_cores()) as pool:  # aligning releases the GIL
        found = np.fromiter(pool.map(check, range(len(pairs.lookup))), dtype=bool, count=len(pairs.lookup))
    return np.asarray(np.column_stack([pairs.looked_up, pairs.indexed])[found], dtype=np.int64)


def are_copies(looked_up: NDArray[np.uint8], indexed: NDArray[np.uint8], *, lookup: int, window: int) -> bool:
    """Return whether the detail of two thumbnails agrees once they are aligned.

    Alignment maximizes the enhanced correlation coefficient over affine maps (Evangelidis and Psarakis 2008,
    https://doi.org/10.1109/TPAMI.2008.113), starting from the windows that agree.

    Args:
        looked_up: ``(32, 32)`` uint8.
        indexed: ``(32, 32)`` uint8.
        lookup: index into `LOOKED_UP`.
        window: index into `INDEXED`.
    """
    one, other = _detail(looked_up), _detail(indexed)
    masks = _inner(looked_up), _inner(indexed)
    matrix = _pixel_matrix(LOOKED_UP[lookup], INDEXED[window])
    before = _correlation(one, other, matrix, masks)
    if not _WORTH_ALIGNING <= before < MIN_CORRELATION:
        return before >= MIN_CORRELATION
    try:
        _, matrix = cv2.findTransformECC(other, one, matrix, cv2.MOTION_AFFINE, _CRITERIA, masks[0], 1)
    except cv2.error:  # the two do not overlap, or one is uniform
        return False
    large, small = np.linalg.svd(matrix[:, :2], compute_uv=False)
    if large > _MAX_STRETCH * small or small < _SCALES[0] or large > _SCALES[1]:
        return False
    return _correlation(one, other, matrix, masks) >= MIN_CORRELATION


def _correlation(
    one: NDArray[np.float32],
    other: NDArray[np.float32],
    matrix: NDArray[np.float32],
    masks: tuple[NDArray[np.uint8], NDArray[np.uint8]],
) -> float:
    """Return the correlation where two images overlap, borders left out; -1 if they overlap too little or show nothing.

    Args:
        one: ``(32, 32)`` float32.
        other: ``(32, 32)`` float32.
        matrix: ``(2, 3)`` from pixels of ``other`` to pixels of ``one``.
        masks: ``(32, 32)`` uint8, 1 for the pixels of each that are compared.
    """
    flags = cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(one, matrix, _SIZE, flags=flags | cv2.INTER_LINEAR)
    reached = cv2.warpAffine(masks[0], matrix, _SIZE, flags=flags | cv2.INTER_NEAREST)
    both = (masks[1] & reached).astype(bool)
    if np.count_nonzero(both) < _MIN_OVERLAP * both.size:
        return -1.0
    x, y = warped[both], other[both]
    x, y = x - x.mean(), y - y.mean()
    norms = float(np.linalg.norm(x)), float(np.linalg.norm(y))
    if min(norms) < _MIN_DETAIL * len(x) ** 0.5:
        return -1.0
    return float(x @ y) / (norms[0] * norms[1])


def _inner(thumbnail: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a mask of a thumbnail that is 1 except at its border, outside the image and next to that."""
    mask = (thumbnail != OUTSIDE).astype(np.uint8)
    mask = np.asarray(cv2.erode(mask, np.ones((2 * _MARGIN + 1, 2 * _MARGIN + 1), np.uint8)), np.uint8)
    for side in (mask, mask.T):
        side[:_BORDER] = side[-_BORDER:] = 0
    return mask


def _pixel_matrix(looked_up: Transform, indexed: Transform) -> NDArray[np.float32]:
    """Return the ``(2, 3)`` matrix from pixels of the indexed thumbnail to pixels of the one that was looked up."""
    matrix = looked_up.matrix()
    shift = np.array([indexed.shift_x, indexed.shift_y]) * THUMBNAIL_SIDE
    center = (THUMBNAIL_SIDE - 1) / 2
    matrix[:, 2] = center - matrix[:, :2] @ (shift + center)
    return matrix.astype(np.float32)


def _detail(thumbnail: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what is finer than a tenth of the face, without pixel noise."""
    pixels = fill_outside(thumbnail).astype(np.float32)
    fine, coarse = (cv2.GaussianBlur(pixels, (0, 0), sigma) for sigma in (0.7, THUMBNAIL_SIDE / 10))
    return np.asarray(fine - coarse, dtype=np.float32)
