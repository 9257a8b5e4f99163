"""The stage `evaluate`: from a model file and a split of a pack to a report."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mien.artifacts import file_sha256, new_folder, write_json
from mien.assets.bundled_models import find_model
from mien.errors import ArtifactError
from mien.evaluate.balanced_prior import balance_prior
from mien.evaluate.flip import average_flipped
from mien.evaluate.metrics_file import build_metrics, write_predictions
from mien.evaluate.options import EvaluateOptions
from mien.evaluate.prediction import predict_split
from mien.evaluate.provenance import Provenance
from mien.evaluate.score import Evaluation, Truth, score
from mien.evaluate.summary import format_summary
from mien.formats.onnx_model import OnnxModel
from mien.formats.pack import Pack, PackSplit
from mien.formats.pack.grouping import count_known
from mien.formats.trained_on import may_have_seen, may_know_persons
from mien.tasks import TASKS, align_columns


@dataclass(frozen=True, slots=True)
class EvaluationSummary:
    """What the command line shows.

    Attributes:
        evaluation: all metrics.
        provenance: what was evaluated on what.
        out: the report folder.
    """

    evaluation: Evaluation
    provenance: Provenance
    out: Path

    def __str__(self) -> str:
        summary = format_summary(self.evaluation, self.provenance)
        return f"{summary}\nReport: {self.out / 'report.html'}"


def evaluate(
    model: str | Path | None,
    pack: Path,
    *,
    out: Path,
    split: str = EvaluateOptions.split,
    flip_average: bool = False,
    force: bool = False,
) -> EvaluationSummary:
    """Evaluate a model file on a split and write metrics.json, predictions.csv and report.html.

    Args:
        model: name of a bundled model, a file written by `export`, or None for the default model.
        pack: folder written by `prepare`.
        out: the report folder, written atomically.
        split: name of the split.
        flip_average: predict every face mirrored as well, and add metrics of the averaged predictions. The other
            metrics do not change.
        force: replace an existing report.

    Raises:
        ArtifactError: the model, pack or split cannot be read, they share no class and no annotated task, or `out` already
            exists.
        ModelError: the model's outputs are not finite.
    """
    onnx_model, opened = OnnxModel.load(find_model(model)), Pack.open(pack)
    faces = opened.split(split)
    provenance = Provenance(
        model_name=onnx_model.path.name,
        model_sha256=file_sha256(onnx_model.path),
        model=onnx_model.info,
        pack_name=opened.path.resolve().name,
        pack=opened.info,
        split=faces.name,
        n_faces=len(faces),
        n_also_trained_on=_count_trained_on(onnx_model, opened, faces),
        n_known_persons=count_known(faces, opened.split("train"))
        if "train" in opened.splits and may_know_persons(onnx_model.info, opened.info, split)
        else 0,
    )
    classes = onnx_model.info.classes
    has_labels = _require_scorable(onnx_model, faces, provenance.pack_name)
    with new_folder(out, force=force, kind_mark="metrics.json") as folder:
        from mien.evaluate.report import write_report  # noqa: PLC0415 - matplotlib and Jinja2 load slowly

        predicted = predict_split(onnx_model, faces)
        outputs = predicted.outputs
        truth = Truth(
            classes=opened.info.classes,
            labels=faces.labels,
            values=faces.annotations,
            train_counts=opened.info.counts.get("train", {}),
            annotations=opened.info.annotations,
        )
        annotations = onnx_model.info.annotations
        evaluation = score(outputs, truth, classes=classes, annotations=annotations)
        balanced = balance_prior(outputs, onnx_model.info) if has_labels else None
        if balanced is not None:
            evaluation = replace(evaluation, balanced_prior=score(balanced, truth, classes=classes))
        if flip_average:
            mirrored = predict_split(onnx_model, faces, mirrored=True).outputs
            averaged = score(
                average_flipped(outputs, mirrored), truth, classes=classes, annotations=annotations
            )
            evaluation = replace(evaluation, flip_average=averaged)
        write_json(folder / "metrics.json", build_metrics(evaluation, provenance))
        write_predictions(folder / "predictions.csv", faces.keys, outputs, truth=truth, evaluation=evaluation)
        write_report(
            folder / "report.html",
            faces,
            predicted,
            evaluation=evaluation,
            provenance=provenance,
            model=onnx_model,
        )
    return EvaluationSummary(evaluation, provenance, out)


def _require_scorable(model: OnnxModel, faces: PackSplit, pack_name: str) -> bool:
    """Return whether faces have expression labels, after checking that there is something to score.

    Raises:
        ArtifactError: faces have labels, but none of the model's classes; or no labels, and no annotation of another task that
            the model predicts.
    """
    info, pack = model.info, faces.pack.info
    counts = pack.counts.get(faces.name, {})
    where = f"split {faces.name!r} of pack {pack_name}"
    if any(counts.get(name) for name in info.classes):
        return True
    if any(counts.values()):
        raise ArtifactError(
            f"Model {model.path.name} knows the classes {', '.join(info.classes)}, but {where} only has faces of "
            f"{', '.join(name for name in counts if counts[name])}. Use a pack with the model's classes"
        )
    for task in info.tasks:
        if task in faces.annotations and TASKS[task].score is not None:
            values = align_columns(task, faces.annotations[task], pack.annotations, info.annotations)
            if np.isfinite(values).any():
                return False
    raise ArtifactError(
        f"A report needs faces with an expression label, or annotated for another of the model's tasks "
        f"({', '.join(info.tasks)}), and {where} has neither: choose another --split or --pack"
    )


def _count_trained_on(model: OnnxModel, pack: Pack, faces: PackSplit) -> int:
    """Count the faces that are in a near-duplicate group with a training face of the model, as far as is known."""
    if "train" not in pack.splits or not may_have_seen(model.info, pack.info, faces.name):
        return 0
    trained_on = faces if faces.name == "train" else pack.split("train")
    return int(np.isin(faces.groups, trained_on.groups).sum())
