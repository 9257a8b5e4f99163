"""Choosing the strength of the penalty by cross-validation, and measuring the choice by faces that had no part in it.

Folds hold whole groups: near-duplicates, and the faces of a person, are on one side. The predictions for a fold come from
a layer whose strength was chosen on the other folds alone (nested cross-validation), so that they measure what is to be
expected of new faces. A layer trained without the folds f and g serves both: f chooses without g, and g without f.
"""

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.errors import DatasetError
from mien.inference.teaching.regression import LinearLayer, fit_path
from mien.metrics.softmax import log_softmax

MIN_SHOTS = 5
MAX_FOLDS = 5
# An outer and an inner fold are left out at a time, and every class must remain.
MIN_FOLDS = 3
# From almost the mean of the shots to almost no penalty, the strongest first.
STRENGTHS = tuple(float(value) for value in 10.0 ** -np.arange(0.0, 4.1, 0.5))


class CrossValidation(NamedTuple):
    """What cross-validation found.

    Attributes:
        logits: ``(N, C)`` for each face, from layers that saw neither it nor its group, of a strength chosen without it.
        strength: the one for all faces.
        layer: the layer for all faces, of that strength.
    """

    logits: NDArray[np.float64]
    strength: float
    layer: LinearLayer


def assign_folds(labels: NDArray[np.int64], groups: NDArray[np.int64], *, n_folds: int) -> NDArray[np.int64]:
    """Return a fold ``(N,)`` for each face: groups stay together, and each class is spread as evenly as they allow.

    The groups of the class with the fewest groups are assigned first, the largest of them first, each to the fold with the
    fewest faces of that class; without random choices.
    """
    folds = np.full(len(labels), -1, dtype=np.int64)
    n_groups = {int(label): len(np.unique(groups[labels == label])) for label in np.unique(labels)}
    for label in sorted(n_groups, key=lambda label: (n_groups[label], label)):
        members, sizes = np.unique(groups[(labels == label) & (folds < 0)], return_counts=True)
        for group in members[np.argsort(-sizes, kind="stable")]:
            filled = [((folds == fold) & (labels == label)).sum() for fold in range(n_folds)]
            in_all = [(folds == fold).sum() for fold in range(n_folds)]
            folds[groups == group] = min(range(n_folds), key=lambda fold: (filled[fold], in_all[fold]))
    return folds


def choose_folds(
    labels: NDArray[np.int64], groups: NDArray[np.int64], rows: Sequence[str], *, keep_classes: bool
) -> NDArray[np.int64]:
    """Return the fold of each face.

    Raises:
        DatasetError: there are too few classes, faces or groups for cross-validation.
    """
    if len(rows) < 2 and keep_classes:
        raise DatasetError(
            "All faces have labels that the model knows: with kept classes, add faces of a new class"
        )
    if len(rows) < 2:
        raise DatasetError(
            f"All {len(labels)} faces are {rows[0]!r}: teaching takes at least two classes, or one and --keep-classes"
        )
    counts = np.bincount(labels, minlength=len(rows))
    if counts.min() < MIN_SHOTS:
        listed = ", ".join(f"{name} {count}" for name, count in zip(rows, counts, strict=True))
        advice = ""
        if keep_classes and counts[0] < MIN_SHOTS:
            advice = "; faces of any of the kept classes are needed as counterexamples"
        raise DatasetError(f"Each class needs at least {MIN_SHOTS} faces, got {listed}: add some{advice}")
    n_groups = [len(np.unique(groups[labels == label])) for label in range(len(rows))]
    n_folds = min(MAX_FOLDS, *n_groups)
    folds = assign_folds(labels, groups, n_folds=max(n_folds, MIN_FOLDS))
    n_spread = [len(np.unique(folds[labels == label])) for label in range(len(rows))]
    if min(n_spread) < MIN_FOLDS:
        name = rows[int(np.argmin(n_spread))]
        raise DatasetError(
            f"The {counts[np.argmin(n_spread)]} faces of {name!r} must be of at least {MIN_FOLDS} persons, or different "
            f"photographs, that cross-validation can separate, got {min(n_spread)}: near-duplicates count once. Add others"
        )
    return folds


def balance(labels: NDArray[np.int64], class_shares: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return weights ``(N,)`` with which each class has its share, and its faces the same."""
    counts = np.bincount(labels, minlength=len(class_shares))
    return np.asarray((class_shares / np.maximum(counts, 1))[labels], dtype=np.float64)


def cross_validate(
    features: NDArray[np.floating],
    labels: NDArray[np.int64],
    folds: NDArray[np.int64],
    class_shares: NDArray[np.floating],
    *,
    on_fit: Callable[[], None] = lambda: None,
) -> CrossValidation:
    """Choose a strength, measure the choice, and fit the layer to all faces.

    Args:
        features: ``(N, F)``.
        labels: ``(N,)`` class indices.
        folds: ``(N,)`` from `assign_folds`; every class is in at least `MIN_FOLDS` of them.
        class_shares: ``(C,)`` the share of each class in the loss, which sum to 1.
        on_fit: called after each of the `n_fits` fits.
    """
    names = np.unique(folds).tolist()
    weights = balance(labels, class_shares)

    def fit(is_used: NDArray[np.bool_]) -> list[LinearLayer]:
        layers = fit_path(
            features[is_used],
            labels[is_used],
            balance(labels[is_used], class_shares),
            n_classes=len(class_shares),
            strengths=STRENGTHS,
        )
        on_fit()
        return layers

    def choose(logits: NDArray[np.float64], is_used: NDArray[np.bool_]) -> int:
        losses = -log_softmax(logits)[:, np.arange(len(labels)), labels]
        return int(np.argmin(losses[:, is_used] @ weights[is_used]))

    size = (len(STRENGTHS), len(labels), len(class_shares))
    inner = {name: np.zeros(size) for name in names}
    for one, other in combinations(names, 2):
        layers = fit((folds != one) & (folds != other))
        for outer, held_out in ((one, folds == other), (other, folds == one)):
            inner[outer][:, held_out] = [layer.logits(features[held_out]) for layer in layers]
    outer_logits, nested = np.zeros(size), np.zeros(size[1:])
    for name in names:
        held_out = folds == name
        layers = fit(~held_out)
        outer_logits[:, held_out] = [layer.logits(features[held_out]) for layer in layers]
        nested[held_out] = outer_logits[choose(inner[name], ~held_out), held_out]
    everything = np.ones(len(labels), dtype=np.bool_)
    best = choose(outer_logits, everything)
    return CrossValidation(nested, STRENGTHS[best], fit(everything)[best])


def n_fits(n_folds: int) -> int:
    """Return the number of fits of `cross_validate`."""
    return n_folds * (n_folds - 1) // 2 + n_folds + 1
