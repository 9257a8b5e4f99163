"""The losses of the three tasks and their sum. A task counts only the faces that have its labels."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mien.network import FaceOutputs
from mien.recipe import ScheduleConfig
from mien.train.loading import Batch

# Landmark errors are counted in units of 2 % of the crop, about the spread between two annotators, so that
# the loss has the size of a cross-entropy.
LANDMARK_UNIT = 0.02


def expression_loss(logits: Tensor, targets: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Return the cross-entropy against label shares, in nats.

    Args:
        logits: ``(B, C)``.
        targets: ``(B, C)``, rows sum to 1: one-hot, or the annotators' votes.
        smoothing: share of the label spread over all classes.
    """
    return functional.cross_entropy(logits, targets, label_smoothing=smoothing)


def landmark_loss(predicted: Tensor, true: Tensor) -> Tensor:
    """Return the smooth L1 of ``(B, 68, 2)`` landmarks over the faces that have them; 0 where none has."""
    known = torch.isfinite(true)
    error = torch.where(known, predicted - true, 0.0) / LANDMARK_UNIT
    total = functional.smooth_l1_loss(error, torch.zeros_like(error), reduction="sum")
    return total / known.sum().clamp(min=1)


def affect_loss(predicted: Tensor, true: Tensor) -> Tensor:
    """Return the mean squared error of ``(B, 2)`` over the values that are known; 0 where none is."""
    known = torch.isfinite(true)
    error = torch.where(known, predicted - true, 0.0)
    return error.square().sum() / known.sum().clamp(min=1)


@dataclass(frozen=True)
class Losses:
    """The loss of a step and its parts, scalars.

    Attributes:
        total: what is minimised.
        parts: by task, unweighted.
    """

    total: Tensor
    parts: dict[str, Tensor]


def joint_loss(outputs: FaceOutputs, batch: Batch, config: ScheduleConfig) -> Losses:
    """Return the weighted sum of the losses of the heads that are on."""
    parts = {"expression": expression_loss(outputs.logits, batch.targets, smoothing=config.label_smoothing)}
    total = config.expression_weight * parts["expression"]
    if outputs.landmarks is not None:
        parts["landmarks"] = landmark_loss(outputs.landmarks, batch.landmarks)
        total = total + config.landmarks_weight * parts["landmarks"]
    if outputs.valence_arousal is not None:
        parts["valence_arousal"] = affect_loss(outputs.valence_arousal, batch.valence_arousal)
        total = total + config.valence_arousal_weight * parts["valence_arousal"]
    return Losses(total, parts)
