"""The stage `export`: fit the temperature, write the graph with its metadata, check it against torch, quantize it."""

import logging
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mien.artifacts import claim_output, disk_errors, file_sha256, new_file, one_writer, read_json
from mien.errors import ArtifactError
from mien.export.graph import CalibratedNetwork, check_against_torch, to_file, to_onnx
from mien.export.int8 import make_int8, open_int8_faces
from mien.export.int8_check import Int8Check
from mien.export.options import Int8Options
from mien.faces.quality import check_quality_rule
from mien.formats.onnx_model import ModelInfo, OnnxModel
from mien.formats.placed_landmarks import list_placed
from mien.formats.run import DevOutputs, Run
from mien.formats.terms import list_terms
from mien.metrics.calibration import (
    TEMPERATURE_RANGE,
    expected_calibration_error,
    fit_temperature,
    reliability_bins,
)
from mien.metrics.softmax import softmax
from mien.nets.checkpoint import load_network
from mien.nets.network import FaceNetwork
from mien.runtime.addresses import local_path
from mien.runtime.nested import find_dict

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExportSummary:
    """What `export` did. Its text is what the command prints.

    Attributes:
        out: the file.
        info: its metadata.
        n_bytes: its size.
        largest_difference: between the float file and torch.
        n_checked_crops: number of crops on which they were compared.
        ece_before: expected calibration error on the dev split, before temperature scaling.
        ece_after: the same after temperature scaling.
        n_float_bytes: size of the float file.
        int8: comparison with the float file; None if the file is the float file.
    """

    out: Path
    info: ModelInfo
    n_bytes: int
    largest_difference: float
    n_checked_crops: int
    ece_before: float
    ece_after: float
    n_float_bytes: int
    int8: Int8Check | None

    def __str__(self) -> str:
        info, quantization = self.info, self.info.quantization
        subject = "torch and onnxruntime" + (", in float," if self.int8 is not None else "")
        shape = f"{info.input_size} px input; outputs {', '.join(info.tasks)}; {len(info.classes)} classes"
        n_dev, n_crops = info.training["dev"]["n"], self.n_checked_crops
        calibration = f"ECE {self.ece_before:.4f} -> {self.ece_after:.4f}"
        lines = [
            f"{shape}; {self.n_bytes / 1e6:.2f} MB",
            f"temperature {info.temperature:.3f}, fitted on the dev split (n = {n_dev:,}): {calibration}",
            f"{subject} differ by at most {self.largest_difference:.1e} on {n_crops} real crops",
        ]
        if self.int8 is not None and quantization is not None:
            float_layers = ", ".join(["the heads", *quantization["float_layers"]])
            sizes = f"{self.n_float_bytes / 1e6:.2f} -> {self.n_bytes / 1e6:.2f} MB"
            n_calibration = quantization["calibration"]["n"]
            lines.append(
                f"int8, calibrated on {n_calibration:,} training faces: {sizes}; in float: {float_layers}"
            )
            lines.append(self.int8.table())
        if terms := list_terms(find_dict(info.training, "pack", "terms")):
            lines.append(f"terms of use of the training data, the strictest first: {'; '.join(terms)}")
        if placed := find_dict(info.training, "pack", "landmarks_by"):
            lines.append(f"training landmarks placed by a model, not by people: {list_placed(placed)}")
        return "\n".join([*lines, f"sha256 {file_sha256(self.out)}", f"model: {self.out}"])


