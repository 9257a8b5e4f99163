"""Text of others on a terminal: names of files and classes, and what libraries say of them."""

import unicodedata


def on_one_line(text: str) -> str:
    r"""Return text that shows itself and does nothing: no escape sequence, no line break, no change of direction.

    Characters that are not seen, such as controls, are written as Python would; so are bytes of a file name that are
    no text. Letters of any script stay.

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
    """Return text of several lines, each as `on_one_line` gives it."""
    return "\n".join(on_one_line(line) for line in text.split("\n"))
