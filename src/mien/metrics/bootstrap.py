"""95 % percentile bootstrap intervals: how far a figure would move on other faces of the same kind.

Resampling faces with replacement and counting them again is the same as drawing the cells of the
confusion matrix from a multinomial distribution, which takes milliseconds for any number of faces.

References:
    [0] Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13. Deviation: an interval is
        widened to the estimate itself where rare classes push the resamples to one side of it.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

N_RESAMPLES = 2000
DEFAULT_SEED = 0
_TAILS_PERCENT = (2.5, 97.5)

Interval = tuple[float, float]


def bootstrap_confusion(
    confusion: NDArray[np.integer],
    statistic: Callable[[NDArray[np.integer]], NDArray[np.float64]],
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = DEFAULT_SEED,
) -> Interval:
    """Return the 95 % interval of a function of the confusion matrix.

    Args:
        confusion: ``(C, C)`` counts with at least one face.
        statistic: maps ``(R, C, C)`` counts to ``(R,)`` values, as those of `classification` do.
        n_resamples: R.
        seed: of the resampling; the same seed gives the same interval.

    Returns:
        Lower and upper end; the estimate lies between them.

    Raises:
        ValueError: the matrix holds no face.
    """
    total = int(confusion.sum())
    if total == 0:
        raise ValueError("a confusion matrix without a face has no interval")
    drawn = np.random.default_rng(seed).multinomial(total, confusion.ravel() / total, size=n_resamples)
    values = statistic(drawn.reshape(n_resamples, *confusion.shape))
    return percentile_interval(values, float(statistic(confusion)))


def bootstrap_rows(
    rows: NDArray[np.floating],
    statistic: Callable[[NDArray[np.floating]], float | None],
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = DEFAULT_SEED,
) -> Interval | None:
    """Return the 95 % interval of any function of rows, by resampling the rows.

    Args:
        rows: ``(N, K)`` or ``(N,)``, a row per face.
        statistic: maps such rows to a value, or None where they are degenerate.
        n_resamples: how many samples to draw.
        seed: of the resampling; the same seed gives the same interval.

    Returns:
        Lower and upper end, or None where there is no row or the statistic of the rows is None.
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
    """Resample faces and count them again for several models, each time the same faces for all of them.

    Args:
        truth: ``(N,)`` class indices, N > 0.
        predicted: ``(K, N)`` class indices, a row for each model.
        n_classes: C.
        n_resamples: R.
        seed: of the resampling.

    Returns:
        ``(R, K, C, C)`` counts, rows the truth.
    """
    n_cells = len(predicted) * n_classes**2
    matrices = np.arange(len(predicted))[:, None] * n_classes**2
    cells = matrices + truth.astype(np.int64) * n_classes + predicted
    drawn = (
        np.bincount(cells[:, faces].ravel(), minlength=n_cells)
        for faces in _draw_faces(len(truth), n_resamples, seed)
    )
    return np.stack(list(drawn)).reshape(n_resamples, len(predicted), n_classes, n_classes)


def resample_means(
    values: NDArray[np.floating], *, n_resamples: int = N_RESAMPLES, seed: int = DEFAULT_SEED
) -> NDArray[np.float64]:
    """Resample faces and average them again for several models, each time the same faces for all of them.

    Args:
        values: ``(K, N)`` without NaN, a row for each model, N > 0.
        n_resamples: R.
        seed: of the resampling.

    Returns:
        ``(R, K)``.
    """
    return np.stack(
        [values[:, faces].mean(axis=1) for faces in _draw_faces(values.shape[1], n_resamples, seed)]
    )


def _draw_faces(n: int, n_resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    generator = np.random.default_rng(seed)
    for _ in range(n_resamples):
        yield generator.integers(0, n, n)


def percentile_interval(values: NDArray[np.floating], estimate: float) -> Interval:
    """Return the middle 95 % of resampled values, widened to the estimate where that lies outside."""
    low, high = np.percentile(values, _TAILS_PERCENT)
    return min(float(low), estimate), max(float(high), estimate)
