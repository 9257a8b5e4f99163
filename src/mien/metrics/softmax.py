"""Softmax and log-softmax over the last axis, in float64."""

import numpy as np
from numpy.typing import NDArray


def softmax(logits: NDArray[np.floating], *, temperature: float = 1.0) -> NDArray[np.float64]:
    """Return ``softmax(logits / temperature)``.

    Args:
        logits: ``(..., C)``.
        temperature: larger values flatten the distribution.

    Example:
        >>> softmax(np.array([0.0, 0.0])).tolist()
        [0.5, 0.5]
    """
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def log_softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the logarithm of the softmax of ``(..., C)`` logits, without underflow.

    Example:
        >>> np.exp(log_softmax(np.array([0.0, 0.0]))).tolist()
        [0.5, 0.5]
    """
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))
