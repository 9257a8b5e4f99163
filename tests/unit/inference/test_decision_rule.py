"""How answers are given."""

import numpy as np
import pytest

from mien.errors import ModelError
from mien.faces.classes import AFFECTNET_CLASSES
from mien.inference.decision_rule import DecisionRule

ELEVEN = tuple(AFFECTNET_CLASSES)
# Contempt is the top_class of all eleven, Sad of the first seven.
PROBABILITIES = np.array([0.1, 0.05, 0.2, 0.05, 0.05, 0.05, 0.1, 0.3, 0.05, 0.03, 0.02])


def test_all_the_models_classes_by_default() -> None:
    expression, confidence, shares = DecisionRule().answer(PROBABILITIES, ELEVEN)
    assert (expression, confidence) == ("Contempt", pytest.approx(0.3))
    assert list(shares.values()) == pytest.approx(PROBABILITIES.tolist())


def test_seven_classes_share_the_probability_among_themselves() -> None:
    expression, confidence, shares = DecisionRule(7).answer(PROBABILITIES, ELEVEN)
    assert list(shares) == list(ELEVEN[:7])
    assert expression == "Sad"
    assert confidence == pytest.approx(0.2 / 0.6)
    assert sum(shares.values()) == pytest.approx(1)


def test_a_models_own_order_is_kept() -> None:
    classes = ELEVEN[::-1]
    _, _, shares = DecisionRule(8).answer(PROBABILITIES[::-1], classes)
    assert list(shares) == list(classes[3:])


@pytest.mark.parametrize(("least", "expression"), [(0.3, "Contempt"), (0.31, "unsure")])
def test_less_than_the_least_confidence_is_unsure(least: float, expression: str) -> None:
    answered, confidence, shares = DecisionRule(min_confidence=least).answer(PROBABILITIES, ELEVEN)
    assert answered == expression
    assert confidence == pytest.approx(0.3)
    assert len(shares) == 11


def test_the_likeliest_alone_in_the_models_order() -> None:
    _, _, shares = DecisionRule(top=2).answer(PROBABILITIES, ELEVEN)
    assert list(shares) == ["Sad", "Contempt"]
    assert shares["Sad"] == pytest.approx(0.2)


def test_a_model_without_the_classes_asked_for() -> None:
    with pytest.raises(ModelError, match=r"does not know Contempt: it has 7"):
        DecisionRule(8).answer(PROBABILITIES[:7], ELEVEN[:7])


@pytest.mark.parametrize(
    "values", [{"n_classes": 6}, {"min_confidence": 1.5}, {"min_confidence": -0.1}, {"top": 0}]
)
def test_a_rule_that_makes_no_sense(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"`{next(iter(values))}` must be"):
        DecisionRule(**values)  # type: ignore[arg-type]
