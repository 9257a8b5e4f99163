"""Augmentation: limits, probabilities and determinism. tests/reference covers landmarks."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch", reason="training needs the train extra")

from mien.faces.crop import crop_image
from mien.faces.landmarks import FLIP_PERMUTATION
from mien.recipe import AugmentConfig
from mien.train.augment import (
    N_DRAWS,
    Augmentations,
    augment_pixels,
    sample_augmentations,
    transform_landmarks,
)
from mien.train.sampler import uniform_draws

Faces = NDArray[np.uint8]

COLORS = ("saturation", "contrast", "brightness")


def random_faces(n_faces: int = 4, side: int = 32) -> Faces:
    return np.random.default_rng(1).integers(0, 256, (n_faces, side, side, 3), dtype=np.uint8)


def pale_faces(n_faces: int = 40, side: int = 64) -> Faces:
    """Faces in the middle of the range, so that no change here clips."""
    return (random_faces(n_faces, side) / 4 + 90).astype(np.uint8)


def plan(config: AugmentConfig, n_faces: int = 1, seed: int = 0) -> Augmentations:
    return sample_augmentations(config, uniform_draws(np.arange(n_faces), N_DRAWS, seed=seed, epoch=0))


def move(face: Faces, changes: Augmentations, place: int = 0) -> Faces:
    side = len(face)
    return crop_image(face, changes.matrices[place] / (side, side, 1.0), side)


def recolor(config: AugmentConfig, images: Faces, seed: int = 0) -> Faces:
    changed, changes = images.copy(), plan(config, len(images), seed)
    for place, image in enumerate(changed):
        augment_pixels(image, changes, place)
    return changed


def parts_of(changes: Augmentations) -> dict[str, NDArray[Any]]:
    """Each transform recovered separately; the ratio is height / width."""
    mirror = np.where(changes.flipped, -1, 1)
    linear = changes.matrices[:, :, :2].copy()
    linear[:, 0] *= mirror[:, None]
    center = changes.matrices[:, :, :2] @ (0.5, 0.5) + changes.matrices[:, :, 2] - 0.5
    contrast = changes.color_maps.sum(axis=2)[:, 0]
    x0, y0, x1, y1 = changes.erased_xyxy.T
    width, height = x1 - x0, y1 - y0
    return {
        "mirror": changes.flipped,
        "angle": np.degrees(np.arctan2(linear[:, 1, 0], linear[:, 0, 0])),
        "scale": np.log(np.hypot(linear[:, 0, 0], linear[:, 1, 0])),
        "shift_x": center[:, 0] * mirror,
        "shift_y": center[:, 1],
        "saturation": (changes.color_maps[:, 0, 0] - changes.color_maps[:, 0, 1]) / contrast,
        "contrast": contrast,
        "brightness": changes.color_shifts + contrast,
        "erased": ~np.isnan(x0),
        "area": width * height,
        "ratio": np.log(height / width),
        "left": x0 / (1 - width),
        "top": y0 / (1 - height),
    }


def test_geometry_that_is_off_is_the_identity(still: AugmentConfig) -> None:
    """With every transform off, a face comes back byte for byte."""
    changes = plan(still, 4)
    np.testing.assert_array_equal(changes.matrices, np.tile(np.eye(2, 3), (4, 1, 1)))
    assert not changes.flipped.any()
    assert np.isnan(changes.erased_xyxy).all()
    for place, face in enumerate(random_faces()):
        np.testing.assert_array_equal(move(face, changes, place), face)


def test_affine_with_no_room_is_the_identity(still: AugmentConfig) -> None:
    """An affine transform with no rotation, scale or shift moves nothing."""
    changes = plan(replace(still, affine_prob=1), 50)
    np.testing.assert_allclose(changes.matrices, np.tile(np.eye(2, 3), (50, 1, 1)), atol=1e-15)


def test_a_flip_mirrors_every_pixel(still: AugmentConfig) -> None:
    """A flip alone is the image from right to left, to the pixel."""
    changes = plan(replace(still, hflip_prob=1))
    assert changes.flipped.all()
    face = random_faces(1)[0]
    np.testing.assert_array_equal(move(face, changes), face[:, ::-1])


def test_a_flip_swaps_left_and_right(still: AugmentConfig) -> None:
    """The left eye of the flipped image is the right eye, on the other side; two flips cancel."""
    points = np.random.default_rng(0).random((3, 68, 2)).astype(np.float32)
    changes = plan(replace(still, hflip_prob=1), 3)
    moved = transform_landmarks(points, changes)
    assert moved.dtype == np.float32
    np.testing.assert_allclose(moved[:, :, 0], 1 - points[:, FLIP_PERMUTATION, 0], rtol=1e-6)
    np.testing.assert_allclose(moved[:, :, 1], points[:, FLIP_PERMUTATION, 1], rtol=1e-6)
    np.testing.assert_allclose(transform_landmarks(moved, changes), points, atol=1e-6)


def test_only_flipped_faces_swap_left_and_right(still: AugmentConfig) -> None:
    """In a batch where some faces are flipped, the others keep the order of their landmarks."""
    points = np.random.default_rng(0).random((40, 68, 2)).astype(np.float32)
    changes = plan(replace(still, hflip_prob=0.5), 40)
    assert 0 < changes.flipped.sum() < 40
    moved = transform_landmarks(points, changes)
    np.testing.assert_array_equal(moved[~changes.flipped], points[~changes.flipped])
    np.testing.assert_allclose(
        moved[changes.flipped][:, :, 1], points[changes.flipped][:, FLIP_PERMUTATION, 1], rtol=1e-6
    )


def test_missing_landmarks_stay_missing() -> None:
    """NaN goes through every transform as NaN, and the other faces keep their landmarks."""
    points = np.random.default_rng(0).random((20, 68, 2)).astype(np.float32)
    points[::3] = np.nan
    missing = np.isnan(transform_landmarks(points, plan(AugmentConfig(hflip_prob=0.5), 20))).all(axis=(1, 2))
    present = np.isfinite(transform_landmarks(points, plan(AugmentConfig(hflip_prob=0.5), 20))).all(
        axis=(1, 2)
    )
    np.testing.assert_array_equal(np.flatnonzero(missing), np.arange(0, 20, 3))
    np.testing.assert_array_equal(present, ~missing)


def test_transforms_stay_in_their_limits() -> None:
    """No transform exceeds the recipe's limits; each comes near its limit on both sides."""
    config = AugmentConfig(
        rotation_deg=20, scale=0.2, shift=0.1, saturation=0.3, contrast=0.4, brightness=0.5, erase_prob=1
    )
    parts = parts_of(plan(config, 2000))
    limits = {"angle": 20, "scale": np.log(1.2), "shift_x": 0.1, "shift_y": 0.1, "ratio": np.log(3)}
    for name, limit in limits.items():
        assert 0.98 * limit < parts[name].max() <= limit + 1e-9, name
        assert 0.98 * limit < -parts[name].min() <= limit + 1e-9, name
        assert abs(parts[name].mean()) < 0.05 * limit, name
    for name in COLORS:
        spread = getattr(config, name)
        assert 0.98 * spread < np.abs(parts[name] - 1).max() <= spread + 1e-9, name
        assert abs(parts[name].mean() - 1) < 0.05 * spread, name
    for name in ("left", "top"):
        assert 0 <= parts[name].min() < 0.02, name
        assert 0.98 < parts[name].max() <= 1 + 1e-9, name


