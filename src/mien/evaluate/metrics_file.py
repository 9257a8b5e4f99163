"""The machine-readable part of a report: metrics.json and predictions.csv, as specified in docs/formats.md."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import mien
from mien.evaluate.balanced_prior import BALANCED_PRIOR_NOTE
from mien.evaluate.flip import FLIP_NOTE
from mien.evaluate.provenance import Provenance
from mien.evaluate.score import Evaluation, Truth
from mien.formats.pack.schema import NO_LABEL
from mien.runtime.csv_text import CsvLines
from mien.tasks import Values

REPORT_VERSION = 2


def build_metrics(evaluation: Evaluation, provenance: Provenance) -> dict[str, Any]:
    """Return the content of metrics.json: plain values, None for undefined metrics."""
    main, model, pack = evaluation.main, provenance.model, provenance.pack
    scores = build_scores(evaluation)
    metrics = {
        "format_version": REPORT_VERSION,
        "mien_version": mien.__version__,
        "model": {"file": provenance.model_name, "sha256": provenance.model_sha256, **model.to_dict()},
        "pack": {
            "folder": provenance.pack_name,
            "source": pack.source,
            "terms": pack.terms,
            **({"landmarks_by": pack.landmarks_by} if pack.landmarks_by else {}),
            "content_sha256": pack.content_sha256,
            "classes": list(pack.classes),
            "crop": pack.crop.to_dict(),
        },
        "split": provenance.split,
        "n_faces": provenance.n_faces,
        "selection": provenance.selection,
        "warnings": list(provenance.warnings()),
        "majority_baseline": None
        if main is None
        else {
            "class": main.majority_class,
            "accuracy": main.majority_fraction,
            "balanced_accuracy": main.chance,
        },
        "protocols": scores.pop("protocols"),
        "per_class": {
            name: class_scores._asdict()
            for name, class_scores in zip(evaluation.classes, evaluation.per_class, strict=main is not None)
        },
        "confusion_matrix": None
        if main is None
        else {"labels": list(evaluation.classes), "counts": main.confusion.tolist()},
        "ece": scores.pop("ece"),
        "reliability": [bin_._asdict() for bin_ in evaluation.bins],
        **scores,
        "balanced_prior": None,
    }
    if evaluation.balanced_prior is not None:
        balanced = build_scores(evaluation.balanced_prior)
        metrics["balanced_prior"] = {
            "description": BALANCED_PRIOR_NOTE,
            "protocols": balanced["protocols"],
            "ece": balanced["ece"],
        }
    if evaluation.flip_average is not None:
        metrics["flip_average"] = {"description": FLIP_NOTE, **build_scores(evaluation.flip_average)}
    if evaluation.groups:
        metrics["groups"] = {grouped.column: grouped.to_dict() for grouped in evaluation.groups}
    if evaluation.counterfactual is not None:
        metrics["counterfactual"] = evaluation.counterfactual.to_dict()
    return metrics


def build_scores(evaluation: Evaluation) -> dict[str, Any]:
    """Return the metrics that a report has for plain and for flip-averaged predictions."""
    protocols = {
        name: {
            "n": scores.protocol.n,
            "n_excluded": scores.protocol.n_excluded,
            "accuracy": scores.accuracy.value,
            "accuracy_ci95": list(scores.accuracy.ci95),
            "balanced_accuracy": scores.balanced_accuracy.value,
            "balanced_accuracy_ci95": list(scores.balanced_accuracy.ci95),
            "macro_f1": scores.macro_f1.value,
            "macro_f1_ci95": list(scores.macro_f1.ci95),
            "accuracy_at_train_prior": scores.accuracy_at_train_prior,
            "majority_class": scores.majority_class,
            "majority_fraction": scores.majority_fraction,
            "description": scores.protocol.description,
        }
        for name, scores in evaluation.protocols.items()
    }
    return {
        "protocols": protocols,
        "ece": evaluation.ece,
        # These keys always exist, those of optional tasks only if there are scores.
        "landmarks": {"n": 0, "nme": None, "nme_ci95": None},
        "valence_arousal": None,
        **{task: scores.to_dict() for task, scores in evaluation.tasks.items()},
    }


def write_predictions(
    path: Path, keys: list[str], outputs: Values, *, truth: Truth, evaluation: Evaluation
) -> None:
    """Write predictions.csv: one row per face of the split, in the pack's order.

    Columns: ``key,true,predicted``, ``p_<Class>`` for each of the model's classes, then those of the tasks that both model
    and faces have, such as ``nme`` and ``valence_true,valence_predicted``. Missing values are empty cells. Numbers have 9
    digits, so that float32 values round-trip exactly. ``true`` is empty for a face without a label.
    """
    classes = np.array(evaluation.classes)
    header = ["key", "true", "predicted", *(f"p_{name}" for name in classes)]
    columns: list[NDArray[np.floating]] = [outputs["expression"]]
    for scores in evaluation.tasks.values():
        for name, values in scores.columns().items():
            header.append(name)
            columns.append(values[:, None])
    numbers = np.hstack([column.astype(np.float64) for column in columns])
    predicted = classes[outputs["expression"].argmax(axis=1)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(CsvLines(file))
        writer.writerow(header)
        for key, label, answer, row in zip(keys, truth.labels, predicted, numbers, strict=True):
            cells = (f"{value:.9g}" if np.isfinite(value) else "" for value in row)
            name = "" if label == NO_LABEL else truth.classes[label]
            writer.writerow([key, name, answer, *cells])
