"""Faces as points in the space of a model's features: which are near each other, and how they lie in a plane."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


def nearest(
    queries: NDArray[np.floating], faces: NDArray[np.floating], k: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the K most similar faces for each query, by the cosine of the angle between their features.

    Args:
        queries: ``(M, F)``.
        faces: ``(N, F)``.
        k: at most N are returned.

    Returns:
        ``(M, K)`` indices of faces, the most similar first, and ``(M, K)`` similarities in [-1, 1].
    """
    similarity = _unit(queries) @ _unit(faces).T
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(similarity, order, axis=1)


class Plane(NamedTuple):
    """Faces in a plane.

    Attributes:
        points: ``(N, 2)`` coordinates along the two principal components.
        explained: the fractions of the features' variance that the two cover.
    """

    points: NDArray[np.float64]
    explained: tuple[float, float]


def principal_plane(faces: NDArray[np.floating]) -> Plane | None:
    """Return the projection on the first two principal components; None if the features do not span a plane.

    The sign of a component is arbitrary: here its largest weight is positive.

    Args:
        faces: ``(N, F)`` features.
    """
    centered = faces.astype(np.float64) - faces.mean(axis=0)
    # Of the (F, F) covariance: there may be far more faces than features.
    values, vectors = np.linalg.eigh(centered.T @ centered)
    if len(values) < 2 or values[-2] <= 1e-12 * max(values[-1], 1e-300):
        return None
    axes = vectors[:, [-1, -2]]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
    total = float(values.sum())
    return Plane(centered @ axes, (float(values[-1]) / total, float(values[-2]) / total))


def _unit(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return rows of length 1; a row of zeros stays."""
    values = vectors.astype(np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.where(lengths > 0, lengths, 1))
