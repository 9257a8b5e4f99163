"""What stops lists before a row is parsed: columns that contradict each other or an option, labels that are none.

All of these are errors of the whole set, with the option that resolves them.
"""

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from mien.datasets.column_names import AROUSAL, BOX, LABEL, LANDMARKS, PATH, POINTS, SPLIT, VALENCE
from mien.datasets.csv_columns import ROLE_FLAGS
from mien.datasets.csv_survey import Survey
from mien.datasets.labels import LabelNames
from mien.datasets.list_options import NO_COLUMN, BoxFormat, ColumnOptions
from mien.datasets.list_table import ListTable
from mien.datasets.splits import find_split, is_split_column, require_splits
from mien.errors import DatasetError
from mien.faces.images import IMAGE_SUFFIXES
from mien.formats.pack.schema import SPLITS


class OpenedList(NamedTuple):
    """A list whose columns are known.

    Attributes:
        split: that of all of its rows; "" if they say it themselves, or none does.
        table: the list.
        box_format: what the numbers of its boxes are, None if it has none.
    """

    split: str
    table: ListTable
    box_format: BoxFormat | None


def require_alike(opened: Sequence[OpenedList]) -> None:
    """Refuse lists of one set that hold different things: a crop is chosen for all of them, and their boxes are read alike.

    Raises:
        DatasetError: they do, with the options that leave out what only some of them have.
    """
    first, box_format = opened[0].table, opened[0].box_format
    for _, table, other_format in opened[1:]:
        where = f"`{first.path}` and `{table.path}`"
        if differing := sorted(_roles(table) ^ _roles(first)):
            raise DatasetError(
                f"The lists of a set must have the same columns, but only one of {where} has {', '.join(differing)}: "
                f"{_how_to_align(differing, opened[0])}"
            )
        if table.vote_names != first.vote_names:
            raise DatasetError(
                f"The lists of a set must have the same columns of votes in the same order, {where} have {', '.join(first.vote_names)} "
                f"and {', '.join(table.vote_names)}: name those of both with --label-column"
            )
        if other_format != box_format:
            raise DatasetError(
                f"The lists of a set must have boxes in one format, {where} have {box_format} and {other_format} by the names of "
                "their columns: convert the boxes of one list, state what all of them are with --box-format, or leave them out "
                f"with --box-columns {NO_COLUMN}"
            )


def _roles(table: ListTable) -> set[str]:
    """Return what the columns of a list are; valence and arousal do not count."""
    roles = dict.fromkeys(BOX, "box") | dict.fromkeys(POINTS, LANDMARKS)
    return {roles.get(name, name) for name in table.columns} - {VALENCE, AROUSAL}


def _how_to_align(roles: list[str], opened: OpenedList) -> str:
    """Return what to do about columns that only one of two lists has."""
    if LABEL in roles:
        return "name the column of the label, or those of the votes, with --label-column"
    flags = dict(ROLE_FLAGS)
    if not opened.split or opened.table.folder is not None:
        del flags[SPLIT]  # without it, val would be drawn from all rows
    ways = []
    if options := [f"{flags[role]} {NO_COLUMN}" for role in roles if role in flags]:
        ways.append(f"leave {'them' if len(options) > 1 else 'it'} out with {' '.join(options)}")
    if rest := [role for role in roles if role not in flags]:
        ways.append(f"remove {', '.join(rest)}")
    return f"add {'them' if len(roles) > 1 else 'it'} to the other list, or {', and '.join(ways)}"


def require_listed_splits(opened: Sequence[OpenedList]) -> None:
    """Refuse a column of splits that contradicts the split of its list: test faces must not be trained on.

    Raises:
        DatasetError: it does.
    """
    for stated, table, _ in opened:
        if not stated or SPLIT not in table.columns:
            continue
        splits = (find_split(fields[SPLIT]) for _, fields in table.rows() if SPLIT in fields)
        found = Counter(split for split in splits if split not in (None, stated))
        if found:
            shown = ", ".join(f"{split} {found[split]:,}" for split in SPLITS if found[split])
            raise DatasetError(
                f"`{table.path}` is the list of {stated}, but its column `{column_name(table, SPLIT)}` names others "
                f"({shown}): correct the column, or move the rows to the list of their split, or add --split-column {NO_COLUMN} to go "
                "by the lists alone"
            )


