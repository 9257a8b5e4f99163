"""Flip averaging: averaging the predictions for a face and for its mirror image."""

import numpy as np
from numpy.typing import NDArray

from mien.faces.landmarks import FLIP_PERMUTATION
from mien.formats.onnx_model import Outputs

FLIP_NOTE = (
    "Every face is predicted twice, as it is and mirrored, and the two predictions are averaged, at twice the cost. "
    "All other metrics, and the temperature, are of the plain predictions"
)


def average_flipped(plain: Outputs, mirrored: Outputs) -> Outputs:
    """Return the mean of two predictions for the same faces.

    Args:
        plain: the outputs for N faces.
        mirrored: the outputs for the same faces, with each crop mirrored left to right.
    """
    landmarks = affect = None
    if plain.landmarks is not None and mirrored.landmarks is not None:
        landmarks = _mean(plain.landmarks, mirror_landmarks(mirrored.landmarks))
    if plain.valence_arousal is not None and mirrored.valence_arousal is not None:
        affect = _mean(plain.valence_arousal, mirrored.valence_arousal)
    return Outputs(_mean(plain.probabilities, mirrored.probabilities), landmarks, affect)


def mirror_landmarks(landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the landmarks of a crop in the mirrored crop; applying this twice is the identity.

    Args:
        landmarks: ``(N, 68, 2)`` fractions of the crop.
    """
    mirrored = landmarks[:, FLIP_PERMUTATION]
    mirrored[..., 0] = 1 - mirrored[..., 0]
    return mirrored


def _mean(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    return (first + second) * np.float32(0.5)
