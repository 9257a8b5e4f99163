"""Facial contours."""

import numpy as np

from mien.drawing.contours import visible_contours
from mien.faces.landmarks import CONTOURS, JAW, LEFT_EYE

LANDMARKS = np.random.default_rng(0).uniform(0, 1, (68, 2))


def test_complete_landmarks_give_every_contour() -> None:
    """Each contour comes with all of its points."""
    found = list(visible_contours(LANDMARKS))
    assert [closed for _, closed in found] == [closed for _, closed in CONTOURS]
    for (points, _), (indices, _) in zip(found, CONTOURS, strict=True):
        np.testing.assert_array_equal(points, LANDMARKS[indices])


def test_contours_are_split_at_missing_points() -> None:
    """The jaw falls into two parts; an eye becomes an open line across its former start."""
    landmarks = np.full((68, 2), np.nan)
    landmarks[JAW], landmarks[LEFT_EYE] = LANDMARKS[JAW], LANDMARKS[LEFT_EYE]
    landmarks[[5, LEFT_EYE.start + 2]] = np.nan
    parts = [(points.tolist(), closed) for points, closed in visible_contours(landmarks)]
    eye = LANDMARKS[LEFT_EYE]
    assert parts == [
        (LANDMARKS[:5].tolist(), False),
        (LANDMARKS[6:17].tolist(), False),
        (eye[:2].tolist(), False),
        (eye[[3, 4, 5, 0]].tolist(), False),
    ]


def test_landmarks_that_are_all_missing_give_nothing() -> None:
    assert list(visible_contours(np.full((68, 2), np.nan))) == []
