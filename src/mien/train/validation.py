"""Evaluating a network on the dev split, with the same metrics as `evaluate`."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.formats.pack.schema import NO_LABEL
from mien.metrics.affect import concordance
from mien.metrics.classification import accuracy, balanced_accuracy, confusion_matrix, macro_f1
from mien.metrics.landmarks import mean_nme, nme_per_face
from mien.metrics.softmax import log_softmax
from mien.train.dataset import LabeledFaces


class DevPredictions(NamedTuple):
    """The network's outputs for some faces, as arrays.

    Attributes:
        indices: ``(N,)`` int64 indices of the faces.
        logits: ``(N, C)`` float32.
        landmarks: ``(N, 68, 2)`` float32, or None.
        valence_arousal: ``(N, 2)`` float32, or None.
    """

    indices: NDArray[np.int64]
    logits: NDArray[np.float32]
    landmarks: NDArray[np.float32] | None
    valence_arousal: NDArray[np.float32] | None


class DevScores(NamedTuple):
    """The dev metrics of one epoch, by name.

    Attributes:
        n: number of faces with an expression label; the others only count for the other metrics.
        values: ``loss`` (cross-entropy against the targets), ``accuracy``, ``balanced_accuracy``,
            ``macro_f1``, and if the faces have the labels ``nme``, ``valence_ccc``, ``arousal_ccc``.
    """

    n: int
    values: dict[str, float]


def join_predictions(parts: list[DevPredictions]) -> DevPredictions:
    """Concatenate the predictions of batches and ranks, in the order of the faces."""
    indices = np.concatenate([part.indices for part in parts])
    order = np.argsort(indices)

    def concatenate(values: list[Any]) -> Any:
        return None if values[0] is None else np.concatenate(values)[order]

    return DevPredictions(
        indices[order],
        concatenate([part.logits for part in parts]),
        concatenate([part.landmarks for part in parts]),
        concatenate([part.valence_arousal for part in parts]),
    )


def score_dev(predictions: DevPredictions, faces: LabeledFaces) -> DevScores:
    """Score the predictions for all dev faces."""
    is_labeled = faces.labels != NO_LABEL
    logits = predictions.logits[is_labeled]
    confusion = confusion_matrix(faces.labels[is_labeled], logits.argmax(axis=1), n_classes=logits.shape[1])
    values: dict[str, float | None] = {
        "loss": float(-(faces.targets[is_labeled] * log_softmax(logits)).sum(axis=1).mean()),
        "accuracy": float(accuracy(confusion)),
        "balanced_accuracy": float(balanced_accuracy(confusion)),
        "macro_f1": float(macro_f1(confusion)),
    }
    if predictions.landmarks is not None:
        values["nme"] = mean_nme(nme_per_face(faces.landmarks, predictions.landmarks))
    if predictions.valence_arousal is not None:
        for column, name in enumerate(("valence", "arousal")):
            known = np.isfinite(faces.valence_arousal[:, column])
            values[f"{name}_ccc"] = concordance(
                faces.valence_arousal[known, column], predictions.valence_arousal[known, column]
            )
    return DevScores(
        int(is_labeled.sum()), {name: value for name, value in values.items() if value is not None}
    )
