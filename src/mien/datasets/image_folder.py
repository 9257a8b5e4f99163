"""A folder of images for each class, the layout of most private datasets."""

import os
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from mien.datasets.base import FaceRecord, RawRow, RejectedRow
from mien.datasets.csv_cells import parse_integer
from mien.datasets.files import iterate_names, list_names, printable, quote_names
from mien.datasets.labels import LabelNames, map_folders, note_new_classes
from mien.datasets.listed import note_val_persons
from mien.datasets.registry import DATASETS
from mien.datasets.splits import (
    PersonAndClip,
    assign_split,
    choose_val_persons,
    is_split_column,
    parse_split,
    require_val_fraction,
)
from mien.errors import DatasetError
from mien.faces.classes import canonical_class, ordered_classes
from mien.faces.crop_options import CropMethod
from mien.faces.image_files import looks_like_image
from mien.faces.images import IMAGE_SUFFIXES
from mien.formats.pack.schema import SPLITS

LAYOUT = DATASETS["folder"].layout

# Usual names of folders that hold the images or the annotations of all classes.
NOT_CLASSES = frozenset(
    (
        *("image", "images", "imgs", "img", "photos", "pictures"),  # not our word
        *("jpegimages", "faces", "crops", "cropped", "videos"),
        *("label", "labels", "annotation", "annotations", "annot", "annots", "annos", "landmarks", "masks"),
        *("meta", "metadata", "bbox", "bboxes", "boxes", "lists", "docs", "json", "xml", "csv", "txt"),
    )
)


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """A folder for each class. The key of a row is the file's path under `raw`, with ``/`` between folders.

    Attributes:
        raw: the folder.
        classes: the classes of all splits, AffectNet's first.
        folder_classes: the class of each class folder by its name; other folders are ignored.
        split_folders: split and name of each folder that holds class folders; "" is `raw` itself.
        val_fraction: fraction of faces assigned to ``val`` if the set has no splits.
        has_persons: the class folders lie in folders of persons.
        val_persons: those who are assigned to ``val`` if the set has no splits.
        notes: see `FaceDataset`.
        name: see `FaceDataset`.
    """

    raw: Path
    classes: tuple[str, ...]
    folder_classes: dict[str, str]
    split_folders: tuple[tuple[str, str], ...]
    val_fraction: float
    has_persons: bool = False
    val_persons: frozenset[PersonAndClip] = frozenset()
    notes: tuple[str, ...] = ()
    name: str = "folder"
    natural_crop: CropMethod = field(default="whole", init=False)

    def rows(self) -> Iterator[RawRow]:
        """Yield every file in every class folder, whatever its type, and images next to these folders, sorted by name."""
        has_splits = any(split != "train" for split, _ in self.split_folders)
        for split in SPLITS if has_splits else ("train", "val"):
            folders = [folder for name, folder in self.split_folders if name == split or not has_splits]
            files = (file for folder in folders for file in self._files(folder))
            for number, file in enumerate(files, start=1):
                key = printable(file)
                person = self._person_of(key)
                drawn = "val" if (person, "") in self.val_persons else "train"
                drawn = drawn if person else assign_split(key, self.val_fraction)
                if has_splits or drawn == split:
                    yield RawRow(split=split, number=number, key=key, fields={"file": file})

    def class_of(self, row: RawRow) -> str:
        """Return the class of the folder that holds the file, or ``"?"`` if it is in none."""
        parts = row.key.split("/")[self._depth + self.has_persons : -1]
        return self.folder_classes.get(parts[0], "?") if parts else "?"

    def parse(self, row: RawRow) -> FaceRecord:
        """Return the file as a face of its folder's class."""
        class_name = self.class_of(row)
        if class_name == "?":
            raise RejectedRow("unknown_label", "the file is in no class folder")
        image, person = self.raw / row.fields["file"], self._person_of(row.key) or None
        return FaceRecord(image=image, label=self.classes.index(class_name), person=person)

    @property
    def _depth(self) -> int:
        """The number of folders above those of persons or classes."""
        folder = self.split_folders[0][1]
        return folder.count("/") + 1 if folder else 0

    def _person_of(self, key: str) -> str:
        return key.split("/")[self._depth] if self.has_persons else ""

    def _files(self, folder: str) -> Iterator[str]:
        """Yield the files of all class folders in a folder, and images next to these."""
        for name in list_names(self.raw / folder):
            file = f"{folder}/{name}" if folder else name
            if (self.raw / file).is_dir():
                if self.has_persons or printable(name) in self.folder_classes:
                    yield from _files_below(self.raw, file)
            elif Path(name).suffix.lower() in IMAGE_SUFFIXES:
                yield file


