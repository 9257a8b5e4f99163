"""A folder for each class, as most sets of one's own are kept."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mien.errors import DatasetError
from mien.faces.classes import ordered_classes
from mien.faces.image_files import looks_like_image
from mien.faces.images import PICTURE_SUFFIXES
from mien.pack.schema import SPLITS
from mien.sources.cells import parse_whole_number
from mien.sources.files import list_names, printable
from mien.sources.labels import LabelNames, name_folders, note_own_classes
from mien.sources.record import FaceRecord, RejectedRow, Row, Source
from mien.sources.splits import drawn_split, require_val_fraction, split_named

LAYOUT = "a folder for each class with pictures in it, or `train/`, `val/` and `test/` with such folders"


# What folders of sets are called that hold the images or the annotations of all classes.
NO_CLASSES = frozenset(
    (
        *("image", "images", "imgs", "img", "pictures", "photos", "jpegimages", "faces", "crops", "cropped"),
        *(
            "label",
            "labels",
            "annotation",
            "annotations",
            "annot",
            "annots",
            "annos",
            "landmarks",
            "masks",
            "meta",
        ),
        *("metadata", "bbox", "bboxes", "boxes", "lists", "docs", "json", "xml", "csv", "txt", "videos"),
    )
)


@dataclass(frozen=True, slots=True)
class ClassFolders:
    """A folder for each class. A row's key is the file's path under `raw`, with ``/`` between folders.

    Attributes:
        raw: the folder.
        classes: the classes of all splits, AffectNet's first.
        folder_classes: the class of each class folder by its name; other folders are passed over.
        split_folders: split and name of each folder that holds class folders; "" is `raw` itself.
        val_fraction: share of faces that go to ``val`` where the set has no splits.
        notes: see `Source`.
    """

    raw: Path
    classes: tuple[str, ...]
    folder_classes: dict[str, str]
    split_folders: tuple[tuple[str, str], ...]
    val_fraction: float
    notes: tuple[str, ...] = ()
    name: str = field(default="folder", init=False)
    natural_crop: str = field(default="whole", init=False)

    def rows(self) -> Iterator[Row]:
        """Yield every file in every class folder, whatever it is, and images beside these, in the order of names."""
        is_drawn = _has_no_splits(self.split_folders)
        for split in ("train", "val") if is_drawn else SPLITS:
            folders = [folder for name, folder in self.split_folders if is_drawn or name == split]
            files = (file for folder in folders for file in self._files(folder))
            for number, file in enumerate(files, start=1):
                key = printable(file)
                if not is_drawn or drawn_split(key, self.val_fraction) == split:
                    yield Row(split=split, number=number, key=key, fields={"file": file})

    def class_of(self, row: Row) -> str:
        """Return the class of the folder that the file lies in, or ``"?"`` where it lies in none."""
        depth = 1 if self.split_folders[0][1] else 0
        parts = row.key.split("/")[depth:-1]
        return self.folder_classes[parts[0]] if parts else "?"

    def parse(self, row: Row) -> FaceRecord:
        """Return the file as a face of its folder's class."""
        class_name = self.class_of(row)
        if class_name == "?":
            raise RejectedRow("unknown_label", "the file lies in no class folder")
        return FaceRecord(image=self.raw / row.fields["file"], label=self.classes.index(class_name))

    def _files(self, folder: str) -> Iterator[str]:
        """Yield the files of a folder of class folders, and pictures that lie beside these."""
        for name in list_names(self.raw / folder):
            file = f"{folder}/{name}" if folder else name
            if (self.raw / file).is_dir():
                if printable(name) in self.folder_classes:
                    yield from _files_below(self.raw, file)
            elif Path(name).suffix.lower() in PICTURE_SUFFIXES:
                yield file


def open_folder(raw: Path, *, val_fraction: float = 0.1, label_names: LabelNames | None = None) -> Source:
    """Return the reader of a folder of class folders.

    Class folders with a name that stands for one of AffectNet's classes, such as ``happiness``, are that
    class; others keep their name. Hidden files and folders are left aside.

    Args:
        raw: the folder.
        val_fraction: share of faces that go to ``val`` where there is no ``val`` or ``test`` folder; 0 for none.
            Which ones they are depends on their paths alone.
        label_names: the class of each class folder by its name, see `mien.sources.labels.name_folders`; folders that it
            does not name are passed over.

    Raises:
        DatasetError: there are not two class folders with files; class folders stand beside split folders or hold
            them; a folder is called by a number, as none of classes, or holds no image, and ``label_names`` does not
            say what it is.
    """
    require_val_fraction(val_fraction)
    if not raw.is_dir():
        raise DatasetError(f"`{raw}` must be a folder that holds {LAYOUT}: it is none")
    split_folders = _split_folders(raw)
    parents = [raw / folder for _, folder in split_folders]
    folders = [
        (parent, name) for parent in parents for name in list_names(parent) if (parent / name).is_dir()
    ]
    filled = [place for place in folders if next(_files_below(*place), None) is not None]
    names = {printable(name) for _, name in filled}
    _require_splits_above(raw, filled)
    if label_names is None:
        _require_classes(raw, filled)
    folder_classes = name_folders(sorted(names), label_names, where=f"Names of folders in `{raw}`")
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
            "give the folder right above the class folders"
        )
    empty = sorted({printable(name) for _, name in folders}.difference(names))
    passed_over = sorted(names.difference(folder_classes))
    beside = [name for parent in dict.fromkeys((raw, *parents)) for name in _lone_files(parent)]
    return ClassFolders(
        raw=raw.resolve(),
        classes=classes,
        folder_classes=folder_classes,
        split_folders=split_folders,
        val_fraction=val_fraction,
        notes=(
            *note_own_classes(classes),
            *(f"The folder `{name}` is empty: it is no class." for name in empty),
            *(f"The folder `{name}` is passed over: --label-names does not name it." for name in passed_over),
            *((f"Files beside the class folders, not read: {_shortened(beside)}.",) if beside else ()),
        ),
    )


