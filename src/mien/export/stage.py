"""The stage: calibrate, write the graph, attach the metadata, and check the file against torch."""

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from mien.artifacts import claim_output, disk_errors, file_sha256
from mien.bundle import INPUT_NAME, METADATA_KEY, Bundle, BundleInfo
from mien.errors import ArtifactError, ModelError
from mien.metrics.calibration import expected_calibration_error, fit_temperature, reliability_bins
from mien.network import FaceNetwork
from mien.run import DevOutputs, Run
from mien.trained import load_trained_network

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

    def __str__(self) -> str:
        training = self.info.training
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
                    f"torch and onnxruntime differ by at most {self.largest_difference:.1e} on "
                    f"{self.n_checked_crops} real crops"
                ),
                f"sha256 {file_sha256(self.out)}",
                f"model: {self.out}",
            ]
        )


def export(run_path: Path, out: Path, *, licence: str = "", force: bool = False) -> ExportSummary:
    """Write a run's chosen network as one ONNX file.

    Args:
        run_path: a finished run.
        out: the file.
        licence: of the weights, for the file's metadata.
        force: replace an existing file.

    Raises:
        ArtifactError: the run is missing or unfinished, or OUT exists.
        ModelError: the written file does not compute what torch computes.
    """
    run = Run.open(run_path)
    result = run.read_result()
    dev = run.read_dev_outputs()
    if out.suffix != ".onnx":
        raise ArtifactError(f"OUT must end in .onnx, got {out.name!r}")
    if not force:
        claim_output(out, force=False)
    network = load_trained_network(run)
    temperature = fit_temperature(dev.logits, dev.labels)
    info = replace(_describe(run, result, network), temperature=temperature, licence=licence)
    graph = CalibratedNetwork(network, temperature).eval()
    partial = out.with_name(out.stem + ".partial.onnx")
    with disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(to_onnx(graph, info))
            difference = check_against_torch(Bundle.load(partial), graph, dev.crops)
            claim_output(out, force=force)
            partial.rename(out)
        finally:
            partial.unlink(missing_ok=True)
    return ExportSummary(
        out, info, out.stat().st_size, difference, len(dev.crops), _ece(dev, 1.0), _ece(dev, temperature)
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


def to_onnx(graph: nn.Module, info: BundleInfo) -> bytes:
    """Return the model file of a graph, with its metadata.

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
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, info.to_json()
    onnx.checker.check_model(model)
    buffer = io.BytesIO()
    onnx.save_model(model, buffer)
    return buffer.getvalue()


def _forget_sources(model: onnx.ModelProto) -> None:
    """Take out the lines and paths of the training machine's files, which torch writes beside every node."""
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


def _ece(dev: DevOutputs, temperature: float) -> float:
    scaled = dev.logits.astype(np.float64) / temperature
    probabilities = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    correct = probabilities.argmax(axis=1) == dev.labels
    return expected_calibration_error(reliability_bins(probabilities.max(axis=1), correct)) or 0.0
