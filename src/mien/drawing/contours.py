"""Facial contours as polylines through landmarks."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.faces.landmarks import CONTOURS


def visible_contours(
    landmarks: NDArray[np.floating[Any]],
) -> Iterator[tuple[NDArray[np.floating[Any]], bool]]:
    """Yield the visible parts of every facial contour, as points and whether they form a closed line.

    A contour is split at missing points; a part may be a single point. Parts of a closed contour are open.

    Args:
        landmarks: ``(68, 2)``, NaN where a point is missing.
    """
    for indices, is_closed in CONTOURS:
        contour = landmarks[indices]
        is_visible = np.isfinite(contour).all(axis=1)
        if is_visible.all():
            yield contour, is_closed
            continue
        if is_closed:
            contour, is_visible = (
                np.append(contour, contour[:1], axis=0),
                np.append(is_visible, is_visible[0]),
            )
        edges = np.flatnonzero(np.diff(is_visible.astype(int), prepend=0, append=0))
        for start, end in edges.reshape(-1, 2):
            yield contour[start:end], False
