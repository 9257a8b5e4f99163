"""The stage `evaluate`: from a model file and a split of a pack to a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import mien
from mien.artifacts import file_sha256, new_folder, write_json
from mien.assets.bundled_models import find_model
from mien.errors import ArtifactError
from mien.evaluate.balanced_prior import balance_prior
from mien.evaluate.counterfactual import CounterfactualScores, DrawnFaces, score_drawn_faces
from mien.evaluate.flip import average_flipped
from mien.evaluate.groups import read_groups, score_groups
from mien.evaluate.metrics_file import REPORT_VERSION, build_metrics, write_predictions
from mien.evaluate.options import EvaluateOptions
from mien.evaluate.prediction import predict_split
from mien.evaluate.provenance import Provenance
from mien.evaluate.score import Evaluation, Truth, score
from mien.evaluate.summary import format_summary
from mien.formats.onnx_model import OnnxModel
from mien.formats.pack import Pack, PackSplit
from mien.formats.pack.grouping import count_known
from mien.formats.trained_on import may_have_seen, may_know_persons
from mien.runtime.addresses import local_path
from mien.runtime.language import Language, LanguageCode
from mien.tasks import TASKS, Values, align_columns

COUNTERFACTUAL = "counterfactual.json"


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


def evaluate(  # noqa: PLR0913 - one keyword per option, as on the command line
    model: str | Path | None,
    pack: str | Path,
    *,
    out: str | Path,
    split: str = EvaluateOptions.split,
    flip_average: bool = False,
    groups: Sequence[str] = (),
    min_group: int = EvaluateOptions.min_group,
    drawn: DrawnFaces | None = None,
    language: LanguageCode = EvaluateOptions.language,
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
        groups: columns of the pack by which the metrics are reported too: ``person``, ``clip`` or attributes.
        min_group: groups of fewer faces are left out.
        drawn: drawn faces of which one trait changes at a time; None: the report says nothing about them.
        language: of report.html.
        force: replace an existing report.

    Raises:
        ArtifactError: the model, pack or split cannot be read, they share no class and no annotated task, the split lacks one
            of `groups` or large enough ones, or `out` already exists.
        ModelError: the model's outputs are not finite.
        TypeError: `groups` is a text in place of a list.
        ValueError: `out` is an address.
    """
    out = local_path(out)
    if isinstance(groups, str):
        raise TypeError(f"`groups` must be a list of columns, got {groups!r}: write [{groups!r}]")
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
    if groups and not has_labels:
        raise ArtifactError(
            f"Groups are reported for the expression, and split {split!r} of pack {provenance.pack_name} has no expression "
            "labels: leave out --groups"
        )
    is_known = np.isin(
        faces.labels, [label for label, name in enumerate(opened.info.classes) if name in classes]
    )
    grouped = read_groups(faces, dict.fromkeys(groups), is_known, min_faces=min_group)
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
        evaluation = _score_all(
            onnx_model, faces, outputs, truth, flip_average=flip_average, grouped=grouped, min_group=min_group
        )
        if drawn is not None:
            evaluation = replace(evaluation, counterfactual=score_drawn_faces(onnx_model, drawn))
        write_json(folder / "metrics.json", build_metrics(evaluation, provenance))
        write_predictions(folder / "predictions.csv", faces.keys, outputs, truth=truth, evaluation=evaluation)
        write_report(
            folder / "report.html",
            faces,
            predicted,
            evaluation=evaluation,
            provenance=provenance,
            model=onnx_model,
            language=Language.load(language),
        )
    return EvaluationSummary(evaluation, provenance, out)


@dataclass(frozen=True, slots=True)
class DrawnSummary:
    """What the command line shows of an evaluation on drawn faces alone."""

    model_name: str
    scores: CounterfactualScores
    out: Path

    def __str__(self) -> str:
        lines = [f"{self.model_name} on drawn faces; intervals are 95%", "", *self.scores.lines()]
        return "\n".join([*lines, "", f"Report: {self.out / 'counterfactual.html'}"])


def evaluate_drawn(
    model: str | Path | None,
    drawn: DrawnFaces,
    *,
    out: str | Path,
    language: LanguageCode = EvaluateOptions.language,
    force: bool = False,
) -> DrawnSummary:
    """Evaluate a model file on drawn faces alone, and write counterfactual.json and counterfactual.html.

    Args:
        model: as in `evaluate`.
        drawn: drawn faces of which one trait changes at a time.
        out: the folder, written atomically.
        language: of counterfactual.html.
        force: replace an existing one.

    Raises:
        ArtifactError: the model cannot be read, or `out` already exists.
        ModelError: the model's outputs are not finite.
        ValueError: `out` is an address.
    """
    out = local_path(out)
    onnx_model = OnnxModel.load(find_model(model))
    with new_folder(out, force=force, kind_mark=COUNTERFACTUAL) as folder:
        from mien.evaluate.report import write_drawn_report  # noqa: PLC0415 - matplotlib and Jinja2 load slowly

        scores = score_drawn_faces(onnx_model, drawn)
        file = {
            "file": onnx_model.path.name,
            "sha256": file_sha256(onnx_model.path),
            **onnx_model.info.to_dict(),
        }
        page = folder / "counterfactual.html"
        write_drawn_report(page, scores, model_name=onnx_model.path.name, language=Language.load(language))
        values = {"format_version": REPORT_VERSION, "mien_version": mien.__version__, "model": file}
        write_json(folder / COUNTERFACTUAL, values | scores.to_dict())
    return DrawnSummary(onnx_model.path.name, scores, out)


def _score_all(  # noqa: PLR0913 - what is scored, and how
    model: OnnxModel,
    faces: PackSplit,
    outputs: Values,
    truth: Truth,
    *,
    flip_average: bool,
    grouped: Mapping[str, list[str | None]],
    min_group: int,
) -> Evaluation:
    """Return the metrics of a split's predictions: with a balanced prior, flip-averaged and by group where they can be."""
    classes, annotations = model.info.classes, model.info.annotations
    evaluation = score(outputs, truth, classes=classes, annotations=annotations)
    if flip_average:
        mirrored = predict_split(model, faces, mirrored=True).outputs
        averaged = score(average_flipped(outputs, mirrored), truth, classes=classes, annotations=annotations)
        evaluation = replace(evaluation, flip_average=averaged)
    main = evaluation.main
    if main is None:
        return evaluation
    balanced = balance_prior(outputs, model.info)
    if balanced is not None:
        evaluation = replace(evaluation, balanced_prior=score(balanced, truth, classes=classes))
    by_group = tuple(
        score_groups(
            column, values, main.protocol, outputs["expression"], classes=classes, min_faces=min_group
        )
        for column, values in grouped.items()
    )
    return replace(evaluation, groups=by_group)


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
            f"{', '.join(name for name in counts if counts[name])}. Use a pack with the model's classes; if they only have "
            "other names, prepare it again with --label-names NAME=CLASS,..."
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
