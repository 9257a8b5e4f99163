"""Class weights from class frequencies, for sampling and for the loss."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Scheme = Literal["uniform", "none", "inverse", "square_root", "effective"]

# Cui et al. 2019, https://arxiv.org/abs/1901.05555: the effective number of n faces is (1 - b^n) / (1 - b). They
# tried b from 0.9 to 0.9999; with this value, the weight per face falls up to a few thousand faces.
EFFECTIVE_BETA = 0.999


def face_weights(counts: NDArray[np.int64], scheme: Scheme) -> NDArray[np.float64]:
    """Return the weight of a face of each class; the mean over all faces is 1.

    Args:
        counts: ``(C,)`` faces of each class.
        scheme: uniform or none: equal weights; inverse: 1 / n; square_root: 1 / sqrt(n); effective: 1 / effective
            number.

    Returns:
        ``(C,)``; 0 for a class without faces.

    Raises:
        ValueError: there is no such scheme.
    """
    n = np.maximum(counts, 1).astype(np.float64)
    schemes = {
        "uniform": np.ones_like(n),
        "none": np.ones_like(n),
        "inverse": 1 / n,
        "square_root": 1 / np.sqrt(n),
        "effective": (1 - EFFECTIVE_BETA) / (1 - EFFECTIVE_BETA**n),
    }
    if scheme not in schemes:
        raise ValueError(f"scheme must be one of {', '.join(schemes)}, got {scheme!r}")
    raw = np.where(counts > 0, schemes[scheme], 0.0)
    return np.asarray(raw * counts.sum() / (raw * counts).sum())


def class_quotas(
    counts: NDArray[np.int64], scheme: Scheme, *, n_draws: int, cap: float | None = None
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
