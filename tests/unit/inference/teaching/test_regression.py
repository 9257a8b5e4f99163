"""The regression against scikit-learn's."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from mien.inference.teaching.regression import fit_path, minimize


@pytest.mark.parametrize(("n", "n_features", "n_classes"), [(60, 200, 3), (40, 200, 2), (150, 20, 5)])
def test_the_layer_is_scikit_learns(n: int, n_features: int, n_classes: int) -> None:
    """With more features than faces and fewer, two classes and more, weights, and several strengths from one call."""
    random = np.random.default_rng(n)
    labels = np.arange(n) % n_classes
    features = (
        random.normal(size=(n, n_features)) + random.normal(0, 0.3, (n_classes, n_features))[labels] + 2
    )
    weights = random.uniform(0.5, 2, n)
    strengths = (0.3, 0.01, 0.001)
    layers = fit_path(features, labels, weights, n_classes=n_classes, strengths=strengths)
    share = weights / weights.sum()
    mean = share @ features
    unit = np.sqrt(share @ ((features - mean) ** 2).sum(axis=1))
    for strength, layer in zip(strengths, layers, strict=True):
        # For two classes scikit-learn has one row, the difference of ours, which halves the penalty.
        penalty = 1 / strength * (2 if n_classes == 2 else 1)
        peer = LogisticRegression(C=penalty, tol=1e-10, max_iter=50_000)
        expected = peer.fit((features - mean) / unit, labels, sample_weight=share).predict_proba(
            (features - mean) / unit
        )
        logits = layer.logits(features)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        np.testing.assert_allclose(powers / powers.sum(axis=1, keepdims=True), expected, atol=2e-3)
        assert layer.weight.shape == (n_classes, n_features)


def test_features_without_variance() -> None:
    """Equal faces give equal probabilities, not a division by zero."""
    (layer,) = fit_path(np.ones((6, 4)), np.arange(6) % 2, np.ones(6), n_classes=2, strengths=(0.1,))
    np.testing.assert_allclose(layer.logits(np.ones((1, 4))), 0, atol=1e-6)


def test_the_minimum_of_a_bad_start() -> None:
    """A step that overshoots is halved: the curvature is a hundred times what the diagonal says."""
    scale = np.array([100.0, 1.0, 10.0])

    def loss(point: np.ndarray) -> tuple[float, np.ndarray]:
        return float(0.5 * (scale * (point - 3) ** 2).sum()), scale * (point - 3)

    np.testing.assert_allclose(minimize(loss, np.zeros(3), np.ones(3)), 3, atol=1e-4)
