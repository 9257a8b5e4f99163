"""The network inside a model file, rebuilt in torch from the file's recipe and the tensors of its graph.

An export folds the normalization of the pixels into the first convolution where it can, and each batch norm into the
convolution before it, and `mien export --int8` stores weights as integers. Here the integers are multiplied by their
scales, which is exact, and a folded batch norm becomes one that only adds the bias. Before it is trained,
`standardize_norms` gives it the statistics of real faces.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mien.errors import ArtifactError, ModelError
from mien.formats.model_file import read_model_file
from mien.formats.onnx_model import ModelInfo, OnnxModel
from mien.formats.recipe_keys import rename_keys
from mien.nets.decoding import decode_further_tasks
from mien.nets.network import FaceNetwork, build_face_network
from mien.nets.weight_names import COUNTER
from mien.recipe import Recipe, recipe_from_dict

# Name of the network inside the exported graph, with which the names of its weights begin.
PREFIX = "network."
_QUANTIZED = "_quantized"
# The largest difference of outputs between torch and the file, on images of `_test_images`. In a float file it is
# rounding error, 1e-6 for a trained network. In an int8 file the activations are rounded too, which torch does not do: the
# mean difference was .004 to .009 for the probabilities of the bundled models, and .003 to .006 for their landmarks.
FLOAT_TOLERANCE = 1e-3
INT8_TOLERANCE = 0.05
# Smaller probabilities are not distinguished: a float32 has none below 1e-38 at full precision.
MIN_PROBABILITY = 1e-30
NORM_BATCH = 64


class FileNetwork(NamedTuple):
    """A model file's network.

    Attributes:
        network: the network, in evaluation mode; without the file's temperature.
        folded_norms: names of the batch norms that had been folded into convolutions.
    """

    network: FaceNetwork
    folded_norms: tuple[str, ...]


def read_recipe_of(info: ModelInfo, path: Path) -> Recipe:
    """Return the recipe by which the network of a model file was trained.

    Raises:
        ModelError: the file does not say how its network is built, or another release wrote it.
    """
    try:
        return recipe_from_dict(rename_keys(info.training["recipe"]))
    except (KeyError, AttributeError, ArtifactError):
        raise ModelError(
            f"The metadata of {path} does not say how its network is built, or in the words of another release. Start "
            "from the run that it was exported from"
        ) from None


def rebuild_network(path: Path) -> FileNetwork:
    """Rebuild the network of a model file.

    Raises:
        ArtifactError: the file is missing, damaged or not mien's.
        ModelError: its graph does not hold the weights under their names, or the network does not predict the same.
    """
    model = OnnxModel.load(path)
    info, config = model.info, read_recipe_of(model.info, path).model
    network = build_face_network(
        config,
        len(info.classes),
        input_size=info.input_size,
        pretrained=False,
        annotations=info.annotations,
    )
    is_folded = network.fold_normalization(info.input_size) is not network
    graph = onnx.load_model_from_string(read_model_file(path).content).graph
    values = _read_constants(graph)
    own = network.eval().state_dict()
    tensors = {
        name: torch.from_numpy(values[PREFIX + name])
        for name, value in own.items()
        if PREFIX + name in values and values[PREFIX + name].shape == tuple(value.shape)
    }
    modules = dict(network.named_modules())
    norms = _find_norms(network, info.input_size)
    folded = []
    for node in graph.node:
        if node.op_type != "Conv":
            continue
        layer = _base_name(node.input[1]).removeprefix(PREFIX).removesuffix(".weight")
        norm = norms.get(layer)
        if norm is None or f"{norm}.running_mean" in tensors or len(node.input) < 3:
            continue
        bias = torch.from_numpy(values[node.input[2]])
        module = modules[norm]
        one = torch.ones_like(bias)
        eps = float(module.eps)
        tensors |= {f"{norm}.weight": one, f"{norm}.bias": bias}
        tensors |= {f"{norm}.running_mean": 0 * one, f"{norm}.running_var": (1 - eps) * one}
        if f"{layer}.bias" in own:
            tensors[f"{layer}.bias"] = 0 * one
        folded.append(norm)
    missing = [name for name in own if name not in tensors and not name.endswith(COUNTER)]
    if missing and (taught := info.training.get("taught")):
        raise ModelError(
            f"{path} was taught on top of another model's classes, which training cannot continue. Start from that model: "
            f"{taught.get('model') or 'the one that it was taught from'}"
        )
    if missing:
        raise ModelError(
            f"{path} holds only {len(own) - len(missing)} of the network's {len(own)} tensors under their names; its export "
            f"renamed {', '.join(missing[:3])} and others. Start from the run that it was exported from"
        )
    network.load_state_dict(tensors, strict=False)
    if is_folded:
        network.unfold_normalization()
    require_same_outputs(
        network,
        model,
        what=f"The network rebuilt from {path}",
        advice="Start from the run that it was exported from",
    )
    return FileNetwork(network, tuple(folded))


def _base_name(name: str) -> str:
    """Return the name that a tensor had before quantization."""
    return name.removesuffix("_DequantizeLinear_Output").removesuffix(_QUANTIZED)


def _read_constants(graph: onnx.GraphProto) -> dict[str, NDArray[np.float32]]:
    """Return the graph's float constants by name; dequantized ones also under the name they had before."""
    stored = {entry.name: onnx.numpy_helper.to_array(entry) for entry in graph.initializer}
    values = {name: np.array(value) for name, value in stored.items() if value.dtype == np.float32}
    for node in graph.node:
        if node.op_type != "DequantizeLinear" or not all(name in stored for name in node.input):
            continue
        integers, scale = stored[node.input[0]], stored[node.input[1]]
        zero = stored[node.input[2]] if len(node.input) > 2 else np.zeros_like(scale, dtype=integers.dtype)
        if scale.ndim:
            axis = next((each.i for each in node.attribute if each.name == "axis"), 1)
            shape = [-1 if index == axis % integers.ndim else 1 for index in range(integers.ndim)]
            scale, zero = scale.reshape(shape), zero.reshape(shape)
        value = ((integers.astype(np.int64) - zero.astype(np.int64)) * scale.astype(np.float64)).astype("f4")
        values |= {node.output[0]: value, _base_name(node.input[0]): value}
    return values