@pytest.mark.parametrize("name", ["hflip_prob", "affine_prob", "erase_prob"])
def test_probability(name: str) -> None:
    """A transform is applied as often as the recipe says."""
    changes = plan(replace(AugmentConfig(hflip_prob=0, affine_prob=0, erase_prob=0), **{name: 0.3}), 2000)
    changed = {
        "hflip_prob": changes.flipped,
        "affine_prob": (changes.matrices != np.eye(2, 3)).any(axis=(1, 2)),
        "erase_prob": np.isfinite(changes.erased_xyxy).all(axis=1),
    }
    assert changed[name].mean() == pytest.approx(0.3, abs=0.04)
    if name != "hflip_prob":
        assert not changes.flipped.any()


# A recipe with everything on, and what each of its keys decides.
EVERYTHING = AugmentConfig(erase_prob=1)
DECIDES = {
    "hflip_prob": {"mirror"},
    "affine_prob": {"angle", "scale", "shift_x", "shift_y"},
    "rotation_deg": {"angle"},
    "scale": {"scale"},
    "shift": {"shift_x", "shift_y"},
    "saturation": {"saturation"},
    "contrast": {"contrast"},
    "brightness": {"brightness"},
    "erase_prob": {"erased", "area", "ratio", "left", "top"},
}


