"""A setting: recipe keys with the values tried for them, as text and as a folder name."""

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from mien.recipe.validation import format_scalar

# The usual limit of a file system is 255 bytes.
_LONGEST_NAME = 120
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._+=,-]+")


def short_names(keys: Sequence[str]) -> list[str]:
    """Return the last part of each key, or the full key if two have the same ending."""
    last = [key.rsplit(".", 1)[-1] for key in keys]
    return [name if last.count(name) == 1 else key for key, name in zip(keys, last, strict=True)]


def name_setting(setting: Mapping[str, Any], *, separator: str = ",") -> str:
    """Return a setting as text, such as ``learning_rate=0.001,epochs=20``."""
    pairs = zip(short_names(list(setting)), setting.values(), strict=True)
    return separator.join(f"{name}={format_value(value)}" for name, value in pairs)


def format_value(value: Any) -> str:
    """Return a recipe's value as YAML writes it, a list without brackets or commas."""
    return "+".join(map(format_scalar, value)) if isinstance(value, list) else format_scalar(value)


def name_folder(setting: Mapping[str, Any]) -> str:
    """Return a setting as a folder name of limited length, with characters that are safe in shells and file systems.

    If characters had to be replaced, the start of a hash keeps settings apart.
    """
    text = name_setting(setting)
    name = _NOT_IN_NAMES.sub("-", text)[:_LONGEST_NAME]
    return name if name == text else f"{name}-{sha256(text.encode()).hexdigest()[:8]}"
