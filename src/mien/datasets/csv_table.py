"""A list of paths and labels, with any further annotations of each face: a CSV, or text of ``path label`` lines.

`csv_columns` finds the columns by name, or as `ColumnOptions` say:

- the path, relative to the list's folder or to one of the folders of images;
- the label: a name, or a number that the caller explains;
- the split (optional): train, val or test, in any usual spelling;
- a box, 68 landmarks, valence and arousal (optional);
- action units (optional), see `mien.datasets.action_unit_columns`.

Other columns are listed in the notes. What only resembles a column that is read stops the command: faces of a test split
must not be trained on because of the name of a column.
"""

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.datasets.action_unit_columns import decide_kind, parse_units
from mien.datasets.base import FaceDataset, FaceRecord, RawRow, RejectedRow
from mien.datasets.column_names import AROUSAL, BOX, LABEL, LANDMARKS, PATH, POINTS, SPLIT, VALENCE, VOTES
from mien.datasets.csv_cells import parse_affect_pair, parse_box, parse_landmarks, require_readable
from mien.datasets.csv_checks import (
    OpenedList,
    column_name,
    explain_no_label,
    require_alike,
    require_effect,
    require_listed_splits,
    require_no_split,
    require_prefix,
    require_understood,
)
from mien.datasets.csv_columns import open_list, read_columns
from mien.datasets.csv_persons import ListedPersons, read_persons
from mien.datasets.csv_survey import Survey, check_scales, face_digest
from mien.datasets.files import is_list_name, list_names, locate, printable, quote_names, real_folders
from mien.datasets.labels import CLASSES_FILE, LabelNames, map_labels, order_classes, read_class_names
from mien.datasets.list_options import BoxFormat, ColumnOptions, SplitLists
from mien.datasets.list_table import ListTable, without_prefix
from mien.datasets.record_files import RECORD_SUFFIXES
from mien.datasets.registry import DATASETS
from mien.datasets.splits import assign_split, find_split, named_split, require_val_fraction
from mien.errors import DatasetError
from mien.faces.action_units import ActionUnits, is_unit_name
from mien.faces.crop_options import CropMethod
from mien.faces.images import IMAGE_SUFFIXES
from mien.formats.pack.schema import SPLITS
from mien.tasks import Annotations

# The field of a row whose face is in other rows too: their classes, or "" if they are all the same.
REPEATED = "repeated"
# Fewer rows that contradict each other may all be mistakes.
LEAST_CONTRADICTIONS = 8


