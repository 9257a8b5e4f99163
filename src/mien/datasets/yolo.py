"""Images with boxes in YOLO's format: a text file for each image, a line ``class x y width height`` for each face.

Layout of https://docs.ultralytics.com/datasets/detect/: ``images`` and ``labels`` side by side, above or below the folders
of the splits; center and size of a box are fractions of the image's; ``data.yaml`` names the classes, or ``classes.txt``
does. Copies of AffectNet in this format number the classes alphabetically.
"""

import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.datasets.base import FaceDataset, FaceRecord, RawRow, RejectedRow
from mien.datasets.csv_cells import parse_integer
from mien.datasets.files import list_names, locate, printable
from mien.datasets.labels import LabelNames, class_named, map_labels, order_classes
from mien.datasets.listed import files_below
from mien.datasets.registry import DATASETS
from mien.datasets.splits import assign_split, find_split, require_val_fraction
from mien.errors import DatasetError
from mien.faces.crop_options import CropMethod
from mien.faces.image_files import read_image_file
from mien.faces.images import IMAGE_SUFFIXES, UnreadableImage, open_image
from mien.formats.pack.schema import SPLITS
from mien.runtime.regular_files import read_regular

IMAGES, LABELS = "images", "labels"
NAME_FILES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", f"{LABELS}/classes.txt")
MAX_TEXT_BYTES = 1_000_000
MAX_LIST_BYTES = 1 << 28
N_CELLS = 5


@dataclass(frozen=True, slots=True)
class YoloFaces:
    """Faces in YOLO's format. The key of a row is its image's path under `root`.

    Attributes:
        root: the real path of the set's folder.
        folders: the folders of images under it.
        classes: class names in order.
        label_classes: the class of each number, as written.
        has_splits: the folders or lists say the split.
        val_fraction: fraction of images assigned to ``val`` if they do not.
        listed: the split of each image that a list names, by its path from ``images`` on.
        has_points: a line has keypoints after the box, instead of a polygon in its place.
        notes: see `FaceDataset`.
    """

    root: Path
    folders: tuple[str, ...]
    classes: tuple[str, ...]
    label_classes: dict[str, str]
    has_splits: bool
    val_fraction: float
    listed: dict[str, str] = field(default_factory=dict)
    has_points: bool = False
    notes: tuple[str, ...] = ()
    name: str = field(default="yolo", init=False)
    natural_crop: CropMethod = field(default="box", init=False)

    def rows(self) -> Iterator[RawRow]:
        """Yield a row for each line of each image's text file, and one for an image without any."""
        for split in SPLITS:
            for number, (file, line, problem) in enumerate(_read_lines(self.root, self.folders), start=1):
                actual = (
                    _split_of(file, self.listed) if self.has_splits else assign_split(file, self.val_fraction)
                )
                if actual == split:
                    fields = {"file": file, "line": line, "problem": problem}
                    yield RawRow(split=split, number=number, key=printable(file), fields=fields)

    def class_of(self, row: RawRow) -> str:
        """Return the class of the line's number, or ``"?"``."""
        return self.label_classes.get(row.fields["line"].partition(" ")[0], "?")

    def parse(self, row: RawRow) -> FaceRecord:
        """Return the row's face; a box that is none is dropped with a warning."""
        reason, _, detail = row.fields["problem"].partition(": ")
        if reason:
            raise RejectedRow(reason, detail)
        label, *box = row.fields["line"].split(" ")
        class_name = self.class_of(row)
        if self.has_points:
            box = box[: N_CELLS - 1]
        elif len(box) > N_CELLS and len(box) % 2 == 0:
            box = _enclose(box)
        if len(box) != N_CELLS - 1:
            raise RejectedRow("malformed_row", f"a line has {len(box) + 1} numbers instead of {N_CELLS}")
        if class_name == "?":
            raise RejectedRow("unknown_label", f"the class {label[:40]!r} has no name")
        image = locate(self.root, row.fields["file"])
        box_xyxy = _to_pixels(box, image)
        return FaceRecord(
            image=image,
            label=self.classes.index(class_name),
            box_xyxy=box_xyxy,
            warnings=("box_value",) if box_xyxy is None else (),
        )


def _enclose(polygon: list[str]) -> list[str]:
    """Return center and size of the box around a polygon; the polygon itself if it is none."""
    try:
        points = np.array(polygon, np.float64).reshape(-1, 2)
    except ValueError:
        return polygon
    low, high = points.min(axis=0), points.max(axis=0)
    return [str(number) for number in (*((low + high) / 2), *(high - low))]


