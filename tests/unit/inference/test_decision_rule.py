"""From probabilities to the predicted expression."""

import numpy as np
import pytest

from mien.errors import ModelError
from mien.faces.classes import AFFECTNET_CLASSES
from mien.inference.decision_rule import ClassCount, DecisionRule, Prior

ELEVEN = tuple(AFFECTNET_CLASSES)
# Contempt is the most probable of all eleven classes, Sad of the first seven.
PROBABILITIES = np.array([0.1, 0.05, 0.2, 0.05, 0.05, 0.05, 0.1, 0.3, 0.05, 0.03, 0.02])


def test_default_is_all_classes_of_the_model() -> None:
    expression, confidence, probabilities = DecisionRule().decide(PROBABILITIES, ELEVEN)
    assert (expression, confidence) == ("Contempt", pytest.approx(0.3))
    assert list(probabilities.values()) == pytest.approx(PROBABILITIES.tolist())


def test_probabilities_are_renormalized_over_seven_classes() -> None:
    expression, confidence, probabilities = DecisionRule(7).decide(PROBABILITIES, ELEVEN)
    assert list(probabilities) == list(ELEVEN[:7])
    assert expression == "Sad"
    assert confidence == pytest.approx(0.2 / 0.6)
    assert sum(probabilities.values()) == pytest.approx(1)


def test_the_order_of_the_model_is_kept() -> None:
    classes = ELEVEN[::-1]
    _, _, probabilities = DecisionRule(8).decide(PROBABILITIES[::-1], classes)
    assert list(probabilities) == list(classes[3:])


@pytest.mark.parametrize(("min_confidence", "expression"), [(0.3, "Contempt"), (0.31, "unsure")])
def test_below_the_minimum_confidence_is_unsure(min_confidence: float, expression: str) -> None:
    decided, confidence, probabilities = DecisionRule(min_confidence=min_confidence).decide(
        PROBABILITIES, ELEVEN
    )
    assert decided == expression
    assert confidence == pytest.approx(0.3)
    assert len(probabilities) == 11


def test_top_k_keeps_the_order_of_the_model() -> None:
    _, _, probabilities = DecisionRule(top=2).decide(PROBABILITIES, ELEVEN)
    assert list(probabilities) == ["Sad", "Contempt"]
    assert probabilities["Sad"] == pytest.approx(0.2)


def test_a_model_that_lacks_a_requested_class() -> None:
    with pytest.raises(ModelError, match=r"does not know Contempt: it has 7"):
        DecisionRule(8).decide(PROBABILITIES[:7], ELEVEN[:7])


@pytest.mark.parametrize(
    "values",
    [{"n_classes": 6}, {"min_confidence": 1.5}, {"min_confidence": -0.1}, {"top": 0}, {"prior": "uniform"}],
)
def test_invalid_rules_are_rejected(values: dict[str, float]) -> None:
    name = next(iter(values)).removeprefix("n_")
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        DecisionRule(**values)  # type: ignore[arg-type]


FRACTIONS = np.array([0.3, 0.3, 0.05, 0.1, 0.05, 0.02, 0.1, 0.05, 0.01, 0.01, 0.01])


@pytest.mark.parametrize(("prior", "exponent"), [("half", 0.5), ("balanced", 1.0)])
@pytest.mark.parametrize("n_classes", [None, 7])
def test_prior_divides_by_the_class_fractions(prior: Prior, exponent: float, n_classes: ClassCount) -> None:
    _, confidence, probabilities = DecisionRule(n_classes, prior=prior).decide(
        PROBABILITIES, ELEVEN, FRACTIONS
    )
    n = n_classes or 11
    weighted = [p / f**exponent for p, f in zip(PROBABILITIES[:n], FRACTIONS[:n], strict=True)]
    assert list(probabilities.values()) == pytest.approx([value / sum(weighted) for value in weighted])
    assert confidence == pytest.approx(max(weighted) / sum(weighted))


def test_prior_comes_before_the_answer_and_its_confidence() -> None:
    probabilities, fractions = np.array([0.6, 0.4]), np.array([0.9, 0.1])
    classes = ("Neutral", "Disgust")
    assert DecisionRule().decide(probabilities, classes, fractions)[:2] == ("Neutral", 0.6)
    balanced = 0.4 / 0.1 / (0.6 / 0.9 + 0.4 / 0.1)
    rule = DecisionRule(min_confidence=0.85, prior="balanced", top=1)
    assert rule.decide(probabilities, classes, fractions) == (
        "Disgust",
        pytest.approx(balanced),
        {"Disgust": pytest.approx(balanced)},
    )
    assert (
        DecisionRule(min_confidence=0.86, prior="balanced").decide(probabilities, classes, fractions)[0]
        == "unsure"
    )


def test_a_prior_without_fractions_is_an_error() -> None:
    with pytest.raises(ValueError, match="needs `class_fractions`"):
        DecisionRule(prior="half").decide(PROBABILITIES, ELEVEN)
