"""The datasets that `mien prepare` reads. A new one is a module of this folder and an entry in `DATASETS`.

Imports nothing heavy: the command line and its help are built from this table.
"""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mien.datasets.list_options import ColumnOptions, SplitLists
from mien.errors import DatasetError
from mien.runtime.options import given_options, option, option_flag, option_flags, option_group
from mien.runtime.suggestion import require_known

if TYPE_CHECKING:
    from mien.datasets.base import FaceDataset

VoteRule = Literal["majority", "plurality"]
VOTE_RULES: tuple[VoteRule, ...] = ("majority", "plurality")
Halves = Literal["manual", "automatic", "both"]
RafImages = Literal["aligned", "original"]
# In place of a split: the set says none, and val is drawn.
DRAWN: Literal["none"] = "none"
StatedSplit = Literal["train", "val", "test", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetOptions:
    """How a raw dataset is read. Each kind takes the options that its entry in `DATASETS` lists.

    Attributes:
        votes: FER+'s labeling rule, see `mien.datasets.ferplus.label_votes`.
        val_fraction: fraction of faces assigned to ``val`` in a set without splits, in [0, 1).
        split: the split of all faces of a set without splits; `DRAWN` if val is drawn although it is named like a split.
        landmarks_csv: FER+'s landmarks by image name; None uses the list in the folder, if there is one.
        label_names: the class of each label or folder, see `mien.datasets.labels`; None where the names are words
            that need no explanation.
        images: further folders that paths in a list, and links in the set, may lead to.
        columns: which column of a list is what.
        lists: the list of each split.
        halves: the half of AffectNet 2017 that is read; None for the manual one if it is there.
        raf_images: which of RAF-DB's images are read; None for the aligned ones if they are present.
        labels_from: the source of labels where a list next to class folders contradicts them, see
            `mien.datasets.folder_list`.
        every: read only every N-th frame of a clip.
        neutral: also read the first frame of each of CK+'s sequences, as Neutral.
        terms: the set's terms of use, in place of those that the authors of its kind state; every kind takes it.
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
    split: StatedSplit | None = option(
        None,
        "split of all faces, if the set has no splits; none: draw val, though the set is named like a split",
        flag="--split",
    )
    landmarks_csv: Path | None = option(None, "landmarks by image name", flag="--landmarks", metavar="CSV")
    halves: Halves | None = option(
        None, "half of AffectNet 2017 (default: manual if it is there)", flag="--halves"
    )
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
    raf_images: RafImages | None = option(
        None, "which of RAF-DB's images (default: aligned if they are present)", flag="--raf-images"
    )
    labels_from: str | None = option(
        None,
        "labels of class folders with a list next to them: `folders`, or the list's name",
        flag="--labels-from",
        metavar="NAME",
    )
    every: int = option(1, "read only every N-th frame of a clip", flag="--every", metavar="N", least=1)
    neutral: bool = option(
        False, "also the first frame of each of CK+'s sequences, as Neutral", flag="--neutral"
    )
    terms: str | None = option(
        None,
        "terms of use of the set, recorded in the pack and in what is trained on it (default: those that the authors of the "
        "kind state); any kind",
        flag="--terms",
        metavar="TEXT",
        parse="mien.formats.terms:parse_terms",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetKind:
    """A kind of raw dataset.

    Attributes:
        title: the set's name and source, for the table in the guide.
        layout: what the set looks like on disk, to follow "expected" in a sentence.
        natural_crop: the default crop method, in words where it depends on the set.
        opener: ``module:function``; takes the path and the options below, and returns a `FaceDataset`.
        options: the fields of `DatasetOptions` that the kind uses; all but ``split`` are arguments of its opener.
        columns: the fields of `ColumnOptions` that the kind uses if it takes ``columns``; empty for all of them.
        recognizer: ``module:function``; takes the path and returns, quickly and without reading images, the reason why it
            is such a set, to follow "because", or None. Without one, a set is recognized by being opened.
        is_generic: any set of this form; a more specific kind goes before it.
        may_be_file: the set may be a single file instead of a folder.
        terms: the terms of use as the set's authors state them, and where; None if they are the user's to know.
        needs_detector: the natural crop of all its images needs the face detector.
    """

    layout: str
    natural_crop: str
    opener: str
    title: str = ""
    options: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    recognizer: str = ""
    is_generic: bool = False
    may_be_file: bool = False
    terms: str | None = None
    needs_detector: bool = False

    @property
    def flags(self) -> tuple[str, ...]:
        """The kind's options as they are written on the command line."""
        unused = {option_flag(entry) for entry in fields(ColumnOptions) if entry.name not in self.columns}
        unused = unused if self.columns else set()
        by_name = {entry.name: option_flags(entry) for entry in fields(DatasetOptions)}
        return tuple(flag for name in self.options for flag in by_name[name] if flag not in unused)

    def open(self, raw: Path, options: DatasetOptions) -> FaceDataset:
        """Return the dataset at a path; `open_dataset` checks the path and the options first.

        Raises:
            DatasetError: the set does not have the layout, or an option does not fit it.
        """
        dataset: FaceDataset = pkgutil.resolve_name(self.opener)(
            raw, **{name: getattr(options, name) for name in self.options if name != "split"}
        )
        return dataset


DATASETS = {
    "affectnet": DatasetKind(
        title="AffectNet (Mollahosseini et al. 2017), AffectNet+ (Fard et al. 2024)",
        layout="`training.csv` and `validation.csv` next to `Manually_Annotated_Images/`, or `automatically_annotated.csv` "
        "next to `Automatically_Annotated_Images/` (2017), or `train_set/` and `val_set/` with `images/` and "
        "`annotations/` (2021, AffectNet+)",
        natural_crop="aligned",
        opener="mien.datasets.affectnet:open_affectnet",
        options=("halves", "images"),
        recognizer="mien.datasets.affectnet:recognize_affectnet",
        terms="research only, under a signed agreement (the set's web page)",
    ),
    "ferplus": DatasetKind(
        title="FER+ (Barsoum et al. 2016)",
        layout="`fer2013new.csv` next to `FER2013Train/`, `FER2013Valid/` and `FER2013Test/`, or next to "
        "`fer2013.csv` (or `icml_face_data.csv`)",
        natural_crop="whole",
        opener="mien.datasets.ferplus:open_ferplus",
        options=("votes", "landmarks_csv"),
        recognizer="mien.datasets.ferplus:recognize_ferplus",
        terms="labels: MIT (FER+'s repository); images: none found",
    ),
    "fer2013": DatasetKind(
        title="FER2013 (Goodfellow et al. 2013)",
        layout="`fer2013.csv` (or `icml_face_data.csv`)",
        natural_crop="whole",
        opener="mien.datasets.fer2013:open_fer2013",
        may_be_file=True,
        terms="none found",
    ),
    "rafdb": DatasetKind(
        title="RAF-DB, basic and compound (Li et al. 2017)",
        layout="`EmoLabel/list_patition_label.txt` next to `Image/aligned/` or `Image/original/`, or `train/` and "
        "`test/` with the folders `1` to `7` (the copy on Kaggle)",
        natural_crop="whole for the aligned images, aligned for the original ones",
        opener="mien.datasets.rafdb:open_rafdb",
        options=("raf_images",),
        terms="non-commercial research and education only (the set's README)",
    ),
    "expw": DatasetKind(
        title="ExpW (Zhang et al. 2018)",
        layout="`label/label.lst` next to `image/origin/`",
        natural_crop="box",
        opener="mien.datasets.expw:open_expw",
        options=("val_fraction",),
        terms="none found",
    ),
    "ckplus": DatasetKind(
        title="CK+ and CK+48 (Lucey et al. 2010)",
        layout="`cohn-kanade-images/` next to `Emotion/` (CK+), or class folders with files like "
        "`S010_004_00000017.png` (CK+48)",
        natural_crop="aligned for CK+, whole for CK+48",
        opener="mien.datasets.ckplus:open_ckplus",
        options=("val_fraction", "neutral"),
        terms="research only, under a signed agreement (the set's web page)",
        needs_detector=True,
    ),
    "kdef": DatasetKind(
        title="KDEF (Lundqvist et al. 1998)",
        layout="files like `AF01/AF01ANS.JPG`",
        natural_crop="aligned",
        opener="mien.datasets.kdef:open_kdef",
        options=("val_fraction",),
        terms="non-commercial use by researchers only, no redistribution (kdef.se)",
        needs_detector=True,
    ),
    "jaffe": DatasetKind(
        title="JAFFE (Lyons et al. 1998)",
        layout="files like `KA.AN1.39.tiff`",
        natural_crop="aligned",
        opener="mien.datasets.jaffe:open_jaffe",
        options=("val_fraction",),
        terms="non-commercial scientific research only (Zenodo record 3451524)",
        needs_detector=True,
    ),
    "fairface": DatasetKind(
        title="FairFace (Kärkkäinen, Joo 2019): age, gender and race, no expressions",
        layout="`fairface_label_train.csv` and `fairface_label_val.csv` next to `train/` and `val/`, or to "
        "`fairface-img-margin025-trainval/`",
        natural_crop="whole",
        opener="mien.datasets.fairface:open_fairface",
        terms="CC BY 4.0 (the authors' repository)",
    ),
    "mmafedb": DatasetKind(
        title="MMAFEDB (Kaggle)",
        layout="`train/`, `valid/` and `test/` with a folder for each of seven classes, or `MMAFEDB/` with these",
        natural_crop="whole",
        opener="mien.datasets.plain_sets:open_mmafedb",
        recognizer="mien.datasets.plain_sets:recognize_mmafedb",
        terms="none found",
    ),
    "nhfi": DatasetKind(
        title="NHFI (Kaggle)",
        layout="a folder for each of eight classes, `neutrality` among them",
        natural_crop="whole",
        opener="mien.datasets.plain_sets:open_nhfi",
        recognizer="mien.datasets.plain_sets:recognize_nhfi",
        options=("val_fraction",),
        terms="none found",
    ),
    "caer-s": DatasetKind(
        title="CAER-S (Lee et al. 2019)",
        layout="`train/` and `test/` with a folder for each of seven classes, with `train.txt` and `test.txt` if there are "
        "lists of face boxes",
        natural_crop="box with a list of boxes, otherwise aligned",
        opener="mien.datasets.caer_s:open_caer_s",
        recognizer="mien.datasets.caer_s:recognize_caer_s",
        needs_detector=True,
    ),
    "afew-va": DatasetKind(
        title="AFEW-VA (Kossaifi et al. 2017): valence and arousal, no expressions",
        layout="a folder for each clip with `00000.png`, ... and `<clip>.json`",
        natural_crop="aligned",
        opener="mien.datasets.afew_va:open_afew_va",
        options=("val_fraction", "every"),
        terms="research only (the set's web page)",
    ),
    "aff-wild2": DatasetKind(
        title="Aff-Wild2 (Kollias, Zafeiriou 2019)",
        layout="`cropped_aligned/<video>/00001.jpg`, ... and, for each task, `Train_Set/` and `Validation_Set/` with "
        "`<video>.txt`, in a folder such as `EXPR_Classification_Challenge` or `VA_Estimation_Challenge`",
        natural_crop="whole",
        opener="mien.datasets.aff_wild2:open_aff_wild2",
        options=("every",),
        terms="research only, under a signed agreement that also covers trained models (the set's web page)",
    ),
    "folder": DatasetKind(
        title="any folders of classes",
        layout="a folder of images for each class, or `train/`, `val/` and `test/` with such folders",
        natural_crop="whole",
        opener="mien.datasets.forms:open_any_folder",
        options=("val_fraction", "split", "label_names", "labels_from"),
        recognizer="mien.datasets.image_folder:recognize_folder",
        is_generic=True,
    ),
    "csv": DatasetKind(
        title="any list of faces",
        layout="a list with the columns `path` and `label` (CSV, text of `path label` lines, JSON, or COCO's), or a folder with "
        "one such file or with `train.csv`, `val.csv`, `test.csv`",
        natural_crop="aligned if the CSV has landmarks, box if it has boxes, otherwise whole",
        opener="mien.datasets.forms:open_any_list",
        options=("val_fraction", "split", "label_names", "images", "columns", "lists"),
        recognizer="mien.datasets.csv_table:recognize_csv",
        is_generic=True,
        may_be_file=True,
    ),
    "imagefolder": DatasetKind(
        title="image folders of the Hugging Face Hub",
        layout="images with `metadata.csv` or `metadata.jsonl`, with the columns `file_name` and `label`, in a folder or in "
        "folders of splits, as the Hugging Face Hub has them, or with Roboflow's `_annotations.coco.json`",
        natural_crop="as for csv",
        opener="mien.datasets.metadata_folder:open_metadata_folder",
        recognizer="mien.datasets.metadata_folder:recognize_metadata_folder",
        options=("val_fraction", "split", "label_names", "images", "columns"),
    ),
    "yolo": DatasetKind(
        title="faces in YOLO's format",
        layout="`images/` next to `labels/`, above or below folders of splits, with a text file for each image, and "
        "`data.yaml` or `classes.txt`",
        natural_crop="box",
        opener="mien.datasets.yolo:open_yolo",
        options=("val_fraction", "split", "label_names"),
    ),
    "parquet": DatasetKind(
        title="Parquet files of the Hugging Face Hub, packs from `mien export`",
        layout="Parquet files of images and labels, as the Hugging Face Hub has them or `mien export` writes them, with "
        "the split in their names",
        natural_crop="whole, or that of the exported pack",
        opener="mien.datasets.hub_parquet:open_parquet",
        options=("val_fraction", "split", "label_names", "columns"),
        columns=("label_column", "split_column", "split_names", "affect_range"),
        may_be_file=True,
    ),
    "yaml": DatasetKind(
        title="a file that describes sets, or several that are merged",
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
    """Return the raw dataset of a kind at a path.

    Raises:
        DatasetError: the set does not exist, does not have the kind's layout, or an option does not belong to the kind.
        ValueError: there is no such kind.
    """
    require_known("kind", kind, DATASETS)
    chosen = DATASETS[kind]
    for name, flag in given_flags(options).items():
        if name not in (*chosen.options, "terms"):
            *takers, last = [other for other, entry in DATASETS.items() if flag in entry.flags]
            listed = f"{', '.join(takers)} and {last}" if takers else last
            advice = "write it into the file" if kind == "yaml" else "leave it out"
            raise DatasetError(f"{flag} applies to {listed}, not to `{kind}`: {advice}")
    if not raw.exists():
        raise DatasetError(
            f"There is nothing at `{raw}`, expected {chosen.layout}: give the path of the dataset"
        )
    if not raw.is_dir() and not chosen.may_be_file:
        raise DatasetError(f"`{raw}` must be a folder with {chosen.layout}, it is a file: unpack it first")
    if "split" not in chosen.options:
        return chosen.open(raw, options)
    opened: FaceDataset = pkgutil.resolve_name("mien.datasets.stated_split:open_in_split")(
        lambda path, val_fraction: chosen.open(path, replace(options, val_fraction=val_fraction)),
        raw,
        options,
    )
    return opened
