"""The languages of what people read: pages and cards.

A sentence is written in English where it is used; ``locales/<code>.yaml`` has its translation, found by the English. Some are
recognized with their values filled in: these come from code that also prints them or writes them into an artifact. What has
no translation, such as a name, stays as it is.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

LanguageCode = Literal["en", "zh"]
_PLACEHOLDER = re.compile(r"\{(\w+)(?::(text|class))?\}")


class Language:
    """English, or a language into which it is translated.

    Attributes:
        code: as in the attribute ``lang`` of HTML.
        sentences: translation by English sentence; both may have ``{placeholders}``. In the translation, the value of
            ``{name:text}`` is translated as well, and that of ``{name:class}`` is the name of a class.
        filled: those that are recognized with their values filled in.
        classes: translation by name of a class.
    """

    def __init__(
        self, code: str, sentences: Mapping[str, str], filled: Mapping[str, str], classes: Mapping[str, str]
    ) -> None:
        self.code, self.classes = code, classes
        self.sentences = {**sentences, **filled}
        # The more of a sentence is not placeholders, the less else it can be taken for.
        ordered = sorted(filled, key=lambda english: -len(_PLACEHOLDER.sub("", english)))
        self._patterns = [(_compile(english), english) for english in ordered]

    @classmethod
    @cache
    def load(cls, code: LanguageCode = "en") -> "Language":
        """Return a language.

        Raises:
            ValueError: it is none of `LanguageCode`.
        """
        if code not in get_args(LanguageCode):
            raise ValueError(f"`language` must be one of {', '.join(get_args(LanguageCode))}, got {code!r}")
        if code == "en":
            return cls("en", {}, {}, {})
        import yaml  # noqa: PLC0415 - only a translation needs it

        table = yaml.safe_load((Path(__file__).parent / "locales" / f"{code}.yaml").read_text("utf-8"))
        sentences, filled = (
            {entry["en"]: entry[code] for entry in table[part]} for part in ("sentences", "filled")
        )
        return cls(table["code"], sentences, filled, table["classes"])

    def sentence(
        self, english: str, values: Mapping[str, Any] = MappingProxyType({}), form: Callable[[Any], str] = str
    ) -> str:
        """Return the translation of a sentence, with its values.

        Args:
            english: may have ``{placeholders}``.
            values: one for each placeholder.
            form: makes text of a value.
        """

        def insert(match: re.Match[str]) -> str:
            value = values[match[1]]
            if match[2] == "text":
                value = self.text(value)
            elif match[2] == "class":
                value = self.class_name(value)
            return form(value)

        return _PLACEHOLDER.sub(insert, self.sentences.get(english, english))

    def text(self, text: str) -> str:
        """Return the translation of a sentence that has its values already.

        Example:
            >>> Language("x", {}, {"{n} of {m}": "{m}/{n}"}, {}).text("2 of 3")
            '3/2'
        """
        if text in self.sentences:
            return self.sentences[text]
        for pattern, english in self._patterns:
            if match := pattern.fullmatch(text):
                return self.sentence(english, match.groupdict())
        return text

    def class_name(self, name: str) -> str:
        """Return the name of a class in this language, if there is one, and as the model has it."""
        return f"{self.classes[name]} {name}" if name in self.classes else name


def _compile(english: str) -> re.Pattern[str]:
    """Return the pattern of a sentence with its values filled in."""
    # Text and the names of placeholders alternate.
    parts = re.split(r"\{(\w+)\}", english)
    parts[::2] = map(re.escape, parts[::2])
    parts[1::2] = [f"(?P<{name}>.*?)" for name in parts[1::2]]
    return re.compile("".join(parts), re.DOTALL)
