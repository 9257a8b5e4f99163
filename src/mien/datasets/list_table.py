"""A list of faces as a table of text, whatever its format, and what is put together from several of its columns."""

import os
import re
from dataclasses import dataclass, replace
from functools import cache

from mien.datasets.column_names import LABEL, PATH, SPLIT, VOTES
from mien.datasets.csv_cells import parse_integer, parse_number
from mien.datasets.csv_files import CsvFile
from mien.errors import DatasetError
from mien.faces.classes import canonical_class

# As pandas.get_dummies writes 0 and 1, and an empty cell.
TRUTH = {"": "0", "false": "0", "true": "1"}


@dataclass(frozen=True, slots=True)
class ListTable(CsvFile):
    """A list of faces whose columns are known. Picklable.

    Attributes:
        path_parts: what the path consists of: text, and indices of columns; empty if it is one column.
        folder: what is put in front of the path, once its prefix is left off; None if the path stays as it is written.
        path_prefix: the beginning of the paths that is left off.
        is_split_in_path: the path is also the field `SPLIT`.
        vote_columns: columns named like classes, whose largest number is the label; empty if the label is one column.
        split_names: the split of each value of the column of splits that is no name of one.
    """

    path_parts: tuple[str | int, ...] = ()
    folder: str | None = None
    path_prefix: str = ""
    is_split_in_path: bool = False
    vote_columns: tuple[int, ...] = ()
    split_names: tuple[tuple[str, str], ...] = ()

    @property
    def vote_names(self) -> tuple[str, ...]:
        """The names of the columns of votes, without what comes before the class in all of them, as in ``emotion_happy``."""
        return drop_beginning(tuple(self.header[index] for index in self.vote_columns))

    def note_ignored_columns(self, *, without: tuple[str, ...] = ()) -> tuple[str, ...]:
        """See `CsvFile`; columns of votes, and parts of the path, are used."""
        parts = (part for part in self.path_parts if isinstance(part, int))
        columns = {str(index): index for index in (*self.vote_columns, *parts)}
        return CsvFile.note_ignored_columns(replace(self, columns=self.columns | columns), without=without)

    def fields_of(self, cells: list[str]) -> dict[str, str]:
        """Return the cells that are read, by column name, with path, label and split as they are understood.

        Of columns of votes, the field `VOTES` has the numbers, with a comma between them; the label is the name of the
        column of the largest one, or empty if several are the largest.
        """
        fields = {name: cells[index] for name, index in self.columns.items()}
        if self.path_parts:
            parts = (part if isinstance(part, str) else cells[part].strip() for part in self.path_parts)
            fields[PATH] = "".join(parts)
        if self.folder is not None:
            fields[PATH] = self.folder + without_prefix(fields[PATH], self.path_prefix)
        if self.is_split_in_path:
            fields[SPLIT] = fields[PATH]
        if self.vote_columns:
            cells_of_votes = (cells[index].strip() for index in self.vote_columns)
            numbers = [parse_number(TRUTH.get(cell.lower(), cell)) for cell in cells_of_votes]
            most = max(numbers)
            is_clear = numbers.count(most) == 1 and most > 0 and all(number >= 0 for number in numbers)
            fields[VOTES] = ",".join(f"{number:g}" for number in numbers)
            fields[LABEL] = self.vote_names[numbers.index(most)] if is_clear else ""
        if self.split_names:
            written = normalize_value(fields[SPLIT])
            fields[SPLIT] = dict(self.split_names).get(written, fields[SPLIT])
        return fields


@cache
def drop_beginning(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of classes without what comes before all of them, or the names if that is no beginning.

    It is one if it ends with a dash, underscore or blank and two of the rests are AffectNet's classes, or if all of them are.

    Example:
        >>> drop_beginning(("emotion_sad", "emotion_surprise", "emotion_shy")), drop_beginning(("bored", "born"))
        (('sad', 'surprise', 'shy'), ('bored', 'born'))
    """
    shared = os.path.commonprefix(names)  # noqa: RUF071 - of text, not of paths
    end = max(shared.rfind(mark) for mark in "_- ") + 1
    for length, n_least in ((end, 2), (len(shared), max(len(names), 2))):
        without = tuple(name[length:] for name in names)
        if length and all(without) and sum(map(bool, map(canonical_class, without))) >= n_least:
            return without
    return names


def without_prefix(path: str, prefix: str) -> str:
    r"""Return a path without the beginning that was written on another machine, if it has it.

    Example:
        >>> without_prefix("/home/other/a.jpg", "/home/other"), without_prefix("a.jpg", "/home/other")
        ('a.jpg', 'a.jpg')
    """
    return path.removeprefix(prefix).lstrip("/\\") if prefix and path.startswith(prefix) else path


def parse_split_names(text: str) -> tuple[tuple[str, str], ...]:
    """Parse the split of each value of a column, in the form of `normalize_value`; ``''`` is an empty cell.

    Raises:
        ValueError: a value has no split, two of them, or one that does not exist.

    Example:
        >>> parse_split_names("0.0=train, True=test, ''=val")
        (('0', 'train'), ('true', 'test'), ('', 'val'))
    """
    names: dict[str, str] = {}
    for item in text.split(","):
        value, _, split = (part.strip() for part in item.rpartition("="))
        name = "" if value in ("''", '""') else normalize_value(value)
        if not value or split.lower() not in ("train", "val", "test") or name in names:
            raise ValueError(f"must be like 0=train,1=val,2=test, with '' for an empty cell, got {text!r}")
        names[name] = split.lower()
    return tuple(names.items())


def normalize_value(text: str) -> str:
    """Return a cell in the form in which options name it: in lower case, and an integer without decimals."""
    number = parse_integer(text)
    return text.strip().lower() if number is None else str(number)


def parse_path_template(text: str, names: tuple[str, ...], *, where: str) -> tuple[str | int, ...]:
    """Parse a path that is put together from columns, such as ``{folder}/{file}.jpg``.

    Raises:
        DatasetError: there is no such column.

    Example:
        >>> parse_path_template("{dir}/{id}.jpg", ("id", "dir"), where="a.csv")
        (1, '/', 0, '.jpg')
    """
    lowered = [name.lower() for name in names]
    parts: list[str | int] = []
    for index, part in enumerate(re.split(r"\{([^{}]+)\}", text)):
        if index % 2 and part.lower() not in lowered:
            raise DatasetError(
                f"`{where}` has no column `{part}` of --path-column {text!r}; it has {', '.join(names)}"
            )
        if part:
            parts.append(lowered.index(part.lower()) if index % 2 else part)
    return tuple(parts)
