"""Augmentation by degraded images."""

from dataclasses import fields

import cv2
import numpy as np
import pytest
from scipy import ndimage

from mien.recipe import AugmentConfig
from mien.train.degrade import (
    N_DEGRADATION_DRAWS,
    Degradations,
    degrade_pixels,
    degrades,
    sample_degradations,
)

SIDE = 48


def make(**values: float) -> Degradations:
    names = Degradations._fields
    return Degradations(*(np.array([values.get(name, 0.3 if name == "seed" else np.nan)]) for name in names))


def degraded(image: np.ndarray, **values: float) -> np.ndarray:
    copy = image.copy()
    degrade_pixels(copy, make(**values), 0)
    return copy


@pytest.fixture
def photo() -> np.ndarray:
    """A smooth image with an edge."""
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
    gray = 120 + 60 * np.sin(6 * rows + 2 * columns) + 50 * (columns > 0.5)
    return np.repeat(gray[..., None], 3, axis=2).clip(0, 255).astype(np.uint8)


def test_nothing_is_changed_without_a_degradation(photo: np.ndarray) -> None:
    """Left out, each one keeps the pixels."""
    np.testing.assert_array_equal(degraded(photo), photo)


def test_light_multiplies_the_brightness(photo: np.ndarray) -> None:
    """A quarter of the light is a quarter of every level."""
    np.testing.assert_allclose(degraded(photo, light=0.25), photo * 0.25, atol=0.5)


def test_blur_is_a_gaussian(photo: np.ndarray) -> None:
    """As in scipy, inside the border."""
    expected = ndimage.gaussian_filter(photo.astype(float), (0.03 * SIDE, 0.03 * SIDE, 0))
    inner = slice(8, -8)
    np.testing.assert_allclose(degraded(photo, sigma=0.03)[inner, inner], expected[inner, inner], atol=2)


def test_noise_has_its_standard_deviation() -> None:
    """And differs between seeds."""
    gray = np.full((200, 200, 3), 128, dtype=np.uint8)
    noisy = degraded(gray, noise_std=0.05).astype(float)
    assert noisy.mean() == pytest.approx(128, abs=0.3)
    assert noisy[..., 0].std() == pytest.approx(0.05 * 255, rel=0.02)
    assert (noisy != degraded(gray, noise_std=0.05, seed=0.31)).any()


def test_jpeg_is_a_round_trip(photo: np.ndarray) -> None:
    """The pixels are those of a JPEG file of that quality; the colors keep their order."""
    photo[..., 2] //= 3
    _, encoded = cv2.imencode(".jpg", photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 12])
    expected = cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1]
    ours = degraded(photo, jpeg_quality=12)
    np.testing.assert_array_equal(ours, expected)
    worst = np.abs(degraded(photo, jpeg_quality=2).astype(int) - photo).mean()
    assert np.abs(ours.astype(int) - photo).mean() < worst


def test_a_smaller_image_loses_detail() -> None:
    """Stripes of one pixel become gray at half the scale."""
    stripes = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    assert degraded(stripes, scale=0.5).std() < 5


def test_probabilities_and_strengths() -> None:
    """Each degradation is as frequent as it says, and its strengths fill their range."""
    config = AugmentConfig(
        low_light_prob=0.1, downscale_prob=0.2, blur_prob=0.3, noise_prob=0.4, jpeg_prob=0.5
    )
    draws = np.random.default_rng(0).random((20_000, N_DEGRADATION_DRAWS))
    sampled = sample_degradations(config, draws)
    limits = {
        "light": (0.1, config.low_light_min, 1),
        "scale": (0.2, config.downscale_min, 1),
        "sigma": (0.3, 0, config.blur_max_sigma),
        "noise_std": (0.4, 0, config.noise_max_std),
        "jpeg_quality": (0.5, config.jpeg_min_quality, 95),
    }
    for name, (probability, low, high) in limits.items():
        values = getattr(sampled, name)
        used = values[np.isfinite(values)]
        assert len(used) / len(values) == pytest.approx(probability, abs=0.015)
        assert low <= used.min() < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < used.max() <= high


def test_off_by_default() -> None:
    """No recipe degrades images without saying so."""
    assert not degrades(AugmentConfig())
    probabilities = [f.name for f in fields(AugmentConfig) if f.name.endswith("_prob")]
    for name in ("low_light_prob", "downscale_prob", "blur_prob", "noise_prob", "jpeg_prob"):
        assert name in probabilities
        assert degrades(AugmentConfig(**{name: 0.1}))
