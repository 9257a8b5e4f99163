"""report.html: one page with everything inside, for a person, on a screen of any size or on paper."""

import json
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

import mien
from mien.bundle import Outputs
from mien.evaluate import figures
from mien.evaluate.flip import FLIP_NOTE
from mien.evaluate.gallery import choose_landmark_faces, choose_mistakes
from mien.evaluate.provenance import Provenance, describe_crop
from mien.evaluate.score import Evaluation
from mien.evaluate.wording import FLIP_MARK, SELECTION_UNKNOWN, percent, percent_interval, state_verdict
from mien.fonts import printable_lines
from mien.pack import PackSplit

_TEMPLATE = "report.html.j2"
# Below this many faces a class's figures move by more than 15 points by chance alone.
FEW_FACES = 30


def write_report(
    path: Path, faces: PackSplit, outputs: Outputs, *, evaluation: Evaluation, provenance: Provenance
) -> None:
    """Write the page.

    Args:
        path: of report.html.
        faces: the split, for its pictures.
        outputs: what the model said of them.
        evaluation: the figures.
        provenance: what was evaluated on what.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        finalize=_clean,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, interval=percent_interval)
    page = environment.get_template(_TEMPLATE).render(
        evaluation=evaluation,
        provenance=provenance,
        verdict=state_verdict(evaluation.main),
        selection=provenance.selection or SELECTION_UNKNOWN,
        warnings=provenance.warnings(),
        mistakes=choose_mistakes(faces, outputs, evaluation),
        classes=_class_rows(evaluation),
        confusion=_confusion_rows(evaluation),
        drawings=_draw_all(faces, outputs, evaluation),
        landmark_faces=_landmark_faces(faces, outputs, evaluation),
        few_faces=FEW_FACES,
        max_dots=figures.MAX_DOTS,
        describe_crop=describe_crop,
        flip_note=FLIP_NOTE,
        flip_mark=FLIP_MARK,
        training_json=json.dumps(provenance.model.training, indent=2, ensure_ascii=False),
        mien_version=mien.__version__,
    )
    path.write_text(page, encoding="utf-8")


def _clean(value: Any) -> Any:
    """Return a value for the page: text without control characters, such as a class's name may hold."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable_lines(value)
    return value


def _draw_all(faces: PackSplit, outputs: Outputs, evaluation: Evaluation) -> dict[str, Markup]:
    drawn = {"reliability": figures.draw_reliability(evaluation.bins)}
    if evaluation.landmarks is not None:
        drawn["nme"] = figures.draw_cumulative_error(evaluation.landmarks.errors)
    if evaluation.affect is not None and outputs.valence_arousal is not None:
        truth, predicted = faces.valence_arousal, outputs.valence_arousal
        drawn["plane"] = figures.draw_affect_plane(truth, predicted)
        for column, name in enumerate(evaluation.affect):
            drawn[name] = figures.draw_affect(truth[:, column], predicted[:, column], name)
    # drawn by matplotlib from numbers and this package's own words: nothing of it is a user's text
    return {name: Markup(svg) for name, svg in drawn.items()}  # noqa: S704


def _landmark_faces(faces: PackSplit, outputs: Outputs, evaluation: Evaluation) -> list[Any]:
    if evaluation.landmarks is None or outputs.landmarks is None:
        return []
    return choose_landmark_faces(faces, outputs.landmarks, evaluation.landmarks)


def _class_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return the per-class table: name, scores, how often the class was answered, and bars as shares."""
    confusion = evaluation.main.confusion
    answered = confusion.sum(axis=0)
    largest = max(int(confusion.sum(axis=1).max()), int(answered.max()), 1)
    return [
        {
            "name": name,
            "scores": scores,
            "answered": int(answered[i]),
            "bar": scores.n / largest,
            "answered_bar": int(answered[i]) / largest,
        }
        for i, (name, scores) in enumerate(zip(evaluation.classes, evaluation.per_class, strict=True))
    ]


def _confusion_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return the confusion matrix row by row, each cell as count and share of the row."""
    confusion = evaluation.main.confusion
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    return [
        {
            "name": name,
            "n": int(confusion[i].sum()),
            "cells": [
                {"count": int(count), "share": float(share), "right": i == j}
                for j, (count, share) in enumerate(zip(confusion[i], shares[i], strict=True))
            ],
        }
        for i, name in enumerate(evaluation.classes)
    ]
