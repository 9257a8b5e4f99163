"""The faces that an int8 file is made and measured with: training faces to calibrate on, the dev split to judge by."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import ArtifactError
from mien.faces.crop import resize_crop
from mien.pack import Pack, PackSplit
from mien.pack.leaks import find_leaks
from mien.run import DevOutputs, Run


@dataclass(frozen=True)
class ChosenFaces:
    """Some training faces of a run's packs.

    Attributes:
        splits: the train split of each pack, in the run's order.
        pack_numbers: ``(N,)`` int64 which of ``splits`` a face is in.
        rows: ``(N,)`` int64 its row there.
        labels: ``(N,)`` int64 network classes.
    """

    splits: tuple[PackSplit, ...]
    pack_numbers: NDArray[np.int64]
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def landmarks(self) -> NDArray[np.float32]:
        """``(N, 68, 2)`` fractions of the crop, NaN where a face has none."""
        landmarks = np.full((len(self), 68, 2), np.nan, dtype=np.float32)
        for number, split in enumerate(self.splits):
            here = self.pack_numbers == number
            landmarks[here] = split.landmarks[self.rows[here]]
        return landmarks

    def part(self, indices: NDArray[np.int64]) -> "ChosenFaces":
        """Return some of the faces."""
        return ChosenFaces(self.splits, self.pack_numbers[indices], self.rows[indices], self.labels[indices])

    def batches(self, size: int, batch_size: int) -> Iterator[NDArray[np.uint8]]:
        """Yield the faces in order as a model takes them: ``(n, size, size, 3)`` uint8 RGB."""
        places = list(zip(self.pack_numbers.tolist(), self.rows.tolist(), strict=True))
        for start in range(0, len(places), batch_size):
            chosen = places[start : start + batch_size]
            yield np.stack([resize_crop(self.splits[pack].image(row), size) for pack, row in chosen])


def open_train_splits(run: Run, paths: Sequence[Path]) -> tuple[PackSplit, ...]:
    """Open the train splits of a run's packs, in the run's order.

    Raises:
        ArtifactError: a pack cannot be read, one is missing, or one is not the run's by its content hash.
    """
    wanted: list[str] = run.pack.get("members") or [run.pack["content_sha256"]]
    packs = {pack.info.content_sha256: pack for pack in map(Pack.open, paths)}
    for content, pack in packs.items():
        if content not in wanted:
            theirs = ", ".join(f"{name[:12]}..." for name in wanted)
            raise ArtifactError(
                f"{pack.path} is not a pack that {run.path} was trained on: its content hash is {content[:12]}..., "
                f"the run's {theirs}. Give the run's own pack with --calibrate"
            )
    if len(packs) < len(set(wanted)):
        raise ArtifactError(
            f"{run.path} was trained on {len(set(wanted))} packs, got {len(packs)}. Give each with --calibrate PACK"
        )
    return tuple(packs[content].split("train") for content in wanted)


def dev_faces(run: Run, dev: DevOutputs, splits: tuple[PackSplit, ...]) -> ChosenFaces:
    """Return the dev split of a run.

    Raises:
        ArtifactError: the run does not say which faces they are.
    """
    if dev.pack_numbers is None or dev.rows is None:
        raise ArtifactError(
            f"{run.path / 'dev.npz'} does not say which faces of the pack are the dev split: an earlier release "
            "made it. Train again, or export without --int8"
        )
    return ChosenFaces(splits, dev.pack_numbers, dev.rows, dev.labels)


def choose_calibration(run: Run, dev: ChosenFaces, *, n_faces: int, seed: int) -> ChosenFaces:
    """Choose training faces to calibrate on, as evenly over the classes as their numbers allow.

    Left out are the dev split, classes that the network does not know, and every face of which the dev split or
    another split of any of the packs holds a near-duplicate.

    Args:
        run: the run.
        dev: its dev split.
        n_faces: how many to choose; fewer where there are not as many.
        seed: of the choice.

    Raises:
        ArtifactError: no face remains.
    """
    train_rows = [np.arange(len(split)) for split in dev.splits]
    pack_numbers = np.repeat(np.arange(len(train_rows)), [len(rows) for rows in train_rows])
    rows = np.concatenate(train_rows)
    labels = np.concatenate([_network_labels(run, split) for split in dev.splits])
    groups, leaks = find_leaks([split.pack for split in dev.splits])
    starts = np.cumsum([0, *(len(split) for split in dev.splits)])
    in_dev = np.isin(groups, groups[starts[dev.pack_numbers] + dev.rows])
    usable = (labels >= 0) & ~leaks & ~in_dev
    pack_numbers, rows, labels = pack_numbers[usable], rows[usable], labels[usable]
    if not len(rows):
        raise ArtifactError(
            f"Every training face of {run.path} is in its dev split or nearly repeats one of it or of another split: "
            "none is left to calibrate on. Prepare a larger pack"
        )
    order = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed]))).permutation(len(rows))
    shuffled = labels[order]
    turn = np.empty(len(rows), dtype=np.int64)  # the first face of every class, then the second, ...
    for label in np.unique(labels):
        turn[shuffled == label] = np.arange(int((shuffled == label).sum()))
    chosen = order[np.argsort(turn, kind="stable")[:n_faces]]
    return ChosenFaces(dev.splits, pack_numbers, rows, labels).part(chosen)


def _network_labels(run: Run, split: PackSplit) -> NDArray[np.int64]:
    """Return the network classes of a split's faces, -1 where the network does not know the class."""
    names = split.pack.info.classes
    place = np.array([run.classes.index(name) if name in run.classes else -1 for name in names])
    return np.asarray(place[split.labels], dtype=np.int64)
