"""Landmarks, valence and arousal as lists write them."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.datasets.base import parse_affect, parse_landmarks


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
