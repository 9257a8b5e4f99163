"""Templates of self-contained HTML pages."""

from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from mien.drawing.fonts import printable_lines


def open_templates(folder: Path) -> jinja2.Environment:
    """Return the templates in a folder: every value is escaped, an unknown name is an error."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_remove_control_characters,
    )


def _remove_control_characters(value: Any) -> Any:
    """Return a template value without control characters, which for example class names may have."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable_lines(value)
    return value
