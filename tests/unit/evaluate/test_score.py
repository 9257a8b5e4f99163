"""The pure core of `evaluate`: arrays in, metrics out."""

import numpy as np
import pytest

from mien.evaluate.score import Truth, score
from mien.evaluate.task_scores import ValenceArousalScores
from mien.tasks import Values

CLASSES = ("Neutral", "Happy")


def _truth(labels, *, affect=None, train_counts=None) -> Truth:
    return Truth(
        classes=CLASSES,
        labels=np.array(labels, dtype=np.int64),
        values={} if affect is None else {"valence_arousal": affect},
        train_counts=train_counts or {},
    )


def _outputs(p_happy, **more) -> Values:
    p = np.array(p_happy, np.float32)
    return {"expression": np.column_stack([1 - p, p]), **more}


def test_calibration_is_of_the_predicted_class() -> None:
    """Two predictions at 0.9, one wrong: the error is 0.4."""
    found = score(_outputs([0.9, 0.1]), _truth([1, 1]), classes=CLASSES)
    assert found.ece == pytest.approx(0.4, abs=1e-6)


def test_accuracy_under_the_training_prior() -> None:
    """Recalls 1 and 0.5; Happy three times as common in training."""
    found = score(
        _outputs([0.1, 0.9, 0.2]),
        _truth([0, 1, 1], train_counts={"Neutral": 10, "Happy": 30}),
        classes=CLASSES,
    )
    assert found.main.accuracy_at_train_prior == pytest.approx(0.25 * 1 + 0.75 * 0.5)


def test_unknown_training_prior() -> None:
    """Without training counts the metric is None."""
    assert score(_outputs([0.1]), _truth([0]), classes=CLASSES).main.accuracy_at_train_prior is None


def test_each_dimension_has_its_own_faces() -> None:
    """A face with only valence counts only for valence."""
    affect = np.array([[0.1, np.nan], [0.5, 0.2], [-0.3, 0.4]], np.float32)
    outputs = _outputs([0.1, 0.9, 0.2], valence_arousal=np.zeros((3, 2), np.float32))
    found = score(outputs, _truth([0, 1, 1], affect=affect), classes=CLASSES)
    scores = found.tasks["valence_arousal"]
    assert isinstance(scores, ValenceArousalScores)
    assert {name: dimension.scores.n for name, dimension in scores.dimensions.items()} == {
        "valence": 3,
        "arousal": 2,
    }


def test_order_of_faces_does_not_matter() -> None:
    """Shuffled faces give the same metrics and intervals."""
    generator = np.random.default_rng(0)
    p, labels = generator.random(50), generator.integers(0, 2, 50)
    order = generator.permutation(50)
    first = score(_outputs(p), _truth(labels), classes=CLASSES).main
    second = score(_outputs(p[order]), _truth(labels[order]), classes=CLASSES).main
    assert (first.accuracy, first.macro_f1) == (second.accuracy, second.macro_f1)


def test_nothing_to_score() -> None:
    """Faces of classes that the model does not know cannot be scored."""
    with pytest.raises(ValueError, match="no face"):
        score(_outputs([0.5]), _truth([0]), classes=("cat", "dog"))
