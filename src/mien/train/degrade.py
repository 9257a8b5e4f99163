"""Augmentation by degraded images: small, blurred, dark, noisy or strongly compressed ones.

Every transform has a probability and a largest strength; the strengths are uniform up to it. They are applied in the
order in which a camera and a file format would.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.recipe import AugmentConfig

# Uniform numbers per face, a multiple of four: one for each transform, one for each strength, and a seed of the noise.
N_DEGRADATION_DRAWS = 12
BEST_QUALITY = 95


class Degradations(NamedTuple):
    """The degradations of the faces of a batch; NaN where one is left out.

    Attributes:
        light: ``(B,)`` factors of the brightness.
        scale: ``(B,)`` scales of the smaller image.
        sigma: ``(B,)`` standard deviations of the blur, as fractions of the side.
        noise_std: ``(B,)`` standard deviations of the noise, as fractions of white.
        jpeg_quality: ``(B,)`` from 1 to 95.
        seed: ``(B,)`` in [0, 1), for the noise.
    """

    light: NDArray[np.float64]
    scale: NDArray[np.float64]
    sigma: NDArray[np.float64]
    noise_std: NDArray[np.float64]
    jpeg_quality: NDArray[np.float64]
    seed: NDArray[np.float64]


def degrades(config: AugmentConfig) -> bool:
    """Return whether any degradation has a probability."""
    return any(
        (config.low_light_prob, config.downscale_prob, config.blur_prob, config.noise_prob, config.jpeg_prob)
    )


def sample_degradations(config: AugmentConfig, draws: NDArray[np.float64]) -> Degradations:
    """Turn uniform numbers into degradations.

    Args:
        config: probabilities and largest strengths.
        draws: ``(B, N_DEGRADATION_DRAWS)`` in [0, 1).
    """
    ranges = (
        (config.low_light_prob, 1.0, config.low_light_min),
        (config.downscale_prob, 1.0, config.downscale_min),
        (config.blur_prob, 0.0, config.blur_max_sigma),
        (config.noise_prob, 0.0, config.noise_max_std),
        (config.jpeg_prob, float(BEST_QUALITY), float(config.jpeg_min_quality)),
    )
    light, scale, sigma, noise_std, quality = (
        np.where(draws[:, index] < probability, weakest + (strongest - weakest) * draws[:, 5 + index], np.nan)
        for index, (probability, weakest, strongest) in enumerate(ranges)
    )
    return Degradations(light, scale, sigma, noise_std, quality, draws[:, 10])


def degrade_pixels(image_rgb: NDArray[np.uint8], degradations: Degradations, index: int) -> None:
    """Degrade a face in place.

    Args:
        image_rgb: ``(S, S, 3)`` uint8 RGB.
        degradations: degradations of its batch.
        index: the face's index in the batch.
    """
    side = len(image_rgb)
    light, scale, sigma, noise_std, quality, seed = (float(values[index]) for values in degradations)
    if not np.isnan(light):
        cv2.convertScaleAbs(image_rgb, dst=image_rgb, alpha=light)
    if not np.isnan(scale):
        small = max(1, round(scale * side))
        smaller = cv2.resize(image_rgb, (small, small), interpolation=cv2.INTER_AREA)
        cv2.resize(smaller, (side, side), dst=image_rgb, interpolation=cv2.INTER_LINEAR)
    if not np.isnan(sigma) and sigma * side > 0.1:  # below, the kernel is a single pixel
        cv2.GaussianBlur(image_rgb, (0, 0), sigma * side, dst=image_rgb)
    if not np.isnan(noise_std):
        random = np.random.default_rng(int(seed * 2**53))
        noise = random.standard_normal((side, side, 1), dtype=np.float32) * np.float32(255 * noise_std)
        image_rgb[:] = np.rint(image_rgb + noise).clip(0, 255)
    if not np.isnan(quality):
        image_bgr = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR)
        _, encoded = cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, round(quality)])
        cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB, dst=image_rgb)