def recognize_folder(raw: Path) -> str | None:
    """Return why a folder is one of class folders, or None; see `DatasetKind`."""
    if not raw.is_dir():
        return None
    inner = [name for name in list_names(raw) if (raw / name).is_dir()]
    splits = [name for name in inner if parse_split(name)]
    parents = [raw / name for name in splits] or [raw]
    classes = [
        name
        for name in dict.fromkeys(name for parent in parents for name in list_names(parent))
        if name.lower() not in NOT_CLASSES and any(_holds_image(parent / name) for parent in parents)
    ]
    if len(classes) < 2:
        return None
    where = f"{quote_names(splits)} hold" if splits else "it holds"
    return (
        f"{where} folders of images that may be classes: {quote_names([printable(name) for name in classes])}"
    )


def _holds_image(folder: Path) -> bool:
    """Return whether one of the first names in a folder, or in a folder in it that is named like a class, is an image's."""
    names = list(islice(iterate_names(folder), 100)) if folder.is_dir() else []
    return any(
        Path(name).suffix.lower() in IMAGE_SUFFIXES or (canonical_class(name) and _holds_image(folder / name))
        for name in names
    )


def open_folder(
    raw: Path, *, val_fraction: float = 0.1, label_names: LabelNames | None = None
) -> ImageFolder:
    """Open a folder of class folders.

    A class folder whose name means one of AffectNet's classes, such as ``happiness``, is that class; others keep their
    name. Hidden files and folders are ignored.

    Args:
        raw: the folder.
        val_fraction: fraction of faces assigned to ``val`` if there is no ``val`` or ``test`` folder; 0 for none. The
            assignment depends on their paths alone.
        label_names: the class of each class folder by its name, see `mien.datasets.labels.map_folders`; folders that
            are not listed are ignored.

    Raises:
        DatasetError: there are fewer than two class folders with files; class folders are next to split folders or
            contain them; or a folder's name is a number or not that of a class, or it holds no image, and
            ``label_names`` does not explain it.
    """
    require_val_fraction(val_fraction)
    if not raw.is_dir():
        raise DatasetError(f"`{raw}` must be a folder that holds {LAYOUT}: it is not a folder")
    split_folders = _find_split_folders(raw)
    parents = [raw / folder for _, folder in split_folders]
    folders = [
        (parent, name) for parent in parents for name in list_names(parent) if (parent / name).is_dir()
    ]
    filled = [folder for folder in folders if next(_files_below(*folder), None) is not None]
    persons = _find_persons(raw, filled)
    if len(persons) > 2:
        folders = [(parent / name, inner) for parent, name in filled for inner in list_names(parent / name)]
        filled = [folder for folder in folders if next(_files_below(*folder), None) is not None]
    names = {printable(name) for _, name in filled}
    _require_class_folders(raw, filled, are_named=label_names is not None)
    folder_classes = map_folders(sorted(names), label_names, where=f"Names of folders in `{raw}`")
    classes = ordered_classes(set(folder_classes.values()))
    if len(classes) < 2:
        found = ", ".join(f"`{name}`" for name in sorted(names)) or "none"
        if label_names is not None:
            raise DatasetError(
                f"`{raw}` must hold two classes or more; --label-names makes {len(classes)} of the folders {found}: name "
                "the class folders in it"
            )
        raise DatasetError(
            f"`{raw}` must hold {LAYOUT}, at least two with files; found {found}: "
            "give the folder directly above the class folders"
        )
    empty = sorted({printable(name) for _, name in folders}.difference(names))
    ignored = sorted(names.difference(folder_classes))
    dataset = ImageFolder(
        raw=raw.resolve(),
        classes=classes,
        folder_classes=folder_classes,
        split_folders=split_folders,
        val_fraction=val_fraction,
        notes=(
            *note_new_classes(folder_classes),
            *(f"The folder `{name}` is empty: it is not a class." for name in empty),
            *(f"The folder `{name}` is ignored: --label-names does not list it." for name in ignored),
            *_note_passed_over(raw, parents),
        ),
        has_persons=len(persons) > 2,
    )
    if not dataset.has_persons:
        return dataset
    counts = Counter((dataset._person_of(row.key), "") for row in dataset.rows())
    has_splits = any(split != "train" for split, _ in split_folders)
    val_persons = frozenset[PersonAndClip]() if has_splits else choose_val_persons(counts, val_fraction)
    note = f"Folders of persons with class folders in them: {quote_names(sorted(persons))}."
    drawn = () if has_splits else (note_val_persons(counts, val_persons),)
    return replace(dataset, val_persons=val_persons, notes=(note, *drawn, *dataset.notes))


