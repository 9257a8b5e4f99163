"""Predictions to draw."""

from collections.abc import Callable

import numpy as np
import pytest

from mien.inference.results import FacePrediction


@pytest.fixture
def make_face() -> Callable[..., FacePrediction]:
    """Return a function that makes a prediction for a face with a given box, with or without landmarks and affect."""
    return _make_face


def _make_face(box: tuple[float, float, float, float], *, landmarks: bool = True) -> FacePrediction:
    x0, y0, x1, y1 = box
    points = np.random.default_rng(0).uniform(0.2, 0.8, (68, 2)) * (x1 - x0, y1 - y0) + (x0, y0)
    return FacePrediction(
        "a.jpg",
        face=0,
        box_xyxy=np.array(box, dtype=np.float64),
        score=0.9,
        expression="Happy",
        confidence=0.8,
        probabilities={"Neutral": 0.05, "Happy": 0.8, "Sad": 0.1, "Fear": 0.05},
        landmarks=points if landmarks else None,
        valence=0.5 if landmarks else None,
        arousal=-0.2 if landmarks else None,
    )
