"""A list next to class folders: which label an image has where the two contradict each other.

Kaggle's 96-pixel copy of AffectNet (noamsegal/affectnet-training-data) has class folders by AffectNet's own labels and a
``labels.csv`` (``pth,label,relFCs``) by a network's; copies of other sets were relabeled in one of the two places. Which one
is meant, only the user knows.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from mien.datasets.base import FaceRecord, RawRow, RejectedRow
from mien.datasets.column_names import LABEL, PATH, SPELLINGS
from mien.datasets.csv_cells import parse_integer
from mien.datasets.csv_files import CsvFile, open_csv_file
from mien.datasets.files import list_names, quote_names
from mien.datasets.image_folder import ImageFolder
from mien.datasets.labels import LabelNames, map_labels, order_classes
from mien.errors import DatasetError
from mien.faces.crop_options import CropMethod

# The value of --labels-from for the class folders.
FROM_FOLDERS = "folders"
_COLUMNS = {name: SPELLINGS[name] for name in (PATH, LABEL)}


@dataclass(frozen=True, slots=True)
class RelabeledFolder:
    """Images of class folders with the labels of a list. Keys and splits are those of the folders.

    Attributes:
        folder: the class folders.
        table: the list.
        classes: class names in order.
        label_classes: the class of each label as written in the list.
        notes: see `FaceDataset`.
    """

    folder: ImageFolder
    table: CsvFile
    classes: tuple[str, ...]
    label_classes: dict[str, str]
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """That of the folders."""
        return self.folder.name

    @property
    def natural_crop(self) -> CropMethod:
        """That of the folders."""
        return self.folder.natural_crop

    def rows(self) -> Iterator[RawRow]:
        """Yield the images of the class folders, each with its label in the list."""
        labels = _read_labels(self.table)
        for row in self.folder.rows():
            yield row._replace(fields=row.fields | {LABEL: _find(labels, row.key) or ""})

    def class_of(self, row: RawRow) -> str:
        """Return the class of the image's label in the list, or ``"?"``."""
        return self.label_classes.get(row.fields[LABEL], "?")

    def parse(self, row: RawRow) -> FaceRecord:
        """Return the image as a face of its class in the list."""
        class_name = self.class_of(row)
        if class_name == "?":
            label = row.fields[LABEL]
            if not label:
                raise RejectedRow("missing_annotation", f"the image is not in `{self.table.path.name}`")
            raise RejectedRow("unknown_label", f"label {label!r} in `{self.table.path.name}` has no class")
        return replace(self.folder.parse(row), label=self.classes.index(class_name))


def choose_labels(
    folder: ImageFolder, labels_from: str | None, label_names: LabelNames | None
) -> ImageFolder | RelabeledFolder:
    """Return class folders with the labels that were asked for.

    Args:
        folder: the class folders.
        labels_from: `FROM_FOLDERS`, or the name of a list in their folder; None if nothing was asked for.
        label_names: the class of each folder, and of each label in the list if these are numbers.

    Raises:
        DatasetError: a list contradicts the folders and nothing was asked for, or there is no such list.
    """
    tables = list(_find_tables(folder.raw))
    if labels_from not in (None, FROM_FOLDERS):
        table = next((table for table in tables if table.path.name == labels_from), None)
        if table is None:
            raise DatasetError(
                f"--labels-from must be {FROM_FOLDERS} or a CSV of paths and labels in `{folder.raw}`: "
                f"{quote_names([table.path.name for table in tables]) or 'there is none'}; got {labels_from!r}"
            )
        return _relabel(folder, table, label_names)
    notes = []
    for table in tables:
        agreement = _compare(folder, table, label_names)
        if labels_from is None and "contradict" in agreement:
            raise DatasetError(
                f"{agreement}: say which is right with --labels-from {FROM_FOLDERS} or --labels-from {table.path.name}"
            )
        notes.append(f"{agreement}.")
    return replace(folder, notes=(*folder.notes, *notes))


def _find_tables(raw: Path) -> Iterator[CsvFile]:
    for name in list_names(raw):
        if name.lower().endswith(".csv") and (raw / name).is_file():
            try:
                yield open_csv_file(raw / name, _COLUMNS, required=(PATH, LABEL))
            except DatasetError:
                continue  # no list of paths and labels; it is noted with the files that are not read


def _read_labels(table: CsvFile) -> dict[str, str]:
    """Return the label of each path in lower case, with ``/``; "" for a path with several."""
    labels: dict[str, str] = {}
    for _, fields in table.rows():
        path, label = fields.get(PATH, "").strip().replace("\\", "/").lower(), fields.get(LABEL, "").strip()
        if path:
            labels[path] = label if labels.get(path, label) == label else ""
    return labels


def _find(labels: dict[str, str], key: str) -> str | None:
    """Return the label of the longest end of an image's path that is listed: lists often leave the split out."""
    parts = key.lower().split("/")
    ends = ("/".join(parts[start:]) for start in range(len(parts)))
    return next((labels[end] for end in ends if end in labels), None)


def _map(
    counts: dict[str, int], label_names: LabelNames | None, where: str
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Map labels as `map_labels` does; the caller's names are those of the folders, and explain numbers in the list too."""
    are_numbers = any(parse_integer(label) is not None for label in counts)
    return map_labels(counts, label_names if are_numbers else None, where=where)


def _compare(folder: ImageFolder, table: CsvFile, label_names: LabelNames | None) -> str:
    """Return, as a sentence without a period, how a list agrees with the folders."""
    labels, name = _read_labels(table), table.path.name
    counts = dict.fromkeys(labels.values(), 1)
    try:
        label_classes, _ = _map(counts, label_names, f"`{name}`")
    except DatasetError:
        return f"`{name}` is not read: its labels are numbers, which it does not explain"
    n_found = n_different = 0
    for row in folder.rows():
        label = _find(labels, row.key)
        n_found += label is not None
        n_different += label is not None and label_classes.get(label or "") != folder.class_of(row)
    if not n_found:
        return f"`{name}` is not read: it lists none of the images in the class folders"
    if not n_different:
        return f"`{name}` agrees with the class folders for all {n_found:,} images that it lists"
    return f"`{name}` and the class folders contradict each other for {n_different:,} of {n_found:,} images"


def _relabel(folder: ImageFolder, table: CsvFile, label_names: LabelNames | None) -> RelabeledFolder:
    labels, name = _read_labels(table), table.path.name
    counts: dict[str, int] = {}
    n_images = n_different = 0
    for row in folder.rows():
        n_images += 1
        label = _find(labels, row.key)
        if label:
            counts[label] = counts.get(label, 0) + 1
    label_classes, notes = _map(counts, label_names, f"`{table.path}`")
    if not label_classes:
        raise DatasetError(
            f"`{table.path}` gives none of the images in `{folder.raw}` a label: check its paths"
        )
    for row in folder.rows():
        label = _find(labels, row.key)
        n_different += bool(label) and label_classes.get(label or "") != folder.class_of(row)
    taken = f"Labels are those of `{name}`: {n_different:,} of {n_images:,} images lie in the folder of another class."
    return RelabeledFolder(
        folder=folder,
        table=table,
        classes=order_classes(set(label_classes.values())),
        label_classes=label_classes,
        notes=(*folder.notes, *notes, taken),
    )
