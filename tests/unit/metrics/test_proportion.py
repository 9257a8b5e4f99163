"""Intervals of proportions, against scipy and by simulation."""

import numpy as np
import pytest
from scipy import stats

from mien.metrics.proportion import balanced_accuracy_interval, wilson_interval


@pytest.mark.parametrize(("n_hits", "n"), [(0, 5), (5, 5), (8, 10), (317, 400)])
def test_wilson_is_scipys(n_hits: int, n: int) -> None:
    expected = stats.binomtest(n_hits, n).proportion_ci(method="wilson")
    assert wilson_interval(n_hits, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_without_faces_it_can_be_anything() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_the_interval_of_one_class_is_wilsons() -> None:
    assert balanced_accuracy_interval(np.array([[7]])) == pytest.approx(wilson_interval(7, 7))


def test_it_covers_the_truth_for_few_and_uneven_faces() -> None:
    """Of 2,000 simulated sets with recalls .9, .6 and .5 of 10, 20 and 8 faces, about 95% cover the mean recall."""
    random, recalls, totals = np.random.default_rng(0), np.array([0.9, 0.6, 0.5]), np.array([10, 20, 8])
    n_covered = 0
    for _ in range(2000):
        hits = random.binomial(totals, recalls)
        confusion = np.diag(hits)
        confusion[range(3), [1, 2, 0]] += totals - hits
        low, high = balanced_accuracy_interval(confusion)
        n_covered += low <= recalls.mean() <= high
    assert 0.935 < n_covered / 2000 < 0.985
