"""From a checked float graph to an int8 file: calibrate, quantize, measure, and refuse what loses too much."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from mien.errors import ModelError
from mien.export.calibration_faces import ChosenFaces, choose_calibration, dev_faces, open_train_splits
from mien.export.graph import to_file
from mien.export.int8_check import LARGEST_LOSS, LEAST_AGREEMENT, Int8Check, compare_files
from mien.export.options import Int8Options
from mien.export.quantize import SCHEME, Quantizer
from mien.export.sensitivity import find_worst_layers
from mien.formats.onnx_model import ModelInfo, OnnxModel
from mien.formats.run import DevOutputs, Run

N_CALIBRATION_FACES = 512
CALIBRATION_SEED = 0


@dataclass(frozen=True)
class Int8Plan:
    """The faces that an int8 file will be made and measured with.

    Attributes:
        dev: the run's dev split.
        calibration: other training faces.
        options: of the caller.
    """

    dev: ChosenFaces
    calibration: ChosenFaces
    options: Int8Options


def plan_int8(run: Run, dev: DevOutputs, options: Int8Options) -> Int8Plan:
    """Open a run's packs and choose the faces, before any work.

    Raises:
        ArtifactError: the packs are not the run's, or the run does not say which faces are its dev split.
    """
    faces = dev_faces(run, dev, open_train_splits(run, options.packs))
    chosen = choose_calibration(run, faces, n_faces=N_CALIBRATION_FACES, seed=CALIBRATION_SEED)
    return Int8Plan(faces, chosen, options)


def make_int8(
    plan: Int8Plan, model: onnx.ModelProto, float_model: OnnxModel
) -> tuple[bytes, ModelInfo, Int8Check]:
    """Return an int8 file, its metadata, and what it scores beside the float file.

    The temperature stays the float file's: fitted again on int8's answers it moved by 1 % on the FER+ network of
    docs/results.md.

    Args:
        plan: see `plan_int8`.
        model: the float graph.
        float_model: the float file.

    Raises:
        ModelError: a layer's name is unknown, or int8 loses more than the gate allows.
    """
    info, float_layers = float_model.info, plan.options.float_layers
    quantizer = Quantizer(model, plan.calibration, input_size=info.input_size)
    quantizer.require_layers(float_layers)
    with tempfile.TemporaryDirectory() as folder:

        def load(graph: onnx.ModelProto) -> OnnxModel:
            path = Path(folder) / "candidate.onnx"
            path.write_bytes(to_file(graph, info))
            return OnnxModel.load(path)

        quantised = quantizer.quantize(float_layers=float_layers)
        result = compare_files(float_model, load(quantised), plan.dev)
        if not result.passes:
            advice = find_worst_layers(quantizer, load, float_model, plan.dev, float_layers)
            raise ModelError(f"{_refusal(result)} {advice.sentence(float_layers)}")
    info = replace(info, quantisation=_describe(plan, quantizer.within(float_layers), result))
    return to_file(quantised, info), info, result


def _describe(plan: Int8Plan, float_layers: set[str], result: Int8Check) -> dict[str, object]:
    return {
        "scheme": SCHEME,
        "float_layers": sorted(float_layers),
        "calibration": {"n": len(plan.calibration), "seed": CALIBRATION_SEED},
        "gate": {
            "least_agreement": LEAST_AGREEMENT,
            "largest_accuracy_loss": LARGEST_LOSS,
            **result.to_dict(),
        },
    }


def _refusal(result: Int8Check) -> str:
    before, after = result.float_scores.accuracy, result.int8_scores.accuracy
    return (
        f"int8 loses too much on the dev split (n = {result.n:,}): it answers like the float file on "
        f"{result.agreement:.1%} of the faces ({LEAST_AGREEMENT:.0%} are needed), accuracy {before:.1%} -> {after:.1%} "
        f"({100 * LARGEST_LOSS:.1f} points may be lost). Nothing was written."
    )
