"""Random changes of the training faces.

Geometry is drawn for each face and carried out with the crop itself, one resampling in all, in the loader's
processes. Colour and erasing are carried out on whole batches, on the device that trains.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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


def change_pixels(images_rgb: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Change colour and erase rectangles, differently in each face.

    Args:
        images_rgb: ``(B, S, S, 3)`` uint8 RGB.
        config: how much.
        generator: on the CPU.

    Returns:
        ``(B, S, S, 3)`` float32 in [0, 255].
    """
    n_faces = len(images_rgb)
    pixels = images_rgb.to(torch.float32)
    draws = torch.rand((n_faces, 8), generator=generator).to(pixels.device)
    spread = 2 * draws - 1

    def column(values: Tensor) -> Tensor:
        return values.view(-1, 1, 1, 1)

    if config.saturation:
        grey = pixels.mean(dim=3, keepdim=True)
        pixels = torch.lerp(grey, pixels, column(1 + config.saturation * spread[:, 0]))
    if config.contrast or config.brightness:
        contrast = 1 + config.contrast * spread[:, 1]
        mean = pixels.mean(dim=(1, 2, 3))
        shift = mean * (1 + config.brightness * spread[:, 2]) - mean * contrast
        pixels = pixels * column(contrast) + column(shift)
    pixels = pixels.clamp(0, 255)
    return _erase(pixels, config, draws[:, 3:]) if config.erase else pixels


def _erase(pixels: Tensor, config: AugmentConfig, draws: Tensor) -> Tensor:
    """Fill a rectangle with the face's mean colour (Zhong et al. 2017, https://arxiv.org/abs/1708.04896)."""
    size = pixels.shape[1]
    area = config.erase_area * (0.1 + 0.9 * draws[:, 1])
    ratio = torch.exp((2 * draws[:, 2] - 1) * math.log(3))
    height, width = (size * torch.sqrt(area * ratio)), (size * torch.sqrt(area / ratio))
    top, left = draws[:, 3] * (size - height), draws[:, 4] * (size - width)
    place = torch.arange(size, device=pixels.device)
    rows = (place >= top[:, None]) & (place < (top + height)[:, None])
    columns = (place >= left[:, None]) & (place < (left + width)[:, None])
    erased = (draws[:, 0] < config.erase)[:, None, None] & rows[:, :, None] & columns[:, None, :]
    return torch.where(erased[..., None], pixels.mean(dim=(1, 2), keepdim=True), pixels)
