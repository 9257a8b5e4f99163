"""Multinomial logistic regression with an L2 penalty, for many more features than faces.

It minimizes ``sum_i s_i * cross_entropy_i + strength / 2 * |W|^2`` with weights s that sum to 1 and a bias without a
penalty. The solution lies in the span of the faces, so the search is done in their coordinates (a singular value
decomposition), with L-BFGS, whose first step divides by a bound on the curvature [0].

References:
    [0] Böhning 1992, Multinomial logistic regression algorithm, https://doi.org/10.1007/BF00048682: the Hessian is at
        most half of that of a quadratic.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.metrics.softmax import log_softmax

# Differences of probabilities far below this are invisible.
_TOLERANCE = 1e-6
_MAX_STEPS = 500
_N_PAIRS = 10


class LinearLayer(NamedTuple):
    """Logits are ``features @ weight.T + bias``.

    Attributes:
        weight: ``(C, F)``.
        bias: ``(C,)``.
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    def logits(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return ``(N, C)`` logits of ``(N, F)`` features."""
        return np.asarray(features @ self.weight.T + self.bias)


def fit_path(
    features: NDArray[np.floating],
    labels: NDArray[np.int64],
    weights: NDArray[np.floating],
    *,
    n_classes: int,
    strengths: Sequence[float],
) -> list[LinearLayer]:
    """Return the layer for each strength. Features are measured in units of their root mean square distance to the mean.

    Args:
        features: ``(N, F)``.
        labels: ``(N,)`` class indices.
        weights: ``(N,)`` positive weights of the faces, of any sum.
        n_classes: number of classes C.
        strengths: of the penalty, each more than 0; fastest in descending order.
    """
    share = np.asarray(weights, dtype=np.float64) / np.sum(weights)
    mean = share @ features
    centered = features.astype(np.float64) - mean
    unit = float(np.sqrt(share @ (centered**2).sum(axis=1))) or 1.0
    left, singular, axes = np.linalg.svd(centered / unit, full_matrices=False)
    points = np.column_stack([left * singular, np.ones(len(features))])
    targets = np.eye(n_classes)[labels]
    curvature = 0.5 * share @ points**2
    penalized = np.append(np.ones(len(singular)), 0.0)

    def loss(flat: NDArray[np.float64], strength: float) -> tuple[float, NDArray[np.float64]]:
        values = flat.reshape(n_classes, -1)
        log_probabilities = log_softmax(points @ values.T)
        gradient = (share[:, None] * (np.exp(log_probabilities) - targets)).T @ points
        penalty = strength * penalized * values
        total = -float(share @ (log_probabilities * targets).sum(axis=1))
        return total + 0.5 * float((penalty * values).sum()), (gradient + penalty).ravel()

    solution, layers = np.zeros(n_classes * points.shape[1]), []
    for strength in strengths:
        diagonal = np.tile(curvature + strength * penalized + 1e-12, n_classes)
        solution = minimize(partial(loss, strength=strength), solution, diagonal)
        values = solution.reshape(n_classes, -1)
        weight = values[:, :-1] @ axes / unit
        bias = values[:, -1] - weight @ mean
        layers.append(LinearLayer(weight, bias - bias.mean()))
    return layers


def minimize(
    loss: Callable[[NDArray[np.float64]], tuple[float, NDArray[np.float64]]],
    start: NDArray[np.float64],
    diagonal: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the minimum of a smooth convex function: L-BFGS with step halving.

    Args:
        loss: returns value and gradient.
        start: where to begin.
        diagonal: an estimate of the curvature along each axis.
    """
    point, (value, gradient) = start, loss(start)
    steps: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    for _ in range(_MAX_STEPS):
        if np.abs(gradient).max() < _TOLERANCE:
            break
        direction, factors = -gradient, []
        for moved, changed in reversed(steps):
            factors.append(moved @ direction / (moved @ changed))
            direction = direction - factors[-1] * changed
        direction = direction / diagonal
        for (moved, changed), factor in zip(steps, reversed(factors), strict=True):
            direction = direction + (factor - changed @ direction / (moved @ changed)) * moved
        slope, size = float(gradient @ direction), 1.0
        while True:
            candidate = point + size * direction
            new_value, new_gradient = loss(candidate)
            if new_value <= value + 1e-4 * size * slope or size < 1e-10:
                break
            size /= 2
        moved, changed = candidate - point, new_gradient - gradient
        if moved @ changed > 1e-14 * (changed @ changed):
            steps = [*steps[-_N_PAIRS + 1 :], (moved, changed)]
        if new_value >= value:
            break
        point, value, gradient = candidate, new_value, new_gradient
    return point
