"""The stage `evaluate`: a model file over a split of a pack, to a report."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mien.artifacts import file_sha256, new_folder, write_json
from mien.assets.bundled_models import find_model
from mien.errors import ArtifactError
from mien.evaluate.flip import average_flipped
from mien.evaluate.metrics_file import build_metrics, write_predictions
from mien.evaluate.options import EvaluateOptions
from mien.evaluate.predictions import read_split
from mien.evaluate.provenance import Provenance, may_have_seen
from mien.evaluate.score import Evaluation, Truth, score
from mien.evaluate.summary import write_table
from mien.formats.onnx_model import OnnxModel
from mien.formats.pack import Pack, PackSplit

BATCH_SIZE = 32


@dataclass(frozen=True, slots=True)
class EvaluationSummary:
    """What the command line shows.

    Attributes:
        evaluation: every figure.
        provenance: of what on what.
        out: the report folder.
    """

    evaluation: Evaluation
    provenance: Provenance
    out: Path

    def __str__(self) -> str:
        table = write_table(self.evaluation, self.provenance)
        return f"{table}\nReport: {self.out / 'report.html'}"


def evaluate(
    model: str | Path | None,
    pack: Path,
    *,
    out: Path,
    split: str = EvaluateOptions.split,
    flip_average: bool = False,
    force: bool = False,
) -> EvaluationSummary:
    """Run a model file over a split and write metrics.json, predictions.csv and report.html.

    Args:
        model: the name of a model in the box, a file that `export` wrote, or None for the default.
        pack: folder that `prepare` wrote.
        out: the report folder, made whole or not at all.
        split: of the pack.
        flip_average: read every face mirrored as well, and add figures of the averaged readings. No other
            figure changes.
        force: replace an existing report.

    Raises:
        ArtifactError: model, pack or split cannot be read, they share no class, or `out` is in the way.
        ModelError: the model's output is not finite.
    """
    bundle, opened = OnnxModel.load(find_model(model)), Pack.open(pack)
    faces = opened.split(split)
    provenance = _describe(bundle, opened, faces)
    _require_shared_faces(provenance)
    with new_folder(out, force=force, kind_mark="metrics.json") as folder:
        evaluation = _evaluate_into(folder, bundle, faces, provenance=provenance, flip_average=flip_average)
    return EvaluationSummary(evaluation, provenance, out)


def _describe(bundle: OnnxModel, pack: Pack, faces: PackSplit) -> Provenance:
    return Provenance(
        model_name=bundle.path.name,
        model_sha256=file_sha256(bundle.path),
        model=bundle.info,
        pack_name=pack.path.resolve().name,
        pack=pack.info,
        split=faces.name,
        n_faces=len(faces),
        n_also_trained_on=_count_trained_on(bundle, pack, faces),
    )


def _evaluate_into(
    folder: Path, bundle: OnnxModel, faces: PackSplit, *, provenance: Provenance, flip_average: bool
) -> Evaluation:
    from mien.evaluate.report import write_report  # noqa: PLC0415 - matplotlib and Jinja2, only once there is something to draw

    outputs = read_split(bundle, faces, batch_size=BATCH_SIZE)
    truth = Truth(
        classes=provenance.pack.classes,
        labels=faces.labels,
        landmarks=faces.landmarks,
        valence_arousal=faces.valence_arousal,
        train_counts=provenance.pack.counts.get("train", {}),
    )
    evaluation = score(outputs, truth, classes=bundle.info.classes)
    if flip_average:
        mirrored = read_split(bundle, faces, batch_size=BATCH_SIZE, mirrored=True)
        averaged = score(average_flipped(outputs, mirrored), truth, classes=bundle.info.classes)
        evaluation = replace(evaluation, flip_average=averaged)
    write_json(folder / "metrics.json", build_metrics(evaluation, provenance))
    write_predictions(folder / "predictions.csv", faces.keys, outputs, truth=truth, evaluation=evaluation)
    write_report(folder / "report.html", faces, outputs, evaluation=evaluation, provenance=provenance)
    return evaluation


def _count_trained_on(bundle: OnnxModel, pack: Pack, faces: PackSplit) -> int:
    """Count the faces whose duplicate group has a face that the model was trained on, as far as is known."""
    if "train" not in pack.splits or not may_have_seen(bundle.info, pack.info, faces.name):
        return 0
    trained_on = faces if faces.name == "train" else pack.split("train")
    return int(np.isin(faces.groups, trained_on.groups).sum())


def _require_shared_faces(provenance: Provenance) -> None:
    counts = provenance.pack.counts[provenance.split]
    if not any(counts.get(name) for name in provenance.model.classes):
        raise ArtifactError(
            f"Model {provenance.model_name} knows the classes {', '.join(provenance.model.classes)}, but split "
            f"{provenance.split!r} of pack {provenance.pack_name} has faces of "
            f"{', '.join(name for name in counts if counts[name])} only. Take a pack with the model's classes"
        )
