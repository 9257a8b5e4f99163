"""Action units: F1 of presence, and for intensities the intraclass correlation, per unit.

An intensity counts as present from 2 on, as in the protocol of DISFA.

References:
    [0] Shrout and Fleiss, Intraclass correlations, 1979, https://doi.org/10.1037/0033-2909.86.2.420: ICC(3,1), the
        consistency of two fixed raters, here the annotation and the prediction.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.faces.action_units import ActionUnits, Kind, is_present
from mien.metrics.bootstrap import Interval, percentile_interval, resample_sums
from mien.tasks import Annotations

# The sums over faces, per unit, that all scores are functions of.
_N, _TRUE, _PREDICTED, _BOTH, _X, _Y, _XX, _YY, _XY = range(9)


class UnitScores(NamedTuple):
    """The scores of one unit. An undefined score is None.

    Attributes:
        n: number of faces with the unit annotated.
        n_present: number of them that show it.
        prevalence: fraction of them that show it.
        f1: F1 of presence; None if the unit is neither annotated as present nor predicted.
        f1_ci95: its interval.
        icc: ICC(3,1) of intensities, in [-1, 1]; None without intensities and for a constant annotation.
        icc_ci95: its interval.
    """

    n: int
    n_present: int
    prevalence: float | None
    f1: float | None
    f1_ci95: Interval | None
    icc: float | None
    icc_ci95: Interval | None


class UnitsSummary(NamedTuple):
    """The scores of all units, and their means over the units in which they are defined, with 95% intervals."""

    units: tuple[UnitScores, ...]
    macro_f1: float | None
    macro_f1_ci95: Interval | None
    mean_icc: float | None
    mean_icc_ci95: Interval | None


def score_units(
    truth: NDArray[np.floating],
    predicted: NDArray[np.floating],
    *,
    truth_kind: Kind,
    predicted_kind: Kind,
) -> UnitsSummary:
    """Score ``(N, K)`` annotations and predictions of K units.

    Args:
        truth: NaN where not annotated.
        predicted: probabilities, or intensities.
        truth_kind: what the annotations are.
        predicted_kind: what the predictions are. The intraclass correlation needs intensities on both sides.
    """
    sums = _sums(truth, predicted, truth_kind, predicted_kind)
    total = sums.sum(axis=0)
    resampled = resample_sums(sums.reshape(len(sums), -1)).reshape(-1, *total.shape)
    has_icc = truth_kind == predicted_kind == "intensity"
    f1, f1_draws = _f1(total), _f1(resampled)
    icc, icc_draws = _icc(total), _icc(resampled)
    units = []
    for k, unit in enumerate(total):
        n, n_present = int(unit[_N]), int(unit[_TRUE])
        units.append(
            UnitScores(
                n,
                n_present,
                n_present / n if n else None,
                *_estimate(f1[k], f1_draws[:, k]),
                *(_estimate(icc[k], icc_draws[:, k]) if has_icc else (None, None)),
            )
        )
    means = [_estimate(_mean(f1), _mean(f1_draws))]
    means.append(_estimate(_mean(icc), _mean(icc_draws)) if has_icc else (None, None))
    return UnitsSummary(tuple(units), *means[0], *means[1])


def dev_scores(
    truth: NDArray[np.floating], predicted: NDArray[np.floating], annotations: Annotations
) -> dict[str, float | None]:
    """Return the mean scores of ``(N, K)`` annotations and predictions of one kind, without intervals."""
    units: ActionUnits = annotations["action_units"]
    total = _sums(truth, predicted, units.kind, units.kind).sum(axis=0)
    scores = {"action_units_f1": _value(_mean(_f1(total)))}
    if units.kind == "intensity":
        scores["action_units_icc"] = _value(_mean(_icc(total)))
    return scores


def _sums(
    truth: NDArray[np.floating], predicted: NDArray[np.floating], truth_kind: Kind, predicted_kind: Kind
) -> NDArray[np.float64]:
    """Return ``(N, K, 9)``, what each face adds to the sums; zeros where a unit is not annotated."""
    known = np.isfinite(truth)
    x, y = (np.where(known, values, 0.0).astype(np.float64) for values in (truth, predicted))
    is_true = known & is_present(truth, truth_kind)
    is_predicted = known & is_present(predicted, predicted_kind)
    parts = [known, is_true, is_predicted, is_true & is_predicted, x, y, x * x, y * y, x * y]
    return np.stack([np.asarray(part, dtype=np.float64) for part in parts], axis=-1)


def _f1(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``(..., K)`` F1 from ``(..., K, 9)`` sums, NaN where nothing is or was to be found."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(2 * sums[..., _BOTH] / (sums[..., _TRUE] + sums[..., _PREDICTED]))


def _icc(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``(..., K)`` ICC(3,1), NaN for fewer than two faces and a constant annotation.

    Of two raters it is ``(MSR - MSE) / (MSR + MSE)``, which is ``2 cov / (var + var)``.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        n = sums[..., _N]
        mean_x, mean_y = sums[..., _X] / n, sums[..., _Y] / n
        variance_x, variance_y = sums[..., _XX] / n - mean_x**2, sums[..., _YY] / n - mean_y**2
        covariance = sums[..., _XY] / n - mean_x * mean_y
        icc = 2 * covariance / (variance_x + variance_y)
    return np.where((n >= 2) & (variance_x > 1e-12), icc.clip(-1, 1), np.nan)


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over the last axis without NaN; NaN if all are."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(known, values, 0.0).sum(axis=-1) / known.sum(axis=-1))


def _value(value: NDArray[np.float64] | np.float64) -> float | None:
    return float(value) if np.isfinite(value) else None


def _estimate(
    value: NDArray[np.float64] | np.float64, draws: NDArray[np.float64]
) -> tuple[float | None, Interval | None]:
    estimate = _value(value)
    if estimate is None:
        return None, None
    known = draws[np.isfinite(draws)]
    return estimate, percentile_interval(known if len(known) else np.array([estimate]), estimate)