@dataclass(frozen=True, slots=True)
class CsvDataset:
    """Lists of faces. The key of a row is its path as written.

    Attributes:
        roots: real paths of the folders in which images are looked up: the list's or the set's, then those named by
            --images.
        tables: the lists, each with its split; "" for one list of all splits.
        classes: class names in order.
        label_classes: the class of each label as written.
        path_prefix: the beginning of the paths that is left off, unless the tables do it.
        box_format: what the numbers of the boxes are, None without boxes.
        is_box_stated: an option says so, not only the names of the columns.
        affect_range: the scale of valence and arousal.
        repeated: see `Survey.repeated_faces`.
        val_fraction: fraction of faces assigned to ``val`` if there are no splits.
        natural_crop: ``aligned`` with landmarks, otherwise ``box`` with boxes, otherwise ``whole``.
        notes: see `FaceDataset`.
        persons: how persons and clips are read.
        annotations: the action units, if there are any.
        has_votes: the columns of votes say more than the label.
    """

    roots: tuple[Path, ...]
    tables: tuple[tuple[str, ListTable], ...]
    classes: tuple[str, ...]
    label_classes: dict[str, str]
    path_prefix: str
    box_format: BoxFormat | None
    affect_range: tuple[float, float]
    repeated: dict[int, str]
    val_fraction: float
    natural_crop: CropMethod
    persons: ListedPersons
    notes: tuple[str, ...] = ()
    annotations: Annotations = field(default_factory=dict)
    has_votes: bool = False
    is_box_stated: bool = False
    name: str = "csv"

    def rows(self) -> Iterator[RawRow]:
        """Yield the rows of each split; rows of an unknown split come with ``train``, to be rejected."""
        has_splits = SPLIT in self.tables[0][1].columns or bool(self.tables[0][0])
        for split in SPLITS if has_splits else ("train", "val"):
            seen: set[int] = set()
            for stated, table in self.tables:
                for number, fields in table.rows() if stated in ("", split) else ():
                    key = fields.get(PATH, "")
                    actual = stated
                    if not stated and has_splits:
                        actual = find_split(fields.get(SPLIT, "")) or "train"
                    elif not stated and any(names := self.persons.names(fields)):
                        actual = "val" if names in self.persons.val else "train"
                    elif not stated:
                        actual = assign_split(self._path_in_set(key).replace("\\", "/"), self.val_fraction)
                    if actual == split:
                        # Rows of contradicting classes, and all but the first of a split with the same face.
                        digest = face_digest(fields) if self.repeated and PATH in fields else 0
                        if digest in self.repeated:
                            if self.repeated[digest] or digest in seen:
                                fields[REPEATED] = self.repeated[digest]
                            if self._can_be_repeated(fields):
                                seen.add(digest)
                        yield RawRow(split=split, number=number, key=key, fields=fields)

    def class_of(self, row: RawRow) -> str:
        """Return the class of the row's label, or ``"?"``."""
        return self.label_classes.get(row.fields.get(LABEL, "").strip(), "?")

    def parse(self, row: RawRow) -> FaceRecord:
        """Return the row's face; a box, landmarks or affect that cannot be parsed are dropped with a warning."""
        fields = row.fields
        require_readable(fields)
        if SPLIT in fields and find_split(fields[SPLIT]) is None:
            raise RejectedRow("unknown_split", f"split {fields[SPLIT]!r} is none of {', '.join(SPLITS)}")
        class_name = self.class_of(row)
        if class_name == "?":
            found = (
                f"{fields[VOTES]} have no largest number" if VOTES in fields else f"label {fields[LABEL]!r}"
            )
            raise RejectedRow("unknown_label", f"{found} is none of {', '.join(self.classes[:12])}")
        if REPEATED in fields:
            if fields[REPEATED]:
                raise RejectedRow("contradicting_labels", f"rows with this face are {fields[REPEATED]}")
            raise RejectedRow("duplicate_row", "an earlier row has the same path, box and label")
        cells = tuple(fields[name] for name in BOX if name in fields)
        box_xyxy, box_warnings = parse_box(cells, self.box_format or "xyxy")
        points = fields.get(LANDMARKS) or " ".join(fields[name] for name in POINTS if name in fields)
        landmarks, landmark_warnings = parse_landmarks(points)
        valence, arousal, affect_warnings = parse_affect_pair(
            fields.get(VALENCE, ""), fields.get(AROUSAL, ""), self.affect_range
        )
        person, clip = self.persons.names(fields)
        annotations: dict[str, NDArray[np.float32]] = {}
        unit_warnings: tuple[str, ...] = ()
        if "action_units" in self.annotations:
            annotations["action_units"], unit_warnings = parse_units(fields, self.annotations["action_units"])
        return FaceRecord(
            image=locate(self.roots[0], self._path_in_set(row.key), others=self.roots[1:]),
            label=self.classes.index(class_name),
            distribution=self._distribution(fields[VOTES]) if self.has_votes else None,
            box_xyxy=box_xyxy,
            is_relative_box=self.box_format is not None and "-" in self.box_format,
            landmarks=landmarks,
            valence=valence,
            arousal=arousal,
            person=person or None,
            clip=clip or None,
            annotations=annotations,
            warnings=(*box_warnings, *landmark_warnings, *affect_warnings, *unit_warnings),
        )

    def _can_be_repeated(self, fields: dict[str, str]) -> bool:
        """Return whether a row has a class and a split; without them it is rejected, and another row may be its face's first."""
        has_split = SPLIT not in fields or find_split(fields[SPLIT]) is not None
        return has_split and fields[LABEL].strip() in self.label_classes

    def _path_in_set(self, written: str) -> str:
        """Return a path without what differs between machines: the prefix, and ``./`` in front."""
        return re.sub(r"^(\.[/\\]+)+", "", without_prefix(written, self.path_prefix))

    def _distribution(self, votes: str) -> tuple[float, ...]:
        """Return the fraction of votes for each class."""
        found = dict.fromkeys(self.classes, 0.0)
        for name, number in zip(self.tables[0][1].vote_names, votes.split(","), strict=True):
            if (class_name := self.label_classes.get(name)) is not None:
                found[class_name] += float(number)
        total = sum(found.values())
        return tuple(number / total for number in found.values())


def recognize_csv(raw: Path) -> str | None:
    """Return why a file or folder is a list of images, or None; see `DatasetKind`."""
    try:
        paths = [path for _, path in _find_lists(raw, SplitLists())]
        rows = [row for path in paths for row in read_columns(path, ColumnOptions())[1][:20]]
    except DatasetError:
        return None
    cells = (cell.replace("\\", "/") for row in rows for cell in row)
    if not any(Path(cell).suffix.lower() in IMAGE_SUFFIXES for cell in cells):
        return None
    return f"{quote_names([path.name for path in paths])} lists images"


