"""A CSV of paths and labels, with any further annotations of each face.

Columns are found by name, ignoring case; of several spellings the first one listed here is used:

- ``path``, ``image``, ``file``, ``filename``, ``file_name`` or ``subDirectory_filePath``: relative to the CSV's folder;
- ``label``, ``expression``, ``emotion`` or ``class``: a name, or a number that the caller explains;
- ``split`` (optional, or another that the caller names): train, val or test, in any usual spelling;
- a box in pixels (optional): ``face_x, face_y, face_width, face_height``, or ``x, y, w, h`` (left, top, width,
  height), or ``x0, y0, x1, y1`` (left, top, right, bottom);
- ``facial_landmarks`` or ``landmarks`` (optional): 136 numbers, alternating x and y, separated by ``;``;
- ``valence`` and ``arousal`` (optional): in [-1, 1]; -2 for none;
- ``person``, ``subject``, ``identity``, ``person_id`` or ``subject_id``, and ``clip``, ``video``, ``clip_id`` or
  ``video_id`` (optional, or others that the caller names): faces that stay on one side of a split.

Other columns are listed in the notes. A column that seems to hold the split is an error: faces of a test split must not
be trained on because of the name of a column.
"""

import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from mien.datasets.base import FaceDataset, FaceRecord, RawRow, RejectedRow
from mien.datasets.csv_cells import (
    parse_affect,
    parse_box_xywh,
    parse_box_xyxy,
    parse_landmarks,
    require_readable,
)
from mien.datasets.csv_files import CsvFile, open_csv_file
from mien.datasets.csv_persons import CLIP, PERSON, PERSON_SPELLINGS, ListedPersons, read_persons
from mien.datasets.files import locate, quote_names
from mien.datasets.labels import LabelNames, map_labels, order_classes
from mien.datasets.registry import DATASETS
from mien.datasets.splits import (
    assign_split,
    find_split,
    is_split_column,
    parse_split,
    require_val_fraction,
)
from mien.errors import DatasetError
from mien.faces.crop_options import CropMethod
from mien.formats.pack.schema import SPLITS

PATH, LABEL, SPLIT, LANDMARKS, VALENCE, AROUSAL = "path", "label", "split", "landmarks", "valence", "arousal"
SPELLINGS = {
    PATH: ("path", "image", "file", "filename", "file_name", "subDirectory_filePath"),
    LABEL: ("label", "expression", "emotion", "class"),
    SPLIT: ("split",),
    LANDMARKS: ("facial_landmarks", "landmarks"),
    VALENCE: ("valence",),
    AROUSAL: ("arousal",),
}
BOXES_XYWH = (("face_x", "face_y", "face_width", "face_height"), ("x", "y", "w", "h"))
BOX_XYXY = ("x0", "y0", "x1", "y1")

# Instead of a column's name: the list has no split, person or clip.
NO_SPLIT = "none"

# A column with more distinct values than this does not hold classes.
MAX_LABELS = 1000


@dataclass(frozen=True, slots=True)
class CsvDataset:
    """A CSV of faces. The key of a row is its path as written in the CSV.

    Attributes:
        root: the real path of the CSV's folder.
        table: the CSV.
        classes: class names in order.
        label_classes: the class of each label as written.
        box_columns: the four columns of the box, or none.
        val_fraction: fraction of faces assigned to ``val`` if there is no ``split`` column.
        persons: how persons and clips are read.
        natural_crop: ``aligned`` with landmarks, otherwise ``box`` with boxes, otherwise ``whole``.
        notes: see `FaceDataset`.
    """

    root: Path
    table: CsvFile
    classes: tuple[str, ...]
    label_classes: dict[str, str]
    box_columns: tuple[str, ...]
    val_fraction: float
    persons: ListedPersons
    natural_crop: CropMethod
    notes: tuple[str, ...] = ()
    name: str = field(default="csv", init=False)

    def rows(self) -> Iterator[RawRow]:
        """Yield the rows of each split; rows of an unknown split come with ``train``, to be rejected."""
        has_splits = SPLIT in self.table.columns
        for split in SPLITS if has_splits else ("train", "val"):
            for number, fields in self.table.rows():
                key = fields.get(PATH, "")
                if has_splits:
                    actual = find_split(fields.get(SPLIT, "")) or "train"
                elif any(names := self.persons.names(fields)):
                    actual = "val" if names in self.persons.val else "train"
                else:
                    actual = assign_split(key, self.val_fraction)
                if actual == split:
                    yield RawRow(split=split, number=number, key=key, fields=fields)

    def class_of(self, row: RawRow) -> str:
        """Return the class of the row's label, or ``"?"``."""
        return self.label_classes.get(row.fields.get(LABEL, "").strip(), "?")

    def parse(self, row: RawRow) -> FaceRecord:
        """Return the row's face; a box or landmarks that cannot be parsed are dropped with a warning."""
        require_readable(row.fields)
        if SPLIT in row.fields and find_split(row.fields[SPLIT]) is None:
            raise RejectedRow("unknown_split", f"split {row.fields[SPLIT]!r} is none of {', '.join(SPLITS)}")
        class_name = self.class_of(row)
        if class_name == "?":
            raise RejectedRow(
                "unknown_label", f"label {row.fields[LABEL]!r} is none of {', '.join(self.classes[:12])}"
            )
        parse_box = parse_box_xyxy if self.box_columns == BOX_XYXY else parse_box_xywh
        box_xyxy, box_warnings = parse_box(tuple(row.fields[name] for name in self.box_columns))
        landmarks, landmark_warnings = parse_landmarks(row.fields.get(LANDMARKS, ""))
        person, clip = self.persons.names(row.fields)
        return FaceRecord(
            image=locate(self.root, row.key),
            label=self.classes.index(class_name),
            box_xyxy=box_xyxy,
            landmarks=landmarks,
            valence=parse_affect(row.fields.get(VALENCE, "")),
            arousal=parse_affect(row.fields.get(AROUSAL, "")),
            warnings=(*box_warnings, *landmark_warnings),
            person=person or None,
            clip=clip or None,
        )


