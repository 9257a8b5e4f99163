"""A CSV of paths and labels, with whatever else of a face it has.

Columns are found by name, capitals aside; of several spellings present the first here is taken:

- ``path``, ``image``, ``file``, ``filename`` or ``subDirectory_filePath``: relative to the CSV's folder;
- ``label``, ``expression``, ``emotion`` or ``class``: a name, or a number where the caller says what it stands for;
- ``split`` (optional, or another that the caller names): train, val or test, in any usual spelling;
- a box in pixels (optional): ``face_x, face_y, face_width, face_height``, or ``x, y, w, h`` (left, top, width,
  height), or ``x0, y0, x1, y1`` (left, top, right, bottom);
- ``facial_landmarks`` or ``landmarks`` (optional): 136 numbers, x and y in turn, with ``;`` between them;
- ``valence`` and ``arousal`` (optional): in [-1, 1]; -2 for none.

Other columns are named in the notes. One that seems to hold the split stops the reading: faces of a test split must not be
trained on for the name of a column.
"""

import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from mien.errors import DatasetError
from mien.pack.schema import SPLITS
from mien.sources.cells import parse_box_xywh, parse_box_xyxy, require_readable
from mien.sources.files import locate
from mien.sources.labels import LabelNames, name_labels, order_label_classes
from mien.sources.lists import CsvList, open_list
from mien.sources.record import FaceRecord, RejectedRow, Row, Source, parse_affect, parse_landmarks
from mien.sources.splits import drawn_split, names_a_split, require_val_fraction, split_in, split_named

LAYOUT = "a CSV file with the columns `path` and `label`, or a folder with one such file"

PATH, LABEL, SPLIT, LANDMARKS, VALENCE, AROUSAL = "path", "label", "split", "landmarks", "valence", "arousal"
SPELLINGS = {
    PATH: ("path", "image", "file", "filename", "subDirectory_filePath"),
    LABEL: ("label", "expression", "emotion", "class"),
    SPLIT: ("split",),
    LANDMARKS: ("facial_landmarks", "landmarks"),
    VALENCE: ("valence",),
    AROUSAL: ("arousal",),
}
BOXES_XYWH = (("face_x", "face_y", "face_width", "face_height"), ("x", "y", "w", "h"))
BOX_XYXY = ("x0", "y0", "x1", "y1")

# In place of a column's name: the list has no split.
NO_SPLIT = "none"

# A column with more different values than this is of something else than classes.
MAX_LABELS = 1000


@dataclass(frozen=True, slots=True)
class FaceTable:
    """A CSV of faces. A row's key is its path as the CSV writes it.

    Attributes:
        root: the real path of the CSV's folder.
        table: the CSV.
        classes: class names in order.
        label_classes: the class that each label as written stands for.
        box_columns: the four columns of the box, or none.
        val_fraction: share of faces that go to ``val`` where there is no ``split`` column.
        natural_crop: ``aligned`` with landmarks, else ``box`` with boxes, else ``whole``.
        notes: see `Source`.
    """

    root: Path
    table: CsvList
    classes: tuple[str, ...]
    label_classes: dict[str, str]
    box_columns: tuple[str, ...]
    val_fraction: float
    natural_crop: str
    notes: tuple[str, ...] = ()
    name: str = field(default="csv", init=False)

    def rows(self) -> Iterator[Row]:
        """Yield the rows of each split; those of no known split come with ``train``, to be rejected."""
        for split in SPLITS if SPLIT in self.table.columns else ("train", "val"):
            for number, fields in self.table.rows():
                key = fields.get(PATH, "")
                if self._split_of(fields, key) == split:
                    yield Row(split=split, number=number, key=key, fields=fields)

    def class_of(self, row: Row) -> str:
        """Return the class that the row's label stands for, or ``"?"``."""
        return self.label_classes.get(row.fields.get(LABEL, "").strip(), "?")

    def parse(self, row: Row) -> FaceRecord:
        """Return the row's face; box and landmarks that cannot be read are left out with a warning."""
        require_readable(row.fields)
        if SPLIT in row.fields and split_in(row.fields[SPLIT]) is None:
            raise RejectedRow("unknown_split", f"split {row.fields[SPLIT]!r} is none of {', '.join(SPLITS)}")
        class_name = self.class_of(row)
        if class_name == "?":
            raise RejectedRow(
                "unknown_label", f"label {row.fields[LABEL]!r} is none of {', '.join(self.classes[:12])}"
            )
        parse_box = parse_box_xyxy if self.box_columns == BOX_XYXY else parse_box_xywh
        box_xyxy, box_warnings = parse_box(tuple(row.fields[name] for name in self.box_columns))
        landmarks, landmark_warnings = parse_landmarks(row.fields.get(LANDMARKS, ""))
        return FaceRecord(
            image=locate(self.root, row.key),
            label=self.classes.index(class_name),
            box_xyxy=box_xyxy,
            landmarks=landmarks,
            valence=parse_affect(row.fields.get(VALENCE, "")),
            arousal=parse_affect(row.fields.get(AROUSAL, "")),
            warnings=(*box_warnings, *landmark_warnings),
        )

    def _split_of(self, fields: dict[str, str], key: str) -> str:
        if SPLIT in self.table.columns:
            return split_in(fields.get(SPLIT, "")) or "train"
        return drawn_split(key, self.val_fraction)


