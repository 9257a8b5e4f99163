"""Mixup and cutmix within a batch, without misplaced landmarks.

Shapes: B batch, S side of the input.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.recipe import AugmentConfig
from mien.tasks import TASKS
from mien.train.dataloader import Batch


class Mixing(NamedTuple):
    """How the faces of a batch are mixed.

    Attributes:
        partners: ``(B,)`` index of each face's partner.
        blended: ``(B,)`` whether the partner is blended in (mixup).
        boxes_xyxy: ``(B, 4)`` rectangles, in integer pixels, where the partner is pasted (cutmix); empty elsewhere.
        own_fractions: ``(B,)`` weight of the face itself; 1 if it is not mixed.
    """

    partners: NDArray[np.int64]
    blended: NDArray[np.bool_]
    boxes_xyxy: NDArray[np.int64]
    own_fractions: NDArray[np.float64]


def plan_mixing(n_faces: int, config: AugmentConfig, random: np.random.Generator, *, side: int) -> Mixing:
    """Choose how the faces of a batch are mixed.

    Args:
        n_faces: number of faces in the batch.
        config: probabilities and strengths.
        random: the step's generator.
        side: side of the input in pixels.
    """
    partners = random.permutation(n_faces)
    kind = random.random(n_faces)
    blended = kind < config.mixup_prob
    pasted = ~blended & (kind < config.mixup_prob + config.cutmix_prob)
    own = random.beta(config.mixup_alpha, config.mixup_alpha, n_faces)
    own = np.where(blended, np.maximum(own, 1 - own), 1.0)
    area = random.beta(config.cutmix_alpha, config.cutmix_alpha, n_faces)
    center = random.random((n_faces, 2)) * side
    half = 0.5 * side * np.sqrt(area)[:, None]
    boxes = np.rint(np.hstack([center - half, center + half])).clip(0, side).astype(np.int64)
    boxes[~pasted] = 0
    pasted_area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return Mixing(partners, blended, boxes, own * (1 - pasted_area / side**2))


def mix_faces(batch: Batch, config: AugmentConfig, random: np.random.Generator) -> Batch:
    """Blend some faces of a batch with another one (mixup), or paste in a rectangle of another one (cutmix).

    Targets are mixed in the same proportions. A blend has no landmarks, since it shows two faces at once; a face with a
    pasted rectangle keeps those outside it.

    Sources: Zhang et al. 2018, https://arxiv.org/abs/1710.09412; Yun et al. 2019,
    https://arxiv.org/abs/1905.04899; here each face has its own proportion or rectangle.

    Args:
        batch: a batch from the loader.
        config: probabilities and strengths.
        random: the step's generator.

    Returns:
        The batch with ``images_rgb`` as floats in [0, 255], or the same batch if mixing is switched off.
    """
    if not config.mixup_prob and not config.cutmix_prob:
        return batch
    n_faces, side = batch.images_rgb.shape[:2]
    device = batch.images_rgb.device
    mixing = plan_mixing(n_faces, config, random, side=side)
    partner = torch.from_numpy(mixing.partners).to(device)
    blended = torch.from_numpy(mixing.blended).to(device)
    own = torch.from_numpy(mixing.own_fractions).float().to(device)[:, None]

    # (B, S, S): the partner's weight in each pixel.
    x0, y0, x1, y1 = mixing.boxes_xyxy.T[:, :, None]
    pixels = np.arange(side)
    columns, rows = (pixels >= x0) & (pixels < x1), (pixels >= y0) & (pixels < y1)
    pasted = torch.from_numpy(rows[:, :, None] & columns[:, None, :]).float().to(device)
    blend = torch.from_numpy(1 - np.where(mixing.blended, mixing.own_fractions, 1.0)).float().to(device)
    partner_weight = torch.maximum(blend[:, None, None], pasted)[..., None]

    corners = torch.from_numpy(mixing.boxes_xyxy / side).to(device, torch.float32)[:, None]

    def hide(points: Tensor) -> Tensor:
        """Remove those of ``(B, P, 2)`` points that are under a pasted rectangle, or of a blend."""
        covered = (points >= corners[..., :2]).all(dim=2) & (points < corners[..., 2:]).all(dim=2)
        return points.masked_fill((covered | blended[:, None])[..., None], torch.nan)

    def mix(values: Tensor) -> Tensor:
        """Mix ``(B, K)`` values; an unmixed face keeps its own even if its partner has none (NaN)."""
        return torch.where(own < 1, own * values + (1 - own) * values[partner], values)

    images = batch.images_rgb.float()
    return Batch(
        torch.lerp(images, images[partner], partner_weight),
        {
            task: hide(values) if TASKS[task].is_geometric else mix(values)
            for task, values in batch.targets.items()
        },
    )
