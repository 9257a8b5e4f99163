"""FER+: FER2013's grayscale faces of 48x48 pixels with the votes of ten annotators for each.

Barsoum, Zhang, Canton Ferrer, Zhang 2016, https://arxiv.org/abs/1608.01041. The majority rule is that of
https://github.com/microsoft/FERPlus (``src/ferplus.py`` at 06447e0), on which its published results are based.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path

from mien.datasets.base import FaceDataset, FaceRecord, RawRow, RejectedRow
from mien.datasets.csv_cells import parse_integer, parse_landmarks, require_readable
from mien.datasets.csv_files import PROBLEM, CsvFile, open_csv_file
from mien.datasets.fer2013 import PIXEL_LISTS, PIXELS, USAGE, USAGES, VOTES_LIST, open_fer2013, parse_pixels
from mien.datasets.files import iterate_names, locate
from mien.datasets.registry import DATASETS, VOTE_RULES, VoteRule
from mien.errors import DatasetError
from mien.faces.classes import EXPRESSIONS_8, canonical_class
from mien.faces.crop_options import CropMethod

LANDMARK_LISTS = ("landmarks68.csv", "landmarks68.csv.gz")

EXPRESSION_COLUMNS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
VOTE_COLUMNS = (*EXPRESSION_COLUMNS, "unknown", "NF")
NAME, LANDMARKS = "Image name", "facial_landmarks"

_EXPRESSION_OF_COLUMN = tuple(EXPRESSIONS_8.index(canonical_class(name) or "") for name in EXPRESSION_COLUMNS)


@dataclass(frozen=True, slots=True)
class FerPlus:
    """FER+. The key of a row is the path of its image under `raw`, even if its pixels come from a CSV.

    Attributes:
        raw: the folder that holds ``fer2013new.csv``.
        rule: ``majority``, the official rule, or ``plurality``; see `label_votes`.
        votes_list: ``fer2013new.csv``.
        usages: FER+'s names of the splits whose images are present.
        pixel_list: the list of pixels, for splits without an image folder.
        landmark_list: the list of landmarks by image name.
        notes: see `FaceDataset`.
    """

    raw: Path
    rule: VoteRule
    votes_list: CsvFile
    usages: tuple[str, ...]
    pixel_list: CsvFile | None = None
    landmark_list: CsvFile | None = None
    notes: tuple[str, ...] = ()
    name: str = field(default="ferplus", init=False)
    classes: tuple[str, ...] = field(default=EXPRESSIONS_8, init=False)
    natural_crop: CropMethod = field(default="whole", init=False)

    def rows(self) -> Iterator[RawRow]:
        """Yield the rows of each split; rows of an unknown split come with the first, to be rejected.

        The landmarks are held in memory as text, about 30 MB: FER+ has a fixed size.
        """
        landmarks: dict[str, str] = {}
        if self.landmark_list is not None:
            listed = (fields for _, fields in self.landmark_list.rows() if PROBLEM not in fields)
            landmarks = {fields[NAME].strip(): fields[LANDMARKS] for fields in listed}
        for usage in self.usages:
            split, folder = USAGES[usage]
            rows = self.votes_list.rows() if _has_images(self.raw / folder) else self._rows_with_pixels()
            for number, fields in rows:
                stated = fields.get(USAGE, "")
                if stated != usage and (stated in USAGES or usage != self.usages[0]):
                    continue
                name = fields.get(NAME, "").strip()
                fields[LANDMARKS] = landmarks.get(name, "")
                yield RawRow(
                    split=split, number=number, key=f"{folder}/{name}" if name else "", fields=fields
                )

    def class_of(self, row: RawRow) -> str:
        """Return the expression with the most votes, or ``"?"`` if it is none of the eight."""
        votes = _parse_votes(row.fields)
        top = None if votes is None else _top_expression(votes)
        return "?" if top is None else EXPRESSIONS_8[top]

    def parse(self, row: RawRow) -> FaceRecord:
        """Return the row's face with its votes as a distribution."""
        require_readable(row.fields)
        if row.fields[USAGE] not in USAGES:
            raise RejectedRow("unknown_split", f"Usage {row.fields[USAGE]!r} is none of {', '.join(USAGES)}")
        if not row.key:
            raise RejectedRow("not_a_face", "FER+ gives the row no image name")
        votes = _parse_votes(row.fields)
        if votes is None:
            raise RejectedRow("malformed_row", "the ten votes must be nonnegative integers")
        label, distribution = label_votes(votes, self.rule)
        landmarks, warnings = parse_landmarks(row.fields[LANDMARKS])
        folder, _, name = row.key.partition("/")
        return FaceRecord(
            image=parse_pixels(row.fields[PIXELS])
            if PIXELS in row.fields
            else locate((self.raw / folder).resolve(), name),
            label=label,
            distribution=distribution,
            landmarks=landmarks,
            is_cropped=True,
            warnings=warnings,
        )

    def _rows_with_pixels(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield the rows of the votes with their pixels from the other list, which has the same rows."""
        pixel_list = self.pixel_list
        if pixel_list is None:
            yield from self.votes_list.rows()
            return
        for voted, with_pixels in zip_longest(self.votes_list.rows(), pixel_list.rows()):
            if voted is None or with_pixels is None:
                raise DatasetError(
                    f"`{pixel_list.path}` must have as many rows as `{VOTES_LIST}`, but "
                    f"`{(VOTES_LIST if voted is None else pixel_list.path.name)}` ends first: download both again"
                )
            (number, fields), (_, pixels) = voted, with_pixels
            if PROBLEM in pixels:
                yield number, {**fields, PROBLEM: f"in `{pixel_list.path.name}`, {pixels[PROBLEM]}"}
                continue
            if fields.get(USAGE, pixels[USAGE]) != pixels[USAGE]:
                raise DatasetError(
                    f"`{pixel_list.path}` must list the same images as `{VOTES_LIST}`, in the same order, but row "
                    f"{number} is {pixels[USAGE]!r} there and {fields[USAGE]!r} here: download both again"
                )
            yield number, {**fields, PIXELS: pixels[PIXELS]}


def label_votes(votes: tuple[int, ...], rule: VoteRule) -> tuple[int, tuple[float, ...]]:
    """Return a face's class, and the fraction of votes for each of the eight expressions.

    Under ``majority`` a single vote for a class does not count, and a class needs more than half of the remaining votes,
    including those for "unknown" and "no face". Under ``plurality`` every vote counts and the class with the most votes
    wins; FER+'s first column breaks ties. The fractions are of the votes that count and are for an expression.

    Args:
        votes: the ten counts in FER+'s order.
        rule: ``majority`` or ``plurality``.

    Returns:
        The index in `EXPRESSIONS_8`, and eight fractions in that order that add up to 1.

    Raises:
        RejectedRow: ``not_a_face`` if "unknown" or "no face" wins, ``no_majority`` if nothing does.

    Example:
        >>> label_votes((5, 0, 0, 3, 1, 0, 0, 0, 1, 0), "majority")
        (0, (0.625, 0.0, 0.375, 0.0, 0.0, 0.0, 0.0, 0.0))
    """
    needed = 0.0
    if rule == "majority":
        votes = tuple(count if count > 1 else 0 for count in votes)
        needed = 0.5 * sum(votes)
    given = [f"{name} {count}" for name, count in zip(VOTE_COLUMNS, votes, strict=True) if count]
    shown = ", ".join(given) or "none"
    if max(votes) <= needed:
        raise RejectedRow("no_majority", f"no class has enough of the votes: {shown}")
    top = _top_expression(votes)
    if top is None:
        raise RejectedRow("not_a_face", f"the annotators chose unknown or no face: {shown}")
    by_class = dict(zip(_EXPRESSION_OF_COLUMN, votes, strict=False))
    total = sum(by_class.values())
    return top, tuple(by_class[index] / total for index in range(len(EXPRESSIONS_8)))


def recognize_ferplus(raw: Path) -> str | None:
    """Return why a folder is FER+, or None; see `DatasetKind`."""
    return f"it holds FER+'s votes, `{VOTES_LIST}`" if (raw / VOTES_LIST).is_file() else None


def open_ferplus(
    raw: Path, *, votes: VoteRule = "majority", landmarks_csv: Path | None = None
) -> FaceDataset:
    """Open a FER+ folder.

    Args:
        raw: the folder that holds ``fer2013new.csv``.
        votes: the rule that turns ten votes into a label, see `label_votes`.
        landmarks_csv: a list with ``Image name`` and ``facial_landmarks`` in pixels of the 48x48 image; None uses
            ``landmarks68.csv`` or ``landmarks68.csv.gz`` in the folder, if there is one.

    Raises:
        DatasetError: a list is missing or unusable, or there are no images.
    """
    if not (raw / VOTES_LIST).is_file() and any((raw / name).is_file() for name in PIXEL_LISTS):
        return _open_without_votes(raw, votes=votes, landmarks_csv=landmarks_csv)
    votes_list = _open_votes_list(raw)
    pixel_path = next((path for name in PIXEL_LISTS if (path := raw / name).is_file()), None)
    if landmarks_csv is None:
        landmarks_csv = next((path for name in LANDMARK_LISTS if (path := raw / name).is_file()), None)
    counts = _count_votes(votes_list)
    usages: list[str] = []
    notes: list[str] = []
    for usage, (split, folder) in USAGES.items():
        if split not in counts:
            continue
        rows, majority, plurality = (f"{counts[split][name]:,}" for name in ("rows", *VOTE_RULES))
        if pixel_path or _has_images(raw / folder):
            usages.append(usage)
            notes.append(
                f"{usage}: {rows} rows, of which majority keeps {majority} and plurality {plurality}."
            )
        else:
            notes.append(
                f"{usage} is skipped ({rows} rows): there is neither `{folder}/` nor `{PIXEL_LISTS[0]}`."
            )
    if not usages:
        raise DatasetError(
            f"`{raw}` must hold {DATASETS['ferplus'].layout}; there are no images for the rows of `{VOTES_LIST}`: "
            "unpack them there"
        )
    pixel_list = landmark_list = None
    if pixel_path is not None:
        pixel_list = open_csv_file(pixel_path, {USAGE: (USAGE,), PIXELS: (PIXELS,)}, required=(USAGE, PIXELS))
    if landmarks_csv is not None:
        notes.append(f"The landmarks are those of `{landmarks_csv.name}`.")
        landmark_list = open_csv_file(
            landmarks_csv, {NAME: (NAME,), LANDMARKS: (LANDMARKS,)}, required=(NAME, LANDMARKS)
        )
    for listed in (votes_list, pixel_list, landmark_list):
        notes += [] if listed is None else listed.note_ignored_columns()
    return FerPlus(
        raw=raw.resolve(),
        rule=votes,
        votes_list=votes_list,
        usages=tuple(usages),
        pixel_list=pixel_list,
        landmark_list=landmark_list,
        notes=tuple(notes),
    )


def _open_without_votes(raw: Path, *, votes: VoteRule, landmarks_csv: Path | None) -> FaceDataset:
    if votes != "majority" or landmarks_csv is not None:
        raise DatasetError(
            f"`{raw}` must hold `{VOTES_LIST}` for --votes and --landmarks, which are for FER+'s labels: copy it there, or "
            "leave both out to read FER2013's own labels"
        )
    dataset = open_fer2013(raw)
    note = f"There is no `{VOTES_LIST}`: the labels are FER2013's own, one for each face, not FER+'s."
    return replace(dataset, notes=(note, *dataset.notes))


def _open_votes_list(raw: Path) -> CsvFile:
    path = raw / VOTES_LIST
    if not path.is_file():
        raise DatasetError(
            f"`{raw}` must hold {DATASETS['ferplus'].layout}, there is no `{VOTES_LIST}`: give the folder that does"
        )
    columns = (USAGE, NAME, *VOTE_COLUMNS)
    return open_csv_file(path, {name: (name,) for name in columns}, required=columns)


def _has_images(folder: Path) -> bool:
    return folder.is_dir() and next(iterate_names(folder), None) is not None


def _count_votes(votes_list: CsvFile) -> dict[str, dict[str, int]]:
    """Count the rows in each split, and those that each rule keeps, whether or not their image is present.

    These are the figures to compare with other work.
    """
    counts: dict[str, dict[str, int]] = {}
    for _, fields in votes_list.rows():
        split, _ = USAGES.get(fields.get(USAGE, ""), (None, None))
        if split is None:
            continue
        in_split = counts.setdefault(split, dict.fromkeys(("rows", *VOTE_RULES), 0))
        in_split["rows"] += 1
        votes = _parse_votes(fields)
        if votes is None or not fields[NAME].strip():
            continue
        for rule in VOTE_RULES:
            try:
                label_votes(votes, rule)
            except RejectedRow:
                continue
            in_split[rule] += 1
    return counts


def _parse_votes(fields: dict[str, str]) -> tuple[int, ...] | None:
    votes = tuple(parse_integer(fields.get(column, "")) for column in VOTE_COLUMNS)
    valid = tuple(count for count in votes if count is not None and count >= 0)
    return valid if len(valid) == len(votes) else None


def _top_expression(votes: tuple[int, ...]) -> int | None:
    """Return the index in `EXPRESSIONS_8` of the column with the most votes, None for the last two columns."""
    column = votes.index(max(votes))
    return _EXPRESSION_OF_COLUMN[column] if column < len(_EXPRESSION_OF_COLUMN) else None
