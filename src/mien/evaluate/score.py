"""From a model's outputs and the truth to every figure of the report: pure, on arrays."""

from collections.abc import Callable
from dataclasses import dataclass

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
    """What the annotators say of N faces.

    Attributes:
        classes: of the labels, in their order.
        labels: ``(N,)`` indices into `classes`.
        landmarks: ``(N, 68, 2)`` fractions of the crop, NaN where missing.
        valence_arousal: ``(N, 2)`` in [-1, 1], NaN where missing.
        train_counts: faces of each class in the training split, or empty where it is not known.
    """

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    landmarks: NDArray[np.float32]
    valence_arousal: NDArray[np.float32]
    train_counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval."""

    value: float
    ci95: Interval


@dataclass(frozen=True, slots=True)
class ProtocolScores:
    """The figures of one class protocol.

    Attributes:
        protocol: which faces counted, and how.
        confusion: ``(C, C)`` over the model's classes.
        accuracy: share of faces that is right.
        balanced_accuracy: mean recall.
        macro_f1: mean F1.
        n_classes: classes that the truth has here.
        majority_class: the most common of them.
        majority_share: its share: the accuracy of always answering it.
        accuracy_at_train_shares: accuracy if the classes were as common as in training; None if unknown.
    """

    protocol: ClassProtocol
    confusion: NDArray[np.int64]
    accuracy: Estimate
    balanced_accuracy: Estimate
    macro_f1: Estimate
    n_classes: int
    majority_class: str
    majority_share: float
    accuracy_at_train_shares: float | None

    @property
    def chance(self) -> float:
        """Balanced accuracy of an answer that does not look at the face."""
        return 1 / self.n_classes


@dataclass(frozen=True, slots=True)
class LandmarkScores:
    """The landmark error.

    Attributes:
        errors: ``(N,)`` NME of every face, NaN where it has no landmarks.
        n: faces that have landmarks.
        nme: their mean.
    """

    errors: NDArray[np.float64]
    n: int
    nme: Estimate


@dataclass(frozen=True, slots=True)
class AffectDimension:
    """Valence or arousal: its scores, and the interval of its concordance."""

    scores: AffectScores
    ccc_ci95: Interval | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Every figure of a report.

    Attributes:
        classes: the model's.
        protocols: by name, ``all`` first.
        per_class: scores under ``all``, in the order of `classes`.
        bins: reliability under ``all``.
        ece: expected calibration error under ``all``.
        landmarks: None where model or faces have none.
        affect: by dimension; None where model or faces have none.
        flip_average: the same figures of flip-averaged readings; None where they were not asked for.
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
    """Compute every figure.

    Args:
        outputs: what the model said of N faces.
        truth: what is known of the same faces, in the same order.
        classes: the model's.

    Raises:
        ValueError: no face has a class that the model knows.
    """
    protocols = class_protocols(
        outputs.probabilities, truth.labels, classes=classes, label_classes=truth.classes
    )
    everything = protocols[0]
    if everything.n == 0:
        raise ValueError(f"no face has one of the model's classes {classes}, they are of {truth.classes}")
    scored = {protocol.name: _score_protocol(protocol, classes, truth) for protocol in protocols}
    confidence = outputs.probabilities[everything.faces].max(axis=1)
    bins = reliability_bins(confidence, everything.truth == everything.predicted)
    return Evaluation(
        classes=classes,
        protocols=scored,
        per_class=per_class(scored["all"].confusion),
        bins=bins,
        ece=expected_calibration_error(bins),
        landmarks=_score_landmarks(outputs, truth),
        affect=_score_affect(outputs, truth),
    )


def _score_protocol(protocol: ClassProtocol, classes: tuple[str, ...], truth: Truth) -> ProtocolScores:
    confusion = confusion_matrix(protocol.truth, protocol.predicted, n_classes=len(classes))
    support = confusion.sum(axis=1)
    shares = np.array([truth.train_counts.get(name, 0) for name in classes], dtype=np.float64)
    has_shares = bool(shares[support > 0].sum())
    return ProtocolScores(
        protocol=protocol,
        confusion=confusion,
        accuracy=_estimate(confusion, accuracy),
        balanced_accuracy=_estimate(confusion, balanced_accuracy),
        macro_f1=_estimate(confusion, macro_f1),
        n_classes=int((support > 0).sum()),
        majority_class=classes[int(support.argmax())],
        majority_share=float(support.max() / support.sum()),
        accuracy_at_train_shares=float(reweighted_accuracy(confusion, shares)) if has_shares else None,
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


def _score_affect(outputs: Outputs, truth: Truth) -> dict[str, AffectDimension] | None:
    if outputs.valence_arousal is None or not np.isfinite(truth.valence_arousal).any():
        return None
    return {
        name: _score_dimension(truth.valence_arousal[:, column], outputs.valence_arousal[:, column])
        for column, name in enumerate(AFFECT_DIMENSIONS)
    }


def _score_dimension(truth: NDArray[np.float32], predicted: NDArray[np.float32]) -> AffectDimension:
    pairs = np.column_stack([truth, predicted])[np.isfinite(truth)].astype(np.float64)
    return AffectDimension(
        scores=score_affect(truth, predicted),
        ccc_ci95=bootstrap_rows(pairs, lambda rows: concordance(rows[:, 0], rows[:, 1])),
    )
