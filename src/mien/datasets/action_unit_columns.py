"""Columns of action units in a CSV: which there are, whether they hold presence or intensity, and their cells.

Names are ``AU`` and a number, in any case, such as ``AU06`` or ``au6``; OpenFace's ``AU06_c`` (presence) and ``AU06_r``
(intensity) are read too, but not both. A label is missing if the cell is empty or NaN, or has one of the marks -1 (Aff-Wild2),
9 (BP4D: not visible) and 999 (EmotioNet).
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import DatasetError
from mien.faces.action_units import KINDS, MAX_INTENSITY, ActionUnits, Kind, unit_name

MISSING_MARKS = (-1.0, 9.0, 999.0)
_COLUMN = re.compile(r"au_?0*([1-9][0-9]?)(_[cr])?", re.IGNORECASE)


def find_unit_columns(header: Iterable[str], *, path: Path) -> dict[str, str]:
    """Return the column of each action unit as the file spells it, by the unit's name, ordered by number.

    Raises:
        DatasetError: a unit has two columns.
    """
    found: dict[int, str] = {}
    kinds = set()
    for column in header:
        match = _COLUMN.fullmatch(column.strip())
        if match is None:
            continue
        number = int(match[1])
        kinds.add((match[2] or "").lower())
        if number in found or len(kinds) > 1:
            other = found.get(number) or next(iter(found.values()))
            raise DatasetError(
                f"`{path}` must have one column for each action unit, all of one kind; it has `{other}` and `{column}`. "
                "Remove the columns of one kind (OpenFace: `_c` is presence, `_r` intensity)"
            )
        found[number] = column
    return {unit_name(number): found[number] for number in sorted(found)}


def decide_kind(
    rows: Iterable[Mapping[str, str]], columns: Mapping[str, str]
) -> tuple[Kind | None, tuple[str, ...]]:
    """Return what the columns hold, and notes: intensity if any value is neither 0 nor 1; None if there is no value.

    Args:
        rows: cells by unit.
        columns: the column of each unit, see `find_unit_columns`.

    Raises:
        DatasetError: the values are fractions up to 1, as probabilities are, in columns that are not OpenFace's intensities.
    """
    levels: dict[str, set[bool]] = {name: set() for name in columns}
    example, largest = "", 0.0
    n_missing: Counter[str] = Counter()
    wrong: set[str] = set()
    for cells in rows:
        for name in columns:
            value, is_valid = parse_unit(cells.get(name, ""))
            if not is_valid:
                wrong.add(name)
                continue
            if math.isnan(value):
                n_missing[name] += 1
                continue
            largest = max(largest, value)
            is_level = value not in (0.0, 1.0)
            if is_level and not example:
                example = f" (`{columns[name]}` holds {value:g})"
            levels[name].add(is_level)
    has_values = [name for name, seen in levels.items() if seen]
    if not has_values:
        return None, (f"The action unit columns are empty, and not used: {', '.join(columns.values())}.",)
    kind: Kind = "intensity" if any(True in levels[name] for name in has_values) else "presence"
    if (
        kind == "intensity"
        and largest <= 1
        and not all(name.lower().endswith("_r") for name in columns.values())
    ):
        raise DatasetError(
            f"The action units are fractions from 0 to 1{example}, such as probabilities, and must be presence, 0 or 1, or "
            "intensity, 0 to 5: write 1 for those that are present and 0 for the others, or remove the columns"
        )
    notes = [f"Action units are read as {KINDS[kind]}{example}: {', '.join(columns)}."]
    if n_missing:
        counts = ", ".join(f"{name} {n_missing[name]:,}" for name in columns if n_missing[name])
        notes.append(f"Action units without a label: {counts}.")
    only_binary = [name for name in has_values if True not in levels[name] and name not in wrong]
    if kind == "intensity" and only_binary:
        notes.append(
            f"Only 0 and 1 occur in {', '.join(only_binary)}: they are read as intensities too. If they are presence, keep "
            "them in another CSV."
        )
    return kind, tuple(notes)


def parse_unit(cell: str) -> tuple[float, bool]:
    """Return a cell's value, NaN where the label is missing, and whether the cell is valid.

    Example:
        >>> parse_unit("2"), parse_unit("9"), parse_unit("7")
        ((2.0, True), (nan, True), (nan, False))
    """
    text = cell.strip()
    if not text:
        return math.nan, True
    try:
        value = float(text)
    except ValueError:
        return math.nan, False
    if math.isnan(value) or value in MISSING_MARKS:
        return math.nan, True
    is_valid = 0 <= value <= MAX_INTENSITY
    return (value if is_valid else math.nan), is_valid


def parse_units(cells: Mapping[str, str], units: ActionUnits) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Return ``(K,)`` values, NaN where missing, and a warning code for each unit whose cell is not valid."""
    parsed = [parse_unit(cells.get(name, "")) for name in units.names]
    warnings = tuple(
        f"action_unit_value_{name}"
        for name, (_, is_valid) in zip(units.names, parsed, strict=True)
        if not is_valid
    )
    return np.array([value for value, _ in parsed], dtype=np.float32), warnings
