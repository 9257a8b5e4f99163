"""Evaluating a network on the dev split, with the same metrics as `evaluate`."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.formats.pack.schema import NO_LABEL
from mien.metrics.softmax import log_softmax
from mien.tasks import NO_ANNOTATIONS, TASKS, Annotations, Values
from mien.train.dataset import LabeledFaces


class DevPredictions(NamedTuple):
    """The network's outputs for some faces, as arrays.

    Attributes:
        indices: ``(N,)`` int64 indices of the faces.
        outputs: ``(N, *shape)`` float32 by task, decoded; the expression's are logits.
    """

    indices: NDArray[np.int64]
    outputs: Values


class DevScores(NamedTuple):
    """The dev metrics of one epoch, by name.

    Attributes:
        n: number of faces with an expression label; the others only count for the other metrics.
        values: ``loss`` (cross-entropy against the targets), ``accuracy``, ``balanced_accuracy``,
            ``macro_f1``, and the `Task.dev_scores` of tasks that the faces have labels for.
    """

    n: int
    values: dict[str, float]


def join_predictions(parts: list[DevPredictions]) -> DevPredictions:
    """Concatenate the predictions of batches and ranks, in the order of the faces."""
    indices = np.concatenate([part.indices for part in parts])
    order = np.argsort(indices)
    tasks = parts[0].outputs
    outputs = {task: np.concatenate([part.outputs[task] for part in parts])[order] for task in tasks}
    return DevPredictions(indices[order], outputs)


def score_dev(
    predictions: DevPredictions, faces: LabeledFaces, annotations: Annotations = NO_ANNOTATIONS
) -> DevScores:
    """Score the predictions for all dev faces."""
    is_labeled = faces.labels != NO_LABEL
    log_probabilities = log_softmax(predictions.outputs["expression"][is_labeled])
    values: dict[str, float | None] = {
        "loss": float(-(faces.targets["expression"][is_labeled] * log_probabilities).sum(axis=1).mean())
    }
    for task, output in predictions.outputs.items():
        score = TASKS[task].resolve("dev_scores")
        if task == "expression":
            values |= score(faces.labels[is_labeled], output[is_labeled], annotations)
        else:
            values |= score(faces.targets[task], output, annotations)
    return DevScores(
        int(is_labeled.sum()), {name: value for name, value in values.items() if value is not None}
    )
