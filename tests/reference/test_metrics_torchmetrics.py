"""Concordance and calibration error against torchmetrics, where the train extra is installed."""

import numpy as np
import pytest

from mien.metrics.affect import concordance
from mien.metrics.calibration import expected_calibration_error, reliability_bins

torch = pytest.importorskip("torch", reason="torch is part of the train extra")
judge = pytest.importorskip("torchmetrics.functional", reason="torchmetrics comes with the train extra")


def test_ece_is_torchmetrics() -> None:
    """Fifteen bins, L1 norm, top-label confidence."""
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(800, 8)) * 2
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = generator.integers(0, 8, 800)
    bins = reliability_bins(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels)
    expected = judge.calibration_error(
        torch.tensor(probabilities), torch.tensor(labels), task="multiclass", num_classes=8, n_bins=15
    )
    assert expected_calibration_error(bins) == pytest.approx(float(expected), abs=1e-6)


def test_concordance_is_torchmetrics_for_many_faces() -> None:
    """Theirs divides by N - 1, mien by N as Lin does: the same for many faces."""
    generator = np.random.default_rng(1)
    truth = generator.uniform(-1, 1, 20_000)
    predicted = truth * 0.6 + 0.1 + generator.normal(size=20_000) * 0.2
    expected = judge.concordance_corrcoef(torch.tensor(predicted), torch.tensor(truth))
    assert concordance(truth, predicted) == pytest.approx(float(expected), abs=1e-4)
