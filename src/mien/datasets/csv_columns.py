"""Which column of a list is what: by the options, else by its name; a name that only resembles one is refused.

The columns of a list without a line of names are called 1, 2, ...
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path

from mien.datasets.action_unit_columns import find_unit_columns
from mien.datasets.column_names import (
    AROUSAL,
    BOX,
    BOX_COLUMNS,
    LABEL,
    LANDMARKS,
    PATH,
    POINTS,
    SPLIT,
    VALENCE,
)
from mien.datasets.column_names import SPELLINGS as COLUMN_SPELLINGS
from mien.datasets.csv_files import read_first_rows
from mien.datasets.csv_persons import CLIP, PERSON, PERSON_SPELLINGS
from mien.datasets.list_options import NO_COLUMN, BoxFormat, ColumnOptions
from mien.datasets.list_table import ListTable, drop_beginning, parse_path_template
from mien.datasets.record_files import RECORD_SUFFIXES, open_records
from mien.datasets.splits import is_split_column
from mien.errors import DatasetError
from mien.faces.classes import AFFECTNET_CLASSES, canonical_class, similar_class
from mien.faces.images import IMAGE_SUFFIXES

SPELLINGS = {**COLUMN_SPELLINGS, **PERSON_SPELLINGS}

# Words in the name of a column that make it look like one of these, though its name is not known.
_WORDS = {
    LABEL: frozenset(("label", "labels", "expression", "expressions", "emotion", "emotions", "expr", "emo")),
    "box": frozenset(("bbox", "bboxes", "box", "rect", "roi", "xmin", "ymin", "xmax", "ymax")),
    LANDMARKS: frozenset(("landmark", "landmarks", "keypoint", "keypoints", "lnd", "lms", "lmk")),
    "affect": frozenset(("valence", "arousal", "aro", "va")),
    PERSON: frozenset(
        (
            "person",
            "subject",
            "subj",
            "participant",
            "actor",
            "identity",
            "individual",
            "speaker",
            "patient",
            "volunteer",
        )
    ),
    CLIP: frozenset(("clip", "video", "sequence", "seq")),
}
# Words that may be next to those for a person or clip; with another one, such as `subject_age`, it is about something else.
_NUMBERING = frozenset(
    ("id", "ids", "name", "number", "no", "num", "nr", "index", "idx", "code", "key", "label")
)
# Words that say that a column is about a label or box, and does not hold it.
_ABOUT = frozenset(
    (
        *(
            "confidence",
            "conf",
            "score",
            "scores",
            "probability",
            "prob",
            "probs",
            "intensity",
            "weight",
            "source",
            "count",
        ),
        *(
            "annotator",
            "annotators",
            "id",
            "time",
            "date",
            "url",
            "note",
            "notes",
            "quality",
            "agreement",
            "std",
            "entropy",
        ),
    )
)
# Words of which the names of the columns of a box consist, and others that may be among them.
_COORDINATES = frozenset(
    [
        "x",
        "y",
        "w",
        "h",
        "cx",
        "cy",
        "xc",
        "yc",
        "width",
        "height",
        "left",
        "top",
        "right",
        "bottom",
        "xmin",
        "ymin",
        "xmax",
        "ymax",
        "xtl",
        "ytl",
        "xbr",
        "ybr",
    ]
)
_PLACES = frozenset(["face", "min", "max", "center", "start", "end", "tl", "br", "lt", "rb"])
_POINT = re.compile(
    r"(?P<before>.*?)(?:(?P<axis>[xyXY])(?P<between>[_ ]?)(?P<number>\d+)|(?P<number2>\d+)(?P<after>[_ ]?)(?P<axis2>[xyXY]))"
)
_FEATURE = re.compile(r"eye|nose|mouth|lip|brow|chin")
# The option that names the column, or leaves it out.
ROLE_FLAGS = {
    LABEL: "--label-column",
    SPLIT: "--split-column",
    "box": "--box-columns",
    LANDMARKS: "--landmarks-column",
    "affect": "--affect-columns",
    PERSON: "--person-column",
    CLIP: "--clip-column",
}


def open_list(
    path: Path, options: ColumnOptions, *, folder: str | None = None
) -> tuple[ListTable, BoxFormat | None]:
    """Open a list of images and find its columns.

    Args:
        path: the list.
        options: which column is what.
        folder: the folder that its paths are relative to, with a ``/`` at its end, relative to that of the set; None if they
            are relative to the set's.

    Returns:
        The list, and the format of its box, None if it has none.

    Raises:
        DatasetError: it cannot be read; a column that an option names, the path or the label is missing or ambiguous; or a
            column looks like a box, label, landmarks, valence or arousal, and no option says whether it is.
    """
    table, rows = read_columns(path, options)
    names, has_header = (
        table.header or tuple(str(number + 1) for number in range(table.width)),
        bool(table.header),
    )
    finder = _Finder(path, names, rows, has_header=has_header)
    template = options.path_column if options.path_column and "{" in options.path_column else None
    parts: tuple[str | int, ...] = ()
    if template is not None:
        parts = parse_path_template(template, names, where=str(path))
    path_index = next((part for part in parts if isinstance(part, int)), None)
    columns = {PATH: finder.find_path(options.path_column) if path_index is None else path_index}
    votes = finder.find_votes(options.label_column)
    if not votes:
        columns[LABEL] = finder.find_label(options.label_column)
    for role, name in (
        *((SPLIT, options.split_column), (PERSON, options.person_column), (CLIP, options.clip_column)),
        (LANDMARKS, options.landmarks_column),
    ):
        if name != NO_COLUMN:
            columns |= finder.find_optional(role, name)
    if options.landmarks_column is None and LANDMARKS not in columns:
        columns |= dict(zip(POINTS, finder.find_points(), strict=False))
    box, box_format = finder.find_box(options.box_columns, options.box_format)
    columns |= dict(zip(BOX, box, strict=False))
    if options.affect_columns != (NO_COLUMN,):
        for role, name in zip((VALENCE, AROUSAL), options.affect_columns or (None, None), strict=True):
            columns |= finder.find_optional(role, name)
    if has_header:
        columns |= {unit: finder.index(name) for unit, name in find_unit_columns(names, path=path).items()}
    finder.refuse_lookalikes({*columns.values(), *votes}, columns, options)
    found = replace(
        table,
        columns=columns,
        folder=folder,
        path_prefix="" if folder is None else options.path_prefix,
        path_parts=parts,
        vote_columns=votes,
        split_names=options.split_names if SPLIT in columns else (),
    )
    return found, box_format


def read_columns(path: Path, options: ColumnOptions) -> tuple[ListTable, list[list[str]]]:
    """Return a list with the names of its columns, empty if they have none, and the cells of its first rows.

    Raises:
        DatasetError: it cannot be read, or is empty.
    """
    if path.suffix.lower() in RECORD_SUFFIXES:
        records = open_records(path)
        return records, [cells for _, cells in islice(records.cells(), 50) if isinstance(cells, list)]
    delimiter, rows = read_first_rows(path, 50)
    first = [cell.strip() for cell in rows[0]]
    # Options that name columns say that there is a header, unless they are all numbers.
    named = [value for entry in fields(options) if entry.name.endswith("_columns")
             for value in getattr(options, entry.name) or ()]  # fmt: skip
    named += [value for entry in fields(options) if entry.name.endswith("_column")
              and (value := getattr(options, entry.name))]  # fmt: skip
    named = [
        part for name in named for part in re.findall(r"\{([^{}]+)\}", name) or [name] if name != NO_COLUMN
    ]
    header = tuple(first) if _is_header(first, named) else ()
    table = ListTable(path=path, columns={}, width=len(first), header=header, delimiter=delimiter)
    return table, rows[1:] if header else rows


def _is_header(cells: list[str], named: list[str]) -> bool:
    """Return whether the first line of a list holds names of columns: none of its cells is the name of an image file."""
    if any(Path(cell.replace("\\", "/")).suffix.lower() in IMAGE_SUFFIXES for cell in cells):
        return False
    known = {name.lower() for role in SPELLINGS for name in SPELLINGS[role]}
    return (
        not named
        or any(not name.isdecimal() for name in named)
        or any(cell.lower() in known for cell in cells)
    )


class _Finder:
    """Finds the columns of one list by name.

    Attributes:
        path: the list, for error messages.
        names: its columns.
        rows: the cells of its first rows.
        has_header: the names are written in the list, and not just numbers.
    """

    def __init__(self, path: Path, names: Sequence[str], rows: list[list[str]], *, has_header: bool) -> None:
        self.path, self.names, self.rows, self.has_header = path, names, rows, has_header
        self._lowered = [name.lower() for name in names]

    def index(self, name: str) -> int:
        """Return the index of the column of a name, whatever its case, or of a number that is no name."""
        if self._lowered.count(name.lower()) > 1:
            raise DatasetError(
                f"`{self.path}` has more than one column `{name}`: rename or remove one of them"
            )
        if name.lower() not in self._lowered and name.isdecimal() and 1 <= int(name) <= len(self.names):
            return int(name) - 1
        if name.lower() not in self._lowered:
            raise DatasetError(f"`{self.path}` must have the column `{name}`; it {self._shown_columns()}")
        return self._lowered.index(name.lower())

    def known(self, role: str) -> list[str]:
        """Return the columns whose name is a known one for a role."""
        spellings = [name.lower() for name in SPELLINGS[role]]
        return [name for name in self.names if name.lower() in spellings]

    def find_path(self, named: str | None) -> int:
        """Return the index of the column of paths."""
        if named is not None:
            return self.index(named)
        images = [
            name
            for index, name in enumerate(self.names)
            if any(
                Path(row[index].replace("\\", "/")).suffix.lower() in IMAGE_SUFFIXES
                for row in self.rows
                if index < len(row)
            )
        ]
        known = self.known(PATH) if self.has_header else images if len(self.names) == 2 else []
        if len(dict.fromkeys(known)) > 1:
            # `filename` beside `path` is its last part: the cells say nothing about which one to use.
            raise DatasetError(
                f"`{self.path}` has several columns that may hold the path of the image, {_quoted(known)}: add "
                f"--path-column {shlex.quote(known[0])}"
            )
        if not known and {"pixels", "pixel0"} & {*self._lowered}:
            raise DatasetError(
                f"`{self.path}` holds pixels in place of paths: `mien prepare fer2013` reads FER2013's columns emotion, pixels and "
                "Usage; write other pixels as image files"
            )
        numbered = (
            ", or, if its first line is a row, such as --path-column '{1}.jpg' --label-column 2"
            if self.has_header
            else ""
        )
        if not known:
            raise DatasetError(
                f"`{self.path}` must have a column `path`, or another usual name for it; it {self._shown_columns()}: add "
                f"--path-column {shlex.quote(images[0]) if images else 'NAME'}"
                f"{'' if self.has_header else ' --label-column NUMBER'}{numbered}; `mien prepare auto` says what a set is"
            )
        return self.index(known[0])

    def find_votes(self, named: str | None) -> tuple[int, ...]:
        """Return the indices of columns named like classes, if the label is in these.

        They are those that ``named`` lists; or, in a list without a column of labels, all that have the name of one of
        AffectNet's classes, if there are two or more.
        """
        if named is not None:
            listed = [name.strip() for name in named.split(",")]
            return tuple(map(self.index, listed)) if len(listed) > 1 and named not in self.names else ()
        if not self.has_header or self.known(LABEL):
            return ()
        found = [index for index, name in enumerate(self.names) if canonical_class(name) in AFFECTNET_CLASSES]
        return tuple(found) if len(found) > 1 else ()

    def find_points(self) -> list[int]:
        """Return the indices of 136 columns that hold 68 points, x and y in turn, or none if there are no such columns.

        Their names differ only in ``x`` or ``y`` and a number, such as ``x_0`` to ``y_67``, as OpenFace writes them.
        """
        found: dict[str, dict[tuple[int, str], int]] = {}
        for index, name in enumerate(self.names):
            if match := _POINT.fullmatch(name):
                axis, number = match["axis"] or match["axis2"], int(match["number"] or match["number2"])
                form = f"{match['before']}{match['between'] or ''}{'X' if axis.isupper() else 'x'}{match['after'] or ''}"
                found.setdefault(form, {})[number, axis.lower()] = index
        for places in found.values():
            numbers = sorted({number for number, _ in places})
            in_turn = [places.get((number, axis)) for number in numbers for axis in "xy"]
            is_full = (
                len(places) == len(POINTS) == len(in_turn) and numbers[-1] - numbers[0] == len(numbers) - 1
            )
            if is_full and None not in in_turn:
                return [index for index in in_turn if index is not None]
        return []

    def find_label(self, named: str | None) -> int:
        """Return the index of the column of classes."""
        if named is not None:
            return self.index(named)
        known = self.known(LABEL) if self.has_header else []
        if not self.has_header and len(self.names) == 2:
            return 1 - self.find_path(None)
        if len(dict.fromkeys(known)) > 1:
            raise DatasetError(
                f"`{self.path}` has several columns that may hold the class, {_quoted(known)}: add "
                f"--label-column {shlex.quote(known[0])}, or the name of another one"
            )
        if not known:
            similar = self.similar(LABEL, taken=set())
            are_classes = len({similar_class(name) for name in similar} - {None}) == len(similar)
            if len(similar) > 1 and (are_classes or drop_beginning(tuple(similar)) != tuple(similar)):
                similar = [",".join(similar)]  # a column for each class
            without = ""
            if find_unit_columns(self.names, path=self.path):
                without = "; a set of action units without expressions needs a column `label` with one word, such as `any`"
            raise DatasetError(
                f"`{self.path}` must have a column `label`, or another usual name for it; it {self._shown_columns()}: add "
                f"--label-column {shlex.quote(similar[0]) if similar else 'NAME'}{without}"
            )
        return self.index(known[0])

    def find_optional(self, role: str, named: str | None) -> dict[str, int]:
        """Return the index of a column that a list need not have, by its role."""
        if named is not None:
            return {role: self.index(named)}
        known = self.known(role) if self.has_header else []
        return {role: self.index(known[0])} if known else {}

    def find_box(
        self, named: tuple[str, ...] | None, box_format: BoxFormat | None
    ) -> tuple[tuple[int, ...], BoxFormat | None]:
        """Return the indices of the columns of the box, and its format; no columns and None if there is none."""
        if named == (NO_COLUMN,):
            return (), None
        if named is not None:
            stated = BOX_COLUMNS.get(tuple(name.lower() for name in named), box_format)
            if box_format is None and stated is None:
                raise DatasetError(
                    f"--box-columns {','.join(named)} does not say what the numbers are: add --box-format xywh (left, top, "
                    "width, height), xyxy (left, top, right, bottom), cxcywh (center and size) or relative-..., if they "
                    "are fractions of the image's size"
                )
            return tuple(self.index(name) for name in named), box_format or stated
        found = [form for form in BOX_COLUMNS if set(form) <= set(self._lowered)] if self.has_header else []
        # `x1, y1, x2, y2` are two points of several if there is `x3`.
        points = {name for name in self._lowered if re.fullmatch(r"[xy]\d+", name)}
        found = [form for form in found if not points & {*form} or points <= {*form}]
        if len(found) > 1:
            raise DatasetError(
                f"`{self.path}` has several boxes, {' and '.join(_quoted(form) for form in found)}: add --box-columns "
                f"{','.join(found[0])}, or --box-columns {NO_COLUMN}"
            )
        if not found:
            return (), None
        if box_format is None and "original_width" in self._lowered:
            raise DatasetError(
                f"`{self.path}` has {_quoted(found[0])} next to `original_width`, as Label Studio writes boxes in percent: add "
                f"--box-format percent-{BOX_COLUMNS[found[0]]}, or --box-format {BOX_COLUMNS[found[0]]} if they are in pixels"
            )
        return tuple(self.index(name) for name in found[0]), box_format or BOX_COLUMNS[found[0]]

    def similar(self, role: str, *, taken: set[int]) -> list[str]:
        """Return the columns that are not taken and look like a role by the words in their names."""
        return [
            name
            for index, name in enumerate(self.names)
            if index not in taken
            and not _WORDS[role].isdisjoint(words := _words(name))
            and (words <= _WORDS[role] | _NUMBERING if role in (PERSON, CLIP) else _ABOUT.isdisjoint(words))
            and not is_split_column(name)
        ]

    def refuse_lookalikes(self, taken: set[int], columns: dict[str, int], options: ColumnOptions) -> None:
        """Refuse columns that look like something that is read, if no option says what they are.

        Args:
            taken: the indices of the columns that are read.
            columns: the indices of those that hold a single thing, by what it is.
            options: the options that were given.
        """
        is_decided = {
            LABEL: options.label_column is not None or LABEL not in columns,
            "box": options.box_columns is not None or BOX[0] in columns,
            LANDMARKS: options.landmarks_column is not None or POINTS[0] in columns,
            "affect": options.affect_columns is not None or not {VALENCE, AROUSAL}.isdisjoint(columns),
            PERSON: options.person_column is not None or PERSON in columns,
            CLIP: options.clip_column is not None or CLIP in columns,
        }
        found = {role: self.similar(role, taken=taken) for role in _WORDS}
        self._add_coordinates(found, taken)
        for role, names in found.items():
            if not names or is_decided[role]:
                continue
            advice = f"{ROLE_FLAGS[role]} {NO_COLUMN} to leave it out"
            if role == LABEL:
                label = self.names[columns[LABEL]]
                advice = (
                    f"--label-column {shlex.quote(label)} to read `{label}`, or the name of another column"
                )
            elif role != LANDMARKS or len(names) == 1:
                number = {"box": 4, "affect": 2}.get(role, 1)
                is_all = len(names) == number or (role == "box" and len(names) == 1)
                example = {"box": "A,B,C,D", "affect": "V,A"}.get(role, names[0])
                chosen = ",".join(names) if is_all else example
                advice = f"{ROLE_FLAGS[role]} {shlex.quote(chosen)} to use it, or {advice}"
            what = {
                "box": "a face box",
                "affect": "valence or arousal",
                LABEL: "the class",
                PERSON: "the person",
                CLIP: "the video or sequence",
            }.get(role, role)
            raise DatasetError(
                f"`{self.path}` has {_quoted(names)}, which may hold {what} but is not read: add {advice}"
            )

    def _add_coordinates(self, found: dict[str, list[str]], taken: set[int]) -> None:
        """Add columns whose names are coordinates, or letters for valence and arousal, to those that look like a role."""
        rest = [name for index, name in enumerate(self.names) if index not in taken and self.has_header]
        numbers = [
            name for name in rest if _words(name) & _COORDINATES and _words(name) <= _COORDINATES | _PLACES
        ]
        features = [name for name in rest if _FEATURE.search(name.lower()) and _words(name) & {"x", "y"}]
        if len(numbers) > 8 or len(features) > 3:
            found[LANDMARKS] += features or numbers
        elif len(numbers) > 2 and not found["box"]:
            found["box"] = numbers
        letters = {name.lower(): name for name in rest if name.lower() in ("v", "a", "val", "aro")}
        for pair in (("v", "a"), ("val", "aro")):
            if {*pair} <= letters.keys():
                found["affect"] = [letters[name] for name in pair]

    def _shown_columns(self) -> str:
        cells = self.names if self.has_header else self.rows[0]
        shown = ", ".join(repr(cell[:40]) for cell in cells[:12]) + (", ..." if len(cells) > 12 else "")
        return f"begins with {shown}" if self.has_header else f"begins with {shown}, without names of columns"


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in dict.fromkeys(names))


def _words(name: str) -> set[str]:
    """Return the words in the name of a column, in lower case.

    Example:
        >>> sorted(_words("faceBbox_2"))
        ['bbox', 'face']
    """
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)}
