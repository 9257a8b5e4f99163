"""FER+: FER2013's faces of 48x48 grey pixels with the votes of ten annotators for each.

Barsoum, Zhang, Canton Ferrer, Zhang 2016, https://arxiv.org/abs/1608.01041. The majority rule is the one of
https://github.com/microsoft/FERPlus (``src/ferplus.py`` at 06447e0), which its published figures stand on.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mien.errors import DatasetError
from mien.faces.classes import EXPRESSIONS_8, canonical_class
from mien.sources.cells import parse_whole_number, require_readable
from mien.sources.files import iterate_names, locate
from mien.sources.lists import PROBLEM, CsvList, open_list
from mien.sources.record import FaceRecord, RejectedRow, Row, Source, parse_landmarks

VoteRule = Literal["majority", "plurality"]
VOTE_RULES: tuple[VoteRule, ...] = ("majority", "plurality")

LAYOUT = (
    "`fer2013new.csv` beside `FER2013Train/`, `FER2013Valid/` and `FER2013Test/`, or beside `fer2013.csv` "
    "(or `icml_face_data.csv`)"
)
VOTES_LIST = "fer2013new.csv"
PIXEL_LISTS = ("fer2013.csv", "icml_face_data.csv")
LANDMARK_LISTS = ("landmarks68.csv", "landmarks68.csv.gz")

# FER+'s name of each split, with mien's and the folder of its pictures.
USAGES = {
    "Training": ("train", "FER2013Train"),
    "PublicTest": ("val", "FER2013Valid"),
    "PrivateTest": ("test", "FER2013Test"),
}
EXPRESSION_COLUMNS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
VOTE_COLUMNS = (*EXPRESSION_COLUMNS, "unknown", "NF")
USAGE, NAME, PIXELS, LANDMARKS = "Usage", "Image name", "pixels", "facial_landmarks"
SIDE = 48

_EXPRESSION_OF_COLUMN = tuple(EXPRESSIONS_8.index(canonical_class(name) or "") for name in EXPRESSION_COLUMNS)


@dataclass(frozen=True, slots=True)
class FerPlus:
    """FER+. A row's key is the path of its picture under `raw`, also where its pixels come from a CSV.

    Attributes:
        raw: the folder that holds ``fer2013new.csv``.
        rule: ``majority``, the official rule, or ``plurality``; see `label_votes`.
        votes_list: ``fer2013new.csv``.
        usages: FER+'s names of the splits whose pictures are there.
        pixel_list: the list of pixels, for splits without a folder.
        landmark_list: the list of landmarks by picture name.
        notes: see `Source`.
    """

    raw: Path
    rule: VoteRule
    votes_list: CsvList
    usages: tuple[str, ...]
    pixel_list: CsvList | None = None
    landmark_list: CsvList | None = None
    notes: tuple[str, ...] = ()
    name: str = field(default="ferplus", init=False)
    classes: tuple[str, ...] = field(default=EXPRESSIONS_8, init=False)
    natural_crop: str = field(default="whole", init=False)

    def rows(self) -> Iterator[Row]:
        """Yield the rows of each split; those of no known split come with the first, to be rejected.

        The landmarks are held as text while rows are read: FER+ is of one size, for which they are 30 MB.
        """
        landmarks = self._landmark_texts()
        for usage in self.usages:
            split, folder = USAGES[usage]
            for number, fields in self._numbered_rows(with_pixels=not _has_pictures(self.raw / folder)):
                listed = fields.get(USAGE, "")
                if listed != usage and (listed in USAGES or usage != self.usages[0]):
                    continue
                name = fields.get(NAME, "").strip()
                fields[LANDMARKS] = landmarks.get(name, "")
                yield Row(split=split, number=number, key=f"{folder}/{name}" if name else "", fields=fields)

    def class_of(self, row: Row) -> str:
        """Return the expression with the most votes, or ``"?"`` where that is none of the eight."""
        votes = _parse_votes(row.fields)
        top = None if votes is None else _top(votes)
        return "?" if top is None else EXPRESSIONS_8[top]

    def parse(self, row: Row) -> FaceRecord:
        """Return the row's face with its votes as a distribution."""
        require_readable(row.fields)
        if row.fields[USAGE] not in USAGES:
            raise RejectedRow("unknown_split", f"Usage {row.fields[USAGE]!r} is none of {', '.join(USAGES)}")
        if not row.key:
            raise RejectedRow("not_a_face", "FER+ gives the row no picture name")
        votes = _parse_votes(row.fields)
        if votes is None:
            raise RejectedRow("malformed_row", "the ten votes must be whole numbers from 0")
        label, distribution = label_votes(votes, self.rule)
        landmarks, warnings = parse_landmarks(row.fields[LANDMARKS])
        return FaceRecord(
            image=self._image(row),
            label=label,
            distribution=distribution,
            landmarks=landmarks,
            is_cropped=True,
            warnings=warnings,
        )

    def _image(self, row: Row) -> Path | NDArray[np.uint8]:
        if PIXELS in row.fields:
            return _parse_pixels(row.fields[PIXELS])
        folder, _, name = row.key.partition("/")
        return locate((self.raw / folder).resolve(), name)

    def _numbered_rows(self, *, with_pixels: bool) -> Iterator[tuple[int, dict[str, str]]]:
        if not with_pixels or self.pixel_list is None:
            yield from self.votes_list.rows()
            return
        pixel_list = self.pixel_list
        for voted, pixelled in zip_longest(self.votes_list.rows(), pixel_list.rows()):
            if voted is None or pixelled is None:
                raise DatasetError(
                    f"`{pixel_list.path}` must have as many rows as `{VOTES_LIST}`, but "
                    f"`{(VOTES_LIST if voted is None else pixel_list.path.name)}` ends first: fetch both again"
                )
            yield voted[0], _with_pixels(voted, pixelled[1], pixel_list.path)

    def _landmark_texts(self) -> dict[str, str]:
        if self.landmark_list is None:
            return {}
        rows = (fields for _, fields in self.landmark_list.rows() if PROBLEM not in fields)
        return {fields[NAME].strip(): fields[LANDMARKS] for fields in rows}


