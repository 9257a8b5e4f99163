"""The optimizer, the learning rate's limits, and the sharpness-aware step.

tests/reference compares the rate with torch's schedulers.
"""

import re
from collections.abc import Callable
from copy import deepcopy

import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import torch

from mien.nets.network import FaceNetwork, build_face_network
from mien.recipe import ModelConfig, ScheduleConfig
from mien.train.optimization import (
    SharpnessAware,
    build_optimizer,
    frozen_norm_statistics,
    lr_factor,
    scale_learning_rate,
    shorten_phases,
)

BACKBONES = ("mobilenetv3_small_050", "efficientnet_b0", "vit_tiny_patch16_224")


def network(backbone: str = "mobilenetv3_small_050") -> FaceNetwork:
    """A network with every head and a hidden layer."""
    config = ModelConfig(backbone=backbone, pretrained=False, head_hidden_size=8)
    return build_face_network(config, 3, input_size=32, pretrained=False)


@pytest.mark.parametrize(
    ("base", "batch", "peak", "expected"),
    [
        pytest.param(None, 512, 0.1, 0.1, id="as it stands"),
        pytest.param(256, 512, 0.1, 0.2, id="twice the base"),
        pytest.param(256, 64, 0.1, 0.025, id="a quarter of the base"),
        pytest.param(2048, 64, 0.8, 0.025, id="the classic schedule"),
    ],
)
def test_the_rate_is_scaled_to_the_batch_on_request(
    base: int | None, batch: int, peak: float, expected: float
) -> None:
    """The linear rule of Goyal et al. 2017 if the recipe has a base batch size, otherwise no change."""
    config = ScheduleConfig(learning_rate=peak, base_batch_size=base, batch_size=batch)
    assert scale_learning_rate(peak, config) == pytest.approx(expected)
    rates = [group["lr"] for group in build_optimizer(network(), config).param_groups]
    assert rates == pytest.approx([expected] * len(rates))


@pytest.mark.parametrize("heads", [False, True])
@pytest.mark.parametrize("warmup", [0.0, 0.3, 1.0, 5.0])
def test_the_rate_stays_in_its_limits(warmup: float, heads: bool) -> None:
    """From the warm-up's start up to the peak, then down to the minimum, and never beyond."""
    config = ScheduleConfig(epochs=5, warmup_epochs=warmup, warmup_lr_ratio=0.1, min_lr_ratio=0.05)
    shares = [lr_factor(step, config=config, steps_per_epoch=10, heads=heads) for step in range(51)]
    peak = round(10 * warmup)
    assert shares[0] == (0.1 if warmup else 1.0)
    assert shares[min(peak, 50)] == pytest.approx(1.0)
    assert shares[:peak] == sorted(shares[:peak])
    assert shares[peak:] == sorted(shares[peak:], reverse=True)
    assert min(shares) >= 0.05
    if warmup < 5:
        assert shares[50] == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("head_rate", "share"), [pytest.param(None, 1.0, id="the peak"), pytest.param(0.3, 3.0, id="its own")]
)
def test_the_backbone_is_frozen_at_first(head_rate: float | None, share: float) -> None:
    """While the backbone is frozen the heads' rate is constant; the rest is as without freezing."""
    config = ScheduleConfig(
        epochs=5,
        learning_rate=0.1,
        freeze_backbone_epochs=1.5,
        freeze_backbone_learning_rate=head_rate,
        warmup_lr_ratio=0.1,
    )
    rest = ScheduleConfig(epochs=7, learning_rate=0.1, warmup_epochs=2, warmup_lr_ratio=0.1)
    backbone, heads = (
        [lr_factor(step, config=config, steps_per_epoch=10, heads=part) for step in range(50)]
        for part in (False, True)
    )
    assert backbone[:15] == [0.0] * 15
    assert heads[:15] == pytest.approx([share] * 15)
    assert backbone[15:] == heads[15:]
    # 35 steps are left, a tenth of a schedule of 7 epochs of 50: each step corresponds to ten.
    scaled = [lr_factor(step, config=rest, steps_per_epoch=50) for step in range(0, 350, 10)]
    assert backbone[15:] == pytest.approx(scaled)


