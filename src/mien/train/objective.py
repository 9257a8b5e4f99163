"""What a run minimizes: the recipe's losses, for its classes, their counts and its teacher."""

import math
from typing import NamedTuple

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


class Losses(NamedTuple):
    """The loss of a step and its parts, scalars.

    Attributes:
        total: the loss that is minimized.
        parts: unweighted loss of each task.
    """

    total: Tensor
    parts: dict[str, Tensor]


class Teacher:
    """A trained network that predicts the same faces. Not a part of the student: it is neither saved nor trained.

    Attributes:
        network: in evaluation mode.
        columns: ``(C,)`` index of its logit for each of the student's classes.
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
        outputs: FaceOutputs = self.network(images_rgb)
        return outputs.logits[:, self.columns]


class Objective(nn.Module):
    """The weighted sum of the losses of the heads that are switched on."""

    log_prior: Tensor
    smoothing: Tensor
    class_weights: Tensor

    def __init__(
        self,
        config: LossConfig,
        counts: NDArray[np.int64],
        *,
        tasks: tuple[str, ...] = ("expression", "landmarks", "valence_arousal"),
        teacher: Teacher | None = None,
    ) -> None:
        """Prepare a recipe's losses.

        Args:
            config: the recipe's losses.
            counts: ``(C,)`` training faces of each class.
            tasks: tasks of the heads that are switched on.
            teacher: the network of ``config.teacher``.
        """
        super().__init__()
        self.config = config
        self.teacher = teacher
        # A class without faces is neither rare nor adjusted for: no label would ever push its logit back.
        prior = np.where(counts > 0, counts / counts.sum(), 1)
        smoothing = {"uniform": np.ones(len(counts)), "inverse": (counts > 0) / prior}
        distribution = smoothing[config.smoothing_distribution]
        values = {
            "log_prior": np.log(prior),
            "smoothing": distribution / distribution.sum(),
            "class_weights": face_weights(counts, config.class_weights),
        }
        for name, value in values.items():
            self.register_buffer(name, torch.from_numpy(value.astype(np.float32)), persistent=False)
        self.log_weights: nn.ParameterDict | None = None
        if config.task_weights == "learned":
            weights = {task: self._weight(task) for task in tasks}
            self.log_weights = nn.ParameterDict(
                {task: nn.Parameter(torch.tensor(math.log(w))) for task, w in weights.items() if w > 0}
            )

    def _weight(self, task: str) -> float:
        return float(getattr(self.config, f"{task}_weight"))

    def forward(self, outputs: FaceOutputs, batch: Batch) -> Losses:
        """Return the losses of a batch."""
        config = self.config
        targets = smooth_targets(batch.targets, config.label_smoothing, self.smoothing)
        # Menon et al. 2021, https://arxiv.org/abs/2007.07314, equation 10; the shift is not applied at inference.
        adjusted = outputs.logits + config.logit_adjustment * self.log_prior
        weights = None if config.class_weights == "none" else self.class_weights
        expression = expression_loss(adjusted, targets, class_weights=weights)
        if self.teacher is not None:
            distillation = distillation_loss(
                outputs.logits,
                self.teacher.logits(batch.images_rgb),
                temperature=config.teacher_temperature,
            )
            expression = (1 - config.teacher_weight) * expression + config.teacher_weight * distillation
        parts = {"expression": expression}
        if outputs.landmarks is not None:
            parts["landmarks"] = landmark_loss(outputs.landmarks, batch.landmarks, kind=config.landmarks)
        if outputs.valence_arousal is not None:
            parts["valence_arousal"] = affect_loss(
                outputs.valence_arousal, batch.valence_arousal, kind=config.valence_arousal
            )
        is_labeled = {
            "expression": batch.targets.any(),
            "landmarks": batch.landmarks.isfinite().any(),
            "valence_arousal": batch.valence_arousal.isfinite().any(),
        }
        total = torch.stack(
            [self._weighted(task, loss, is_labeled.get(task)) for task, loss in parts.items()]
        ).sum()
        return Losses(total, parts)

    def _weighted(self, task: str, loss: Tensor, is_labeled: Tensor | None) -> Tensor:
        """Weight a task; a learned weight w costs -log w, so that it stays finite, in batches that have its labels.

        Source: Kendall et al. 2018, https://arxiv.org/abs/1705.07115, with w = 1 / (2 sigma^2), up to constants.
        """
        if self.log_weights is None or task not in self.log_weights:
            return self._weight(task) * loss
        log_weight = self.log_weights[task]
        weighted: Tensor = log_weight.exp() * loss - log_weight
        return weighted if is_labeled is None else weighted * is_labeled
