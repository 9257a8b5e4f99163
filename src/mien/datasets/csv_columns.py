"""Which column of a list is what: by the options, else by its name; a name that only resembles one is refused.

The columns of a list without a line of names are called 1, 2, ...
"""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from mien.datasets.action_unit_columns import find_unit_columns
from mien.datasets.column_names import (
    AROUSAL,
    BOX,
    BOX_COLUMNS,
    LABEL,
    LANDMARKS,
    PATH,
    SPLIT,
    VALENCE,
)
from mien.datasets.column_names import SPELLINGS as COLUMN_SPELLINGS
from mien.datasets.csv_files import CsvFile, read_first_rows
from mien.datasets.csv_persons import CLIP, PERSON, PERSON_SPELLINGS
from mien.datasets.list_options import NO_COLUMN, BoxFormat, ColumnOptions
from mien.datasets.splits import is_split_column
from mien.errors import DatasetError
from mien.faces.images import IMAGE_SUFFIXES

SPELLINGS = {**COLUMN_SPELLINGS, **PERSON_SPELLINGS}

# Words in the name of a column that make it look like one of these, though its name is not known.
_WORDS = {
    LABEL: frozenset(("label", "labels", "expression", "expressions", "emotion", "emotions", "expr", "emo")),
    "box": frozenset(("bbox", "bboxes", "box", "rect", "roi", "xmin", "ymin", "xmax", "ymax")),
    LANDMARKS: frozenset(("landmark", "landmarks", "keypoint", "keypoints", "lnd", "lms", "lmk")),
    "affect": frozenset(("valence", "arousal", "aro", "va")),
}
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
_OPTION = {
    LABEL: "--label-column",
    "box": "--box-columns",
    LANDMARKS: "--landmarks-column",
    "affect": "--affect-columns",
}


def open_list(path: Path, options: ColumnOptions) -> tuple[CsvFile, BoxFormat | None]:
    """Open a list of images and find its columns.

    Returns:
        The list, and the format of its box, None if it has none.

    Raises:
        DatasetError: it cannot be read; a column that an option names, the path or the label is missing or ambiguous; or a
            column looks like a box, label, landmarks, valence or arousal, and no option says whether it is.
    """
    delimiter, rows = read_first_rows(path, 50)
    named = [
        *(options.path_column, options.label_column, options.split_column, options.landmarks_column),
        *(options.person_column, options.clip_column),
        *(options.box_columns or ()),
        *(options.affect_columns or ()),
    ]
    first = [cell.strip() for cell in rows[0]]
    header = tuple(first) if _is_header(first, [name for name in named if name]) else ()
    names = header or tuple(str(number) for number in range(1, len(first) + 1))
    finder = _Finder(path, names, rows[1:] if header else rows, has_header=bool(header))
    columns = {PATH: finder.find_path(options.path_column), LABEL: finder.find_label(options.label_column)}
    for role, name in (
        *((SPLIT, options.split_column), (PERSON, options.person_column), (CLIP, options.clip_column)),
        (LANDMARKS, options.landmarks_column),
    ):
        if name != NO_COLUMN:
            columns |= finder.find_optional(role, name)
    box, box_format = finder.find_box(options.box_columns, options.box_format)
    columns |= dict(zip(BOX, box, strict=False))
    if options.affect_columns != (NO_COLUMN,):
        for role, name in zip((VALENCE, AROUSAL), options.affect_columns or (None, None), strict=True):
            columns |= finder.find_optional(role, name)
    if header:
        columns |= {unit: finder.index(name) for unit, name in find_unit_columns(names, path=path).items()}
    finder.refuse_lookalikes(columns, options)
    return CsvFile(
        path=path, columns=columns, width=len(names), header=header, delimiter=delimiter
    ), box_format


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
        if not known:
            raise DatasetError(
                f"`{self.path}` must have a column `path`, or another usual name for it; it {self._shown_columns()}: add "
                f"--path-column {shlex.quote(images[0]) if images else 'NAME'}"
                f"{'' if self.has_header else ' --label-column NUMBER'}; `mien prepare auto` says what a set is"
            )
        return self.index(known[0])

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
                f"--label-column {shlex.quote(known[0])}"
            )
        if not known:
            similar = self.similar(LABEL, taken=set())
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
        if len(found) > 1:
            raise DatasetError(
                f"`{self.path}` has several boxes, {' and '.join(_quoted(form) for form in found)}: add --box-columns "
                f"{','.join(found[0])}, or --box-columns {NO_COLUMN}"
            )
        if not found:
            return (), None
        return tuple(self.index(name) for name in found[0]), box_format or BOX_COLUMNS[found[0]]

    def similar(self, role: str, *, taken: set[int]) -> list[str]:
        """Return the columns that are not taken and look like a role by the words in their names."""
        return [
            name
            for index, name in enumerate(self.names)
            if index not in taken
            and not _WORDS[role].isdisjoint(words := _words(name))
            and _ABOUT.isdisjoint(words)
            and not is_split_column(name)
        ]

    def refuse_lookalikes(self, columns: dict[str, int], options: ColumnOptions) -> None:
        """Refuse columns that look like something that is read, if no option says what they are."""
        taken = set(columns.values())
        found = {role: self.similar(role, taken=taken) for role in _WORDS}
        parts = [form for form in BOX_COLUMNS if len(set(form) & set(self._lowered)) == 3]
        if parts and not found["box"] and BOX[0] not in columns:
            found["box"] = [name for name in self.names if name.lower() in parts[0]]
        if not {VALENCE, AROUSAL}.isdisjoint(columns):
            found["affect"] = []
        decided = {
            LABEL: options.label_column,
            "box": options.box_columns,
            LANDMARKS: options.landmarks_column,
            "affect": options.affect_columns,
        }
        for role, names in found.items():
            if not names or decided[role] is not None or (role == "box" and BOX[0] in columns):
                continue
            if role == LABEL:
                label = self.names[columns[LABEL]]
                advice = (
                    f"--label-column {shlex.quote(label)} to read `{label}`, or the name of another column"
                )
            else:
                number = {"box": 4, "affect": 2}.get(role, 1)
                chosen = (
                    ",".join(names)
                    if len(names) in (1, number)
                    else {"box": "A,B,C,D", "affect": "V,A"}[role]
                )
                chosen = names[0] if number == 1 else chosen
                advice = f"{_OPTION[role]} {shlex.quote(chosen)} to use it, or {_OPTION[role]} {NO_COLUMN} to leave it out"
            what = {"box": "a face box", "affect": "valence or arousal", LABEL: "the class"}.get(role, role)
            raise DatasetError(
                f"`{self.path}` has {_quoted(names)}, which may hold {what} but is not read: add {advice}"
            )

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
