"""The data sets that `mien prepare` reads. A new one is a module of this folder and an entry in `DATASETS`.

Imports nothing heavy: the command line and its help are built from this table.
"""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mien.datasets.list_options import ColumnOptions, SplitLists
from mien.errors import DatasetError
from mien.runtime.options import given_options, option, option_flag, option_group

if TYPE_CHECKING:
    from mien.datasets.base import FaceDataset

VoteRule = Literal["majority", "plurality"]
VOTE_RULES: tuple[VoteRule, ...] = ("majority", "plurality")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetOptions:
    """How a raw data set is read. Each kind takes the options that its entry in `DATASETS` lists.

    Attributes:
        votes: FER+'s labeling rule, see `mien.datasets.ferplus.label_votes`.
        val_fraction: fraction of faces assigned to ``val`` in a set without splits, in [0, 1).
        landmarks_csv: FER+'s landmarks by image name; None uses the list in the folder, if there is one.
        label_names: the class of each label or folder, see `mien.datasets.labels`; None where the names are words
            that need no explanation.
        images: further folders that paths in a list, and links in the set, may lead to.
        columns: which column of a list is what.
        lists: the list of each split.
    """

    votes: VoteRule = option("majority", "rule that turns ten votes into a label", flag="--votes")
    val_fraction: float = option(
        0.1,
        "fraction of faces assigned to val if the set has no splits, 0 to 0.9",
        flag="--val-fraction",
        metavar="F",
        least=0,
        most=0.9,
    )
    landmarks_csv: Path | None = option(None, "landmarks by image name", flag="--landmarks", metavar="CSV")
    label_names: tuple[tuple[str, str], ...] | None = option(
        None,
        "class of each label or folder, such as 1=Surprise,2=Fear; or the set whose numbers they are: affectnet (0 Neutral "
        "to 7 Contempt), fer2013, ferplus, rafdb, expw, ckplus, affwild2 (default: the names themselves)",
        flag="--label-names",
        metavar="L=CLASS,...",
        parse="mien.datasets.labels:parse_label_names",
    )
    images: tuple[Path, ...] = option(
        (),
        "folder of images that are not in RAW, or that links in RAW lead to; may be repeated",
        flag="--images",
        metavar="DIR",
    )
    columns: ColumnOptions = option_group(ColumnOptions, "")
    lists: SplitLists = option_group(SplitLists, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetKind:
    """A kind of raw data set.

    Attributes:
        layout: what the set looks like on disk, to follow "expected" in a sentence.
        natural_crop: the default crop method, in words where it depends on the set.
        opener: ``module:function``; takes the path and the options below, and returns a `FaceDataset`.
        options: the fields of `DatasetOptions` that the kind uses.
        recognizer: ``module:function``; takes the path and returns, quickly and without reading images, the reason why it
            is such a set, to follow "because", or None. Without one, a set is recognized by being opened.
        is_generic: any set of this form; a more specific kind goes before it.
        may_be_file: the set may be a single file instead of a folder.
    """

    layout: str
    natural_crop: str
    opener: str
    options: tuple[str, ...] = ()
    recognizer: str = ""
    is_generic: bool = False
    may_be_file: bool = False

    def open(self, raw: Path, options: DatasetOptions) -> FaceDataset:
        """Return the data set at a path; `open_dataset` checks the path and the options first.

        Raises:
            DatasetError: the set does not have the layout, or an option does not fit it.
        """
        dataset: FaceDataset = pkgutil.resolve_name(self.opener)(
            raw, **{name: getattr(options, name) for name in self.options}
        )
        return dataset


DATASETS = {
    "affectnet": DatasetKind(
        layout="`training.csv` and `validation.csv` next to `Manually_Annotated_Images/` (2017), or "
        "`train_set/` and `val_set/` with `images/` and `annotations/` (2021)",
        natural_crop="aligned",
        opener="mien.datasets.affectnet:open_affectnet",
        options=("images",),
        recognizer="mien.datasets.affectnet:recognize_affectnet",
    ),
    "ferplus": DatasetKind(
        layout="`fer2013new.csv` next to `FER2013Train/`, `FER2013Valid/` and `FER2013Test/`, or next to "
        "`fer2013.csv` (or `icml_face_data.csv`)",
        natural_crop="whole",
        opener="mien.datasets.ferplus:open_ferplus",
        options=("votes", "landmarks_csv"),
        recognizer="mien.datasets.ferplus:recognize_ferplus",
    ),
    "folder": DatasetKind(
        layout="a folder of images for each class, or `train/`, `val/` and `test/` with such folders",
        natural_crop="whole",
        opener="mien.datasets.image_folder:open_folder",
        options=("val_fraction", "label_names"),
        recognizer="mien.datasets.image_folder:recognize_folder",
        is_generic=True,
    ),
    "csv": DatasetKind(
        layout="a list with the columns `path` and `label` (CSV, or text of `path label` lines), or a folder with one such "
        "file or with `train.csv`, `val.csv`, `test.csv`",
        natural_crop="aligned if the CSV has landmarks, box if it has boxes, otherwise whole",
        opener="mien.datasets.csv_table:open_csv",
        options=("val_fraction", "label_names", "images", "columns", "lists"),
        recognizer="mien.datasets.csv_table:recognize_csv",
        is_generic=True,
        may_be_file=True,
    ),
    "yaml": DatasetKind(
        layout="a YAML file with `kind`, `raw` and options of one of these, or several of them in `sources`, which are merged",
        natural_crop="that of the kind",
        opener="mien.datasets.dataset_file:open_dataset_file",
        recognizer="mien.datasets.dataset_file:recognize_dataset_file",
        may_be_file=True,
    ),
}


def given_flags(options: DatasetOptions) -> dict[str, str]:
    """Return the flag of each option that was given, by its field of `DatasetOptions`; for a group, its first flag."""
    flags: dict[str, str] = {}
    for entry in fields(options):
        value = getattr(options, entry.name)
        given = (
            given_options(value)
            if is_dataclass(value)
            else [(entry, value)]
            if value != entry.default
            else []
        )
        for option_field, _ in given:
            flags.setdefault(entry.name, option_flag(option_field))
    return flags


def open_dataset(kind: str, raw: Path, options: DatasetOptions) -> FaceDataset:
    """Return the raw data set of a kind at a path.

    Raises:
        DatasetError: the set does not exist, does not have the kind's layout, or an option does not belong to the kind.
        ValueError: there is no such kind.
    """
    if kind not in DATASETS:
        raise ValueError(f"`kind` must be one of {', '.join(DATASETS)}, got {kind!r}")
    chosen = DATASETS[kind]
    for name, flag in given_flags(options).items():
        if name not in chosen.options:
            takers = [other for other, entry in DATASETS.items() if name in entry.options]
            advice = "write it into the file" if kind == "yaml" else "leave it out"
            raise DatasetError(f"{flag} applies to {' and '.join(takers)}, not to `{kind}`: {advice}")
    if not raw.exists():
        raise DatasetError(
            f"There is nothing at `{raw}`, expected {chosen.layout}: give the path of the data set"
        )
    if not raw.is_dir() and not chosen.may_be_file:
        raise DatasetError(f"`{raw}` must be a folder with {chosen.layout}, it is a file: unpack it first")
    return chosen.open(raw, options)
