"""The graph of a model file: exported by torch, and checked against torch."""

import io

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from mien.errors import ModelError
from mien.formats.model_file import HASH_KEY, ZEROS, with_hash
from mien.formats.onnx_model import FEATURES_NAME, INPUT_NAME, METADATA_KEY, ModelInfo, OnnxModel
from mien.nets.network import FaceNetwork
from mien.tasks import NO_ANNOTATIONS, TASKS, Annotations

OPSET = 18
# Reordered float arithmetic differs in the last digits, a wrong graph in the first.
TOLERANCE = 1e-3


class CalibratedNetwork(nn.Module):
    """The graph of a model file: the network, and the decoding of its outputs."""

    def __init__(
        self, network: FaceNetwork, temperature: float, annotations: Annotations = NO_ANNOTATIONS
    ) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature
        self.annotations = annotations
        # Looked up here: `torch.export` does not follow names.
        self._decoders = {name: TASKS[name].resolve("decode") for name in network.tasks if TASKS[name].decode}

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of the network's tasks, in the order of `mien.tasks.TASKS`, and then the features."""
        decoded = []
        outputs, features = self.network.forward_with_features(images)
        for name, value in outputs.items():
            decode = self._decoders.get(name)
            decoded.append(value if decode is None else decode(value, self.annotations, self.temperature))
        return (*decoded, features)


def to_onnx(graph: nn.Module, info: ModelInfo) -> onnx.ModelProto:
    """Return a graph as ONNX, without metadata.

    Raises:
        ModelError: torch cannot export this network to ONNX.
    """
    example = torch.zeros((2, info.input_size, info.input_size, 3), dtype=torch.uint8)
    try:
        program = torch.onnx.export(
            graph,
            (example,),
            input_names=[INPUT_NAME],
            output_names=[*info.tasks, FEATURES_NAME],
            dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1, max=65_536)}},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    except torch.onnx.OnnxExporterError as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"torch cannot export this network to ONNX: {reason}. Try another backbone"
        ) from error
    if program is None:
        raise ModelError("torch cannot export this network to ONNX. Try another backbone")
    model = program.model_proto
    # torch records source lines and paths of this machine with every node.
    model.ClearField("doc_string")
    graph_proto = model.graph
    for part in (
        graph_proto,
        *graph_proto.node,
        *graph_proto.value_info,
        *graph_proto.input,
        *graph_proto.output,
        *graph_proto.initializer,
    ):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return model


def to_file(model: onnx.ModelProto, info: ModelInfo) -> bytes:
    """Return the model file: the graph with only mien's metadata, and the file's hash."""
    onnx.helper.set_model_props(model, {METADATA_KEY: info.to_json(), HASH_KEY: ZEROS.decode()})
    onnx.checker.check_model(model)
    buffer = io.BytesIO()
    onnx.save_model(model, buffer)
    return with_hash(buffer.getvalue())


@torch.inference_mode()
def check_against_torch(model: OnnxModel, graph: nn.Module, crops: np.ndarray) -> float:
    """Return the largest difference between the outputs of the file and of torch on real crops.

    Raises:
        ModelError: it is too large to be rounding error.
    """
    expected = graph(torch.from_numpy(crops))
    outputs, features = model.run_with_features(crops)
    # Features have no range of their own.
    scale = max(1.0, float(np.abs(features).max()))
    values = [*outputs.values(), features / scale]
    expected = [*expected[:-1], expected[-1] / scale]
    difference = max(
        float(np.abs(value - tensor.numpy()).max()) for value, tensor in zip(values, expected, strict=True)
    )
    if not difference <= TOLERANCE:
        raise ModelError(
            f"The exported file differs from torch by {difference:.2e} on real crops, at most {TOLERANCE} is "
            "accepted as rounding error. Nothing was written; try another backbone"
        )
    return difference
