"""Dev splits and folds of whole persons and clips.

These groups are large, and each has faces of many classes: unlike near-duplicates they cannot be drawn class by class, as
`mien.train.dataset` does. Groups are taken one by one so that every class comes close to its fraction.
"""

import numpy as np
from numpy.typing import NDArray


def split_dev_by_person(
    labels: NDArray[np.int64], groups: NDArray[np.int64], draws: NDArray[np.uint64], *, fraction: float
) -> NDArray[np.bool_]:
    """Return which faces are held out: about ``fraction`` of every class, in whole groups, at least one of them.

    Groups are considered by their lowest draw, and held out if that brings the classes closer to the fraction.

    Args:
        labels: ``(N,)`` classes.
        groups: ``(N,)`` groups of faces that share a person, a clip or a near-duplicate.
        draws: ``(N,)`` random numbers, which order the groups.
        fraction: fraction to hold out.
    """
    members, counts, lowest = _count_groups(labels, groups, draws)
    target, weights = fraction * counts.sum(axis=0), 1 / counts.sum(axis=0) ** 2
    held_out = np.zeros(len(counts), dtype=bool)
    chosen = np.zeros_like(target)
    for group in np.argsort(lowest, kind="stable"):
        after = chosen + counts[group]
        if weights @ (after - target) ** 2 < weights @ (chosen - target) ** 2:
            held_out[group] = True
            chosen = after
    if not held_out.any():
        held_out[np.argmin(((counts - target) ** 2) @ weights)] = True
    return np.asarray(held_out[members])


def assign_folds_by_person(
    labels: NDArray[np.int64], groups: NDArray[np.int64], draws: NDArray[np.uint64], *, n_folds: int
) -> NDArray[np.int64]:
    """Return the fold of every face, 0 to ``n_folds - 1``: about equal parts of every class, in whole groups.

    Groups are assigned from the largest to the smallest, each to the fold that has the fewest faces of its classes.

    Args:
        labels: ``(N,)`` classes.
        groups: ``(N,)`` groups of faces that share a person, a clip or a near-duplicate.
        draws: ``(N,)`` random numbers, which order groups of one size.
        n_folds: number of folds.
    """
    members, counts, lowest = _count_groups(labels, groups, draws)
    weights = 1 / counts.sum(axis=0) ** 2
    fold_of_group = np.zeros(len(counts), dtype=np.int64)
    in_folds = np.zeros((n_folds, counts.shape[1]))
    for group in np.lexsort((lowest, -counts.sum(axis=1))):
        fold = int(np.argmin(in_folds @ (weights * counts[group])))
        fold_of_group[group] = fold
        in_folds[fold] += counts[group]
    return np.asarray(fold_of_group[members])


def _count_groups(
    labels: NDArray[np.int64], groups: NDArray[np.int64], draws: NDArray[np.uint64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.uint64]]:
    """Return each face's group as an index, the faces of each class in each group, and each group's lowest draw."""
    _, members = np.unique(groups, return_inverse=True)
    present, classes = np.unique(labels, return_inverse=True)
    counts = np.zeros((int(members.max(initial=-1)) + 1, len(present)))
    np.add.at(counts, (members, classes), 1)
    lowest = np.full(len(counts), np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(lowest, members, draws)
    return members, counts, lowest
