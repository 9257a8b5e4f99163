"""Networks rebuilt from model files: float and int8, compared with the files and with the network that was exported."""

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import onnx
import torch
from torch import nn

from mien.assets.bundled_models import find_model
from mien.errors import ModelError
from mien.export.graph import CalibratedNetwork, to_file, to_onnx
from mien.export.quantize import Quantizer
from mien.export.stage import export
from mien.faces.crop import CropContract
from mien.formats.model_file import with_hash
from mien.formats.onnx_model import ModelInfo, OnnxModel
from mien.formats.pack import Pack
from mien.formats.pack.selection import FaceSelection
from mien.formats.run import Run
from mien.nets import model_file_network
from mien.nets.checkpoint import load_network
from mien.nets.model_file_network import FileNetwork, rebuild_network, standardize_norms
from mien.nets.network import build_face_network
from mien.recipe import Recipe
from mien.train import train


@pytest.fixture(scope="module")
def exported(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "model.onnx"
    export(trained_run, out)
    return out


@pytest.fixture(scope="module")
def bundled() -> FileNetwork:
    return rebuild_network(find_model())


def noise(size: int, n: int = 16) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(3).integers(0, 256, (n, size, size, 3), dtype=np.uint8))


def test_a_float_file_is_the_network_that_was_exported(exported: Path, trained_run: Path) -> None:
    """With squeeze-and-excitation, whose convolutions have biases of their own, and batch norms folded into the others."""
    rebuilt = rebuild_network(exported)
    before = load_network(Run.open(trained_run))
    images = noise(32)
    with torch.inference_mode():
        expected = before(images)
        for task, ours in rebuilt.network(images).items():
            torch.testing.assert_close(ours, expected[task], rtol=1e-3, atol=1e-3)
        logits = rebuilt.network(images)["expression"]
    model = OnnxModel.load(exported)
    probabilities = model.run(images.numpy())["expression"]
    np.testing.assert_allclose(torch.softmax(logits / model.info.temperature, 1), probabilities, atol=1e-3)
    assert len(rebuilt.folded_norms) > 10


