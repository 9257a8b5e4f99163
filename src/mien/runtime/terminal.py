"""Safe printing of text from outside: names of files and classes, and messages of libraries."""

import unicodedata


def on_one_line(text: str) -> str:
    r"""Return text that is safe to print on one line: no escape sequences, line breaks or changes of direction.

    Invisible characters, such as controls, are escaped as in Python, as are undecodable bytes of a file name. Letters of
    every script are kept.

    Example:
        >>> on_one_line("\u00e9 \x1b[2J\n\u202egpj.exe \udce9")
        'é \\x1b[2J\\n\\u202egpj.exe \\udce9'
    """
    if text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable() or unicodedata.category(character) == "Zs"
        else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def on_its_lines(text: str) -> str:
    """Return text of several lines with `on_one_line` applied to each."""
    return "\n".join(on_one_line(line) for line in text.split("\n"))
