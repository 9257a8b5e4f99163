"""Random changes of the training faces.

Each face's are drawn from its own generator and carried out in the loader's processes: the geometry with the crop
itself, one resampling in all, then the colours on the bytes. With the colours on whole batches of floats,
the input as a whole was five times slower on a CPU core (benchmarks/training_input.py).
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.faces.landmarks import FLIP_PERMUTATION
from mien.recipe import AugmentConfig


def draw_geometry(config: AugmentConfig, random: np.random.Generator) -> tuple[NDArray[np.float64], bool]:
    """Draw a change of place.

    Returns:
        A ``(2, 3)`` matrix from fractions of the stored crop to fractions of the changed one, and whether it
        mirrors.
    """
    # All numbers are always drawn, so that switching one change off leaves the others as they were.
    flip, affine, turn, scale, shift_x, shift_y = random.random(6)
    mirrored = bool(flip < config.flip)
    matrix = np.array([[1.0, 0, 0], [0, 1.0, 0]])
    if affine < config.affine:
        angle = math.radians(config.rotation_deg) * (2 * turn - 1)
        factor = (1 + config.scale) ** (2 * scale - 1)
        cos, sin = factor * math.cos(angle), factor * math.sin(angle)
        matrix = np.array([[cos, -sin, 0], [sin, cos, 0]])
        shift = config.shift * np.array([2 * shift_x - 1, 2 * shift_y - 1])
        matrix[:, 2] = 0.5 + shift - matrix[:, :2] @ (0.5, 0.5)
    if mirrored:
        matrix[0] = [-matrix[0, 0], -matrix[0, 1], 1 - matrix[0, 2]]
    return matrix, mirrored


def move_landmarks(
    landmarks: NDArray[np.float32], matrix: NDArray[np.float64], *, mirrored: bool
) -> NDArray[np.float32]:
    """Return ``(68, 2)`` landmarks where the changed face has them; left and right swap in a mirror."""
    moved = (landmarks @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    return moved[FLIP_PERMUTATION] if mirrored else moved


def change_pixels(
    image_rgb: NDArray[np.uint8], config: AugmentConfig, random: np.random.Generator
) -> NDArray[np.uint8]:
    """Return a face with its colours changed and a rectangle erased.

    Saturation, contrast and brightness are one linear map of the colours about the face's mean, carried out
    and rounded once.

    Args:
        image_rgb: ``(S, S, 3)`` uint8 RGB.
        config: how much.
        random: the face's own generator.

    Returns:
        ``(S, S, 3)`` uint8 RGB; the given array where nothing changes.
    """
    draws = random.random(8)
    saturation, contrast, brightness = (
        1 + spread * (2 * draw - 1)
        for spread, draw in zip(
            (config.saturation, config.contrast, config.brightness), draws[:3], strict=True
        )
    )
    erased = draws[3] < config.erase
    if not erased and (saturation, contrast, brightness) == (1, 1, 1):
        return image_rgb
    level = _mean_color(image_rgb).mean()
    mixing = contrast * (saturation * np.eye(3) + (1 - saturation) / 3)
    shift = level * (brightness - contrast)
    changed = cv2.transform(image_rgb, np.column_stack([mixing, np.full(3, shift)]))
    if erased:
        _erase(changed, config.erase_area, draws[4:], color=_mean_color(changed))
    return np.asarray(changed, dtype=np.uint8)


def _mean_color(image_rgb: cv2.typing.MatLike) -> NDArray[np.float64]:
    """Return the mean of every fourth pixel of every fourth row, which is as good and a tenth of the work."""
    return np.array(cv2.mean(np.ascontiguousarray(image_rgb[::4, ::4]))[:3])


def _erase(
    image_rgb: cv2.typing.MatLike,
    largest_area: float,
    draws: NDArray[np.float64],
    *,
    color: NDArray[np.float64],
) -> None:
    """Fill a rectangle in place (random erasing, Zhong et al. 2017, https://arxiv.org/abs/1708.04896)."""
    size = image_rgb.shape[0]
    area = largest_area * (0.1 + 0.9 * draws[0])
    ratio = math.exp((2 * draws[1] - 1) * math.log(3))
    height, width = (min(size, round(size * math.sqrt(value))) for value in (area * ratio, area / ratio))
    top, left = round(draws[2] * (size - height)), round(draws[3] * (size - width))
    image_rgb[top : top + height, left : left + width] = np.rint(color)