def _to_pixels(cells: list[str], image: Path) -> NDArray[np.float64] | None:
    """Return center and size in fractions of an image as ``(4,)`` xyxy in pixels, or None if they are no box."""
    try:
        x, y, width, height = map(float, cells)
    except ValueError:
        return None
    if not (0 <= x <= 1 and 0 <= y <= 1 and 0 < width <= 1 and 0 < height <= 1):
        return None
    try:
        size_wh = open_image(read_image_file(image)).size_wh
    except UnreadableImage as error:
        raise RejectedRow(error.reason, error.detail) from None
    corners = np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
    return corners * np.array([*size_wh, *size_wh], np.float64)


def open_yolo(raw: Path, *, val_fraction: float = 0.1, label_names: LabelNames | None = None) -> FaceDataset:
    """Open a set in YOLO's format.

    Args:
        raw: the folder.
        val_fraction: fraction of images assigned to ``val`` if the folders do not say the split.
        label_names: the class of each number, see `map_labels`; None for those of `NAME_FILES`.

    Raises:
        DatasetError: the layout is another one, the numbers are not explained, or only some images have a split.
    """
    require_val_fraction(val_fraction)
    root = raw.resolve()
    folders = tuple(folder for folder in _image_folders(root) if (root / _to_labels(folder)).is_dir())
    if not folders:
        raise DatasetError(
            f"`{raw}` must hold {DATASETS['yolo'].layout}, it holds none: give the folder above them"
        )
    counts: Counter[str] = Counter()
    splits: Counter[str] = Counter()
    description = read_description(root)
    listed = _read_split_lists(root, description)
    for file, line, problem in _read_lines(root, folders):
        splits[_split_of(file, listed)] += 1
        if not problem:
            counts[line.partition(" ")[0]] += 1
    if splits[""] and len(splits) > 1:
        raise DatasetError(
            f"`{raw}` must say the split of every image or of none, {splits['']:,} of {splits.total():,} are in no folder "
            "named like a split, and in no list of one: move them, or list them"
        )
    named, notes = read_class_names(root)
    numbers = {number: name for number, name in named or () if parse_integer(name) is not None}
    if len(numbers) == len(named or ()):  # numbers in place of names, by which the classes are known
        labels = Counter({numbers.get(label, label): count for label, count in counts.items()})
        label_classes, label_notes = map_labels(
            labels, label_names, where=f"`{raw}`, which has no `{NAME_FILES[0]}` with their names,"
        )
        label_classes = {
            n: label_classes[name] for n in counts if (name := numbers.get(n, n)) in label_classes
        }
    else:
        _require_named_from_0(raw, counts, named or (), is_stated=label_names is not None)
        label_classes, label_notes = map_labels(counts, label_names or named, where=f"`{raw}`")
    notes = () if label_names else notes
    if not label_classes:
        raise DatasetError(f"`{raw}` must have faces of a class that has a name, it has none")
    return YoloFaces(
        root=root,
        folders=folders,
        classes=order_classes(set(label_classes.values())),
        label_classes=label_classes,
        has_splits=not splits[""],
        val_fraction=val_fraction,
        listed=listed,
        has_points="kpt_shape" in description,
        notes=(*label_notes, *notes),
    )


def _require_named_from_0(raw: Path, counts: Counter[str], named: LabelNames, *, is_stated: bool) -> None:
    """Refuse numbers from 1 for names from 0, of which only the last would lack a name.

    Raises:
        DatasetError: there is no 0, and a number without a name; the message shifts the names.
    """
    numbers = [number for number, _ in named]
    if not is_stated and "0" in numbers and "0" not in counts and not counts.keys() <= {*numbers}:
        shifted = ",".join(f"{int(number) + 1}={name}" for number, name in named if number.isdecimal())
        raise DatasetError(
            f"The classes of `{raw}` are numbered from {min(counts)} to {max(counts)}, but their names from 0 to {len(named) - 1}: "
            f"if 1 is the first name, add --label-names {shlex.quote(shifted)}; otherwise correct the names"
        )


def _image_folders(root: Path) -> list[str]:
    """Return the folders named ``images`` under ``root``, outermost only."""
    found, pending = [], [""]
    while pending:
        folder = pending.pop()
        for name in list_names(root / folder):
            path = f"{folder}/{name}" if folder else name
            if name.lower() == IMAGES and (root / path).is_dir():
                found.append(path)
            elif path.count("/") < 2 and (root / path).is_dir():
                pending.append(path)
    return sorted(found)


def _to_labels(path: str) -> str:
    """Return the path with its last folder ``images`` replaced by ``labels``."""
    parts = path.split("/")
    last = max(index for index, part in enumerate(parts) if part.lower() == IMAGES)
    return "/".join([*parts[:last], LABELS, *parts[last + 1 :]])


