"""Groups of near-duplicates, so that no face is on both sides of a split unnoticed.

Two faces are near-duplicates if one is a copy of the other. Copies that lie alike in the crop, at another size or
compression, are found by their perceptual hashes; those that are turned, cut or shifted too, by their thumbnails
(`mien.faces.copy_search`, `mien.faces.copy_check`).

Two hashes agree if their 256-bit perceptual hashes, with or without mirroring one of them, differ in at
most `MAX_DISTANCE` bits. Measured on 989 photographs of LFW: a copy saved at JPEG quality 40 differs in 5 bits (90th
percentile), one scaled to 60% in 5, a mirrored one in 0, and one mirrored and saved at quality 40 in 5; different
photographs in 74 or more (1st percentile of the nearest neighbor), mirrored ones in 76.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mien.faces.copy_check import find_copies
from mien.faces.perceptual_hash import mirrored_hashes

MAX_DISTANCE = 12
# With one more band than differing bits, two near-duplicates agree on at least one complete band.
_N_BANDS = MAX_DISTANCE + 1
# In real sets a band is shared by fewer than 10 of 30,000 hashes; thousands of nearly blank images could share one,
# and each is compared with this many neighbors at most.
_MAX_NEIGHBORS = 64


def find_groups(hashes: NDArray[np.uint8], thumbnails: NDArray[np.uint8] | None = None) -> NDArray[np.int64]:
    """Return a group number for each hash: the index of the group's first member.

    Groups are connected components: if A is a duplicate of B and B of C, all three form one group.

    Args:
        hashes: ``(N, 32)`` uint8 from `mien.faces.perceptual_hash`.
        thumbnails: ``(N, 32, 32)`` uint8 of the same faces from `mien.faces.thumbnail`; None compares only the hashes.
    """
    distinct, first, inverse = np.unique(hashes, axis=0, return_index=True, return_inverse=True)
    n_distinct = len(distinct)
    parent = list(range(n_distinct))
    both = np.concatenate([distinct, mirrored_hashes(distinct)])
    for one, other in _candidate_pairs(both):
        # Two mirrored hashes are as far apart as the unmirrored ones.
        is_new = np.minimum(one, other) < n_distinct
        left, right = one[is_new], other[is_new]
        distance = np.bitwise_count(both[left] ^ both[right]).sum(axis=1)
        near = distance <= MAX_DISTANCE
        for a, b in zip((left[near] % n_distinct).tolist(), (right[near] % n_distinct).tolist(), strict=True):
            parent[_root(parent, a)] = _root(parent, b)
    roots = np.array([_root(parent, index) for index in range(len(parent))], dtype=np.int64)
    first_of_group = first.copy()
    np.minimum.at(first_of_group, roots, first)
    groups = np.asarray(first_of_group[roots][inverse.ravel()], dtype=np.int64)
    # One face of each group stands for it, so that thousands of equal images are compared once.
    leaders, group_numbers = np.unique(groups, return_inverse=True)
    if thumbnails is None or len(leaders) < 2:
        return groups
    parent = list(range(len(leaders)))
    for a, b in find_copies(thumbnails[leaders]).tolist():
        low, high = sorted((_root(parent, a), _root(parent, b)))
        parent[high] = low  # the leaders ascend, so that the lower root is the first member
    roots = np.array([_root(parent, index) for index in range(len(parent))], dtype=np.int64)
    return np.asarray(leaders[roots][group_numbers], dtype=np.int64)


def _candidate_pairs(
    hashes: NDArray[np.uint8],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield pairs that agree in one band. A band takes every 13th bit, so that it mixes frequencies."""
    for band in range(_N_BANDS):
        keys = np.zeros(len(hashes), dtype=np.int64)
        for bit in range(band, hashes.shape[1] * 8, _N_BANDS):
            keys = keys << 1 | (hashes[:, bit // 8] >> (7 - bit % 8) & 1)
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        for step in range(1, min(_MAX_NEIGHBORS, len(keys) - 1) + 1):
            same = np.flatnonzero(keys[step:] == keys[:-step])
            if not len(same):
                break
            yield order[same], order[same + step]


def _root(parent: list[int], index: int) -> int:
    """Return the root of an entry in a union-find forest, and shorten the path to it."""
    while parent[index] != index:
        parent[index] = parent[parent[index]]
        index = parent[index]
    return index


def count_duplicates(
    groups: NDArray[np.int64], image_sha256: NDArray[np.uint8], splits: NDArray[np.int64]
) -> dict[str, int]:
    """Count exact copies, near-copies, and faces whose duplicates are in another split.

    Args:
        groups: ``(N,)`` from `find_groups`.
        image_sha256: ``(N, 32)`` uint8 hashes of the crops.
        splits: ``(N,)`` number of each face's split.

    Returns:
        ``exact_copies``: faces that repeat an earlier one byte for byte; ``near_copies``: faces that repeat one
        exactly or nearly; ``in_several_splits``: faces whose group is in more than one split.
    """
    if not len(groups):
        return {"exact_copies": 0, "near_copies": 0, "in_several_splits": 0}
    n_exact = len(np.unique(image_sha256, axis=0))
    pairs = np.unique(np.column_stack([groups, splits]), axis=0)
    group, n_splits = np.unique(pairs[:, 0], return_counts=True)
    return {
        "exact_copies": len(groups) - n_exact,
        "near_copies": len(groups) - len(group),
        "in_several_splits": int(np.isin(groups, group[n_splits > 1]).sum()),
    }
