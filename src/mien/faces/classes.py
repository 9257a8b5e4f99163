"""The expression classes and how other sets' names map onto them.

AffectNet numbers eleven classes (Mollahosseini et al. 2017, https://arxiv.org/abs/1708.03985, table 3).
Every other set is mapped onto them by name, never by position.
"""

import unicodedata

AFFECTNET_CLASSES = (
    "Neutral",
    "Happy",
    "Sad",
    "Surprise",
    "Fear",
    "Disgust",
    "Anger",
    "Contempt",
    "None",
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
    "none": "None", "uncertain": "Uncertain", "nonface": "NonFace", "non-face": "NonFace", "nf": "NonFace",
}  # fmt: skip


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


def is_class_name(name: object) -> bool:
    """Whether a value can name a class: some text without control characters, which a terminal would obey."""
    return (
        isinstance(name, str)
        and 0 < len(name) <= LONGEST_CLASS_NAME
        and not any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name)
    )
