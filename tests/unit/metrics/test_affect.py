"""Valence and arousal scores, computed by hand and where they are undefined."""

import numpy as np
import pytest

from mien.metrics.affect import concordance, pearson, score_affect


def test_a_shift_costs_concordance_not_correlation() -> None:
    """Variance 0.25 on both sides and a shift of 0.5: 2 * 0.25 / (0.25 + 0.25 + 0.25)."""
    truth = np.array([-0.5, 0.5])
    scores = score_affect(truth, truth + 0.5)
    assert scores.ccc == pytest.approx(2 / 3)
    assert scores.pearson == pytest.approx(1)
    assert scores.rmse == pytest.approx(0.5)


def test_sign_agreement() -> None:
    """A zero agrees only with a zero."""
    scores = score_affect(np.array([0.1, -0.2, 0.3, 0.0]), np.array([0.9, 0.2, 0.1, 0.1]))
    assert scores.sagr == 0.5


def test_missing_truth_is_left_out() -> None:
    """A NaN target changes nothing but n."""
    truth, predicted = np.array([0.1, 0.5, -0.3]), np.array([0.2, 0.4, -0.1])
    with_gap = score_affect(np.array([0.1, np.nan, 0.5, -0.3]), np.array([0.2, 0.9, 0.4, -0.1]))
    assert with_gap == score_affect(truth, predicted)


@pytest.mark.parametrize(
    ("truth", "predicted", "expected"),
    [
        pytest.param([0.3], [0.2], (None, None), id="one face"),
        pytest.param([0.3, 0.3], [0.1, 0.2], (None, None), id="constant truth"),
        pytest.param([0.1, 0.3], [0.2, 0.2], (0.0, None), id="constant prediction"),
        pytest.param([0.1] * 7, [0.1] * 7, (None, None), id="both constant"),
    ],
)
def test_degenerate_values_are_none_never_nan(truth, predicted, expected) -> None:
    """Undefined scores are None; a constant prediction of varying faces has concordance 0."""
    assert (
        concordance(np.array(truth), np.array(predicted)),
        pearson(np.array(truth), np.array(predicted)),
    ) == expected


def test_no_annotated_face_has_no_scores() -> None:
    """All targets missing: n is 0 and every score None."""
    scores = score_affect(np.full(4, np.nan), np.zeros(4))
    assert (scores.n, scores.ccc, scores.pearson, scores.rmse, scores.sagr) == (0, None, None, None, None)


def test_other_lengths_are_refused() -> None:
    """Truth and prediction must have the same shape."""
    with pytest.raises(ValueError, match="must both be"):
        score_affect(np.zeros(2), np.zeros(3))
