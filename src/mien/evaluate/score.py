"""From a model's outputs and the ground truth to all metrics of the report: pure functions on arrays."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mien.evaluate.counterfactual import CounterfactualScores
from mien.evaluate.groups import GroupedScores
from mien.evaluate.task_scores import Estimate, TaskScores
from mien.formats.pack.schema import NO_LABEL
from mien.metrics.bootstrap import bootstrap_confusion
from mien.metrics.calibration import ReliabilityBin, expected_calibration_error, reliability_bins
from mien.metrics.classification import (
    ClassScores,
    accuracy,
    balanced_accuracy,
    confusion_matrix,
    macro_f1,
    per_class,
    reweighted_accuracy,
)
from mien.metrics.protocols import ClassProtocol, class_protocols
from mien.tasks import NO_ANNOTATIONS, TASKS, Annotations, Values, align_columns


@dataclass(frozen=True, slots=True)
class Truth:
    """The annotations of N faces.

    Attributes:
        classes: classes of the labels.
        labels: ``(N,)`` indices into `classes`, `NO_LABEL` for a face without an expression label.
        values: ``(N, *shape)`` of other tasks, with the task's mark where missing.
        train_counts: number of faces per class in the training split, or empty if unknown.
        annotations: the columns of optional tasks in `values`.
    """

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    values: Values
    train_counts: dict[str, int]
    annotations: Annotations = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProtocolScores:
    """The metrics of one class protocol.

    Attributes:
        protocol: which faces count, and how.
        confusion: ``(C, C)`` over the model's classes.
        accuracy: top-1 accuracy.
        balanced_accuracy: mean recall.
        macro_f1: mean F1.
        n_classes: number of classes that occur in the truth.
        majority_class: the most common class.
        majority_fraction: its fraction of the faces, the accuracy of always predicting it.
        accuracy_at_train_prior: accuracy under the class distribution of the training split; None if unknown.
    """

    protocol: ClassProtocol
    confusion: NDArray[np.int64]
    accuracy: Estimate
    balanced_accuracy: Estimate
    macro_f1: Estimate
    n_classes: int
    majority_class: str
    majority_fraction: float
    accuracy_at_train_prior: float | None

    @property
    def chance(self) -> float:
        """Balanced accuracy of a constant or random prediction."""
        return 1 / self.n_classes


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All metrics of a report.

    Attributes:
        classes: the model's classes.
        protocols: scores by protocol name, ``all`` first; empty if no face has an expression label.
        per_class: scores under ``all``, in the order of `classes`; empty likewise, as the bins are.
        bins: reliability bins under ``all``.
        ece: expected calibration error under ``all``.
        tasks: scores of the other tasks that both the model and the faces have.
        flip_average: the metrics of flip-averaged predictions; None if not requested.
        balanced_prior: the metrics of the expression with the prior `balanced`; None if the model does not record the
            class fractions that it was trained on.
        groups: the metrics by groups of faces; empty if not requested.
        counterfactual: the answers to drawn faces; None if not requested.
    """

    classes: tuple[str, ...]
    protocols: dict[str, ProtocolScores]
    per_class: tuple[ClassScores, ...]
    bins: tuple[ReliabilityBin, ...]
    ece: float | None
    tasks: dict[str, TaskScores]
    flip_average: "Evaluation | None" = None
    balanced_prior: "Evaluation | None" = None
    groups: tuple[GroupedScores, ...] = ()
    counterfactual: CounterfactualScores | None = None

    @property
    def main(self) -> ProtocolScores | None:
        """The protocol ``all``; None if no face has an expression label."""
        return self.protocols.get("all")


def score(
    outputs: Values, truth: Truth, *, classes: tuple[str, ...], annotations: Annotations = NO_ANNOTATIONS
) -> Evaluation:
    """Compute all metrics.

    Args:
        outputs: the model's outputs for N faces.
        truth: the annotations of the same faces, in the same order.
        classes: the model's classes.
        annotations: the columns of the model's optional tasks.

    Raises:
        ValueError: faces have labels, but none a class that the model knows.
    """
    probabilities = outputs["expression"]
    scored: dict[str, ProtocolScores] = {}
    bins: tuple[ReliabilityBin, ...] = ()
    if (truth.labels != NO_LABEL).any():
        protocols = class_protocols(probabilities, truth.labels, classes=classes, label_classes=truth.classes)
        everything = protocols[0]
        if everything.n == 0:
            raise ValueError(
                f"no face has one of the model's classes {classes}, the labels are {truth.classes}"
            )
        scored = {protocol.name: _score_protocol(protocol, classes, truth) for protocol in protocols}
        confidence = probabilities[everything.faces].max(axis=1)
        bins = tuple(reliability_bins(confidence, everything.truth == everything.predicted))
    tasks = {}
    for name, predicted in outputs.items():
        if TASKS[name].score is None or name not in truth.values:
            continue
        values = align_columns(name, truth.values[name], truth.annotations, annotations)
        found = TASKS[name].resolve("score")(values, predicted, annotations, truth.annotations)
        if found is not None:
            tasks[name] = found
    return Evaluation(
        classes=classes,
        protocols=scored,
        per_class=per_class(scored["all"].confusion) if scored else (),
        bins=bins,
        ece=expected_calibration_error(bins) if bins else None,
        tasks=tasks,
    )


def _score_protocol(protocol: ClassProtocol, classes: tuple[str, ...], truth: Truth) -> ProtocolScores:
    confusion = confusion_matrix(protocol.truth, protocol.predicted, n_classes=len(classes))
    support = confusion.sum(axis=1)
    prior = np.array([truth.train_counts.get(name, 0) for name in classes], dtype=np.float64)
    is_prior_known = bool(prior[support > 0].sum())
    return ProtocolScores(
        protocol=protocol,
        confusion=confusion,
        accuracy=_estimate(confusion, accuracy),
        balanced_accuracy=_estimate(confusion, balanced_accuracy),
        macro_f1=_estimate(confusion, macro_f1),
        n_classes=int((support > 0).sum()),
        majority_class=classes[int(support.argmax())],
        majority_fraction=float(support.max() / support.sum()),
        accuracy_at_train_prior=float(reweighted_accuracy(confusion, prior)) if is_prior_known else None,
    )


def _estimate(
    confusion: NDArray[np.int64], statistic: Callable[[NDArray[np.integer]], NDArray[np.float64]]
) -> Estimate:
    return Estimate(float(statistic(confusion)), bootstrap_confusion(confusion, statistic))
