"""The classes and how the names of other sets map to them."""

import pytest

from mien.faces.classes import (
    AFFECTNET_CLASSES,
    EXPRESSIONS_7,
    EXPRESSIONS_8,
    canonical_class,
    check_class_names,
    current_class,
    ordered_classes,
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
    """A class is found by its own name, ignoring case."""
    assert canonical_class(f" {name} ") in AFFECTNET_CLASSES


@pytest.mark.parametrize(
    ("name", "expected"),
    [("happiness", "Happy"), ("angry", "Anger"), ("non-face", "NonFace"), ("bored", None), ("疲倦", None)],
)
def test_other_words(name: str, expected: str | None) -> None:
    """Words of other sets mean a class, or none."""
    assert canonical_class(name) == expected


@pytest.mark.parametrize(
    "words", ["中性 高兴 悲伤 惊讶 恐惧 厌恶 愤怒 轻蔑", "中性 高興 悲傷 驚訝 恐懼 厭惡 憤怒 輕蔑"]
)
def test_chinese_words(words: str) -> None:
    """The eight expressions, in simplified and traditional characters."""
    assert tuple(map(canonical_class, words.split())) == EXPRESSIONS_8


def test_order_of_mixed_classes() -> None:
    """Known classes come in AffectNet's order, others after them alphabetically."""
    assert ordered_classes({"zeal", "Contempt", "bored", "Neutral"}) == (
        "Neutral",
        "Contempt",
        "bored",
        "zeal",
    )


def test_names_of_earlier_releases() -> None:
    """They are the current ones, and so are the words of other sets for the same class."""
    assert [current_class(name) for name in ("None", "NoneOfEight", "Sad", "bored")] == [
        "NoneOfEight", "NoneOfEight", "Sad", "bored",
    ]  # fmt: skip
    assert canonical_class("None") == canonical_class("noneofeight") == "NoneOfEight"


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (AFFECTNET_CLASSES, None),
        (("bored", "中文", "می\u200cخندد"), None),
        (("Happy", "Happy"), "'Happy' is repeated"),
        (("Happy", "a\nb"), "line break"),
        (("Happy", "\x1b[2J"), "control character"),
        (("Happy", "a\u2028b"), "line break"),
        (("Happy", 3), "3 is not a string"),
    ],
)
def test_names_that_no_class_can_have(names: tuple[str, ...], told: str | None) -> None:
    problem = check_class_names(names)
    assert problem is None if told is None else told in str(problem)