@pytest.mark.parametrize(
    ("epochs", "head", "warmup", "expected"),
    [
        pytest.param(100, 0, 5, (0, 5), id="they fit"),
        pytest.param(8, 3, 5, (3, 5), id="only just"),
        pytest.param(1, 0, 5, (0, 0.5), id="warm-up"),
        pytest.param(4, 3, 2, (3, 0.5), id="both"),
        pytest.param(2, 3, 0, (2, 0), id="head epochs"),
        pytest.param(2, 2, 1, (2, 0), id="heads alone"),
    ],
)
def test_frozen_epochs_and_warmup_are_shortened(
    epochs: int, head: float, warmup: float, expected: tuple[float, float]
) -> None:
    """What does not fit into the epochs is shortened, the warm-up first, and the rate still reaches its peak."""
    fitted = shorten_phases(ScheduleConfig(epochs=epochs, freeze_backbone_epochs=head, warmup_epochs=warmup))
    assert (fitted.freeze_backbone_epochs, fitted.warmup_epochs) == expected
    rates = [lr_factor(step, config=fitted, steps_per_epoch=10) for step in range(10 * epochs)]
    assert max(rates) == pytest.approx(1)


def test_a_frozen_backbone_all_the_way() -> None:
    """A run may train only the heads, from the first step to the last."""
    config = ScheduleConfig(epochs=3, freeze_backbone_epochs=3, warmup_epochs=0)
    shares = {(lr_factor(step, config=config, steps_per_epoch=4, heads=False)) for step in range(12)}
    assert shares == {0.0}


@pytest.mark.parametrize("decay", [0.0, 0.05])
@pytest.mark.parametrize("layer_decay", [None, 0.8])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_parameter_learns_once(backbone: str, layer_decay: float | None, decay: float) -> None:
    """Each is in exactly one group, those of the heads among the heads, and further ones with these."""
    model, further = network(backbone), [torch.nn.Parameter(torch.zeros(())) for _ in range(2)]
    config = ScheduleConfig(layer_decay=layer_decay, weight_decay=decay)
    optimizer = build_optimizer(model, config, further=iter(further))
    grouped = [(id(p), group["heads"]) for group in optimizer.param_groups for p in group["params"]]
    expected = {id(value): not name.startswith("backbone.") for name, value in model.named_parameters()}
    assert len(grouped) == len(expected) + 2
    assert dict(grouped) == expected | {id(value): True for value in further}
    last = optimizer.param_groups[-1]
    assert (last["params"], last["weight_decay"]) == (further, 0.0)
    assert last["lr"] == pytest.approx(config.learning_rate)


@pytest.mark.parametrize("layer_decay", [None, 0.8])
@pytest.mark.parametrize(("name", "kind"), [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)])
def test_biases_and_norms_do_not_decay(name: str, kind: type, layer_decay: float | None) -> None:
    """Weight decay is for weights of convolutions and linear layers, not for one-dimensional parameters."""
    config = ScheduleConfig(optimizer=name, weight_decay=0.05, layer_decay=layer_decay)
    optimizer = build_optimizer(network(), config)
    assert isinstance(optimizer, kind)
    for group in optimizer.param_groups:
        assert {parameter.ndim > 1 for parameter in group["params"]} == {group["weight_decay"] == 0.05}


@pytest.mark.parametrize(
    ("backbone", "stem", "block", "last"),
    [
        pytest.param("efficientnet_b0", "conv_stem.", r"blocks\.\d+\.\d+\.", "conv_head.", id="efficientnet"),
        pytest.param("vit_tiny_patch16_224", "patch_embed.", r"blocks\.\d+\.", "norm.", id="vit"),
    ],
)
def test_layers_have_higher_rates_toward_the_heads(backbone: str, stem: str, block: str, last: str) -> None:
    """Each block has the decay to the power of the number of blocks after it; the heads and the last block the full rate."""
    model = network(backbone)
    optimizer = build_optimizer(model, ScheduleConfig(learning_rate=0.1, layer_decay=0.5))
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    names = [name for name, _ in model.backbone.named_parameters()]
    blocks = list(dict.fromkeys(found[0] for name in names if (found := re.match(block, name))))
    assert len(blocks) == (16 if backbone == "efficientnet_b0" else 12)
    n_behind = {prefix: len(blocks) - 1 - place for place, prefix in enumerate(blocks)}
    n_behind |= {stem: len(blocks), last: 0}
    for prefix, n in n_behind.items():
        of_layer = [
            rates[id(model.backbone.get_parameter(name))] for name in names if name.startswith(prefix)
        ]
        assert of_layer == pytest.approx([0.1 * 0.5**n] * len(of_layer)), prefix
        assert of_layer
    of_heads = [rates[id(value)] for head in model.head_modules() for value in head.parameters()]
    assert of_heads == pytest.approx([0.1] * 8)


