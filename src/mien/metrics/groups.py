"""Rates in groups of faces, and whether they differ by more than chance."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.metrics.bootstrap import DEFAULT_SEED, Interval
from mien.metrics.proportion import wilson_interval

N_PERMUTATIONS = 10_000


class Gap(NamedTuple):
    """The largest difference of accuracy between two groups.

    Attributes:
        best: index of the group with the highest accuracy.
        worst: index of the one with the lowest.
        gap: the difference of the two.
        p_value: the chance of a gap at least as large if the groups did not differ, by permutation.
    """

    best: int
    worst: int
    gap: float
    p_value: float


def rate_interval(count: int, n: int) -> Interval | None:
    """Return the 95% interval of a rate, or None without faces: nothing is known."""
    return wilson_interval(count, n) if n else None


def find_largest_gap(
    correct: NDArray[np.bool_],
    groups: NDArray[np.integer],
    strata: NDArray[np.integer],
    *,
    n_permutations: int = N_PERMUTATIONS,
    seed: int = DEFAULT_SEED,
) -> Gap:
    """Test the largest gap of accuracy between groups by permutation.

    Which faces belong to which group is permuted within each stratum. With the true classes as strata, a group is not worse
    only because it has more faces of a difficult class. The largest of all gaps is compared with the largest of all gaps of
    each permutation, so that many groups do not make a difference appear.

    Args:
        correct: ``(N,)`` whether the prediction is right.
        groups: ``(N,)`` from 0 to G - 1, each of which occurs; G > 1.
        strata: ``(N,)`` from 0.
        n_permutations: number of permutations.
        seed: their seed.

    Raises:
        ValueError: there are fewer than two groups, or one without a face.

    References:
        [0] Good, Permutation, Parametric and Bootstrap Tests of Hypotheses, 2005, chapter 3. The p-value counts the observed
            arrangement as one of the permutations, so that it is never 0 (Phipson and Smyth 2010).
    """
    sizes = np.bincount(groups)
    if len(sizes) < 2 or not sizes.all():
        raise ValueError(f"`groups` must be two or more, each with a face, got sizes {sizes.tolist()}")
    accuracy = np.bincount(groups, weights=correct) / sizes
    best, worst = int(accuracy.argmax()), int(accuracy.argmin())
    gap = float(accuracy[best] - accuracy[worst])
    rng = np.random.default_rng(seed)
    hits = np.zeros((n_permutations, len(sizes)))
    for stratum in np.unique(strata):
        here = strata == stratum
        # Permuting the members of groups means drawing the right answers of each group without replacement.
        members = np.bincount(groups[here], minlength=len(sizes))
        hits += rng.multivariate_hypergeometric(
            members, int(correct[here].sum()), size=n_permutations, method="marginals"
        )
    permuted = np.ptp(hits / sizes, axis=1)
    # Equal up to rounding counts as equal.
    n_as_large = int((permuted >= gap - 1e-12).sum())
    return Gap(best, worst, gap, (1 + n_as_large) / (1 + n_permutations))
