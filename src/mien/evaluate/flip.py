"""Flip averaging: averaging the predictions for a face and for its mirror image."""

import numpy as np
from numpy.typing import NDArray

from mien.faces.landmarks import FLIP_PERMUTATION
from mien.tasks import TASKS, Values

FLIP_NOTE = (
    "Each face is predicted twice, as it is and mirrored, and the two predictions are averaged, at twice the cost. "
    "All other metrics, and the temperature, are of the plain predictions."
)


def average_flipped(plain: Values, mirrored: Values) -> Values:
    """Return the mean of two predictions for the same faces.

    Args:
        plain: the outputs for N faces.
        mirrored: the outputs for the same faces, with each crop mirrored left to right.
    """
    averaged = {}
    for task, values in plain.items():
        other = mirrored[task]
        other = mirror_landmarks(other) if TASKS[task].is_geometric else other
        averaged[task] = (values + other) * np.float32(0.5)
    return averaged


def mirror_landmarks(landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the landmarks of a crop in the mirrored crop; applying this twice is the identity.

    Args:
        landmarks: ``(N, 68, 2)`` fractions of the crop.
    """
    mirrored = landmarks[:, FLIP_PERMUTATION]
    mirrored[..., 0] = 1 - mirrored[..., 0]
    return mirrored