def export(
    run_path: str | Path,
    out: str | Path,
    *,
    license: str = "",  # noqa: A002 - the name of the key in the file
    int8: Int8Options | None = None,
    quality_rule: Path | None = None,
    force: bool = False,
) -> ExportSummary:
    """Write a run's selected network as one ONNX file.

    Args:
        run_path: a finished run.
        out: the file.
        license: license of the weights, for the file's metadata.
        int8: how to quantize the file, or None for float.
        quality_rule: JSON file with the rule by which faces are too hard to see for this network, see
            `mien.faces.quality.check_quality_rule`; None for that of most models.
        force: replace an existing file.

    Raises:
        ArtifactError: the run is missing or unfinished, `out` exists, a pack is not the run's, or the quality rule is none.
        ModelError: the outputs of the file differ from torch's, or the int8 file fails its check.
    """
    run, out = Run.open(run_path), local_path(out)
    result = run.read_result()
    dev = run.read_dev_outputs()
    if out.suffix != ".onnx":
        raise ArtifactError(f"OUT must end in .onnx, got {out.name!r}")
    check, rule = None, None
    if quality_rule is not None:
        rule = read_json(quality_rule, what="quality rule", advice="benchmarks/quality_limits.py writes one")
        if problem := check_quality_rule(rule):
            raise ArtifactError(f"{quality_rule} is no quality rule: {problem}")
    with one_writer(out):
        claim_output(out, force=force)
        int8_faces = None if int8 is None else open_int8_faces(run, dev, int8)
        network = load_network(run)
        temperature = fit_temperature(dev.logits, dev.labels)
        warn_of_limit(temperature, len(dev.labels))
        info = _describe(run, result, network)
        info = replace(info, temperature=temperature, license=license, quality_rule=rule)
        graph = CalibratedNetwork(network, temperature, run.annotations).eval()
        folded = CalibratedNetwork(
            network.fold_normalization(info.input_size), temperature, run.annotations
        ).eval()
        with disk_errors(out), new_file(out, replace=force) as partial:
            model = to_onnx(folded, info)
            partial.write_bytes(to_file(model, info))
            float_model = OnnxModel.load(partial)
            difference = check_against_torch(float_model, graph, dev.crops)
            n_float_bytes = partial.stat().st_size
            if int8 is not None and int8_faces is not None:
                faces, calibration = int8_faces
                content, info, check = make_int8(
                    model, float_model, dev=faces, calibration=calibration, float_layers=int8.float_layers
                )
                partial.write_bytes(content)
    return ExportSummary(
        out=out,
        info=info,
        n_bytes=out.stat().st_size,
        largest_difference=difference,
        n_checked_crops=len(dev.crops),
        ece_before=_ece(dev, 1.0),
        ece_after=_ece(dev, temperature),
        n_float_bytes=n_float_bytes,
        int8=check,
    )


def warn_of_limit(temperature: float, n: int) -> None:
    """Warn of a temperature at a limit of its range, where it calibrates nothing."""
    low, high = TEMPERATURE_RANGE
    if math.isclose(temperature, high, rel_tol=0.01):
        _log.warning(
            f"The temperature is the highest, {high:g}: the network's confidence says nothing about the {n:,} dev faces, and the "
            "file predicts nearly equal probabilities for every face. Train longer, or on more faces"
        )
    elif math.isclose(temperature, low, rel_tol=0.01):
        _log.warning(
            f"The temperature is the lowest, {low:g}: the network makes no mistake on the {n:,} dev faces, and the file predicts "
            "probabilities of 0 and 1, also where it is wrong. Raise `data.dev_fraction`, or add faces"
        )


def _describe(run: Run, result: dict[str, Any], network: FaceNetwork) -> ModelInfo:
    training = {
        "backbone": run.recipe["model"]["backbone"],
        "pretrained": run.recipe["model"]["pretrained"],
        "recipe": without_folders(run.recipe),
        "pack": {key: value for key, value in run.pack.items() if key != "path"},
        "selection": (
            f"best {result['select_by']} of {result['epochs']} {'epoch' if result['epochs'] == 1 else 'epochs'} on a dev split of train "
            f"(n = {result['dev']['n']}), epoch {result['best_epoch']}"
        ),
        "dev": result["dev"],
        "n_parameters": sum(value.numel() for value in network.parameters()),
    }
    return ModelInfo(
        classes=run.classes,
        crop=run.crop,
        input_size=run.recipe["data"]["input_size"],
        tasks=network.tasks,
        annotations=run.annotations,
        training=training,
    )


def without_folders(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe whose paths are reduced to their last part, so that the model file names no private folders."""

    def last_part(path: str | None) -> str | None:
        return path and Path(path).name

    def last_parts(paths: list[str] | None) -> list[str] | None:
        return paths and [Path(path).name for path in paths]

    model, data, schedule = recipe["model"], recipe["data"], recipe["schedule"]
    loss = schedule["loss"]
    return recipe | {
        "model": model | {"weights": last_part(model["weights"])},
        "data": data | {key: last_parts(data.get(key)) for key in ("packs", "keep_out")},
        "schedule": schedule | {"loss": loss | {"teacher": last_part(loss["teacher"])}},
    }


def _ece(dev: DevOutputs, temperature: float) -> float:
    probabilities = softmax(dev.logits, temperature=temperature)
    correct = probabilities.argmax(axis=1) == dev.labels
    return expected_calibration_error(reliability_bins(probabilities.max(axis=1), correct)) or 0.0
