"""The network: what goes in, what comes out, and what is told when it cannot be built."""

import time
from typing import Any

import pytest

pytest.importorskip("torch", reason="the network needs the train extra")

import torch

from mien.errors import ModelError
from mien.network import FaceNetwork, create_backbone
from mien.recipe import ModelConfig


def build(
    *, landmarks: bool = True, valence_arousal: bool = True, name: str = "mobilenetv3_small_050"
) -> Any:
    torch.manual_seed(0)
    config = ModelConfig(landmarks=landmarks, valence_arousal=valence_arousal)
    return FaceNetwork(create_backbone(name, input_size=32), 5, config).eval()


@pytest.fixture(scope="module")
def network() -> Any:
    """A network with every head."""
    return build()


@pytest.fixture(scope="module")
def images() -> Any:
    """Three random faces."""
    return torch.randint(
        0, 256, (3, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def test_shapes(network: Any, images: Any) -> None:
    """Each head gives one answer a face."""
    outputs = network(images)
    assert outputs.logits.shape == (3, 5)
    assert outputs.landmarks.shape == (3, 68, 2)
    assert outputs.valence_arousal.shape == (3, 2)


def test_bytes_and_floats_are_the_same_faces(network: Any, images: Any) -> None:
    """Augmented faces are floats and deployed ones bytes; the values mean the same."""
    for ours, theirs in zip(network(images), network(images.float()), strict=True):
        assert torch.equal(ours, theirs)


def test_faces_are_normalised_as_the_backbone_was_trained(network: Any, images: Any) -> None:
    """The backbone sees ImageNet's mean as nought and its spread as one."""
    seen = []
    handle = network.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(images)
    handle.remove()
    mean = torch.tensor(network.backbone.pretrained_cfg["mean"])
    std = torch.tensor(network.backbone.pretrained_cfg["std"])
    expected = ((images.float() / 255 - mean) / std).permute(0, 3, 1, 2)
    torch.testing.assert_close(seen[0], expected)


def test_channels_come_last_in_memory(network: Any, images: Any) -> None:
    """The fast layout reaches the convolutions, weights and pictures both."""
    seen = []
    convolution = network.backbone.conv_stem
    handle = convolution.register_forward_hook(lambda _, inputs, output: seen.extend([inputs[0], output]))
    network(images)
    handle.remove()
    for tensor in (*seen, convolution.weight):
        assert tensor.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("landmarks", "valence_arousal"), [(False, True), (True, False), (False, False)])
def test_a_head_that_is_off_gives_none(images: Any, landmarks: bool, valence_arousal: bool) -> None:
    """A head that is off has no weights and no answer."""
    network = build(landmarks=landmarks, valence_arousal=valence_arousal)
    outputs = network(images)
    assert (outputs.landmarks is not None) == landmarks
    assert (outputs.valence_arousal is not None) == valence_arousal
    names = {name.split(".")[0] for name, _ in network.named_parameters()}
    assert ("landmark_head" in names) == landmarks
    assert ("affect_head" in names) == valence_arousal


def test_landmarks_begin_in_the_middle(network: Any, images: Any) -> None:
    """Before training every point stands in the middle of the crop."""
    assert torch.equal(network(images).landmarks, torch.full((3, 68, 2), 0.5))


def test_valence_and_arousal_stay_in_range(network: Any) -> None:
    """Whatever the features, the answers lie in [-1, 1]."""
    features = torch.randn(8, network.expression_head.in_features) * 1e3
    assert torch.tanh(network.affect_head(features)).abs().max() <= 1


def test_a_backbone_built_for_one_size_takes_another() -> None:
    """A vision transformer is built for the recipe's input."""
    network = build(name="vit_tiny_patch16_224")
    assert network(torch.zeros(1, 32, 32, 3, dtype=torch.uint8)).logits.shape == (1, 5)


@pytest.mark.parametrize(
    ("name", "near"),
    [("resnt18", "resnet18"), ("eficientnet-b0", "efficientnet_b0"), ("", "timm.list_models")],
)
def test_an_unknown_backbone_names_near_ones(name: str, near: str) -> None:
    """A slip of the pen is answered with the name that was meant."""
    with pytest.raises(ModelError, match=near):
        create_backbone(name)


def test_an_unknown_set_of_weights() -> None:
    """The part of a name after the dot names weights; one that timm does not know is told."""
    with pytest.raises(ModelError, match="no weights of the name"):
        create_backbone("efficientnet_b0.nope")


def test_an_option_that_a_backbone_does_not_have() -> None:
    """Not every backbone can drop branches; that is an error of one line, not a bug."""
    with pytest.raises(ModelError, match=r"vgg11.*drop_path_rate"):
        create_backbone("vgg11", drop_path_rate=0.1)


def test_weights_that_cannot_be_had_are_told_soon(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """With no network and nothing in the cache there is one error with the way out, in seconds."""
    import huggingface_hub

    class CutOff:
        def head(self, *_: object, **__: object) -> None:
            raise ConnectionError

    monkeypatch.setattr(huggingface_hub, "get_session", CutOff)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    start = time.monotonic()
    with pytest.raises(ModelError, match=r"resnet18 could not be had.*--model\.pretrained false"):
        create_backbone("resnet18", pretrained=True)
    assert time.monotonic() - start < 5
