"""The network: inputs, outputs, and errors when it cannot be built."""

import time
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="the network needs the train extra")

import torch

from mien.errors import ModelError
from mien.nets.network import build_face_network, create_backbone, set_stem_stride
from mien.recipe import ModelConfig

SMALL = "mobilenetv3_small_050"


def build(name: str = SMALL, *, input_size: int = 32, **model: Any) -> Any:
    """The network of a recipe's model, always with the same first weights."""
    torch.manual_seed(0)
    config = ModelConfig(backbone=name, pretrained=False, **model)
    return build_face_network(config, 5, input_size=input_size, pretrained=False).eval()


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
    """Each head gives one output per face."""
    outputs = network(images)
    assert outputs["expression"].shape == (3, 5)
    assert outputs["landmarks"].shape == (3, 68, 2)
    assert outputs["valence_arousal"].shape == (3, 2)


def test_bytes_and_floats_are_the_same_faces(network: Any, images: Any) -> None:
    """Augmented faces are floats and deployed ones uint8; the values mean the same."""
    torch.testing.assert_close(network(images), network(images.float()), rtol=0, atol=0)


def test_faces_are_normalized_as_the_backbone_was_trained(network: Any, images: Any) -> None:
    """The backbone sees ImageNet's mean as 0 and its standard deviation as 1."""
    seen = []
    handle = network.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(images)
    handle.remove()
    mean = torch.tensor(network.backbone.pretrained_cfg["mean"])
    std = torch.tensor(network.backbone.pretrained_cfg["std"])
    expected = ((images.float() / 255 - mean) / std).permute(0, 3, 1, 2)
    torch.testing.assert_close(seen[0], expected)


def test_channels_come_last_in_memory(network: Any, images: Any) -> None:
    """Both weights and images reach the convolutions in the fast layout."""
    seen = []
    convolution = network.backbone.conv_stem
    handle = convolution.register_forward_hook(lambda _, inputs, output: seen.extend([inputs[0], output]))
    network(images)
    handle.remove()
    for tensor in (*seen, convolution.weight):
        assert tensor.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("landmarks", "valence_arousal"), [(False, True), (True, False), (False, False)])
def test_a_head_that_is_off_gives_none(images: Any, landmarks: bool, valence_arousal: bool) -> None:
    """A head that is off has no weights and no output."""
    network = build(landmarks=landmarks, valence_arousal=valence_arousal)
    outputs = network(images)
    assert ("landmarks" in outputs) == landmarks
    assert ("valence_arousal" in outputs) == valence_arousal
    names = {name.split(".")[0] for name, _ in network.named_parameters()}
    assert ("landmark_head" in names) == landmarks
    assert ("affect_head" in names) == valence_arousal


def test_landmarks_start_in_the_center(network: Any, images: Any) -> None:
    """Before training every point is in the center of the crop."""
    assert torch.equal(network(images)["landmarks"], torch.full((3, 68, 2), 0.5))


def test_valence_and_arousal_stay_in_range(network: Any) -> None:
    """Whatever the features, the outputs are in [-1, 1]."""
    features = torch.randn(8, network.expression_head.in_features) * 1e3
    assert torch.tanh(network.affect_head(features)).abs().max() <= 1


def test_a_backbone_built_for_one_size_takes_another() -> None:
    """A vision transformer is built for the recipe's input."""
    network = build(name="vit_tiny_patch16_224")
    assert network(torch.zeros(1, 32, 32, 3, dtype=torch.uint8))["expression"].shape == (1, 5)


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0"])
def test_a_smaller_stem_stride_keeps_the_weights_and_enlarges_the_maps(name: str) -> None:
    """ImageNet's weights still fit, and every feature map has twice the side."""

    def maps_of(network: Any) -> list[tuple[int, ...]]:
        sizes: list[tuple[int, ...]] = []
        for module in network.backbone.modules():
            if isinstance(module, torch.nn.Conv2d) and module.kernel_size != (1, 1):
                module.register_forward_hook(lambda *args: sizes.append(tuple(args[2].shape[2:])))
        network(torch.zeros(1, 64, 64, 3, dtype=torch.uint8))
        return sizes

    plain, fine = build(name, input_size=64), build(name, input_size=64, stem_stride=1)
    weights, fine_weights = plain.state_dict(), fine.state_dict()
    assert list(weights) == list(fine_weights)
    assert all(torch.equal(weights[key], fine_weights[key]) for key in weights)
    coarse_maps, fine_maps = maps_of(plain), maps_of(fine)
    assert coarse_maps[0] == (32, 32)
    assert len(coarse_maps) > 10
    assert fine_maps == [(2 * height, 2 * width) for height, width in coarse_maps]


