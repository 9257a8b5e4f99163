"""CAER-S: stills from television shows, a folder for each of seven classes.

Lee, Kim, Kim, Park, Sohn 2019, https://arxiv.org/abs/1908.05913: ``train`` and ``test`` with ``Anger`` to ``Surprise``.
The images show whole scenes. Lists of face boxes by dlib's detector are passed around with the set, ``train.txt`` and
``test.txt`` with ``path,label,x1,y1,x2,y2``, as read by ndkhanh360/CAER (``CAER/data_loader/data_loaders.py`` at 0a9ad9b);
the class is taken from the folder, since the lists' numbers are explained nowhere. The stills do not name their clip:
many are nearly the same.
"""

import csv
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from mien.datasets.base import FaceDataset, assumed
from mien.datasets.files import list_names, printable
from mien.datasets.listed import ListedFace, ListedFaces, files_below
from mien.datasets.registry import DATASETS
from mien.datasets.splits import parse_split
from mien.errors import DatasetError
from mien.faces.classes import EXPRESSIONS_7, canonical_class
from mien.faces.images import IMAGE_SUFFIXES
from mien.runtime.regular_files import open_regular

LIST_FOLDERS = (".", "data", "lists")
N_CELLS = 6


FOLDERS = frozenset(("Anger", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise"))


def recognize_caer_s(raw: Path) -> str | None:
    """Return why a folder is CAER-S, or None; see `DatasetKind`."""
    root = raw / "CAER-S" if (raw / "CAER-S").is_dir() else raw
    splits = [root / name for name in ("train", "test")]
    is_one = all(folder.is_dir() and {*list_names(folder)} == FOLDERS for folder in splits)
    return "`train` and `test` in it hold its seven folders, `Anger` to `Surprise`" if is_one else None


def open_caer_s(raw: Path) -> FaceDataset:
    """Open CAER-S.

    Args:
        raw: the folder of ``train`` and ``test``, or one that holds it as ``CAER-S``.

    Raises:
        DatasetError: it does not have the seven classes, or a list of boxes is not as described.
    """
    root = (raw / "CAER-S" if (raw / "CAER-S").is_dir() else raw).resolve()
    found = {
        canonical_class(name) for _, folder in _split_folders(root) for name in list_names(root / folder)
    }
    if not set(EXPRESSIONS_7) <= found:
        raise DatasetError(
            f"`{raw}` must hold {DATASETS['caer-s'].layout}: give the folder of `train` and `test`"
        )
    notes, has_boxes = [], False
    for split, _ in _split_folders(root):
        boxes = _read_boxes(root, split)
        has_boxes |= bool(boxes)
        notes.append(
            f"`{split}.txt` has face boxes for {len(boxes):,} images."
            if boxes
            else f"There is no list of face boxes `{split}.txt`: faces of {split} are detected."
        )
    if has_boxes:
        notes.append(assumed("a line of such a list is path, label, left, top, right and bottom in pixels"))
    ignored = sorted(
        f"{folder}/{name}"
        for _, folder in _split_folders(root)
        for name in list_names(root / folder)
        if canonical_class(name) not in EXPRESSIONS_7
    )
    notes += [f"`{printable(name)}` is ignored: it is none of the seven classes." for name in ignored]
    return ListedFaces(
        root, "caer-s", EXPRESSIONS_7, "box" if has_boxes else "aligned", _list_faces, notes=tuple(notes)
    )


def _split_folders(root: Path) -> list[tuple[str, str]]:
    """Return split and name of the folders that are named like splits."""
    folders = [(parse_split(name), name) for name in list_names(root) if (root / name).is_dir()]
    return [(split, name) for split, name in folders if split is not None]


def _list_faces(root: Path) -> Iterator[ListedFace]:
    for split, folder in _split_folders(root):
        boxes = _read_boxes(root, split)
        for name in list_names(root / folder):
            class_name = canonical_class(name)
            if class_name not in EXPRESSIONS_7:
                continue
            for file in files_below(root / folder / name, IMAGE_SUFFIXES):
                box = boxes.get(f"{name}/{file}".lower(), ())
                yield ListedFace(f"{folder}/{name}/{file}", class_name, split=split, box_xyxy=box)


@lru_cache(maxsize=4)
def _read_boxes(root: Path, split: str) -> dict[str, tuple[str, ...]]:
    """Return the first box of each image by class folder and file, in lower case; none if there is no list.

    Raises:
        DatasetError: a line of the list does not have six cells.
    """
    paths = [root / folder / f"{split}.txt" for folder in LIST_FOLDERS]
    path = next((path for path in (*paths, root.parent / f"{split}.txt") if path.is_file()), None)
    boxes: dict[str, tuple[str, ...]] = {}
    if path is None:
        return boxes
    with open_regular(path) as file:
        lines = (line.decode("utf-8", "surrogateescape") for line in file)
        for number, cells in enumerate(csv.reader(lines), start=1):
            if cells and len(cells) != N_CELLS:
                raise DatasetError(
                    f"`{path}` must have lines like `Anger/0001.png,0,10,20,110,120` (path, label, left, top, right, bottom), "
                    f"line {number} has {len(cells)} cells: correct it, or move the list away to have faces detected"
                )
            if cells:
                key = "/".join(cells[0].strip().replace("\\", "/").split("/")[-2:]).lower()
                boxes.setdefault(key, tuple(cell.strip() for cell in cells[2:]))
    return boxes
