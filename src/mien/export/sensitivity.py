"""Which layers int8 harms: each is quantized by itself, then the worst are kept in float until the check passes."""

from collections.abc import Callable, Sequence

import numpy as np
import onnx

from mien.export.int8_check import BATCH_SIZE, score_files
from mien.export.quantize import Quantizer
from mien.formats.onnx_model import OnnxModel
from mien.formats.pack.selection import FaceSelection, read_batches
from mien.runtime.progress import Progress
from mien.tasks import Values

# Number of dev faces that every layer is measured on.
N_FACES = 256
# Number of layers to name if keeping layers in float does not help.
N_NAMED = 3

Load = Callable[[onnx.ModelProto], OnnxModel]


def advise_float_layers(
    quantizer: Quantizer,
    load: Load,
    float_model: OnnxModel,
    faces: FaceSelection,
    float_layers: Sequence[str],
) -> str:
    """Quantize every layer by itself, find how many of the worst must stay in float, and return the advice as text.

    The effect of a layer is the mean total variation distance between its probabilities and the float file's.

    Args:
        quantizer: quantizer of the float file.
        load: loads a graph.
        float_model: the float file.
        faces: the dev split; a sample of it is used.
        float_layers: layers that are already in float.
    """
    sample = faces.part(np.linspace(0, len(faces) - 1, min(N_FACES, len(faces))).round().astype(np.int64))
    batches = list(read_batches(sample, size=float_model.info.input_size, batch_size=BATCH_SIZE))

    def run(model: OnnxModel) -> Values:
        return {"expression": model.run_batches(batches)["expression"]}

    expected = run(float_model)
    layers = [layer for layer in quantizer.layers if layer not in quantizer.within(float_layers)]
    shifts = {}
    with Progress("Measuring layers", total=len(layers), unit="layer") as progress:
        for layer in layers:
            found = run(load(quantizer.quantize_alone(layer)))
            differences = np.abs(expected["expression"].astype(np.float64) - found["expression"])
            shifts[layer] = float(differences.sum(axis=1).mean() / 2)
            progress.advance()
    ranked = sorted(shifts.items(), key=lambda item: -item[1])
    n_float = 1
    while n_float <= len(ranked) / 2:
        layers = [*float_layers, *(layer for layer, _ in ranked[:n_float])]
        outputs = run(load(quantizer.quantize(float_layers=layers)))
        check = score_files(expected, outputs, labels=sample.labels, truth=sample.read_annotations())
        if check.passes:
            return (
                f"{_name_worst(ranked[:n_float], len(sample))}. With them in float, the files agree on "
                f"{check.agreement:.1%} of these faces: add --float-layers {' '.join(layers)}"
            )
        n_float *= 2
    return (
        f"{_name_worst(ranked[:N_NAMED], len(sample))}. Keeping up to half of the layers in float is not enough: "
        "ship the float file"
    )


def _name_worst(shifts: Sequence[tuple[str, float]], n_faces: int) -> str:
    worst = ", ".join(f"{layer} ({shift:.1%})" for layer, shift in shifts)
    return f"Quantized individually, these layers shift the most probability on {n_faces} dev faces: {worst}"
