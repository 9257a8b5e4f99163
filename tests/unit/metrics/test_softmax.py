"""Softmax and log-softmax, against SciPy."""

import numpy as np
import pytest
from scipy import special

from mien.metrics.softmax import log_softmax, softmax

LOGITS = np.random.default_rng(0).normal(0, 5, (7, 4)).astype(np.float32)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_softmax_agrees_with_scipy(temperature: float) -> None:
    """Rows sum to 1 at any temperature."""
    found = softmax(LOGITS, temperature=temperature)
    np.testing.assert_allclose(found, special.softmax(LOGITS.astype(np.float64) / temperature, axis=1))
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_log_softmax_agrees_with_scipy() -> None:
    """Including probabilities that underflow."""
    logits = np.vstack([LOGITS, [-2000.0, 0.0, 1.0, 2.0]])
    np.testing.assert_allclose(log_softmax(logits), special.log_softmax(logits.astype(np.float64), axis=1))
