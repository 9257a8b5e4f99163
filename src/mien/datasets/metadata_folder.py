"""Folders of images with a list of them in each, as the Hugging Face Hub and Roboflow have them.

https://huggingface.co/docs/datasets/image_dataset: a file ``metadata.csv`` or ``metadata.jsonl`` lies in the folder of the
set or of a split, and names images relative to itself in the column ``file_name``. The split is in the name of a folder.
"""

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

from mien.datasets.base import FaceDataset
from mien.datasets.column_names import PATH, SPLIT
from mien.datasets.csv_checks import OpenedList, require_prefix
from mien.datasets.csv_columns import open_list, read_columns
from mien.datasets.csv_table import read_lists
from mien.datasets.files import list_names, quote_names
from mien.datasets.labels import LabelNames
from mien.datasets.list_options import ColumnOptions
from mien.datasets.list_table import ListTable
from mien.datasets.listed import files_below
from mien.datasets.registry import DATASETS
from mien.datasets.splits import find_split, require_val_fraction
from mien.errors import DatasetError
from mien.faces.images import IMAGE_SUFFIXES

PATH_NAME = "file_name"
METADATA_FILES = ("metadata.csv", "metadata.jsonl", "_annotations.coco.json")


def find_metadata_files(raw: Path) -> list[Path]:
    """Return the metadata files in a folder and, at most two levels below, in its subfolders."""
    found = []
    for parent, folders, _ in os.walk(raw) if raw.is_dir() else ():
        visible = list_names(Path(parent))
        depth = len(Path(parent).relative_to(raw).parts)
        folders[:] = sorted(set(folders).intersection(visible)) if depth < 2 else []
        found += [Path(parent, name) for name in METADATA_FILES if name in visible]
    return sorted(found)


def recognize_metadata_folder(raw: Path) -> str | None:
    """Return why a folder is one with metadata files, or None; see `DatasetKind`."""
    files = find_metadata_files(raw)
    try:
        is_named = [PATH_NAME in read_columns(file, ColumnOptions())[0].header for file in files]
    except DatasetError:
        return None
    names = list(dict.fromkeys(file.name for file in files))
    return f"{quote_names(names)} in it lists images by `{PATH_NAME}`" if files and all(is_named) else None


def open_metadata_folder(
    raw: Path,
    *,
    val_fraction: float = 0.1,
    label_names: LabelNames | None = None,
    images: tuple[Path, ...] = (),
    columns: ColumnOptions = ColumnOptions(),
) -> FaceDataset:
    """Open a folder with metadata files. They are lists as those of `open_csv`.

    Args:
        raw: the folder.
        val_fraction: fraction of faces assigned to ``val`` if neither folders nor a column say the split.
        label_names: the class of each label, see `map_labels`.
        images: see `open_csv`.
        columns: which column is what.

    Raises:
        DatasetError: there is no such file; only some rows have a split; or as for `open_csv`.
    """
    require_val_fraction(val_fraction)
    root = raw.resolve()
    files = find_metadata_files(root)
    if not files:
        raise DatasetError(
            f"`{raw}` must hold {DATASETS['imagefolder'].layout}, it holds none: give the folder that does"
        )
    opened = []
    for file in files:
        folder = "".join(f"{part}/" for part in file.parent.relative_to(root).parts)
        table, box_format = open_list(file, columns, folder=folder)
        opened.append(OpenedList(find_split(folder) or "", table, box_format))
    require_prefix(opened, columns.path_prefix)
    counts: Counter[str] = Counter()
    listed: set[str] = set()
    for split, table, _ in opened:
        for _, fields in table.rows():
            path = fields.get(PATH, "")
            counts[split or find_split(f"{Path(path).parent.as_posix()}/") or ""] += 1
            listed.add(path.replace("\\", "/").removeprefix("./"))
    if columns.split_column is None and SPLIT not in opened[0].table.columns:
        if counts[""] and len(counts) > 1:
            raise DatasetError(
                f"`{raw}` must say the split of every image or of none, {counts['']:,} of {counts.total():,} are in no folder "
                f"named like a split: move them, or add a column `{SPLIT}`"
            )
        if not counts[""]:
            opened = [one if one.split else one._replace(table=_split_by_path(one.table)) for one in opened]
    else:
        opened = [one._replace(split="") for one in opened]
    dataset = read_lists(
        (root, *images),
        opened,
        replace(columns, path_prefix=""),  # the tables leave it off, before the folder is put in front
        val_fraction=val_fraction,
        label_names=label_names,
        name="imagefolder",
    )
    n_unlisted = sum(file not in listed for file in files_below(root, IMAGE_SUFFIXES))
    note = (f"{n_unlisted:,} images are in no metadata file, and are left out.",) if n_unlisted else ()
    return replace(dataset, notes=(*dataset.notes, *note))


def _split_by_path(table: ListTable) -> ListTable:
    return replace(table, columns=table.columns | {SPLIT: table.columns[PATH]}, is_split_in_path=True)
