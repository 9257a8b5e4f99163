"""Parsing the cells of a CSV."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.datasets.base import RejectedRow
from mien.datasets.csv_cells import (
    parse_affect_pair,
    parse_box,
    parse_box_xywh,
    parse_box_xyxy,
    parse_integer,
    parse_landmarks,
    parse_number,
    require_readable,
)
from mien.datasets.csv_files import PROBLEM
from mien.datasets.list_options import BoxFormat


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


@pytest.mark.parametrize("cells", [(), ("", " ", "", ""), ("NULL",) * 4, ("nan",) * 4])
def test_no_box_is_no_warning(cells: tuple[str, ...]) -> None:
    """A row may have no box."""
    assert parse_box_xywh(cells) == (None, ())


@pytest.mark.parametrize(
    "cells",
    [
        pytest.param(("NULL", "2", "3", "4"), id="NULL"),
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
    """136 numbers are 68 points, x before y, in brackets or not."""
    for text in (
        points_text,
        str(points.tolist()),
        str(tuple(map(tuple, points.tolist()))),
        str(points.ravel()),
    ):
        landmarks, warnings = parse_landmarks(text)
        np.testing.assert_allclose(landmarks, points)
        assert warnings == ()


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        pytest.param("", (), id="empty"),
        pytest.param(";".join(["-1"] * 136), (), id="all -1"),
        pytest.param(";".join(["-2.0"] * 136), (), id="all -2"),
        pytest.param("-2", (), id="one -2"),
        pytest.param("nan", (), id="missing value"),
        pytest.param(";".join(["5"] * 134), ("landmark_count",), id="67 points"),
        pytest.param(";".join(["5"] * 135 + ["x"]), ("landmark_value",), id="no number"),
        pytest.param(";".join(["5"] * 135 + ["nan"]), ("landmark_value",), id="nan"),
    ],
)
def test_landmarks_that_are_none(text: str, warnings: tuple[str, ...]) -> None:
    """Marks for "no landmarks" pass silently, broken landmarks with a warning."""
    assert parse_landmarks(text) == (None, warnings)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12,5", 12.5),
        ("0,125", 0.125),
        ("-1,250", None),
        ("1250,375", 1250.375),
        ("1,2,3", None),
        ("1.5", 1.5),
    ],
)
def test_decimal_commas(text: str, number: float | None) -> None:
    """A comma that cannot stand between thousands comes before decimals."""
    np.testing.assert_equal(parse_number(text), np.nan if number is None else number)


@pytest.mark.parametrize(
    ("text", "value", "is_reported"),
    [
        *(("-1", -1.0, False), ("0.25", 0.25, False), ("-2", None, False), ("", None, False)),
        *(
            ("NULL", None, False),
            ("nan", None, False),
            ("1.5", None, True),
            ("-5", None, True),
            ("0,5", 0.5, False),
            ("0,5,1", None, True),
        ),
    ],
)
def test_affect_is_a_number_in_range_or_none(text: str, value: float | None, is_reported: bool) -> None:
    """-2 and missing values are "not annotated"; everything else outside [-1, 1] is a warning of its column."""
    assert parse_affect_pair(text, "0.5") == (value, 0.5, ("valence_value",) * is_reported)
    assert parse_affect_pair("0.5", text) == (0.5, value, ("arousal_value",) * is_reported)


def test_affect_on_another_scale_is_mapped() -> None:
    """Ends and middle of the scale become -1, 1 and 0."""
    assert parse_affect_pair("1", "9", (1, 9)) == (-1, 1, ())
    assert parse_affect_pair("5", "0", (1, 9)) == (0, None, ("arousal_value",))


@pytest.mark.parametrize(
    ("cells", "box_format"),
    [
        (("1", "2", "3", "6"), "xyxy"),
        (("1", "2", "2", "4"), "xywh"),
        (("2", "4", "2", "4"), "cxcywh"),
        (("1", "2", "3", "6"), "relative-xyxy"),
        (("[1, 2, 2.0, 4]",), "xywh"),
        (("1 2;3,6",), "xyxy"),
    ],
)
def test_a_box_in_each_format(cells: tuple[str, ...], box_format: BoxFormat) -> None:
    """Four cells or one; corners, sizes or the center."""
    box_xyxy, warnings = parse_box(cells, box_format)
    np.testing.assert_array_equal(box_xyxy, [1, 2, 3, 6])
    assert warnings == ()


def test_one_cell_that_is_no_box() -> None:
    """Empty is none; another number of numbers is a warning."""
    assert parse_box(("[]",), "xyxy") == (None, ())
    assert parse_box(("1 2 3",), "xyxy") == (None, ("box_value",))
