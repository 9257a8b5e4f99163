"""Choosing the reader of a raw set by its kind."""

from dataclasses import dataclass
from pathlib import Path

from mien.errors import DatasetError
from mien.sources import affectnet, ferplus, folder, table
from mien.sources.labels import LabelNames
from mien.sources.record import Source

# What each kind of raw set looks like, in the order in which a person is told of them.
LAYOUTS = {
    "affectnet": affectnet.LAYOUT,
    "ferplus": ferplus.LAYOUT,
    "folder": folder.LAYOUT,
    "csv": table.LAYOUT,
}
KINDS = tuple(LAYOUTS)


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How a raw set is read. Each kind of set uses what it knows of.

    Attributes:
        votes: FER+'s rule, see `mien.sources.ferplus.label_votes`.
        val_fraction: share of faces that go to ``val`` in a set without splits, in [0, 1).
        landmarks_csv: FER+'s landmarks by picture name; None takes the list in the folder where there is one.
        label_names: of ``folder`` and ``csv``: the class of each label or folder, see `mien.sources.labels`; None where
            they are words that say it themselves.
        split_column: of ``csv``: the column of the split where it is not ``split``, ``none`` where there is no split.
    """

    votes: ferplus.VoteRule = "majority"
    val_fraction: float = 0.1
    landmarks_csv: Path | None = None
    label_names: LabelNames | None = None
    split_column: str | None = None


# The kinds of set that an option is of.
_KINDS_OF_OPTION = {
    "votes": ("ferplus",),
    "val_fraction": ("folder", "csv"),
    "landmarks_csv": ("ferplus",),
    "label_names": ("folder", "csv"),
    "split_column": ("csv",),
}


def open_source(kind: str, raw: Path, options: SourceOptions) -> Source:
    """Return the reader of a raw set.

    Raises:
        DatasetError: the set is not there, is not what its kind needs, or an option is not of its kind.
        ValueError: there is no such kind.
    """
    if kind not in LAYOUTS:
        raise ValueError(f"`kind` must be one of {', '.join(KINDS)}, got {kind!r}")
    for name, kinds in _KINDS_OF_OPTION.items():
        if kind not in kinds and getattr(options, name) != getattr(SourceOptions(), name):
            option = name.removesuffix("_csv").replace("_", "-")
            raise DatasetError(
                f"--{option} is of {' and '.join(kinds)}, `{kind}` has no use for it: leave it out"
            )
    if not raw.exists():
        raise DatasetError(
            f"There is nothing at `{raw}`, where mien expects {LAYOUTS[kind]}: give the path of the set"
        )
    if not raw.is_dir() and kind != "csv":
        raise DatasetError(f"`{raw}` must be a folder with {LAYOUTS[kind]}, it is a file: unpack it first")
    if kind == "affectnet":
        return affectnet.open_affectnet(raw)
    if kind == "ferplus":
        return ferplus.open_ferplus(raw, votes=options.votes, landmarks_csv=options.landmarks_csv)
    if kind == "folder":
        return folder.open_folder(raw, val_fraction=options.val_fraction, label_names=options.label_names)
    return table.open_csv(
        raw,
        val_fraction=options.val_fraction,
        label_names=options.label_names,
        split_column=options.split_column,
    )
