"""Landmarks move with the pixels: dots are drawn where the landmarks are, and found again after the change."""

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch", reason="training needs the train extra")

from mien.faces.crop import crop_image
from mien.faces.landmarks import FLIP_PERMUTATION, LEFT_EYE_OUTER_CORNER, RIGHT_EYE_OUTER_CORNER
from mien.recipe import AugmentConfig
from mien.train.augment import N_DRAWS, sample_augmentations, transform_landmarks
from mien.train.sampler import uniform_draws

SIDE, INPUT = 256, 128
DOT_RADIUS = 5.0
N_FACES = 8


def draw_dot(center: NDArray[np.floating]) -> NDArray[np.uint8]:
    """An image that is black but for a soft dot around a point in fractions of the side."""
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    distance = np.hypot(columns - center[0] * SIDE, rows - center[1] * SIDE)
    gray = 255 * np.clip(DOT_RADIUS + 0.5 - distance, 0, 1)
    return np.repeat(gray.astype(np.uint8)[..., None], 3, axis=2)


def find_dot(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The dot's center in fractions of the side."""
    weights = image[..., 0].astype(np.float64)
    rows, columns = np.mgrid[: len(image), : len(image)] + 0.5
    return np.array([(columns * weights).sum(), (rows * weights).sum()]) / weights.sum() / len(image)


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(AugmentConfig(hflip_prob=1, affine_prob=0), id="mirror"),
        pytest.param(AugmentConfig(hflip_prob=0, rotation_deg=40, scale=0, shift=0), id="turn"),
        pytest.param(AugmentConfig(hflip_prob=0, rotation_deg=0, scale=0.3, shift=0.1), id="scale and shift"),
        pytest.param(AugmentConfig(hflip_prob=1, rotation_deg=30, scale=0.2, shift=0.1), id="all of them"),
        pytest.param(
            AugmentConfig(hflip_prob=0.5, rotation_deg=30, scale=0.2, shift=0.1), id="a mixed batch"
        ),
    ],
)
def test_landmarks_stay_on_their_pixels(config: AugmentConfig) -> None:
    """Each landmark of a batch is within half a pixel of its dot after the change, under its new number."""
    points = np.random.default_rng(0).uniform(0.3, 0.7, (N_FACES, 68, 2)).astype(np.float32)
    changes = sample_augmentations(config, uniform_draws(np.arange(N_FACES), N_DRAWS, seed=0, epoch=0))
    assert set(changes.flipped.tolist()) == (
        {False, True} if config.hflip_prob == 0.5 else {config.hflip_prob == 1}
    )
    moved = transform_landmarks(points, changes)
    for place in range(N_FACES):
        numbers = FLIP_PERMUTATION if changes.flipped[place] else np.arange(68)
        for number in (0, 8, 20, LEFT_EYE_OUTER_CORNER, RIGHT_EYE_OUTER_CORNER, 62):
            image = draw_dot(points[place, numbers[number]])
            changed = crop_image(image, changes.matrices[place] / (SIDE, SIDE, 1.0), INPUT)
            np.testing.assert_allclose(moved[place, number], find_dot(changed), atol=0.5 / INPUT)
