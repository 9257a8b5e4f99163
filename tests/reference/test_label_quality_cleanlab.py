"""Confident learning against cleanlab, by the authors of the method, where no mean reaches mien's limit."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.metrics.label_quality import judge_labels

count = pytest.importorskip("cleanlab.count", reason="compares with cleanlab")
cleanlab_filter = pytest.importorskip("cleanlab.filter")
rank = pytest.importorskip("cleanlab.rank")


def draw_predictions(
    seed: int, *, n: int, n_classes: int, noise: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Imbalanced classes, predictions that are right more often than not, and labels of which some are wrong."""
    rng = np.random.default_rng(seed)
    shares = 0.5 ** np.arange(n_classes)
    truth = rng.choice(n_classes, n, p=shares / shares.sum())
    logits = rng.normal(size=(n, n_classes)) + 2 * np.eye(n_classes)[truth]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    is_wrong = rng.random(n) < noise
    labels = np.where(is_wrong, rng.integers(0, n_classes, n), truth)
    return probabilities, labels


@pytest.mark.parametrize(
    ("seed", "n", "n_classes", "noise"),
    [(0, 400, 3, 0.2), (1, 2000, 8, 0.1), (2, 300, 2, 0.4), (3, 1000, 8, 0.0)],
)
def test_confident_learning_agrees_with_its_authors_library(
    seed: int, n: int, n_classes: int, noise: float
) -> None:
    """The joint, the suspects and the order are cleanlab's."""
    probabilities, labels = draw_predictions(seed, n=n, n_classes=n_classes, noise=noise)
    judged = judge_labels(probabilities, labels)
    expected_joint = count.compute_confident_joint(labels, probabilities, calibrate=False).astype(float)
    expected_joint *= (np.bincount(labels, minlength=n_classes) / expected_joint.sum(axis=1))[:, None]
    np.testing.assert_allclose(judged.joint, expected_joint)
    suspects = cleanlab_filter.find_label_issues(
        labels, probabilities, filter_by="prune_by_noise_rate", min_examples_per_class=0, n_jobs=1
    )
    # The numbers of a pair of classes may be rounded differently by one.
    assert (judged.is_suspect ^ suspects).sum() <= n_classes * (n_classes - 1) / 4
    assert (judged.is_suspect & suspects).sum() > 0.9 * suspects.sum() > 0
    quality = rank.get_label_quality_scores(labels, probabilities, method="self_confidence")
    np.testing.assert_allclose(1 - judged.wrongness, quality, atol=1e-12)


@pytest.mark.filterwarnings("ignore:May not flag all label issues:UserWarning")
def test_a_class_without_labels_is_no_suspicion() -> None:
    """Faces that look like a class nobody labeled are not counted as it, as in cleanlab."""
    probabilities = np.array([[0.1, 0.1, 0.8], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.7, 0.2, 0.1]])
    labels = np.array([0, 0, 1, 0])
    judged = judge_labels(probabilities, labels)
    np.testing.assert_array_equal(
        judged.is_suspect,
        cleanlab_filter.find_label_issues(
            labels, probabilities, filter_by="prune_by_noise_rate", min_examples_per_class=0, n_jobs=1
        ),
    )
    assert not judged.is_suspect.any()
    assert np.isnan(judged.estimated_noise[2])
