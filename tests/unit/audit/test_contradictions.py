"""Labels that contradict valence and arousal, near-duplicates, the detector or the landmarks."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from mien.audit.contradictions import (
    find_affect_contradictions,
    find_duplicate_disagreements,
    find_faces_in_nonface,
    find_landmark_misfits,
)
from mien.faces.classes import EXPRESSIONS_8
from mien.faces.detector import load_detector
from mien.sample.expressions import sample_expression
from mien.sample.image import draw_image


@pytest.mark.parametrize(
    ("name", "valence", "arousal", "expected"),
    [
        ("Happy", 0.8, 0.4, None),
        ("Happy", -0.5, 0.1, "valence -0.50"),
        ("Sad", 0.6, -0.3, "valence 0.60"),
        ("Sad", -0.6, 0.3, None),
        ("Anger", -0.6, -0.5, "arousal -0.50"),
        ("Surprise", -0.6, 0.7, None),
        ("Neutral", 0.0, 0.0, None),
        ("Neutral", 0.7, 0.1, "far from neutral"),
        ("Happy", -0.1, 0.1, None),
        ("Boredom", -0.9, -0.9, None),
        (None, -0.9, 0.9, None),
    ],
)
def test_valence_and_arousal_contradict_labels_of_the_other_sign(
    name: str | None, valence: float, arousal: float, expected: str | None
) -> None:
    """Only a clear value of the wrong sign does; what is no expression is not judged."""
    found = find_affect_contradictions([name], np.array([[valence, arousal]]))
    assert (expected is None and not found) or (expected is not None and expected in found[0])


def test_missing_values_contradict_nothing() -> None:
    """A face may have one of the two values, or none."""
    values = np.array([[np.nan, np.nan], [np.nan, -0.8], [-0.8, np.nan]])
    assert set(find_affect_contradictions(["Happy", "Fear", "Happy"], values)) == {1, 2}


@pytest.mark.parametrize("name", EXPRESSIONS_8)
def test_consistent_annotations_pass(name: str) -> None:
    """Valence and arousal of drawn expressions never contradict their class."""
    rng = np.random.default_rng(0)
    drawn = [sample_expression(name, rng) for _ in range(100)]
    values = np.array([[one.valence, one.arousal] for one in drawn], dtype=float)
    assert not find_affect_contradictions([name] * len(values), values)


def test_near_duplicates_with_different_labels_disagree() -> None:
    """All of them are named, with the label of the others; a face without a label says nothing."""
    names = ["Happy", "Sad", "Happy", None, "Sad", "Sad"]
    found = find_duplicate_disagreements(names, np.array([7, 7, 7, 7, 9, 9]))
    assert found == {
        0: "a near-duplicate is labeled Sad",
        1: "a near-duplicate is labeled Happy",
        2: "a near-duplicate is labeled Sad",
    }


def test_landmarks_that_cannot_be_right_are_found() -> None:
    """Swapped sides, points outside of the crop, and points far from the predicted ones; missing ones are not judged."""
    face = np.random.default_rng(0).uniform(0.3, 0.7, (68, 2))
    face[36], face[45] = (0.3, 0.4), (0.7, 0.4)
    mirrored = face * (-1, 1) + (1, 0)
    landmarks = np.stack([face, mirrored, face + 1, face + 0.2, np.full((68, 2), np.nan)])
    predicted = np.broadcast_to(face, landmarks.shape)
    found = find_landmark_misfits(landmarks, predicted)
    assert set(found) == {1, 2, 3}
    assert "swapped" in found[1]
    assert "outside" in found[2]
    assert "71%" in found[3]
    assert set(find_landmark_misfits(landmarks, None)) == {1, 2}


class _Crops(NamedTuple):
    """Stands for a selection of faces."""

    crops: list[np.ndarray]

    def image(self, index: int) -> np.ndarray:
        return self.crops[index]


def test_a_visible_face_contradicts_nonface() -> None:
    """YuNet finds the drawn face and nothing in the scene."""
    shared = Path(os.environ.get("MIEN_SHARED", Path(__file__).resolve().parents[4] / "shared"))
    path = shared / "models" / "face_detection_yunet_2023mar.onnx"
    if not path.exists():
        pytest.skip(f"needs {path.name} of the shared models (MIEN_SHARED)")
    images = [draw_image(name, seed=0, index=3) for name in ("Happy", "NonFace")]
    crops = []
    for image in images:
        left, top, width, height = image.box_xywh
        crops.append(image.pixels[top : top + height, left : left + width])
    found = find_faces_in_nonface(_Crops(crops), np.array([0, 1]), load_detector(path))
    assert set(found) == {0}