@pytest.mark.parametrize("name", DECIDES)
def test_one_transform_does_not_affect_another(name: str) -> None:
    """Switching a transform off removes it and leaves every other as it was."""
    before, after = (parts_of(plan(config, 50)) for config in (EVERYTHING, replace(EVERYTHING, **{name: 0})))
    for part, values in before.items():
        if part in DECIDES[name]:
            assert not np.array_equal(after[part], values), part
        else:
            np.testing.assert_allclose(after[part], values, atol=1e-12, err_msg=part)


def test_transforms_are_independent() -> None:
    """No two transforms of a face are correlated: each has its own draw."""
    n_faces = 4000
    parts = parts_of(plan(EVERYTHING, n_faces))
    parts["erased"] = parts_of(plan(replace(EVERYTHING, erase_prob=0.5), n_faces))["erased"]
    table = np.corrcoef([values.astype(float) for values in parts.values()])
    off_diagonal = table[~np.eye(len(parts), dtype=bool)]
    assert np.abs(off_diagonal).max() < 4.5 / np.sqrt(n_faces)


def test_a_face_is_augmented_alike_in_any_batch() -> None:
    """A face's augmentation depends on its own draws, not on the other faces."""
    draws = uniform_draws(np.arange(12), N_DRAWS, seed=4, epoch=0)
    points = np.random.default_rng(0).random((12, 68, 2)).astype(np.float32)
    config = AugmentConfig(erase_prob=0.5)
    together, faces = sample_augmentations(config, draws), random_faces(12)
    moved = transform_landmarks(points, together)
    for place in range(12):
        alone = sample_augmentations(config, draws[place : place + 1])
        for name in ("matrices", "flipped", "color_maps", "color_shifts", "erased_xyxy"):
            np.testing.assert_array_equal(getattr(alone, name)[0], getattr(together, name)[place])
        np.testing.assert_allclose(transform_landmarks(points[place : place + 1], alone)[0], moved[place])
        one, other = faces[place].copy(), faces[place].copy()
        augment_pixels(one, alone, 0)
        augment_pixels(other, together, place)
        np.testing.assert_array_equal(one, other)


def test_pixels_that_are_not_changed(still: AugmentConfig) -> None:
    """With color and erasing off, the pixels are unchanged."""
    np.testing.assert_array_equal(recolor(still, random_faces()), random_faces())


@pytest.mark.parametrize("name", COLORS)
def test_a_gray_face(name: str, still: AugmentConfig) -> None:
    """Contrast and saturation do not change a uniform gray, brightness changes its level within the limit."""
    gray = np.full((500, 4, 4, 3), 100, dtype=np.uint8)
    levels = recolor(replace(still, **{name: 0.2}), gray)[:, 0, 0, 0].astype(int)
    if name == "brightness":
        assert levels.min() >= 80
        assert levels.max() <= 120
        assert levels.max() - levels.min() > 35
    else:
        np.testing.assert_array_equal(levels, 100)


def test_pixels_stay_pixels() -> None:
    """The strongest color changes do not wrap around at either end: a ramp never decreases."""
    ramp = np.linspace(0, 255, 32).astype(np.uint8)[:, None, None].repeat(32, axis=1).repeat(3, axis=2)
    changed = recolor(
        AugmentConfig(brightness=1, contrast=1, saturation=1, erase_prob=0), np.tile(ramp, (40, 1, 1, 1))
    )
    assert (np.diff(changed.astype(int), axis=1) >= 0).all()
    assert (changed == 0).any()
    assert (changed == 255).any()


def test_colors_are_the_plain_formula(still: AugmentConfig) -> None:
    """The one color map is saturation, then contrast, then brightness, as each is defined separately.

    The mean level is that of every eighth row: the others are brighter here.
    """
    faces = random_faces(30) // 2
    faces[:, np.arange(32) % 8 != 0] += 60
    config = replace(still, saturation=0.3, contrast=0.3, brightness=0.3)
    parts = parts_of(plan(config, 30))
    got = recolor(config, faces)
    for place, face in enumerate(faces):
        saturation, contrast, brightness = (parts[name][place] for name in COLORS)
        level = face[::8].mean()
        wanted = face.mean(axis=2, keepdims=True) * (1 - saturation) + face * saturation
        wanted = (wanted - level) * contrast + level * brightness
        np.testing.assert_allclose(got[place], wanted.clip(0, 255), atol=1)


