"""Classification metrics, on matrices small enough to count by hand."""

import numpy as np
import pytest

from mien.metrics.classification import (
    accuracy,
    balanced_accuracy,
    confusion_matrix,
    macro_f1,
    mean_recall,
    minority_classes,
    per_class,
    reweighted_accuracy,
)

# rows are the truth: 3 of 4 Neutral found, 1 of 2 Happy
TABLE = np.array([[3, 1, 0], [1, 1, 0], [0, 0, 0]])


def test_rows_are_the_truth() -> None:
    """A face of class 0 predicted as 1 is counted in row 0, column 1."""
    counts = confusion_matrix(np.array([0]), np.array([1]), n_classes=2)
    assert counts.tolist() == [[0, 1], [0, 0]]


def test_figures_by_hand() -> None:
    """4 of 6 correct; recalls 3/4 and 1/2; F1 of 6/8 and 2/4, the absent class counts in neither."""
    assert accuracy(TABLE) == pytest.approx(4 / 6)
    assert balanced_accuracy(TABLE) == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert macro_f1(TABLE) == pytest.approx((6 / 8 + 2 / 4) / 2)


@pytest.mark.parametrize("metric", [accuracy, balanced_accuracy, macro_f1])
def test_a_stack_of_matrices(metric) -> None:
    """A stack of matrices gives the metrics of its members."""
    stack = np.stack([TABLE, TABLE.T, np.eye(3, dtype=int)])
    assert metric(stack).tolist() == [float(metric(table)) for table in stack]


@pytest.mark.parametrize("metric", [accuracy, balanced_accuracy, macro_f1])
def test_an_empty_matrix_is_rejected(metric) -> None:
    """An empty matrix is rejected instead of giving NaN."""
    with pytest.raises(ValueError, match="empty confusion matrix"):
        metric(np.zeros((2, 2), dtype=int))


def test_reweighting_to_other_shares() -> None:
    """With Happy three times as common as Neutral the recalls 3/4 and 1/2 weigh 1 to 3."""
    assert reweighted_accuracy(TABLE, np.array([10, 30, 99])) == pytest.approx((0.75 + 3 * 0.5) / 4)


def test_reweighting_to_the_same_shares_is_accuracy() -> None:
    """The class frequencies of the truth give the accuracy back."""
    assert reweighted_accuracy(TABLE, TABLE.sum(axis=1)) == pytest.approx(float(accuracy(TABLE)))


def test_reweighting_needs_a_shared_class() -> None:
    """A prior over classes that do not occur in the truth is rejected."""
    with pytest.raises(ValueError, match="no weight"):
        reweighted_accuracy(TABLE, np.array([0, 0, 5]))


def test_a_class_never_predicted_says_so() -> None:
    """Its precision is undefined, its recall and F1 are 0."""
    scores = per_class(np.array([[4, 0], [2, 0]]))[1]
    assert (scores.n, scores.precision, scores.recall, scores.f1) == (2, None, 0.0, 0.0)
    assert scores.note == "never predicted"


def test_a_class_without_faces_says_so() -> None:
    """Its recall is undefined; predicted by mistake, its precision and F1 are 0."""
    scores = per_class(np.array([[4, 1], [0, 0]]))[1]
    assert (scores.n, scores.precision, scores.recall, scores.f1) == (0, 0.0, None, 0.0)
    assert scores.note == "no faces"


def test_a_class_in_neither_has_no_figure() -> None:
    """Neither true nor predicted: all three scores are None."""
    scores = per_class(TABLE)[2]
    assert (scores.precision, scores.recall, scores.f1) == (None, None, None)


@pytest.mark.parametrize(
    ("truth", "predicted"),
    [
        pytest.param([0, 2], [0, 0], id="truth too large"),
        pytest.param([0, 1], [0, -1], id="negative prediction"),
        pytest.param([0, 1], [0], id="other length"),
    ],
)
def test_wrong_indices_are_refused(truth, predicted) -> None:
    """An out-of-range index is rejected, not counted elsewhere."""
    with pytest.raises(ValueError, match="must"):
        confusion_matrix(np.array(truth), np.array(predicted), n_classes=2)


def test_recall_of_some_classes() -> None:
    """The mean of the chosen recalls; a class that does not occur does not count."""
    assert mean_recall(TABLE, [1]) == pytest.approx(1 / 2)
    assert mean_recall(TABLE, [0, 2]) == pytest.approx(3 / 4)
    assert mean_recall(np.stack([TABLE, TABLE]), [0, 1]).tolist() == pytest.approx([5 / 8, 5 / 8])
    with pytest.raises(ValueError, match=r"\[2\]"):
        mean_recall(TABLE, [2])


def test_classes_of_few_faces() -> None:
    """Below the fraction, not at it; a class without faces is not included."""
    counts = np.diag([95, 5, 0, 0])
    assert minority_classes(counts) == ()
    assert minority_classes(np.diag([96, 4, 0, 0])) == (1,)
    assert minority_classes(counts, max_fraction=0.06) == (1,)
