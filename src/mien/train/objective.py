"""What a run minimises: the recipe's losses, made ready for its classes, their counts and its teacher."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mien.nets.network import FaceNetwork, FaceOutputs
from mien.recipe import LossConfig
from mien.train.dataloader import Batch
from mien.train.imbalance import face_weights
from mien.train.losses import affect_loss, distillation_loss, expression_loss, landmark_loss, smooth_targets


@dataclass(frozen=True)
class Losses:
    """The loss of a step and its parts, scalars.

    Attributes:
        total: what is minimised.
        parts: by task, unweighted.
    """

    total: Tensor
    parts: dict[str, Tensor]


class Teacher:
    """A trained network that answers for the same faces. No part of the student: it is neither saved nor trained.

    Attributes:
        network: in evaluation mode.
        columns: ``(C,)`` its logit for each of the student's classes.
        input_size: side of its input in pixels.
    """

    def __init__(self, network: FaceNetwork, columns: list[int], input_size: int) -> None:
        self.network = network.eval().requires_grad_(requires_grad=False)
        self.columns = columns
        self.input_size = input_size

    @torch.no_grad()
    def logits(self, images_rgb: Tensor) -> Tensor:
        """Return ``(B, C)`` logits in the student's classes."""
        self.network.to(images_rgb.device)
        if images_rgb.shape[1] != self.input_size:
            images_rgb = functional.interpolate(
                images_rgb.permute(0, 3, 1, 2).float(),
                size=(self.input_size, self.input_size),
                mode="bilinear",
                antialias=True,
            ).permute(0, 2, 3, 1)
        answer: FaceOutputs = self.network(images_rgb)
        return answer.logits[:, self.columns]


class Objective(nn.Module):
    """The weighted sum of the losses of the heads that are on."""

    log_prior: Tensor
    spread: Tensor
    class_weights: Tensor

    def __init__(
        self,
        config: LossConfig,
        counts: NDArray[np.int64],
        *,
        tasks: tuple[str, ...] = ("expression", "landmarks", "valence_arousal"),
        teacher: Teacher | None = None,
    ) -> None:
        """Make a recipe's losses ready.

        Args:
            config: the recipe's part.
            counts: ``(C,)`` training faces of each class.
            tasks: of the heads that are on.
            teacher: of ``config.teacher``, loaded.
        """
        super().__init__()
        self.config = config
        self.teacher = teacher
        # A class without a face is neither rare nor adjusted for: nothing would hold back what it was given.
        share = counts / counts.sum()
        known = np.where(counts > 0, share, 1)
        rare = (counts > 0) / known if config.smoothing_distribution == "inverse" else np.ones(len(counts))
        values = {
            "log_prior": np.log(known),
            "spread": rare / rare.sum(),
            "class_weights": face_weights(counts, config.class_weights),
        }
        for name, value in values.items():
            self.register_buffer(name, torch.from_numpy(value.astype(np.float32)), persistent=False)
        self.log_weights: nn.ParameterDict | None = None
        if config.task_weights == "learned":
            weights = {task: self._weight(task) for task in tasks if self._weight(task) > 0}
            self.log_weights = nn.ParameterDict(
                {task: nn.Parameter(torch.tensor(math.log(weight))) for task, weight in weights.items()}
            )

    def _weight(self, task: str) -> float:
        return float(getattr(self.config, f"{task}_weight"))

    def forward(self, outputs: FaceOutputs, batch: Batch) -> Losses:
        """Return the losses of a batch."""
        parts = {"expression": self._expression(outputs.logits, batch)}
        if outputs.landmarks is not None:
            parts["landmarks"] = landmark_loss(outputs.landmarks, batch.landmarks, kind=self.config.landmarks)
        if outputs.valence_arousal is not None:
            parts["valence_arousal"] = affect_loss(
                outputs.valence_arousal, batch.valence_arousal, kind=self.config.valence_arousal
            )
        is_labelled = {
            "landmarks": batch.landmarks.isfinite().any(),
            "valence_arousal": batch.valence_arousal.isfinite().any(),
        }
        total = torch.stack(
            [self._weighted(task, loss, is_labelled.get(task)) for task, loss in parts.items()]
        ).sum()
        return Losses(total, parts)

    def _weighted(self, task: str, loss: Tensor, is_labelled: Tensor | None) -> Tensor:
        """Weigh a task; a learned weight w costs -log w, so that it stays finite, in the batches that have its labels.

        Source: Kendall et al. 2018, https://arxiv.org/abs/1705.07115, with w = 1 / (2 sigma^2), up to constants.
        """
        if self.log_weights is None or task not in self.log_weights:
            return self._weight(task) * loss
        log_weight = self.log_weights[task]
        weighted: Tensor = log_weight.exp() * loss - log_weight
        return weighted if is_labelled is None else weighted * is_labelled

    def _expression(self, logits: Tensor, batch: Batch) -> Tensor:
        config = self.config
        targets = smooth_targets(batch.targets, config.label_smoothing, self.spread)
        # Menon et al. 2021, https://arxiv.org/abs/2007.07314, equation 10; the shift is left out when predicting.
        adjusted = logits + config.logit_adjustment * self.log_prior
        weights = None if config.class_weights == "none" else self.class_weights
        loss = expression_loss(adjusted, targets, class_weights=weights)
        if self.teacher is None:
            return loss
        taught = distillation_loss(
            logits, self.teacher.logits(batch.images_rgb), temperature=config.teacher_temperature
        )
        return (1 - config.teacher_weight) * loss + config.teacher_weight * taught
