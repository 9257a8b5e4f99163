"""Prediction sets that contain the true one with a promised probability, class by class."""

import math

import numpy as np
from numpy.typing import NDArray


def class_quantiles(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], coverage: float
) -> NDArray[np.float64]:
    """Return the largest nonconformity of each class that its sets admit.

    Split conformal prediction within each class (Mondrian; Vovk, Gammerman, Shafer 2005, section 4.5), with the score
    1 - p(class). Of n faces of a class it is the score of rank ceil((n + 1) * coverage), so that a new face of that class,
    drawn as these were, has it in its set with at least this probability; infinite if n is too small for the promise.

    Args:
        probabilities: ``(N, C)`` of faces that the model was neither trained nor selected on.
        labels: ``(N,)`` true classes.
        coverage: in (0, 1).

    Returns:
        ``(C,)``.

    Example:
        >>> p = np.array([0.9, 0.7, 0.8, 0.2])
        >>> class_quantiles(np.stack([p, 1 - p], axis=1), np.array([0, 0, 0, 1]), 0.5).round(2)
        array([0.2, 0.2])
    """
    if not 0 < coverage < 1:
        raise ValueError(f"coverage must be in (0, 1), got {coverage}")
    quantiles = np.full(probabilities.shape[1], np.inf)
    for label in range(probabilities.shape[1]):
        scores = np.sort(1 - probabilities[labels == label, label].astype(np.float64))
        # Rounded, since (9 + 1) * 0.9 must be 9, not a little more.
        rank = math.ceil(round((len(scores) + 1) * coverage, 9))
        if 0 < rank <= len(scores):
            quantiles[label] = scores[rank - 1]
    return quantiles


def is_in_set(probabilities: NDArray[np.floating], quantiles: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return which classes are in the set of each face, ``(..., C)``; it may be empty, if the face fits no class."""
    admitted: NDArray[np.bool_] = 1 - probabilities.astype(np.float64) <= quantiles + 1e-9
    return admitted
