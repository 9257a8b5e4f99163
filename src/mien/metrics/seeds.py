"""Models that differ only in their training seed: mean and standard deviation, and comparison of two such groups.

A metric varies for two reasons: other faces might have been measured, and another seed would have trained
another model. These intervals cover both. Faces are resampled, the same ones for every model. Seeds are not: a
bootstrap over two or three of them recovers only a half or two thirds of their variance and none of its
uncertainty, so such an interval would cover the truth far too rarely. Student's t is used instead.

References:
    [0] Student, The Probable Error of a Mean, 1908; for two groups with pooled variance.
    [1] Bouthillier et al., Accounting for Variance in Machine Learning Benchmarks, 2021,
        https://arxiv.org/abs/2103.03098: a comparison should account for both sources.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.metrics.bootstrap import DEFAULT_SEED, Interval, percentile_interval

# Draws of t per resample of the faces: the tails of t need more draws than there are resamples.
_T_DRAWS = 20


@dataclass(frozen=True, slots=True)
class SeedMean:
    """A metric of models that differ only in their seed.

    Attributes:
        values: one per model.
        mean: mean of the values.
        std: their standard deviation (n - 1 in the denominator); None for a single model.
        ci95: interval of the mean, over faces and, for two or more models, seeds; None if faces were not
            resampled.
    """

    values: tuple[float, ...]
    mean: float
    std: float | None
    ci95: Interval | None


@dataclass(frozen=True, slots=True)
class SeedDifference:
    """The mean of a second group minus that of a first.

    Attributes:
        difference: of the means.
        ci95: its interval; None if faces were not resampled.
        covers_seeds: whether the interval covers the variation between seeds, which takes two models in a group.
    """

    difference: float
    ci95: Interval | None
    covers_seeds: bool


def mean_and_std(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean and the standard deviation (n - 1 in the denominator); the latter is None for a single value.

    Example:
        >>> mean_and_std([1.0, 3.0])
        (2.0, 1.4142135623730951)
    """
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def summarize_seeds(
    values: Sequence[float],
    resampled: NDArray[np.floating] | None,
    *,
    limits: Interval = (-math.inf, math.inf),
    seed: int = DEFAULT_SEED,
) -> SeedMean:
    """Return the mean, standard deviation and interval of a metric.

    Args:
        values: of S models, S > 0.
        resampled: ``(R, S)`` the same metric on resampled faces, or None.
        limits: range of the metric, to which its interval is clipped.
        seed: for the draws of t.
    """
    mean, std = mean_and_std(values)
    interval = None
    if resampled is not None:
        standard_error = 0.0 if std is None else std / math.sqrt(len(values))
        low, high = _interval(
            resampled.mean(axis=1), mean, standard_error=standard_error, freedom=len(values) - 1, seed=seed
        )
        interval = max(low, limits[0]), min(high, limits[1])
    return SeedMean(tuple(float(value) for value in values), mean, std, interval)


def compare_seeds(
    first: Sequence[float],
    second: Sequence[float],
    first_resampled: NDArray[np.floating] | None,
    second_resampled: NDArray[np.floating] | None,
    *,
    limits: Interval = (-math.inf, math.inf),
    seed: int = DEFAULT_SEED,
) -> SeedDifference:
    """Return the difference between two groups' means, the second minus the first.

    Args:
        first: a metric of the S models of the first group.
        second: of the T models of the second.
        first_resampled: ``(R, S)`` the same metric on resampled faces, or None.
        second_resampled: ``(R, T)`` likewise for the second group, on the same faces, or None.
        limits: range of the metric; the interval is clipped to the differences that it allows.
        seed: for the draws of t.
    """
    difference = float(np.mean(second) - np.mean(first))
    freedom = len(first) + len(second) - 2
    interval = None
    if first_resampled is not None and second_resampled is not None:
        squares = sum(float(np.var(values)) * len(values) for values in (first, second))
        pooled = math.sqrt(squares / freedom * (1 / len(first) + 1 / len(second))) if freedom else 0.0
        differences = second_resampled.mean(axis=1) - first_resampled.mean(axis=1)
        low, high = _interval(differences, difference, standard_error=pooled, freedom=freedom, seed=seed)
        interval = max(low, limits[0] - limits[1]), min(high, limits[1] - limits[0])
    return SeedDifference(difference, interval, covers_seeds=freedom > 0)


def _interval(
    resampled: NDArray[np.floating], estimate: float, *, standard_error: float, freedom: int, seed: int
) -> Interval:
    """Return the 95% interval of resampled estimates with an additional standard error over seeds."""
    if freedom == 0 or standard_error == 0:
        return percentile_interval(resampled, estimate)
    drawn = np.random.default_rng(seed).standard_t(freedom, (len(resampled), _T_DRAWS))
    return percentile_interval((resampled[:, None] + standard_error * drawn).ravel(), estimate)
