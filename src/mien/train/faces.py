"""What a run learns from: the training and dev faces of a pack, cut apart by near-duplicate group."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.errors import DatasetError
from mien.pack import Pack, PackSplit
from mien.recipe import DataConfig
from mien.train.sampler import random_generator

MIN_FACES = 16


@dataclass(frozen=True)
class LabelledFaces:
    """Some faces of a pack's train split, with targets in the network's classes.

    Attributes:
        split: where the pictures are.
        indices: ``(N,)`` int64 rows of the split.
        targets: ``(N, C)`` float32, the share of each class.
        labels: ``(N,)`` int64 network classes.
        landmarks: ``(N, 68, 2)`` float32 fractions of the crop, NaN where missing.
        valence_arousal: ``(N, 2)`` float32, NaN where missing.
    """

    split: PackSplit
    indices: NDArray[np.int64]
    targets: NDArray[np.float32]
    labels: NDArray[np.int64]
    landmarks: NDArray[np.float32]
    valence_arousal: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.indices)


@dataclass(frozen=True)
class TrainingFaces:
    """The faces of a run.

    Attributes:
        classes: the network's, in logit order.
        train: to learn from.
        dev: to choose the checkpoint and the temperature with; shares no near-duplicate with ``train``.
        n_leaks: training faces left out since another split holds a near-duplicate.
    """

    classes: tuple[str, ...]
    train: LabelledFaces
    dev: LabelledFaces
    n_leaks: int


def read_training_faces(pack: Pack, config: DataConfig, *, seed: int) -> TrainingFaces:
    """Choose classes, leave out leaks, and cut the dev split from train.

    Raises:
        DatasetError: a class or the votes are not in the pack, or too few faces remain.
    """
    split = pack.split("train")
    classes = _choose_classes(pack, config)
    class_of_label = np.array([classes.index(c) if c in classes else -1 for c in pack.info.classes])
    usable = class_of_label[split.labels] >= 0
    leaks = _find_leaks(pack, split) if config.exclude_leaks else np.zeros(len(split), dtype=bool)
    if config.labels == "votes" and split.distributions is None:
        raise DatasetError(
            f"`data.labels: votes` needs a pack with votes, {pack.path} has none. Use `data.labels: hard`"
        )
    rows = np.flatnonzero(usable & ~leaks)
    labels = class_of_label[split.labels[rows]]
    in_dev = cut_dev(labels, split.groups[rows], fraction=config.dev_fraction, seed=seed)
    n_dev = int(in_dev.sum())
    if min(n_dev, len(rows) - n_dev) < MIN_FACES:
        raise DatasetError(
            f"{len(rows)} usable training faces in {pack.path} leave {len(rows) - n_dev} to learn from and {n_dev} "
            f"to choose with, at least {MIN_FACES} of each are needed. Add faces, or raise `data.dev_fraction`"
        )
    train, dev = (
        _labelled(split, rows[part], labels[part], classes, pack.info.classes, votes=config.labels == "votes")
        for part in (~in_dev, in_dev)
    )
    return TrainingFaces(classes, train, dev, int((usable & leaks).sum()))


def _choose_classes(pack: Pack, config: DataConfig) -> tuple[str, ...]:
    available = pack.info.classes
    if config.classes is None:
        return available
    unknown = [name for name in config.classes if name not in available]
    if unknown or len(set(config.classes)) != len(config.classes) or len(config.classes) < 2:
        raise DatasetError(
            f"`data.classes` must name two or more different classes of {', '.join(available)}; "
            f"got {', '.join(config.classes)}"
        )
    return tuple(config.classes)


def _find_leaks(pack: Pack, split: PackSplit) -> NDArray[np.bool_]:
    elsewhere = [pack.split(name).groups for name in pack.splits if name != split.name]
    return np.isin(split.groups, np.concatenate(elsewhere)) if elsewhere else np.zeros(len(split), dtype=bool)


def cut_dev(
    labels: NDArray[np.int64], groups: NDArray[np.int64], *, fraction: float, seed: int
) -> NDArray[np.bool_]:
    """Return which faces are kept back, about ``fraction`` of every class, never cutting a group in two.

    Args:
        labels: ``(N,)`` classes.
        groups: ``(N,)`` near-duplicate groups. A group counts to the class of its first face.
        fraction: share to keep back.
        seed: of the choice.
    """
    names, first, inverse, sizes = np.unique(
        groups, return_index=True, return_inverse=True, return_counts=True
    )
    kept_back = np.zeros(len(names), dtype=bool)
    rank = random_generator(seed, 1).permutation(len(names))
    for label in np.unique(labels[first]):
        members = np.flatnonzero(labels[first] == label)
        members = members[np.argsort(rank[members])]
        wanted = round(fraction * sizes[members].sum())
        before = np.cumsum(sizes[members]) - sizes[members]
        kept_back[members[before < wanted]] = True
    return kept_back[inverse]


def _labelled(
    split: PackSplit,
    rows: NDArray[np.int64],
    labels: NDArray[np.int64],
    classes: tuple[str, ...],
    pack_classes: tuple[str, ...],
    *,
    votes: bool,
) -> LabelledFaces:
    targets = np.eye(len(classes), dtype=np.float32)[labels]
    if votes and split.distributions is not None:
        shares = split.distributions[rows][:, [pack_classes.index(name) for name in classes]]
        totals = shares.sum(axis=1, keepdims=True)
        known = np.isfinite(totals[:, 0]) & (totals[:, 0] > 0)
        targets[known] = shares[known] / totals[known]
    return LabelledFaces(split, rows, targets, labels, split.landmarks[rows], split.valence_arousal[rows])
