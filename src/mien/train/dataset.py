"""What a run learns from: the training and dev faces of its packs, cut apart by near-duplicate group."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import DatasetError
from mien.faces.classes import current_class
from mien.formats.pack import Pack, PackSplit
from mien.formats.pack.leaks import find_leaks
from mien.formats.pack.selection import FaceSelection
from mien.recipe import DataConfig

MIN_FACES = 16


@dataclass(frozen=True)
class LabelledFaces(FaceSelection):
    """Faces of the packs' train splits, with targets in the network's classes.

    Attributes:
        targets: ``(N, C)`` float32 label distributions.
        landmarks: ``(N, 68, 2)`` float32 fractions of the crop, NaN where missing.
        valence_arousal: ``(N, 2)`` float32, NaN where missing.
        groups: ``(N,)`` int64; faces with the same number are near-duplicates.
    """

    targets: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    valence_arousal: NDArray[np.float32]
    groups: NDArray[np.int64]


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


def read_training_faces(packs: Sequence[Pack], config: DataConfig) -> TrainingFaces:
    """Choose classes, leave out leaks, and cut the dev split from train.

    Raises:
        DatasetError: a class or the votes are in no pack, the packs are cropped differently or are one pack twice,
            or too few faces remain.
    """
    where = ", ".join(str(pack.path) for pack in packs)
    _require_different(packs)
    _require_one_crop(packs)
    classes = _choose_classes(packs, config)
    splits = tuple(pack.split("train") for pack in packs)
    if config.labels == "votes" and all(split.distributions is None for split in splits):
        raise DatasetError(
            f"`data.labels: votes` needs a pack with votes, {where} has none. Use `data.labels: hard`"
        )
    groups, leaks = find_leaks(packs)
    faces = _join(splits, groups, classes, votes=config.labels == "votes")
    leaks = leaks if config.exclude_leaks else np.zeros_like(leaks)
    usable = faces.labels >= 0
    n_leaks = int((usable & leaks).sum())
    faces = faces.part(usable & ~leaks)
    draws = draw_by_name(map(faces.key, range(len(faces))), seed=config.split_seed)
    in_dev = choose_dev(faces.labels, faces.groups, draws, config)
    n_dev = int(in_dev.sum())
    if min(n_dev, len(faces) - n_dev) < MIN_FACES:
        raise DatasetError(
            f"{len(faces)} usable training faces in {where} leave {len(faces) - n_dev} to learn from and {n_dev} "
            f"to choose with, at least {MIN_FACES} of each are needed. Add faces, or raise `data.dev_fraction`"
        )
    return TrainingFaces(classes, faces.part(~in_dev), faces.part(in_dev), n_leaks)


def _require_different(packs: Sequence[Pack]) -> None:
    paths: dict[str, Path] = {}
    for pack in packs:
        first = paths.setdefault(pack.info.content_sha256, pack.path)
        if first is not pack.path:
            raise DatasetError(
                f"Packs {first} and {pack.path} hold the very same faces, which would be trained on twice. Give one of them"
            )


def _require_one_crop(packs: Sequence[Pack]) -> None:
    first = packs[0]
    for pack in packs[1:]:
        one, other = first.info.crop, pack.info.crop
        if not one.crops_like(other):
            raise DatasetError(
                f"Packs trained together must be cropped alike: {first.path} has crop {one.method} with margin "
                f"{one.margin}, {pack.path} has {other.method} with {other.margin}. Prepare one of them again"
            )


def _choose_classes(packs: Sequence[Pack], config: DataConfig) -> tuple[str, ...]:
    available = tuple(dict.fromkeys(name for pack in packs for name in pack.info.classes))
    if config.classes is None:
        return available
    chosen = tuple(map(current_class, config.classes))
    unknown = [name for name in chosen if name not in available]
    if unknown or len(set(chosen)) != len(chosen) or len(chosen) < 2:
        raise DatasetError(
            f"`data.classes` must name two or more different classes of {', '.join(available)}; "
            f"got {', '.join(config.classes)}"
        )
    return chosen


def draw_by_name(keys: Iterable[str], *, seed: int) -> NDArray[np.uint64]:
    """Return a random number for every face that hangs on its name and the seed alone.

    So that the same photographs are kept back when a set is prepared anew, with another crop or fewer rejects:
    a run that goes on from an earlier one's weights is not measured on what that one has learnt.

    Args:
        keys: the paths of the faces' images, as their sources write them.
        seed: of the draw.
    """
    salt = seed.to_bytes(8, "little")
    digests = [blake2b(key.encode(), digest_size=8, key=salt).digest() for key in keys]
    return np.frombuffer(b"".join(digests), dtype="<u8")


def choose_dev(
    labels: NDArray[np.int64], groups: NDArray[np.int64], draws: NDArray[np.uint64], config: DataConfig
) -> NDArray[np.bool_]:
    """Return which faces are kept back: the recipe's fold, or its fraction."""
    if config.folds is not None:
        return np.asarray(assign_folds(labels, groups, draws, n_folds=config.folds) == config.fold)
    return split_dev(labels, groups, draws, fraction=config.dev_fraction)


