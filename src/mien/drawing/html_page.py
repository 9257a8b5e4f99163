"""Templates of self-contained HTML pages."""

import re
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from mien.drawing.fonts import printable_lines
from mien.runtime.language import Language


def open_templates(folder: Path, language: Language | None = None) -> jinja2.Environment:
    """Return the templates in a folder: every value is escaped, an unknown name is an error.

    Templates of pages in several languages have ``_("sentence with {value}", value=...)``, in which a sentence may have HTML,
    and the filters ``text`` for sentences that other code wrote, with `code` in backticks, and ``class_name``.

    Args:
        folder: where they are.
        language: None for English.
    """
    language = language or Language.load()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_remove_control_characters,
    )

    def show(value: Any) -> Markup:
        return escape(f"{value:,}" if isinstance(value, int) else _remove_control_characters(value))

    def translate(sentence: str, **values: Any) -> Markup:
        return Markup(language.sentence(sentence, values, show))  # noqa: S704 - a template's constant, with escaped values

    def text(value: str) -> Markup:
        # The value is escaped before the markup is added.
        return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(show(language.text(value)))))  # noqa: S704

    def class_name(name: str) -> str:
        return printable_lines(language.class_name(name))

    environment.globals.update(_=translate, language=language.code)
    environment.filters.update(text=text, class_name=class_name)
    return environment


def _remove_control_characters(value: Any) -> Any:
    """Return a template value without control characters, which for example class names may have."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable_lines(value)
    return value