def _note_passed_over(raw: Path, parents: list[Path]) -> Iterator[str]:
    """Yield notes on other splits next to a folder that is one, and on files next to the class folders."""
    if split := parse_split(raw.resolve().name):
        for name in list_names(raw.resolve().parent):
            if parse_split(name) not in (None, split):
                yield f"`{printable(name)}` next to `{raw.resolve().name}` is not read: give the folder above them to read both."
    other_files = [
        printable(name)
        for parent in dict.fromkeys((raw, *parents))
        for name in list_names(parent)
        if not (parent / name).is_dir() and Path(name).suffix.lower() not in IMAGE_SUFFIXES
    ]
    if other_files:
        yield f"Files next to the class folders, not read: {quote_names(other_files)}."


def _find_persons(raw: Path, folders: list[tuple[Path, str]]) -> set[str]:
    """Return the names of folders that hold nothing but folders named like AffectNet's classes, if all of them do.

    Raises:
        DatasetError: there are two of them, which may be sets, or they are named like splits or folds.
    """
    are_persons = all(
        canonical_class(name) is None
        and (inner := list_names(parent / name))
        and all(canonical_class(folder) and (parent / name / folder).is_dir() for folder in inner)
        for parent, name in folders
    )
    persons = {printable(name) for _, name in folders} if are_persons else set[str]()
    if len(persons) == 2:
        raise DatasetError(
            f"`{raw}` must hold {LAYOUT}, but {quote_names(sorted(persons))} hold class folders each: give one of them, or "
            "merge the two with `mien prepare yaml`"
        )
    if splits := sorted(
        name
        for name in persons
        if is_split_column(name) or any(map(parse_split, re.split(r"[\W\d_]+", name)))
    ):
        raise DatasetError(
            f"`{raw}` must hold {LAYOUT}, but {quote_names(splits)} are neither named like these splits nor like persons, and "
            "hold class folders each: rename them to train, val and test, or link to them under these names in a new folder"
        )
    return persons


def _find_split_folders(raw: Path) -> tuple[tuple[str, str], ...]:
    """Return split and name of the folders that are named like splits, or `raw` itself as ``train``."""
    folders = [name for name in list_names(raw) if (raw / name).is_dir()]
    splits = [(split, name) for name in folders if (split := parse_split(name))]
    others = [name for name in folders if not parse_split(name)]
    if splits and others:
        other = printable(others[0])
        advice = (
            f"if `{other}` is a split too, rename it to val or test; or move"
            if is_split_column(other)
            else "move"
        )
        raise DatasetError(
            f"`{raw}` must hold either split folders or class folders, it holds `{splits[0][1]}` next to "
            f"`{other}`: {advice} one of them away"
        )
    # `train/train/happy` as archives of sets on Kaggle are unpacked.
    inner = [(split, name, list_names(raw / name)) for split, name in splits]
    if inner and all([parse_split(word) for word in words] == [split] for split, _, words in inner):
        splits = [(split, f"{name}/{words[0]}") for split, name, words in inner]
    return tuple(splits) or (("train", ""),)


