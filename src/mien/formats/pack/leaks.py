"""The definition of a leak: a training face with a near-duplicate in another split of any pack."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mien.faces.near_duplicates import find_groups
from mien.formats.pack.reader import Pack


def find_leaks(packs: Sequence[Pack]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the near-duplicate group of every training face of packs used together, and which faces are leaks.

    Returns:
        ``(N,)`` groups and a ``(N,)`` mask of leaks, over the train splits in the order of the packs.
    """
    splits = [pack.split(name) for pack in packs for name in pack.splits]
    if len(packs) == 1:
        groups = np.concatenate([split.groups for split in splits])
    else:  # the groups stored in a pack cover only that pack
        hashes = np.concatenate([split.read_perceptual_hashes() for split in splits])
        groups = find_groups(hashes, np.concatenate([split.read_thumbnails() for split in splits]))
    in_train = np.concatenate([np.full(len(split), split.name == "train") for split in splits])
    return groups[in_train], np.isin(groups[in_train], groups[~in_train])
