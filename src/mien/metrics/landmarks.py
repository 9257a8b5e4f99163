"""Landmark error: the normalized mean error (NME), relative to the distance between the outer eye corners.

References:
    [0] Sagonas et al., 300 Faces in-the-Wild Challenge, 2016: inter-ocular normalization by the outer corners
        (points 37 and 46 there, 36 and 45 counted from 0) and the cumulative error curve.
"""

import numpy as np
from numpy.typing import NDArray

from mien.faces.landmarks import LEFT_EYE_OUTER_CORNER, RIGHT_EYE_OUTER_CORNER


def nme_per_face(truth: NDArray[np.floating], predicted: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the mean distance of the 68 points, as a fraction of the distance between the outer eye corners.

    Args:
        truth: ``(N, 68, 2)`` in any isotropic unit (pixels, or fractions of a square crop), NaN where missing.
        predicted: ``(N, 68, 2)`` in the same unit.

    Returns:
        ``(N,)``; NaN for a face without landmarks, or whose eye corners coincide.

    Raises:
        ValueError: the arrays differ in shape.
    """
    if truth.shape != predicted.shape or truth.ndim != 3:
        raise ValueError(
            f"`truth` and `predicted` must both be (N, 68, 2), got {truth.shape} and {predicted.shape}"
        )
    truth = truth.astype(np.float64)
    distance = np.linalg.norm(predicted - truth, axis=2).mean(axis=1)
    corners = truth[:, RIGHT_EYE_OUTER_CORNER] - truth[:, LEFT_EYE_OUTER_CORNER]
    eyes = np.linalg.norm(corners, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = distance / eyes
    return np.where(np.isfinite(errors), errors, np.nan)


def mean_nme(errors: NDArray[np.floating]) -> float | None:
    """Return the mean of the errors that `nme_per_face` returned, ignoring NaN; None if all are NaN."""
    known = errors[np.isfinite(errors)]
    return float(known.mean()) if len(known) else None


def cumulative_error(
    errors: NDArray[np.floating], thresholds: NDArray[np.floating]
) -> NDArray[np.float64] | None:
    """Return the fraction of faces whose error is at most each threshold, ignoring NaN; None if all are NaN."""
    known = np.sort(errors[np.isfinite(errors)])
    if not len(known):
        return None
    return np.searchsorted(known, thresholds, side="right") / len(known)


def dev_scores(
    truth: NDArray[np.floating], predicted: NDArray[np.floating], _annotations: object = None
) -> dict[str, float | None]:
    """Return the dev metrics of ``(N, 68, 2)`` landmarks, NaN where not annotated."""
    return {"nme": mean_nme(nme_per_face(truth, predicted))}
