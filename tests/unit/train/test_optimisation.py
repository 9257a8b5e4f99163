"""The optimiser and the learning rate's limits. tests/reference compares the rate with torch's schedulers."""

import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import torch

from mien.recipe import ScheduleConfig
from mien.train.optimisation import build_optimizer, peak_rate, rate_share


def network() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))


@pytest.mark.parametrize(
    ("base", "batch", "expected"),
    [
        pytest.param(None, 512, 0.1, id="as it stands"),
        pytest.param(256, 512, 0.2, id="twice the base"),
        pytest.param(256, 64, 0.025, id="a quarter of the base"),
    ],
)
def test_the_rate_is_scaled_to_the_batch_on_request(base: int | None, batch: int, expected: float) -> None:
    """The linear rule of Goyal et al. 2017 where the recipe names a base, nothing otherwise."""
    config = ScheduleConfig(learning_rate=0.1, base_batch_size=base, batch_size=batch)
    assert peak_rate(config) == pytest.approx(expected)
    assert build_optimizer(network(), config).param_groups[0]["lr"] == pytest.approx(expected)


@pytest.mark.parametrize("warmup", [0.0, 0.3, 1.0, 5.0])
def test_the_rate_stays_in_its_limits(warmup: float) -> None:
    """From the warm-up's start up to the peak, then down towards the final rate, and never beyond."""
    config = ScheduleConfig(epochs=5, warmup_epochs=warmup, warmup_start=0.1, final_rate=0.05)
    shares = [rate_share(step, config=config, steps_per_epoch=10) for step in range(51)]
    peak = round(10 * warmup)
    assert shares[0] == (0.1 if warmup else 1.0)
    assert shares[min(peak, 50)] == pytest.approx(1.0)
    assert shares[:peak] == sorted(shares[:peak])
    assert shares[peak:] == sorted(shares[peak:], reverse=True)
    assert min(shares) >= 0.05
    if warmup < 5:
        assert shares[50] == pytest.approx(0.05)


@pytest.mark.parametrize(("name", "kind"), [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)])
def test_biases_and_norms_do_not_decay(name: str, kind: type) -> None:
    """Weight decay is for weights, and every parameter is in one group."""
    model = network()
    optimizer = build_optimizer(model, ScheduleConfig(optimizer=name, weight_decay=0.05))
    assert isinstance(optimizer, kind)
    for group in optimizer.param_groups:
        assert {parameter.ndim > 1 for parameter in group["params"]} == {group["weight_decay"] == 0.05}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))


def test_sgd_is_nesterovs() -> None:
    """SGD comes with Nesterov momentum."""
    group = build_optimizer(network(), ScheduleConfig(optimizer="sgd", momentum=0.8)).param_groups[0]
    assert group["nesterov"]
    assert group["momentum"] == 0.8


def test_sgd_without_momentum() -> None:
    """No momentum is allowed, and then there is nothing of Nesterov's."""
    assert not build_optimizer(network(), ScheduleConfig(optimizer="sgd", momentum=0)).param_groups[0][
        "nesterov"
    ]