def split_dev(
    labels: NDArray[np.int64], groups: NDArray[np.int64], draws: NDArray[np.uint64], *, fraction: float
) -> NDArray[np.bool_]:
    """Return which faces are kept back, about ``fraction`` of every class, never cutting a group in two.

    Args:
        labels: ``(N,)`` classes.
        groups: ``(N,)`` near-duplicate groups. A group counts to the class of its lowest draw, and goes by it.
        draws: ``(N,)`` random numbers; the lowest are kept back.
        fraction: share to keep back.
    """
    held_out = np.zeros(len(labels), dtype=bool)
    for members, before, total in _ordered_groups(labels, groups, draws):
        held_out |= np.isin(groups, members[before < round(fraction * total)])
    return held_out


def assign_folds(
    labels: NDArray[np.int64], groups: NDArray[np.int64], draws: NDArray[np.uint64], *, n_folds: int
) -> NDArray[np.int64]:
    """Return the fold of every face, 0 to ``n_folds - 1``: about equal parts of every class, groups kept whole.

    Args:
        labels: ``(N,)`` classes.
        groups: ``(N,)`` near-duplicate groups.
        draws: ``(N,)`` random numbers, by which the faces are dealt.
        n_folds: folds.
    """
    folds = np.zeros(len(labels), dtype=np.int64)
    for number, (members, before, total) in enumerate(_ordered_groups(labels, groups, draws)):
        # A class of fewer faces than folds begins at another fold than the last class did.
        fold_of_group = (before * n_folds // total + number) % n_folds
        order = np.argsort(members)
        place = np.searchsorted(members[order], groups).clip(max=len(members) - 1)
        mine = members[order][place] == groups
        folds[mine] = fold_of_group[order][place[mine]]
    return folds


def _ordered_groups(
    labels: NDArray[np.int64], groups: NDArray[np.int64], draws: NDArray[np.uint64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], int]]:
    """Yield the groups of each class in the order of their lowest draws, the faces before each, and those in all."""
    order = np.argsort(draws, kind="stable")
    names, first, sizes = np.unique(groups[order], return_index=True, return_counts=True)
    labels_of_groups = labels[order[first]]
    for label in np.unique(labels_of_groups):
        members = np.flatnonzero(labels_of_groups == label)
        members = members[np.argsort(first[members])]
        yield names[members], np.cumsum(sizes[members]) - sizes[members], int(sizes[members].sum())


def _join(
    splits: tuple[PackSplit, ...], groups: NDArray[np.int64], classes: tuple[str, ...], *, votes: bool
) -> LabelledFaces:
    """Put the train splits together; a face of a class that is not learnt has the label -1."""
    labels, targets = zip(*(_read_labels(split, classes, votes=votes) for split in splits), strict=True)
    return LabelledFaces(
        splits,
        np.repeat(np.arange(len(splits)), [len(split) for split in splits]),
        np.concatenate([np.arange(len(split)) for split in splits]),
        np.concatenate(labels),
        np.concatenate(targets),
        np.concatenate([split.landmarks for split in splits]),
        np.concatenate([split.valence_arousal for split in splits]),
        groups,
    )


def _read_labels(
    split: PackSplit, classes: tuple[str, ...], *, votes: bool
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the labels of a pack's faces in the network's classes, and their targets: votes where there are any."""
    names = split.pack.info.classes
    columns = np.array([classes.index(name) if name in classes else -1 for name in names])
    labels = columns[split.labels]
    targets = np.eye(len(classes), dtype=np.float32)[labels.clip(min=0)]
    if votes and split.distributions is not None:
        shares = np.zeros_like(targets)
        shares[:, columns[columns >= 0]] = split.distributions[:, columns >= 0]
        totals = shares.sum(axis=1, keepdims=True)
        known = np.isfinite(totals[:, 0]) & (totals[:, 0] > 0)
        targets[known] = shares[known] / totals[known]
    return labels, targets
