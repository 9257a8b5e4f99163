"""Which layers int8 hurts: each is measured alone, then the worst are kept in float until the answers agree."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from mien.export.calibration_faces import ChosenFaces
from mien.export.int8_check import BATCH_SIZE, Int8Check, score_files
from mien.export.quantize import Quantizer
from mien.formats.onnx_model import OnnxModel, Outputs
from mien.runtime.progress import Progress

# Dev faces that every layer is measured on.
N_FACES = 256
# Layers that a message names where no choice of layers helps.
N_NAMED = 3

Load = Callable[[onnx.ModelProto], OnnxModel]


@dataclass(frozen=True, slots=True)
class Advice:
    """What a refused file would need.

    Attributes:
        n: faces that were measured on.
        shifts: each layer, the worst first, with the mean share of probability that moves to other classes when
            it alone is in int8, in [0, 1].
        keep: layers to keep in float; empty where no choice that was tried passes.
        agreement: with the float file on the faces, where they are kept.
    """

    n: int
    shifts: tuple[tuple[str, float], ...]
    keep: tuple[str, ...]
    agreement: float

    def sentence(self, already: Sequence[str]) -> str:
        """Return what to do, in words; ``already`` are the layers that were kept in float this time."""
        worst = ", ".join(
            f"{layer} ({shift:.1%})" for layer, shift in self.shifts[: len(self.keep) or N_NAMED]
        )
        moved = f"Alone in int8, these move the most probability on {self.n} of the faces: {worst}"
        if not self.keep:
            return f"{moved}. Keeping up to half of the layers in float does not mend it: ship the float file"
        names = " ".join([*already, *self.keep])
        return (
            f"{moved}. With them in float the files agree on {self.agreement:.1%} of those: "
            f"add --float-layers {names}"
        )


def find_worst_layers(
    quantizer: Quantizer, load: Load, float_model: OnnxModel, faces: ChosenFaces, float_layers: Sequence[str]
) -> Advice:
    """Measure every layer alone, and find how many of the worst must stay in float.

    Args:
        quantizer: of the float file.
        load: makes a session of a graph.
        float_model: the float file.
        faces: the dev split; a part of it is read.
        float_layers: layers that are in float already.
    """
    part = faces.part(np.linspace(0, len(faces) - 1, min(N_FACES, len(faces))).round().astype(np.int64))
    batches = list(part.batches(float_model.info.input_size, BATCH_SIZE))
    expected = _read(float_model, batches)
    layers = [layer for layer in quantizer.layers if layer not in quantizer.within(float_layers)]
    shifts = {}
    with Progress("Measuring layers", total=len(layers), unit="layer") as progress:
        for layer in layers:
            outputs = _read(load(quantizer.quantize_alone(layer)), batches)
            shifts[layer] = _moved(expected.probabilities, outputs.probabilities)
            progress.advance()
    ranked = tuple(sorted(shifts.items(), key=lambda item: -item[1]))
    n_kept = 1
    while n_kept <= len(ranked) / 2:
        keep = tuple(layer for layer, _ in ranked[:n_kept])
        outputs = _read(load(quantizer.quantize(float_layers=[*float_layers, *keep])), batches)
        result = _score(expected, outputs, part)
        if result.passes:
            return Advice(len(part), ranked, keep, result.agreement)
        n_kept *= 2
    return Advice(len(part), ranked, (), 0.0)


def _read(bundle: OnnxModel, batches: Sequence[NDArray[np.uint8]]) -> Outputs:
    return Outputs(np.concatenate([bundle.run(batch).probabilities for batch in batches]), None, None)


def _moved(expected: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    """Return the mean total variation distance of two ``(N, C)`` sets of probabilities."""
    return float(np.abs(expected.astype(np.float64) - found).sum(axis=1).mean() / 2)


def _score(expected: Outputs, found: Outputs, faces: ChosenFaces) -> Int8Check:
    return score_files(expected, found, labels=faces.labels, landmarks=faces.landmarks)
