"""Safe printing of text from outside: names of files and classes, and messages of libraries."""

import unicodedata
from collections.abc import Container


def on_one_line(text: str) -> str:
    r"""Return text that is safe to print on one line: no escape sequences, line breaks or changes of direction.

    Invisible characters, such as controls, are escaped as in Python, as are undecodable bytes of a file name. Letters of
    every script are kept.

    Example:
        >>> on_one_line("\u00e9 \x1b[2J\n\u202egpj.exe \udce9")
        'é \\x1b[2J\\n\\u202egpj.exe \\udce9'
    """
    return text if text.isprintable() else escape_invisible(text)


def escape_invisible(text: str, *, keep: Container[str] = ()) -> str:
    """Return text with every character that is neither printable nor a space escaped, except those to keep."""
    return "".join(
        character
        if character.isprintable() or character in keep or unicodedata.category(character) == "Zs"
        else escape(character)
        for character in text
    )


def escape(text: str) -> str:
    """Return text in ASCII, with escapes as in Python."""
    return text.encode("unicode_escape").decode("ascii")


def on_its_lines(text: str) -> str:
    """Return text of several lines with `on_one_line` applied to each."""
    return "\n".join(on_one_line(line) for line in text.split("\n"))
