"""The optimizer, the learning rate of each step, and sharpness-aware minimization."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from timm.optim import param_groups_layer_decay, param_groups_weight_decay
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mien.nets.network import FaceNetwork
from mien.recipe import ScheduleConfig


def scale_learning_rate(rate: float, config: ScheduleConfig) -> float:
    """Return a learning rate, scaled to the batch size if the recipe asks for it."""
    return rate if config.base_batch_size is None else rate * config.batch_size / config.base_batch_size


def shorten_phases(config: ScheduleConfig) -> ScheduleConfig:
    """Shorten the epochs with a frozen backbone and the warm-up if a schedule has too few epochs for them.

    The frozen epochs take precedence over the warm-up, which then takes half of what they leave.
    """
    if config.freeze_backbone_epochs + config.warmup_epochs <= config.epochs:
        return config
    n_frozen = min(config.freeze_backbone_epochs, config.epochs)
    return replace(config, freeze_backbone_epochs=n_frozen, warmup_epochs=(config.epochs - n_frozen) / 2)


def count_frozen_steps(config: ScheduleConfig, steps_per_epoch: int) -> int:
    """Return the number of steps in which only the heads are trained."""
    return round(config.freeze_backbone_epochs * steps_per_epoch)


def count_warmup_steps(config: ScheduleConfig, steps_per_epoch: int) -> int:
    """Return the number of warm-up steps, which follow those with a frozen backbone."""
    return round(config.warmup_epochs * steps_per_epoch)


def lr_factor(step: int, *, config: ScheduleConfig, steps_per_epoch: int, heads: bool = True) -> float:
    """Return the learning rate of a step as a factor of the peak: linear warm-up, then cosine, by step.

    Epochs with a frozen backbone come first: the heads have their own rate, the backbone has none.

    Args:
        step: from 0.
        config: the schedule.
        steps_per_epoch: steps in an epoch.
        heads: whether the rate is that of the heads, or of the backbone.
    """
    frozen_steps = count_frozen_steps(config, steps_per_epoch)
    if step < frozen_steps:
        frozen_rate = config.freeze_backbone_learning_rate
        head_rate = config.learning_rate if frozen_rate is None else frozen_rate
        return head_rate / config.learning_rate if heads and config.learning_rate else 0.0
    step -= frozen_steps
    warmup = count_warmup_steps(config, steps_per_epoch)
    total = config.epochs * steps_per_epoch - frozen_steps
    if step < warmup:
        return config.warmup_lr_ratio + (1 - config.warmup_lr_ratio) * step / warmup
    done = min(1.0, (step - warmup) / max(1, total - warmup))
    return config.min_lr_ratio + (1 - config.min_lr_ratio) * 0.5 * (1 + math.cos(math.pi * done))


def build_optimizer(
    network: FaceNetwork, config: ScheduleConfig, *, further: Iterable[nn.Parameter] = ()
) -> torch.optim.Optimizer:
    """Return the optimizer of a recipe; biases and norms have no weight decay.

    Each parameter group has a flag ``heads``: whether its parameters belong to the heads.

    Args:
        network: network to train.
        config: the schedule.
        further: parameters besides the network's, trained like the heads and without weight decay.
    """
    peak = scale_learning_rate(config.learning_rate, config)
    head_modules = nn.ModuleList(network.head_modules())
    if config.layer_decay is None:
        backbone_groups = param_groups_weight_decay(network.backbone, config.weight_decay)
    else:
        backbone_groups = [
            {name: group[name] for name in ("params", "weight_decay", "lr_scale")}
            for group in param_groups_layer_decay(
                network.backbone, config.weight_decay, layer_decay=config.layer_decay
            )
        ]
    parts: list[tuple[bool, list[dict[str, Any]]]] = [
        (False, backbone_groups),
        (True, param_groups_weight_decay(head_modules, config.weight_decay)),
        (True, [{"params": list(further), "weight_decay": 0.0}]),
    ]
    groups: list[dict[str, Any]] = [
        {**group, "lr": peak * group.get("lr_scale", 1.0), "heads": heads}
        for heads, part in parts
        for group in part
        if group["params"]
    ]
    optimizers: dict[str, Callable[[], torch.optim.Optimizer]] = {
        "sgd": lambda: torch.optim.SGD(
            groups, lr=peak, momentum=config.momentum, nesterov=config.momentum > 0
        ),
        "adamw": lambda: torch.optim.AdamW(groups, lr=peak),
    }
    optimizer = optimizers[config.optimizer]()
    return optimizer if config.sam_rho is None else SharpnessAware(optimizer, config.sam_rho)


def lr_factors(
    optimizer: torch.optim.Optimizer, config: ScheduleConfig, *, steps_per_epoch: int
) -> list[Callable[[int], float]]:
    """Return for each group of `build_optimizer` a function from a step to the factor of the group's learning rate."""
    return [
        partial(lr_factor, config=config, steps_per_epoch=steps_per_epoch, heads=group["heads"])
        for group in optimizer.param_groups
    ]


class SharpnessAware(torch.optim.Optimizer):
    """Sharpness-aware minimization (Foret et al. 2021, https://arxiv.org/abs/2010.01412) around an optimizer.

    A step computes the gradient twice: at the weights, and at the worst point within a radius of them. The
    inner optimizer then updates the weights with the second one.

    Attributes:
        is_at_worst_point: true while the second gradient is computed.
    """

    def __init__(self, inner: torch.optim.Optimizer, rho: float) -> None:
        super().__init__(inner.param_groups, inner.defaults)
        self.inner = inner
        self.param_groups = inner.param_groups
        self.state = inner.state
        self.rho = rho
        self.is_at_worst_point = False

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor]) -> Tensor:  # type: ignore[override]
        """Update the weights.

        Args:
            closure: recomputes the loss and the gradients.
        """
        with torch.enable_grad():
            loss = closure()
        # With a frozen backbone, the worst point is that of the heads.
        trained = [group for group in self.param_groups if group["lr"] > 0]
        moved = [p for group in trained for p in group["params"] if p.grad is not None]
        if not moved:
            self.inner.step()
            return loss
        gradients = [p.grad for p in moved]
        weights = [p.detach().clone() for p in moved]
        reach = self.rho / (torch.nn.utils.get_total_norm(gradients) + 1e-12)
        for parameter, gradient in zip(moved, gradients, strict=True):
            parameter.add_(gradient * reach)
        self.is_at_worst_point = True
        try:
            with torch.enable_grad():
                closure()
        finally:
            self.is_at_worst_point = False
            for parameter, weight in zip(moved, weights, strict=True):
                parameter.copy_(weight)
        self.inner.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return the inner optimizer's state."""
        return self.inner.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the inner optimizer's state."""
        self.inner.load_state_dict(state_dict)
        self.param_groups, self.state = self.inner.param_groups, self.inner.state


@contextmanager
def frozen_norm_statistics(network: nn.Module) -> Iterator[None]:
    """Keep the running means of batch norms, and their count of batches, as they are."""
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    tracked = [norm.track_running_stats for norm in norms]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm, tracks in zip(norms, tracked, strict=True):
            norm.track_running_stats = tracks
