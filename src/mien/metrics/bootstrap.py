"""95% percentile bootstrap intervals: how far a metric would move on other faces of the same kind.

Resampling faces with replacement and recounting them is equivalent to drawing the cells of the confusion
matrix from a multinomial distribution, which takes milliseconds for any number of faces.

References:
    [0] Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13. Deviation: an interval is
        widened to include the estimate where rare classes push all resamples to one side of it.
    [1] Clopper, Pearson 1934, https://doi.org/10.1093/biomet/26.4.404: where no prediction, or every one, is right, which
        resampling cannot change, the exact bound of the fraction that was not seen.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

N_RESAMPLES = 2000
DEFAULT_SEED = 0
_TAILS_PERCENT = (2.5, 97.5)
# Makes counts of fractions of faces; the statistics are ratios.
_SCALE = 1_000_000

Interval = tuple[float, float]


def bootstrap_confusion(
    confusion: NDArray[np.integer],
    statistic: Callable[[NDArray[np.integer]], NDArray[np.float64]],
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = DEFAULT_SEED,
) -> Interval:
    """Return the 95% interval of a statistic of the confusion matrix.

    Args:
        confusion: ``(C, C)`` counts with at least one face.
        statistic: maps ``(R, C, C)`` counts to ``(R,)`` values, like the functions of `classification`.
        n_resamples: R.
        seed: resampling seed; the same seed gives the same interval.

    Returns:
        Lower and upper bound; the estimate lies between them.

    Raises:
        ValueError: the matrix is empty.
    """
    total = int(confusion.sum())
    if total == 0:
        raise ValueError("an empty confusion matrix has no interval")
    drawn = np.random.default_rng(seed).multinomial(total, confusion.ravel() / total, size=n_resamples)
    values = statistic(drawn.reshape(n_resamples, *confusion.shape))
    low, high = percentile_interval(values, float(statistic(confusion)))
    n_right, n_classes = int(np.trace(confusion)), len(confusion)
    if n_right in (0, total) and n_classes > 1:
        unseen = 1 - (_TAILS_PERCENT[0] / 100) ** (1 / total)
        right = np.eye(n_classes)
        elsewhere = right if n_right == 0 else (1 - right) / (n_classes - 1)
        moved = (1 - unseen) * confusion + unseen * confusion.sum(axis=1, keepdims=True) * elsewhere
        bound = float(statistic((_SCALE * moved).round().astype(np.int64)))
        low, high = min(low, bound), max(high, bound)
    return low, high


def bootstrap_rows(
    rows: NDArray[np.floating],
    statistic: Callable[[NDArray[np.floating]], float | None],
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = DEFAULT_SEED,
) -> Interval | None:
    """Return the 95% interval of any statistic of rows, by resampling the rows.

    Args:
        rows: ``(N, K)`` or ``(N,)``, one row per face.
        statistic: maps resampled rows to a value, or None if they are degenerate.
        n_resamples: number of resamples.
        seed: resampling seed; the same seed gives the same interval.

    Returns:
        Lower and upper bound, or None if there are no rows or the statistic of the rows is None.
    """
    estimate = statistic(rows) if len(rows) else None
    if estimate is None:
        return None
    generator = np.random.default_rng(seed)
    drawn = (statistic(rows[generator.integers(0, len(rows), len(rows))]) for _ in range(n_resamples))
    values = [value for value in drawn if value is not None]
    return percentile_interval(np.array(values or [estimate]), estimate)


def resample_confusions(
    truth: NDArray[np.integer],
    predicted: NDArray[np.integer],
    *,
    n_classes: int,
    n_resamples: int = N_RESAMPLES,
    seed: int = DEFAULT_SEED,
) -> NDArray[np.int64]:
    """Resample faces and recount the confusion matrices of several models, with the same faces for every model.

    Args:
        truth: ``(N,)`` class indices, N > 0.
        predicted: ``(K, N)`` class indices, one row per model.
        n_classes: C.
        n_resamples: R.
        seed: resampling seed.

    Returns:
        ``(R, K, C, C)`` counts; rows are true classes.
    """
    n_cells = len(predicted) * n_classes**2
    matrices = np.arange(len(predicted))[:, None] * n_classes**2
    cells = matrices + truth.astype(np.int64) * n_classes + predicted
    drawn = (
        np.bincount(cells[:, faces].ravel(), minlength=n_cells)
        for faces in _draw_faces(len(truth), n_resamples, seed)
    )
    return np.stack(list(drawn)).reshape(n_resamples, len(predicted), n_classes, n_classes)


def resample_rows(
    rows: NDArray[np.floating],
    statistic: Callable[[NDArray[np.floating]], float | None],
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = DEFAULT_SEED,
) -> NDArray[np.float64]:
    """Resample faces and recompute a statistic of several models, with the same faces for every model.

    Args:
        rows: ``(K, N, M)`` without NaN, M values per face and model, N > 0.
        statistic: maps ``(N, M)`` rows to a value, or None if they are degenerate.
        n_resamples: R.
        seed: resampling seed.

    Returns:
        ``(R, K)``, NaN where the statistic is None.
    """
    drawn = np.full((n_resamples, len(rows)), np.nan)
    for number, faces in enumerate(_draw_faces(rows.shape[1], n_resamples, seed)):
        for model, own in enumerate(rows):
            value = statistic(own[faces])
            drawn[number, model] = np.nan if value is None else value
    return drawn


def resample_sums(
    values: NDArray[np.floating], *, n_resamples: int = N_RESAMPLES, seed: int = DEFAULT_SEED
) -> NDArray[np.float64]:
    """Resample faces and return the sums of several columns, with the same faces for every column.

    Args:
        values: ``(N, M)`` without NaN, N > 0.
        n_resamples: R.
        seed: resampling seed.

    Returns:
        ``(R, M)``.
    """
    n = len(values)
    return np.stack([np.bincount(faces, minlength=n) @ values for faces in _draw_faces(n, n_resamples, seed)])


def _draw_faces(n: int, n_resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    generator = np.random.default_rng(seed)
    for _ in range(n_resamples):
        yield generator.integers(0, n, n)


def percentile_interval(values: NDArray[np.floating], estimate: float) -> Interval:
    """Return the central 95% of resampled values, widened to include the estimate."""
    low, high = np.percentile(values, _TAILS_PERCENT)
    return min(float(low), estimate), max(float(high), estimate)