def require_effect(opened: Sequence[OpenedList], columns: ColumnOptions) -> None:
    """Refuse options about columns that no list has.

    Raises:
        DatasetError: there is one.
    """
    names = {name for _, table, _ in opened for name in table.columns}
    has_names = any(table.split_names for _, table, _ in opened)
    where = " and ".join(f"`{table.path}`" for _, table, _ in opened)
    for value, is_read, flag, what, naming in (
        (columns.box_format, BOX[0] in names, "--box-format", "boxes", "--box-columns"),
        (columns.split_names, has_names, "--split-names", "splits", "--split-column"),
        (columns.affect_range, {VALENCE, AROUSAL} & names, "--affect-range", "valence or arousal", "--affect-columns"),
    ):  # fmt: skip
        if value and not is_read:
            raise DatasetError(
                f"{flag} has no effect, since no column of {what} is read from {where}: leave it out, or name the column with "
                f"{naming}"
            )


def column_name(table: ListTable, role: str) -> str:
    """Return the name of the column that is read as something; its number in a list without names."""
    index = table.columns[role]
    return table.header[index] if table.header else str(index + 1)


def require_understood(table: ListTable, survey: Survey, *, where: str) -> None:
    """Refuse columns of splits and of votes that most rows have no split or label in, and labels that are names of images.

    Raises:
        DatasetError: they do, with the option that states what the columns hold.
    """
    n_images = sum(
        count for label, count in survey.labels.items() if Path(label).suffix.lower() in IMAGE_SUFFIXES
    )
    if 2 * n_images > survey.labels.total():
        shown = next(label for label in survey.labels if Path(label).suffix.lower() in IMAGE_SUFFIXES)
        column = f" `{column_name(table, LABEL)}`" if LABEL in table.columns else ""
        raise DatasetError(
            f"The label column{column} of {where} holds names of images, such as {shown[:80]!r}: say which column is which "
            "with --path-column and --label-column"
        )
    if SPLIT in table.columns:
        require_splits(survey.split_values, column=column_name(table, SPLIT), where=where)
    if table.vote_names and 2 * survey.labels.total() < survey.n_rows:
        shown = ", ".join(table.vote_names)
        raise DatasetError(
            f"{where} has no column of labels, and the columns {shown} have a single largest number, none being negative, in "
            f"{survey.labels.total():,} of {survey.n_rows:,} rows only: name the column of the label with --label-column"
        )


def explain_no_label(survey: Survey, label_names: LabelNames | None, *, where: str) -> DatasetError:
    """Return the error of lists none of whose labels has a class."""
    found = ", ".join(repr(label[:40]) for label in list(survey.labels)[:8])
    if label_names is not None and found:
        return DatasetError(
            f"--label-names explains none of the labels of {where}, which are {found}: name these"
        )
    if survey.problems.total() == survey.n_rows > 0:
        problem = next(iter(survey.problems))
        return DatasetError(f"No row of {where} can be read, {problem}: correct the line of column names")
    return DatasetError(f"{where} must have rows with a label, it has none: fill in its label column")


def require_prefix(opened: Sequence[OpenedList], prefix: str) -> None:
    """Refuse a prefix that no path has as it is written.

    Raises:
        DatasetError: none has it.
    """
    tables = [replace(table, folder=None, path_prefix="") for _, table, _ in opened]
    paths = (fields[PATH] for table in tables for _, fields in table.rows() if PATH in fields)
    first = next(paths, None)
    if (
        first is not None
        and not first.startswith(prefix)
        and not any(path.startswith(prefix) for path in paths)
    ):
        where = " and ".join(f"`{table.path}`" for table in tables)
        raise DatasetError(
            f"No path of {where} begins with --path-prefix {prefix!r}, the first is {first!r}: give the beginning as it is written"
        )


def require_no_split(table: ListTable, survey: Survey) -> None:
    """Refuse a list with a column that seems to hold the split, by its name or because most of its cells name a split.

    Words in the paths count only if they distinguish several splits, or name a held-out one.
    """
    used = set(table.columns.values()) - {table.columns[PATH]}
    names = table.header or tuple(str(number) for number in range(1, table.width + 1))
    for index, column in enumerate(names):
        found = survey.splits.get(index, Counter[str]())
        is_path = index == table.columns[PATH]
        is_split = 2 * found.total() > survey.n_rows and (
            len(found) > 1 or not is_path or "train" not in found
        )
        if index not in used and (is_split or (not is_path and is_split_column(column))):
            shown = ", ".join(f"{split} {found[split]:,}" for split in SPLITS if found[split])
            raise DatasetError(
                f"`{table.path}` has no column `split`, but `{column}` seems to hold the split "
                f"({shown or 'by its name'}): add --split-column {shlex.quote(column)} to use it, or "
                f"--split-column {NO_COLUMN} if it is not one, which draws val from all rows"
            )
