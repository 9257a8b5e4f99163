"""Intervals of proportions, without resampling: they hold for a handful of faces too.

References:
    [0] Wilson 1927, Probable inference, https://doi.org/10.1080/01621459.1927.10502953
    [1] Zou, Donner 2008, Construction of confidence limits about effect measures, https://doi.org/10.1002/sim.3095: the
        limits of a sum from the limits of its terms.
"""

import math

import numpy as np
from numpy.typing import NDArray

# The 97.5% quantile of the normal distribution: intervals of 95%.
_Z = 1.959963984540054


def wilson_interval(n_hits: int, n: int) -> tuple[float, float]:
    """Return the 95% interval of a proportion, after Wilson [0].

    Example:
        >>> [round(limit, 3) for limit in wilson_interval(8, 10)]
        [0.49, 0.943]
    """
    if n == 0:
        return 0.0, 1.0
    rate, extra = n_hits / n, _Z**2 / n
    center = (rate + extra / 2) / (1 + extra)
    half = math.sqrt(rate * (1 - rate) * extra + extra**2 / 4) / (1 + extra)
    return max(0.0, center - half), min(1.0, center + half)


def balanced_accuracy_interval(confusion: NDArray[np.integer]) -> tuple[float, float]:
    """Return the 95% interval of the mean recall: Wilson's limits of each recall, combined as the limits of a mean [1].

    Args:
        confusion: ``(C, C)`` counts, rows are the true class; each row has a face.
    """
    totals, hits = confusion.sum(axis=1), np.diagonal(confusion)
    limits = [wilson_interval(int(hit), int(total)) for hit, total in zip(hits, totals, strict=True)]
    low, high = np.array(limits).T
    recalls = hits / totals
    mean, n = float(recalls.mean()), len(recalls)
    below, above = np.sqrt(((recalls - low) ** 2).sum()) / n, np.sqrt(((high - recalls) ** 2).sum()) / n
    return max(0.0, mean - float(below)), min(1.0, mean + float(above))
