"""What the verbs share: output, options, and the line for an extra that is not installed."""

import argparse
import sys
from typing import Any, TypeAlias

from mien.errors import MissingExtraError


def say(text: object) -> None:
    """Print what was asked for; a character that the terminal has not becomes a question mark."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(f"{text}\n".encode(encoding, "replace").decode(encoding))


def warn(text: str) -> None:
    """Tell something beside it."""
    sys.stderr.write(f"mien: {text}\n")


Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


class _StoreOnce(argparse.Action):
    """Stores a value as argparse does, and refuses a second one: the first would be lost without a word."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option: str | None = None,
    ) -> None:
        given = namespace.__dict__.setdefault("options_given", set())
        if option is not None and self.dest in given:
            parser.error(f"argument {option} is given twice, and takes one value. Give it once")
        given.add(self.dest)
        setattr(namespace, self.dest, values)


class OnceParser(argparse.ArgumentParser):
    """A parser whose options of one value may stand once; so are those of its verbs."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        for name in (None, "store"):
            self.register("action", name, _StoreOnce)


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
