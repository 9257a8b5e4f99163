"""Accuracy, balanced accuracy and macro-F1 as functions of the confusion matrix.

Convention: a confusion matrix is ``(..., C, C)``; rows are true classes, columns predicted ones. The leading
axes let a bootstrap score thousands of resampled matrices in one call. The definitions are those of
scikit-learn, so anyone can recompute a metric from ``predictions.csv``.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Classes with a smaller fraction of the faces hardly affect accuracy.
MINORITY_FRACTION = 0.05


def confusion_matrix(
    truth: NDArray[np.integer], predicted: NDArray[np.integer], *, n_classes: int
) -> NDArray[np.int64]:
    """Count faces by true and predicted class.

    Args:
        truth: ``(N,)`` class indices.
        predicted: ``(N,)`` class indices.
        n_classes: C.

    Returns:
        ``(C, C)`` counts; rows are true classes.

    Raises:
        ValueError: the arrays differ in length, or an index lies outside ``[0, C)``.

    Example:
        >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), n_classes=2).tolist()
        [[1, 1], [0, 1]]
    """
    if truth.shape != predicted.shape or truth.ndim != 1:
        raise ValueError(
            f"`truth` and `predicted` must both be (N,), got {truth.shape} and {predicted.shape}"
        )
    for name, indices in (("truth", truth), ("predicted", predicted)):
        if len(indices) and not (indices.min() >= 0 and indices.max() < n_classes):
            raise ValueError(
                f"`{name}` must hold indices in [0, {n_classes}), got {indices.min()} to {indices.max()}"
            )
    cells = np.bincount(truth.astype(np.int64) * n_classes + predicted, minlength=n_classes * n_classes)
    return cells.reshape(n_classes, n_classes).astype(np.int64)


def accuracy(confusion: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the fraction of faces on the diagonal, ``(...)``.

    Raises:
        ValueError: a matrix is empty.
    """
    total = _require_faces(confusion)
    return np.asarray(_diagonal(confusion).sum(axis=-1) / total, dtype=np.float64)


def balanced_accuracy(confusion: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the mean recall over the classes that occur in the truth, ``(...)``.

    Raises:
        ValueError: a matrix is empty.
    """
    _require_faces(confusion)
    return mean_recall(confusion, range(confusion.shape[-1]))


def mean_recall(confusion: NDArray[np.integer], classes: Sequence[int]) -> NDArray[np.float64]:
    """Return the mean recall over those of the given classes that occur in the truth, ``(...)``.

    Args:
        confusion: ``(..., C, C)``.
        classes: indices into the matrix.

    Raises:
        ValueError: a matrix has no faces of any of these classes.
    """
    chosen = np.asarray(classes, dtype=np.int64)
    support = confusion.sum(axis=-1)[..., chosen]
    n_present = (support > 0).sum(axis=-1)
    if not np.all(n_present > 0):
        raise ValueError(
            f"recall is undefined for a confusion matrix without faces of the classes {chosen.tolist()}"
        )
    recall = _diagonal(confusion)[..., chosen] / np.maximum(support, 1)
    return np.asarray(recall.sum(axis=-1) / n_present, dtype=np.float64)


def minority_classes(
    confusion: NDArray[np.integer], *, max_fraction: float = MINORITY_FRACTION
) -> tuple[int, ...]:
    """Return the classes that make up less than ``max_fraction`` of the truth of a ``(C, C)`` matrix, but occur."""
    support = confusion.sum(axis=1)
    return tuple(int(i) for i in np.flatnonzero((support > 0) & (support < max_fraction * support.sum())))


def macro_f1(confusion: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the mean F1 over the classes that occur in the truth or the predictions, ``(...)``.

    A class without true positives counts as 0 (scikit-learn's ``zero_division=0`` and default labels).

    Raises:
        ValueError: a matrix is empty.
    """
    _require_faces(confusion)
    n_true_or_predicted = confusion.sum(axis=-1) + confusion.sum(axis=-2)
    f1 = 2 * _diagonal(confusion) / np.maximum(n_true_or_predicted, 1)
    return np.asarray(f1.sum(axis=-1) / (n_true_or_predicted > 0).sum(axis=-1), dtype=np.float64)


def reweighted_accuracy(confusion: NDArray[np.integer], prior: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the accuracy under another class distribution: the recalls weighted by it, ``(...)``.

    The accuracy on a class-balanced evaluation set says little about data as they occur. Classes that do not
    occur in the truth are ignored.

    Args:
        confusion: ``(..., C, C)``.
        prior: ``(C,)`` counts or frequencies of the classes where the model is to be used.

    Raises:
        ValueError: a matrix has no faces of any class that `prior` gives weight to.
    """
    support = confusion.sum(axis=-1)
    weight = np.where(support > 0, prior, 0.0)
    if not (weight.sum(axis=-1) > 0).all():
        raise ValueError("`prior` gives no weight to any class that occurs in the confusion matrix")
    recall = _diagonal(confusion) / np.maximum(support, 1)
    return np.asarray((recall * weight).sum(axis=-1) / weight.sum(axis=-1), dtype=np.float64)


class ClassScores(NamedTuple):
    """The scores of one class.

    Attributes:
        n: number of faces of the class.
        precision: None if the class was never predicted.
        recall: None if the class has no faces.
        f1: harmonic mean of both; None if the class has no faces and was never predicted.
        note: why a score is None; empty if all are defined.
    """

    n: int
    precision: float | None
    recall: float | None
    f1: float | None
    note: str


def per_class(confusion: NDArray[np.integer]) -> tuple[ClassScores, ...]:
    """Return the scores of every class of a ``(C, C)`` matrix, in its order."""
    scores = []
    for i in range(len(confusion)):
        n_correct, n = int(confusion[i, i]), int(confusion[i].sum())
        n_predicted = int(confusion[:, i].sum())
        notes = ["no faces"] * (n == 0) + ["never predicted"] * (n_predicted == 0)
        scores.append(
            ClassScores(
                n=n,
                precision=n_correct / n_predicted if n_predicted else None,
                recall=n_correct / n if n else None,
                f1=2 * n_correct / (n + n_predicted) if n + n_predicted else None,
                note=", ".join(notes),
            )
        )
    return tuple(scores)


def _diagonal(confusion: NDArray[np.integer]) -> NDArray[np.integer]:
    return np.diagonal(confusion, axis1=-2, axis2=-1)


def _require_faces(confusion: NDArray[np.integer]) -> NDArray[np.integer]:
    total = confusion.sum(axis=(-2, -1))
    if not np.all(total > 0):
        raise ValueError("accuracy is undefined for an empty confusion matrix")
    return np.asarray(total)


def dev_scores(
    labels: NDArray[np.integer], outputs: NDArray[np.floating], _annotations: object = None
) -> dict[str, float | None]:
    """Return the dev metrics of ``(N, C)`` logits or probabilities for ``(N,)`` labels."""
    confusion = confusion_matrix(labels, outputs.argmax(axis=1), n_classes=outputs.shape[1])
    return {
        "accuracy": float(accuracy(confusion)),
        "balanced_accuracy": float(balanced_accuracy(confusion)),
        "macro_f1": float(macro_f1(confusion)),
    }
