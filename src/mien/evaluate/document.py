"""The machine-readable half of a report: metrics.json and predictions.csv. docs/formats.md specifies both."""

import csv
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import mien
from mien.bundle import Outputs
from mien.evaluate.flip import FLIP_NOTE
from mien.evaluate.provenance import Provenance
from mien.evaluate.score import AFFECT_DIMENSIONS, AffectDimension, Evaluation, ProtocolScores, Truth
from mien.tables import CsvLines

REPORT_VERSION = 1


def build_metrics(evaluation: Evaluation, provenance: Provenance) -> dict[str, Any]:
    """Return the content of metrics.json: plain values, None where a figure does not exist."""
    main = evaluation.main
    metrics = {
        "format_version": REPORT_VERSION,
        "mien_version": mien.__version__,
        **_describe(provenance),
        "majority_baseline": {
            "class": main.majority_class,
            "accuracy": main.majority_share,
            "balanced_accuracy": main.chance,
        },
        "protocols": {name: _protocol(scores) for name, scores in evaluation.protocols.items()},
        "per_class": {
            name: asdict(scores)
            for name, scores in zip(evaluation.classes, evaluation.per_class, strict=True)
        },
        "confusion_matrix": {"labels": list(evaluation.classes), "counts": main.confusion.tolist()},
        "ece": evaluation.ece,
        "reliability": [asdict(bin_) for bin_ in evaluation.bins],
        "landmarks": _landmarks(evaluation),
        "valence_arousal": _affect(evaluation.affect),
    }
    if evaluation.flip_average is not None:
        metrics["flip_average"] = _flip_average(evaluation.flip_average)
    return metrics


def _flip_average(averaged: Evaluation) -> dict[str, Any]:
    return {
        "description": f"{FLIP_NOTE}.",
        "protocols": {name: _protocol(scores) for name, scores in averaged.protocols.items()},
        "ece": averaged.ece,
        "landmarks": _landmarks(averaged),
        "valence_arousal": _affect(averaged.affect),
    }


def _describe(provenance: Provenance) -> dict[str, Any]:
    return {
        "model": {
            "file": provenance.model_name,
            "sha256": provenance.model_sha256,
            **asdict(provenance.model),
        },
        "pack": {
            "folder": provenance.pack_name,
            "source": provenance.pack.source,
            "content_sha256": provenance.pack.content_sha256,
            "classes": list(provenance.pack.classes),
            "crop": provenance.pack.crop.to_dict(),
        },
        "split": provenance.split,
        "n_faces": provenance.n_faces,
        "selection": provenance.selection,
        "warnings": list(provenance.warnings()),
    }


def _protocol(scores: ProtocolScores) -> dict[str, Any]:
    return {
        "n": scores.protocol.n,
        "n_left_out": scores.protocol.n_left_out,
        "accuracy": scores.accuracy.value,
        "accuracy_ci95": list(scores.accuracy.ci95),
        "balanced_accuracy": scores.balanced_accuracy.value,
        "balanced_accuracy_ci95": list(scores.balanced_accuracy.ci95),
        "macro_f1": scores.macro_f1.value,
        "macro_f1_ci95": list(scores.macro_f1.ci95),
        "accuracy_at_train_shares": scores.accuracy_at_train_shares,
        "majority_class": scores.majority_class,
        "majority_share": scores.majority_share,
        "description": scores.protocol.description,
    }


def _landmarks(evaluation: Evaluation) -> dict[str, Any]:
    if evaluation.landmarks is None:
        return {"n": 0, "nme": None, "nme_ci95": None}
    nme = evaluation.landmarks.nme
    return {"n": evaluation.landmarks.n, "nme": nme.value, "nme_ci95": list(nme.ci95)}


def _affect(affect: dict[str, AffectDimension] | None) -> dict[str, Any] | None:
    if affect is None:
        return None
    dimensions = {
        name: {**asdict(dimension.scores), "ccc_ci95": dimension.ccc_ci95}
        for name, dimension in affect.items()
    }
    return {"n": max(dimension.scores.n for dimension in affect.values()), **dimensions}


def write_predictions(
    path: Path, keys: list[str], outputs: Outputs, *, truth: Truth, evaluation: Evaluation
) -> None:
    """Write predictions.csv: a row for every face of the split, in the pack's order.

    Columns: ``key,true,predicted``, ``p_<Class>`` for each of the model's classes, then ``nme`` and the
    true and predicted valence and arousal where model and faces have them. An empty cell is a value that
    this face lacks. Numbers have 9 digits, which gives float32 values back exactly.
    """
    classes = np.array(evaluation.classes)
    header = ["key", "true", "predicted", *(f"p_{name}" for name in classes)]
    header += ["nme"] if evaluation.landmarks is not None else []
    if evaluation.affect is not None:
        header += [f"{name}_{side}" for name in AFFECT_DIMENSIONS for side in ("true", "predicted")]
    predicted = classes[outputs.probabilities.argmax(axis=1)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(CsvLines(file))
        writer.writerow(header)
        for row, key in enumerate(keys):
            numbers = [*outputs.probabilities[row], *_further_values(row, outputs, truth, evaluation)]
            named = [key, truth.classes[truth.labels[row]], predicted[row]]
            writer.writerow([*named, *(_format(float(value)) for value in numbers)])


def _further_values(row: int, outputs: Outputs, truth: Truth, evaluation: Evaluation) -> Iterator[float]:
    if evaluation.landmarks is not None:
        yield evaluation.landmarks.errors[row]
    if evaluation.affect is not None and outputs.valence_arousal is not None:
        for column in range(len(AFFECT_DIMENSIONS)):
            yield truth.valence_arousal[row, column]
            yield outputs.valence_arousal[row, column]


def _format(value: float) -> str:
    return f"{value:.9g}" if np.isfinite(value) else ""
