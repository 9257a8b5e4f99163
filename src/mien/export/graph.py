"""The graph of a model file: torch writes it, and it is checked against torch."""

import io

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from mien.bundle import INPUT_NAME, METADATA_KEY, Bundle, BundleInfo
from mien.errors import ModelError
from mien.model_file import HASH_KEY, ZEROS, with_hash
from mien.network import FaceNetwork

OPSET = 18
# Float arithmetic in another order differs in the last digits; a wrong graph differs in the first.
TOLERANCE = 1e-3


class CalibratedNetwork(nn.Module):
    """The graph of a model file: the network, its temperature, and probabilities instead of logits."""

    def __init__(self, network: FaceNetwork, temperature: float) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of the tasks that the network has, in the order of `mien.bundle.TASKS`."""
        outputs = self.network(images)
        probabilities = torch.softmax(outputs.logits / self.temperature, dim=1)
        further = (outputs.landmarks, outputs.valence_arousal)
        return (probabilities, *(value for value in further if value is not None))


def to_onnx(graph: nn.Module, info: BundleInfo) -> onnx.ModelProto:
    """Return a graph as ONNX, without metadata.

    Raises:
        ModelError: torch cannot write this network as ONNX.
    """
    example = torch.zeros((2, info.input_size, info.input_size, 3), dtype=torch.uint8)
    try:
        program = torch.onnx.export(
            graph,
            (example,),
            input_names=[INPUT_NAME],
            output_names=list(info.tasks),
            dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1, max=65_536)}},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    except torch.onnx.OnnxExporterError as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"torch cannot write this network as ONNX: {reason}. Try another backbone"
        ) from error
    if program is None:
        raise ModelError("torch cannot write this network as ONNX. Try another backbone")
    model = program.model_proto
    _forget_sources(model)
    return model


def to_file(model: onnx.ModelProto, info: BundleInfo) -> bytes:
    """Return the model file: the graph with mien's metadata and no other, and the file's hash."""
    onnx.helper.set_model_props(model, {METADATA_KEY: info.to_json(), HASH_KEY: ZEROS.decode()})
    onnx.checker.check_model(model)
    buffer = io.BytesIO()
    onnx.save_model(model, buffer)
    return with_hash(buffer.getvalue())


def _forget_sources(model: onnx.ModelProto) -> None:
    """Take out the lines and paths of the training machine's files, which torch writes beside every node."""
    model.ClearField("doc_string")
    graph = model.graph
    for part in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


@torch.inference_mode()
def check_against_torch(bundle: Bundle, graph: nn.Module, crops: np.ndarray) -> float:
    """Return the largest difference between the file and torch on real crops.

    Raises:
        ModelError: it is larger than rounding explains.
    """
    expected = graph(torch.from_numpy(crops))
    outputs = bundle.run(crops)
    values = [outputs.probabilities, outputs.landmarks, outputs.valence_arousal]
    present = [value for value in values if value is not None]
    difference = max(
        float(np.abs(value - tensor.numpy()).max()) for value, tensor in zip(present, expected, strict=True)
    )
    if not difference <= TOLERANCE:
        raise ModelError(
            f"The exported file differs from torch by {difference:.2e} on real crops, at most {TOLERANCE} is "
            "rounding. Nothing was written; try another backbone"
        )
    return difference
