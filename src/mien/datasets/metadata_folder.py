"""Folders of images with ``metadata.csv`` or ``metadata.jsonl``, the Hugging Face Hub's `imagefolder`.

https://huggingface.co/docs/datasets/image_dataset: such a file lies in the folder of the set or of a split, and names
images relative to itself in the column ``file_name``. The split is in the name of a folder.
"""

import os
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mien.artifacts import parse_json
from mien.datasets.base import FaceDataset
from mien.datasets.csv_files import MAX_LINE_CHARACTERS, PROBLEM, open_csv_file
from mien.datasets.files import list_names, quote_names
from mien.datasets.labels import LabelNames, map_labels, order_classes
from mien.datasets.listed import ListedFace, ListedFaces, draw_val, files_below
from mien.datasets.splits import find_split
from mien.errors import DatasetError
from mien.faces.images import IMAGE_SUFFIXES
from mien.runtime.regular_files import open_regular

METADATA_FILES = ("metadata.csv", "metadata.jsonl")
PATH, LABEL, SPLIT = "file_name", "label", "split"
SPELLINGS = {
    PATH: (PATH,),
    LABEL: ("label", "labels", "expression", "emotion", "class"),
    SPLIT: (SPLIT,),
    "valence": ("valence",),
    "arousal": ("arousal",),
}


def find_metadata_files(raw: Path) -> list[Path]:
    """Return the metadata files in a folder and, at most two levels below, in its subfolders."""
    found = []
    for parent, folders, _ in os.walk(raw) if raw.is_dir() else ():
        visible = list_names(Path(parent))
        depth = len(Path(parent).relative_to(raw).parts)
        folders[:] = sorted(set(folders).intersection(visible)) if depth < 2 else []
        found += [Path(parent, name) for name in METADATA_FILES if name in visible]
    return sorted(found)


def open_metadata_folder(
    raw: Path, *, val_fraction: float = 0.1, label_names: LabelNames | None = None
) -> FaceDataset:
    """Open a folder with metadata files. Their labels are read once, see `map_labels`.

    Args:
        raw: the folder.
        val_fraction: fraction of faces assigned to ``val`` if neither folders nor a column say the split.
        label_names: the class of each label, see `map_labels`.

    Raises:
        DatasetError: a metadata file is damaged or lacks a column, labels are numbers without names, or only some rows
            have a split.
    """
    root = raw.resolve()
    files = tuple(path.relative_to(root).as_posix() for path in find_metadata_files(root))
    counts: Counter[str] = Counter()
    splits: Counter[str] = Counter()
    listed: set[str] = set()
    unused: dict[str, None] = {}
    for file in files:
        for cells in read_metadata(root / file):
            unused |= dict.fromkeys(name for name in cells if name not in (*SPELLINGS, PROBLEM))
            counts[cells.get(LABEL, "")] += 1
            splits[_split_of(file, cells)] += 1
            listed.add((Path(file).parent / cells.get(PATH, "")).as_posix())
    del counts[""]
    label_classes, notes = map_labels(counts, label_names, where=f"{quote_names(list(files))} in `{raw}`")
    if not label_classes:
        raise DatasetError(
            f"{quote_names(list(files))} in `{raw}` must have rows with a label, they have none"
        )
    if len(splits) > 1 and splits[""]:
        raise DatasetError(
            f"`{raw}` must say the split of every image or of none, {splits['']:,} of {splits.total():,} are in no folder "
            f"named like a split: move them, or add a column `{SPLIT}`"
        )
    n_unlisted = sum(file not in listed for file in files_below(root, IMAGE_SUFFIXES))
    if n_unlisted:
        notes += (f"{n_unlisted:,} images are in no metadata file, and are left out.",)
    if unused:
        notes += (f"Columns not used in {quote_names(list(files))}: {', '.join(unused)}.",)
    dataset = ListedFaces(
        root,
        "imagefolder",
        order_classes(set(label_classes.values())),
        "whole",
        partial(_list_faces, files=files, label_classes=label_classes),
        notes=notes,
    )
    return dataset if not splits[""] else draw_val(dataset, val_fraction)


def read_metadata(path: Path) -> Iterator[dict[str, str]]:
    """Yield the cells of each row as text, by the names of `SPELLINGS` and those of other columns.

    Raises:
        DatasetError: the file cannot be read, or lacks the path or the label.
    """
    if path.suffix == ".csv":
        table = open_csv_file(path, SPELLINGS, required=(PATH, LABEL))
        used = set(table.columns.values())
        others = {name: "" for index, name in enumerate(table.header) if index not in used}
        for _, fields in table.rows():
            yield others | {name: cell.strip() for name, cell in fields.items()}
        return
    names = {spelling: name for name, spellings in SPELLINGS.items() for spelling in spellings}
    try:
        with open_regular(path) as file:
            number = 0
            while line := file.readline(MAX_LINE_CHARACTERS):
                number += 1
                if not line.strip():
                    continue
                values = parse_json(line.decode("utf-8-sig"))
                cells = {
                    names.get(name, name): "" if value is None else str(value).strip()
                    for name, value in values.items()
                }
                yield cells | {PATH: cells[PATH], LABEL: cells[LABEL]}
    except (AttributeError, KeyError, OSError, ValueError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else getattr(error, "strerror", error)
        raise DatasetError(
            f'`{path}` must have lines like {{"file_name": "0001.jpg", "label": "happy"}}, line {number}: {reason}'
        ) from None


def _split_of(file: str, cells: dict[str, str]) -> str:
    """Return the split that a column, or a folder above the image, says; "" if neither does."""
    if SPLIT in cells:
        return find_split(cells[SPLIT]) or "unknown"
    folders = (Path(file).parent / cells.get(PATH, "")).parent
    return find_split(f"{folders.as_posix()}/") or ""


def _list_faces(root: Path, *, files: tuple[str, ...], label_classes: dict[str, str]) -> Iterator[ListedFace]:
    for file in files:
        for cells in read_metadata(root / file):
            split = _split_of(file, cells)
            path = (Path(file).parent / cells.get(PATH, "")).as_posix()
            class_name = label_classes.get(cells.get(LABEL, ""), "")
            problem = None
            if PROBLEM in cells:
                problem = ("malformed_row", cells[PROBLEM])
            elif split == "unknown":
                problem = ("unknown_split", f"split {cells[SPLIT]!r} is none of train, val, test")
            elif not class_name:
                problem = ("unknown_label", f"label {cells[LABEL]!r} has no class")
            affect = (cells.get("valence", ""), cells.get("arousal", ""))
            yield ListedFace(
                path,
                class_name,
                problem,
                split="train" if problem and split == "unknown" else split,
                affect=affect,
            )