def _find_norms(network: FaceNetwork, input_size: int) -> dict[str, str]:
    """Return the batch norm that follows each convolution directly, by running the network once."""
    # The outputs are kept, so that no two of them have the same id.
    outputs: dict[int, tuple[str, Tensor]] = {}
    norms: dict[str, str] = {}
    handles = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):

            def remember(_module: nn.Module, _inputs: object, output: Tensor, name: str = name) -> None:
                outputs[id(output)] = name, output

            handles.append(module.register_forward_hook(remember))
        elif isinstance(module, _BatchNorm):

            def find(_module: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
                if id(inputs[0]) in outputs:
                    norms[outputs[id(inputs[0])][0]] = name

            handles.append(module.register_forward_pre_hook(find))
    with torch.inference_mode():
        network(torch.zeros((1, input_size, input_size, 3), dtype=torch.uint8))
    for handle in handles:
        handle.remove()
    return norms


def _test_images(size: int) -> NDArray[np.uint8]:
    """Return smooth random images ``(N, size, size, 3)``, always the same ones."""
    coarse = np.random.default_rng(0).uniform(0, 255, size=(8, 4, 4, 3))
    smooth = torch.nn.functional.interpolate(
        torch.from_numpy(coarse).permute(0, 3, 1, 2), size=(size, size), mode="bicubic"
    )
    return smooth.permute(0, 2, 3, 1).clamp(0, 255).to(torch.uint8).numpy()


@torch.inference_mode()
def require_same_outputs(network: FaceNetwork, model: OnnxModel, *, what: str, advice: str) -> None:
    """Compare a network with a model file of the same classes and input size.

    The outputs of all heads are compared. For a float file, the logarithms of the probabilities are, since probabilities
    near 0 and 1 hide errors. In an int8 file, rounding changes single values as much as some errors do: only the mean
    difference of each head is compared.

    Args:
        network: in evaluation mode.
        model: the file.
        what: the network, at the beginning of a sentence.
        advice: what to do if they differ, as a sentence without its end.

    Raises:
        ModelError: they differ by more than rounding.
    """
    images = _test_images(model.info.input_size)
    expected = model.run(images)
    outputs = decode_further_tasks(network(torch.from_numpy(images)), model.info.annotations)
    log_probabilities = torch.log_softmax(outputs.pop("expression") / model.info.temperature, dim=1).numpy()
    probabilities = expected.pop("expression")
    differences = [value.numpy() - expected[task] for task, value in outputs.items()]
    if model.info.quantization is not None:
        differences.append(np.exp(log_probabilities) - probabilities)
        tolerance, difference = INT8_TOLERANCE, max(float(np.abs(values).mean()) for values in differences)
    else:
        floor = np.log(MIN_PROBABILITY)
        logs = np.log(np.maximum(probabilities, MIN_PROBABILITY))
        differences.append(np.maximum(log_probabilities, floor) - logs)
        tolerance, difference = FLOAT_TOLERANCE, max(float(np.abs(values).max()) for values in differences)
    if not difference <= tolerance:
        raise ModelError(
            f"{what} predicts otherwise than {model.path}: its outputs differ by {difference:.2g}. {advice}"
        )


@torch.inference_mode()
def standardize_norms(network: FaceNetwork, names: Iterable[str], crops: Tensor) -> None:
    """Give batch norms the mean and variance of their inputs for some faces, without changing what the network predicts.

    A batch norm folded into a convolution comes back as one that only adds a bias. In training it would normalize by
    the batch all the same, and so compute something else. With the statistics of real faces, and the scale and bias
    that undo them, it computes nearly the same in training as in evaluation.

    Args:
        network: the network.
        names: names of the batch norms, which must have a scale of one, mean 0 and variance 1 - eps.
        crops: ``(N, S, S, 3)`` uint8 faces, resized to the network's input.
    """
    modules = dict(network.named_modules())
    moments: dict[str, list[Tensor]] = {name: [] for name in names}
    handles = []
    for name, found in moments.items():

        def measure(_module: nn.Module, inputs: tuple[Tensor, ...], found: list[Tensor] = found) -> None:
            values = inputs[0].double()
            n = values.numel() / values.shape[1]
            found.append(
                torch.stack(
                    [
                        values.sum((0, 2, 3)),
                        (values**2).sum((0, 2, 3)),
                        torch.full_like(values[0, :, 0, 0], n),
                    ]
                )
            )

        handles.append(modules[name].register_forward_pre_hook(measure))
    was_training = network.training
    network.eval()
    for batch in torch.split(crops, NORM_BATCH):
        network(batch)
    network.train(was_training)
    for handle in handles:
        handle.remove()
    for name, found in moments.items():
        total, squares, n = torch.stack(found).sum(dim=0)
        mean = total / n
        variance = (squares / n - mean**2).clamp(min=0)
        norm = modules[name]
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.add_(mean)
