"""Faces that belong on one side of a split: near-duplicates, and faces of one person or one clip."""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from mien.formats.pack.reader import Pack, PackSplit


def connect(*columns: Sequence[Hashable | None]) -> NDArray[np.int64]:
    """Return a group number for each row: the index of the group's first member.

    Rows that have the same value in any column are in one group, and so are rows that others connect. None equals nothing.

    Args:
        columns: one or more, each with a value for every row.

    Example:
        >>> connect(["a", "b", None, None], [1, None, 1, 2]).tolist()
        [0, 1, 0, 3]
    """
    groups = np.arange(len(columns[0]), dtype=np.int64)
    indexed = []
    for values in columns:
        numbers: dict[Hashable, int] = {}
        rows = np.array([row for row, value in enumerate(values) if value is not None], dtype=np.int64)
        ids = [numbers.setdefault(value, len(numbers)) for value in values if value is not None]
        indexed.append((rows, np.array(ids, dtype=np.int64), len(numbers)))
    while True:
        before = groups.copy()
        for rows, ids_of_rows, n_ids in indexed:
            lowest = np.full(n_ids, len(groups), dtype=np.int64)
            np.minimum.at(lowest, ids_of_rows, groups[rows])
            groups[rows] = lowest[ids_of_rows]
        groups = groups[groups]  # the group of the first member is the same, or a lower one
        if np.array_equal(groups, before):
            return groups


def join_persons(splits: Sequence[PackSplit], duplicates: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return groups of faces that share a near-duplicate, a person or a clip, directly or through others.

    A name means the same person or clip in packs of the same source only.

    Args:
        splits: the faces of several packs.
        duplicates: ``(N,)`` their near-duplicate groups.

    Returns:
        ``(N,)`` groups; ``duplicates`` itself if no person or clip is known.
    """
    persons, clips = read_names(splits)
    if not any(name is not None for names in (persons, clips) for name in names):
        return duplicates
    return connect(duplicates.tolist(), persons, clips)


def find_shared_persons(packs: Sequence[Pack]) -> NDArray[np.bool_]:
    """Return which training faces of packs used together have a person or clip that another split has too."""
    splits = [pack.split(name) for pack in packs for name in pack.splits]
    in_train = np.concatenate([np.full(len(split), split.name == "train") for split in splits])
    shared = np.zeros(len(in_train), dtype=bool)
    for names in read_names(splits):
        elsewhere = {name for name, is_train in zip(names, in_train, strict=True) if not is_train} - {None}
        shared |= np.fromiter((name in elsewhere for name in names), dtype=bool, count=len(names))
    return np.asarray(shared[in_train])


def count_known(faces: PackSplit, training: PackSplit) -> int:
    """Return how many faces are of a person or clip that a training split of the same pack has too."""
    known = np.zeros(len(faces), dtype=bool)
    for names, others in ((faces.persons, training.persons), (faces.clips, training.clips)):
        if names is not None and others is not None:
            trained_on = set(others) - {None}
            known |= np.fromiter((name in trained_on for name in names), dtype=bool, count=len(names))
    return int(known.sum())


def read_names(
    splits: Sequence[PackSplit],
) -> tuple[list[tuple[str, str] | None], list[tuple[str, str] | None]]:
    """Return the person and the clip of every face, each with the source of its pack, or None."""
    persons: list[tuple[str, str] | None] = []
    clips: list[tuple[str, str] | None] = []
    for split in splits:
        for joined, names in ((persons, split.persons), (clips, split.clips)):
            source = split.pack.info.source
            joined += [None if name is None else (source, name) for name in names or [None] * len(split)]
    return persons, clips
