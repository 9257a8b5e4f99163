"""The one rule of which training faces are leaks: another split of any pack holds a near-duplicate."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mien.faces.near_duplicates import find_groups
from mien.pack.reader import Pack


def find_leaks(packs: Sequence[Pack]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the near-duplicate group of every training face of packs used together, and which faces are leaks.

    Returns:
        ``(N,)`` groups and ``(N,)`` leaks, over the train splits in the order of the packs. A leak is a face of whose
        group another split of one of the packs holds a member.
    """
    splits = [pack.split(name) for pack in packs for name in pack.splits]
    if len(packs) == 1:
        groups = np.concatenate([split.groups for split in splits])
    else:  # the groups that a pack stores say nothing of another pack
        groups = find_groups(np.concatenate([split.read_perceptual_hashes() for split in splits]))
    in_train = np.concatenate([np.full(len(split), split.name == "train") for split in splits])
    return groups[in_train], np.isin(groups[in_train], groups[~in_train])
