"""AffectNet, in both of its releases, told apart by what the folder holds.

- 2017: ``training.csv`` and ``validation.csv`` of whole photographs with box, 68 landmarks, one of eleven
  classes, valence and arousal.
- 2021: ``train_set`` and ``val_set`` of 224-pixel face crops with four ``.npy`` files a picture and eight
  classes.

Mollahosseini, Hasani, Mahoor 2017, https://arxiv.org/abs/1708.03985.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mien.errors import DatasetError
from mien.faces.classes import AFFECTNET_CLASSES
from mien.sources.affectnet_2021 import SET_FOLDERS, open_affectnet_2021
from mien.sources.cells import parse_box_xywh, parse_whole_number, require_readable
from mien.sources.files import locate
from mien.sources.lists import CsvList, open_list, read_first_row
from mien.sources.record import FaceRecord, RejectedRow, Row, Source, parse_affect, parse_landmarks

LAYOUT = (
    "`training.csv` and `validation.csv` beside `Manually_Annotated_Images/` (2017), or "
    "`train_set/` and `val_set/` with `images/` and `annotations/` (2021)"
)

LISTS = {"train": "training.csv", "val": "validation.csv"}
LIST_FOLDERS = (".", "Manually_Annotated_file_lists")
IMAGE_FOLDERS = ("Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images")

# The columns in the order of the lists that have no line of names.
PATH, LANDMARKS, EXPRESSION = "subDirectory_filePath", "facial_landmarks", "expression"
BOX = ("face_x", "face_y", "face_width", "face_height")
COLUMNS = (PATH, *BOX, LANDMARKS, EXPRESSION, "valence", "arousal")


@dataclass(frozen=True, slots=True)
class AffectNet2017:
    """The 2017 release. A row's key is its path under `image_root`.

    Attributes:
        image_root: the real path of ``Manually_Annotated_Images``.
        lists: the list of each split that there is.
        notes: see `Source`.
    """

    image_root: Path
    lists: dict[str, CsvList]
    notes: tuple[str, ...] = ()
    name: str = field(default="affectnet-2017", init=False)
    classes: tuple[str, ...] = field(default=AFFECTNET_CLASSES, init=False)
    natural_crop: str = field(default="aligned", init=False)

    def rows(self) -> Iterator[Row]:
        """Yield the rows of ``training.csv``, then of ``validation.csv``."""
        for split, listed in self.lists.items():
            for number, fields in listed.rows():
                yield Row(split=split, number=number, key=fields.pop(PATH, ""), fields=fields)

    def class_of(self, row: Row) -> str:
        """Return the class name that the row's number stands for, or ``"?"``."""
        label = parse_whole_number(row.fields.get(EXPRESSION, ""))
        return AFFECTNET_CLASSES[label] if label is not None and 0 <= label < len(AFFECTNET_CLASSES) else "?"

    def parse(self, row: Row) -> FaceRecord:
        """Return the row's face; box and landmarks that cannot be read are left out with a warning."""
        require_readable(row.fields)
        class_name = self.class_of(row)
        if class_name == "?":
            raise RejectedRow(
                "unknown_label", f"expression {row.fields[EXPRESSION]!r} is no whole number from 0 to 10"
            )
        box_xyxy, box_warnings = parse_box_xywh(tuple(row.fields[name] for name in BOX))
        landmarks, landmark_warnings = parse_landmarks(row.fields[LANDMARKS])
        return FaceRecord(
            image=locate(self.image_root, row.key),
            label=AFFECTNET_CLASSES.index(class_name),
            box_xyxy=box_xyxy,
            landmarks=landmarks,
            valence=parse_affect(row.fields["valence"]),
            arousal=parse_affect(row.fields["arousal"]),
            warnings=(*box_warnings, *landmark_warnings),
        )


def open_affectnet(raw: Path) -> Source:
    """Return the reader of the AffectNet release that a folder holds.

    Raises:
        DatasetError: it holds neither release or both, or a list or folder of it is missing or unusable.
    """
    list_paths = {split: path for split, name in LISTS.items() if (path := _find_list(raw, name))}
    has_2021 = any((raw / folder).is_dir() for folder in SET_FOLDERS.values())
    if list_paths and has_2021:
        raise DatasetError(
            f"`{raw}` must hold one release of AffectNet, it holds both "
            f"`{next(iter(list_paths.values())).name}` (2017) and `train_set` or `val_set` (2021): "
            "move one of them to a folder of its own"
        )
    if has_2021:
        return open_affectnet_2021(raw)
    if list_paths:
        return _open_affectnet_2017(raw, list_paths)
    raise DatasetError(f"`{raw}` must hold {LAYOUT}, it holds none of these: give the folder that does")


def _find_list(raw: Path, name: str) -> Path | None:
    candidates = (raw / folder / name for folder in LIST_FOLDERS)
    return next((path for path in candidates if path.is_file()), None)


def _open_affectnet_2017(raw: Path, list_paths: dict[str, Path]) -> AffectNet2017:
    image_root = next((path for name in IMAGE_FOLDERS if (path := raw / name).is_dir()), None)
    if image_root is None:
        raise DatasetError(
            f"`{raw}` must hold the pictures of its lists in `{IMAGE_FOLDERS[0]}/`, there is no such folder: "
            "unpack them there"
        )
    absent = [name for split, name in LISTS.items() if split not in list_paths]
    lists = {split: _open_2017_list(path) for split, path in list_paths.items()}
    return AffectNet2017(
        image_root=image_root.resolve(),
        lists=lists,
        notes=(
            *(f"There is no `{name}`: its split is left out." for name in absent),
            *(note for listed in lists.values() for note in listed.unread()),
        ),
    )


def _open_2017_list(path: Path) -> CsvList:
    if _is_row(read_first_row(path)):
        return CsvList(
            path=path,
            columns={name: place for place, name in enumerate(COLUMNS)},
            width=len(COLUMNS),
        )
    return open_list(path, {name: (name,) for name in COLUMNS}, required=COLUMNS)


def _is_row(cells: list[str]) -> bool:
    """Whether a list's first line is a row: the original ``validation.csv`` came without column names."""
    if len(cells) != len(COLUMNS):
        return False
    named = dict(zip(COLUMNS, cells, strict=True))
    return all(parse_whole_number(named[name]) is not None for name in (*BOX, EXPRESSION))
