"""The stage: calibrate, write the graph, attach the metadata, and check the file against torch; int8 behind a gate."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mien.artifacts import claim_output, disk_errors, file_sha256, new_file, one_writer
from mien.bundle import Bundle, BundleInfo
from mien.errors import ArtifactError
from mien.export.gate import GateResult
from mien.export.graph import CalibratedNetwork, check_against_torch, to_file, to_onnx
from mien.export.int8 import Int8Options, make_int8, plan_int8
from mien.metrics.calibration import expected_calibration_error, fit_temperature, reliability_bins
from mien.network import FaceNetwork
from mien.run import DevOutputs, Run
from mien.trained import load_trained_network


@dataclass(frozen=True)
class Int8Summary:
    """What int8 changed."""

    n_float_bytes: int
    gate: GateResult


@dataclass(frozen=True)
class ExportSummary:
    """What `export` did. Its text is what the command prints."""

    out: Path
    info: BundleInfo
    n_bytes: int
    largest_difference: float
    n_checked_crops: int
    ece_before: float
    ece_after: float
    int8: Int8Summary | None = None

    def __str__(self) -> str:
        training = self.info.training
        subject = "torch and onnxruntime" if self.int8 is None else "torch and onnxruntime, in float,"
        return "\n".join(
            [
                (
                    f"{self.info.input_size} px in; {', '.join(self.info.tasks)} out; "
                    f"{len(self.info.classes)} classes; {self.n_bytes / 1e6:.2f} MB"
                ),
                (
                    f"temperature {self.info.temperature:.3f}, fitted on the dev split "
                    f"(n = {training['dev']['n']:,}): ECE {self.ece_before:.4f} -> {self.ece_after:.4f} there"
                ),
                (
                    f"{subject} differ by at most {self.largest_difference:.1e} on "
                    f"{self.n_checked_crops} real crops"
                ),
                *self._int8_lines(),
                f"sha256 {file_sha256(self.out)}",
                f"model: {self.out}",
            ]
        )

    def _int8_lines(self) -> list[str]:
        if self.int8 is None or self.info.quantisation is None:
            return []
        made = self.info.quantisation
        kept = ", ".join(["the heads", *made["float_layers"]])
        return [
            (
                f"int8, calibrated on {made['calibration']['n']:,} training faces: {self.int8.n_float_bytes / 1e6:.2f} -> "
                f"{self.n_bytes / 1e6:.2f} MB; in float: {kept}"
            ),
            self.int8.gate.table(),
        ]


def export(
    run_path: Path,
    out: Path,
    *,
    licence: str = "",
    int8: Int8Options | None = None,
    force: bool = False,
) -> ExportSummary:
    """Write a run's chosen network as one ONNX file.

    Args:
        run_path: a finished run.
        out: the file.
        licence: of the weights, for the file's metadata.
        int8: how to make the file in int8, or None for float.
        force: replace an existing file.

    Raises:
        ArtifactError: the run is missing or unfinished, OUT exists, or a pack is not the run's.
        ModelError: the written file does not compute what torch computes, or int8 loses too much.
    """
    run = Run.open(run_path)
    result = run.read_result()
    dev = run.read_dev_outputs()
    if out.suffix != ".onnx":
        raise ArtifactError(f"OUT must end in .onnx, got {out.name!r}")
    int8_summary = None
    with one_writer(out):
        claim_output(out, force=force)
        plan = None if int8 is None else plan_int8(run, dev, int8)
        network = load_trained_network(run)
        temperature = fit_temperature(dev.logits, dev.labels)
        info = replace(_describe(run, result, network), temperature=temperature, licence=licence)
        graph = CalibratedNetwork(network, temperature).eval()
        with disk_errors(out), new_file(out, replace=force) as partial:
            model = to_onnx(graph, info)
            partial.write_bytes(to_file(model, info))
            float_bundle = Bundle.load(partial)
            difference = check_against_torch(float_bundle, graph, dev.crops)
            if plan is not None:
                content, info, gate = make_int8(plan, model, float_bundle)
                int8_summary = Int8Summary(partial.stat().st_size, gate)
                partial.write_bytes(content)
    return ExportSummary(
        out,
        info,
        out.stat().st_size,
        difference,
        len(dev.crops),
        _ece(dev, 1.0),
        _ece(dev, temperature),
        int8_summary,
    )


def _describe(run: Run, result: dict[str, Any], network: FaceNetwork) -> BundleInfo:
    training = {
        "backbone": run.recipe["model"]["backbone"],
        "pretrained": run.recipe["model"]["pretrained"],
        "recipe": _without_paths(run.recipe),
        "pack": {key: value for key, value in run.pack.items() if key != "path"},
        "selection": (
            f"best {result['select_by']} of {result['epochs']} epochs on a dev split of train "
            f"(n = {result['dev']['n']}), epoch {result['best_epoch']}"
        ),
        "dev": result["dev"],
        "n_parameters": sum(value.numel() for value in network.parameters()),
    }
    return BundleInfo(
        classes=run.classes,
        crop=run.crop,
        input_size=run.recipe["data"]["input_size"],
        tasks=network.tasks,
        training=training,
    )


def _without_paths(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe for the model file: a path of the maker's machine keeps its last part alone."""

    def last_part(path: str | None) -> str | None:
        return path and Path(path).name

    model, data, schedule = recipe["model"], recipe["data"], recipe["schedule"]
    loss = schedule["loss"]
    return recipe | {
        "model": model | {"weights": last_part(model["weights"])},
        "data": data | {"packs": data["packs"] and [last_part(path) for path in data["packs"]]},
        "schedule": schedule | {"loss": loss | {"teacher": last_part(loss["teacher"])}},
    }


def _ece(dev: DevOutputs, temperature: float) -> float:
    scaled = dev.logits.astype(np.float64) / temperature
    probabilities = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    correct = probabilities.argmax(axis=1) == dev.labels
    return expected_calibration_error(reliability_bins(probabilities.max(axis=1), correct)) or 0.0
