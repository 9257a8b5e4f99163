"""The learning rate, step by step, against torch's own schedulers and against the formula."""

import math
import warnings

import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import torch
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LambdaLR, LinearLR, SequentialLR

from mien.nets.network import FaceNetwork, create_backbone
from mien.recipe import ModelConfig, ScheduleConfig
from mien.train.optimization import build_optimizer, lr_factors, scale_learning_rate

STEPS = 7
CLASSIC = ScheduleConfig(
    epochs=100, batch_size=64, optimizer="sgd", learning_rate=0.8, base_batch_size=2048, weight_decay=1e-4,
    warmup_epochs=5, warmup_lr_ratio=0.25,
)  # fmt: skip
CONFIGS = [
    pytest.param(ScheduleConfig(epochs=5, warmup_epochs=1), id="one epoch of warm-up"),
    pytest.param(ScheduleConfig(epochs=5, warmup_epochs=2.5, warmup_lr_ratio=0.2), id="half epochs"),
    pytest.param(ScheduleConfig(epochs=3, warmup_epochs=0.0), id="no warm-up"),
    pytest.param(ScheduleConfig(epochs=4, warmup_epochs=1, min_lr_ratio=0.1), id="a final rate"),
    pytest.param(
        ScheduleConfig(epochs=4, learning_rate=0.4, base_batch_size=256, batch_size=64, optimizer="sgd"),
        id="scaled to the batch",
    ),
    pytest.param(CLASSIC, id="the classic schedule"),
]


@pytest.fixture(scope="module")
def network() -> FaceNetwork:
    """A network whose rates are looked at and whose weights do not matter."""
    config = ModelConfig(landmarks=False, valence_arousal=False)
    return FaceNetwork(create_backbone("mobilenetv3_small_050"), 3, config)


def rates_of(network: FaceNetwork, config: ScheduleConfig, *, heads: bool = True) -> list[float]:
    """The rates that an optimizer really gives the heads, or the backbone, as training steps it."""
    optimizer = build_optimizer(network, config)
    scheduler = LambdaLR(optimizer, lr_factors(optimizer, config, steps_per_epoch=STEPS))
    group = next(group for group in optimizer.param_groups if group["heads"] == heads)
    rates = []
    for _ in range(config.epochs * STEPS):
        rates.append(group["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def torchs_rates(config: ScheduleConfig) -> list[float]:
    """The heads' rates by ConstantLR, LinearLR and CosineAnnealingLR, one after the other."""
    peak = scale_learning_rate(config.learning_rate, config)
    optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=peak)
    head, warmup = round(config.freeze_backbone_epochs * STEPS), round(config.warmup_epochs * STEPS)
    total = config.epochs * STEPS
    schedulers, ends = [], []
    if head:
        factor = (config.freeze_backbone_learning_rate or config.learning_rate) / config.learning_rate
        schedulers.append(ConstantLR(optimizer, factor, total_iters=head + 1))
        ends.append(head)
    if warmup:
        schedulers.append(LinearLR(optimizer, start_factor=config.warmup_lr_ratio, total_iters=warmup))
        ends.append(head + warmup)
    cosine = CosineAnnealingLR(optimizer, total - head - warmup, eta_min=config.min_lr_ratio * peak)
    expected = []
    with warnings.catch_warnings():
        # SequentialLR warns of its own use of an old argument.
        warnings.simplefilter("ignore")
        scheduler = SequentialLR(optimizer, [*schedulers, cosine], ends) if ends else cosine
        for _ in range(total):
            expected.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
    return expected


@pytest.mark.parametrize("config", CONFIGS)
def test_against_torchs_schedulers(network: FaceNetwork, config: ScheduleConfig) -> None:
    """LinearLR then CosineAnnealingLR, stepped by iteration, give heads and backbone the same rate in every step."""
    expected = torchs_rates(config)
    for heads in (True, False):
        assert rates_of(network, config, heads=heads) == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("head_rate", [None, 0.01])
@pytest.mark.parametrize("warmup", [0.0, 1.5])
def test_a_frozen_backbone_against_torchs_schedulers(
    network: FaceNetwork, head_rate: float | None, warmup: float
) -> None:
    """ConstantLR comes before them for the heads; the backbone has no rate meanwhile, and then the same."""
    config = ScheduleConfig(
        epochs=6, learning_rate=0.02, freeze_backbone_epochs=2, freeze_backbone_learning_rate=head_rate, warmup_epochs=warmup,
        min_lr_ratio=0.1,
    )  # fmt: skip
    expected = torchs_rates(config)
    assert rates_of(network, config, heads=True) == pytest.approx(expected, rel=1e-6)
    still = [0.0] * (2 * STEPS)
    assert rates_of(network, config, heads=False) == pytest.approx(still + expected[2 * STEPS :], rel=1e-6)


def test_the_classic_schedule_in_figures(network: FaceNetwork) -> None:
    """0.8 at batches of 2048 is 0.025 at 64; from a quarter of it over 5 epochs of 100, then to nought."""
    rates = rates_of(network, CLASSIC)
    assert rates[0] == pytest.approx(0.025 / 4)
    assert rates[5 * STEPS] == pytest.approx(0.025)
    assert max(rates) == rates[5 * STEPS]
    halfway = 5 * STEPS + 95 * STEPS / 2
    assert (rates[math.floor(halfway)] + rates[math.ceil(halfway)]) / 2 == pytest.approx(0.0125)
    assert 0 < rates[-1] < 1e-6


@pytest.mark.parametrize("config", CONFIGS)
def test_against_the_formula(network: FaceNetwork, config: ScheduleConfig) -> None:
    """The rate is start + (1 - start) t / w, then f + (1 - f) (1 + cos(pi s)) / 2, times the peak."""
    warmup, total = round(config.warmup_epochs * STEPS), config.epochs * STEPS
    expected = [
        config.warmup_lr_ratio + (1 - config.warmup_lr_ratio) * step / warmup
        if step < warmup
        else config.min_lr_ratio
        + (1 - config.min_lr_ratio) * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2
        for step in range(total)
    ]
    peak = scale_learning_rate(config.learning_rate, config)
    assert rates_of(network, config) == pytest.approx([peak * share for share in expected])
