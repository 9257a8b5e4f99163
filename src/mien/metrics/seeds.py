"""Models that differ in their training seed alone: their mean, their spread, and one such group against another.

A figure moves for two reasons: other faces might have been measured, and another seed would have trained
another model. An interval here holds both. Faces are resampled, the same ones for every model. Seeds are not:
two or three of them, resampled, show a half or two thirds of their variance and nothing of how uncertain it is,
so that such an interval holds the truth far too seldom. Student's t takes their place.

References:
    [0] Student, The Probable Error of a Mean, 1908; for two groups with the variance pooled.
    [1] Bouthillier et al., Accounting for Variance in Machine Learning Benchmarks, 2021,
        https://arxiv.org/abs/2103.03098: both sources belong in a comparison.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.metrics.bootstrap import DEFAULT_SEED, Interval, percentile_interval

# Draws of t for each resample of the faces: the tails of t want more of them than there are resamples.
_DRAWS = 20


@dataclass(frozen=True, slots=True)
class SeedMean:
    """A figure of models that differ in their seed alone.

    Attributes:
        values: of each model.
        mean: theirs.
        deviation: their standard deviation (over n - 1); None for a single model.
        ci95: interval of the mean, over faces and, of two models or more, seeds; None where faces were not
            resampled.
    """

    values: tuple[float, ...]
    mean: float
    deviation: float | None
    ci95: Interval | None


@dataclass(frozen=True, slots=True)
class SeedDifference:
    """The mean of a second group minus that of a first.

    Attributes:
        difference: of the means.
        ci95: its interval; None where faces were not resampled.
        covers_seeds: whether the interval holds the spread between seeds, which takes a group of two models.
    """

    difference: float
    ci95: Interval | None
    covers_seeds: bool


def summarize_seeds(
    values: Sequence[float],
    resampled: NDArray[np.floating] | None,
    *,
    limits: Interval = (-math.inf, math.inf),
    seed: int = DEFAULT_SEED,
) -> SeedMean:
    """Return mean, spread and interval of a figure.

    Args:
        values: of S models, S > 0.
        resampled: ``(R, S)`` the same figure on resampled faces, or None.
        limits: the figure's range, which its interval never leaves.
        seed: of the draws.
    """
    n, mean = len(values), float(np.mean(values))
    deviation = float(np.std(values, ddof=1)) if n > 1 else None
    interval = None
    if resampled is not None:
        error = 0.0 if deviation is None else deviation / math.sqrt(n)
        low, high = _interval(resampled.mean(axis=1), mean, error=error, freedom=n - 1, seed=seed)
        interval = max(low, limits[0]), min(high, limits[1])
    return SeedMean(tuple(float(value) for value in values), mean, deviation, interval)


def compare_seeds(
    first: Sequence[float],
    second: Sequence[float],
    first_resampled: NDArray[np.floating] | None,
    second_resampled: NDArray[np.floating] | None,
    *,
    seed: int = DEFAULT_SEED,
) -> SeedDifference:
    """Return the difference of two groups' means, the second minus the first.

    Args:
        first: a figure of the S models of the first group.
        second: of the T models of the second.
        first_resampled: ``(R, S)`` the same figure on resampled faces, or None.
        second_resampled: ``(R, T)`` of the second group, on the same faces, or None.
        seed: of the draws.
    """
    difference = float(np.mean(second) - np.mean(first))
    freedom = len(first) + len(second) - 2
    interval = None
    if first_resampled is not None and second_resampled is not None:
        squares = sum(float(np.var(values)) * len(values) for values in (first, second))
        error = math.sqrt(squares / freedom * (1 / len(first) + 1 / len(second))) if freedom else 0.0
        moved = second_resampled.mean(axis=1) - first_resampled.mean(axis=1)
        interval = _interval(moved, difference, error=error, freedom=freedom, seed=seed)
    return SeedDifference(difference, interval, covers_seeds=freedom > 0)


def _interval(
    resampled: NDArray[np.floating], estimate: float, *, error: float, freedom: int, seed: int
) -> Interval:
    """Return the 95 % interval of resampled estimates that have a standard error beside, known by so many seeds."""
    if freedom == 0 or error == 0:
        return percentile_interval(resampled, estimate)
    drawn = np.random.default_rng(seed).standard_t(freedom, (len(resampled), _DRAWS))
    return percentile_interval((resampled[:, None] + error * drawn).ravel(), estimate)
