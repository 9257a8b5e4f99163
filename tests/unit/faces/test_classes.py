"""The classes and how other sets' names map onto them."""

import pytest

from mien.faces.classes import (
    AFFECTNET_CLASSES,
    EXPRESSIONS_7,
    EXPRESSIONS_8,
    canonical_class,
    current_class,
    ordered_classes,
    problem_of_names,
)


def test_affectnet_numbers() -> None:
    """The order is the one of the paper's table 3, which the released lists number from 0."""
    assert AFFECTNET_CLASSES == (
        "Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger", "Contempt", "NoneOfEight", "Uncertain",
        "NonFace",
    )  # fmt: skip
    assert set(EXPRESSIONS_8) - set(EXPRESSIONS_7) == {"Contempt"}


@pytest.mark.parametrize("name", [*AFFECTNET_CLASSES, *(name.upper() for name in AFFECTNET_CLASSES)])
def test_every_class_is_its_own_name(name: str) -> None:
    """A class is found by its own name, capitals aside."""
    assert canonical_class(f" {name} ") in AFFECTNET_CLASSES


@pytest.mark.parametrize(
    ("name", "expected"),
    [("happiness", "Happy"), ("angry", "Anger"), ("non-face", "NonFace"), ("bored", None)],
)
def test_other_words(name: str, expected: str | None) -> None:
    """Words of other sets stand for a class, or for none."""
    assert canonical_class(name) == expected


def test_order_of_mixed_classes() -> None:
    """Known classes come in AffectNet's order, others after them by alphabet."""
    assert ordered_classes({"zeal", "Contempt", "bored", "Neutral"}) == (
        "Neutral",
        "Contempt",
        "bored",
        "zeal",
    )


def test_names_of_earlier_releases() -> None:
    """They are today's, and so is the word of other sets for the same class."""
    assert [current_class(name) for name in ("None", "NoneOfEight", "Sad", "bored")] == [
        "NoneOfEight", "NoneOfEight", "Sad", "bored",
    ]  # fmt: skip
    assert canonical_class("None") == canonical_class("noneofeight") == "NoneOfEight"


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (AFFECTNET_CLASSES, None),
        (("bored", "中文", "می\u200cخندد"), None),
        (("Happy", "Happy"), "'Happy' stands twice"),
        (("Happy", "a\nb"), "line break"),
        (("Happy", "\x1b[2J"), "control character"),
        (("Happy", "a\u2028b"), "line break"),
        (("Happy", 3), "3 is no text"),
    ],
)
def test_names_that_no_class_can_have(names: tuple[str, ...], told: str | None) -> None:
    problem = problem_of_names(names)
    assert problem is None if told is None else told in str(problem)