def _require_class_folders(raw: Path, folders: list[tuple[Path, str]], *, are_named: bool) -> None:
    """Refuse folders that contain several splits, all of which would be read as one.

    Unless the caller has named the classes, also refuse folders with a name of `NOT_CLASSES` or without images.
    """
    for parent, name in folders:
        inside = [inner for inner in list_names(parent / name) if parse_split(inner)]
        if len({parse_split(inner) for inner in inside}) > 1:
            shown = printable((parent / name).relative_to(raw).as_posix())
            if len(folders) == 1:
                raise DatasetError(
                    f"`{raw}` holds nothing but `{shown}`, which holds splits: give `{raw / shown}`"
                )
            raise DatasetError(
                f"`{raw}` must hold the splits above the classes, but `{shown}` holds "
                f"{quote_names(inside)}: move the folders, so that it is `{inside[0]}/{printable(name)}`"
            )
    for _, name in folders:
        words = re.split(r"[\W\d_]+", name)
        held_out = next((word for word in words if parse_split(word) in ("val", "test")), None)
        if held_out and any(map(canonical_class, words)):
            raise DatasetError(
                f"`{raw}` must hold the splits above the classes, but `{printable(name)}` seems to be of the split {held_out}: move "
                "the folders, or link to them in a new folder, so that it is SPLIT/CLASS"
            )
    for parent, name in () if are_named else folders:
        is_no_class = name.lower() in NOT_CLASSES
        if not is_no_class and any(
            Path(file).suffix.lower() in IMAGE_SUFFIXES or looks_like_image(parent / file)
            for file in _files_below(parent, name)
        ):
            continue
        shown = printable((parent / name).relative_to(raw).as_posix())
        why = "is not named like a class" if is_no_class else "holds no image"
        siblings = {inner.lower() for inner in list_names(parent)}
        if {"images", "annotations"} <= siblings and parent.name in ("train_set", "val_set"):
            why += f" (`{parent.name}/images` and `annotations` are AffectNet's 2021 layout: use `mien prepare affectnet {shlex.quote(str(parent.parent))}`)"
        elif {"images", "labels"} <= siblings:
            why += " (`images` next to `labels` is YOLO's layout: use `mien prepare yolo`)"
        others = {printable(other) for _, other in folders if other.lower() not in NOT_CLASSES} - {name}
        example = ",".join(
            f"{other}=NAME" if parse_integer(other) is not None else other for other in sorted(others)
        )
        raise DatasetError(
            f"`{raw}` must hold {LAYOUT}, but `{shown}` {why}. Move away what is not a class, or list only the class "
            f"folders with --label-names {example or 'FOLDER,FOLDER'}"
        )


def _files_below(root: Path, folder: str) -> Iterator[str]:
    """Yield the files in a folder and its subfolders, following links, each real folder once."""

    def refuse(error: OSError) -> None:
        raise DatasetError(
            f"`{error.filename}` cannot be read: {error.strerror}; give yourself permission to read it"
        )

    seen: set[str] = set()
    start = os.path.realpath(root / folder)
    for parent, folders, files in os.walk(root / folder, followlinks=True, onerror=refuse):
        real = os.path.realpath(parent)
        if real in seen or start.startswith(
            f"{real.rstrip(os.sep)}{os.sep}"
        ):  # also a link to a folder above
            folders.clear()
            continue
        seen.add(real)
        visible = set(list_names(Path(parent)))
        folders[:] = sorted(visible.intersection(folders))
        for name in sorted(visible.intersection(files)):
            yield (Path(parent) / name).relative_to(root).as_posix()
