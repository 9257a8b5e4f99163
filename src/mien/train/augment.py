"""Random changes of the training faces.

The draws of a whole batch are turned into changes at once; each face's are then carried out in the loader's
processes: the geometry with the crop itself, one resampling in all, then the colours on the bytes. With a
generator and small matrices for every face, the input as a whole was half as fast again as now; with the
colours on whole batches of floats, a fifth (benchmarks/training_input.py).

Shapes: B batch, S side of the input.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.faces.landmarks import FLIP_PERMUTATION
from mien.recipe import AugmentConfig

# Uniform numbers that a face's changes are made of. All are always drawn, so that switching one change off leaves
# the others as they were.
N_DRAWS = 16


@dataclass(frozen=True)
class FaceChanges:
    """What is to be done to the faces of a batch.

    Attributes:
        matrices: ``(B, 2, 3)`` from fractions of the stored crop to fractions of the changed one.
        mirrored: ``(B,)`` whether a matrix mirrors.
        color_maps: ``(B, 3, 3)`` that colours are multiplied by.
        color_shifts: ``(B,)`` what is added then, in units of the face's mean level.
        erased_xyxy: ``(B, 4)`` rectangles in fractions of the changed crop; NaN where nothing is erased.
    """

    matrices: NDArray[np.float64]
    mirrored: NDArray[np.bool_]
    color_maps: NDArray[np.float64]
    color_shifts: NDArray[np.float64]
    erased_xyxy: NDArray[np.float64]


def plan_changes(config: AugmentConfig, draws: NDArray[np.float64]) -> FaceChanges:
    """Turn uniform numbers into changes.

    Saturation, contrast and brightness are one linear map of the colours about the face's mean level.

    Args:
        config: how much.
        draws: ``(B, N_DRAWS)`` in [0, 1).
    """
    flip, affine, turn, scale, shift_x, shift_y, saturation, contrast, brightness = draws.T[:9]
    mirrored = flip < config.hflip_prob
    saturation, contrast, brightness = (
        1 + spread * (2 * draw - 1)
        for spread, draw in (
            (config.saturation, saturation),
            (config.contrast, contrast),
            (config.brightness, brightness),
        )
    )
    return FaceChanges(
        matrices=_matrices(
            config, affine < config.affine_prob, mirrored, np.stack([turn, scale, shift_x, shift_y])
        ),
        mirrored=mirrored,
        color_maps=(contrast * saturation)[:, None, None] * np.eye(3)
        + (contrast * (1 - saturation) / 3)[:, None, None],
        color_shifts=brightness - contrast,
        erased_xyxy=_rectangles(config, draws[:, 9:14]),
    )


def _matrices(
    config: AugmentConfig,
    moved: NDArray[np.bool_],
    mirrored: NDArray[np.bool_],
    draws: NDArray[np.float64],
) -> NDArray[np.float64]:
    turn, scale, shift_x, shift_y = moved * (2 * draws - 1)
    angle, factor = np.radians(config.rotation_deg) * turn, (1 + config.scale) ** scale
    cos, sin = factor * np.cos(angle), factor * np.sin(angle)
    matrices = np.empty((len(angle), 2, 3))
    matrices[:, 0, 0], matrices[:, 0, 1] = cos, -sin
    matrices[:, 1, 0], matrices[:, 1, 1] = sin, cos
    matrices[:, 0, 2] = 0.5 + config.shift * shift_x - 0.5 * (cos - sin)
    matrices[:, 1, 2] = 0.5 + config.shift * shift_y - 0.5 * (sin + cos)
    matrices[mirrored, 0] = (0, 0, 1) - matrices[mirrored, 0]
    return matrices


def _rectangles(config: AugmentConfig, draws: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what is erased (random erasing, Zhong et al. 2017, https://arxiv.org/abs/1708.04896)."""
    erased, size, ratio, left, top = draws.T
    area, aspect = config.erase_max_area * (0.1 + 0.9 * size), 3 ** (2 * ratio - 1)
    sides_wh = np.minimum(1, np.sqrt(np.column_stack([area / aspect, area * aspect])))
    corners = np.column_stack([left, top]) * (1 - sides_wh)
    rectangles = np.hstack([corners, corners + sides_wh])
    rectangles[erased >= config.erase_prob] = np.nan
    return rectangles


def move_landmarks(landmarks: NDArray[np.float32], changes: FaceChanges) -> NDArray[np.float32]:
    """Return ``(B, 68, 2)`` landmarks where the changed faces have them; left and right swap in a mirror."""
    moved = landmarks @ changes.matrices[:, :, :2].swapaxes(1, 2) + changes.matrices[:, None, :, 2]
    moved[changes.mirrored] = moved[changes.mirrored][:, FLIP_PERMUTATION]
    return moved.astype(np.float32)


def change_pixels(image_rgb: NDArray[np.uint8], changes: FaceChanges, place: int) -> None:
    """Change a face's colours and erase a rectangle, in place, rounding once.

    Args:
        image_rgb: ``(S, S, 3)`` uint8 RGB.
        changes: of its batch.
        place: the face's, in the batch.
    """
    color_map, shift = changes.color_maps[place], changes.color_shifts[place]
    # Every eighth row is as good and an eighth of the work.
    mean = np.array(cv2.mean(image_rgb[::8])[:3])
    level = mean.sum() / 3
    mixing = np.empty((3, 4))
    mixing[:, :3] = color_map
    mixing[:, 3] = shift * level
    cv2.transform(image_rgb, mixing, dst=image_rgb)
    rectangle = changes.erased_xyxy[place]
    if not math.isnan(rectangle[0]):
        x0, y0, x1, y1 = np.rint(rectangle * len(image_rgb)).astype(int)
        image_rgb[y0:y1, x0:x1] = np.rint(color_map @ mean + mixing[:, 3]).clip(0, 255)
