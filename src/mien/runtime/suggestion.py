"""What an unknown name may have meant."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(wrong: object, known: Iterable[str]) -> str:
    """Return a sentence with the known name that is spelled most like a wrong one, or an empty text.

    It begins with the end of the sentence before.

    Example:
        >>> did_you_mean("wng", ["wing", "mse"])
        '. Did you mean `wing`?'
        >>> did_you_mean("l2", ["wing", "mse"])
        ''
    """
    near = get_close_matches(str(wrong), list(known), n=1)
    return f". Did you mean `{near[0]}`?" if near else ""


def require_known(name: str, value: str, known: Iterable[str]) -> None:
    """Refuse an unknown name.

    Args:
        name: what the value is for, an argument's name.
        value: the name.
        known: all there are.

    Raises:
        ValueError: the value is not among them.
    """
    names = list(known)
    if value not in names:
        raise ValueError(
            f"`{name}` must be one of {', '.join(names)}, got {value!r}{did_you_mean(value, names)}"
        )
