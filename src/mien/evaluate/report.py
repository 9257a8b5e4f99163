"""report.html: one self-contained page for people, on screens of any size and in print."""

import json
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

import mien
from mien.drawing.html_page import open_templates
from mien.drawing.palette import series_color
from mien.evaluate import figures
from mien.evaluate.balanced_prior import BALANCED_PRIOR_NOTE
from mien.evaluate.cell_faces import MAX_CORRECT_PER_CLASS, choose_cell_faces
from mien.evaluate.counterfactual import COUNTERFACTUAL_NOTE, CounterfactualScores, describe_change
from mien.evaluate.flip import FLIP_NOTE
from mien.evaluate.gallery import choose_landmark_faces, choose_mistakes
from mien.evaluate.groups import GROUPS_NOTE
from mien.evaluate.prediction import PredictedSplit
from mien.evaluate.provenance import Provenance
from mien.evaluate.score import Evaluation
from mien.evaluate.summary import BALANCED_SUFFIX, FLIP_SUFFIX, SELECTION_UNKNOWN, format_verdict
from mien.evaluate.task_scores import LandmarkScores, ValenceArousalScores, percent, percent_interval
from mien.formats.onnx_model import OnnxModel
from mien.formats.pack import PackSplit
from mien.formats.pack.schema import NO_LABEL
from mien.formats.placed_landmarks import list_placed
from mien.formats.terms import list_terms
from mien.metrics.embedding import Plane, principal_plane
from mien.runtime.language import Language
from mien.runtime.nested import find_dict
from mien.tasks import TASKS

_TEMPLATE = "report.html.j2"
# With fewer faces, the metrics of a class vary by more than 15 points by chance.
FEW_FACES = 30


def write_report(  # noqa: PLR0913 - all that the page is about
    path: Path,
    faces: PackSplit,
    predicted: PredictedSplit,
    *,
    evaluation: Evaluation,
    provenance: Provenance,
    model: OnnxModel,
    language: Language,
) -> None:
    """Write the page.

    Args:
        path: path of report.html.
        faces: the split, for its images.
        predicted: the model's outputs and features for it.
        evaluation: the metrics.
        provenance: what was evaluated on what.
        model: explains mistakes.
        language: of the page.
    """
    landmark_faces = []
    for task, scores in evaluation.tasks.items():
        if isinstance(scores, LandmarkScores):
            landmark_faces = choose_landmark_faces(faces, predicted.outputs[task], scores)
    plane = principal_plane(predicted.features)
    cell_faces = choose_cell_faces(faces, predicted.outputs, evaluation)
    page = (
        _open_templates(language)
        .get_template(_TEMPLATE)
        .render(
            evaluation=evaluation,
            titles={task: entry.title.capitalize() for task, entry in TASKS.items()},
            provenance=provenance,
            verdict=format_verdict(evaluation),
            selection=provenance.selection or SELECTION_UNKNOWN,
            training_terms=list_terms(find_dict(provenance.model.training, "pack", "terms")),
            placed_landmarks=list_placed(find_dict(provenance.model.training, "pack", "landmarks_by")),
            warnings=provenance.warnings(),
            mistakes=choose_mistakes(faces, predicted.outputs, evaluation, model),
            cell_faces=cell_faces,
            n_shown=sum(group.n_shown for group in cell_faces),
            sheet_bytes=sum(len(group.sheet) for group in cell_faces),
            max_correct=MAX_CORRECT_PER_CLASS,
            plane=plane,
            embedding_colors=[(name, series_color(index)) for index, name in enumerate(evaluation.classes)],
            classes=[] if evaluation.main is None else _class_rows(evaluation, evaluation.main.confusion),
            confusion=[]
            if evaluation.main is None
            else _confusion_rows(evaluation, evaluation.main.confusion),
            # Drawn by matplotlib from numbers and constant text, without any text of users.
            plots={
                name: Markup(figures.translate(svg, language))  # noqa: S704
                for name, svg in _draw_plots(faces, evaluation, plane).items()
            },
            landmark_faces=landmark_faces,
            few_faces=FEW_FACES,
            max_points=figures.MAX_POINTS,
            flip_note=FLIP_NOTE,
            flip_suffix=FLIP_SUFFIX,
            balanced_note=BALANCED_PRIOR_NOTE,
            balanced_suffix=BALANCED_SUFFIX,
            groups_note=GROUPS_NOTE,
            counterfactual_note=COUNTERFACTUAL_NOTE,
            describe_change=describe_change,
            training_json=json.dumps(provenance.model.training, indent=2, ensure_ascii=False),
            mien_version=mien.__version__,
        )
    )
    path.write_text(page, encoding="utf-8")