def open_csv(
    raw: Path,
    *,
    val_fraction: float = 0.1,
    label_names: LabelNames | None = None,
    images: tuple[Path, ...] = (),
    columns: ColumnOptions = ColumnOptions(),
    lists: SplitLists = SplitLists(),
) -> FaceDataset:
    """Open a list of paths and labels. All rows are read once, see `Survey`.

    Args:
        raw: the list, or a folder with exactly one, or with one for each split; with ``lists``, the folder of the images.
        val_fraction: fraction of faces assigned to ``val`` if there are no splits; 0 for none. The assignment depends on
            their paths alone.
        label_names: the class of each label, see `map_labels`.
        images: further folders in which images are looked up, and that links may lead to.
        columns: which column is what.
        lists: the list of each split.

    Raises:
        DatasetError: there is no such list, its columns or text are not as required, it has no labels, its labels are
            unexplained numbers, or a column that is not read looks like one that is, or like the split.
    """
    require_val_fraction(val_fraction)
    opened = [OpenedList(split, *open_list(path, columns)) for split, path in _find_lists(raw, lists)]
    if len(opened) == 1 and not lists and SPLIT in opened[0].table.columns:
        opened = [opened[0]._replace(split="")]
    roots = (raw if raw.is_dir() else raw.parent, *images)
    return read_lists(roots, opened, columns, val_fraction=val_fraction, label_names=label_names)


def read_lists(
    roots: tuple[Path, ...],
    opened: list[OpenedList],
    columns: ColumnOptions,
    *,
    val_fraction: float,
    label_names: LabelNames | None,
    name: str = "csv",
) -> CsvDataset:
    """Return the dataset of lists whose columns are known. All rows are read once, see `Survey`.

    Args:
        roots: the folders in which images are looked up: the set's, then those named by --images.
        opened: the lists.
        columns: the options by which the columns were found.
        val_fraction: see `open_csv`.
        label_names: see `open_csv`.
        name: see `FaceDataset`.

    Raises:
        DatasetError: as for `open_csv`.
    """
    tables = tuple((split, table) for split, table, _ in opened)
    require_alike(opened)
    require_listed_splits(opened)
    _, first, box_format = opened[0]
    survey = Survey(table for _, table in tables)
    where = " and ".join(f"`{table.path}`" for _, table in tables)
    if columns.split_column is None and SPLIT not in first.columns and not tables[0][0]:
        require_no_split(first, survey)
    require_understood(first, survey, where=where)
    require_effect(opened, columns)
    require_prefix(opened, columns.path_prefix)
    check_scales(survey, where=where, affect_range=columns.affect_range, box_format=box_format)
    listed_names = None if label_names else read_class_names(first.path.parent, survey.labels)
    labels = survey.labels + Counter(first.vote_names)  # also classes that no row is of
    label_classes, notes = map_labels(labels, label_names or listed_names, where=where)
    if listed_names:
        notes += (f"Numbers of classes are the lines of `{CLASSES_FILE}`, from 0.",)
    if not label_classes:
        raise explain_no_label(survey, label_names, where=where)
    annotations: Annotations = {}
    if units := {name: first.header[index] for name, index in first.columns.items() if is_unit_name(name)}:
        kind, unit_notes = decide_kind((fields for _, table in tables for _, fields in table.rows()), units)
        notes += unit_notes
        if kind is not None:
            annotations = {"action_units": ActionUnits(tuple(units), kind)}
    has_splits = SPLIT in first.columns or bool(tables[0][0])
    has_landmarks = not {LANDMARKS, POINTS[0]}.isdisjoint(first.columns)
    persons = read_persons([table for _, table in tables], has_splits=has_splits, val_fraction=val_fraction)
    return CsvDataset(
        roots=(roots[0].resolve(), *real_folders(roots[1:])),
        tables=tables,
        classes=order_classes(set(label_classes.values())),
        label_classes=label_classes,
        path_prefix=columns.path_prefix,
        box_format=box_format,
        affect_range=columns.affect_range or (-1.0, 1.0),
        repeated=_find_repeated(first, survey, label_classes),
        val_fraction=val_fraction,
        natural_crop="aligned" if has_landmarks else "box" if box_format else "whole",
        persons=persons,
        annotations=annotations,
        has_votes=survey.has_votes,
        is_box_stated=columns.box_format is not None,
        name=name,
        notes=(
            *notes,
            *persons.notes,
            *dict.fromkeys(_describe_lists(tables, survey)),
            *_note_passed_over(roots, tables, survey),
        ),
    )