def test_a_network_with_another_stem_stride_is_ready_to_train() -> None:
    """Trying the stride leaves no part of the network in evaluation mode, and its norms unchanged."""
    config = ModelConfig(backbone=SMALL, pretrained=False, stem_stride=1)
    network = build_face_network(config, 5, input_size=32, pretrained=False)
    assert {module.training for module in network.modules()} == {True}
    before = {name: value.clone() for name, value in network.named_buffers()}
    assert all(not value.any() for name, value in before.items() if "num_batches" in name)
    network(torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8))
    assert any(not torch.equal(value, before[name]) for name, value in network.named_buffers())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("twins_svt_small", "cannot be built with {'img_size': 48}: "),
        (
            "gcvit_xxtiny",
            r"cannot run at 48 px \(.*\)\. Choose another `data.input_size` or `model.backbone`",
        ),
    ],
)
def test_a_backbone_that_cannot_run_at_this_size(name: str, expected: str) -> None:
    """It is an error before the first step, in one line."""
    with pytest.raises(ModelError, match=expected):
        build(name, input_size=48)


@pytest.mark.parametrize(
    ("name", "stride", "expected"),
    [
        pytest.param(
            "vit_tiny_patch16_224", 1, r"starts with kernel \(16, 16\), stride \(16, 16\)", id="patches"
        ),
        pytest.param("convnext_atto", 1, r"starts with kernel \(4, 4\)", id="small patches"),
        pytest.param("repvgg_a0", 1, "cannot run with `model.stem_stride: 1` at 64 px", id="branches"),
        pytest.param("levit_128", 1, "cannot run with `model.stem_stride: 1` at 64 px", id="one size"),
        pytest.param(
            "maxvit_nano_rw_256", 4, "cannot run with `model.stem_stride: 4` at 64 px", id="windows"
        ),
    ],
)
def test_a_backbone_whose_stem_stride_is_its_own(name: str, stride: int, expected: str) -> None:
    """If the stride cannot be changed, one line says to leave the key out."""
    with pytest.raises(ModelError, match=expected + ".*Leave the key out") as caught:
        build(name, input_size=64, stem_stride=stride)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("first", "came"),
    [
        pytest.param(torch.nn.Conv2d(3, 4, 3), r"kernel \(3, 3\), stride \(1, 1\)", id="stride 1 already"),
        pytest.param(torch.nn.Conv2d(3, 4, 2, stride=2), r"kernel \(2, 2\)", id="patches of 2"),
        pytest.param(torch.nn.Linear(3, 4), "none", id="no convolution"),
    ],
)
def test_a_first_layer_whose_stride_cannot_change(first: Any, came: str) -> None:
    """Only the stride of a convolution with overlapping windows that halves the map can be changed."""
    with pytest.raises(ModelError, match=f"of stride 2; mine starts with {came}"):
        set_stem_stride(torch.nn.Sequential(first), 1, name="mine")


def test_a_hidden_layer(images: Any) -> None:
    """All heads take the rectified layer, which takes the pooled features."""
    network = build(head_hidden_size=12)
    assert {head.in_features for head in network.head_modules() if head is not network.hidden} == {12}
    outputs = network(images)
    features = network.backbone(((images - network.mean) / network.std).permute(0, 3, 1, 2))
    hidden = (features @ network.hidden.weight.T + network.hidden.bias).clamp(min=0)
    assert (hidden == 0).any()
    head = network.expression_head
    torch.testing.assert_close(outputs["expression"], hidden @ head.weight.T + head.bias)
    assert torch.equal(outputs["valence_arousal"], torch.tanh(network.affect_head(hidden)))


def moved_by(network: Any, images: Any) -> float:
    """How far the logits move with the predicted landmarks."""
    with torch.no_grad():
        before = network(images)["expression"]
        network.landmark_head.bias += 0.1
        after = network(images)["expression"]
        network.landmark_head.bias -= 0.1
    return float((after - before).abs().max())