def _require_splits_above(raw: Path, folders: list[tuple[Path, str]]) -> None:
    """Refuse class folders that hold folders of several splits: their faces would all go to one."""
    for parent, name in folders:
        inside = [inner for inner in list_names(parent / name) if split_named(inner)]
        if len({split_named(inner) for inner in inside}) > 1:
            place = printable((parent / name).relative_to(raw).as_posix())
            raise DatasetError(
                f"`{raw}` must hold the splits above the classes, but `{place}` holds "
                f"{_shortened(inside)}: move the folders, so that it is `{inside[0]}/{printable(name)}`"
            )


def _require_classes(raw: Path, folders: list[tuple[Path, str]]) -> None:
    """Refuse folders that are no classes, by their name or for want of images."""
    for parent, name in folders:
        is_named_so = name.lower() in NO_CLASSES
        if not is_named_so and _holds_images(parent, name):
            continue
        place = printable((parent / name).relative_to(raw).as_posix())
        why = "is called like no class" if is_named_so else "holds no image"
        others = {printable(other) for _, other in folders if other.lower() not in NO_CLASSES} - {name}
        named = ",".join(
            f"{other}=NAME" if parse_whole_number(other) is not None else other for other in sorted(others)
        )
        raise DatasetError(
            f"`{raw}` must hold {LAYOUT}, but `{place}` {why}{_known_layout(parent)}. Move away what is "
            f"no class, or name the class folders alone with --label-names {named or 'FOLDER,FOLDER'}"
        )


def _known_layout(parent: Path) -> str:
    """Return what a folder of `NO_CLASSES` is known to be, and what reads it."""
    inside = {name.lower() for name in list_names(parent)}
    if {"images", "annotations"} <= inside and parent.name in ("train_set", "val_set"):
        return f" (`{parent.name}/images` and `annotations` are AffectNet's of 2021: use `mien prepare affectnet`)"
    if {"images", "labels"} <= inside:
        return " (`images` beside `labels` is YOLO's layout: write a CSV of path,label,split for `mien prepare csv`)"
    return ""


def _holds_images(parent: Path, folder: str) -> bool:
    """Return whether any file in a folder is called as images are, or begins as one does."""
    return any(
        Path(file).suffix.lower() in PICTURE_SUFFIXES or looks_like_image(parent / file)
        for file in _files_below(parent, folder)
    )


def _lone_files(folder: Path) -> list[str]:
    """Return the files in a folder of class folders that are no rows of the set."""
    return [
        printable(name)
        for name in list_names(folder)
        if not (folder / name).is_dir() and Path(name).suffix.lower() not in PICTURE_SUFFIXES
    ]


def _shortened(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names[:8]) + (", ..." if len(names) > 8 else "")


def _split_folders(raw: Path) -> tuple[tuple[str, str], ...]:
    """Return split and name of the folders that are named like splits, or `raw` itself as ``train``."""
    folders = [name for name in list_names(raw) if (raw / name).is_dir()]
    named = [(split, name) for name in folders if (split := split_named(name))]
    others = [name for name in folders if not split_named(name)]
    if named and others:
        raise DatasetError(
            f"`{raw}` must hold either split folders or class folders, it holds `{named[0][1]}` beside "
            f"`{printable(others[0])}`: move one of them away"
        )
    return tuple(named) or (("train", ""),)


def _has_no_splits(split_folders: tuple[tuple[str, str], ...]) -> bool:
    return all(split == "train" for split, _ in split_folders)


def _files_below(root: Path, folder: str) -> Iterator[str]:
    """Yield the files in a folder and its folders, following links, each real folder once."""
    seen: set[str] = set()
    for parent, folders, files in os.walk(root / folder, followlinks=True, onerror=_refuse):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        visible = set(list_names(Path(parent)))
        folders[:] = sorted(visible.intersection(folders))
        for name in sorted(visible.intersection(files)):
            yield (Path(parent) / name).relative_to(root).as_posix()


def _refuse(error: OSError) -> None:
    raise DatasetError(
        f"`{error.filename}` cannot be read: {error.strerror}; give yourself the right to read it"
    )
