"""What a list's cells hold: whole numbers and boxes."""

import math

import numpy as np
from numpy.typing import NDArray

from mien.datasets.base import RejectedRow
from mien.datasets.csv_files import PROBLEM


def require_readable(fields: dict[str, str]) -> None:
    """Reject a row that its list could not give the cells of.

    Raises:
        RejectedRow: ``malformed_row``.
    """
    if PROBLEM in fields:
        raise RejectedRow("malformed_row", fields[PROBLEM])


def parse_whole_number(text: str) -> int | None:
    """Read ``3`` or ``3.0``, as spreadsheets write whole numbers; None where it is neither.

    Example:
        >>> parse_whole_number(" 3.0"), parse_whole_number("-1"), parse_whole_number("3.5")
        (3, -1, None)
    """
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if value.is_integer() else None


def parse_box_xywh(cells: tuple[str, ...]) -> tuple[NDArray[np.float64] | None, tuple[str, ...]]:
    """Read a box from its left, top, width and height in pixels; see `parse_box_xyxy` for the rest."""
    if not any(cell.strip() for cell in cells):
        return None, ()
    left, top, width, height = (_number(cell) for cell in cells)
    return _sound_box(left, top, left + width, top + height)


def parse_box_xyxy(cells: tuple[str, ...]) -> tuple[NDArray[np.float64] | None, tuple[str, ...]]:
    """Read a box from its left, top, right and bottom in pixels and say what was wrong with it.

    Args:
        cells: four, or none where the list has no box.

    Returns:
        ``(4,)`` xyxy in pixels, or None where the cells hold none; and the warning code ``box_value`` where
        they hold something that is no box: no numbers, or no area.
    """
    if not any(cell.strip() for cell in cells):
        return None, ()
    left, top, right, bottom = (_number(cell) for cell in cells)
    return _sound_box(left, top, right, bottom)


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _sound_box(*values: float) -> tuple[NDArray[np.float64] | None, tuple[str, ...]]:
    box_xyxy = np.array(values, dtype=np.float64)
    if not np.isfinite(box_xyxy).all() or not (box_xyxy[2:] > box_xyxy[:2]).all():
        return None, ("box_value",)
    return box_xyxy, ()
