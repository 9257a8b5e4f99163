"""The cost of a network, compared with figures worked out by hand and published ones."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import numpy as np
import torch
from torch import nn

from mien.formats.pack import Pack
from mien.nets.network import FaceNetwork, build_face_network
from mien.recipe import LossConfig, ModelConfig, Recipe
from mien.train.dataloader import FaceBatches
from mien.train.dataset import read_training_faces
from mien.train.dry_run.cost import count_multiply_adds, count_parameters, count_saved_bytes, estimate_memory
from mien.train.objective import Objective, Teacher
from mien.train.optimization import SharpnessAware, build_optimizer

SIDE = 32


class SmallBackbone(nn.Module):
    """A convolution to 8 channels of half the side, a norm, and the mean."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
        self.head_hidden_size = 8

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return 8 features."""
        return self.norm(self.conv(pixels)).relu().mean(dim=(2, 3))


def small_network() -> FaceNetwork:
    config = ModelConfig(landmarks=False, valence_arousal=False, drop_rate=0.0)
    return FaceNetwork(SmallBackbone(), 3, config)


@pytest.fixture
def dataset(training_pack: Path, tiny_recipe: Recipe) -> FaceBatches:
    """Training faces of 32 x 32 pixels."""
    faces = read_training_faces([Pack.open(training_pack)], tiny_recipe.data).train
    return FaceBatches(faces, SIDE, tiny_recipe.data.augment)


def objective(network: FaceNetwork, teacher: Teacher | None = None, **loss: Any) -> Objective:
    return Objective(LossConfig(**loss), np.full(3, 64), tasks=network.tasks, teacher=teacher)


def with_schedule(recipe: Recipe, **schedule: Any) -> Recipe:
    return replace(recipe, schedule=replace(recipe.schedule, **schedule))


def test_multiply_adds_and_parameters_by_hand() -> None:
    """A convolution costs kernel x channels for each output pixel, a head inputs x outputs."""
    network = small_network()
    assert count_multiply_adds(network, SIDE) == (SIDE // 2) ** 2 * 8 * (3 * 3 * 3) + 8 * 3
    assert count_parameters(network) == 8 * 3 * 3 * 3 + 2 * 8 + (8 + 1) * 3
    assert network.training


@pytest.mark.parametrize(
    ("backbone", "published"),
    [
        # https://arxiv.org/abs/1905.11946, table 2
        pytest.param("efficientnet_b0", 0.39e9, id="EfficientNet-B0"),
        # https://arxiv.org/abs/1512.03385, table 1
        pytest.param("resnet18", 1.8e9, id="ResNet-18"),
    ],
)
def test_multiply_adds_as_published(backbone: str, published: float) -> None:
    """At 224 pixels the networks cost what their authors report; the heads are small."""
    network = build_face_network(ModelConfig(backbone=backbone), 8, input_size=224, pretrained=False)
    assert count_multiply_adds(network, 224) == pytest.approx(published, rel=0.03)


def test_multiply_adds_of_attention() -> None:
    """A vision transformer costs its patches, and in each block four projections, two products and the hidden layer."""
    config = ModelConfig(backbone="vit_tiny_patch16_224", landmarks=False, valence_arousal=False)
    network = build_face_network(config, 8, input_size=224, pretrained=False)
    width, patches = 192, 14 * 14
    tokens = patches + 1
    block = 4 * tokens * width**2 + 2 * tokens**2 * width + 2 * tokens * width * 4 * width
    by_hand = patches * 16 * 16 * 3 * width + 12 * block + width * 8
    assert count_multiply_adds(network, 224) == by_hand


def test_activations_by_hand(dataset: FaceBatches, tiny_recipe: Recipe) -> None:
    """Saved for each face: the uint8 image, the normalized image, and the convolution before and after its norm."""
    network = small_network()
    memory = estimate_memory(network, objective(network), dataset, tiny_recipe)
    image, maps = SIDE * SIDE * 3, (SIDE // 2) ** 2 * 8 * 4
    labels = (68 * 2 + 2 + 3) * 4
    by_hand = image + 4 * image + 2 * maps + labels
    assert by_hand <= memory.per_face <= by_hand + 200  # the few numbers of the head and the loss
    assert memory.per_step < 500
    assert memory.n_faces == 16
    assert memory.activations == memory.per_step + 16 * memory.per_face


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_half_precision_takes_half(dataset: FaceBatches, tiny_recipe: Recipe, precision: str) -> None:
    """Feature maps take two bytes per number; so do copies of the weights, once per step."""
    network = small_network()
    half = replace(tiny_recipe, runtime=replace(tiny_recipe.runtime, precision=precision))
    whole, less = (
        estimate_memory(network, objective(network), dataset, each) for each in (tiny_recipe, half)
    )
    maps = SIDE * SIDE * 3 * 4 + 2 * (SIDE // 2) ** 2 * 8 * 4
    assert whole.per_face - less.per_face == pytest.approx(maps / 2, rel=0.02)
    assert less.per_step - whole.per_step >= 2 * 8 * 27
    assert less.parts == whole.parts


def test_mixing_keeps_a_float_image_too(dataset: FaceBatches, tiny_recipe: Recipe) -> None:
    """A mixed image is no longer uint8."""
    network = small_network()
    augment = replace(tiny_recipe.data.augment, mixup_prob=0.5)
    mixed = replace(tiny_recipe, data=replace(tiny_recipe.data, augment=augment))
    plain, more = (
        estimate_memory(network, objective(network), dataset, each) for each in (tiny_recipe, mixed)
    )
    assert more.per_face - plain.per_face >= SIDE * SIDE * 3 * 4


@pytest.mark.parametrize(
    "schedule",
    [
        pytest.param({"optimizer": "adamw"}, id="adamw"),
        pytest.param({"optimizer": "sgd"}, id="sgd"),
        pytest.param({"optimizer": "sgd", "momentum": 0.0}, id="sgd without momentum"),
        pytest.param({"optimizer": "adamw", "layer_decay": 0.8}, id="decay by layer"),
        pytest.param({"optimizer": "sgd", "sam_rho": 0.05}, id="sharpness-aware"),
    ],
)
def test_the_optimizers_state_is_what_a_step_makes(
    dataset: FaceBatches, tiny_recipe: Recipe, schedule: dict[str, Any]
) -> None:
    """Estimated without memory, it is as large as after a real step, and the weights are unchanged."""
    recipe = with_schedule(tiny_recipe, **schedule)
    network = build_face_network(recipe.model, 3, input_size=SIDE, pretrained=False)
    before = {name: value.clone() for name, value in network.state_dict().items() if "running" not in name}
    memory = estimate_memory(network, objective(network), dataset, recipe)
    after = network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items() if "batches" not in name)
    optimizer = build_optimizer(network, recipe.schedule)
    inner = optimizer.inner if isinstance(optimizer, SharpnessAware) else optimizer
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    inner.step()
    states = [value for state in inner.state.values() for value in state.values() if value is not None]
    assert memory.parts.get("optimizer", 0) == sum(value.nbytes for value in states if value.ndim)


def test_everything_in_a_steps_memory_is_counted(dataset: FaceBatches, tiny_recipe: Recipe) -> None:
    """Average, teacher, second gradient and gradients in transit, each by the size of its own weights."""
    network, other = small_network(), small_network()
    recipe = with_schedule(tiny_recipe, sam_rho=0.1, ema_decay=0.9)
    recipe = replace(recipe, runtime=replace(recipe.runtime, devices=2, nodes=2))
    losses = objective(network, Teacher(other, [2, 0, 1], 24), task_weights="learned")
    memory = estimate_memory(network, losses, dataset, recipe)
    trained = 4 * (count_parameters(network) + 1)
    kept = (
        4 * count_parameters(network) + 4 * 2 * 8 + 8 + 3 * 3 * 4
    )  # the norm's statistics, mean, std, brightness
    assert memory.n_faces == 4
    assert memory.parts == {
        "weights": kept,
        "gradients": trained,
        "gradients in transit": trained,
        "optimizer": 2 * trained,
        "sharpness-aware step": 2 * trained,
        "moving average": kept,
        "teacher": kept,
    }
    assert memory.total == sum(memory.parts.values()) + memory.activations


def test_a_storage_counts_once() -> None:
    """Views of one tensor, and known tensors, add nothing."""
    weight = torch.ones(10, 10, requires_grad=True)
    values = torch.ones(10, 10)

    def forward() -> torch.Tensor:
        doubled = values * 2
        return (weight * doubled).sum() + (weight * doubled.t()).sum()

    assert count_saved_bytes(forward, known=[]) == 400
    assert count_saved_bytes(lambda: weight * values, known=[values]) == 0
    assert count_saved_bytes(lambda: weight * weight, known=[weight]) == 0