def test_a_normalization_that_was_folded_is_unfolded(
    training_pack: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    """The network of a file takes the pixels as they are; the rebuilt one normalizes them again, in grayscale too."""
    model = replace(tiny_recipe.model, backbone="mien_resnet10", grayscale=True)
    schedule = replace(tiny_recipe.schedule, epochs=1)
    train(replace(tiny_recipe, model=model, schedule=schedule), [training_pack], tmp_path / "run")
    export(tmp_path / "run", tmp_path / "model.onnx")
    before = load_network(Run.open(tmp_path / "run"))
    assert before.fold_normalization(32) is not before
    rebuilt = rebuild_network(tmp_path / "model.onnx").network
    images = noise(32)
    with torch.inference_mode():
        torch.testing.assert_close(
            rebuilt(images)["expression"], before(images)["expression"], rtol=1e-3, atol=1e-3
        )


def test_the_integers_of_an_int8_file_are_rescaled_exactly(
    training_pack: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    """Each weight is within half a step of the float file's, where a step is the largest weight of its channel / 63."""
    torch.manual_seed(0)
    config = replace(tiny_recipe.model, backbone="test_resnet")
    network = build_face_network(config, 3, input_size=32, pretrained=False)
    for parameter in network.parameters():
        if parameter.ndim == 1:  # no two norms with the same values, which an export would store once
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    network.train()(noise(32))
    info = ModelInfo(
        ("Neutral", "Happy", "Sad"),
        CropContract(size=32),
        32,
        network.tasks,
        training={"recipe": asdict(Recipe(config))},
    )
    graph = to_onnx(CalibratedNetwork(network.eval(), 1.0).eval(), info)
    split = Pack.open(training_pack).split("train")
    n = len(split)
    faces = FaceSelection((split,), np.zeros(n, np.int64), np.arange(n), np.asarray(split.labels))
    (tmp_path / "float.onnx").write_bytes(to_file(graph, info))
    quantized = Quantizer(graph, faces, input_size=32).quantize()
    (tmp_path / "int8.onnx").write_bytes(to_file(quantized, replace(info, quantization={})))
    as_float, as_int8 = (
        rebuild_network(tmp_path / f"{kind}.onnx").network.state_dict() for kind in ("float", "int8")
    )
    convolutions = [name for name, value in as_float.items() if value.ndim == 4]
    for name in convolutions:
        step = as_float[name].abs().amax(dim=(1, 2, 3), keepdim=True) / 63
        difference = (as_int8[name] - as_float[name]).abs()
        assert difference.max() > 0
        assert (difference <= 0.501 * step + 1e-7).all()
    assert len(convolutions) >= 5
    assert torch.equal(as_float["expression_head.weight"], network.state_dict()["expression_head.weight"])
    assert torch.equal(as_float["expression_head.weight"], as_int8["expression_head.weight"])


def test_an_int8_file_predicts_nearly_the_same(bundled: FileNetwork) -> None:
    """The file rounds activations too, which torch does not."""
    model, images = OnnxModel.load(find_model()), noise(48)
    with torch.inference_mode():
        outputs = bundled.network(images)
    probabilities = torch.softmax(outputs["expression"] / model.info.temperature, 1).numpy()
    expected = model.run(images.numpy())
    assert np.abs(probabilities - expected["expression"]).mean() < 0.03
    np.testing.assert_allclose(outputs["landmarks"], expected["landmarks"], atol=0.03)


@pytest.mark.parametrize("part", ["landmark_head.weight", "landmark_head.bias", "expression_head.bias"])
def test_an_int8_file_whose_rebuilt_head_lacks_weights_is_refused(part: str) -> None:
    network, model = rebuild_network(find_model()).network, OnnxModel.load(find_model())
    model_file_network.require_same_outputs(network, model, what="It", advice="Do")
    network.state_dict()[part].zero_()
    with pytest.raises(ModelError, match="its outputs differ by"):
        model_file_network.require_same_outputs(network, model, what="It", advice="Do")


def test_standardized_norms_change_nothing_but_training(bundled: FileNetwork) -> None:
    """In evaluation the network predicts the same; in training it comes close, where it was far off before."""
    network, images = bundled.network, noise(48, 32)
    network.dropout.p = 0.0
    with torch.inference_mode():
        before = network.eval()(images)["expression"]
        state = {name: value.clone() for name, value in network.state_dict().items()}
        far = (network.train()(images)["expression"] - before).abs().mean()
        network.load_state_dict(state)
        standardize_norms(network.eval(), bundled.folded_norms, images)
        torch.testing.assert_close(network(images)["expression"], before, rtol=1e-3, atol=1e-3)
        near = (network.train()(images)["expression"] - before).abs().mean()
    assert near < 0.1 * far
    first = next(layer for layer in network.backbone.modules() if isinstance(layer, nn.BatchNorm2d))
    assert first.running_var.min() >= 0
    assert not torch.allclose(first.running_mean, torch.zeros_like(first.running_mean))


def test_a_file_without_the_names_of_its_weights(exported: Path, tmp_path: Path) -> None:
    """As torch exports transformers: refused, with what to start from instead."""
    model = onnx.load(exported)
    weight = next(entry for entry in model.graph.initializer if entry.name.endswith("conv_head.weight"))
    for node in model.graph.node:
        node.input[:] = ["val_9" if name == weight.name else name for name in node.input]
    weight.name = "val_9"
    path = tmp_path / "renamed.onnx"
    for entry in model.metadata_props:
        if entry.key == "mien_sha256":
            entry.value = "0" * 64
    path.write_bytes(with_hash(model.SerializeToString()))
    with pytest.raises(ModelError, match=r"holds only .*conv_head\.weight .* Start from the run"):
        rebuild_network(path)


@pytest.mark.parametrize(
    ("part", "scale"),
    [("expression_head.weight", 1.01), ("landmark_head.bias", 0.5), ("affect_head.bias", 3)],
)
def test_an_error_that_the_probabilities_hide(
    exported: Path, tmp_path: Path, part: str, scale: float
) -> None:
    """In a file whose probabilities are 0 and 1, the comparison finds a wrong weight, and also those of other heads."""
    model = onnx.load(exported)
    for entry in model.graph.initializer:
        if entry.name.startswith("network.expression_head."):
            value = 100 * onnx.numpy_helper.to_array(entry)
            entry.CopyFrom(onnx.numpy_helper.from_array(value, entry.name))
    for entry in model.metadata_props:
        if entry.key == "mien_sha256":
            entry.value = "0" * 64
    path = tmp_path / "sure.onnx"
    path.write_bytes(with_hash(model.SerializeToString()))
    network, file = rebuild_network(path).network, OnnxModel.load(path)
    images = torch.from_numpy(model_file_network._test_images(32))
    before = torch.softmax(network(images)["expression"] / file.info.temperature, 1)
    network.state_dict()[part].mul_(scale)
    after = torch.softmax(network(images)["expression"] / file.info.temperature, 1)
    assert (after - before).abs().max() < 1e-3
    with pytest.raises(ModelError, match="its outputs differ by"):
        model_file_network.require_same_outputs(network, file, what="It", advice="Do")


def test_a_graph_that_computes_something_else(exported: Path, tmp_path: Path) -> None:
    """A file whose outputs the rebuilt network does not reproduce is refused."""
    model = onnx.load(exported)
    sigmoid = next(node for node in model.graph.node if node.op_type == "HardSwish")
    sigmoid.op_type = "Relu"
    del sigmoid.attribute[:]
    for entry in model.metadata_props:
        if entry.key == "mien_sha256":
            entry.value = "0" * 64
    path = Path(shutil.copy(exported, tmp_path / "other.onnx"))
    path.write_bytes(with_hash(model.SerializeToString()))
    with pytest.raises(ModelError, match="predicts otherwise than"):
        rebuild_network(path)
