"""Flip averaging: a face's own reading and that of its mirrored image, averaged."""

import numpy as np
from numpy.typing import NDArray

from mien.faces.landmarks import FLIP_PERMUTATION
from mien.formats.onnx_model import Outputs

FLIP_NOTE = (
    "Every face is read twice, as it is and mirrored, and the two readings are averaged, which is twice the "
    "work. Every other figure is of the plain reading alone, and so is the temperature"
)


def average_flipped(plain: Outputs, mirrored: Outputs) -> Outputs:
    """Return the mean of two readings of the same faces.

    Args:
        plain: what the model says of N faces.
        mirrored: what it says of the same faces, each crop mirrored left to right.
    """
    landmarks = affect = None
    if plain.landmarks is not None and mirrored.landmarks is not None:
        landmarks = _mean(plain.landmarks, mirror_landmarks(mirrored.landmarks))
    if plain.valence_arousal is not None and mirrored.valence_arousal is not None:
        affect = _mean(plain.valence_arousal, mirrored.valence_arousal)
    return Outputs(_mean(plain.probabilities, mirrored.probabilities), landmarks, affect)


def mirror_landmarks(landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return where the landmarks of a crop lie in the mirrored crop; twice is where they were.

    Args:
        landmarks: ``(N, 68, 2)`` fractions of the crop.
    """
    mirrored = landmarks[:, FLIP_PERMUTATION]
    mirrored[..., 0] = 1 - mirrored[..., 0]
    return mirrored


def _mean(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    return (first + second) * np.float32(0.5)
