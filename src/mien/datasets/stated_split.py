"""The split of a set without splits: the one that is stated, otherwise ``val`` is drawn.

A part of a set that is named like a held-out split, such as the folder ``test`` of a set with ``train`` next to it, is
refused until it is stated: its faces must not be trained on because it was given alone.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mien.datasets.base import CroppedDataset, FaceDataset, RawRow, WrappedDataset
from mien.datasets.registry import DRAWN, DatasetOptions
from mien.datasets.splits import named_split
from mien.errors import DatasetError


@dataclass(frozen=True, slots=True)
class OneSplit(WrappedDataset):
    """A dataset without splits, all of whose rows are in the stated one."""

    split: str

    @property
    def notes(self) -> tuple[str, ...]:
        """Those of the dataset, and the split."""
        return (*self.dataset.notes, f"All faces are {self.split}, as --split says.")

    def rows(self) -> Iterator[RawRow]:
        """Yield the rows in the stated split."""
        return (row._replace(split=self.split) for row in self.dataset.rows())


def open_in_split(
    open_set: Callable[[Path, float], FaceDataset], raw: Path, options: DatasetOptions
) -> FaceDataset:
    """Open a dataset of a kind that has splits or draws ``val``.

    Args:
        open_set: opens it, given its path and the fraction of faces assigned to ``val`` if it has no splits.
        raw: the dataset.
        options: how to read it.

    Raises:
        DatasetError: a split is stated and the set has its own, or none is and it is named like a held-out one; or as for
            ``open_set``.
    """
    if options.split not in (None, DRAWN):
        dataset = open_set(raw, 0.0)
        if isinstance(dataset, CroppedDataset) or any(row.split != "train" for row in dataset.rows()):
            raise DatasetError(f"--split is for sets without splits, `{raw}` has its own: leave it out")
        return OneSplit(dataset, str(options.split))
    dataset = open_set(raw, options.val_fraction)
    held_out = None if options.split == DRAWN else named_split(raw.resolve())
    if held_out in ("val", "test") and any(row.split == "train" for row in dataset.rows()):
        raise DatasetError(
            f"`{raw}` is named like a {held_out} split, and nothing in it says another: add --split {held_out} to hold its faces "
            f"out from training, or --split {DRAWN} to draw train and val from them"
        )
    return dataset
