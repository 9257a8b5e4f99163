"""Probabilities under another class distribution than that of the training faces."""

import numpy as np
from numpy.typing import NDArray


def divide_by_prior(
    probabilities: NDArray[np.floating], class_fractions: NDArray[np.floating], exponent: float
) -> NDArray[np.float64]:
    """Divide probabilities by a power of the class fractions trained on, and renormalize them.

    By Bayes' rule, probabilities p(c | x) that were learned with class fractions f(c) are proportional to
    p(c | x) / f(c) where all classes are equally common (Saerens, Latinne and Decaestecker 2002,
    https://doi.org/10.1162/089976602753284446, equation 2.4). That is exponent 1; 0 leaves them as they are, and exponents
    between lie between.

    Args:
        probabilities: ``(..., C)``.
        class_fractions: ``(C,)``. A class with the fraction 0 gets the probability 0 unless the exponent is 0.
        exponent: in [0, 1].

    Returns:
        ``(..., C)`` that sum to 1; the uniform distribution where nothing is left to renormalize.

    Example:
        >>> divide_by_prior(np.array([0.8, 0.2]), np.array([0.9, 0.1]), 1.0).round(3)
        array([0.308, 0.692])
    """
    values: NDArray[np.float64] = np.asarray(probabilities, dtype=np.float64)
    if exponent == 0:
        return values
    is_known = class_fractions > 0
    weights = np.where(is_known, np.where(is_known, class_fractions, 1) ** -exponent, 0)
    weighted = values * weights
    total = weighted.sum(axis=-1, keepdims=True)
    uniform = 1 / values.shape[-1]
    return np.where(total > 0, weighted / np.where(total > 0, total, 1), uniform)
