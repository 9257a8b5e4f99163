"""From a model's outputs and the ground truth to all metrics of the report: pure functions on arrays."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.formats.onnx_model import Outputs
from mien.metrics.affect import AffectScores, concordance, score_affect
from mien.metrics.bootstrap import Interval, bootstrap_confusion, bootstrap_rows
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
from mien.metrics.landmarks import mean_nme, nme_per_face
from mien.metrics.protocols import ClassProtocol, class_protocols

AFFECT_DIMENSIONS = ("valence", "arousal")


@dataclass(frozen=True, slots=True)
class Truth:
    """The annotations of N faces.

    Attributes:
        classes: classes of the labels.
        labels: ``(N,)`` indices into `classes`, `NO_LABEL` for a face without one.
        landmarks: ``(N, 68, 2)`` fractions of the crop, NaN where missing.
        valence_arousal: ``(N, 2)`` in [-1, 1], NaN where missing.
        train_counts: number of faces per class in the training split, or empty if unknown.
    """

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    landmarks: NDArray[np.float32]
    valence_arousal: NDArray[np.float32]
    train_counts: dict[str, int]


class Estimate(NamedTuple):
    """The value of a metric with its 95 % interval."""

    value: float
    ci95: Interval


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


class LandmarkScores(NamedTuple):
    """The landmark error.

    Attributes:
        errors: ``(N,)`` NME per face, NaN for faces without landmarks.
        n: number of faces with landmarks.
        nme: mean of the errors.
    """

    errors: NDArray[np.float64]
    n: int
    nme: Estimate


class AffectDimension(NamedTuple):
    """Valence or arousal: its scores, and the interval of its CCC."""

    scores: AffectScores
    ccc_ci95: Interval | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All metrics of a report.

    Attributes:
        classes: the model's classes.
        protocols: scores by protocol name, ``all`` first.
        per_class: scores under ``all``, in the order of `classes`.
        bins: reliability bins under ``all``.
        ece: expected calibration error under ``all``.
        landmarks: landmark error; None if the model or the faces have no landmarks.
        affect: scores by dimension; None if the model or the faces have none.
        flip_average: the metrics of flip-averaged predictions; None if not requested.
    """

    classes: tuple[str, ...]
    protocols: dict[str, ProtocolScores]
    per_class: tuple[ClassScores, ...]
    bins: tuple[ReliabilityBin, ...]
    ece: float | None
    landmarks: LandmarkScores | None
    affect: dict[str, AffectDimension] | None
    flip_average: "Evaluation | None" = None

    @property
    def main(self) -> ProtocolScores:
        """The protocol ``all``."""
        return self.protocols["all"]


def score(outputs: Outputs, truth: Truth, *, classes: tuple[str, ...]) -> Evaluation:
    """Compute all metrics.

    Args:
        outputs: the model's outputs for N faces.
        truth: the annotations of the same faces, in the same order.
        classes: the model's classes.

    Raises:
        ValueError: no face has a class that the model knows.
    """
    protocols = class_protocols(
        outputs.probabilities, truth.labels, classes=classes, label_classes=truth.classes
    )
    everything = protocols[0]
    if everything.n == 0:
        raise ValueError(f"no face has one of the model's classes {classes}, the labels are {truth.classes}")
    scored = {protocol.name: _score_protocol(protocol, classes, truth) for protocol in protocols}
    confidence = outputs.probabilities[everything.faces].max(axis=1)
    bins = reliability_bins(confidence, everything.truth == everything.predicted)
    affect = None
    if outputs.valence_arousal is not None and np.isfinite(truth.valence_arousal).any():
        affect = {
            name: _score_dimension(truth.valence_arousal[:, column], outputs.valence_arousal[:, column])
            for column, name in enumerate(AFFECT_DIMENSIONS)
        }
    return Evaluation(
        classes=classes,
        protocols=scored,
        per_class=per_class(scored["all"].confusion),
        bins=bins,
        ece=expected_calibration_error(bins),
        landmarks=_score_landmarks(outputs, truth),
        affect=affect,
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


def _score_landmarks(outputs: Outputs, truth: Truth) -> LandmarkScores | None:
    if outputs.landmarks is None:
        return None
    errors = nme_per_face(truth.landmarks, outputs.landmarks)
    known = errors[np.isfinite(errors)]
    nme, interval = mean_nme(known), bootstrap_rows(known, mean_nme)
    if nme is None or interval is None:
        return None
    return LandmarkScores(errors=errors, n=len(known), nme=Estimate(nme, interval))


def _score_dimension(truth: NDArray[np.float32], predicted: NDArray[np.float32]) -> AffectDimension:
    pairs = np.column_stack([truth, predicted])[np.isfinite(truth)].astype(np.float64)
    return AffectDimension(
        scores=score_affect(truth, predicted),
        ccc_ci95=bootstrap_rows(pairs, lambda rows: concordance(rows[:, 0], rows[:, 1])),
    )
