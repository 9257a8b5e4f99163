"""The light on a head, and the camera."""

from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.sample.canvas import Pixels
from mien.sample.geometry import View

_GRID = 32
_GRAIN_SIDE = 512
_GRAIN_SCALE = 24.0


class Light(NamedTuple):
    """How an image is lit and taken.

    Attributes:
        x: direction of the light, from -1 (left of the image) to 1 (right).
        y: direction of the light, from -1 (above) to 1 (below).
        contrast: 0 for diffuse light, 1 for a single lamp.
        tint: ``(3,)`` factor for red, green and blue, including the exposure.
        blur: standard deviation of the lens blur in pixels.
        grain: standard deviation of the noise in gray levels.
        is_gray: whether the image is black and white.
        quality: JPEG quality.
    """

    x: float
    y: float
    contrast: float
    tint: NDArray[np.float64]
    blur: float
    grain: float
    is_gray: bool
    quality: int


def sample_light(rng: np.random.Generator) -> Light:
    """Sample a light and a camera."""
    return Light(
        x=float(rng.uniform(-1, 1)),
        y=float(rng.uniform(-0.8, 0.25)),
        contrast=float(rng.uniform(0.15, 0.75)),
        tint=np.exp(rng.normal(-0.05, 0.13)) * np.exp(rng.normal(0, 0.028, 3)),
        blur=float(max(0.0, rng.normal(0.2, 0.45))),
        grain=float(rng.gamma(1.5, 1.3)),
        is_gray=bool(rng.random() < 0.07),
        quality=int(rng.integers(78, 96)),
    )


def apply_light(
    pixels: Pixels, light: Light, view: View | None, *, background: Pixels | None, rng: np.random.Generator
) -> Pixels:
    """Return a painted image as seen in a given light through a given camera.

    Args:
        pixels: ``(H, W, 3)`` uint8 RGB, evenly lit.
        light: the light and camera.
        view: view of the head that the light falls on; None if there is no head.
        background: the image before the head was painted; None if there is no head.
        rng: source of randomness for the grain.
    """
    height, width = pixels.shape[:2]
    if view is None or background is None:
        lit = cv2.multiply(pixels, tuple(light.tint), dtype=cv2.CV_8U)
    else:
        factor = cv2.resize(_light_field(light, view, (width, height)), (width, height))
        lit = cv2.multiply(background, tuple(light.tint), dtype=cv2.CV_8U)
        is_painted = cv2.cvtColor(cv2.absdiff(pixels, background), cv2.COLOR_RGB2GRAY)
        cv2.copyTo(cv2.multiply(pixels, factor, dtype=cv2.CV_8U), is_painted, lit)
    if light.blur > 0.25:
        lit = cv2.GaussianBlur(lit, (0, 0), light.blur)
    if light.is_gray:
        lit = cv2.cvtColor(cv2.cvtColor(lit, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    top, left = rng.integers(0, _GRAIN_SIDE - np.array([height, width]) + 1)
    grain = _grain()[top : top + height, left : left + width]
    strength = light.grain / _GRAIN_SCALE
    return np.asarray(cv2.addWeighted(lit, 1.0, grain, strength, -128 * strength), dtype=np.uint8)


def _light_field(light: Light, view: View, size_wh: tuple[int, int]) -> NDArray[np.float32]:
    """Return ``(32, 32, 3)`` factors of the light on an egg in place of the head."""
    steps = (np.arange(_GRID) + 0.5) / _GRID
    x = (steps * size_wh[0] - view.center[0]) / view.scale
    y = (steps[:, None] * size_wh[1] - view.center[1]) / view.scale
    cos, sin = np.cos(view.roll), np.sin(view.roll)
    u = (x * cos + y * sin) / 1.3
    v = (-x * sin + y * cos - 0.1) / 1.6
    radius_squared = u * u + v * v
    inside = np.sqrt(np.maximum(0.0, 1 - radius_squared))
    direction = np.array([light.x, light.y, 0.9])
    direction /= np.linalg.norm(direction)
    facing = np.maximum(0.0, u * direction[0] + v * direction[1] + inside * direction[2])
    falloff = np.exp(-4 * np.maximum(0.0, np.sqrt(radius_squared) - 1))
    shade = 1 + light.contrast * (0.75 * facing - 0.62) * falloff
    return np.asarray(shade[:, :, None] * light.tint, dtype=np.float32)


@cache
def _grain() -> Pixels:
    """Return noise that is the same in red, green and blue: mean 128, standard deviation `_GRAIN_SCALE`."""
    noise = np.random.default_rng(5).normal(size=(_GRAIN_SIDE, _GRAIN_SIDE)).astype(np.float32)
    noise = (noise + 0.6 * cv2.GaussianBlur(noise, (0, 0), 1.0)) / 1.25
    gray = np.clip(np.rint(128 + _GRAIN_SCALE * noise), 0, 255).astype(np.uint8)
    return np.repeat(gray[:, :, None], 3, axis=2)
