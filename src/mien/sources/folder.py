"""A folder for each class, as most sets of one's own are kept."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mien.errors import DatasetError
from mien.faces.classes import canonical_class, ordered_classes
from mien.faces.images import PICTURE_SUFFIXES
from mien.pack.schema import SPLITS
from mien.sources.files import list_names, printable
from mien.sources.record import FaceRecord, RejectedRow, Row, Source
from mien.sources.splits import drawn_split, require_val_fraction, split_named

LAYOUT = "a folder for each class with pictures in it, or `train/`, `val/` and `test/` with such folders"


@dataclass(frozen=True, slots=True)
class ClassFolders:
    """A folder for each class. A row's key is the file's path under `raw`, with ``/`` between folders.

    Attributes:
        raw: the folder.
        classes: the classes of all splits, AffectNet's first.
        split_folders: split and name of each folder that holds class folders; "" is `raw` itself.
        val_fraction: share of faces that go to ``val`` where the set has no splits.
        notes: see `Source`.
    """

    raw: Path
    classes: tuple[str, ...]
    split_folders: tuple[tuple[str, str], ...]
    val_fraction: float
    notes: tuple[str, ...] = ()
    name: str = field(default="folder", init=False)
    natural_crop: str = field(default="whole", init=False)

    def rows(self) -> Iterator[Row]:
        """Yield every file in every class folder, whatever it is, in the order of names."""
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
        return _class_named(parts[0]) if parts else "?"

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
                yield from _files_below(self.raw, file)
            elif Path(name).suffix.lower() in PICTURE_SUFFIXES:
                yield file


def open_folder(raw: Path, *, val_fraction: float = 0.1) -> Source:
    """Return the reader of a folder of class folders.

    Class folders with a name that stands for one of AffectNet's classes, such as ``happiness``, are that
    class; others keep their name. Hidden files and folders are left aside.

    Args:
        raw: the folder.
        val_fraction: share of faces that go to ``val`` where there is no ``val`` or ``test`` folder; 0 for none.
            Which ones they are depends on their paths alone.

    Raises:
        DatasetError: there are not two class folders with files, or class folders stand beside split folders.
    """
    require_val_fraction(val_fraction)
    if not raw.is_dir():
        raise DatasetError(f"`{raw}` must be a folder that holds {LAYOUT}: it is none")
    split_folders = _split_folders(raw)
    parents = [raw / folder for _, folder in split_folders]
    folders = [
        (parent, name) for parent in parents for name in list_names(parent) if (parent / name).is_dir()
    ]
    filled = [name for parent, name in folders if next(_files_below(parent, name), None) is not None]
    classes = ordered_classes({_class_named(printable(name)) for name in filled})
    if len(classes) < 2:
        found = ", ".join(f"`{name}`" for name in classes) or "none"
        raise DatasetError(
            f"`{raw}` must hold {LAYOUT}, at least two with files; found {found}: "
            "give the folder right above the class folders"
        )
    empty = sorted({name for _, name in folders}.difference(filled))
    return ClassFolders(
        raw=raw.resolve(),
        classes=classes,
        split_folders=split_folders,
        val_fraction=val_fraction,
        notes=tuple(f"The folder `{printable(name)}` is empty: it is no class." for name in empty),
    )


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


def _class_named(folder_name: str) -> str:
    return canonical_class(folder_name) or folder_name


def _refuse(error: OSError) -> None:
    raise DatasetError(
        f"`{error.filename}` cannot be read: {error.strerror}; give yourself the right to read it"
    )
