"""The training and dev faces of a run's packs, split by near-duplicate group, and by person and clip where known."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import DatasetError
from mien.faces.classes import canonical_class, current_class
from mien.faces.crop import CropContract
from mien.formats.pack import Pack, PackSplit
from mien.formats.pack.grouping import find_shared_persons, join_persons
from mien.formats.pack.kept_out import find_repeats
from mien.formats.pack.leaks import find_leaks
from mien.formats.pack.reader import ALIGNED
from mien.formats.pack.schema import NO_LABEL
from mien.formats.pack.selection import FaceSelection
from mien.recipe import DataConfig, ModelConfig
from mien.tasks import TASKS, Annotations, Values, merge_annotations
from mien.train.person_split import assign_folds_by_person, split_dev_by_person

MIN_FACES = 16


@dataclass(frozen=True)
class LabeledFaces(FaceSelection):
    """Faces of the packs' train splits, with targets in the network's classes.

    Attributes:
        targets: ``(N, *shape)`` float32 by task, with the task's mark where missing; for the expression label
            distributions, zeros for a face without a label.
        groups: ``(N,)`` int64; faces with the same number share a near-duplicate, a person or a clip.
    """

    targets: Values
    groups: NDArray[np.int64]

    def count_classes(self) -> NDArray[np.int64]:
        """Return the ``(C,)`` number of faces of each class."""
        labels = self.labels[self.labels != NO_LABEL]
        return np.bincount(labels, minlength=self.targets["expression"].shape[1]).astype(np.int64)


@dataclass(frozen=True)
class TrainingFaces:
    """The faces of a run.

    Attributes:
        classes: the network's classes, in logit order.
        train: the training faces.
        dev: faces that select the checkpoint and the temperature; shares no near-duplicates, persons and clips with
            ``train``.
        n_leaks: training faces excluded because another split has a near-duplicate.
        n_shared_persons: further training faces excluded because another split has their person or clip.
        annotations: the columns of optional tasks, over all packs.
        n_kept_out: other training faces excluded because they repeat a face of `data.keep_out`.
    """

    classes: tuple[str, ...]
    train: LabeledFaces
    dev: LabeledFaces
    n_leaks: int
    n_shared_persons: int
    annotations: Annotations = field(default_factory=dict)
    n_kept_out: int = 0


def other_tasks(model: ModelConfig) -> list[str]:
    """Return the tasks besides the expression that a network is to learn, as arrays of `LabeledFaces`."""
    return [task for task in TASKS if task != "expression" and getattr(model, task)]


def read_training_faces(
    packs: Sequence[Pack], config: DataConfig, *, tasks: Iterable[str] = tuple(TASKS)[1:]
) -> TrainingFaces:
    """Select classes, exclude leaks, and split off the dev faces.

    A face without an expression label is used if it has labels for another task.

    Args:
        packs: the packs.
        config: the recipe's choice of faces.
        tasks: the other tasks, as arrays of `LabeledFaces`.

    Raises:
        DatasetError: a class or the votes are in no pack, the packs are cropped differently or hold the same faces,
            or too few faces remain.
    """
    where = ", ".join(str(pack.path) for pack in packs)
    _require_compatible(packs, config)
    classes = _choose_classes(packs, config)
    splits = tuple(pack.split("train", crop=config.crop) for pack in packs)
    if config.labels == "votes" and all(split.distributions is None for split in splits):
        raise DatasetError(
            f"`data.labels: votes` needs a pack with votes, {where} has none. Use `data.labels: hard`"
        )
    duplicates, leaks = find_leaks(packs)
    groups = join_persons(splits, duplicates)
    try:
        annotations = merge_annotations([pack.info.annotations for pack in packs])
    except ValueError as error:
        raise DatasetError(f"Packs {where} cannot be trained on together: {error}") from None
    faces = _join(splits, groups, classes, annotations, votes=config.labels == "votes")
    leaks = leaks if config.exclude_leaks else np.zeros_like(leaks)
    shared = find_shared_persons(packs) if config.exclude_shared_persons else np.zeros_like(leaks)
    repeats = find_repeats(packs, config.keep_out or ())
    usable = faces.labels != NO_LABEL
    is_unlabeled = np.concatenate([split.labels == NO_LABEL for split in splits])
    for values in (faces.targets[task] for task in tasks if task in faces.targets):
        usable |= is_unlabeled & np.isfinite(values.reshape(len(faces), -1)).any(axis=1)
    n_leaks, n_shared_persons = int((usable & leaks).sum()), int((usable & shared & ~leaks).sum())
    n_kept_out = int((usable & ~leaks & ~shared & repeats).sum())
    faces = faces.part(usable & ~leaks & ~shared & ~repeats)
    draws = hash_names(map(faces.key, range(len(faces))), seed=config.split_seed)
    by_person = groups is not duplicates
    in_dev = choose_dev(faces.labels, faces.groups, draws, config, by_person=by_person)
    is_labeled = faces.labels != NO_LABEL
    n_train, n_dev = int((is_labeled & ~in_dev).sum()), int((is_labeled & in_dev).sum())
    if min(n_dev, n_train) < MIN_FACES:
        excluded = {
            "repeat a face of another split": n_leaks,
            "show persons of another split": n_shared_persons,
            "repeat a face of `data.keep_out`": n_kept_out,
        }
        left_out = ", ".join(f"{n:,} {why}" for why, n in excluded.items() if n)
        n_faces = n_train + n_dev
        # A tenth more than needed: groups of faces that stay together may not fill a part exactly.
        fraction = min(math.ceil(22 * MIN_FACES / max(n_faces, 1)) / 20, 0.5)
        if n_faces < 2 * MIN_FACES:
            remedy = "use `mien teach`, which needs fewer"
        elif config.folds is not None:
            remedy = f"use at most {max(math.floor(1 / fraction), 2)} folds"
        else:
            remedy = f"add --data.dev_fraction {fraction:g}"
        raise DatasetError(
            f"{n_faces} usable training faces in {where} leave {n_train} for training and {n_dev} for dev, at least "
            f"{MIN_FACES} of each are needed. Add faces, or {remedy}"
            + ("; faces of a person or clip stay together" if by_person else "")
            + (f". Left out: {left_out}" if left_out else "")
        )
    return TrainingFaces(
        classes, faces.part(~in_dev), faces.part(in_dev), n_leaks, n_shared_persons, annotations, n_kept_out
    )


def network_crop(packs: Sequence[Pack], config: DataConfig) -> CropContract:
    """Return the crop that a network trained on these packs expects: the largest, which has the detail of all."""
    if config.crop == "aligned":
        return replace(ALIGNED, size=config.input_size)
    return max((pack.info.crop for pack in packs), key=lambda crop: crop.size)


def _require_compatible(packs: Sequence[Pack], config: DataConfig) -> None:
    """Refuse packs that hold the same faces or are cropped differently."""
    first, paths = packs[0], dict[str, Path]()
    for pack in packs:
        same = paths.setdefault(pack.info.content_sha256, pack.path)
        if same is not pack.path:
            raise DatasetError(
                f"Packs {same} and {pack.path} hold the same faces, which would be trained on twice. Use one of them"
            )
    if config.crop == "aligned":
        return
    for pack in packs[1:]:
        one, other = first.info.crop, pack.info.crop
        if not one.crops_like(other):
            raise DatasetError(
                f"Packs trained together must be cropped alike: {first.path} has {one.describe()}, {pack.path} has "
                f"{other.describe()}. Prepare one of them again"
            )


def _choose_classes(packs: Sequence[Pack], config: DataConfig) -> tuple[str, ...]:
    available = tuple(dict.fromkeys(name for pack in packs for name in pack.info.classes))
    if not available:
        raise DatasetError(
            f"A model predicts expressions, and no face of {', '.join(str(pack.path) for pack in packs)} has an expression "
            "label: train on it together with a pack that has them, with --pack for each"
        )
    if config.classes is None:
        return available
    names = {canonical_class(name) or name.casefold(): name for name in available}
    chosen = tuple(
        name if name in available else names.get(canonical_class(name) or name.casefold(), name)
        for name in map(current_class, config.classes)
    )
    unknown = [name for name in chosen if name not in available]
    if unknown or len(set(chosen)) != len(chosen) or len(chosen) < 2:
        raise DatasetError(
            f"`data.classes` must name two or more different classes out of {', '.join(available)}; "
            f"got {', '.join(config.classes)}"
        )
    return chosen


def hash_names(keys: Iterable[str], *, seed: int) -> NDArray[np.uint64]:
    """Return a pseudo-random number for every face that depends only on its name and the seed.

    The same photographs are then held out when a dataset is prepared again, with another crop or fewer rejects, so that
    a run that starts from an earlier one's weights is not evaluated on faces which that one was trained on.

    Args:
        keys: paths of the faces' images, as their sources give them.
        seed: seed of the split.
    """
    salt = seed.to_bytes(8, "little")
    digests = [blake2b(key.encode(), digest_size=8, key=salt).digest() for key in keys]
    return np.frombuffer(b"".join(digests), dtype="<u8")


def choose_dev(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    draws: NDArray[np.uint64],
    config: DataConfig,
    *,
    by_person: bool = False,
) -> NDArray[np.bool_]:
    """Return which faces are held out: the recipe's fold, or its fraction.

    Args:
        labels: ``(N,)`` classes.
        groups: ``(N,)`` groups that stay together.
        draws: ``(N,)`` random numbers.
        config: the recipe's fold or fraction.
        by_person: the groups are those of persons or clips, not of near-duplicates alone.
    """
    if config.folds is not None:
        assign = assign_folds_by_person if by_person else assign_folds
        return np.asarray(assign(labels, groups, draws, n_folds=config.folds) == config.fold)
    split = split_dev_by_person if by_person else split_dev
    return split(labels, groups, draws, fraction=config.dev_fraction)


def split_dev(
    labels: NDArray[np.int64], groups: NDArray[np.int64], draws: NDArray[np.uint64], *, fraction: float
) -> NDArray[np.bool_]:
    """Return which faces are held out, about ``fraction`` of every class, without splitting groups.

    Args:
        labels: ``(N,)`` classes.
        groups: ``(N,)`` near-duplicate groups. A group belongs to the class of its lowest draw, which decides for all of it.
        draws: ``(N,)`` random numbers; the lowest are held out.
        fraction: fraction to hold out.
    """
    held_out = np.zeros(len(labels), dtype=bool)
    for members, before, total in _ordered_groups(labels, groups, draws):
        held_out |= np.isin(groups, members[before < round(fraction * total)])
    return held_out


def assign_folds(
    labels: NDArray[np.int64], groups: NDArray[np.int64], draws: NDArray[np.uint64], *, n_folds: int
) -> NDArray[np.int64]:
    """Return the fold of every face, 0 to ``n_folds - 1``: about equal parts of every class, without splitting groups.

    Args:
        labels: ``(N,)`` classes.
        groups: ``(N,)`` near-duplicate groups.
        draws: ``(N,)`` random numbers, which order the faces.
        n_folds: number of folds.
    """
    folds = np.zeros(len(labels), dtype=np.int64)
    for number, (members, before, total) in enumerate(_ordered_groups(labels, groups, draws)):
        # Each class starts at another fold, since one with fewer faces than folds does not reach all of them.
        fold_of_group = (before * n_folds // total + number) % n_folds
        order = np.argsort(members)
        index = np.searchsorted(members[order], groups).clip(max=len(members) - 1)
        in_class = members[order][index] == groups
        folds[in_class] = fold_of_group[order][index[in_class]]
    return folds


def _ordered_groups(
    labels: NDArray[np.int64], groups: NDArray[np.int64], draws: NDArray[np.uint64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], int]]:
    """Yield for each class its groups by lowest draw, the number of faces before each group, and in all."""
    order = np.argsort(draws, kind="stable")
    names, first, sizes = np.unique(groups[order], return_index=True, return_counts=True)
    labels_of_groups = labels[order[first]]
    for label in np.unique(labels_of_groups):
        members = np.flatnonzero(labels_of_groups == label)
        members = members[np.argsort(first[members])]
        yield names[members], np.cumsum(sizes[members]) - sizes[members], int(sizes[members].sum())


def _join(
    splits: tuple[PackSplit, ...],
    groups: NDArray[np.int64],
    classes: tuple[str, ...],
    annotations: Annotations,
    *,
    votes: bool,
) -> LabeledFaces:
    """Concatenate the train splits; a face of another class than ``classes``, or of none, has `NO_LABEL`."""
    labels, targets = zip(*(_read_labels(split, classes, votes=votes) for split in splits), strict=True)
    faces = FaceSelection(
        splits,
        np.repeat(np.arange(len(splits)), [len(split) for split in splits]),
        np.concatenate([np.arange(len(split)) for split in splits]),
        np.concatenate(labels),
    )
    return LabeledFaces(
        faces.splits,
        faces.pack_numbers,
        faces.rows,
        faces.labels,
        {"expression": np.concatenate(targets), **faces.read_annotations(annotations)},
        groups,
    )


def _read_labels(
    split: PackSplit, classes: tuple[str, ...], *, votes: bool
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the labels of a pack's faces in the network's classes, and their targets: votes if there are any."""
    names = split.pack.info.classes
    # The last entry is that of `NO_LABEL`.
    columns = np.array([*(classes.index(name) if name in classes else NO_LABEL for name in names), NO_LABEL])
    labels = columns[split.labels]
    targets = np.eye(len(classes), dtype=np.float32)[labels.clip(min=0)]
    targets[labels == NO_LABEL] = 0
    columns = columns[:-1]
    if votes and split.distributions is not None:
        fractions = np.zeros_like(targets)
        fractions[:, columns[columns >= 0]] = split.distributions[:, columns >= 0]
        totals = fractions.sum(axis=1, keepdims=True)
        known = np.isfinite(totals[:, 0]) & (totals[:, 0] > 0) & (labels != NO_LABEL)
        targets[known] = fractions[known] / totals[known]
    return labels, targets
