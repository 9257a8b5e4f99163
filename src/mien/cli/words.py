"""What the verbs share: output, options, and the line for an extra that is not installed."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, TypeAlias

from mien.errors import MissingExtraError
from mien.terminal import on_its_lines, on_one_line


def say(text: object) -> None:
    """Print what was asked for; a character that the terminal has not becomes a question mark."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(f"{on_its_lines(str(text))}\n".encode(encoding, "replace").decode(encoding))


def warn(text: str) -> None:
    """Tell something beside it."""
    sys.stderr.write(f"mien: {on_one_line(text)}\n")


class _StoreOnce(argparse.Action):
    """Stores an option's value, and refuses the option a second time: argparse would forget the first one unsaid."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Store."""
        if option_string is not None:
            given = vars(namespace).setdefault("_given", set())
            if self.dest in given:
                parser.error(f"{option_string} is given twice, and can have one value: leave one of them out")
            given.add(self.dest)
        setattr(namespace, self.dest, values)


class Parser(argparse.ArgumentParser):
    """The parser of mien and of each of its verbs."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.register("action", None, _StoreOnce)
        self.register("action", "store", _StoreOnce)


Verbs: TypeAlias = "argparse._SubParsersAction[Parser]"


def add_verb(verbs: Verbs, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    """Add a verb with its summary and an example."""
    return verbs.add_parser(
        name,
        help=summary,
        description=summary,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def add_force(parser: argparse.ArgumentParser) -> None:
    """Add --force."""
    parser.add_argument("--force", action="store_true", help="replace OUT if it exists")


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add --model."""
    parser.add_argument(
        "--model",
        metavar="MODEL",
        help="a file that `mien export` wrote, or the name of a model in the box (default: the one in the box)",
    )


def positive(text: str) -> int:
    """Return the whole number of an option that must be 1 or more."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {value}")
    return value


positive.__name__ = "whole number"


def share(text: str) -> float:
    """Return the number of an option that must be from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be from 0 to 1, got {value}")
    return value


share.__name__ = "number"


def seconds(text: str) -> float:
    """Return the number of an option that must be more than 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be more than 0, got {value}")
    return value


seconds.__name__ = "number"


def camera_index(text: str) -> int:
    """Return the whole number of an option that must be 0 or more."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be 0 or more, got {value}")
    return value


camera_index.__name__ = "whole number"


class needs:  # noqa: N801 - reads as a word: with needs("train", "train")
    """Turns the absence of an extra's packages into one line that names the install command."""

    def __init__(self, verb: str, extra: str) -> None:
        self.verb, self.extra = verb, extra

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("mien"):
            raise MissingExtraError(self.verb, self.extra) from error
