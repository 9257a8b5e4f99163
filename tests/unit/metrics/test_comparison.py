"""Paired comparison of two models."""

import numpy as np
import pytest

from mien.metrics.comparison import compare_paired, mcnemar_exact


@pytest.mark.parametrize(
    ("first", "second", "p_value"),
    [
        pytest.param(0, 0, 1.0, id="never differ"),
        pytest.param(5, 5, 1.0, id="as often"),
        pytest.param(0, 5, 2 * 0.5**5, id="five to none"),
        pytest.param(1, 9, 2 * 11 / 1024, id="nine to one"),
    ],
)
def test_mcnemar_by_hand(first: int, second: int, p_value: float) -> None:
    """Twice the smaller binomial tail, at most 1."""
    assert mcnemar_exact(first, second) == pytest.approx(p_value)


def test_difference_and_its_interval() -> None:
    """30 faces gained and 10 lost of 400 is +5 points, and the standard deviation is that of paired differences."""
    first, second = np.zeros(400, dtype=bool), np.zeros(400, dtype=bool)
    first[:110], second[10:140] = True, True
    found = compare_paired(first, second)
    assert (found.n_only_first, found.n_only_second, found.difference) == (10, 30, 0.05)
    std = np.sqrt((40 / 400 - 0.05**2) / 400)
    low, high = found.difference_ci95
    assert low == pytest.approx(0.05 - 1.96 * std, abs=0.004)
    assert high == pytest.approx(0.05 + 1.96 * std, abs=0.004)


def test_a_model_does_not_differ_from_itself() -> None:
    """Difference 0, an interval of one point, p = 1."""
    right = np.array([True, False, True])
    found = compare_paired(right, right)
    assert (found.difference, found.difference_ci95, found.p_value) == (0.0, (0.0, 0.0), 1.0)


def test_other_faces_are_refused() -> None:
    """Pairs need arrays of the same shape, and at least one face."""
    with pytest.raises(ValueError, match="must both be"):
        compare_paired(np.ones(2, dtype=bool), np.ones(3, dtype=bool))
    with pytest.raises(ValueError, match="N > 0"):
        compare_paired(np.ones(0, dtype=bool), np.ones(0, dtype=bool))
