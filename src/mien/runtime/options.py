"""Options as fields of a dataclass: Python and the command line share their names, defaults and limits.

`mien.cli.parser.add_options` adds such a dataclass to a command. Neither this module nor one that defines options imports
anything heavy, because `mien --help` reads all of them.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import Field, field, fields, is_dataclass
from numbers import Real
from typing import Any, TypedDict, Unpack

DETECTOR_HELP = "YuNet's model file (default: $MIEN_DETECTOR, then the user's cache, then a download)"
ENGINE_HELP = (
    "what runs the workers: pool, processes of this machine; ray, the Ray cluster of $RAY_ADDRESS or of this machine; "
    "ray://HOST:PORT, a cluster by the address of its client server"
)
FORCE_HELP = "replace the output if it exists"


class OptionDetails(TypedDict, total=False):
    """What a field may say about its option besides the help text.

    Attributes:
        flag: name on the command line; by default ``--`` and the field's name with hyphens.
        metavar: what the value is called in the help.
        least: smallest value allowed.
        most: largest value allowed.
        above: the value must be larger than this.
        const: the value that the option selects; it takes none on the command line.
        nargs: ``+`` if the option takes several values at once; ``?`` with ``const`` if it may be given without a value.
        parse: converts text to the value; raises a `ValueError` that says what is wrong. ``module:function`` if
            the module is heavy.
        parse_each: the same for each value of an option that may be repeated.
    """

    flag: str
    metavar: str
    least: float
    most: float
    above: float
    const: object
    nargs: str
    parse: Callable[[str], object] | str
    parse_each: Callable[[str], object]


def option(default: Any, help: str, *, repr: bool = True, **details: Unpack[OptionDetails]) -> Any:  # noqa: A002
    """Return a dataclass field that is also a command-line option.

    The field's type decides how text becomes a value: `int`, `float`, `str` or `Path`, each with ``| None``; a `Literal`
    lists the choices; `bool` is a flag without a value; ``tuple[X, ...]`` may be repeated.

    Args:
        default: in Python and on the command line.
        help: what the option does; the default is appended unless it is empty or described here already.
        repr: include the value in the dataclass's repr.
        details: see `OptionDetails`.
    """
    return field(default=default, repr=repr, metadata={"help": help, **details})


def require_number(name: str, value: object) -> None:
    """Check the type of a number, before it is compared with its limits.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"`{name}` must be a number, got {value!r}")


def language_option(of: str) -> Any:
    """Return the field that selects the language of a page or card, which is all that it changes.

    Args:
        of: what is written in that language.
    """
    return option("en", f"language of {of}: en, English; zh, Chinese. Messages and data stay in English")


def name_formats(suffixes: Iterable[str]) -> str:
    """Return the suffixes of a table of formats for a help text.

    Example:
        >>> name_formats({".json": 1, ".md": 2, ".csv": 3})
        '.json, .md or .csv'
    """
    *others, last = suffixes
    return f"{', '.join(others)} or {last}" if others else last


def option_group(options: type, title: str) -> Any:
    """Return a field that holds another dataclass of options, which get a heading of their own in the help, if any."""
    return field(default_factory=options, metadata={"title": title})


def option_flag(field: "Field[Any]") -> str:
    """Return the name of a field's option on the command line."""
    return str(field.metadata.get("flag", f"--{field.name.replace('_', '-')}"))


def option_flags(field: "Field[Any]") -> list[str]:
    """Return the flag of a field's option, or those of the group of options that it holds."""
    if "help" in field.metadata:
        return [option_flag(field)]
    group: Any = field.default_factory
    return [flag for entry in fields(group) for flag in option_flags(entry)]


def given_options(options: Any) -> Iterator[tuple["Field[Any]", Any]]:
    """Yield each option of a dataclass, and of the groups in it, whose value is not the default."""
    for entry in fields(options):
        value = getattr(options, entry.name)
        if is_dataclass(value):
            yield from given_options(value)
        elif value != entry.default:
            yield entry, value
