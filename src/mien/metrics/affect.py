"""Valence and arousal: concordance (CCC), correlation, RMSE and sign agreement, per dimension.

References:
    [0] Lin, A Concordance Correlation Coefficient to Evaluate Reproducibility, 1989.
    [1] Mollahosseini et al., AffectNet, 2017, https://arxiv.org/abs/1708.03985, section 4.3: SAGR.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class AffectScores(NamedTuple):
    """The scores of one dimension. An undefined score is None.

    Attributes:
        n: number of faces with this dimension annotated.
        ccc: concordance correlation coefficient, in [-1, 1].
        pearson: correlation, in [-1, 1].
        rmse: root mean squared error.
        sagr: sign agreement, the fraction of faces with the correct sign, in [0, 1].
    """

    n: int
    ccc: float | None
    pearson: float | None
    rmse: float | None
    sagr: float | None


def score_affect(truth: NDArray[np.floating], predicted: NDArray[np.floating]) -> AffectScores:
    """Return all scores of one dimension over the faces whose truth is not NaN.

    Args:
        truth: ``(N,)`` in [-1, 1], NaN where not annotated.
        predicted: ``(N,)`` finite.

    Raises:
        ValueError: the arrays differ in shape.
    """
    if truth.shape != predicted.shape or truth.ndim != 1:
        raise ValueError(
            f"`truth` and `predicted` must both be (N,), got {truth.shape} and {predicted.shape}"
        )
    known = np.isfinite(truth)
    truth, predicted = truth[known].astype(np.float64), predicted[known].astype(np.float64)
    if not len(truth):
        return AffectScores(n=0, ccc=None, pearson=None, rmse=None, sagr=None)
    return AffectScores(
        n=len(truth),
        ccc=concordance(truth, predicted),
        pearson=pearson(truth, predicted),
        rmse=rmse(truth, predicted),
        sagr=float(np.mean(np.sign(truth) == np.sign(predicted))),
    )


def concordance(truth: NDArray[np.floating], predicted: NDArray[np.floating]) -> float | None:
    """Return ``2 cov / (var + var + (mean - mean)^2)`` with variances over N.

    A constant prediction of a varying truth has concordance 0.

    Args:
        truth: ``(N,)`` without NaN.
        predicted: ``(N,)`` without NaN.

    Returns:
        A value in [-1, 1], or None for fewer than two faces or a constant truth.
    """
    if len(truth) < 2 or _is_constant(truth):
        return None
    truth_centered, predicted_centered = truth - truth.mean(), predicted - predicted.mean()
    variances = (truth_centered**2).mean() + (predicted_centered**2).mean()
    denominator = variances + (truth.mean() - predicted.mean()) ** 2
    return float(2 * (truth_centered * predicted_centered).mean() / denominator) if denominator > 0 else None


def pearson(truth: NDArray[np.floating], predicted: NDArray[np.floating]) -> float | None:
    """Return the correlation, or None for fewer than two faces or if either array is constant."""
    if len(truth) < 2 or _is_constant(truth) or _is_constant(predicted):
        return None
    truth_centered, predicted_centered = truth - truth.mean(), predicted - predicted.mean()
    norms = math.sqrt(float((truth_centered**2).sum())) * math.sqrt(float((predicted_centered**2).sum()))
    if norms == 0:
        return None
    return float(np.clip((truth_centered * predicted_centered).sum() / norms, -1, 1))


def rmse(truth: NDArray[np.floating], predicted: NDArray[np.floating]) -> float | None:
    """Return the root mean squared error, or None without a face."""
    return math.sqrt(float(np.mean((predicted - truth) ** 2))) if len(truth) else None


# The same of ``(N, 2)`` rows of truth and prediction without NaN, as `ReportedMetric.statistic` takes them.


def ccc_of_rows(rows: NDArray[np.floating]) -> float | None:
    """Return the concordance."""
    return concordance(rows[:, 0], rows[:, 1])


def pearson_of_rows(rows: NDArray[np.floating]) -> float | None:
    """Return the correlation."""
    return pearson(rows[:, 0], rows[:, 1])


def rmse_of_rows(rows: NDArray[np.floating]) -> float | None:
    """Return the root mean squared error."""
    return rmse(rows[:, 0], rows[:, 1])


def _is_constant(values: NDArray[np.floating]) -> bool:
    return bool(values.min() == values.max())


def dev_scores(
    truth: NDArray[np.floating], predicted: NDArray[np.floating], _annotations: object = None
) -> dict[str, float | None]:
    """Return the dev metrics of ``(N, 2)`` valence and arousal, NaN where not annotated."""
    scores = {}
    for column, name in enumerate(("valence", "arousal")):
        known = np.isfinite(truth[:, column])
        scores[f"{name}_ccc"] = concordance(truth[known, column], predicted[known, column])
    valence, arousal = scores.values()
    mean = None if valence is None or arousal is None else (valence + arousal) / 2
    return {**scores, "mean_ccc": mean}
