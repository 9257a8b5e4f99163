"""Accuracy, balanced accuracy and macro-F1, all as functions of the confusion matrix.

Convention: a confusion matrix is ``(..., C, C)``, rows the truth, columns the prediction. The leading
axes let a bootstrap score thousands of resampled matrices in one call. The definitions are those of
scikit-learn, so that anyone can recompute a figure from ``predictions.csv``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A class with fewer of the faces than this hardly moves accuracy, whatever becomes of it.
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
        ``(C, C)`` counts, rows the truth.

    Raises:
        ValueError: the arrays differ in length, or an index lies outside ``[0, C)``.

    Example:
        >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), n_classes=2).tolist()
        [[1, 1], [0, 1]]
    """
    if truth.shape != predicted.shape or truth.ndim != 1:
        raise ValueError(
            f"`truth` and `predicted` must be (N,) alike, got {truth.shape} and {predicted.shape}"
        )
    for name, indices in (("truth", truth), ("predicted", predicted)):
        if len(indices) and not (indices.min() >= 0 and indices.max() < n_classes):
            raise ValueError(
                f"`{name}` must hold indices in [0, {n_classes}), got {indices.min()} to {indices.max()}"
            )
    cells = np.bincount(truth.astype(np.int64) * n_classes + predicted, minlength=n_classes * n_classes)
    return cells.reshape(n_classes, n_classes).astype(np.int64)


def accuracy(confusion: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the share of faces on the diagonal, ``(...)``.

    Raises:
        ValueError: a matrix holds no face.
    """
    total = _require_faces(confusion)
    return np.asarray(_diagonal(confusion).sum(axis=-1) / total, dtype=np.float64)


def balanced_accuracy(confusion: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the mean recall over the classes that the truth has, ``(...)``.

    Raises:
        ValueError: a matrix holds no face.
    """
    _require_faces(confusion)
    return mean_recall(confusion, range(confusion.shape[-1]))


def mean_recall(confusion: NDArray[np.integer], classes: Sequence[int]) -> NDArray[np.float64]:
    """Return the mean recall over those of some classes that the truth has, ``(...)``.

    Args:
        confusion: see the module.
        classes: their places in the matrix.

    Raises:
        ValueError: a matrix holds no face of any of them.
    """
    chosen = np.asarray(classes, dtype=np.int64)
    support = confusion.sum(axis=-1)[..., chosen]
    n_present = (support > 0).sum(axis=-1)
    if not np.all(n_present > 0):
        raise ValueError(
            f"a confusion matrix without a face of the classes {chosen.tolist()} has no recall of them"
        )
    recall = _diagonal(confusion)[..., chosen] / np.maximum(support, 1)
    return np.asarray(recall.sum(axis=-1) / n_present, dtype=np.float64)


def minority_classes(confusion: NDArray[np.integer], *, share: float = MINORITY_FRACTION) -> tuple[int, ...]:
    """Return the classes that the truth of a single ``(C, C)`` matrix has, but with less than a share of it."""
    support = confusion.sum(axis=1)
    return tuple(int(i) for i in np.flatnonzero((support > 0) & (support < share * support.sum())))


def macro_f1(confusion: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the mean F1 over the classes that the truth or the prediction has, ``(...)``.

    A class without a single hit counts 0 (scikit-learn's ``zero_division=0`` and default labels).

    Raises:
        ValueError: a matrix holds no face.
    """
    _require_faces(confusion)
    either = confusion.sum(axis=-1) + confusion.sum(axis=-2)
    f1 = 2 * _diagonal(confusion) / np.maximum(either, 1)
    return np.asarray(f1.sum(axis=-1) / (either > 0).sum(axis=-1), dtype=np.float64)


def reweighted_accuracy(confusion: NDArray[np.integer], prior: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the accuracy that the recalls would give among faces with other class shares, ``(...)``.

    An evaluation set that was balanced by hand says little about faces as they come; this is the recall
    of each class weighted by the share it has there. Classes that the truth lacks are left out.

    Args:
        confusion: see the module.
        prior: ``(C,)`` counts or shares of the classes where the model is to be used.

    Raises:
        ValueError: a matrix holds no face of a class that `prior` gives weight to.
    """
    support = confusion.sum(axis=-1)
    weight = np.where(support > 0, prior, 0.0)
    if not (weight.sum(axis=-1) > 0).all():
        raise ValueError("`prior` gives no weight to any class that the confusion matrix has faces of")
    recall = _diagonal(confusion) / np.maximum(support, 1)
    return np.asarray((recall * weight).sum(axis=-1) / weight.sum(axis=-1), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class ClassScores:
    """How one class fares.

    Attributes:
        n: faces of the class in the truth.
        precision: share of the faces called so that are so; None where none was called so.
        recall: share of the class that was found; None where the truth has none.
        f1: harmonic mean of both; None where the class occurs in neither.
        note: why a figure is None, in words; empty where all exist.
    """

    n: int
    precision: float | None
    recall: float | None
    f1: float | None
    note: str


def per_class(confusion: NDArray[np.integer]) -> tuple[ClassScores, ...]:
    """Return the scores of every class of a single ``(C, C)`` matrix, in its order."""
    return tuple(
        _class_scores(int(confusion[i, i]), n=int(confusion[i].sum()), n_called=int(confusion[:, i].sum()))
        for i in range(len(confusion))
    )


def _class_scores(hits: int, *, n: int, n_called: int) -> ClassScores:
    notes = (["no face of it here"] if n == 0 else []) + (["never predicted"] if n_called == 0 else [])
    return ClassScores(
        n=n,
        precision=hits / n_called if n_called else None,
        recall=hits / n if n else None,
        f1=2 * hits / (n + n_called) if n + n_called else None,
        note=", ".join(notes),
    )


def _diagonal(confusion: NDArray[np.integer]) -> NDArray[np.integer]:
    return np.diagonal(confusion, axis1=-2, axis2=-1)


def _require_faces(confusion: NDArray[np.integer]) -> NDArray[np.integer]:
    total = confusion.sum(axis=(-2, -1))
    if not np.all(total > 0):
        raise ValueError("a confusion matrix without a face has no accuracy")
    return np.asarray(total)
