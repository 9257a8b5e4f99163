"""What each class does to a face."""

import numpy as np
import pytest

from mien.faces.classes import AFFECTNET_CLASSES, EXPRESSIONS_8
from mien.sample.expressions import Movement, blend, sample_expression


def _affect(class_name: str, count: int = 60) -> np.ndarray:
    expressions = [sample_expression(class_name, np.random.default_rng([1, k])) for k in range(count)]
    return np.array([(e.valence, e.arousal) for e in expressions], dtype=float)


@pytest.mark.parametrize("class_name", EXPRESSIONS_8)
def test_affect_lies_in_the_unit_circle(class_name: str) -> None:
    """Valence and arousal of the eight expressions are numbers inside the circle AffectNet uses."""
    assert (np.hypot(*_affect(class_name).T) <= 1 + 1e-3).all()


# Signs of the circumplex model (Russell 1980): valence, then arousal.
@pytest.mark.parametrize(
    ("class_name", "valence", "arousal"),
    [
        ("Happy", 1, 0),
        ("Sad", -1, 0),
        ("Surprise", 0, 1),
        ("Fear", -1, 1),
        ("Disgust", -1, 1),
        ("Anger", -1, 1),
    ],
)
def test_affect_has_the_signs_of_the_circumplex(class_name: str, valence: int, arousal: int) -> None:
    """The mean of a class lies in the quadrant that psychology puts it in."""
    mean = _affect(class_name).mean(axis=0)
    for value, sign in zip(mean, (valence, arousal), strict=True):
        assert sign == 0 or value * sign > 0.15


@pytest.mark.parametrize("class_name", ["NoneOfEight", "Uncertain"])
def test_classes_without_affect_have_none(class_name: str) -> None:
    """AffectNet gives no valence and arousal for these."""
    expression = sample_expression(class_name, np.random.default_rng(0))
    assert (expression.valence, expression.arousal) == (None, None)


@pytest.mark.parametrize("class_name", ["NonFace", "Boredom"])
def test_a_class_without_a_face_is_refused(class_name: str) -> None:
    """There is nothing to express where there is no face."""
    assert class_name == "Boredom" or class_name in AFFECTNET_CLASSES
    with pytest.raises(ValueError, match=class_name):
        sample_expression(class_name, np.random.default_rng(0))


def test_blend_is_a_weighted_sum() -> None:
    """Half of a smile and a dropped jaw are half a smile and the jaw."""
    assert blend([(0.5, Movement(smile=1.0)), (1.0, Movement(jaw=0.4))]) == Movement(smile=0.5, jaw=0.4)
