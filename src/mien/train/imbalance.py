"""Class weights from class frequencies, for sampling and for the loss."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mien.recipe import Recipe
from mien.runtime.suggestion import require_known

# Cui et al. 2019, https://arxiv.org/abs/1901.05555: the effective number of n faces is (1 - b^n) / (1 - b). They
# tried b from 0.9 to 0.9999; with this value, the weight per face falls up to a few thousand faces.
EFFECTIVE_BETA = 0.999

# The weight of a face, up to a factor, from the ``(C,)`` faces of each class, 1 or more.
SCHEMES: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "uniform": np.ones_like,
    "none": np.ones_like,
    "inverse": np.reciprocal,
    "square_root": lambda n: 1 / np.sqrt(n),
    "effective": lambda n: (1 - EFFECTIVE_BETA) / (1 - EFFECTIVE_BETA**n),
}


def face_weights(counts: NDArray[np.int64], scheme: str) -> NDArray[np.float64]:
    """Return the weight of a face of each class; the mean over all faces is 1.

    Args:
        counts: ``(C,)`` faces of each class.
        scheme: a key of `SCHEMES`: uniform or none: equal weights; inverse: 1 / n; square_root: 1 / sqrt(n); effective: 1 / effective
            number.

    Returns:
        ``(C,)``; 0 for a class without faces.

    Raises:
        ValueError: there is no such scheme.
    """
    require_known("scheme", scheme, SCHEMES)
    n = np.maximum(counts, 1).astype(np.float64)
    raw = np.where(counts > 0, SCHEMES[scheme](n), 0.0)
    return np.asarray(raw * counts.sum() / (raw * counts).sum())


def class_quotas(
    counts: NDArray[np.int64], scheme: str, *, n_draws: int, cap: float | None = None
) -> NDArray[np.float64]:
    """Return the mean number of draws of each class in an epoch.

    Args:
        counts: ``(C,)`` faces of each class.
        scheme: as for `face_weights`.
        n_draws: faces drawn in an epoch.
        cap: largest number of draws per face; the rest of a capped class goes to the others, by weight.

    Returns:
        ``(C,)``, which sum to ``n_draws`` unless the cap allows fewer.
    """
    wanted = face_weights(counts, scheme) * counts
    limit = np.full(len(counts), np.inf) if cap is None else cap * counts
    quotas = np.zeros(len(counts))
    open_classes = counts > 0
    while open_classes.any():
        rest = n_draws - quotas[~open_classes].sum()
        quotas[open_classes] = rest * wanted[open_classes] / wanted[open_classes].sum()
        over = open_classes & (quotas > limit + 1e-9)
        if not over.any():
            break
        quotas[over] = limit[over]
        open_classes &= ~over
    return quotas


def trained_class_fractions(counts: NDArray[np.int64], recipe: Recipe) -> NDArray[np.float64]:
    """Return the class fractions of the distribution that a recipe's expression loss trains the network on.

    A face counts as often as it is drawn, times its class weight. Logit adjustment by t trains the logits to be
    log p(c | x) - t log prior(c) (Menon et al. 2021, https://arxiv.org/abs/2007.07314), as under fractions divided by
    prior(c)^t. Label smoothing and soft labels are not taken into account, and neither is a teacher, whose fractions are
    taken to be those of the faces.

    Args:
        counts: ``(C,)`` training faces of each class.
        recipe: the recipe.

    Returns:
        ``(C,)``, which sum to 1; 0 for a class without faces.
    """
    data, loss = recipe.data, recipe.schedule.loss
    drawn = class_quotas(counts, data.sampling, n_draws=int(counts.sum()), cap=data.sampling_max_repeats)
    weighted = drawn * face_weights(counts, loss.class_weights)
    # The prior of `mien.train.objective`.
    prior = np.where(counts > 0, counts / max(1, counts.sum()), 1)
    fractions = weighted / prior**loss.logit_adjustment
    return np.asarray(fractions / max(fractions.sum(), np.finfo(np.float64).tiny))
