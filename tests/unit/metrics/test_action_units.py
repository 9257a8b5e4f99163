"""Scores of action units: against scikit-learn and the analysis of variance, with labels missing per unit."""

import numpy as np
import pytest

from mien.faces.action_units import ActionUnits
from mien.metrics.action_units import dev_scores, score_units
from mien.metrics.bootstrap import bootstrap_rows

judge = pytest.importorskip("sklearn.metrics")


def icc_3_1(ratings: np.ndarray) -> float:
    """ICC(3,1) of Shrout and Fleiss 1979 for ``(n, k)`` ratings: (BMS - EMS) / (BMS + (k - 1) EMS)."""
    n, k = ratings.shape
    total = ((ratings - ratings.mean()) ** 2).sum()
    between = k * ((ratings.mean(axis=1) - ratings.mean()) ** 2).sum()
    judges = n * ((ratings.mean(axis=0) - ratings.mean()) ** 2).sum()
    bms, ems = between / (n - 1), (total - between - judges) / ((n - 1) * (k - 1))
    return float((bms - ems) / (bms + (k - 1) * ems))


@pytest.fixture
def intensities() -> tuple[np.ndarray, np.ndarray]:
    """Levels of three units with some missing, and predictions that follow them."""
    random = np.random.default_rng(1)
    truth = random.integers(0, 6, (200, 3)).astype(np.float32)
    predicted = (0.6 * truth + random.normal(0.8, 1, truth.shape)).clip(0, 5).astype(np.float32)
    truth[random.random(truth.shape) < 0.2] = np.nan
    return truth, predicted


def test_the_published_example() -> None:
    """Shrout and Fleiss's table 2, with four judges, has ICC(3,1) = .71; two of them are as the formula says."""
    table = np.array(
        [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float
    )
    assert icc_3_1(table) == pytest.approx(0.71, abs=0.005)
    pair = table[:, [0, 3]]
    found = score_units(pair[:, :1], pair[:, 1:], truth_kind="intensity", predicted_kind="intensity")
    assert found.units[0].icc == pytest.approx(icc_3_1(pair))


def test_each_unit_is_scored_over_its_labeled_faces(intensities: tuple[np.ndarray, np.ndarray]) -> None:
    """F1 is scikit-learn's at an intensity of 2, ICC that of the analysis of variance; means are over the units."""
    truth, predicted = intensities
    found = score_units(truth, predicted, truth_kind="intensity", predicted_kind="intensity")
    expected_f1, expected_icc = [], []
    for column, unit in enumerate(found.units):
        known = np.isfinite(truth[:, column])
        pairs = np.column_stack([truth[known, column], predicted[known, column]]).astype(np.float64)
        expected_f1.append(judge.f1_score(pairs[:, 0] >= 2, pairs[:, 1] >= 2))
        expected_icc.append(icc_3_1(pairs))
        assert unit.n == known.sum()
        assert unit.prevalence == pytest.approx((pairs[:, 0] >= 2).mean())
        assert unit.f1 == pytest.approx(expected_f1[-1])
        assert unit.icc == pytest.approx(expected_icc[-1], abs=1e-9)
        assert unit.f1_ci95[0] <= unit.f1 <= unit.f1_ci95[1]
        assert unit.icc_ci95[0] <= unit.icc <= unit.icc_ci95[1]
    assert found.macro_f1 == pytest.approx(np.mean(expected_f1))
    assert found.mean_icc == pytest.approx(np.mean(expected_icc))
    units = ActionUnits(("AU01", "AU02", "AU04"), "intensity")
    dev = dev_scores(truth, predicted, {"action_units": units})
    assert dev == {
        "action_units_f1": pytest.approx(found.macro_f1), "action_units_icc": pytest.approx(found.mean_icc),
    }  # fmt: skip


def test_intervals_are_those_of_resampled_faces(intensities: tuple[np.ndarray, np.ndarray]) -> None:
    """The sums give the interval that recomputing the score on each resample gives."""
    truth, predicted = intensities
    truth[:, 0] = np.nan_to_num(truth[:, 0])
    found = score_units(truth[:, :1], predicted[:, :1], truth_kind="intensity", predicted_kind="intensity")
    rows = np.column_stack([truth[:, 0], predicted[:, 0]]).astype(np.float64)
    assert found.units[0].icc_ci95 == pytest.approx(bootstrap_rows(rows, icc_3_1), abs=1e-9)
    plain = bootstrap_rows(rows, lambda r: float(2 * ((r >= 2).all(1)).sum() / (r >= 2).sum()))
    assert found.units[0].f1_ci95 == pytest.approx(plain)


def test_presence_has_no_intraclass_correlation() -> None:
    """Probabilities count as present from one half on."""
    truth = np.array([[1], [1], [0], [0], [np.nan]])
    predicted = np.array([[0.5], [0.4], [0.6], [0.1], [0.9]])
    found = score_units(truth, predicted, truth_kind="presence", predicted_kind="presence")
    assert (found.units[0].n, found.units[0].n_present, found.units[0].prevalence) == (4, 2, 0.5)
    assert found.units[0].f1 == pytest.approx(judge.f1_score([1, 1, 0, 0], [1, 0, 1, 0]))
    assert (found.units[0].icc, found.mean_icc) == (None, None)


def test_kinds_are_compared_by_presence() -> None:
    """Intensities and presence meet at an intensity of 2; without intensities on both sides there is no ICC."""
    truth, predicted = np.array([[3.0], [1.0]]), np.array([[0.9], [0.2]])
    found = score_units(truth, predicted, truth_kind="intensity", predicted_kind="presence")
    assert (found.macro_f1, found.mean_icc) == (1.0, None)


def test_undefined_scores_are_none_and_not_in_the_means() -> None:
    """A unit without labels, one that is never present nor predicted, and a constant one."""
    truth = np.array([[np.nan, 0, 3.0], [np.nan, 0, 3.0], [np.nan, 0, 3.0]])
    predicted = np.array([[5.0, 0, 3.0], [5.0, 0.1, 1.0], [5.0, 0, 2.5]])
    found = score_units(truth, predicted, truth_kind="intensity", predicted_kind="intensity")
    assert [unit.f1 for unit in found.units] == [None, None, pytest.approx(0.8)]
    assert [unit.icc for unit in found.units] == [None, None, None]
    assert found.units[0].prevalence is None
    assert (found.macro_f1, found.mean_icc, found.mean_icc_ci95) == (pytest.approx(0.8), None, None)
