"""What the rows of a list hold, found in one pass before any of them is parsed: labels, splits, scales, repeated faces."""

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable

import numpy as np

from mien.datasets.column_names import AROUSAL, BOX, LABEL, PATH, SPLIT, VALENCE, VOTES
from mien.datasets.csv_cells import parse_box, parse_number
from mien.datasets.csv_files import CsvFile
from mien.datasets.list_options import BoxFormat
from mien.datasets.splits import find_split, parse_last_split
from mien.errors import DatasetError
from mien.faces.classes import MISSING_VALUES

# A column with more distinct values than this does not hold classes.
MAX_LABELS = 1000
# More first folders of paths than this are not compared with those on disk.
MAX_FOLDERS = 10_000


def face_digest(fields: dict[str, str]) -> int:
    """Return 64 bits that identify the face of a row: its image and its box, as they are written."""
    path = fields.get(PATH, "").strip().replace("\\", "/").removeprefix("./")
    text = "\0".join((path, *(fields.get(name, "").strip() for name in BOX)))
    return int.from_bytes(
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big"
    )


class Survey:
    """What the rows of all lists of a set hold.

    Memory grows by 10 bytes a row, for the search for repeated faces.

    Attributes:
        n_rows: number of rows.
        labels: number of rows with each label as written, without surrounding blanks.
        splits: by column index, how often its cells name each split; a path counts by its folders.
        affect: smallest and largest number, and number of numbers, of valence and arousal.
        outside: how often valence and arousal have each number outside of -1 to 1.
        negative: those of valence and arousal that have a negative number other than -1.
        largest_box: largest number in a box, None if there is none.
        split_values: number of rows with each value of the column of splits, as far as there are few.
        has_votes: the columns of votes hold other numbers than a single 1 in a row.
        folders: the first folder of each path, up to `MAX_FOLDERS`.
        problems: number of rows that cannot be read, by the reason.
    """

    def __init__(self, tables: Iterable[CsvFile]) -> None:
        """Read all rows.

        Raises:
            DatasetError: a list cannot be read to its end, or has over `MAX_LABELS` labels.
        """
        self.n_rows = 0
        self.labels: Counter[str] = Counter()
        self.splits: dict[int, Counter[str]] = {}
        self.affect: dict[str, tuple[float, float, int]] = {}
        self.outside: dict[str, Counter[float]] = {}
        self.negative: set[str] = set()
        self.largest_box: float | None = None
        self.split_values: Counter[str] = Counter()
        self.has_votes = False
        self.folders: set[str] = set()
        self.problems: Counter[str] = Counter()
        self._digests, self._labels = array("Q"), array("H")
        self._label_numbers: dict[str, int] = {}
        for table in tables:
            self._read(table)

    def repeated_faces(self, label_classes: dict[str, str]) -> tuple[dict[int, str], int]:
        """Return the digests of faces that are in several rows, and the number of rows with contradicting classes.

        Each digest comes with the classes of the face, joined by commas; "" if all of its rows have the same class.
        """
        digests = np.frombuffer(self._digests, np.uint64)
        unique, counts = np.unique(digests, return_counts=True)
        repeated = dict(zip(unique[counts > 1].tolist(), counts[counts > 1].tolist(), strict=True))
        found: dict[int, set[str]] = {digest: set() for digest in repeated}
        names = list(self._label_numbers)
        for index in np.flatnonzero(np.isin(digests, unique[counts > 1])):
            if (name := label_classes.get(names[self._labels[index]])) is not None:
                found[int(digests[index])].add(name)
        contradicting = {
            digest: ", ".join(sorted(classes)) if len(classes) > 1 else ""
            for digest, classes in found.items()
        }
        return contradicting, sum(repeated[digest] for digest, classes in contradicting.items() if classes)

    def _read(self, table: CsvFile) -> None:
        path_index = table.columns[PATH]
        # Only in a list without a known column of splits, since they take half of the time.
        others = [] if SPLIT in table.columns else [n for n in range(table.width) if n != path_index]
        box = [name for name in BOX if name in table.columns]
        for _, cells in table.cells():
            self.n_rows += 1
            if isinstance(cells, str):
                self.problems[cells] += 1
                continue
            fields = table.fields_of(cells)
            named = [
                (index, parse_last_split(cells[index])) for index in others if 0 < len(cells[index]) < 100
            ]
            named += [(path_index, find_split(fields[PATH]))] if others else []
            for index, split in named:
                if split is not None:
                    self.splits.setdefault(index, Counter())[split] += 1
            if SPLIT in fields and len(self.split_values) < MAX_LABELS:
                self.split_values[fields[SPLIT].strip()] += 1
            label = fields[LABEL].strip()
            if label and VOTES in fields:
                self.has_votes |= sorted(fields[VOTES].split(","))[-2:] != ["0", "1"]
            self._digests.append(face_digest(fields))
            self._labels.append(self._label_numbers.setdefault(label, len(self._label_numbers)))
            self.labels.update([label] if label else [])
            if len(self.labels) > MAX_LABELS:
                raise DatasetError(
                    f"`{table.path}` must have a label column of classes, it has over {MAX_LABELS:,} different "
                    "labels: name the column of the class with --label-column"
                )
            for name in (VALENCE, AROUSAL):
                if name in fields:
                    self.add_number(name, fields[name])
            written = tuple(fields[name] for name in box)
            found = parse_box(written, "xyxy")[0] if box else None
            found = parse_box(written, "xywh")[0] if box and found is None else found
            if found is not None:
                self.largest_box = max(self.largest_box or 0.0, float(found.max()))
            folder, slash, _ = fields[PATH].strip().replace("\\", "/").removeprefix("./").partition("/")
            if slash and len(self.folders) < MAX_FOLDERS:
                self.folders.add(folder)

    def add_number(self, name: str, cell: str) -> None:
        """Add a cell of valence or arousal, by its name."""
        value = parse_number(cell)
        if cell.strip() in MISSING_VALUES or value == -2 or not abs(value) < 1e9:
            return
        low, high, count = self.affect.get(name, (value, value, 0))
        self.affect[name] = (min(low, value), max(high, value), count + 1)
        if value < 0 and value != -1:
            self.negative.add(name)
        if not -1 <= value <= 1:
            self.outside.setdefault(name, Counter())[value] += 1


