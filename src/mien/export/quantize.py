"""Static int8 quantisation of a model file's graph, with onnxruntime's quantizer.

Activations become uint8 with a zero point, weights int8 around 0 with a scale for every output channel, in the
QDQ form. Weights use 7 of the 8 bits: on x86 without VNNI instructions a product of 8-bit pairs saturates its
16-bit sum [0], and a file must answer alike everywhere; on the FER+ network of docs/results.md the eighth bit
changed nothing. Ranges are the middle 99.99 % of each tensor's values: there the same network agreed with its
float file on 99.3 % of the faces, with the full ranges on 98.8 %. The uint8 input, its normalisation, the heads
and the softmax stay in float: they cost next to no time.

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
from mien.export.calibration_faces import ChosenFaces
from mien.formats.onnx_model import INPUT_NAME
from mien.runtime.progress import Progress

SCHEME = "QDQ: uint8 activations, symmetric int8 weights by channel in 7 bits"
PERCENTILE = 99.99
# Faces in one run of the network while ranges are taken: every tensor of each is held.
BATCH_SIZE = 8
LAYER_TYPES = ("Conv", "Gemm", "MatMul")
# What else onnxruntime's CPU computes in int8, so that values need not become float between layers.
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
HEADS = ("expression_head", "landmark_head", "affect_head")
# `CalibratedNetwork` holds the network under this name, and so do the names of its weights.
_OWNER = "network."


class Quantizer:
    """Makes int8 graphs of one float graph, whose tensors' ranges are taken once.

    Layers are named as in torch, such as ``backbone.layer1.0.conv1``; one whose weight torch renamed has the name
    of its node.
    """

    def __init__(self, model: onnx.ModelProto, faces: ChosenFaces, *, input_size: int) -> None:
        """Run the float graph over the faces and note the range of every tensor.

        Args:
            model: the float graph.
            faces: to calibrate on.
            input_size: of the graph, in pixels.
        """
        # The quantizer would do this for every graph that it makes.
        self._model = save_and_reload_model_with_shape_infer(model)
        self._layers = {
            node.name: _layer_name(node) for node in model.graph.node if node.op_type in LAYER_TYPES
        }
        self._ranges = _find_ranges(model, faces, input_size)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that can be quantised: all but the heads, in the graph's order."""
        return tuple(dict.fromkeys(name for name in self._layers.values() if not _is_within(name, HEADS)))

    def within(self, names: Collection[str]) -> set[str]:
        """Return the layers of these names, and those whose names begin with one of them up to a dot."""
        return {layer for layer in self.layers if _is_within(layer, names)}

    def require_layers(self, names: Sequence[str]) -> None:
        """Make sure that each name is a layer, or the beginning of some.

        Raises:
            ModelError: one is not.
        """
        for name in names:
            if not self.within([name]):
                near = get_close_matches(name, self.layers, n=3, cutoff=0.4) or list(self.layers[:3])
                raise ModelError(
                    f"The network has no layer {name!r} to keep in float with --float-layers. "
                    f"Its layers are named like {', '.join(near)}"
                )

    def quantize(self, *, float_layers: Collection[str] = ()) -> onnx.ModelProto:
        """Return the graph in int8.

        Args:
            float_layers: layers, or beginnings of their names up to a dot, that stay in float.
        """
        kept = [node for node, layer in self._layers.items() if _is_within(layer, [*HEADS, *float_layers])]
        return self._quantize([], kept)

    def quantize_alone(self, layer: str) -> onnx.ModelProto:
        """Return the graph with a single layer in int8, its input and output included."""
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


def _layer_name(node: onnx.NodeProto) -> str:
    for name in node.input:
        if name.startswith(_OWNER) and name.endswith(".weight"):
            return str(name.removeprefix(_OWNER).removesuffix(".weight"))
    return str(node.name)


def _is_within(layer: str, names: Collection[str]) -> bool:
    return any(layer == name or layer.startswith(f"{name}.") for name in names)


class _OneBatch:
    """Gives the calibrator a single batch."""

    def __init__(self, images_rgb: NDArray[np.uint8]) -> None:
        self._waiting = [{INPUT_NAME: images_rgb}]

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        return self._waiting.pop() if self._waiting else None


def _find_ranges(model: onnx.ModelProto, faces: ChosenFaces, input_size: int) -> Any:
    """Return onnxruntime's ranges of every tensor, from a histogram of its values over the faces."""
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
        # One call for each batch: in one call the tensors of all faces would be held.
        for images_rgb in faces.batches(input_size, BATCH_SIZE):
            calibrator.collect_data(_OneBatch(images_rgb))
            progress.advance(len(images_rgb))
        return calibrator.compute_data()