def label_votes(votes: tuple[int, ...], rule: VoteRule) -> tuple[int, tuple[float, ...]]:
    """Return a face's class and the share of votes of each of the eight expressions.

    Under ``majority`` a single vote for a class does not count, and a class needs over half of the votes that
    are left, those for "unknown" and "no face" among them. Under ``plurality`` every vote counts, the most
    votes win, and of equals FER+'s first column. Shares are of the votes that count and are for an expression.

    Args:
        votes: the ten counts in FER+'s order.
        rule: ``majority`` or ``plurality``.

    Returns:
        The index in `EXPRESSIONS_8`, and eight shares in that order that add up to 1.

    Raises:
        RejectedRow: ``not_a_face`` where "unknown" or "no face" wins, ``no_majority`` where nothing does.

    Example:
        >>> label_votes((5, 0, 0, 3, 1, 0, 0, 0, 1, 0), "majority")
        (0, (0.625, 0.0, 0.375, 0.0, 0.0, 0.0, 0.0, 0.0))
    """
    needed = 0.0
    if rule == "majority":
        votes = tuple(count if count > 1 else 0 for count in votes)
        needed = 0.5 * sum(votes)
    if max(votes) <= needed:
        raise RejectedRow("no_majority", f"no class has enough of the votes: {_written(votes)}")
    top = _top(votes)
    if top is None:
        raise RejectedRow("not_a_face", f"the annotators chose unknown or no face: {_written(votes)}")
    by_class = dict(zip(_EXPRESSION_OF_COLUMN, votes, strict=False))
    total = sum(by_class.values())
    return top, tuple(by_class[index] / total for index in range(len(EXPRESSIONS_8)))


def count_votes(raw: Path) -> dict[str, dict[str, int]]:
    """Count, for each split of ``fer2013new.csv``, its rows and those that either rule keeps.

    Rows count whether or not their picture is there: these are the figures to compare with other work's.

    Returns:
        ``{"train": {"rows": ..., "majority": ..., "plurality": ...}, ...}``, for splits that have rows.

    Raises:
        DatasetError: the list is missing or cannot be read.
    """
    return _count_votes(_open_votes_list(raw))


def open_ferplus(raw: Path, *, votes: VoteRule = "majority", landmarks_csv: Path | None = None) -> Source:
    """Return the reader of a FER+ folder.

    Args:
        raw: the folder that holds ``fer2013new.csv``.
        votes: the rule that makes a label of ten votes, see `label_votes`.
        landmarks_csv: a list with ``Image name`` and ``facial_landmarks`` in pixels of the 48x48 picture;
            None takes ``landmarks68.csv`` or ``landmarks68.csv.gz`` of the folder where there is one.

    Raises:
        DatasetError: a list is missing or unusable, or there is no picture of any split.
    """
    votes_list = _open_votes_list(raw)
    pixel_path = next((path for name in PIXEL_LISTS if (path := raw / name).is_file()), None)
    if landmarks_csv is None:
        landmarks_csv = next((path for name in LANDMARK_LISTS if (path := raw / name).is_file()), None)
    counts = _count_votes(votes_list)
    usages = tuple(
        usage
        for usage, (split, folder) in USAGES.items()
        if split in counts and (pixel_path or _has_pictures(raw / folder))
    )
    if not usages:
        raise DatasetError(
            f"`{raw}` must hold {LAYOUT}; there are no pictures of the rows of `{VOTES_LIST}`: unpack them there"
        )
    pixel_list = None if pixel_path is None else _open_pixel_list(pixel_path)
    landmark_list = None if landmarks_csv is None else _open_landmark_list(landmarks_csv)
    lists = [listed for listed in (votes_list, pixel_list, landmark_list) if listed is not None]
    return FerPlus(
        raw=raw.resolve(),
        rule=votes,
        votes_list=votes_list,
        usages=usages,
        pixel_list=pixel_list,
        landmark_list=landmark_list,
        notes=(*_notes(counts, usages, landmarks_csv), *(note for one in lists for note in one.unread())),
    )


