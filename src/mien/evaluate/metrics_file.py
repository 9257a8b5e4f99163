"""The machine-readable part of a report: metrics.json and predictions.csv, as specified in docs/formats.md."""

import csv
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import mien
from mien.evaluate.flip import FLIP_NOTE
from mien.evaluate.provenance import Provenance
from mien.evaluate.score import AFFECT_DIMENSIONS, Evaluation, Truth
from mien.formats.onnx_model import Outputs
from mien.formats.pack.schema import NO_LABEL
from mien.runtime.csv_text import CsvLines

REPORT_VERSION = 2


def build_metrics(evaluation: Evaluation, provenance: Provenance) -> dict[str, Any]:
    """Return the content of metrics.json: plain values, None for undefined metrics."""
    main, model, pack = evaluation.main, provenance.model, provenance.pack
    scores = _scores(evaluation)
    metrics = {
        "format_version": REPORT_VERSION,
        "mien_version": mien.__version__,
        "model": {"file": provenance.model_name, "sha256": provenance.model_sha256, **asdict(model)},
        "pack": {
            "folder": provenance.pack_name,
            "source": pack.source,
            "terms": pack.terms,
            "content_sha256": pack.content_sha256,
            "classes": list(pack.classes),
            "crop": pack.crop.to_dict(),
        },
        "split": provenance.split,
        "n_faces": provenance.n_faces,
        "selection": provenance.selection,
        "warnings": list(provenance.warnings()),
        "majority_baseline": {
            "class": main.majority_class,
            "accuracy": main.majority_fraction,
            "balanced_accuracy": main.chance,
        },
        "protocols": scores.pop("protocols"),
        "per_class": {
            name: class_scores._asdict()
            for name, class_scores in zip(evaluation.classes, evaluation.per_class, strict=True)
        },
        "confusion_matrix": {"labels": list(evaluation.classes), "counts": main.confusion.tolist()},
        "ece": scores.pop("ece"),
        "reliability": [bin_._asdict() for bin_ in evaluation.bins],
        **scores,
    }
    if evaluation.flip_average is not None:
        metrics["flip_average"] = {"description": f"{FLIP_NOTE}.", **_scores(evaluation.flip_average)}
    return metrics


def _scores(evaluation: Evaluation) -> dict[str, Any]:
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
    landmarks: dict[str, Any] = {"n": 0, "nme": None, "nme_ci95": None}
    if evaluation.landmarks is not None:
        nme = evaluation.landmarks.nme
        landmarks = {"n": evaluation.landmarks.n, "nme": nme.value, "nme_ci95": list(nme.ci95)}
    affect: dict[str, Any] | None = None
    if evaluation.affect is not None:
        affect = {"n": max(dimension.scores.n for dimension in evaluation.affect.values())}
        for name, dimension in evaluation.affect.items():
            affect[name] = {**dimension.scores._asdict(), "ccc_ci95": dimension.ccc_ci95}
    return {
        "protocols": protocols,
        "ece": evaluation.ece,
        "landmarks": landmarks,
        "valence_arousal": affect,
    }


def write_predictions(
    path: Path, keys: list[str], outputs: Outputs, *, truth: Truth, evaluation: Evaluation
) -> None:
    """Write predictions.csv: one row per face of the split, in the pack's order.

    Columns: ``key,true,predicted``, ``p_<Class>`` for each of the model's classes, then ``nme`` and the true and
    predicted valence and arousal if both model and faces have them. Missing values are empty cells. Numbers have 9
    digits, so that float32 values round-trip exactly. ``true`` is empty for a face without a label.
    """
    classes = np.array(evaluation.classes)
    header = ["key", "true", "predicted", *(f"p_{name}" for name in classes)]
    columns: list[NDArray[np.floating]] = [outputs.probabilities]
    if evaluation.landmarks is not None:
        header.append("nme")
        columns.append(evaluation.landmarks.errors[:, None])
    if evaluation.affect is not None and outputs.valence_arousal is not None:
        for column, name in enumerate(AFFECT_DIMENSIONS):
            header += [f"{name}_true", f"{name}_predicted"]
            columns += [truth.valence_arousal[:, [column]], outputs.valence_arousal[:, [column]]]
    numbers = np.hstack([column.astype(np.float64) for column in columns])
    predicted = classes[outputs.probabilities.argmax(axis=1)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(CsvLines(file))
        writer.writerow(header)
        for key, label, answer, row in zip(keys, truth.labels, predicted, numbers, strict=True):
            cells = (f"{value:.9g}" if np.isfinite(value) else "" for value in row)
            name = "" if label == NO_LABEL else truth.classes[label]
            writer.writerow([key, name, answer, *cells])