def read_class_names(root: Path) -> tuple[LabelNames | None, tuple[str, ...]]:
    """Return the class names by number from the first of `NAME_FILES` that has any, and a note on it.

    Raises:
        DatasetError: the file cannot be read.
    """
    for file in NAME_FILES:
        path = root / file
        if not path.is_file():
            continue
        names = _read_text(path).splitlines() if path.suffix == ".txt" else _parse_yaml(path).get("names")
        if isinstance(names, list):
            names = dict(enumerate(names))
        if isinstance(names, dict) and names:
            if nested := [name for name in names.values() if isinstance(name, dict | list)]:
                raise DatasetError(f"`{path}`: a class must have one name, got {nested[0]!r:.80}")
            named = tuple(
                (str(number), str(name).strip()) for number, name in names.items() if str(name).strip()
            )
            canonical = tuple((number, class_named(name)) for number, name in named)
            return canonical, (f"The names of the classes are those of `{file}`.",)
    return None, ()


def read_description(root: Path) -> dict[str, Any]:
    """Return the content of the set's YAML file, empty if there is none.

    Raises:
        DatasetError: the file cannot be read.
    """
    files = (root / file for file in NAME_FILES if file.endswith(("yaml", "yml")))
    return next((_parse_yaml(path) for path in files if path.is_file()), {})


def _read_text(path: Path) -> str:
    try:
        return read_regular(path, max_bytes=MAX_LIST_BYTES).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DatasetError(f"`{path}` cannot be read: {reason}") from None


def _parse_yaml(path: Path) -> dict[str, Any]:
    import yaml  # noqa: PLC0415 - only this layout needs it

    from mien.runtime.yaml_text import load_yaml  # noqa: PLC0415

    try:
        content = load_yaml(_read_text(path))
    except (yaml.YAMLError, RecursionError) as error:
        raise DatasetError(f"`{path}` cannot be read: {str(error).splitlines()[0]}") from None
    return content if isinstance(content, dict) else {}


def _read_split_lists(root: Path, description: dict[str, Any]) -> dict[str, str]:
    """Return the split of each image that a list of one names, by its path from the last folder ``images`` on.

    The lists are those that ``train``, ``val`` and ``test`` of the description name, or files of these names.

    Raises:
        DatasetError: a list that is named is missing, or an image is in the lists of two splits.
    """
    listed: dict[str, str] = {}
    for split in SPLITS:
        named = description.get(split) or (f"{split}.txt" if (root / f"{split}.txt").is_file() else [])
        for name in [named] if isinstance(named, str) else named:
            if not str(name).endswith(".txt"):
                continue
            path = root / Path(str(name)).name
            path = path if path.is_file() else root / str(description.get("path") or "") / str(name)
            if not path.is_file() or not path.resolve().is_relative_to(root):
                raise DatasetError(
                    f"`{name}`, the list of {split}, must be in `{root}`, it is not: copy it there"
                )
            for line in filter(None, map(str.strip, _read_text(path).splitlines())):
                key = _from_images(line.replace("\\", "/"))
                if listed.setdefault(key, split) != split:
                    raise DatasetError(
                        f"`{key}` is in the lists of {listed[key]} and {split}: remove it from one of them"
                    )
    return listed


def _from_images(path: str) -> str:
    """Return the path of an image from its last folder ``images`` on."""
    parts = path.removeprefix("./").split("/")
    places = [index for index, part in enumerate(parts) if part.lower() == IMAGES]
    return "/".join(parts[places[-1] :] if places else parts)


def _split_of(file: str, listed: dict[str, str]) -> str:
    """Return the split that lists say, if there are any, or that a folder above an image says; "" if it is unknown."""
    if listed:
        return listed.get(_from_images(file), "")
    return find_split(f"{Path(file).parent.as_posix()}/") or ""


def _read_lines(root: Path, folders: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    """Yield image, line and problem (a reason and a detail, or "") of each face, and of each image without one.

    The numbers of a line are separated by single blanks.
    """
    for folder in folders:
        for name in files_below(root / folder, IMAGE_SUFFIXES):
            image = f"{folder}/{name}"
            text_file = f"{_to_labels(image).rpartition('.')[0]}.txt"
            try:
                text = read_regular(root / text_file, max_bytes=MAX_TEXT_BYTES).decode("utf-8")
            except FileNotFoundError:
                yield image, "", f"missing_annotation: there is no `{text_file}`"
                continue
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                yield image, "", f"broken_annotation: `{text_file}`: {reason}"
                continue
            lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
            if not lines:
                yield image, "", f"missing_annotation: `{text_file}` is empty"
            for line in lines:
                yield image, line, ""
