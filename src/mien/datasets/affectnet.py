"""AffectNet, in each of its releases, recognized by what the folder holds.

- 2017: ``training.csv`` and ``validation.csv`` of full photographs with box, 68 landmarks, one of eleven classes,
  valence and arousal; and ``automatically_annotated.csv`` with the same columns, whose labels a network predicted
  (section 4 of the paper).
- 2021: ``train_set`` and ``val_set`` of 224-pixel face crops with four ``.npy`` files per image and eight classes.
- AffectNet+: ``train_set`` and ``validation_set`` of face crops with a JSON file per image, see
  `mien.datasets.affectnet_plus`.

Mollahosseini, Hasani, Mahoor 2017, https://arxiv.org/abs/1708.03985.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from mien.datasets.affectnet_2021 import SET_FOLDERS, open_affectnet_2021
from mien.datasets.affectnet_plus import find_affectnet_plus, open_affectnet_plus
from mien.datasets.base import FaceDataset, FaceRecord, RawRow, RejectedRow
from mien.datasets.csv_cells import (
    parse_affect_pair,
    parse_box_xywh,
    parse_integer,
    parse_landmarks,
    require_readable,
)
from mien.datasets.csv_files import CsvFile, open_csv_file, read_first_row
from mien.datasets.files import locate, quote_names, real_folders
from mien.datasets.registry import DATASETS, Halves
from mien.errors import DatasetError
from mien.faces.classes import AFFECTNET_CLASSES
from mien.faces.crop_options import CropMethod

LISTS = {"train": "training.csv", "val": "validation.csv"}
LIST_FOLDERS = (".", "Manually_Annotated_file_lists")
IMAGE_FOLDERS = ("Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images")
AUTOMATIC_LIST = "automatically_annotated.csv"
AUTOMATIC_LIST_FOLDERS = (
    ".",
    "Automatically_Annotated_file_lists",
    "Automatically_Annotated",
    "Automatically_Annotated/Automatically_Annotated_file_lists",
)
AUTOMATIC_IMAGE_FOLDERS = (
    "Automatically_Annotated_Images",
    "Automatically_Annotated/Automatically_Annotated_Images",
)

# The columns, in the order of the lists that have no header.
PATH, LANDMARKS, EXPRESSION = "subDirectory_filePath", "facial_landmarks", "expression"
BOX = ("face_x", "face_y", "face_width", "face_height")
COLUMNS = (PATH, *BOX, LANDMARKS, EXPRESSION, "valence", "arousal")


class AnnotatedList(NamedTuple):
    """A list and its images.

    Attributes:
        split: the split of its rows.
        listed: the list.
        image_root: the real path of the folder of its images.
        prefix: what the keys of its rows begin with, before the path under `image_root`.
    """

    split: str
    listed: CsvFile
    image_root: Path
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class AffectNet2017:
    """The 2017 release. The key of a row is its path under ``Manually_Annotated_Images``.

    Rows of the automatic half have keys that begin with ``Automatically_Annotated_Images/``, as both halves number
    their folders from 1.

    Attributes:
        lists: the lists that are read.
        images: real paths of further folders that images, or links among them, may lie in.
        notes: see `FaceDataset`.
        name: ``affectnet-2017``, with ``-automatic`` or ``-both`` if the automatic half is read.
    """

    lists: tuple[AnnotatedList, ...]
    images: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    name: str = "affectnet-2017"
    classes: tuple[str, ...] = field(default=AFFECTNET_CLASSES, init=False)
    natural_crop: CropMethod = field(default="aligned", init=False)

    def rows(self) -> Iterator[RawRow]:
        """Yield the rows of each list, those of ``train`` first."""
        for index, (split, listed, _, prefix) in enumerate(self.lists):
            for number, fields in listed.rows():
                key = prefix + fields.pop(PATH, "")
                yield RawRow(split=split, number=number, key=key, fields=fields | {"list": str(index)})

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
        source = self.lists[int(row.fields["list"])]
        valence, arousal, affect_warnings = parse_affect_pair(row.fields["valence"], row.fields["arousal"])
        return FaceRecord(
            image=locate(source.image_root, row.key.removeprefix(source.prefix), others=self.images),
            label=AFFECTNET_CLASSES.index(class_name),
            box_xyxy=box_xyxy,
            landmarks=landmarks,
            valence=valence,
            arousal=arousal,
            warnings=(*box_warnings, *landmark_warnings, *affect_warnings),
        )


def recognize_affectnet(raw: Path) -> str | None:
    """Return why a folder is AffectNet, or None; see `DatasetKind`."""
    paths = [_find_file(raw, LIST_FOLDERS, name) for name in LISTS.values()]
    paths.append(_find_file(raw, AUTOMATIC_LIST_FOLDERS, AUTOMATIC_LIST))
    lists = [path.name for path in paths if path is not None]
    images = next(
        (name for name in (*IMAGE_FOLDERS, *AUTOMATIC_IMAGE_FOLDERS) if (raw / name).is_dir()), None
    )
    if lists and images:
        return f"it holds {quote_names(lists)} and `{images}/`, as the 2017 release"
    if find_affectnet_plus(raw):
        return "it holds the annotations of AffectNet+"
    sets = [f"{name}/annotations/" for name in SET_FOLDERS.values() if (raw / name / "annotations").is_dir()]
    return f"it holds {quote_names(sets)}, as the 2021 release" if sets else None


def open_affectnet(raw: Path, *, halves: Halves | None = None, images: tuple[Path, ...] = ()) -> FaceDataset:
    """Open the AffectNet release that a folder holds.

    Args:
        raw: the folder.
        halves: which half of the 2017 release is read, or both; None for the manual one if it is there.
        images: further folders of the 2017 release's images, or that links among them lead to.

    Raises:
        DatasetError: it holds no release or several, or a list or folder of it is missing or unusable.
    """
    paths = {split: path for split, name in LISTS.items() if (path := _find_file(raw, LIST_FOLDERS, name))}
    automatic = _find_file(raw, AUTOMATIC_LIST_FOLDERS, AUTOMATIC_LIST)
    plus = find_affectnet_plus(raw)
    has_2021 = not plus and any((raw / folder).is_dir() for folder in SET_FOLDERS.values())
    if (paths or automatic) and (has_2021 or plus):
        raise DatasetError(
            f"`{raw}` must hold one release of AffectNet, it holds both "
            f"`{next(iter([*paths.values(), automatic or raw])).name}` (2017) and `train_set` or `val_set` "
            f"({'2021' if has_2021 else 'AffectNet+'}): move one of them to a separate folder"
        )
    if halves is not None and (has_2021 or plus):
        raise DatasetError(
            f"--halves applies to AffectNet of 2017, `{raw}` holds another release: leave it out"
        )
    if plus:
        return open_affectnet_plus(plus, raw)
    if has_2021:
        return open_affectnet_2021(raw)
    if not paths and not automatic:
        raise DatasetError(
            f"`{raw}` must hold {DATASETS['affectnet'].layout}, it holds none of these: give the folder that does"
        )
    if halves is None:
        halves = "manual" if paths else "automatic"
    for half, is_there, names in (
        ("manual", bool(paths), tuple(LISTS.values())),
        ("automatic", bool(automatic), (AUTOMATIC_LIST,)),
    ):
        if halves in (half, "both") and not is_there:
            raise DatasetError(
                f"--halves {halves} needs {' or '.join(f'`{name}`' for name in names)}, `{raw}` holds none: "
                "give the folder that does, or leave the option out"
            )
    lists, others = [], real_folders(images)
    if halves != "automatic":
        root = _require_images(raw, IMAGE_FOLDERS, others)
        lists = [AnnotatedList(split, _open_2017_list(path), root) for split, path in paths.items()]
    if automatic and halves != "manual":
        root, prefix = _require_images(raw, AUTOMATIC_IMAGE_FOLDERS, others), f"{AUTOMATIC_IMAGE_FOLDERS[0]}/"
        lists.insert(
            1 if "train" in paths else 0, AnnotatedList("train", _open_2017_list(automatic), root, prefix)
        )
    read = {listed.path for _, listed, _, _ in lists}
    notes = [
        f"There is no `{name}`: its split is skipped." for split, name in LISTS.items() if split not in paths
    ]
    if halves != "manual":
        notes.append(f"The labels of `{AUTOMATIC_LIST}` are a network's predictions, not people's.")
    notes += [
        f"`{path.name}` is not read: add --halves both, or --halves {half} for it alone."
        for half, path in [("automatic", automatic), *(("manual", path) for path in paths.values())]
        if path is not None and path not in read
    ]
    return AffectNet2017(
        lists=tuple(lists),
        images=others,
        notes=(*notes, *(note for _, listed, _, _ in lists for note in listed.note_ignored_columns())),
        name="affectnet-2017" if halves == "manual" else f"affectnet-2017-{halves}",
    )


def _find_file(raw: Path, folders: tuple[str, ...], name: str) -> Path | None:
    return next((path for folder in folders if (path := raw / folder / name).is_file()), None)


def _require_images(raw: Path, folders: tuple[str, ...], others: tuple[Path, ...]) -> Path:
    """Return the real path of the first of some folders that is there, or else of the first that was named."""
    found = next((path for path in (*(raw / name for name in folders), *others) if path.is_dir()), None)
    if found is None:
        raise DatasetError(
            f"`{raw}` must hold the images of its lists in `{folders[0]}/`, there is no such folder: unpack them there, or "
            "name the folder that holds them with --images"
        )
    return found.resolve()


def _open_2017_list(path: Path) -> CsvFile:
    """Open a list with or without a header: the original ``validation.csv`` has none."""
    first_row = read_first_row(path)
    if len(first_row) == len(COLUMNS):
        cells = dict(zip(COLUMNS, first_row, strict=True))
        if all(parse_integer(cells[name]) is not None for name in (*BOX, EXPRESSION)):
            columns = {name: index for index, name in enumerate(COLUMNS)}
            return CsvFile(path=path, columns=columns, width=len(COLUMNS))
    return open_csv_file(path, {name: (name,) for name in COLUMNS}, required=COLUMNS)
