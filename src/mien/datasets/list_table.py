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
        vote_columns: columns named like classes, whose largest number is the label; empty if the label is one column.
        split_names: the split of each value of the column of splits that is no name of one.
    """

    path_parts: tuple[str | int, ...] = ()
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
    """Return the names of classes without what comes before all of them, or the names if they are no classes then.

    Example:
        >>> drop_beginning(("emotion_happy", "emotion_sad")), drop_beginning(("bored", "born"))
        (('happy', 'sad'), ('bored', 'born'))
    """
    shared = os.path.commonprefix(names)  # noqa: RUF071 - of text, not of paths
    without = tuple(name.removeprefix(shared) for name in names)
    return without if len(names) > 1 and all(map(canonical_class, without)) else names


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
