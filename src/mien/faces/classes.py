"""The expression classes, and how the names of other datasets map to them.

AffectNet numbers eleven classes (Mollahosseini et al. 2017, https://arxiv.org/abs/1708.03985, table 3).
Every other set is mapped to them by name, never by position. AffectNet calls its ninth class None, for "none of the eight".
pandas and other programs read that word in a table as a missing value and lose its rows, so here it is ``NoneOfEight``.
"""

import difflib
import re
import unicodedata
from collections.abc import Collection, Iterable

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
# The answer for a face without a certain class.
UNSURE = "unsure"
LONGEST_CLASS_NAME = 200

# What datasets call them, in lower case, without blanks, hyphens and underscores: English, German, French, Spanish,
# Portuguese, Italian, Russian, Chinese (simplified and traditional), Japanese, Korean.
_NAMES = {
    "Neutral": "neutral neutrality normal neutre neutro neutrale нейтрально нейтральный 中性 中立 平静 平靜 无表情 無表情 真顔 중립 무표정",
    "Happy": "happy happiness joy smile smiling freude fröhlich glücklich joie bonheur heureux heureuse joyeux feliz felicidad alegría "
    "alegre felicidade alegria felice felicità gioia радость счастье 高兴 高興 开心 開心 快乐 快樂 喜び 幸せ 笑顔 기쁨 행복",
    "Sad": "sad sadness trauer traurig traurigkeit triste tristesse tristeza tristezza грусть печаль 悲伤 悲傷 伤心 傷心 难过 難過 "
    "悲しみ 슬픔",
    "Surprise": "surprise surprised suprise überraschung überrascht surpris sorpresa sorprendido surpresa surpreso удивление 惊讶 驚訝 吃惊 "
    "吃驚 驚き 놀람",
    "Fear": "fear fearful afraid scared angst furcht ängstlich peur miedo medo paura страх 恐惧 恐懼 害怕 恐れ 恐怖 두려움 공포",
    "Disgust": "disgust disgusted ekel dégoût asco disgusto nojo отвращение 厌恶 厭惡 嫌悪 혐오",
    "Anger": "anger angry wut wütend ärger zorn colère ira enojo enfado rabia raiva rabbia гнев злость 愤怒 憤怒 生气 生氣 怒り 분노",
    "Contempt": "contempt contemptuous verachtung mépris desprecio desprezo disprezzo презрение 轻蔑 輕蔑 蔑视 蔑視 軽蔑 경멸",
    "NoneOfEight": "none noneofeight",
    "Uncertain": "uncertain",
    "NonFace": "nonface nf",
}
_CLASS_OF = {word: name for name, words in _NAMES.items() for word in words.split()}
# By whose first letters names are short, such as KDEF's AF and JAFFE's FE.
_ENGLISH = [
    (word, name)
    for name in EXPRESSIONS_8
    for word in (*_NAMES[name].split()[:1], "happiness", "sadness", "afraid", "angry")
    if _CLASS_OF[word] == name
]
_ORDINAL = re.compile(r"\d+[\W_]*(?=[^\W\d_])")

# Names in packs, runs, models and reports of earlier releases.
_EARLIER_NAMES = {"None": "NoneOfEight"}

# What pandas.read_csv treats as a missing value, quoted or not. R and others share some of these.
MISSING_VALUES = frozenset({
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
})  # fmt: skip


def canonical_class(name: str) -> str | None:
    """Return AffectNet's name for a class name of another dataset, or None if it has none.

    A number in front of the name, by which folders are sorted, does not count.

    Example:
        >>> canonical_class("happiness"), canonical_class("高兴"), canonical_class("3_Non-Face"), canonical_class("boredom")
        ('Happy', 'Happy', 'NonFace', None)
    """
    lowered = unicodedata.normalize("NFC", name).strip().lower()
    without_number = _ORDINAL.sub("", lowered, count=1) if lowered[:1].isdecimal() else lowered
    return _CLASS_OF.get(re.sub(r"[\s_-]", "", without_number))


def contained_classes(name: str) -> set[str]:
    """Return AffectNet's classes whose names, in any language, are words of a text.

    Example:
        >>> sorted(contained_classes("Anger, fear")), contained_classes("bored")
        (['Anger', 'Fear'], set())
    """
    lowered = unicodedata.normalize("NFC", name).strip().lower()
    return {_CLASS_OF[word] for word in re.findall(r"[^\W\d_]+", lowered) if word in _CLASS_OF}


def similar_class(name: str) -> str | None:
    """Return the class that a name without one may mean: it contains that class's name as a word, is short for it, or has a typo.

    Example:
        >>> similar_class("face_happy"), similar_class("Angrry"), similar_class("Hapy"), similar_class("bored")
        ('Happy', 'Anger', 'Happy', None)
        >>> similar_class("not sad, angry") is None
        True
        >>> similar_class("HA"), similar_class("ang"), similar_class("n")
        ('Happy', 'Anger', None)
    """
    lowered = unicodedata.normalize("NFC", name).strip().lower()
    words = contained_classes(name)
    if words:
        return words.pop() if len(words) == 1 else None
    if 2 <= len(lowered) <= 4:
        short = {name for word, name in _ENGLISH if word.startswith(lowered)}
        if short:
            return short.pop() if len(short) == 1 else None
    close = difflib.get_close_matches(lowered, [word for word in _CLASS_OF if len(word) > 3], n=1, cutoff=0.8)
    return _CLASS_OF[close[0]] if close else None


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


def check_new_class_names(names: Collection[str]) -> str | None:
    """Return why classes that a user names cannot have these names, as a phrase, or None if they can.

    Beyond `check_class_names`: no two are one name in different spellings, and none is what a face without a certain class
    is called.
    """
    if UNSURE in (" ".join(name.split()).casefold() for name in names if isinstance(name, str)):
        return f"a face without a certain class is called {UNSURE!r}"
    return check_class_names(names) or _check_spellings(names)


def _check_spellings(names: Iterable[str]) -> str | None:
    """Return which two names are one in different spellings, as a phrase, or None if there are none.

    Letters with accents have two forms, of which macOS writes one in the names of files.

    Example:
        >>> _check_spellings(["Happy", "Sad", "happy "])
        "'Happy' and 'happy ' differ only in case or blanks: write them alike, or name one of them in another way"
    """
    spellings: dict[str, str] = {}
    for name in names:
        composed = unicodedata.normalize("NFC", name)
        other = spellings.setdefault(" ".join(composed.split()).casefold(), name)
        if other != name:
            is_same = unicodedata.normalize("NFC", other) == composed
            how = "how accents are encoded" if is_same else "case or blanks"
            return f"{other!r} and {name!r} differ only in {how}: write them alike, or name one of them in another way"
    return None
