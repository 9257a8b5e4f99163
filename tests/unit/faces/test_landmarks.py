"""The 68 landmarks."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.faces.landmarks import (
    CONTOURS,
    FLIP_PERMUTATION,
    JAW,
    LEFT_BROW,
    N_LANDMARKS,
    anchors_from_landmarks,
    are_in_order,
    eye_aspect_ratio,
    mouth_aspect_ratio,
)

# The iBUG mark-up's mirror pairs, counted from 1 as its authors draw them: jaw 1-17 ... lips 61-68.
IBUG_PAIRS_FROM_1 = [
    (1, 17), (2, 16), (3, 15), (4, 14), (5, 13), (6, 12), (7, 11), (8, 10), (9, 9), (18, 27), (19, 26), (20, 25),
    (21, 24), (22, 23), (28, 28), (29, 29), (30, 30), (31, 31), (32, 36), (33, 35), (34, 34), (37, 46), (38, 45),
    (39, 44), (40, 43), (41, 48), (42, 47), (49, 55), (50, 54), (51, 53), (52, 52), (60, 56), (59, 57), (58, 58),
    (61, 65), (62, 64), (63, 63), (68, 66), (67, 67),
]  # fmt: skip


def test_flip_pairs_are_those_of_ibug() -> None:
    """The mirror permutation swaps exactly the pairs of the iBUG figure."""
    expected = np.zeros(N_LANDMARKS, dtype=int)
    for a, b in IBUG_PAIRS_FROM_1:
        expected[a - 1], expected[b - 1] = b - 1, a - 1
    np.testing.assert_array_equal(FLIP_PERMUTATION, expected)


def test_flip_twice_is_nothing() -> None:
    """Mirroring twice restores every point."""
    np.testing.assert_array_equal(FLIP_PERMUTATION[FLIP_PERMUTATION], np.arange(N_LANDMARKS))


def test_anchors_are_eye_centers_and_mouth_corners() -> None:
    """The anchors are means of the six points of each eye, and points 49 and 55 of the figure."""
    points = np.random.default_rng(0).uniform(0, 100, (68, 2))
    expected = [points[36:42].mean(0), points[42:48].mean(0), points[48], points[54]]
    np.testing.assert_allclose(anchors_from_landmarks(points), expected)


def test_contours_draw_every_point_once() -> None:
    """The contours cover the 68 points, each once."""
    indices = np.concatenate([np.arange(68)[part] for part, _ in CONTOURS])
    np.testing.assert_array_equal(np.sort(indices), np.arange(68))
    assert (JAW.stop, LEFT_BROW.start) == (17, 17)


def test_aspect_ratios_by_hand() -> None:
    """Eyes of height 2 and 4 and width 10; a mouth opened by 3, 6 and 3 with a width of 12; turned and scaled alike."""
    points = np.zeros((68, 2))
    for start, height in ((36, 2.0), (42, 4.0)):
        half = height / 2
        points[start : start + 6] = [[0, 0], [3, -half], [7, -half], [10, 0], [7, half], [3, half]]
    points[60:68] = [[0, 0], [3, -1.5], [6, -3], [9, -1.5], [12, 0], [9, 1.5], [6, 3], [3, 1.5]]
    turn = 2.5 * np.array([[np.cos(0.7), -np.sin(0.7)], [np.sin(0.7), np.cos(0.7)]])
    for moved in (points, points @ turn.T + 5):
        assert eye_aspect_ratio(moved) == pytest.approx(0.3)
        assert mouth_aspect_ratio(moved) == pytest.approx(4 / 12)
    assert np.isnan(eye_aspect_ratio(np.zeros((68, 2))))


def test_points_in_another_order_are_noticed() -> None:
    """A face may be turned any way, but x and y cannot be exchanged, nor all x come before all y."""

    def arc(
        n: int, center_xy: tuple[float, float], radii: tuple[float, float], turns: float
    ) -> NDArray[np.float64]:
        angles = np.pi + turns * 2 * np.pi * np.arange(n) / n
        return np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii + center_xy

    jaw = arc(17, (50, 45), (40, -50), 0.5)
    brows, nose = [arc(5, (x, 30), (12, 4), 0.5) for x in (32, 68)], arc(9, (50, 55), (6, 8), -0.5)
    eyes, mouth = [arc(6, (x, 40), (8, 4), 1) for x in (32, 68)], arc(20, (50, 75), (15, 6), 1)
    mouth[6] = (65, 75)
    face = np.concatenate([jaw, *brows, nose, *eyes, mouth])
    assert are_in_order(face)
    assert are_in_order(face @ np.array([[0.6, 0.8], [-0.8, 0.6]]))
    assert are_in_order(-face)
    assert not are_in_order(face[:, ::-1])
    assert not are_in_order(face.T.reshape(68, 2))
