"""FairFace: faces with age group, gender and race, and without expressions.

Kärkkäinen, Joo 2019, https://arxiv.org/abs/1908.04913; files as in the authors' repository (joojs/fairface).
``fairface_label_train.csv`` and ``fairface_label_val.csv`` have the columns ``file``, ``age``, ``gender``, ``race`` and
``service_test``; ``file`` is ``train/1.jpg``, in the folder of one of two margins around the face.

Its pack has no classes: each face has attributes and no label, so that it serves to compare a model's predictions between
groups of people, not to train expressions or to measure accuracy.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mien.datasets.base import FaceDataset
from mien.datasets.csv_files import PROBLEM, CsvFile, open_csv_file
from mien.datasets.listed import ListedFace, ListedFaces
from mien.datasets.registry import DATASETS
from mien.errors import DatasetError

LISTS = {"train": "fairface_label_train.csv", "val": "fairface_label_val.csv"}
IMAGE_FOLDERS = ("", "fairface-img-margin025-trainval", "fairface-img-margin125-trainval")
ATTRIBUTES = ("age", "gender", "race")


def open_fairface(raw: Path) -> FaceDataset:
    """Open FairFace.

    Args:
        raw: the folder with the lists and with ``train`` and ``val``, or with the folder of one margin that holds these.

    Raises:
        DatasetError: a list or the images are missing, or the images of both margins are there.
    """
    columns = ("file", *ATTRIBUTES)
    tables = {
        split: open_csv_file(raw / name, {column: (column,) for column in columns}, required=columns)
        for split, name in LISTS.items()
        if (raw / name).is_file()
    }
    folders = [name for name in IMAGE_FOLDERS if any((raw / name / split).is_dir() for split in LISTS)]
    if not tables or len(folders) != 1:
        found = (
            "no list" if not tables else " and ".join(f"`{raw / name}`" for name in folders) or "no images"
        )
        raise DatasetError(
            f"`{raw}` must hold {DATASETS['fairface'].layout}, of one margin; it holds {found}: give the folder that does, "
            "with the other margin moved away"
        )
    missing = [name for split, name in LISTS.items() if split not in tables]
    return ListedFaces(
        root=raw.resolve(),
        name="fairface",
        classes=(),
        natural_crop="whole",
        list_faces=partial(_list_faces, tables=tables, images=folders[0]),
        notes=(
            *(f"There is no `{name}`: its split is skipped." for name in missing),
            *(note for table in tables.values() for note in table.note_ignored_columns()),
        ),
        is_cropped=True,
    )


def _list_faces(_root: Path, *, tables: dict[str, CsvFile], images: str) -> Iterator[ListedFace]:
    for split, table in tables.items():
        for _, fields in table.rows():
            problem = ("malformed_row", fields[PROBLEM]) if PROBLEM in fields else None
            attributes = tuple(
                (name, value.strip()) for name in ATTRIBUTES if (value := fields.get(name, "")).strip()
            )
            file = (Path(images) / fields.get("file", "").strip()).as_posix()
            yield ListedFace(file, "", problem, split=split, attributes=attributes)
