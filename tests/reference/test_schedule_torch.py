"""The learning rate, step by step, against torch's own schedulers and against the formula."""

import math
import warnings

import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LinearLR, SequentialLR

from mien.recipe import ScheduleConfig
from mien.train.optimisation import build_optimizer, peak_rate, rate_share

STEPS = 7
CONFIGS = [
    pytest.param(ScheduleConfig(epochs=5, warmup_epochs=1), id="one epoch of warm-up"),
    pytest.param(ScheduleConfig(epochs=5, warmup_epochs=2.5, warmup_start=0.2), id="half epochs"),
    pytest.param(ScheduleConfig(epochs=3, warmup_epochs=0.0), id="no warm-up"),
    pytest.param(ScheduleConfig(epochs=4, warmup_epochs=1, final_rate=0.1), id="a final rate"),
    pytest.param(
        ScheduleConfig(epochs=4, learning_rate=0.4, base_batch_size=256, batch_size=64, optimizer="sgd"),
        id="scaled to the batch",
    ),
]


def rates_of(config: ScheduleConfig) -> list[float]:
    """The rates that an optimiser really gets, as training steps it."""
    optimizer = build_optimizer(torch.nn.Linear(2, 2), config)
    scheduler = LambdaLR(optimizer, lambda step: rate_share(step, config=config, steps_per_epoch=STEPS))
    rates = []
    for _ in range(config.epochs * STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("config", CONFIGS)
def test_against_torchs_schedulers(config: ScheduleConfig) -> None:
    """LinearLR then CosineAnnealingLR, stepped by iteration, give the same rate in every step."""
    optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=peak_rate(config))
    warmup, total = round(config.warmup_epochs * STEPS), config.epochs * STEPS
    cosine = CosineAnnealingLR(optimizer, total - warmup, eta_min=config.final_rate * peak_rate(config))
    scheduler = cosine
    if warmup:
        linear = LinearLR(optimizer, start_factor=config.warmup_start, total_iters=warmup)
        scheduler = SequentialLR(optimizer, [linear, cosine], milestones=[warmup])
    expected = []
    with warnings.catch_warnings():
        # SequentialLR warns of its own use of an old argument.
        warnings.simplefilter("ignore")
        for _ in range(total):
            expected.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
    assert rates_of(config) == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("config", CONFIGS)
def test_against_the_formula(config: ScheduleConfig) -> None:
    """The rate is start + (1 - start) t / w, then f + (1 - f) (1 + cos(pi s)) / 2, times the peak."""
    warmup, total = round(config.warmup_epochs * STEPS), config.epochs * STEPS
    expected = [
        config.warmup_start + (1 - config.warmup_start) * step / warmup
        if step < warmup
        else config.final_rate
        + (1 - config.final_rate) * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2
        for step in range(total)
    ]
    assert rates_of(config) == pytest.approx([peak_rate(config) * share for share in expected])
