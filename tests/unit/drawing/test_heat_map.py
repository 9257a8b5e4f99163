"""Maps drawn on faces."""

import numpy as np

from mien.drawing.heat_map import AGAINST_RGB, FOR_RGB, MAX_OPACITY, color_heat, draw_heat


def test_sign_is_the_color_and_size_the_opacity() -> None:
    """The largest value has the full opacity, 0 has none."""
    colors = color_heat(np.array([[2.0, -1.0], [0.0, 1.0]]))
    assert tuple(colors[0, 0, :3]) == FOR_RGB
    assert tuple(colors[0, 1, :3]) == AGAINST_RGB
    full = round(255 * MAX_OPACITY)
    assert colors[..., 3].tolist() == [[full, round(full / 2)], [0, round(full / 2)]]


def test_a_map_of_zeros_leaves_the_face_as_it_is() -> None:
    """Nothing divides by the largest value, 0."""
    face = np.full((48, 48, 3), 90, np.uint8)
    np.testing.assert_array_equal(draw_heat(face, np.zeros((48, 48)), side=96), np.full((96, 96, 3), 90))


def test_a_map_is_drawn_where_it_belongs() -> None:
    """A value at the lower left makes that corner orange."""
    face, heat = np.full((40, 40, 3), 100, np.uint8), np.zeros((40, 40), np.float32)
    heat[30:, :10] = 1
    drawing = draw_heat(face, heat, side=80).astype(int)
    assert drawing[75, 4, 0] - drawing[75, 4, 2] > 100
    assert drawing[4, 75].tolist() == [100, 100, 100]
