"""The expression classes, and how the names of other data sets map to them.

AffectNet numbers eleven classes (Mollahosseini et al. 2017, https://arxiv.org/abs/1708.03985, table 3).
Every other set is mapped to them by name, never by position. AffectNet calls its ninth class None, for "none of the eight".
pandas and other programs read that word in a table as a missing value and lose its rows, so here it is ``NoneOfEight``.
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
    # Chinese, simplified and traditional.
    "中性": "Neutral", "中立": "Neutral", "平静": "Neutral", "平靜": "Neutral", "无表情": "Neutral", "無表情": "Neutral",
    "高兴": "Happy", "高興": "Happy", "开心": "Happy", "開心": "Happy", "快乐": "Happy", "快樂": "Happy",
    "悲伤": "Sad", "悲傷": "Sad", "伤心": "Sad", "傷心": "Sad", "难过": "Sad", "難過": "Sad",
    "惊讶": "Surprise", "驚訝": "Surprise", "吃惊": "Surprise", "吃驚": "Surprise",
    "恐惧": "Fear", "恐懼": "Fear", "害怕": "Fear",
    "厌恶": "Disgust", "厭惡": "Disgust",
    "愤怒": "Anger", "憤怒": "Anger", "生气": "Anger", "生氣": "Anger",
    "轻蔑": "Contempt", "輕蔑": "Contempt", "蔑视": "Contempt", "蔑視": "Contempt",
}  # fmt: skip

# Names in packs, runs, models and reports of earlier releases.
_EARLIER_NAMES = {"None": "NoneOfEight"}

# What pandas.read_csv treats as a missing value, quoted or not. R and others share some of these.
MISSING_VALUES = frozenset({
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
})  # fmt: skip


def canonical_class(name: str) -> str | None:
    """Return AffectNet's name for a class name of another data set, or None if it has none.

    Example:
        >>> canonical_class("happiness"), canonical_class("高兴"), canonical_class("boredom")
        ('Happy', 'Happy', None)
    """
    return _SYNONYMS.get(unicodedata.normalize("NFC", name).strip().lower())


def ordered_classes(names: set[str]) -> tuple[str, ...]:
    """Return class names in AffectNet's order, followed by all others in alphabetical order.

    Example:
        >>> ordered_classes({"bored", "Sad", "Neutral"})
        ('Neutral', 'Sad', 'bored')
    """
    known = [name for name in AFFECTNET_CLASSES if name in names]
    return (*known, *sorted(names.difference(AFFECTNET_CLASSES)))


def current_class(name: str) -> str:
    """Return the current name of a class, given its name in this or an earlier release.

    Example:
        >>> current_class("None"), current_class("Happy")
        ('NoneOfEight', 'Happy')
    """
    return _EARLIER_NAMES.get(name, name)


def check_class_names(names: Iterable[str]) -> str | None:
    """Return why names cannot be class names, as a phrase, or None if they can.

    They appear in column headers and lines of text: each must be a unique string on one line.

    Example:
        >>> check_class_names(["Happy", "Sad", "Happy"])
        "'Happy' is repeated"
    """
    seen: set[str] = set()
    for name in names:
        if not isinstance(name, str):
            return f"{name!r:.80} is not a string"
        if not 0 < len(name) <= LONGEST_CLASS_NAME:
            return f"{name!r:.80} has {len(name)} characters instead of 1 to {LONGEST_CLASS_NAME}"
        if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in name):
            return f"{name!r:.80} contains a line break or another control character"
        if name in seen:
            return f"{name!r:.80} is repeated"
        seen.add(name)
    return None
