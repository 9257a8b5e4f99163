"""The optimiser and the learning rate."""

import math

import torch
from timm.optim import param_groups_weight_decay
from torch import nn

from mien.recipe import ScheduleConfig


def peak_rate(config: ScheduleConfig) -> float:
    """Return the highest learning rate, scaled to the batch size where the recipe asks for it."""
    if config.base_batch_size is None:
        return config.learning_rate
    return config.learning_rate * config.batch_size / config.base_batch_size


def rate_share(step: int, *, config: ScheduleConfig, steps_per_epoch: int) -> float:
    """Return the learning rate of a step as a share of the peak: linear warm-up, then cosine, by step.

    Args:
        step: from 0.
        config: the schedule.
        steps_per_epoch: steps in an epoch.
    """
    warmup = round(config.warmup_epochs * steps_per_epoch)
    total = config.epochs * steps_per_epoch
    if step < warmup:
        return config.warmup_start + (1 - config.warmup_start) * step / warmup
    done = min(1.0, (step - warmup) / max(1, total - warmup))
    return config.final_rate + (1 - config.final_rate) * 0.5 * (1 + math.cos(math.pi * done))


def build_optimizer(network: nn.Module, config: ScheduleConfig) -> torch.optim.Optimizer:
    """Return the optimiser of a recipe; biases and norms do not decay."""
    groups = param_groups_weight_decay(network, weight_decay=config.weight_decay)
    rate = peak_rate(config)
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=config.momentum, nesterov=config.momentum > 0)
    return torch.optim.AdamW(groups, lr=rate)
