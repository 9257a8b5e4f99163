"""Whether one model is significantly better than another on the same faces.

References:
    [0] McNemar, 1947; the exact form is a binomial test over the faces that exactly one model gets right.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.metrics.bootstrap import DEFAULT_SEED, N_RESAMPLES, Interval, percentile_interval


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """Two models on the same faces.

    Attributes:
        n: number of faces.
        n_only_first: faces that only the first model gets right.
        n_only_second: faces that only the second model gets right.
        difference: accuracy of the second minus that of the first.
        difference_ci95: its 95% bootstrap interval over faces.
        p_value: of the exact two-sided McNemar test of equal accuracy.
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
    """Compare two models by which faces each gets right.

    Args:
        first: ``(N,)`` whether the first model is correct.
        second: ``(N,)`` whether the second is, for the same faces in the same order.
        n_resamples: number of bootstrap resamples.
        seed: bootstrap seed.

    Raises:
        ValueError: the arrays differ in shape or are empty.
    """
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(
            f"`first` and `second` must both be (N,) with N > 0, got {first.shape} and {second.shape}"
        )
    n = len(first)
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    fractions = np.array([only_first, only_second, n - only_first - only_second]) / n
    drawn = np.random.default_rng(seed).multinomial(n, fractions, size=n_resamples)
    difference = (only_second - only_first) / n

    return PairedComparison(
        n=n,
        n_only_first=only_first,
        n_only_second=only_second,
        difference=difference,
        difference_ci95=percentile_interval((drawn[:, 1] - drawn[:, 0]) / n, difference),
        p_value=mcnemar_exact(only_first, only_second),
    )


def mcnemar_exact(n_only_first: int, n_only_second: int) -> float:
    """Return the two-sided p-value of equal accuracy; 1.0 if the models never differ.

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
