"""Parsing the cells of a CSV."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.datasets.base import RejectedRow
from mien.datasets.csv_cells import (
    parse_affect,
    parse_box_xywh,
    parse_box_xyxy,
    parse_integer,
    parse_landmarks,
    require_readable,
)
from mien.datasets.csv_files import PROBLEM


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("7.0", 7),
        ("-2", -2),
        ("7.5", None),
        ("", None),
        ("seven", None),
        ("nan", None),
        ("inf", None),
    ],
)
def test_whole_numbers(text: str, number: int | None) -> None:
    """An integer is parsed as people and spreadsheets write it, and nothing else is."""
    assert parse_integer(text) == number


def test_box_of_width_and_height() -> None:
    """Left, top, width, height become left, top, right, bottom; a box may overlap the image's edge."""
    box_xyxy, warnings = parse_box_xywh(("-3", "2.5", "10", "20"))
    assert box_xyxy is not None
    assert (box_xyxy.tolist(), warnings) == ([-3.0, 2.5, 7.0, 22.5], ())


def test_box_of_corners() -> None:
    """Left, top, right, bottom are unchanged."""
    box_xyxy, warnings = parse_box_xyxy(("1", "2", "3", "4"))
    assert box_xyxy is not None
    assert (box_xyxy.tolist(), warnings) == ([1, 2, 3, 4], ())


@pytest.mark.parametrize("cells", [(), ("", " ", "", "")])
def test_no_box_is_no_warning(cells: tuple[str, ...]) -> None:
    """A row may have no box."""
    assert parse_box_xywh(cells) == (None, ())


@pytest.mark.parametrize(
    "cells",
    [
        pytest.param(("NULL",) * 4, id="NULL"),
        pytest.param(("1", "2", "", "4"), id="one missing"),
        pytest.param(("1", "2", "0", "4"), id="no width"),
        pytest.param(("1", "2", "3", "-4"), id="height below 0"),
        pytest.param(("nan", "2", "3", "4"), id="nan"),
        pytest.param(("1", "2", "inf", "4"), id="inf"),
        pytest.param(("1e308", "2", "1e308", "4"), id="beyond float"),
    ],
)
def test_cells_that_are_no_box_are_warned_of(cells: tuple[str, ...]) -> None:
    """What cannot be a box is dropped with a warning."""
    assert parse_box_xywh(cells) == (None, ("box_value",))


def test_corners_the_wrong_way_round_are_no_box() -> None:
    """A right edge to the left of the left edge is not a box."""
    assert parse_box_xyxy(("3", "2", "1", "4")) == (None, ("box_value",))


def test_a_row_with_a_problem_is_rejected() -> None:
    """A row that could not be split into cells is rejected with the reason."""
    with pytest.raises(RejectedRow, match="malformed_row: 3 columns"):
        require_readable({PROBLEM: "3 columns"})


def test_landmarks_are_read_in_order(points: NDArray[np.float64], points_text: str) -> None:
    """136 numbers are 68 points, x before y."""
    landmarks, warnings = parse_landmarks(points_text)
    np.testing.assert_allclose(landmarks, points)
    assert warnings == ()


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        pytest.param("", (), id="empty"),
        pytest.param(";".join(["-1"] * 136), (), id="all -1"),
        pytest.param(";".join(["-2.0"] * 136), (), id="all -2"),
        pytest.param("-2", (), id="one -2"),
        pytest.param(";".join(["5"] * 134), ("landmark_count",), id="67 points"),
        pytest.param(";".join(["5"] * 135 + ["x"]), ("landmark_value",), id="no number"),
        pytest.param(";".join(["5"] * 135 + ["nan"]), ("landmark_value",), id="nan"),
    ],
)
def test_landmarks_that_are_none(text: str, warnings: tuple[str, ...]) -> None:
    """Marks for "no landmarks" pass silently, broken landmarks with a warning."""
    assert parse_landmarks(text) == (None, warnings)


@pytest.mark.parametrize(
    ("text", "value"),
    [("-1", -1.0), ("0.25", 0.25), ("-2", None), ("1.5", None), ("", None), ("NULL", None), ("nan", None)],
)
def test_affect_is_a_number_in_range_or_none(text: str, value: float | None) -> None:
    """-2 and everything else outside [-1, 1] is "not annotated"."""
    assert parse_affect(text) == value