def _find_lists(raw: Path, lists: SplitLists) -> list[tuple[str, Path]]:
    """Return the lists of a set, each with its split; "" for one list of all splits."""
    named = {"train": lists.train_list, "val": lists.val_list, "test": lists.test_list}
    given = [(split, path) for split, path in named.items() if path is not None]
    for split, path in given:
        if not path.is_file():
            inside = raw / path
            advice = (
                f"give --{split}-list {shlex.quote(str(inside))}" if inside.is_file() else "give its path"
            )
            raise DatasetError(f"--{split}-list must be a file, there is no `{path}`: {advice}")
    if given and not raw.is_dir():
        raise DatasetError(
            f"With a list for each split, RAW must be the folder of the images, `{raw}` is a file"
        )
    if given:
        return given
    if raw.is_file():
        return [("", raw)]
    files = [
        name
        for name in list_names(raw)
        if is_list_name(name) and name != CLASSES_FILE and (raw / name).is_file()
    ]
    found = [name for name in files if Path(name).suffix.lower() in (".csv", ".tsv")]
    found = found or [name for name in files if Path(name).suffix.lower() in (".txt", ".lst")]
    found = found or [name for name in files if Path(name).suffix.lower() in RECORD_SUFFIXES]
    if len(found) == 1:
        stated = named_split(Path(found[0])) or ""
        return [(stated if stated != "train" else "", raw / found[0])]
    by_split = {find_split(Path(name).stem) or "": raw / name for name in found}
    if found and len(by_split) == len(found) and "" not in by_split:
        return [(split, by_split[split]) for split in SPLITS if split in by_split]
    others = "" if found or not files else f" ({quote_names(files, limit=5)} are no such lists)"
    raise DatasetError(
        f"`{raw}` must be {DATASETS['csv'].layout}, it holds {quote_names(found, limit=5) or 'none'}{others}: give the path "
        "of the list, or the list of each split with --train-list, --val-list and --test-list"
    )


def _find_repeated(table: ListTable, survey: Survey, label_classes: dict[str, str]) -> dict[int, str]:
    """Return the faces that are in several rows, see `Survey.repeated_faces`.

    Raises:
        DatasetError: most rows contradict each other, so that a path does not say which image a row is about.
    """
    found, n_rows = survey.repeated_faces(label_classes)
    if 2 * n_rows > survey.n_rows and n_rows >= LEAST_CONTRADICTIONS:
        column = column_name(table, PATH)
        raise DatasetError(
            f"{n_rows:,} of {survey.n_rows:,} rows of `{table.path}` have the path and box of a row with another label: if "
            f"`{column}` is only a part of the path, put it together, as in --path-column '{{FOLDER}}/{{{column}}}'; if an "
            "image shows several faces, give each row its box"
        )
    return found


def _describe_lists(tables: tuple[tuple[str, ListTable], ...], survey: Survey) -> Iterator[str]:
    """Yield notes on how the lists were understood, and on what in them is not read."""
    if names := tables[0][1].vote_names:
        held = "votes or shares, which are kept" if survey.has_votes else "0 and a single 1"
        yield f"The label is the largest of the columns {', '.join(names)}, which hold {held}."
    if tables[0][0]:
        yield f"Lists: {', '.join(f'`{table.path.name}` is {split}' for split, table in tables)}."
    for _, table in tables:
        if not table.header:
            place = {name: index + 1 for name, index in table.columns.items() if name not in BOX}
            columns = ", ".join(f"{number} is the {name}" for name, number in place.items())
            if box := [str(table.columns[name] + 1) for name in BOX if name in table.columns]:
                columns += f", {'-'.join(box)} the box"
            yield f"`{table.path.name}` has no line of column names: {columns}."
        yield from table.note_ignored_columns()
    for name, (low, high, count) in survey.affect.items():
        yield f"{name}: {count:,} values from {low:g} to {high:g}."


def _note_passed_over(
    roots: tuple[Path, ...], tables: tuple[tuple[str, ListTable], ...], survey: Survey
) -> Iterator[str]:
    """Yield notes on other lists, and on folders that no path of the lists leads to."""
    for root in dict.fromkeys(roots):
        names = list_names(root)
        folders = [name for name in names if (root / name).is_dir()]
        is_read = [
            survey.folders and any(name in survey.folders for name in folders),
            *(t.path.parent == root for _, t in tables),
        ]
        if not any(is_read):
            continue
        read = {CLASSES_FILE, *(table.path.name for _, table in tables)}
        others = [
            printable(name)
            for name in names
            if name not in folders and is_list_name(name) and name not in read
        ]
        if others:
            yield f"Lists in `{root}` that are not read: {quote_names(others)}."
        unused = [printable(name) for name in folders if name not in survey.folders]
        if unused and is_read[0]:
            yield f"Folders in `{root}` that no path leads to: {quote_names(unused)}."
