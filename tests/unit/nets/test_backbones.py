"""The backbones that mien registers with timm, and folding of the normalization."""

import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import timm
import torch
from torch import nn

from mien.nets.network import FaceNetwork, build_face_network
from mien.recipe import ModelConfig


def build(backbone: str, *, grayscale: bool = True) -> FaceNetwork:
    torch.manual_seed(0)
    config = ModelConfig(backbone=backbone, pretrained=False, grayscale=grayscale, valence_arousal=False)
    network = build_face_network(config, 8, input_size=48, pretrained=False)
    for module in network.modules():  # as after training
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return network.eval()


@pytest.mark.parametrize(
    ("name", "parameters", "multiply_adds"), [("mien_resnet14", 2.65, 124), ("mien_resnet10", 0.77, 35)]
)
def test_sizes_are_as_documented(name: str, parameters: float, multiply_adds: float) -> None:
    """In millions, at 48 px; the multiply-adds are those of the convolutions."""
    assert name in timm.list_models("mien_*")
    backbone = build(name).backbone
    total = 0

    def count(module: nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal total
        total += output[0, 0].numel() * module.weight.numel()

    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    backbone(torch.zeros(1, 3, 48, 48))
    assert total / 1e6 == pytest.approx(multiply_adds, rel=0.03)
    assert sum(p.numel() for p in build(name).parameters()) / 1e6 == pytest.approx(parameters, rel=0.02)


@pytest.mark.parametrize("grayscale", [True, False])
def test_a_folded_network_predicts_the_same(grayscale: bool) -> None:
    """Also at the borders, where convolutions pad with zeros; and the network itself is unchanged."""
    network = build("mien_resnet10", grayscale=grayscale)
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    folded = network.fold_normalization(48)
    assert folded is not network
    images = torch.randint(0, 256, (16, 48, 48, 3), dtype=torch.uint8)
    with torch.inference_mode():
        expected, actual = network(images), folded(images)
    assert expected["expression"].std() > 0.01
    torch.testing.assert_close(actual["expression"], expected["expression"], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(actual["landmarks"], expected["landmarks"], rtol=1e-4, atol=1e-4)
    for name, value in network.state_dict().items():
        assert torch.equal(value, weights[name])


def test_imagenet_normalization_is_not_folded() -> None:
    """Its means differ between the channels, so padding stands for a color."""
    network = build("resnet10t")
    assert network.fold_normalization(48) is network
