"""AffectNet, in both of its releases, recognized by what the folder holds.

- 2017: ``training.csv`` and ``validation.csv`` of full photographs with box, 68 landmarks, one of eleven classes,
  valence and arousal.
- 2021: ``train_set`` and ``val_set`` of 224-pixel face crops with four ``.npy`` files per image and eight classes.

Mollahosseini, Hasani, Mahoor 2017, https://arxiv.org/abs/1708.03985.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mien.datasets.affectnet_2021 import SET_FOLDERS, open_affectnet_2021
from mien.datasets.base import FaceDataset, FaceRecord, RawRow, RejectedRow
from mien.datasets.csv_cells import (
    parse_affect_pair,
    parse_box_xywh,
    parse_integer,
    parse_landmarks,
    require_readable,
)
from mien.datasets.csv_files import CsvFile, open_csv_file, read_first_row
from mien.datasets.files import locate, real_folders
from mien.datasets.registry import DATASETS
from mien.errors import DatasetError
from mien.faces.classes import AFFECTNET_CLASSES
from mien.faces.crop_options import CropMethod

LISTS = {"train": "training.csv", "val": "validation.csv"}
LIST_FOLDERS = (".", "Manually_Annotated_file_lists")
IMAGE_FOLDERS = ("Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images")

# The columns, in the order of the lists that have no header.
PATH, LANDMARKS, EXPRESSION = "subDirectory_filePath", "facial_landmarks", "expression"
BOX = ("face_x", "face_y", "face_width", "face_height")
COLUMNS = (PATH, *BOX, LANDMARKS, EXPRESSION, "valence", "arousal")


@dataclass(frozen=True, slots=True)
class AffectNet2017:
    """The 2017 release. The key of a row is its path under `image_root`.

    Attributes:
        image_root: the real path of ``Manually_Annotated_Images``.
        lists: the list of each split that is present.
        images: real paths of further folders that images, or links in `image_root`, may lie in.
        notes: see `FaceDataset`.
    """

    image_root: Path
    lists: dict[str, CsvFile]
    images: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    name: str = field(default="affectnet-2017", init=False)
    classes: tuple[str, ...] = field(default=AFFECTNET_CLASSES, init=False)
    natural_crop: CropMethod = field(default="aligned", init=False)

    def rows(self) -> Iterator[RawRow]:
        """Yield the rows of ``training.csv``, then those of ``validation.csv``."""
        for split, listed in self.lists.items():
            for number, fields in listed.rows():
                yield RawRow(split=split, number=number, key=fields.pop(PATH, ""), fields=fields)

    def class_of(self, row: RawRow) -> str:
        """Return the class name for the row's number, or ``"?"``."""
        label = parse_integer(row.fields.get(EXPRESSION, ""))
        return AFFECTNET_CLASSES[label] if label is not None and 0 <= label < len(AFFECTNET_CLASSES) else "?"

    def parse(self, row: RawRow) -> FaceRecord:
        """Return the row's face; a box or landmarks that cannot be parsed are dropped with a warning."""
        require_readable(row.fields)
        class_name = self.class_of(row)
        if class_name == "?":
            raise RejectedRow(
                "unknown_label", f"expression {row.fields[EXPRESSION]!r} is not an integer from 0 to 10"
            )
        box_xyxy, box_warnings = parse_box_xywh(tuple(row.fields[name] for name in BOX))
        landmarks, landmark_warnings = parse_landmarks(row.fields[LANDMARKS])
        valence, arousal, affect_warnings = parse_affect_pair(row.fields["valence"], row.fields["arousal"])
        return FaceRecord(
            image=locate(self.image_root, row.key, others=self.images),
            label=AFFECTNET_CLASSES.index(class_name),
            box_xyxy=box_xyxy,
            landmarks=landmarks,
            valence=valence,
            arousal=arousal,
            warnings=(*box_warnings, *landmark_warnings, *affect_warnings),
        )


def recognize_affectnet(raw: Path) -> str | None:
    """Return why a folder is AffectNet, or None; see `DatasetKind`."""
    lists = [
        name for name in LISTS.values() if any((raw / folder / name).is_file() for folder in LIST_FOLDERS)
    ]
    images = next((name for name in IMAGE_FOLDERS if (raw / name).is_dir()), None)
    if lists and images:
        return f"it holds `{'` and `'.join(lists)}` and `{images}/`, as the 2017 release"
    sets = [name for name in SET_FOLDERS.values() if (raw / name / "annotations").is_dir()]
    return (
        f"it holds `{'/annotations/` and `'.join(sets)}/annotations/`, as the 2021 release" if sets else None
    )


def open_affectnet(raw: Path, *, images: tuple[Path, ...] = ()) -> FaceDataset:
    """Open the AffectNet release that a folder holds.

    Args:
        raw: the folder.
        images: further folders of the 2017 release's images, or that links among them lead to.

    Raises:
        DatasetError: it holds neither release or both, or a list or folder of it is missing or unusable.
    """
    paths: dict[str, Path] = {}
    for split, name in LISTS.items():
        candidates = [path for folder in LIST_FOLDERS if (path := raw / folder / name).is_file()]
        if candidates:
            paths[split] = candidates[0]
    has_2021 = any((raw / folder).is_dir() for folder in SET_FOLDERS.values())
    if paths and has_2021:
        raise DatasetError(
            f"`{raw}` must hold one release of AffectNet, it holds both "
            f"`{next(iter(paths.values())).name}` (2017) and `train_set` or `val_set` (2021): "
            "move one of them to a separate folder"
        )
    if has_2021:
        return open_affectnet_2021(raw)
    if not paths:
        raise DatasetError(
            f"`{raw}` must hold {DATASETS['affectnet'].layout}, it holds none of these: give the folder that does"
        )
    folders = real_folders(images)
    roots = (*(raw / name for name in IMAGE_FOLDERS), *folders)
    image_root = next((path for path in roots if path.is_dir()), None)
    if image_root is None:
        raise DatasetError(
            f"`{raw}` must hold the images of its lists in `{IMAGE_FOLDERS[0]}/`, there is no such folder: "
            "unpack them there, or name the folder that holds them with --images"
        )
    lists = {split: _open_2017_list(path) for split, path in paths.items()}
    missing = [name for split, name in LISTS.items() if split not in paths]
    return AffectNet2017(
        image_root=image_root.resolve(),
        lists=lists,
        images=folders,
        notes=(
            *(f"There is no `{name}`: its split is skipped." for name in missing),
            *(note for listed in lists.values() for note in listed.note_ignored_columns()),
        ),
    )


def _open_2017_list(path: Path) -> CsvFile:
    """Open a list with or without a header: the original ``validation.csv`` has none."""
    first_row = read_first_row(path)
    if len(first_row) == len(COLUMNS):
        cells = dict(zip(COLUMNS, first_row, strict=True))
        if all(parse_integer(cells[name]) is not None for name in (*BOX, EXPRESSION)):
            columns = {name: index for index, name in enumerate(COLUMNS)}
            return CsvFile(path=path, columns=columns, width=len(COLUMNS))
    return open_csv_file(path, {name: (name,) for name in COLUMNS}, required=COLUMNS)
