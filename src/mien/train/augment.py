"""Augmentation of the training faces.

The random numbers of a whole batch are turned into transforms at once; each face's transform is then applied in the
loader's processes: the geometry together with the crop, in one resampling, then the colors on uint8. With a generator
and small matrices for every face, the whole input pipeline took half as long again as now; with colors on whole
batches of floats, a fifth (benchmarks/training_input.py).

Shapes: B batch, S side of the input.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.faces.landmarks import FLIP_PERMUTATION
from mien.recipe import AugmentConfig

# Uniform numbers per face. All are always drawn, so that switching one transform off leaves the others as they were.
N_DRAWS = 16


class Augmentations(NamedTuple):
    """The transforms of the faces of a batch.

    Attributes:
        matrices: ``(B, 2, 3)`` from fractions of the face's crop to fractions of the augmented one.
        flipped: ``(B,)`` whether a matrix flips.
        color_maps: ``(B, 3, 3)`` factors of the colors.
        color_shifts: ``(B,)`` what is added afterwards, in units of the face's mean level.
        erased_xyxy: ``(B, 4)`` rectangles in fractions of the augmented crop; NaN where nothing is erased.
        by_box: ``(B,)`` whether the face is shown by its box instead of aligned.
    """

    matrices: NDArray[np.float64]
    flipped: NDArray[np.bool_]
    color_maps: NDArray[np.float64]
    color_shifts: NDArray[np.float64]
    erased_xyxy: NDArray[np.float64]
    by_box: NDArray[np.bool_]


def sample_augmentations(config: AugmentConfig, draws: NDArray[np.float64]) -> Augmentations:
    """Turn uniform numbers into transforms.

    Saturation, contrast and brightness are one linear map of the colors about the face's mean level. Erasing follows
    Zhong et al. 2017, https://arxiv.org/abs/1708.04896.

    Args:
        config: probabilities and strengths.
        draws: ``(B, N_DRAWS)`` in [0, 1).
    """
    flip, affine, turn, scale, shift_x, shift_y, saturation, contrast, brightness = draws.T[:9]
    flipped = flip < config.hflip_prob

    # About the crop's center: rotate and scale, shift, flip.
    moved = affine < config.affine_prob
    turn, scale, shift_x, shift_y = moved * (2 * np.stack([turn, scale, shift_x, shift_y]) - 1)
    angle, factor = np.radians(config.rotation_deg) * turn, (1 + config.scale) ** scale
    cos, sin = factor * np.cos(angle), factor * np.sin(angle)
    matrices = np.empty((len(draws), 2, 3))
    matrices[:, 0, 0], matrices[:, 0, 1] = cos, -sin
    matrices[:, 1, 0], matrices[:, 1, 1] = sin, cos
    matrices[:, 0, 2] = 0.5 + config.shift * shift_x - 0.5 * (cos - sin)
    matrices[:, 1, 2] = 0.5 + config.shift * shift_y - 0.5 * (sin + cos)
    matrices[flipped, 0] = (0, 0, 1) - matrices[flipped, 0]

    saturation, contrast, brightness = (
        1 + strength * (2 * draw - 1)
        for strength, draw in (
            (config.saturation, saturation),
            (config.contrast, contrast),
            (config.brightness, brightness),
        )
    )
    color_maps = (contrast * saturation)[:, None, None] * np.eye(3)
    color_maps = color_maps + (contrast * (1 - saturation) / 3)[:, None, None]

    erase, size, ratio, left, top = draws[:, 9:14].T
    area, aspect = config.erase_max_area * (0.1 + 0.9 * size), 3 ** (2 * ratio - 1)
    sides_wh = np.minimum(1, np.sqrt(np.column_stack([area / aspect, area * aspect])))
    corners = np.column_stack([left, top]) * (1 - sides_wh)
    rectangles = np.hstack([corners, corners + sides_wh])
    rectangles[erase >= config.erase_prob] = np.nan
    by_box = draws[:, 14] < config.box_crop_prob
    return Augmentations(matrices, flipped, color_maps, brightness - contrast, rectangles, by_box)


def transform_landmarks(landmarks: NDArray[np.float32], augmentations: Augmentations) -> NDArray[np.float32]:
    """Return the ``(B, 68, 2)`` landmarks of the augmented faces; left and right swap in a flip."""
    matrices, flipped = augmentations.matrices, augmentations.flipped
    moved = landmarks @ matrices[:, :, :2].swapaxes(1, 2) + matrices[:, None, :, 2]
    moved[flipped] = moved[flipped][:, FLIP_PERMUTATION]
    return moved.astype(np.float32)


def augment_pixels(image_rgb: NDArray[np.uint8], augmentations: Augmentations, index: int) -> None:
    """Change a face's colors and erase a rectangle, in place, rounding once.

    Args:
        image_rgb: ``(S, S, 3)`` uint8 RGB.
        augmentations: transforms of its batch.
        index: the face's index in the batch.
    """
    color_map, shift = augmentations.color_maps[index], augmentations.color_shifts[index]
    # Every eighth row is as good and an eighth of the work.
    mean = np.array(cv2.mean(image_rgb[::8])[:3])
    level = mean.sum() / 3
    mixing = np.empty((3, 4))
    mixing[:, :3] = color_map
    mixing[:, 3] = shift * level
    cv2.transform(image_rgb, mixing, dst=image_rgb)
    rectangle = augmentations.erased_xyxy[index]
    if not math.isnan(rectangle[0]):
        x0, y0, x1, y1 = np.rint(rectangle * len(image_rgb)).astype(int)
        image_rgb[y0:y1, x0:x1] = np.rint(color_map @ mean + mixing[:, 3]).clip(0, 255)