def open_csv(
    raw: Path,
    *,
    val_fraction: float = 0.1,
    label_names: LabelNames | None = None,
    split_column: str | None = None,
) -> Source:
    """Return the reader of a CSV of paths and labels. Its labels are read once, see `name_labels`.

    Args:
        raw: the CSV, or a folder with exactly one. The module says which columns it may have.
        val_fraction: share of faces that go to ``val`` where there is no ``split`` column; 0 for none. Which
            ones they are depends on their paths alone.
        label_names: the class of each label, see `name_labels`.
        split_column: the column of the split where it is not ``split``: one of words, or of paths with a word in them;
            `NO_SPLIT` where there is none.

    Raises:
        DatasetError: there is no such file, its columns or text are not as needed, it has no labels, its labels are
            numbers that nobody explains, or a column seems to hold the split.
    """
    require_val_fraction(val_fraction)
    path = _find_csv(raw)
    box_spellings = {name: (name,) for names in (*BOXES_XYWH, BOX_XYXY) for name in names}
    spellings = SPELLINGS | box_spellings
    required: tuple[str, ...] = (PATH, LABEL)
    if split_column == NO_SPLIT:
        del spellings[SPLIT]
    elif split_column is not None:
        spellings[SPLIT], required = (split_column,), (PATH, LABEL, SPLIT)
    table = open_list(path, spellings, required=required)
    boxes = [names for names in (*BOXES_XYWH, BOX_XYXY) if all(name in table.columns for name in names)]
    box_columns = boxes[0] if boxes else ()
    if split_column is None and SPLIT not in table.columns:
        _require_no_split(table)
    label_classes, notes = name_labels(_count_labels(table), label_names, where=f"`{path}`")
    if not label_classes:
        raise DatasetError(f"`{path}` must have rows with a label, it has none: fill its label column")
    return FaceTable(
        root=path.resolve().parent,
        table=table,
        classes=order_label_classes(set(label_classes.values())),
        label_classes=label_classes,
        box_columns=box_columns,
        val_fraction=val_fraction,
        natural_crop="aligned" if LANDMARKS in table.columns else "box" if boxes else "whole",
        notes=(
            *notes,
            *table.unread(without=tuple(name for name in box_spellings if name not in box_columns)),
        ),
    )


def _require_no_split(table: CsvList) -> None:
    """Refuse a list of which a column seems to hold the split: by its name, or since most cells are words for one.

    Of the paths, words in them count where they tell splits apart.
    """
    cells = replace(table, columns={str(place): place for place in range(table.width)})
    places = dict.fromkeys(cells.columns, split_named) | {str(table.columns[PATH]): split_in}
    counts = {place: Counter[str]() for place in places}
    n_rows = 0
    for _, fields in cells.rows():
        n_rows += 1
        for place, find_split in places.items():
            if (cell := fields.get(place, "")) and len(cell) < 1000 and (split := find_split(cell)):
                counts[place][split] += 1
    read = {str(place) for name, place in table.columns.items() if name != PATH}
    for place, found in counts.items():
        column = table.header[int(place)]
        is_path = places[place] is split_in
        is_split = 2 * found.total() > n_rows and (len(found) > 1 or not is_path)
        if place not in read and (is_split or (not is_path and names_a_split(column))):
            shown = ", ".join(f"{split} {found[split]:,}" for split in SPLITS if found[split])
            raise DatasetError(
                f"`{table.path}` has no column `split`, but `{column}` seems to hold the split "
                f"({shown or 'by its name'}): add --split-column {shlex.quote(column)} to go by it, or "
                f"--split-column {NO_SPLIT} if it is none, which makes a val of all rows"
            )


def _find_csv(raw: Path) -> Path:
    if raw.is_file():
        return raw
    found = sorted(path for path in raw.glob("*") if path.suffix.lower() == ".csv" and path.is_file())
    if len(found) != 1:
        names = ", ".join(f"`{path.name}`" for path in found[:5]) or "none"
        raise DatasetError(f"`{raw}` must be {LAYOUT}, it holds {names}: give the file itself")
    return found[0]


def _count_labels(table: CsvList) -> Counter[str]:
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
