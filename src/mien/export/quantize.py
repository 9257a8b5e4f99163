"""Static int8 quantization of a model file's graph, with onnxruntime's quantizer.

In QDQ format, with asymmetric uint8 activations and symmetric, per-channel int8 weights. Weights use only 7 of the 8
bits: on x86 without VNNI instructions, products of 8-bit pairs saturate their 16-bit sum [0], and a file must give the
same results everywhere; for the FER+ network of docs/results.md the eighth bit made no difference. Ranges are the
central 99.99% of each tensor's values: with them the same network agreed with its float file on 99.3% of the faces,
with the full ranges on 98.8%. The uint8 input, its normalization, the heads and the softmax stay in float, as they
take almost no time.

References:
    [0] https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

import contextlib
import copy
import io
import tempfile
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationMethod, QuantType, create_calibrator
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.quant_utils import save_and_reload_model_with_shape_infer

from mien.errors import ModelError
from mien.formats.onnx_model import FEATURES_NAME, INPUT_NAME
from mien.formats.pack.selection import FaceSelection, read_batches
from mien.runtime.progress import Progress
from mien.tasks import TASKS

SCHEME = "QDQ: uint8 activations, symmetric int8 weights by channel in 7 bits"
PERCENTILE = 99.99
# Faces per batch during calibration, which keeps all their activations in memory.
BATCH_SIZE = 8
LAYER_TYPES = ("Conv", "Gemm", "MatMul")
# Other operators that onnxruntime computes in int8 on the CPU, so that values stay in int8 between layers.
BETWEEN_TYPES = (
    "Add",
    "Mul",
    "Concat",
    "Relu",
    "Clip",
    "Sigmoid",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
)
HEADS = tuple(task.head for task in TASKS.values())
# Name of the network inside `CalibratedNetwork`, with which the names of its weights begin.
_PREFIX = "network."


class Quantizer:
    """Makes int8 graphs from one float graph, which is calibrated once.

    Layers are named as in torch, such as ``backbone.layer1.0.conv1``, or after their node if torch renamed the weight.
    """

    def __init__(self, model: onnx.ModelProto, faces: FaceSelection, *, input_size: int) -> None:
        """Run the float graph over the faces and record the range of every tensor.

        Args:
            model: the float graph.
            faces: faces to calibrate on.
            input_size: input size of the graph in pixels.
        """
        # Otherwise the quantizer would infer shapes again for every graph.
        self._model = save_and_reload_model_with_shape_infer(model)
        self._layers: dict[str, str] = {}
        for node in model.graph.node:
            if node.op_type in LAYER_TYPES:
                names = [
                    name.removeprefix(_PREFIX).removesuffix(".weight")
                    for name in node.input
                    if name.startswith(_PREFIX) and name.endswith(".weight")
                ]
                self._layers[node.name] = names[0] if names else node.name
        self._ranges = _calibrate(model, faces, input_size)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that can be quantized: all but the heads, in the graph's order."""
        return tuple(dict.fromkeys(name for name in self._layers.values() if not _is_within(name, HEADS)))

    def within(self, names: Collection[str]) -> set[str]:
        """Return the layers with one of these names, or with one of them as a prefix up to a dot."""
        return {layer for layer in self.layers if _is_within(layer, names)}

    def require_layers(self, names: Sequence[str]) -> None:
        """Make sure that each name is a layer, or a prefix of some up to a dot.

        Raises:
            ModelError: one is neither.
        """
        for name in names:
            if not self.within([name]):
                near = get_close_matches(name, self.layers, n=3, cutoff=0.4) or list(self.layers[:3])
                raise ModelError(
                    f"The network has no layer {name!r} to keep in float with --float-layers. "
                    f"Similar names: {', '.join(near)}"
                )

    def quantize(self, *, float_layers: Collection[str] = ()) -> onnx.ModelProto:
        """Return the graph in int8.

        Args:
            float_layers: layers, or prefixes of their names up to a dot, that stay in float.
        """
        excluded = [
            node for node, layer in self._layers.items() if _is_within(layer, [*HEADS, *float_layers])
        ]
        # What follows the heads, such as a sigmoid.
        outputs = {output.name for output in self._model.graph.output} - {FEATURES_NAME}
        excluded += [node.name for node in self._model.graph.node if outputs.intersection(node.output)]
        return self._quantize([], excluded)

    def quantize_alone(self, layer: str) -> onnx.ModelProto:
        """Return the graph with only one layer in int8, including its input and output."""
        return self._quantize([node for node, name in self._layers.items() if name == layer], [])

    def _quantize(self, nodes: list[str], excluded: list[str]) -> onnx.ModelProto:
        quantizer: Any = QDQQuantizer(
            copy.deepcopy(self._model),
            per_channel=True,
            reduce_range=True,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=self._ranges,
            nodes_to_quantize=nodes,
            nodes_to_exclude=excluded,
            op_types_to_quantize=[*LAYER_TYPES, *BETWEEN_TYPES],
            extra_options={},
        )
        quantizer.quantize_model()
        quantizer.model.topological_sort()
        return quantizer.model.model


def _is_within(layer: str, names: Collection[str]) -> bool:
    return any(layer == name or layer.startswith(f"{name}.") for name in names)


class _SingleBatchReader:
    """A data reader for the calibrator with a single batch."""

    def __init__(self, images_rgb: NDArray[np.uint8]) -> None:
        self._pending = [{INPUT_NAME: images_rgb}]

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        return self._pending.pop() if self._pending else None


def _calibrate(model: onnx.ModelProto, faces: FaceSelection, input_size: int) -> Any:
    """Return onnxruntime's range of every tensor, from a histogram of its values over the faces."""
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()),  # the calibrator prints every step
        Progress("Calibrating", total=len(faces), unit="face") as progress,
    ):
        path = Path(folder) / "float.onnx"
        onnx.save_model(model, path)
        calibrator = create_calibrator(
            path,
            [*LAYER_TYPES, *BETWEEN_TYPES],
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            calibrate_method=CalibrationMethod.Percentile,
            extra_options={"percentile": PERCENTILE, "symmetric": False},
        )
        # One call per batch: a single call would keep the activations of all faces in memory.
        for images_rgb in read_batches(faces, size=input_size, batch_size=BATCH_SIZE):
            calibrator.collect_data(_SingleBatchReader(images_rgb))
            progress.advance(len(images_rgb))
        return calibrator.compute_data()
