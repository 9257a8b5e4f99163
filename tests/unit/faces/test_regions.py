"""The parts of a face as masks."""

import numpy as np

from mien.faces.landmarks import LEFT_BROW, LEFT_EYE, NOSE, OUTER_MOUTH, RIGHT_EYE
from mien.faces.regions import REGIONS, region_masks


def draw_face() -> np.ndarray:
    """Return landmarks of a plain frontal face as fractions of the crop."""
    points = np.zeros((68, 2))
    angles = np.linspace(np.pi, 0, 17)
    points[:17] = np.column_stack([0.5 + 0.35 * np.cos(angles), 0.45 + 0.45 * np.sin(angles)])
    points[17:22] = np.column_stack([np.linspace(0.22, 0.42, 5), np.full(5, 0.32)])
    points[22:27] = np.column_stack([np.linspace(0.58, 0.78, 5), np.full(5, 0.32)])
    points[27:36] = np.column_stack([0.5 + 0.05 * np.sin(np.arange(9)), np.linspace(0.42, 0.6, 9)])
    turn = np.linspace(0, 2 * np.pi, 6, endpoint=False)
    for first, x in ((36, 0.33), (42, 0.67)):
        points[first : first + 6] = np.column_stack([x + 0.06 * np.cos(turn), 0.4 + 0.02 * np.sin(turn)])
    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    points[48:60] = np.column_stack([0.5 + 0.13 * np.cos(turn), 0.74 + 0.04 * np.sin(turn)])
    points[60:68] = points[48:60:2].repeat(2, axis=0)[:8]
    return points


def test_every_pixel_is_in_exactly_one_part() -> None:
    """The masks cover the crop without overlap, for a crop of any size, and for landmarks that lie partly outside."""
    for side, points in ((48, draw_face()), (224, draw_face()), (96, draw_face() * 1.4 - 0.3)):
        masks = region_masks(points, side)
        assert tuple(masks) == REGIONS
        np.testing.assert_array_equal(np.sum([*masks.values()], axis=0), np.ones((side, side)))


def test_a_part_holds_its_landmarks() -> None:
    """The centers of eyes, brows, nose and mouth are in their parts; a cheek and a corner of the crop in none of them."""
    points, masks = draw_face(), region_masks(draw_face(), 200)

    def part_at(xy: np.ndarray) -> str:
        column, row = (xy * 200).astype(int)
        return next(name for name, mask in masks.items() if mask[row, column])

    for part in (LEFT_EYE, RIGHT_EYE, LEFT_BROW):
        assert part_at(points[part].mean(axis=0)) == "eyes and brows"
    assert part_at(points[NOSE].mean(axis=0)) == "nose"
    assert part_at(points[OUTER_MOUTH].mean(axis=0)) == "mouth"
    assert part_at(np.array([0.25, 0.62])) == "rest of the face"
    assert part_at(np.array([0.5, 0.2])) == "rest of the face"
    assert part_at(np.array([0.02, 0.98])) == "background"