def test_the_expression_head_sees_the_landmarks_on_request(images: Any) -> None:
    """With `condition_on_landmarks` the logits depend on the predicted points, and without it they do not."""
    assert moved_by(build(), images) == 0
    network = build(condition_on_landmarks=True)
    assert network.expression_head.in_features == build().expression_head.in_features + 136
    assert moved_by(network, images) > 1e-3
    # A point in the center of the crop adds nothing, whatever its column.
    logits = network(images)["expression"]
    with torch.no_grad():
        network.expression_head.weight[:, -136:] = 0
    torch.testing.assert_close(network(images)["expression"], logits)


def test_the_expression_does_not_move_the_landmarks(images: Any) -> None:
    """Its gradient reaches backbone and expression head and not the landmark head, which learns from its own loss."""
    network = build(condition_on_landmarks=True)
    outputs = network(images)
    outputs["expression"].square().sum().backward(retain_graph=True)
    assert network.expression_head.weight.grad[:, :-136].any()
    assert network.landmark_head.weight.grad is None
    assert network.landmark_head.bias.grad is None
    assert any(value.grad is not None and value.grad.any() for value in network.backbone.parameters())
    outputs["landmarks"].square().sum().backward()
    assert network.landmark_head.weight.grad.any()


def test_conditioning_needs_the_landmark_head() -> None:
    """The two keys contradict each other."""
    with pytest.raises(ValueError, match="`condition_on_landmarks` needs the landmark head"):
        build(landmarks=False, condition_on_landmarks=True)


def test_the_heads_are_everything_after_the_backbone() -> None:
    """`head_modules` and the backbone together have every weight, whatever is switched on."""
    for model in (
        {},
        {"head_hidden_size": 8},
        {"landmarks": False},
        {"valence_arousal": False, "landmarks": False},
    ):
        network = build(**model)
        heads = {id(value) for head in network.head_modules() for value in head.parameters()}
        assert heads == {
            id(value) for name, value in network.named_parameters() if not name.startswith("backbone.")
        }


@pytest.mark.parametrize(
    ("name", "near"),
    [("resnt18", "resnet18"), ("eficientnet-b0", "efficientnet_b0"), ("", "timm.list_models")],
)
def test_an_unknown_backbone_names_near_ones(name: str, near: str) -> None:
    """The error for a typo suggests the intended name."""
    with pytest.raises(ModelError, match=near):
        create_backbone(name)


def test_an_unknown_set_of_weights() -> None:
    """The part of a name after the dot names weights; an unknown one is an error."""
    with pytest.raises(ModelError, match="no weights of the name"):
        create_backbone("efficientnet_b0.nope")


def test_an_option_that_a_backbone_does_not_have() -> None:
    """Not every backbone supports stochastic depth; that is an error of one line."""
    with pytest.raises(ModelError, match=r"vgg11.*drop_path_rate"):
        create_backbone("vgg11", drop_path_rate=0.1)


def test_unavailable_weights_are_an_error_soon(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Without a network connection or cached weights, there is one error with a way out, in seconds."""
    import huggingface_hub

    class CutOff:
        def head(self, *_: object, **__: object) -> None:
            raise ConnectionError

    monkeypatch.setattr(huggingface_hub, "get_session", CutOff)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    start = time.monotonic()
    with pytest.raises(ModelError, match=r"resnet18 could not be downloaded.*--model\.pretrained false"):
        create_backbone("resnet18", pretrained=True)
    assert time.monotonic() - start < 5


def test_a_grayscale_network_converts_like_image_libraries(images: Any) -> None:
    network = build(grayscale=True).eval()
    gray = np.stack([np.asarray(Image.fromarray(image.numpy()).convert("L")) for image in images])
    repeated = torch.from_numpy(np.repeat(gray[..., None], 3, axis=3))
    with torch.inference_mode():
        difference = {
            name: (reader(images)["expression"] - reader(repeated)["expression"]).abs().max()
            for name, reader in (("gray", network), ("plain", build().eval()))
        }
    # A gray pixel is rounded to an integer level; colors change the plain network much more.
    assert difference["gray"] < 0.1 * difference["plain"]
