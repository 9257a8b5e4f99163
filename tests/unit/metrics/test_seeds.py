"""Groups of models that differ only in their seed, against SciPy, numpy and a simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from mien.metrics.bootstrap import resample_rows
from mien.metrics.comparison import compare_paired
from mien.metrics.seeds import compare_seeds, summarize_seeds

FIRST, SECOND = (0.70, 0.72, 0.71), (0.75, 0.74, 0.79, 0.76)


def _still(values, n_resamples: int = 2000) -> np.ndarray:
    """Resamples of a metric that does not vary over faces."""
    return np.tile(values, (n_resamples, 1))


def test_mean_and_deviation_are_numpys() -> None:
    """The standard deviation has n - 1 in the denominator."""
    found = summarize_seeds(FIRST, None)
    assert (found.values, found.ci95) == (FIRST, None)
    assert found.mean == pytest.approx(np.mean(FIRST))
    assert found.std == pytest.approx(np.std(FIRST, ddof=1))


def test_interval_over_seeds_alone_is_students() -> None:
    """If nothing varies over faces: SciPy's t interval, up to sampling error."""
    found = summarize_seeds(FIRST, _still(FIRST))
    assert found.ci95 == pytest.approx(
        stats.t.interval(0.95, 2, loc=np.mean(FIRST), scale=stats.sem(FIRST)), abs=0.003
    )
    difference = compare_seeds(FIRST, SECOND, _still(FIRST), _still(SECOND))
    expected = stats.ttest_ind(SECOND, FIRST).confidence_interval(0.95)
    assert difference.difference == pytest.approx(np.mean(SECOND) - np.mean(FIRST))
    assert difference.ci95 == pytest.approx((expected.low, expected.high), abs=0.003)


def test_intervals_end_where_the_metric_does() -> None:
    """Student's t knows no limits: a mean is not above 1, and a difference not beyond 1 either way."""
    low, high = [0.02, 0.5, 0.04], [0.99, 0.7, 0.98]
    mean = summarize_seeds(high, _still(high), limits=(0.0, 1.0))
    assert mean.ci95 is not None
    assert mean.ci95[1] == 1.0
    free, clipped = (
        compare_seeds(low, high, _still(low), _still(high), **limits)
        for limits in ({}, {"limits": (0.0, 1.0)})
    )
    assert free.ci95 is not None
    assert free.ci95[1] > 1
    assert clipped.ci95 == (free.ci95[0], 1.0)
    back = compare_seeds(high, low, _still(high), _still(low), limits=(0.0, 1.0))
    assert back.ci95 is not None
    assert back.ci95[0] == -1.0
    unbounded = compare_seeds(low, high, _still(low), _still(high), limits=(0.0, math.inf))
    assert unbounded.ci95 == free.ci95


def test_interval_of_single_models_is_over_faces_alone() -> None:
    """The percentiles of the resamples, which for accuracy are those of the paired comparison."""
    generator = np.random.default_rng(0)
    right = generator.random((2, 500)) < np.array([[0.6], [0.7]])
    resampled = resample_rows(right[..., None], np.mean)
    found = summarize_seeds([right[0].mean()], resampled[:, :1])
    assert found.std is None
    assert found.ci95 == pytest.approx(np.percentile(resampled[:, 0], [2.5, 97.5]))
    difference = compare_seeds([right[0].mean()], [right[1].mean()], resampled[:, :1], resampled[:, 1:])
    assert not difference.covers_seeds
    assert difference.ci95 == pytest.approx(compare_paired(*right).difference_ci95, abs=0.006)


def test_one_group_of_several_lends_its_spread() -> None:
    """A single model against three: the variance of the three is used for both."""
    found = compare_seeds([0.7], FIRST, _still([0.7]), _still(FIRST))
    half = stats.t.ppf(0.975, 2) * np.std(FIRST, ddof=1) * math.sqrt(1 + 1 / 3)
    assert found.covers_seeds
    assert found.ci95 == pytest.approx((0.01 - half, 0.01 + half), abs=0.006)


def test_an_interval_stays_within_the_figures_range() -> None:
    """Even with two seeds far apart, no accuracy exceeds 1."""
    found = summarize_seeds([0.5, 0.9], _still([0.5, 0.9]), limits=(0, 1))
    assert found.ci95 == (0, 1)


def test_same_seed_same_interval() -> None:
    """An interval is reproducible, and another seed gives a slightly different one."""
    made = [summarize_seeds(FIRST, _still(FIRST, 50), seed=seed).ci95 for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2]


@pytest.mark.parametrize(("n_first", "n_second"), [(3, 3), (1, 3)])
def test_coverage_of_the_interval(n_first: int, n_second: int) -> None:
    """200 simulated comparisons with variation over faces and over seeds: 95 of 100 intervals cover the truth.

    Every face has an ease and every training a skill; a face is correct if their sum with some noise is above 0. A
    bootstrap that also resamples the seeds covers the truth in about 87 of 100 for three against three.
    """
    generator = np.random.default_rng(0)
    n_faces, gain, std = 300, 0.2, math.sqrt(1.2**2 + 0.15**2 + 0.3**2)
    truth = stats.norm.cdf((1 + gain) / std) - stats.norm.cdf(1 / std)
    n_covered = 0
    for _ in range(200):
        ease = generator.normal(1, 1.2, n_faces)

        def train(n: int, skill: float, ease: np.ndarray = ease) -> np.ndarray:
            skills = skill + 0.15 * generator.normal(size=(n, 1))
            return ease + skills + 0.3 * generator.normal(size=(n, n_faces)) > 0

        correct = np.vstack([train(n_first, 0), train(n_second, gain)])
        values, resampled = correct.mean(axis=1), resample_rows(correct[..., None], np.mean, n_resamples=100)
        found = compare_seeds(
            values[:n_first], values[n_first:], resampled[:, :n_first], resampled[:, n_first:]
        )
        assert found.ci95 is not None
        n_covered += found.ci95[0] <= truth <= found.ci95[1]
    assert n_covered >= 184
