"""Parsing the cells of a CSV: integers, boxes, landmarks, valence and arousal.

What cannot be parsed is None, with the code of a warning if it is not simply absent.
"""

import math
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mien.datasets.base import RejectedRow
from mien.datasets.csv_files import PROBLEM
from mien.datasets.list_options import BoxFormat
from mien.faces.classes import MISSING_VALUES
from mien.faces.landmarks import N_LANDMARKS

_DECIMAL_COMMA = re.compile(r"[+-]?(?![1-9]\d{0,2},\d{3}$)\d+,\d+")


def require_readable(fields: dict[str, str]) -> None:
    """Reject a row whose cells could not be read.

    Raises:
        RejectedRow: ``malformed_row``.
    """
    if PROBLEM in fields:
        raise RejectedRow("malformed_row", fields[PROBLEM])


def parse_integer(text: str) -> int | None:
    """Parse ``3``, ``3.0`` or ``3,0``, as spreadsheets write integers; None for anything else.

    Example:
        >>> parse_integer(" 3.0"), parse_integer("3,0"), parse_integer("-1"), parse_integer("3.5")
        (3, 3, -1, None)
    """
    value = parse_number(text)
    return int(value) if value.is_integer() else None


def parse_affect_pair(
    valence: str, arousal: str, affect_range: tuple[float, float] = (-1.0, 1.0)
) -> tuple[float | None, float | None, tuple[str, ...]]:
    """Parse valence and arousal on a scale.

    Returns:
        Both in [-1, 1], or None where the cell is a missing value or -2, AffectNet's mark; and the warning code
        ``valence_value`` or ``arousal_value`` for a cell that is no number on the scale.
    """
    low, high = affect_range
    parsed: list[float | None] = []
    warnings: list[str] = []
    for name, cell in (("valence", valence), ("arousal", arousal)):
        value = parse_number(cell)
        if low <= value <= high:
            parsed.append(value if (low, high) == (-1, 1) else 2 * (value - low) / (high - low) - 1)
            continue
        parsed.append(None)
        if value != -2 and cell.strip() not in MISSING_VALUES:
            warnings.append(f"{name}_value")
    return parsed[0], parsed[1], tuple(warnings)


def parse_box(
    cells: tuple[str, ...], box_format: BoxFormat
) -> tuple[NDArray[np.float64] | None, tuple[str, ...]]:
    """Parse a box given as four cells, or as one that holds four numbers.

    Args:
        cells: four, one, or none if the list has no boxes.
        box_format: what the numbers are.

    Returns:
        ``(4,)`` xyxy, in pixels or, if relative or in percent, in fractions of the image's size; None if the cells are missing values or not a
        box, and in the latter case, if one is not a number or the box has no area, the warning code ``box_value``.
    """
    if len(cells) == 1:
        cells = tuple(re.split(r"[\s,;]+", cells[0].strip().strip("[](){}").strip()))
    if all(cell.strip() in MISSING_VALUES for cell in cells):
        return None, ()
    if len(cells) != 4:
        return None, ("box_value",)
    first, second, third, fourth = (parse_number(cell) for cell in cells)
    unit, _, form = box_format.rpartition("-")
    if form == "cxcywh":
        first, second = first - third / 2, second - fourth / 2
    if form != "xyxy":
        third, fourth = first + third, second + fourth
    box_xyxy = np.array((first, second, third, fourth), dtype=np.float64)
    if not np.isfinite(box_xyxy).all() or not (box_xyxy[2:] > box_xyxy[:2]).all():
        return None, ("box_value",)
    return box_xyxy / 100 if unit == "percent" else box_xyxy, ()


def parse_box_xywh(cells: tuple[str, ...]) -> tuple[NDArray[np.float64] | None, tuple[str, ...]]:
    """Parse a box given as left, top, width and height in pixels; see `parse_box`."""
    return parse_box(cells, "xywh")


def parse_box_xyxy(cells: tuple[str, ...]) -> tuple[NDArray[np.float64] | None, tuple[str, ...]]:
    """Parse a box given as left, top, right and bottom in pixels; see `parse_box`."""
    return parse_box(cells, "xyxy")


def parse_number(cell: str) -> float:
    """Return the number in a cell, NaN if it is none. A comma before the decimals is read, one between thousands is not.

    Example:
        >>> parse_number("0,125"), parse_number("1,250")
        (0.125, nan)
    """
    if _DECIMAL_COMMA.fullmatch(cell.strip()):
        cell = cell.replace(",", ".")
    try:
        return float(cell)
    except ValueError:
        return math.nan


def parse_landmarks(
    text: str, counts: Sequence[int] = (N_LANDMARKS,)
) -> tuple[NDArray[np.float64] | None, tuple[str, ...]]:
    """Parse the x and y of points, separated by ``;``, commas or blanks, with or without brackets around all and each of them.

    Args:
        text: the cell.
        counts: how many points a face may have.

    Returns:
        ``(68, 2)`` points, or another of the counts, or None if there are none (the cell is a missing value, or all ``-1`` or ``-2``) or they cannot be
        used; and in the latter case a warning code: ``landmark_count`` for another number of them, ``landmark_value``
        if one is not a number.
    """
    numbers = re.sub(r"[\s,;()\[\]{}]+", " ", text).split()
    if not numbers or text.strip() in MISSING_VALUES:
        return None, ()
    try:
        values = np.array(numbers, dtype=np.float64)
    except ValueError:
        return None, ("landmark_value",)
    if not np.isfinite(values).all():
        return None, ("landmark_value",)
    if np.isin(values, (-1, -2)).all():
        return None, ()
    if len(values) not in [2 * count for count in counts]:
        return None, ("landmark_count",)
    return values.reshape(-1, 2), ()
