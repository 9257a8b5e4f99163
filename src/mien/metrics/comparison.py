"""Whether one model is better than another on the same faces, or was only luckier.

References:
    [0] McNemar, 1947; the exact form is a binomial test of the faces on which exactly one model is right.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.metrics.bootstrap import DEFAULT_SEED, N_RESAMPLES, Interval


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """Two models on the same faces.

    Attributes:
        n: faces.
        n_only_first: faces that only the first model has right.
        n_only_second: faces that only the second model has right.
        difference: accuracy of the second minus that of the first.
        difference_ci95: its 95 % bootstrap interval over faces.
        p_value: exact two-sided McNemar test that both are equally often right.
    """

    n: int
    n_only_first: int
    n_only_second: int
    difference: float
    difference_ci95: Interval
    p_value: float


def compare_paired(
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = DEFAULT_SEED,
) -> PairedComparison:
    """Compare two models by which faces each has right.

    Args:
        first: ``(N,)`` whether the first model is right.
        second: ``(N,)`` whether the second is, on the same faces in the same order.
        n_resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ValueError: the arrays differ in shape or are empty.
    """
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(
            f"`first` and `second` must be (N,) alike with N > 0, got {first.shape} and {second.shape}"
        )
    n = len(first)
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    shares = np.array([only_first, only_second, n - only_first - only_second]) / n
    drawn = np.random.default_rng(seed).multinomial(n, shares, size=n_resamples)
    difference = (only_second - only_first) / n
    low, high = np.percentile((drawn[:, 1] - drawn[:, 0]) / n, (2.5, 97.5))
    return PairedComparison(
        n=n,
        n_only_first=only_first,
        n_only_second=only_second,
        difference=difference,
        difference_ci95=(min(float(low), difference), max(float(high), difference)),
        p_value=mcnemar_exact(only_first, only_second),
    )


def mcnemar_exact(n_only_first: int, n_only_second: int) -> float:
    """Return the two-sided p-value that both models are equally often right; 1.0 where they never differ.

    Example:
        >>> round(mcnemar_exact(1, 9), 6)
        0.021484
    """
    n = n_only_first + n_only_second
    log_factorial = [0.0, *np.cumsum(np.log(np.arange(1, n + 1))).tolist()]
    log_terms = (
        log_factorial[n] - log_factorial[k] - log_factorial[n - k] - n * math.log(2)
        for k in range(min(n_only_first, n_only_second) + 1)
    )
    return min(1.0, 2 * math.fsum(math.exp(term) for term in log_terms))