def test_contrast_keeps_the_mean_and_brightness_scales_it(still: AugmentConfig) -> None:
    """Contrast scales only the deviation from the mean, and brightness only the mean."""
    faces = pale_faces()
    for name in ("contrast", "brightness"):
        config = replace(still, **{name: 0.4})
        changed, factor = recolor(config, faces).astype(float), parts_of(plan(config, 40))[name]
        spread = changed.std(axis=(1, 2, 3)) / faces.std(axis=(1, 2, 3))
        mean = changed.mean(axis=(1, 2, 3)) / faces.mean(axis=(1, 2, 3))
        np.testing.assert_allclose(spread, factor if name == "contrast" else 1, atol=0.02)
        np.testing.assert_allclose(mean, factor if name == "brightness" else 1, atol=0.005)


def test_saturation_to_gray_and_beyond(still: AugmentConfig) -> None:
    """Saturation moves colors away from the pixel's own gray or toward it, and keeps that gray."""
    faces, config = pale_faces(), replace(still, saturation=1)
    changed, factor = recolor(config, faces).astype(float), parts_of(plan(config, 40))["saturation"]
    np.testing.assert_allclose(changed.mean(axis=3), faces.mean(axis=3), atol=1)
    spread = changed.std(axis=3).mean(axis=(1, 2)) / faces.std(axis=3).mean(axis=(1, 2))
    np.testing.assert_allclose(spread, factor, atol=0.02)


def test_erased_area(still: AugmentConfig) -> None:
    """An erased rectangle covers between a tenth of the limit and the limit."""
    images = random_faces(300, 64)
    changed = recolor(replace(still, erase_prob=1, erase_max_area=0.2), images)
    share = (changed != images).any(axis=3).mean(axis=(1, 2))
    assert share.min() > 0.01
    assert share.max() < 0.22
    assert share.mean() == pytest.approx(0.11, abs=0.02)


def test_the_erased_rectangle_has_one_color(still: AugmentConfig) -> None:
    """The erased rectangle has the augmented face's mean color, and nothing outside it is erased."""
    images = pale_faces()
    colors = replace(still, saturation=0.2, contrast=0.2, brightness=0.2)
    plain, erased = (recolor(replace(colors, erase_prob=erase), images) for erase in (0, 1))
    for before, after in zip(plain, erased, strict=True):
        rows, columns = (np.flatnonzero((before != after).any(axis=(axis, 2))) for axis in (1, 0))
        inside = np.zeros((64, 64), dtype=bool)
        inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
        np.testing.assert_array_equal(after[~inside], before[~inside])
        assert len(np.unique(after[inside], axis=0)) == 1
        np.testing.assert_allclose(after[inside][0], before[::8].mean(axis=(0, 1)), atol=1)


@pytest.mark.parametrize("area", [0.0, 1.0])
def test_extremes_of_erasing(area: float, still: AugmentConfig) -> None:
    """Nothing at all may be erased, or nearly everything; a rectangle never leaves the face."""
    rectangles = plan(replace(still, erase_prob=1, erase_max_area=area), 500).erased_xyxy
    assert (rectangles >= 0).all()
    assert (rectangles <= 1 + 1e-12).all()
    images = random_faces(20)
    unchanged = (recolor(replace(still, erase_prob=1, erase_max_area=area), images) == images).all()
    assert unchanged == (area == 0)


def test_erasing_probability(still: AugmentConfig) -> None:
    """The fraction of erased faces is the recipe's."""
    images = random_faces(400, 16)
    changed = recolor(replace(still, erase_prob=0.25), images)
    erased = (changed != images).any(axis=(1, 2, 3))
    assert erased.mean() == pytest.approx(0.25, abs=0.06)


def test_the_same_draw_gives_the_same_transform() -> None:
    """A seed decides every transform, and another seed gives others."""
    faces, config = random_faces(), AugmentConfig()
    np.testing.assert_array_equal(recolor(config, faces, seed=3), recolor(config, faces, seed=3))
    assert not np.array_equal(recolor(config, faces, seed=3), recolor(config, faces, seed=4))
    np.testing.assert_array_equal(plan(config, 5, seed=5).matrices, plan(config, 5, seed=5).matrices)


def test_faces_of_a_batch_are_augmented_differently() -> None:
    """Two equal faces in a batch do not stay equal."""
    changed = recolor(AugmentConfig(erase_prob=1), random_faces(1).repeat(2, axis=0))
    assert not np.array_equal(changed[0], changed[1])
