"""Confident learning: thresholds by class, the joint, and what is not a probability of a label."""

import numpy as np
import pytest

from mien.metrics.label_quality import judge_labels


def test_an_underestimated_class_is_judged_by_its_own_threshold() -> None:
    """A model that never gives a class more than 0.4 still finds a face of it under another label."""
    probabilities = np.array(
        [[0.9, 0.1], [0.9, 0.1], [0.62, 0.38], [0.6, 0.4], [0.62, 0.38], [0.58, 0.42], [0.45, 0.55]]
    )
    labels = np.array([0, 0, 0, 1, 1, 1, 0])
    judged = judge_labels(probabilities, labels)
    # 0.55 reaches the mean of class 1, 0.4, and not that of class 0, 0.7175.
    assert judged.is_suspect.tolist() == [False] * 6 + [True]
    assert judged.suggested[6] == 1
    np.testing.assert_allclose(judged.joint.sum(axis=1), [4, 3])


def test_certain_predictions_are_suspicious_on_either_side_of_their_mean() -> None:
    """Of faces that a model is all but certain of, every wrong label is found, not the half above the mean."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 400)
    margins = rng.uniform(1e-6, 1e-3, 400)
    probabilities = np.where(np.eye(2, dtype=bool)[truth], 1 - margins[:, None], margins[:, None])
    is_wrong = rng.random(400) < 0.05
    judged = judge_labels(probabilities, np.where(is_wrong, 1 - truth, truth))
    np.testing.assert_array_equal(judged.is_suspect, is_wrong)


@pytest.mark.parametrize(
    ("probabilities", "labels"),
    [
        (np.zeros((0, 3)), np.zeros(0, np.int64)),
        (np.full((2, 1), 1.0), np.array([0, 0])),
        (np.full((2, 2), 0.5), np.array([0, 2])),
        (np.full((2, 2), 0.5), np.array([0, -1])),
        (np.full((2, 2), 0.5), np.array([0])),
    ],
)
def test_what_cannot_be_judged_is_refused(probabilities: np.ndarray, labels: np.ndarray) -> None:
    """No faces, one class, labels that are none, or of other faces."""
    with pytest.raises(ValueError, match=r"`labels`|`probabilities`"):
        judge_labels(probabilities, labels)
