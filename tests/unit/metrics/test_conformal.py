"""Prediction sets that keep their promise."""

import numpy as np
import pytest

from mien.metrics.conformal import class_quantiles, is_in_set


def test_the_promise_is_kept_for_each_class() -> None:
    """On faces drawn alike, of which one class is rarer and harder: on average, not only on this draw."""
    random = np.random.default_rng(0)

    def draw(n: int) -> tuple[np.ndarray, np.ndarray]:
        labels = (random.random(n) < 0.1).astype(np.int64)
        logits = np.where(labels == 0, random.normal(2, 1, n), random.normal(0.5, 2, n))
        first = 1 / (1 + np.exp(-logits))
        return np.stack([first, 1 - first], axis=1), labels

    covered = []
    for _ in range(200):
        quantiles = class_quantiles(*draw(300), 0.9)
        probabilities, labels = draw(1000)
        sets = is_in_set(probabilities, quantiles)
        covered.append([sets[labels == label, label].mean() for label in (0, 1)])
    means = np.mean(covered, axis=0)
    # Between the promise and the promise plus 1 / (n + 1), for about 270 and 30 faces.
    assert 0.895 < means[0] < 0.909
    assert 0.89 < means[1] < 0.94


def test_the_rank_is_that_of_the_definition() -> None:
    """Of 9 faces the 9th for 0.9; of 8 there is none, and the class is in every set."""
    scores = np.linspace(0.1, 0.9, 9)
    probabilities = np.stack([1 - scores, scores], axis=1)
    labels = np.zeros(9, np.int64)
    np.testing.assert_allclose(class_quantiles(probabilities, labels, 0.9), [0.9, np.inf])
    np.testing.assert_allclose(class_quantiles(probabilities, labels, 0.5), [0.5, np.inf])
    assert class_quantiles(probabilities[:8], labels[:8], 0.9)[0] == np.inf
    assert is_in_set(np.array([0.05, 0.95]), np.array([0.9, np.inf])).tolist() == [False, True]


@pytest.mark.parametrize("coverage", [0.0, 1.0, -1, 2])
def test_a_coverage_is_a_fraction(coverage: float) -> None:
    """Nothing else is meant."""
    with pytest.raises(ValueError, match="coverage must be"):
        class_quantiles(np.ones((1, 1)), np.zeros(1, np.int64), coverage)
