"""Mixing the faces of a batch: mixup and cutmix that never put landmarks where no face has them.

Shapes: B batch, S side of the input.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.recipe import AugmentConfig
from mien.train.dataloader import Batch


@dataclass(frozen=True)
class Mixing:
    """What is mixed with what in a batch.

    Attributes:
        partners: ``(B,)`` the other face of each.
        blended: ``(B,)`` whether the other is blended in (mixup).
        boxes_xyxy: ``(B, 4)`` rectangles in whole pixels in which the other is pasted (cutmix); empty where none is.
        own_share: ``(B,)`` of the face itself; 1 where nothing is mixed.
    """

    partners: NDArray[np.int64]
    blended: NDArray[np.bool_]
    boxes_xyxy: NDArray[np.int64]
    own_share: NDArray[np.float64]


def plan_mixing(n_faces: int, config: AugmentConfig, random: np.random.Generator, *, side: int) -> Mixing:
    """Choose what is mixed with what.

    Args:
        n_faces: of the batch.
        config: how many faces, and how strongly.
        random: of this step.
        side: of the input in pixels.
    """
    partners = random.permutation(n_faces)
    kind = random.random(n_faces)
    blended = kind < config.mixup_prob
    pasted = ~blended & (kind < config.mixup_prob + config.cutmix_prob)
    share = random.beta(config.mixup_alpha, config.mixup_alpha, n_faces)
    share = np.where(blended, np.maximum(share, 1 - share), 1.0)
    boxes = _draw_boxes(pasted, random, alpha=config.cutmix_alpha, side=side)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return Mixing(partners, blended, boxes, share * (1 - area / side**2))


def mix_faces(batch: Batch, config: AugmentConfig, random: np.random.Generator) -> Batch:
    """Blend some faces of a batch with another of it (mixup), or paste a rectangle of another in (cutmix).

    Expression targets, valence and arousal are mixed in the same shares. A blend has no landmarks, since it
    shows two faces at once; a face with a rectangle in it keeps those outside of it.

    Sources: Zhang et al. 2018, https://arxiv.org/abs/1710.09412; Yun et al. 2019,
    https://arxiv.org/abs/1905.04899; here each face has a share or rectangle of its own.

    Args:
        batch: of the loader.
        config: how many faces, and how strongly.
        random: of this step.

    Returns:
        The batch with ``images_rgb`` as floats in [0, 255], or the given one where nothing is to be mixed.
    """
    if not config.mixup_prob and not config.cutmix_prob:
        return batch
    n_faces, side = batch.images_rgb.shape[:2]
    device = batch.images_rgb.device
    mixing = plan_mixing(n_faces, config, random, side=side)
    partner = torch.from_numpy(mixing.partners).to(device)
    mask = _boxes_to_mask(mixing.boxes_xyxy, side=side)
    blend = 1 - np.where(mixing.blended, mixing.own_share, 1.0)
    other = torch.from_numpy(blend).float().to(device)[:, None, None]
    pixel_share = torch.maximum(other, torch.from_numpy(mask).float().to(device))[..., None]
    images = batch.images_rgb.float()
    own = torch.from_numpy(mixing.own_share).float().to(device)[:, None]
    return Batch(
        torch.lerp(images, images[partner], pixel_share),
        _mix(batch.targets, partner, own),
        _hide_landmarks(batch.landmarks, mixing.blended, mixing.boxes_xyxy / side),
        _mix(batch.valence_arousal, partner, own),
    )


def _mix(values: Tensor, partner: Tensor, own: Tensor) -> Tensor:
    """Mix ``(B, K)`` values; a face that is left as it is keeps its own even where its partner has none."""
    return torch.where(own < 1, own * values + (1 - own) * values[partner], values)


def _draw_boxes(
    pasted: NDArray[np.bool_], random: np.random.Generator, *, alpha: float, side: int
) -> NDArray[np.int64]:
    """Return ``(B, 4)`` xyxy rectangles in whole pixels, empty where nothing is pasted."""
    n_faces = len(pasted)
    area = random.beta(alpha, alpha, n_faces)
    center = random.random((n_faces, 2)) * side
    half = 0.5 * side * np.sqrt(area)[:, None]
    boxes = np.rint(np.hstack([center - half, center + half])).clip(0, side).astype(np.int64)
    boxes[~pasted] = 0
    return boxes


def _boxes_to_mask(boxes: NDArray[np.int64], *, side: int) -> NDArray[np.bool_]:
    x0, y0, x1, y1 = boxes.T[:, :, None]
    places = np.arange(side)
    across, down = (places >= x0) & (places < x1), (places >= y0) & (places < y1)
    return np.asarray(down[:, :, None] & across[:, None, :])


def _hide_landmarks(landmarks: Tensor, blended: NDArray[np.bool_], boxes: NDArray[np.float64]) -> Tensor:
    corners = torch.from_numpy(boxes).to(landmarks.device, landmarks.dtype)[:, None]
    under = (landmarks >= corners[..., :2]).all(dim=2) & (landmarks < corners[..., 2:]).all(dim=2)
    hidden = under | torch.from_numpy(blended).to(landmarks.device)[:, None]
    return landmarks.masked_fill(hidden[..., None], torch.nan)
