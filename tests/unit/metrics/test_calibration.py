"""Calibration error and temperature, on cases with known answers."""

import numpy as np
import pytest

from mien.metrics.calibration import (
    TEMPERATURE_RANGE,
    expected_calibration_error,
    fit_temperature,
    reliability_bins,
)


def _ece(confidence, correct) -> float | None:
    return expected_calibration_error(reliability_bins(np.array(confidence), np.array(correct)))


def test_bins_close_on_the_right() -> None:
    """A confidence of exactly 1/15 lies in the first bin, of 1 in the last, of 0 in the first."""
    bins = reliability_bins(np.array([0.0, 1 / 15, 1.0]), np.array([False, True, True]))
    assert [bin_.n for bin_ in bins] == [2] + [0] * 13 + [1]


def test_an_empty_bin_has_no_figures() -> None:
    """Nothing is divided by zero."""
    bins = reliability_bins(np.array([0.9]), np.array([True]))
    assert bins[0].confidence is None
    assert bins[0].accuracy is None


def test_ece_by_hand() -> None:
    """Two faces at 0.9 of which one is correct, two at 0.6 of which one is correct: (0.4 + 0.1) / 2."""
    assert _ece([0.9, 0.9, 0.6, 0.6], [True, False, True, False]) == pytest.approx(0.25)


def test_ece_of_nothing_is_none() -> None:
    """Without faces the error is None."""
    assert _ece([], np.zeros(0, dtype=bool)) is None


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_temperature_is_found_again(temperature: float) -> None:
    """Labels drawn from softmax(z / T), as distributions, give T back from z."""
    logits = np.random.default_rng(0).normal(size=(500, 8)) * 3
    scaled = logits / temperature
    targets = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    targets /= targets.sum(axis=1, keepdims=True)
    assert fit_temperature(logits, targets) == pytest.approx(temperature, rel=1e-5)


def test_hard_labels_and_one_hot_rows_agree() -> None:
    """A class index is the distribution that is 1 there."""
    generator = np.random.default_rng(1)
    logits, labels = generator.normal(size=(200, 4)) * 2, generator.integers(0, 4, 200)
    assert fit_temperature(logits, labels) == pytest.approx(fit_temperature(logits, np.eye(4)[labels]))


def test_no_neighbor_is_better() -> None:
    """The cross-entropy at the fitted temperature is below that at 1% more and less."""
    generator = np.random.default_rng(2)
    labels = generator.integers(0, 5, 300)
    logits = np.eye(5)[labels] * 2 + generator.normal(size=(300, 5)) * 2

    def cross_entropy(temperature: float) -> float:
        scaled = logits / temperature
        return float(np.mean(np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(300), labels]))

    best = fit_temperature(logits, labels)
    assert cross_entropy(best) < min(cross_entropy(best * 1.01), cross_entropy(best / 1.01))


def test_perfect_logits_stop_at_the_limit() -> None:
    """If all faces are correct, T tends to 0: the search ends at its lower limit."""
    labels = np.arange(4)
    assert fit_temperature(np.eye(4) * 5, labels) == pytest.approx(TEMPERATURE_RANGE[0], rel=0.01)


def test_huge_logits_do_not_overflow() -> None:
    """Logits of a diverging network give a number, not a warning."""
    assert fit_temperature(np.array([[1e4, -1e4], [-1e4, 1e4]]), np.array([1, 1])) > 1


def test_nothing_to_learn_from_is_one() -> None:
    """Without faces the temperature changes nothing."""
    assert fit_temperature(np.zeros((0, 3)), np.zeros(0, dtype=int)) == 1.0


@pytest.mark.parametrize(
    ("logits", "targets"),
    [
        pytest.param(np.array([[np.nan, 0.0]]), np.array([0]), id="NaN"),
        pytest.param(np.zeros((2, 3)), np.zeros(3, dtype=int), id="other length"),
        pytest.param(np.zeros((2, 3)), np.zeros((2, 2)), id="other classes"),
    ],
)
def test_wrong_input_is_refused(logits, targets) -> None:
    """Inputs that cannot be fitted are rejected with a message."""
    with pytest.raises(ValueError, match="must be"):
        fit_temperature(logits, targets)


def test_a_weight_of_three_is_the_face_three_times() -> None:
    rng = np.random.default_rng(4)
    targets = rng.integers(0, 3, 40)
    logits = rng.normal(0, 2, (40, 3)) + 2 * np.eye(3)[targets]
    weights = rng.integers(1, 4, 40)
    repeated = np.repeat(np.arange(40), weights)
    expected = fit_temperature(logits[repeated], targets[repeated])
    assert fit_temperature(logits, targets, weights=weights) == pytest.approx(expected, rel=1e-6)
    assert fit_temperature(logits, targets) != pytest.approx(expected, rel=1e-3)