def check_scales(
    survey: Survey, *, where: str, affect_range: tuple[float, float] | None, box_format: BoxFormat | None
) -> None:
    """Refuse valence and arousal, and boxes, on another scale than the one that is assumed, unless an option states it.

    Raises:
        DatasetError: over 5% of the numbers of valence or arousal lie outside of [-1, 1], or none of them is negative in 20
            rows or more, or none but -1, a usual mark for none; or all boxes lie within a single pixel.
    """
    for name, (low, high, count) in survey.affect.items() if affect_range is None else ():
        outside = survey.outside.get(name, Counter[float]())
        is_outside = outside.total() > 0.05 * count
        if is_outside or (count >= 20 and name not in survey.negative):
            lowest = low if is_outside else max(low, 0.0)
            side = next((end for end in (5, 10, 50, 100) if max(-lowest, high) <= end), 1000)
            scales = ((0, 1), (1, 5), (1, 7), (1, 9), (0, 10), (0, 100), (0, 1000))
            begin, end = next(
                (scale for scale in scales if scale[0] <= lowest and high <= scale[1]), (-side, side)
            )
            # A few numbers far from all others, such as -5 and -10, may stand for none.
            is_few = len(outside) <= 3 and outside.total() < count
            marks = (
                f"if {' and '.join(f'{value:g}' for value in outside)} mean none"
                if is_outside and is_few
                else ""
            )
            why = (
                "none of which is negative, or none but -1, so the scale may be 0 to 1"
                if not is_outside
                else "outside of -1 to 1"
            )
            raise DatasetError(
                f"The {name} of {where} must be on a scale of -1 to 1, it ranges from {low:g} to {high:g}, {why}: add "
                f"--affect-range with the ends of the scale, such as --affect-range={begin}..{end}"
                + (
                    f"; or --affect-range=-1..1 {marks}"
                    if marks
                    else ""
                    if is_outside
                    else ", or --affect-range=-1..1"
                )
            )
    largest = survey.largest_box or 0
    if box_format is not None and "-" not in box_format and 0 < largest <= 2:
        raise DatasetError(
            f"The boxes of {where} must be in pixels, but no number in them is larger than {largest:g}: add "
            f"--box-format relative-{box_format} if they are fractions of the image's size, or --box-columns none"
        )