def _open_votes_list(raw: Path) -> CsvList:
    path = raw / VOTES_LIST
    if not path.is_file():
        raise DatasetError(
            f"`{raw}` must hold {LAYOUT}, there is no `{VOTES_LIST}`: give the folder that does"
        )
    columns = (USAGE, NAME, *VOTE_COLUMNS)
    return open_list(path, {name: (name,) for name in columns}, required=columns)


def _open_pixel_list(path: Path) -> CsvList:
    return open_list(path, {USAGE: (USAGE,), PIXELS: (PIXELS,)}, required=(USAGE, PIXELS))


def _open_landmark_list(path: Path) -> CsvList:
    return open_list(path, {NAME: (NAME,), LANDMARKS: (LANDMARKS,)}, required=(NAME, LANDMARKS))


def _has_pictures(folder: Path) -> bool:
    return folder.is_dir() and next(iterate_names(folder), None) is not None


def _count_votes(votes_list: CsvList) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for _, fields in votes_list.rows():
        split, _ = USAGES.get(fields.get(USAGE, ""), (None, None))
        if split is None:
            continue
        of_split = counts.setdefault(split, dict.fromkeys(("rows", *VOTE_RULES), 0))
        of_split["rows"] += 1
        for rule in VOTE_RULES:
            of_split[rule] += _is_kept(fields, rule)
    return counts


def _is_kept(fields: dict[str, str], rule: VoteRule) -> bool:
    votes = _parse_votes(fields)
    if votes is None or not fields[NAME].strip():
        return False
    try:
        label_votes(votes, rule)
    except RejectedRow:
        return False
    return True


def _notes(
    counts: dict[str, dict[str, int]], usages: tuple[str, ...], landmarks_csv: Path | None
) -> Iterator[str]:
    for usage, (split, folder) in USAGES.items():
        if split not in counts:
            continue
        rows, majority, plurality = (f"{counts[split][name]:,}" for name in ("rows", *VOTE_RULES))
        if usage in usages:
            yield f"Of the {rows} rows of {usage}, majority keeps {majority} and plurality {plurality}."
        else:
            yield f"{usage} is left out, {rows} rows: there is neither `{folder}/` nor `{PIXEL_LISTS[0]}`."
    if landmarks_csv is not None:
        yield f"The landmarks are those of `{landmarks_csv.name}`."


def _parse_votes(fields: dict[str, str]) -> tuple[int, ...] | None:
    votes = tuple(parse_whole_number(fields.get(column, "")) for column in VOTE_COLUMNS)
    checked = tuple(count for count in votes if count is not None and count >= 0)
    return checked if len(checked) == len(votes) else None


def _top(votes: tuple[int, ...]) -> int | None:
    """Return the index in `EXPRESSIONS_8` of the column with the most votes, None for the last two."""
    column = votes.index(max(votes))
    return _EXPRESSION_OF_COLUMN[column] if column < len(_EXPRESSION_OF_COLUMN) else None


def _written(votes: tuple[int, ...]) -> str:
    given = [f"{name} {count}" for name, count in zip(VOTE_COLUMNS, votes, strict=True) if count]
    return ", ".join(given) or "none"


def _with_pixels(voted: tuple[int, dict[str, str]], pixelled: dict[str, str], path: Path) -> dict[str, str]:
    number, fields = voted
    if PROBLEM in pixelled:
        return {**fields, PROBLEM: f"in `{path.name}`, {pixelled[PROBLEM]}"}
    if fields.get(USAGE, pixelled[USAGE]) != pixelled[USAGE]:
        raise DatasetError(
            f"`{path}` must list the same pictures as `{VOTES_LIST}`, in the same order, but row {number} is "
            f"{pixelled[USAGE]!r} there and {fields[USAGE]!r} here: fetch both again"
        )
    return {**fields, PIXELS: pixelled[PIXELS]}


def _parse_pixels(text: str) -> NDArray[np.uint8]:
    try:
        values = np.array(text.split(), dtype=np.int64)
    except (ValueError, OverflowError):
        raise RejectedRow("truncated_image", "the pixels are not all whole numbers") from None
    if len(values) != SIDE * SIDE or values.min() < 0 or values.max() > 255:
        raise RejectedRow(
            "truncated_image", f"{len(values)} pixels where {SIDE * SIDE} values from 0 to 255 are needed"
        )
    return values.astype(np.uint8).reshape(SIDE, SIDE)