def test_sgd_is_nesterovs() -> None:
    """SGD comes with Nesterov momentum."""
    group = build_optimizer(network(), ScheduleConfig(optimizer="sgd", momentum=0.8)).param_groups[0]
    assert group["nesterov"]
    assert group["momentum"] == 0.8


def test_sgd_without_momentum() -> None:
    """Zero momentum is allowed, and then there is no Nesterov momentum."""
    assert not build_optimizer(network(), ScheduleConfig(optimizer="sgd", momentum=0)).param_groups[0][
        "nesterov"
    ]


class Perceptron:
    """A small network in double precision with its data, for steps that can be verified by hand."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)
        ).double()
        self.inputs, self.targets = torch.randn(16, 4).double(), torch.randn(16, 1).double()

    @property
    def weights(self) -> list[torch.Tensor]:
        """A copy of the parameters."""
        return [value.detach().clone() for value in self.model.parameters()]

    def loss(self) -> torch.Tensor:
        """The mean square error on the data."""
        return (self.model(self.inputs) - self.targets).square().mean()

    def closure(self, optimizer: torch.optim.Optimizer) -> Callable[[], torch.Tensor]:
        """The closure that Lightning gives an optimizer: the loss, with fresh gradients."""

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = self.loss()
            loss.backward()
            return loss

        return closure


def train(rho: float | None, kind: Callable[..., torch.optim.Optimizer], n_steps: int) -> list[torch.Tensor]:
    """The weights after some steps, sharpness-aware unless rho is None."""
    net = Perceptron()
    inner = kind(net.model.parameters())
    optimizer = inner if rho is None else SharpnessAware(inner, rho)
    for _ in range(n_steps):
        optimizer.step(net.closure(optimizer))
    return net.weights


def sgd(parameters: object) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.01)


def adamw(parameters: object) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=0.01)


def test_a_sharpness_aware_step_is_foret_et_als() -> None:
    """Algorithm 1, w - lr g(w + rho g(w) / |g(w)|) with the norm over all parameters together, written out for SGD."""
    rho, rate = 0.3, 0.1
    net = Perceptron()
    expected, plain = net.weights, net.weights
    for _ in range(3):
        probe = deepcopy(net)

        def gradients_at(weights: list[torch.Tensor], probe: Perceptron = probe) -> list[torch.Tensor]:
            for parameter, weight in zip(probe.model.parameters(), weights, strict=True):
                parameter.data.copy_(weight)
            return list(torch.autograd.grad(probe.loss(), list(probe.model.parameters())))

        first = gradients_at(expected)
        norm = torch.cat([gradient.flatten() for gradient in first]).norm()
        worst = [weight + rho * grad / norm for weight, grad in zip(expected, first, strict=True)]
        second = gradients_at(worst)
        expected = [weight - rate * grad for weight, grad in zip(expected, second, strict=True)]
        plain = [weight - rate * grad for weight, grad in zip(plain, gradients_at(plain), strict=True)]
    ours = train(rho, lambda parameters: torch.optim.SGD(parameters, lr=rate), 3)
    for got, wanted, other in zip(ours, expected, plain, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-12)
        assert not torch.allclose(got, other, rtol=1e-4)


def test_a_quadratic_by_hand() -> None:
    """On x^2 / 2 at 1 with rho 0.5 the worst point is 1.5, so a rate of 0.1 leads to 0.85."""
    x = torch.nn.Parameter(torch.tensor(1.0))
    optimizer = SharpnessAware(torch.optim.SGD([x], lr=0.1), rho=0.5)
    seen = []

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        seen.append((x.item(), optimizer.is_at_worst_point))
        loss = x.square() / 2
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == pytest.approx(0.5)
    assert seen == [(1.0, False), (pytest.approx(1.5), True)]
    assert x.item() == pytest.approx(0.85)
    assert not optimizer.is_at_worst_point


def test_frozen_weights_are_not_moved_to_the_worst_point() -> None:
    """With a frozen backbone the radius is that of the heads; with every rate at zero there is no second gradient."""
    head, backbone = (torch.nn.Parameter(torch.tensor(value)) for value in (1.0, 3.0))
    groups = [{"params": [head], "lr": 0.1}, {"params": [backbone], "lr": 0.0}]
    optimizer = SharpnessAware(torch.optim.SGD(groups), rho=0.5)
    seen = []

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        seen.append((head.item(), backbone.item()))
        loss = (head.square() + backbone.square()) / 2
        loss.backward()
        return loss

    optimizer.step(closure)
    assert seen == [(1.0, 3.0), (pytest.approx(1.5), 3.0)]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    optimizer.step(closure)
    assert len(seen) == 3


@pytest.mark.parametrize("kind", [sgd, adamw])
def test_without_a_radius_it_is_the_inner_optimizer(kind: Callable[..., torch.optim.Optimizer]) -> None:
    """As rho goes to zero the steps become the inner optimizer's."""
    plain = train(None, kind, 5)

    def distance(rho: float) -> float:
        return max(
            float((ours - theirs).abs().max())
            for ours, theirs in zip(train(rho, kind, 5), plain, strict=True)
        )

    assert distance(1e-9) < 1e-8
    assert distance(1e-9) < distance(1e-4) < distance(1e-2)