def open_csv(
    raw: Path,
    *,
    val_fraction: float = 0.1,
    label_names: LabelNames | None = None,
    split_column: str | None = None,
    person_column: str | None = None,
    clip_column: str | None = None,
) -> FaceDataset:
    """Open a CSV of paths and labels. Its labels are read once, see `map_labels`.

    Args:
        raw: the CSV, or a folder with exactly one. The module describes its columns.
        val_fraction: fraction of faces assigned to ``val`` if there is no ``split`` column; 0 for none. The assignment
            depends on their paths alone.
        label_names: the class of each label, see `map_labels`.
        split_column: the column with the split if it is not ``split``, holding words, or paths that contain one;
            `NO_SPLIT` if there is none.
        person_column: the column with the person if it has another name; `NO_SPLIT` if there is none.
        clip_column: the column with the clip, in the same way.

    Raises:
        DatasetError: there is no such file, its columns or text are not as required, it has no labels, its labels are
            unexplained numbers, or an unnamed column seems to hold the split.
    """
    require_val_fraction(val_fraction)
    path = raw
    if not raw.is_file():
        found = sorted(file for file in raw.glob("*") if file.suffix.lower() == ".csv" and file.is_file())
        if len(found) != 1:
            names = quote_names([file.name for file in found], limit=5) or "none"
            raise DatasetError(
                f"`{raw}` must be {DATASETS['csv'].layout}, it holds {names}: give the path of the CSV file"
            )
        path = found[0]
    box_spellings = {name: (name,) for names in (*BOXES_XYWH, BOX_XYXY) for name in names}
    spellings = SPELLINGS | PERSON_SPELLINGS | box_spellings
    required: tuple[str, ...] = (PATH, LABEL)
    if split_column == NO_SPLIT:
        del spellings[SPLIT]
    elif split_column is not None:
        spellings[SPLIT], required = (split_column,), (PATH, LABEL, SPLIT)
    for name, column in ((PERSON, person_column), (CLIP, clip_column)):
        if column == NO_SPLIT:
            del spellings[name]
        elif column is not None:
            spellings[name], required = (column,), (*required, name)
    table = open_csv_file(path, spellings, required=required)
    boxes = [names for names in (*BOXES_XYWH, BOX_XYXY) if all(name in table.columns for name in names)]
    box_columns = boxes[0] if boxes else ()
    if split_column is None and SPLIT not in table.columns:
        _require_no_split(table)
    label_classes, notes = map_labels(_count_labels(table), label_names, where=f"`{path}`")
    if not label_classes:
        raise DatasetError(f"`{path}` must have rows with a label, it has none: fill in its label column")
    persons = read_persons([table], has_splits=SPLIT in table.columns, val_fraction=val_fraction)
    unused_boxes = tuple(name for name in box_spellings if name not in box_columns)
    return CsvDataset(
        root=path.resolve().parent,
        table=table,
        classes=order_classes(set(label_classes.values())),
        label_classes=label_classes,
        box_columns=box_columns,
        val_fraction=val_fraction,
        natural_crop="aligned" if LANDMARKS in table.columns else "box" if boxes else "whole",
        notes=(*notes, *persons.notes, *table.note_ignored_columns(without=unused_boxes)),
        persons=persons,
    )


def _require_no_split(table: CsvFile) -> None:
    """Refuse a CSV with a column that seems to hold the split, by its name or because most of its cells name a split.

    Words in the paths count only if they distinguish several splits.
    """
    by_index = replace(table, columns={str(index): index for index in range(table.width)})
    parsers = dict.fromkeys(by_index.columns, parse_split) | {str(table.columns[PATH]): find_split}
    counts = {index: Counter[str]() for index in parsers}
    n_rows = 0
    for _, fields in by_index.rows():
        n_rows += 1
        for index, parse in parsers.items():
            if (cell := fields.get(index, "")) and len(cell) < 1000 and (split := parse(cell)):
                counts[index][split] += 1
    used = {str(index) for name, index in table.columns.items() if name != PATH}
    for index, found in counts.items():
        column = table.header[int(index)]
        is_path = parsers[index] is find_split
        is_split = 2 * found.total() > n_rows and (len(found) > 1 or not is_path)
        if index not in used and (is_split or (not is_path and is_split_column(column))):
            shown = ", ".join(f"{split} {found[split]:,}" for split in SPLITS if found[split])
            raise DatasetError(
                f"`{table.path}` has no column `split`, but `{column}` seems to hold the split "
                f"({shown or 'by its name'}): add --split-column {shlex.quote(column)} to use it, or "
                f"--split-column {NO_SPLIT} if it is not one, which draws val from all rows"
            )


def _count_labels(table: CsvFile) -> Counter[str]:
    counts: Counter[str] = Counter()
    for _, fields in table.rows():
        if label := fields.get(LABEL, "").strip():
            counts[label] += 1
        if len(counts) > MAX_LABELS:
            raise DatasetError(
                f"`{table.path}` must have a label column of classes, it has over {MAX_LABELS:,} different "
                "labels: rename the columns so that `label` is the class"
            )
    return counts