def _draw_plots(faces: PackSplit, evaluation: Evaluation, plane: Plane | None) -> dict[str, str]:
    """Return the plots by name, as SVG."""
    plots, main = {}, evaluation.main
    if main is not None:
        plots["reliability"] = figures.draw_reliability(evaluation.bins)
    for scores in evaluation.tasks.values():
        if isinstance(scores, LandmarkScores):
            plots["nme"] = figures.draw_cumulative_error(scores.errors)
        if isinstance(scores, ValenceArousalScores):
            plots["plane"] = figures.draw_affect_plane(scores.truth, scores.predicted)
            for column, name in enumerate(scores.dimensions):
                plots[name] = figures.draw_affect(scores.truth[:, column], scores.predicted[:, column], name)
    if plane is not None:
        # In the model's classes, of which the protocol knows the indices.
        labels = np.full(len(faces), NO_LABEL, dtype=np.int64)
        is_wrong = np.zeros(len(faces), dtype=np.bool_)
        if main is not None:
            labels[main.protocol.faces] = main.protocol.truth
            is_wrong[main.protocol.faces] = main.protocol.truth != main.protocol.predicted
        plots["features"] = figures.draw_features(plane.points, labels, is_wrong)
    return plots


def write_drawn_report(
    path: Path, scores: CounterfactualScores, *, model_name: str, language: Language
) -> None:
    """Write the page of an evaluation on drawn faces alone."""
    page = (
        _open_templates(language)
        .get_template("counterfactual.html.j2")
        .render(
            evaluation={"counterfactual": scores},
            counterfactual_note=COUNTERFACTUAL_NOTE,
            describe_change=describe_change,
            model_name=model_name,
            mien_version=mien.__version__,
        )
    )
    path.write_text(page, encoding="utf-8")


def _open_templates(language: Language) -> jinja2.Environment:
    environment = open_templates(Path(__file__).parent, language)
    environment.filters.update(percent=percent, interval=percent_interval)
    return environment


def _class_rows(evaluation: Evaluation, confusion: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Return the per-class table: name, scores, number of predictions, and the lengths of both bars in [0, 1]."""
    n_predicted = confusion.sum(axis=0)
    largest = max(int(confusion.sum(axis=1).max()), int(n_predicted.max()), 1)
    return [
        {
            "name": name,
            "scores": scores,
            "n_predicted": int(n_predicted[i]),
            "bar": scores.n / largest,
            "predicted_bar": int(n_predicted[i]) / largest,
        }
        for i, (name, scores) in enumerate(zip(evaluation.classes, evaluation.per_class, strict=True))
    ]


def _confusion_rows(evaluation: Evaluation, confusion: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Return the confusion matrix row by row, each cell as a count and a fraction of the row."""
    fractions = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    return [
        {
            "name": name,
            "n": int(confusion[i].sum()),
            "cells": [
                {"count": int(count), "fraction": float(fraction), "is_correct": i == j}
                for j, (count, fraction) in enumerate(zip(confusion[i], fractions[i], strict=True))
            ],
        }
        for i, name in enumerate(evaluation.classes)
    ]