@pytest.mark.parametrize("kind", [sgd, adamw])
def test_a_sharpness_aware_run_resumes_from_its_state(kind: Callable[..., torch.optim.Optimizer]) -> None:
    """Saved and loaded in the middle, with its moments and its rate, it takes exactly the steps of one that was not."""
    net = Perceptron()
    optimizer = SharpnessAware(kind(net.model.parameters()), 0.1)
    for _ in range(3):
        optimizer.step(net.closure(optimizer))
    model_state, state = deepcopy(net.model.state_dict()), deepcopy(optimizer.state_dict())
    assert state["state"]
    resumed = Perceptron()
    resumed.model.load_state_dict(model_state)
    other = SharpnessAware(kind(resumed.model.parameters()), 0.1)
    other.load_state_dict(state)
    for each, each_optimizer in ((net, optimizer), (resumed, other)):
        for group in each_optimizer.param_groups:
            group["lr"] *= 0.5  # as a scheduler does
        for _ in range(3):
            each_optimizer.step(each.closure(each_optimizer))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(resumed.weights, net.weights, strict=True))


def test_an_error_at_the_worst_point_leaves_the_weights() -> None:
    """Stopped during the second gradient, as by Ctrl-C, a run keeps the weights that it had."""
    net = Perceptron()
    optimizer = SharpnessAware(sgd(net.model.parameters()), 0.5)
    before, closure = net.weights, net.closure(optimizer)

    def stopped() -> torch.Tensor:
        if optimizer.is_at_worst_point:
            raise KeyboardInterrupt
        return closure()

    with pytest.raises(KeyboardInterrupt):
        optimizer.step(stopped)
    assert not optimizer.is_at_worst_point
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(net.weights, before, strict=True))


def test_a_recipe_asks_for_sharpness_awareness() -> None:
    """With a radius the recipe's optimizer is wrapped, and shares its parameter groups."""
    optimizer = build_optimizer(network(), ScheduleConfig(optimizer="sgd", sam_rho=0.05))
    assert isinstance(optimizer, SharpnessAware)
    assert optimizer.rho == 0.05
    assert isinstance(optimizer.inner, torch.optim.SGD)
    assert optimizer.param_groups is optimizer.inner.param_groups


def test_norms_keep_their_statistics_on_request() -> None:
    """A pass in training mode normalizes by the batch and leaves the statistics as they are; later passes update them."""
    model = network().train()
    images = torch.randint(0, 256, (8, 32, 32, 3), dtype=torch.uint8)
    twin = deepcopy(model)
    model.dropout.p = twin.dropout.p = 0.0
    before = {name: value.clone() for name, value in model.named_buffers()}
    assert any(name.endswith("num_batches_tracked") for name in before)
    with frozen_norm_statistics(model):
        kept = model(images)["expression"]
    assert all(torch.equal(value, before[name]) for name, value in model.named_buffers())
    assert torch.equal(kept, twin(images)["expression"])
    model(images)
    moved = dict(twin.named_buffers())
    assert any(not torch.equal(value, before[name]) for name, value in moved.items())
    assert all(torch.equal(value, moved[name]) for name, value in model.named_buffers())
