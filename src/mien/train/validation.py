"""Measuring a network on the dev split, by the same metrics that `evaluate` uses."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.metrics.affect import concordance
from mien.metrics.classification import accuracy, balanced_accuracy, confusion_matrix, macro_f1
from mien.metrics.landmarks import mean_nme, nme_per_face
from mien.metrics.softmax import log_softmax
from mien.train.dataset import LabelledFaces


class DevPredictions(NamedTuple):
    """What the network says of some faces, as arrays.

    Attributes:
        indices: ``(N,)`` int64 of the faces.
        logits: ``(N, C)`` float32.
        landmarks: ``(N, 68, 2)`` float32, or None.
        valence_arousal: ``(N, 2)`` float32, or None.
    """

    indices: NDArray[np.int64]
    logits: NDArray[np.float32]
    landmarks: NDArray[np.float32] | None
    valence_arousal: NDArray[np.float32] | None


@dataclass(frozen=True)
class DevScores:
    """The dev metrics of one epoch, by name.

    Attributes:
        n: faces.
        values: ``loss`` (cross-entropy against the targets), ``accuracy``, ``balanced_accuracy``,
            ``macro_f1``, and where the faces have the labels ``nme``, ``valence_ccc``, ``arousal_ccc``.
    """

    n: int
    values: dict[str, float]


def join_predictions(parts: list[DevPredictions]) -> DevPredictions:
    """Put the readings of batches and ranks together, in the order of the faces, each face once."""
    indices = np.concatenate([part.indices for part in parts])
    order = np.argsort(indices)

    def joined(values: list[Any]) -> Any:
        return None if values[0] is None else np.concatenate(values)[order]

    return DevPredictions(
        indices[order],
        joined([part.logits for part in parts]),
        joined([part.landmarks for part in parts]),
        joined([part.valence_arousal for part in parts]),
    )


def score_dev(reading: DevPredictions, faces: LabelledFaces) -> DevScores:
    """Score a reading of all dev faces."""
    confusion = confusion_matrix(
        faces.labels, reading.logits.argmax(axis=1), n_classes=reading.logits.shape[1]
    )
    values: dict[str, float | None] = {
        "loss": _cross_entropy(reading.logits, faces.targets),
        "accuracy": float(accuracy(confusion)),
        "balanced_accuracy": float(balanced_accuracy(confusion)),
        "macro_f1": float(macro_f1(confusion)),
    }
    if reading.landmarks is not None:
        values["nme"] = mean_nme(nme_per_face(faces.landmarks, reading.landmarks))
    if reading.valence_arousal is not None:
        for column, name in enumerate(("valence", "arousal")):
            known = np.isfinite(faces.valence_arousal[:, column])
            values[f"{name}_ccc"] = concordance(
                faces.valence_arousal[known, column], reading.valence_arousal[known, column]
            )
    return DevScores(len(faces), {name: value for name, value in values.items() if value is not None})


def _cross_entropy(logits: NDArray[np.float32], targets: NDArray[np.float32]) -> float:
    return float(-(targets * log_softmax(logits)).sum(axis=1).mean())
