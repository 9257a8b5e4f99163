"""Calibration: whether 70% of the faces predicted with 70% confidence are correct.

References:
    [0] Guo et al., On Calibration of Modern Neural Networks, 2017, https://arxiv.org/abs/1706.04599: the
        expected calibration error over 15 equal bins of the top probability, and temperature scaling.
    [1] Platt, Probabilistic outputs for support vector machines, 1999: targets for sigmoid calibration.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

N_BINS = 15
# Networks are typically off by a factor of 2 or 3; beyond 50 the data do not determine the temperature.
TEMPERATURE_RANGE = (1 / 50, 50.0)
_GRID_POINTS = 60
_GOLDEN_STEPS = 60
_GOLDEN = (math.sqrt(5) - 1) / 2


class ReliabilityBin(NamedTuple):
    """The faces whose top probability lies in ``(low, high]``.

    Attributes:
        low: lower bound, in [0, 1].
        high: upper bound, in [0, 1].
        n: number of faces in the bin.
        confidence: their mean top probability; None if the bin is empty.
        accuracy: their accuracy; None if the bin is empty.
    """

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: float | None


def reliability_bins(
    confidence: NDArray[np.floating], correct: NDArray[np.bool_], *, n_bins: int = N_BINS
) -> tuple[ReliabilityBin, ...]:
    """Bin faces by the probability of their predicted class.

    Args:
        confidence: ``(N,)`` top probabilities in [0, 1].
        correct: ``(N,)`` whether the prediction was correct.
        n_bins: number of equal-width bins over [0, 1].

    Returns:
        All bins, including empty ones, from low to high.
    """
    index = np.clip(np.ceil(confidence.astype(np.float64) * n_bins).astype(np.int64) - 1, 0, n_bins - 1)
    counts = np.bincount(index, minlength=n_bins)
    confidences = np.bincount(index, weights=confidence, minlength=n_bins)
    hits = np.bincount(index, weights=correct, minlength=n_bins)
    return tuple(
        ReliabilityBin(
            low=i / n_bins,
            high=(i + 1) / n_bins,
            n=int(counts[i]),
            confidence=float(confidences[i] / counts[i]) if counts[i] else None,
            accuracy=float(hits[i] / counts[i]) if counts[i] else None,
        )
        for i in range(n_bins)
    )


def expected_calibration_error(bins: tuple[ReliabilityBin, ...]) -> float | None:
    """Return the mean gap between confidence and accuracy, weighted by faces, or None without faces.

    Example:
        >>> bins = reliability_bins(np.array([0.9, 0.9]), np.array([True, False]))
        >>> round(expected_calibration_error(bins), 3)
        0.4
    """
    total = sum(b.n for b in bins)
    if not total:
        return None
    return sum(
        b.n / total * abs(b.confidence - b.accuracy)
        for b in bins
        if b.confidence is not None and b.accuracy is not None
    )


def smooth_labels(labels: NDArray[np.integer], *, n_classes: int) -> NDArray[np.float64]:
    """Return ``(N, C)`` targets for `fit_temperature` that leave room for errors which few faces cannot show.

    After Platt [1], a class with n faces has the target (n + 1) / (n + 2); the rest is divided among the others.

    Example:
        >>> smooth_labels(np.array([0, 0, 1]), n_classes=2).round(2).tolist()
        [[0.75, 0.25], [0.75, 0.25], [0.33, 0.67]]
    """
    counts = np.bincount(labels, minlength=n_classes)[labels]
    targets = np.repeat((1 / (counts + 2) / max(1, n_classes - 1))[:, None], n_classes, axis=1)
    targets[np.arange(len(labels)), labels] = (counts + 1) / (counts + 2)
    return np.asarray(targets)


def fit_temperature(
    logits: NDArray[np.floating],
    targets: NDArray[np.generic],
    *,
    weights: NDArray[np.floating] | None = None,
) -> float:
    """Find the temperature T that minimizes the cross-entropy of ``softmax(logits / T)``.

    A grid search over log T is refined by a golden-section search around its best point. Cross-entropy is
    convex in 1/T, so there is a single minimum and no gradient is needed.

    Args:
        logits: ``(N, C)`` finite logits.
        targets: ``(N,)`` class indices, or ``(N, C)`` label distributions that sum to 1.
        weights: ``(N,)`` weights of the faces in the cross-entropy, not all 0; None: all the same.

    Returns:
        T within `TEMPERATURE_RANGE`; 1.0 without faces.

    Raises:
        ValueError: the shapes do not match, or a logit is not finite.
    """
    if logits.ndim != 2 or len(targets) != len(logits) or targets.ndim not in (1, 2):
        raise ValueError(
            f"`logits` must be (N, C) and `targets` (N,) or (N, C), got {logits.shape} and {targets.shape}"
        )
    if len(logits) == 0:
        return 1.0
    if not np.isfinite(logits).all():
        raise ValueError("`logits` must be finite")
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    # The mean logit under the targets is the part of the cross-entropy that is linear in 1/T.
    if targets.ndim == 1:
        target_logits = shifted[np.arange(len(shifted)), targets.astype(np.int64)]
    elif targets.shape == logits.shape:
        target_logits = (shifted * targets.astype(np.float64)).sum(axis=1)
    else:
        raise ValueError(f"`targets` must be {logits.shape} like `logits`, got {targets.shape}")
    expected = float(np.average(target_logits, weights=weights))

    def cross_entropy(log_temperature: float) -> float:
        scale = math.exp(-log_temperature)
        return float(
            np.average(np.log(np.exp(shifted * scale).sum(axis=1)), weights=weights) - expected * scale
        )

    grid = np.linspace(math.log(TEMPERATURE_RANGE[0]), math.log(TEMPERATURE_RANGE[1]), _GRID_POINTS)
    best = int(np.argmin([cross_entropy(float(point)) for point in grid]))
    low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, _GRID_POINTS - 1)])
    for _ in range(_GOLDEN_STEPS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if cross_entropy(left) <= cross_entropy(right):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)
