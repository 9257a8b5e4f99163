"""Random changes of faces: limits, share and determinism. Landmarks are followed in tests/reference."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import torch

from mien.faces.crop import cut
from mien.faces.landmarks import FLIP_PERMUTATION
from mien.recipe import AugmentConfig
from mien.train.augment import change_pixels, draw_geometry, move_landmarks

STILL = AugmentConfig(
    flip=0, affine=0, rotation_deg=0, scale=0, shift=0, brightness=0, contrast=0, saturation=0, erase=0
)


def random_faces(n_faces: int = 4, side: int = 32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (n_faces, side, side, 3), dtype=torch.uint8, generator=generator)


def change(config: AugmentConfig, seed: int = 0, images: torch.Tensor | None = None) -> torch.Tensor:
    images = random_faces() if images is None else images
    faces = enumerate(images.numpy())
    changed = [change_pixels(face, config, np.random.default_rng((seed, place))) for place, face in faces]
    return torch.from_numpy(np.stack(changed)).float()


def test_geometry_that_is_off_is_the_identity() -> None:
    """With every change off the face and its points come back untouched."""
    matrix, mirrored = draw_geometry(STILL, np.random.default_rng(0))
    np.testing.assert_array_equal(matrix, [[1, 0, 0], [0, 1, 0]])
    assert not mirrored
    face = random_faces(1).numpy()[0]
    np.testing.assert_array_equal(cut(face, matrix / np.array([32, 32, 1.0]), 32), face)


def test_affine_with_no_room_is_the_identity() -> None:
    """An affine change of no turn, scale or shift moves nothing."""
    matrix, _ = draw_geometry(replace(STILL, affine=1), np.random.default_rng(0))
    np.testing.assert_allclose(matrix, [[1, 0, 0], [0, 1, 0]], atol=1e-15)


def test_a_mirror_turns_every_pixel() -> None:
    """Flip alone is the picture from right to left, to the pixel."""
    matrix, mirrored = draw_geometry(replace(STILL, flip=1), np.random.default_rng(0))
    assert mirrored
    face = random_faces(1).numpy()[0]
    np.testing.assert_array_equal(cut(face, matrix / np.array([32, 32, 1.0]), 32), face[:, ::-1])


def test_a_mirror_swaps_left_and_right() -> None:
    """The left eye of the mirrored picture is the right eye, on the other side."""
    points = np.random.default_rng(0).random((68, 2)).astype(np.float32)
    matrix, mirrored = draw_geometry(replace(STILL, flip=1), np.random.default_rng(0))
    moved = move_landmarks(points, matrix, mirrored=mirrored)
    np.testing.assert_allclose(moved[:, 0], 1 - points[FLIP_PERMUTATION, 0], rtol=1e-6)
    np.testing.assert_allclose(moved[:, 1], points[FLIP_PERMUTATION, 1], rtol=1e-6)
    np.testing.assert_allclose(move_landmarks(moved, matrix, mirrored=True), points, atol=1e-6)


def test_missing_landmarks_stay_missing() -> None:
    """NaN goes through every change as NaN."""
    points = np.full((68, 2), np.nan, np.float32)
    matrix, mirrored = draw_geometry(AugmentConfig(flip=1), np.random.default_rng(0))
    assert np.isnan(move_landmarks(points, matrix, mirrored=mirrored)).all()


def test_geometry_stays_in_its_limits() -> None:
    """Turn, scale and shift of the middle are never larger than the recipe says, and come near it."""
    config = AugmentConfig(flip=0, rotation_deg=20, scale=0.2, shift=0.1)
    random = np.random.default_rng(0)
    matrices = np.array([draw_geometry(config, random)[0] for _ in range(2000)])
    scale = np.hypot(matrices[:, 0, 0], matrices[:, 1, 0])
    angle = np.degrees(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    shift = matrices[:, :, :2] @ (0.5, 0.5) + matrices[:, :, 2] - 0.5
    for values, limit in ((np.log(scale), np.log(1.2)), (angle, 20), (shift, 0.1)):
        assert 0.98 * limit < np.abs(values).max() <= limit + 1e-9
        assert abs(values.mean()) < 0.05 * limit


@pytest.mark.parametrize("name", ["flip", "affine"])
def test_probability(name: str) -> None:
    """A change happens as often as the recipe says."""
    config = replace(AugmentConfig(flip=0, affine=0), **{name: 0.3})
    random = np.random.default_rng(0)
    changed = [not np.array_equal(draw_geometry(config, random)[0], np.eye(2, 3)) for _ in range(2000)]
    assert np.mean(changed) == pytest.approx(0.3, abs=0.04)


def test_one_change_does_not_disturb_another() -> None:
    """Switching the mirror off leaves the turn as it was."""
    plain, _ = draw_geometry(AugmentConfig(flip=0), np.random.default_rng(7))
    mirrored, _ = draw_geometry(AugmentConfig(flip=1), np.random.default_rng(7))
    np.testing.assert_allclose(mirrored[0], [-plain[0, 0], -plain[0, 1], 1 - plain[0, 2]])
    np.testing.assert_allclose(mirrored[1], plain[1])


def test_pixels_that_are_not_changed() -> None:
    """With colour and erasing off the values are the bytes."""
    assert torch.equal(change(STILL), random_faces().float())


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_a_grey_face(name: str) -> None:
    """Of an even grey, contrast and saturation leave all, brightness changes the level within its limit."""
    grey = torch.full((500, 4, 4, 3), 100, dtype=torch.uint8)
    levels = change(replace(STILL, **{name: 0.2}), images=grey)[:, 0, 0, 0]
    if name == "brightness":
        assert levels.min() >= 80
        assert levels.max() <= 120
        assert levels.max() - levels.min() > 35
    else:
        torch.testing.assert_close(levels, torch.full((500,), 100.0))


def test_pixels_stay_pixels() -> None:
    """The strongest colour changes keep shape and type, and do not wrap around at either end."""
    ramp = np.linspace(0, 255, 32).astype(np.uint8)[:, None, None].repeat(32, axis=1).repeat(3, axis=2)
    for seed in range(20):
        changed = change_pixels(
            ramp, AugmentConfig(brightness=1, contrast=1, erase=0), np.random.default_rng(seed)
        )
        assert changed.dtype == np.uint8
        assert changed.shape == ramp.shape
        assert (np.diff(changed[:, 0, 0].astype(int)) >= 0).all()


def test_colours_are_the_plain_formula() -> None:
    """One map of the colours is saturation, then contrast, then brightness, as each is defined alone."""
    face = random_faces(1).numpy()[0]
    config = replace(STILL, saturation=0.3, contrast=0.3, brightness=0.3)
    draws = np.random.default_rng(2).random(8)
    saturation, contrast, brightness = 1 + 0.3 * (2 * draws[:3] - 1)
    level = face[::4, ::4].mean()
    wanted = face.mean(axis=2, keepdims=True) * (1 - saturation) + face * saturation
    wanted = (wanted - level) * contrast + level * brightness
    got = change_pixels(face, config, np.random.default_rng(2))
    np.testing.assert_allclose(got, wanted.clip(0, 255), atol=1)


def test_erased_share() -> None:
    """An erased rectangle is a part of the face between a tenth of the limit and the limit."""
    images = random_faces(300, 64)
    changed = change(replace(STILL, erase=1, erase_area=0.2), images=images)
    share = (changed != images.float()).any(dim=3).float().mean(dim=(1, 2))
    assert share.min() > 0.01
    assert share.max() < 0.22
    assert share.mean() == pytest.approx(0.11, abs=0.02)


def test_erasing_probability() -> None:
    """So many faces are erased as the recipe says, with one even colour each."""
    images = random_faces(400, 16)
    changed = change(replace(STILL, erase=0.25), images=images)
    erased = (changed != images.float()).flatten(1).any(dim=1)
    assert erased.float().mean() == pytest.approx(0.25, abs=0.06)


def test_the_same_draw_changes_the_same_way() -> None:
    """A seed decides every change, and another seed changes otherwise."""
    assert torch.equal(change(AugmentConfig(), seed=3), change(AugmentConfig(), seed=3))
    assert not torch.equal(change(AugmentConfig(), seed=3), change(AugmentConfig(), seed=4))
    one, other = (draw_geometry(AugmentConfig(), np.random.default_rng(5))[0] for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_faces_of_a_batch_change_differently() -> None:
    """Two equal faces of one batch do not stay equal."""
    changed = change(AugmentConfig(erase=1), images=random_faces(1).repeat(2, 1, 1, 1))
    assert not torch.equal(changed[0], changed[1])
