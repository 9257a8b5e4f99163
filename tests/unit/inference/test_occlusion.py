"""Occlusion maps of functions whose answer is known to depend on one part of the image."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.faces.blur import blur_crop
from mien.inference.occlusion import SPOT, log_odds, occlusion_map

SIDE = 48


def striped(random: np.random.Generator) -> NDArray[np.uint8]:
    """A crop with stripes, which blurring removes."""
    pixels = np.full((SIDE, SIDE, 3), 120, np.uint8)
    pixels[:, ::4] = 220
    return pixels + random.integers(0, 8, pixels.shape, dtype=np.uint8)


def sees(rows: slice, columns: slice, *, sign: float = 1.0):
    """Return a model of two classes: the contrast in one part speaks for (or against) the first."""

    def predict(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        contrast = crops[:, rows, columns].astype(np.float32).std(axis=(1, 2, 3)) / 20
        first = 1 / (1 + np.exp(-sign * contrast))
        return np.stack([first, 1 - first], axis=1).astype(np.float32)

    return predict


@pytest.mark.parametrize(
    ("rows", "columns"),
    [(slice(0, 12), slice(0, 12)), (slice(30, 44), slice(20, 34))],
    ids=["corner", "middle"],
)
def test_the_part_that_the_answer_depends_on_is_marked(rows: slice, columns: slice) -> None:
    """The largest value lies in it; far from it there is nothing."""
    crop = striped(np.random.default_rng(0))
    heat = occlusion_map(crop, 0, sees(rows, columns))
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert rows.start <= row < rows.stop
    assert columns.start <= column < columns.stop
    far = np.ones_like(heat, dtype=bool)
    reach = round(5 * SPOT * SIDE)
    far[
        max(0, rows.start - reach) : rows.stop + reach, max(0, columns.start - reach) : columns.stop + reach
    ] = False
    assert np.abs(heat[far]).max() < 0.05 * heat.max()


def test_what_speaks_against_a_class_is_negative() -> None:
    """For the other class of two, the map is the same with the opposite sign."""
    crop = striped(np.random.default_rng(1))
    predict = sees(slice(8, 24), slice(8, 24))
    first, second = (occlusion_map(crop, target, predict) for target in (0, 1))
    assert second.min() < -0.1
    np.testing.assert_allclose(second, -first, atol=1e-4)


def test_a_map_is_the_weighted_mean_of_the_drops() -> None:
    """Compared with a loop over positions and pixels, without any shortcut."""
    steps = 3
    crop = striped(np.random.default_rng(2))
    predict = sees(slice(0, 20), slice(10, 30))
    blurred, grid = blur_crop(crop), np.mgrid[:SIDE, :SIDE] + 0.5
    total, weights = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE))
    for y in range(steps):
        for x in range(steps):
            center = (np.array([y, x]) + 0.5) * SIDE / steps
            spot = np.exp(-((grid - center[:, None, None]) ** 2).sum(axis=0) / (2 * (SPOT * SIDE) ** 2))
            hidden = np.rint(crop * (1 - spot[..., None]) + blurred * spot[..., None]).astype(np.uint8)
            drop = log_odds(predict(crop[None]), 0) - log_odds(predict(hidden[None]), 0)
            total, weights = total + spot * drop, weights + spot
    np.testing.assert_allclose(occlusion_map(crop, 0, predict, steps=steps), total / weights, atol=1e-4)


def test_log_odds_of_certain_answers_are_finite() -> None:
    """Probabilities of 0 and 1 occur in float32."""
    odds = log_odds(np.array([[1.0, 0.0], [0.0, 1.0], [0.8, 0.2]], np.float32), 0)
    assert np.isfinite(odds).all()
    assert odds[0] == -odds[1]
    assert odds[2] == pytest.approx(np.log(4))
