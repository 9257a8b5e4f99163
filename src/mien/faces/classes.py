"""The expression classes and how other sets' names map onto them.

AffectNet numbers eleven classes (Mollahosseini et al. 2017, https://arxiv.org/abs/1708.03985, table 3).
Every other set is mapped onto them by name, never by position. AffectNet calls its ninth class None: "none of the eight".
As a cell of a table that is a missing value, to pandas and others, so that its rows would be lost: here it is ``NoneOfEight``.
"""

import unicodedata
from collections.abc import Iterable

AFFECTNET_CLASSES = (
    "Neutral",
    "Happy",
    "Sad",
    "Surprise",
    "Fear",
    "Disgust",
    "Anger",
    "Contempt",
    "NoneOfEight",
    "Uncertain",
    "NonFace",
)
EXPRESSIONS_8 = AFFECTNET_CLASSES[:8]
EXPRESSIONS_7 = AFFECTNET_CLASSES[:7]
LONGEST_CLASS_NAME = 200

_SYNONYMS = {
    "neutral": "Neutral", "neutrality": "Neutral", "normal": "Neutral",
    "happy": "Happy", "happiness": "Happy", "joy": "Happy", "smile": "Happy", "smiling": "Happy",
    "sad": "Sad", "sadness": "Sad",
    "surprise": "Surprise", "surprised": "Surprise",
    "fear": "Fear", "fearful": "Fear", "afraid": "Fear", "scared": "Fear",
    "disgust": "Disgust", "disgusted": "Disgust",
    "anger": "Anger", "angry": "Anger",
    "contempt": "Contempt", "contemptuous": "Contempt",
    "none": "NoneOfEight", "noneofeight": "NoneOfEight", "uncertain": "Uncertain", "nonface": "NonFace", "non-face": "NonFace", "nf": "NonFace",
}  # fmt: skip

# What packs, runs, models and reports of earlier releases may name.
_EARLIER_NAMES = {"None": "NoneOfEight"}

# What pandas.read_csv takes for a missing value, in quotes or not. R and others know some of these words.
MISSING_VALUES = frozenset({
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
})  # fmt: skip


def canonical_class(name: str) -> str | None:
    """Return AffectNet's name for an expression in another set's words, or None where it has none.

    Example:
        >>> canonical_class("happiness"), canonical_class("boredom")
        ('Happy', None)
    """
    return _SYNONYMS.get(name.strip().lower())


def ordered_classes(names: set[str]) -> tuple[str, ...]:
    """Return class names in AffectNet's order, names that it does not have after them by alphabet.

    Example:
        >>> ordered_classes({"bored", "Sad", "Neutral"})
        ('Neutral', 'Sad', 'bored')
    """
    known = [name for name in AFFECTNET_CLASSES if name in names]
    return (*known, *sorted(names.difference(AFFECTNET_CLASSES)))


def current_class(name: str) -> str:
    """Return today's name of a class that a file of an earlier release may name.

    Example:
        >>> current_class("None"), current_class("Happy")
        ('NoneOfEight', 'Happy')
    """
    return _EARLIER_NAMES.get(name, name)


def problem_of_names(names: Iterable[str]) -> str | None:
    """Return what keeps names from being classes, in words, or None where nothing does.

    They head columns and stand in lines: each must be text on one line, and stand once.

    Example:
        >>> problem_of_names(["Happy", "Sad", "Happy"])
        "'Happy' stands twice"
    """
    seen: set[str] = set()
    for name in names:
        if not isinstance(name, str):
            return f"{name!r:.80} is no text"
        if not 0 < len(name) <= LONGEST_CLASS_NAME:
            return f"{name!r:.80} has {len(name)} characters, not 1 to {LONGEST_CLASS_NAME}"
        if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in name):
            return f"{name!r:.80} holds a line break or another control character"
        if name in seen:
            return f"{name!r:.80} stands twice"
        seen.add(name)
    return None
