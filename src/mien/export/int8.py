"""From a checked float graph to an int8 file: calibrate, quantize, evaluate, and reject a file that loses too much."""

import tempfile
from dataclasses import replace
from pathlib import Path

import onnx

from mien.errors import ModelError
from mien.export.calibration_faces import choose_calibration, dev_faces, open_train_splits
from mien.export.graph import to_file
from mien.export.int8_check import MAX_ACCURACY_LOSS, MIN_AGREEMENT, Int8Check, compare_files
from mien.export.options import Int8Options
from mien.export.quantize import SCHEME, Quantizer
from mien.export.sensitivity import advise_float_layers
from mien.formats.onnx_model import ModelInfo, OnnxModel
from mien.formats.pack.selection import FaceSelection
from mien.formats.run import DevOutputs, Run

N_CALIBRATION_FACES = 512
CALIBRATION_SEED = 0


def open_int8_faces(run: Run, dev: DevOutputs, options: Int8Options) -> tuple[FaceSelection, FaceSelection]:
    """Open a run's packs and return the faces of its dev split, and the training faces for calibration.

    Raises:
        ArtifactError: the packs are not the run's, or the run does not record which faces are its dev split.
    """
    faces = dev_faces(run, dev, open_train_splits(run, options.packs))
    calibration = choose_calibration(run, faces, n_faces=N_CALIBRATION_FACES, seed=CALIBRATION_SEED)
    return faces, calibration


def make_int8(
    model: onnx.ModelProto,
    float_model: OnnxModel,
    *,
    dev: FaceSelection,
    calibration: FaceSelection,
    float_layers: tuple[str, ...],
) -> tuple[bytes, ModelInfo, Int8Check]:
    """Return an int8 file, its metadata, and how it compares with the float file.

    The temperature is the float file's: refitting it to the int8 outputs changed it by 1% for the FER+ network of
    docs/results.md.

    Args:
        model: the float graph.
        float_model: the float file.
        dev: faces to check the file on.
        calibration: faces to calibrate on.
        float_layers: see `Int8Options`.

    Raises:
        ModelError: a layer's name is unknown, or the int8 file fails the check.
    """
    info = float_model.info
    quantizer = Quantizer(model, calibration, input_size=info.input_size)
    quantizer.require_layers(float_layers)
    with tempfile.TemporaryDirectory() as folder:

        def load(graph: onnx.ModelProto) -> OnnxModel:
            path = Path(folder) / "candidate.onnx"
            path.write_bytes(to_file(graph, info))
            return OnnxModel.load(path)

        quantized = quantizer.quantize(float_layers=float_layers)
        check = compare_files(float_model, load(quantized), dev)
        if not check.passes:
            advice = advise_float_layers(quantizer, load, float_model, dev, float_layers)
            raise ModelError(
                f"int8 loses too much on the dev split (n = {check.n:,}): it agrees with the float file on "
                f"{check.agreement:.1%} of the faces (at least {MIN_AGREEMENT:.0%} required), accuracy "
                f"{check.float_scores.accuracy:.1%} -> {check.int8_scores.accuracy:.1%} (a loss of at most "
                f"{100 * MAX_ACCURACY_LOSS:.1f} points is accepted). Nothing was written. {advice}"
            )
    quantization = {
        "scheme": SCHEME,
        "float_layers": sorted(quantizer.within(float_layers)),
        "calibration": {"n": len(calibration), "seed": CALIBRATION_SEED},
        "gate": {
            "least_agreement": MIN_AGREEMENT,
            "largest_accuracy_loss": MAX_ACCURACY_LOSS,
            **check.to_dict(),
        },
    }
    info = replace(info, quantization=quantization)
    return to_file(quantized, info), info, check
