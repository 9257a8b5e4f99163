"""The classes and how the names of other sets map to them."""

import pytest

from mien.faces.classes import (
    AFFECTNET_CLASSES,
    EXPRESSIONS_7,
    EXPRESSIONS_8,
    canonical_class,
    check_class_names,
    check_new_class_names,
    current_class,
    ordered_classes,
    similar_class,
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
    [
        *(
            ("happiness", "Happy"),
            ("angry", "Anger"),
            ("non-face", "NonFace"),
            ("bored", None),
            ("疲倦", None),
        ),
        *(("0 - Angry", "Anger"), ("03_happy", "Happy"), ("non_face", "NonFace"), ("Überrascht", "Surprise")),
        *(("happy2", None), ("2", None), ("happy face", None)),
    ],
)
def test_other_words(name: str, expected: str | None) -> None:
    """Words of other sets mean a class, or none."""
    assert canonical_class(name) == expected


@pytest.mark.parametrize(
    "words",
    [
        "中性 高兴 悲伤 惊讶 恐惧 厌恶 愤怒 轻蔑",
        "中性 高興 悲傷 驚訝 恐懼 厭惡 憤怒 輕蔑",
        "無表情 喜び 悲しみ 驚き 恐れ 嫌悪 怒り 軽蔑",
        "중립 행복 슬픔 놀람 두려움 혐오 분노 경멸",
        "neutral freude trauer überraschung angst ekel wut verachtung",
        "neutre joie tristesse surprise peur dégoût colère mépris",
        "neutro alegría tristeza sorpresa miedo asco ira desprecio",
    ],
)
def test_words_of_other_languages(words: str) -> None:
    """The eight expressions in the words of each."""
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


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *(("emo_happy", "Happy"), ("Sad faces", "Sad"), ("suprized", "Surprise"), ("angery", "Anger")),
        *(("happy or sad", None), ("bored", None), ("person 3", None), ("sleepy", None)),
    ],
)
def test_similar_names(name: str, expected: str | None) -> None:
    """A word of one class, or a typo in it."""
    assert similar_class(name) == expected


def test_names_that_look_the_same_are_refused() -> None:
    """Accents have two encodings, which no table or terminal shows."""
    assert check_new_class_names(("m\u00fcde", "froh")) is None
    told = check_new_class_names(("m\u00fcde", "mu\u0308de"))
    assert "differ only in how accents are encoded: write them alike" in str(told)
    told = check_new_class_names(("m\u00fcde", "Mu\u0308de"))
    assert "differ only in case or blanks" in str(told)
