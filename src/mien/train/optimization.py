"""The optimiser, the learning rate of each step, and sharpness-aware minimisation."""

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


def scale_to_batch(rate: float, config: ScheduleConfig) -> float:
    """Return a learning rate scaled to the batch size, where the recipe asks for it."""
    return rate if config.base_batch_size is None else rate * config.batch_size / config.base_batch_size


def fit_to_epochs(config: ScheduleConfig) -> ScheduleConfig:
    """Shorten the head epochs and the warm-up of a schedule that has too few epochs for them.

    The head epochs go before the warm-up, which then takes half of what they leave.
    """
    if config.freeze_backbone_epochs + config.warmup_epochs <= config.epochs:
        return config
    freeze_backbone_epochs = min(config.freeze_backbone_epochs, config.epochs)
    return replace(
        config,
        freeze_backbone_epochs=freeze_backbone_epochs,
        warmup_epochs=(config.epochs - freeze_backbone_epochs) / 2,
    )


def count_head_steps(config: ScheduleConfig, steps_per_epoch: int) -> int:
    """Return for how many steps only the heads learn."""
    return round(config.freeze_backbone_epochs * steps_per_epoch)


def count_warmup_steps(config: ScheduleConfig, steps_per_epoch: int) -> int:
    """Return how many steps the warm-up takes, after the head epochs."""
    return round(config.warmup_epochs * steps_per_epoch)


def rate_share(step: int, *, config: ScheduleConfig, steps_per_epoch: int, heads: bool = True) -> float:
    """Return the learning rate of a step as a share of the peak: linear warm-up, then cosine, by step.

    The head epochs come first: the heads at a rate of their own, the backbone at none.

    Args:
        step: from 0.
        config: the schedule.
        steps_per_epoch: steps in an epoch.
        heads: of the heads, else of the backbone.
    """
    head_steps = count_head_steps(config, steps_per_epoch)
    if step < head_steps:
        head_rate = (
            config.learning_rate
            if config.freeze_backbone_learning_rate is None
            else config.freeze_backbone_learning_rate
        )
        return head_rate / config.learning_rate if heads and config.learning_rate else 0.0
    step -= head_steps
    warmup = count_warmup_steps(config, steps_per_epoch)
    total = config.epochs * steps_per_epoch - head_steps
    if step < warmup:
        return config.warmup_lr_ratio + (1 - config.warmup_lr_ratio) * step / warmup
    done = min(1.0, (step - warmup) / max(1, total - warmup))
    return config.min_lr_ratio + (1 - config.min_lr_ratio) * 0.5 * (1 + math.cos(math.pi * done))


def build_optimizer(
    network: FaceNetwork, config: ScheduleConfig, *, further: Iterable[nn.Parameter] = ()
) -> torch.optim.Optimizer:
    """Return the optimiser of a recipe; biases and norms do not decay.

    Each of its groups says in ``heads`` whether it is of the heads.

    Args:
        network: to train.
        config: the schedule.
        further: parameters beside the network's, which learn like the heads and do not decay.
    """
    peak = scale_to_batch(config.learning_rate, config)
    heads_alone = nn.ModuleList(network.head_modules())
    parts: list[tuple[bool, list[dict[str, Any]]]] = [
        (False, _backbone_groups(network.backbone, config)),
        (True, param_groups_weight_decay(heads_alone, config.weight_decay)),
        (True, [{"params": list(further), "weight_decay": 0.0}]),
    ]
    groups: list[dict[str, Any]] = [
        {**group, "lr": peak * group.get("lr_scale", 1.0), "heads": heads}
        for heads, part in parts
        for group in part
        if group["params"]
    ]
    optimizer: torch.optim.Optimizer
    if config.optimizer == "sgd":
        optimizer = torch.optim.SGD(groups, lr=peak, momentum=config.momentum, nesterov=config.momentum > 0)
    else:
        optimizer = torch.optim.AdamW(groups, lr=peak)
    return optimizer if config.sam_rho is None else SharpnessAware(optimizer, config.sam_rho)


def rate_shares(
    optimizer: torch.optim.Optimizer, config: ScheduleConfig, *, steps_per_epoch: int
) -> list[Callable[[int], float]]:
    """Return for each group of `build_optimizer` the learning rate of a step, as a share of the group's."""
    return [
        partial(rate_share, config=config, steps_per_epoch=steps_per_epoch, heads=group["heads"])
        for group in optimizer.param_groups
    ]


def _backbone_groups(backbone: nn.Module, config: ScheduleConfig) -> list[dict[str, Any]]:
    if config.layer_decay is None:
        return list(param_groups_weight_decay(backbone, config.weight_decay))
    groups = param_groups_layer_decay(backbone, config.weight_decay, layer_decay=config.layer_decay)
    return [{name: group[name] for name in ("params", "weight_decay", "lr_scale")} for group in groups]


class SharpnessAware(torch.optim.Optimizer):
    """Sharpness-aware minimisation (Foret et al. 2021, https://arxiv.org/abs/2010.01412) around an optimiser.

    A step asks for the gradient twice: at the weights, and at the worst point within a radius of them. The
    inner optimiser then moves the weights by the second one.

    Attributes:
        is_at_worst_point: while the second gradient is asked for.
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
        """Move the weights.

        Args:
            closure: computes the loss and the gradients anew.
        """
        with torch.enable_grad():
            loss = closure()
        # In the head epochs the backbone stands still: the worst point is that of the heads alone.
        learning = [group for group in self.param_groups if group["lr"] > 0]
        moved = [p for group in learning for p in group["params"] if p.grad is not None]
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
        """Return the inner optimiser's."""
        return self.inner.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the inner optimiser."""
        self.inner.load_state_dict(state_dict)
        self.param_groups, self.state = self.inner.param_groups, self.inner.state


@contextmanager
def kept_norm_statistics(network: nn.Module) -> Iterator[None]:
    """Let the running means of batch norms, and their count of batches, stay as they are."""
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    tracked = [norm.track_running_stats for norm in norms]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm, tracks in zip(norms, tracked, strict=True):
            norm.track_running_stats = tracks
