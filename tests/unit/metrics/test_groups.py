"""Rates and gaps between groups, against scipy, exhaustive permutation and simulations without a difference."""

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import binomtest

from mien.metrics.groups import find_largest_gap, rate_interval


@pytest.mark.parametrize(("count", "n"), [(0, 7), (3, 10), (10, 10), (250, 1000)])
def test_a_rates_interval_is_scipys_wilson(count: int, n: int) -> None:
    """Also at 0 and 1."""
    expected = binomtest(count, n).proportion_ci(method="wilson")
    assert rate_interval(count, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_no_face_has_no_interval() -> None:
    """Nothing is known."""
    assert rate_interval(0, 0) is None


def test_the_p_value_is_that_of_all_permutations() -> None:
    """Permuting the groups of seven faces within two classes, all ways."""
    correct = np.array([1, 1, 0, 0, 1, 0, 1], dtype=bool)
    groups = np.array([0, 0, 1, 1, 0, 1, 2])
    classes = np.array([0, 0, 0, 0, 1, 1, 1])

    def gap_of(members: np.ndarray) -> float:
        accuracy = np.bincount(members, weights=correct) / np.bincount(members)
        return float(np.ptp(accuracy))

    gaps = [
        gap_of(np.array([*first, *second]))
        for first in permutations(groups[:4])
        for second in permutations(groups[4:])
    ]
    found = find_largest_gap(correct, groups, classes, n_permutations=40_000)
    assert found.gap == gap_of(groups)
    assert (found.best, found.worst) == (0, 1)
    assert found.p_value == pytest.approx(np.mean(np.array(gaps) >= found.gap - 1e-12), abs=0.01)


def test_a_mix_of_classes_is_no_gap() -> None:
    """A group with more faces of the difficult class is worse, and not significantly so; without classes it would be."""
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 2, 2000)
    classes = (rng.random(2000) < np.where(groups == 1, 0.8, 0.2)).astype(int)
    correct = rng.random(2000) < np.where(classes == 1, 0.5, 0.9)
    assert find_largest_gap(correct, groups, classes).p_value > 0.05
    assert find_largest_gap(correct, groups, np.zeros_like(classes)).p_value < 0.001


def test_without_a_difference_small_p_values_are_rare() -> None:
    """Over 200 datasets with five equal groups, p < 0.05 occurs about once in 20."""
    rng = np.random.default_rng(2)
    p_values = [
        find_largest_gap(
            rng.random(300) < 0.7,
            rng.permutation(np.arange(300) % 5),
            rng.integers(0, 3, 300),
            n_permutations=300,
        ).p_value
        for _ in range(200)
    ]
    assert 0.01 < np.mean(np.array(p_values) < 0.05) < 0.10


def test_one_group_is_refused() -> None:
    """There is nothing to compare."""
    with pytest.raises(ValueError, match="two or more"):
        find_largest_gap(np.ones(3, bool), np.zeros(3, int), np.zeros(3, int))
