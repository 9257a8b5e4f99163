"""Parsing the cells of a CSV: integers, boxes, landmarks, valence and arousal.

What cannot be parsed is None, with the code of a warning if it is not simply absent.
"""

import math

import numpy as np
from numpy.typing import NDArray

from mien.datasets.base import RejectedRow
from mien.datasets.csv_files import PROBLEM
from mien.faces.landmarks import N_LANDMARKS


def require_readable(fields: dict[str, str]) -> None:
    """Reject a row whose cells could not be read.

    Raises:
        RejectedRow: ``malformed_row``.
    """
    if PROBLEM in fields:
        raise RejectedRow("malformed_row", fields[PROBLEM])


def parse_integer(text: str) -> int | None:
    """Parse ``3`` or ``3.0``, as spreadsheets write integers; None for anything else.

    Example:
        >>> parse_integer(" 3.0"), parse_integer("-1"), parse_integer("3.5")
        (3, -1, None)
    """
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if value.is_integer() else None


def parse_affect(text: str) -> float | None:
    """Parse valence or arousal: a number in [-1, 1], or None (AffectNet writes -2 for "not annotated")."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if -1 <= value <= 1 else None


def parse_box_xywh(cells: tuple[str, ...]) -> tuple[NDArray[np.float64] | None, tuple[str, ...]]:
    """Parse a box given as left, top, width and height in pixels; see `parse_box_xyxy`."""
    if not any(cell.strip() for cell in cells):
        return None, ()
    left, top, width, height = (_parse_number(cell) for cell in cells)
    return _check_box(left, top, left + width, top + height)


def parse_box_xyxy(cells: tuple[str, ...]) -> tuple[NDArray[np.float64] | None, tuple[str, ...]]:
    """Parse a box given as left, top, right and bottom in pixels.

    Args:
        cells: four, or none if the list has no boxes.

    Returns:
        ``(4,)`` xyxy in pixels, or None if the cells are empty or not a box; and in the latter case, if one is not a
        number or the box has no area, the warning code ``box_value``.
    """
    if not any(cell.strip() for cell in cells):
        return None, ()
    left, top, right, bottom = (_parse_number(cell) for cell in cells)
    return _check_box(left, top, right, bottom)


def _parse_number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _check_box(*values: float) -> tuple[NDArray[np.float64] | None, tuple[str, ...]]:
    box_xyxy = np.array(values, dtype=np.float64)
    if not np.isfinite(box_xyxy).all() or not (box_xyxy[2:] > box_xyxy[:2]).all():
        return None, ("box_value",)
    return box_xyxy, ()


def parse_landmarks(text: str) -> tuple[NDArray[np.float64] | None, tuple[str, ...]]:
    """Parse 136 numbers separated by ``;``.

    Returns:
        ``(68, 2)`` points, or None if there are none (the cell is empty, or all ``-1`` or ``-2``) or they cannot be
        used; and in the latter case a warning code: ``landmark_count`` if there are not 136 numbers, ``landmark_value``
        if one is not a number.
    """
    text = text.strip().strip("[]")
    if not text:
        return None, ()
    try:
        values = np.array(text.split(";"), dtype=np.float64)
    except ValueError:
        return None, ("landmark_value",)
    if not np.isfinite(values).all():
        return None, ("landmark_value",)
    if np.isin(values, (-1, -2)).all():
        return None, ()
    if len(values) != 2 * N_LANDMARKS:
        return None, ("landmark_count",)
    return values.reshape(N_LANDMARKS, 2), ()
