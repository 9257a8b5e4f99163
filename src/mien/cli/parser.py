"""What the commands share: the parser, and options that come from the fields of a dataclass."""

import argparse
import difflib
import os
import pkgutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import Field, fields
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

from mien.assets import RECIPES
from mien.errors import MissingExtraError
from mien.runtime.addresses import local_path
from mien.runtime.options import DETECTOR_HELP, FORCE_HELP, option_flag

Options = TypeVar("Options")
PACK_HELP = "pack written by `mien prepare`, or its address, such as s3://bucket/my.pack"


class _StoreOnce(argparse.Action):
    """Stores an option's value and rejects a second one; argparse would silently drop the first."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Store the value."""
        if option_string is not None:
            given = vars(namespace).setdefault("_given", set())
            if self.dest in given:
                parser.error(f"{option_string} is given twice but takes one value: remove one of them")
            given.add(self.dest)
        setattr(namespace, self.dest, values)


class Parser(argparse.ArgumentParser):
    """The parser of `mien` and of each command. Its errors suggest the command, choice or option that may have been meant."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options)
        self.register("action", None, _StoreOnce)
        self.register("action", "store", _StoreOnce)
        self.arguments: list[str] = []

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse what is known, and remember the arguments for `error`."""
        self.arguments = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Print the usage and the message, and exit with 2."""
        choices = [str(choice) for action in self._actions for choice in action.choices or ()]
        for argument in self.arguments:
            if f"invalid choice: {argument!r}" in message:
                hints = difflib.get_close_matches(argument, choices, n=1)
                text = "".join(f". Did you mean `{hint}`?" for hint in hints)
                if not hints and "COMMAND" in message and os.path.exists(argument):  # noqa: PTH110 - any text
                    text = f". Did you mean `mien predict {argument}`?"
                super().error(message + text)
        hint = "" if "Did you mean" in message else self.suggest_options(self.arguments)
        super().error(message + hint)

    def suggest_options(self, arguments: Sequence[str]) -> str:
        """Return a sentence on the first unknown option that resembles a known one or is a file, or an empty text."""
        known = [name for action in self._actions for name in action.option_strings]
        words = [name.lstrip("-") for name in known]  # without the dashes, which all have in common
        for argument in arguments:
            name = argument.partition("=")[0]
            if name.startswith("--") and "." not in name and name not in known:
                for hint in difflib.get_close_matches(name[2:], words, n=1, cutoff=0.65):
                    return f". Did you mean `--{hint}` instead of `{name}`?"
            if name.startswith("-") and name not in known and os.path.lexists(argument):
                return f". For the file of this name, write `./{argument}`"
        return ""

    def suggest(self, words: Sequence[str]) -> str:
        """Return a sentence on the option that was meant by words that were not understood, or an empty text."""
        word = words[0] if words else "-"
        kinds = {
            "--model": word.endswith(".onnx"),
            "--pack": Path(word, "pack.json").is_file(),
            "--recipe": word.endswith((".yaml", ".yml")) or Path(RECIPES, f"{word}.yaml").is_file(),
        }
        known = [name for action in self._actions for name in action.option_strings]
        for name in (name for name, fits in kinds.items() if fits and name in known):
            return f". Did you mean `{name} {word}`?"
        return self.suggest_options(words)


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


def add_command(commands: Commands, name: str, summary: str, example: str, **options: Any) -> Parser:
    """Add a command with its summary and an example."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=textwrap.fill(summary, 100),
        epilog=f"example:\n  {example}",
        **options,
    )
    parser.set_defaults(parser=parser)
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="print no progress and no notices; warnings remain"
    )
    return parser


def add_model(parser: Parser) -> None:
    """Add --model."""
    parser.add_argument(
        "--model",
        metavar="MODEL",
        help="file written by `mien export` or `mien teach`, its address on the Hugging Face Hub "
        "(hf://ORG/NAME[@REVISION]), or name of a bundled model (default: the bundled default model)",
    )


def add_detector(parser: Parser) -> None:
    """Add --detector, for a command without a dataclass of options."""
    parser.add_argument("--detector", type=Path, metavar="FILE", help=DETECTOR_HELP)


def add_force(parser: Parser) -> None:
    """Add --force, for a command without a dataclass of options."""
    parser.add_argument("--force", action="store_true", help=FORCE_HELP)


def add_options(parser: argparse._ActionsContainer, options: type) -> None:
    """Add an option for each field of a dataclass that was made by `mien.runtime.options.option`.

    Fields that hold another dataclass add the options of that one, unless they are None by default.
    """
    for field, kind in _typed_fields(options):
        if hasattr(kind, "__dataclass_fields__") and field.default is not None:
            title = field.metadata.get("title")
            add_options(parser.add_argument_group(title) if title else parser, kind)
        elif "help" in field.metadata:
            parser.add_argument(option_flag(field), dest=field.name, **_argument(field, kind))


def read_options(options: type[Options], namespace: argparse.Namespace) -> Options:
    """Return the dataclass that `add_options` added, with the values of a command line.

    Values that exclude each other are a wrong usage.
    """
    values: dict[str, Any] = {}
    for field, kind in _typed_fields(options):
        if hasattr(kind, "__dataclass_fields__") and field.default is not None:
            values[field.name] = read_options(kind, namespace)
        elif "help" in field.metadata:
            value = getattr(namespace, field.name)
            values[field.name] = tuple(value) if isinstance(value, list) else value
    try:
        return options(**values)
    except ValueError as error:
        message = str(error)
        for field in fields(options):  # type: ignore[arg-type]
            if "help" in field.metadata:
                message = message.replace(f"`{field.name}`", option_flag(field))
        parser: Parser = namespace.parser
        parser.error(message)


def _typed_fields(options: type) -> Iterator[tuple["Field[Any]", Any]]:
    """Yield each field with its type, which is X where the annotation is ``X | None``."""
    hints = get_type_hints(options)
    for field in fields(options):
        kind = hints[field.name]
        variants = [variant for variant in get_args(kind) if variant is not type(None)]
        yield field, variants[0] if type(None) in get_args(kind) else kind


def _argument(field: "Field[Any]", kind: Any) -> dict[str, Any]:
    """Return the arguments of `argparse.ArgumentParser.add_argument` for a field."""
    details = field.metadata
    default: Any = field.default
    argument: dict[str, Any] = {"default": default, "help": details["help"].replace("%", "%%")}
    if kind is bool:
        return argument | {"action": "store_true"}
    if "const" in details and details.get("nargs") == "?":
        argument |= {"nargs": "?", "const": details["const"]}
    elif "const" in details:
        return argument | {"action": "store_const", "const": details["const"]}
    if default not in (None, "", ()) and "(default:" not in details["help"]:
        shown = default
        if isinstance(default, (int, float)):
            shown = f"{default:,}" if default >= 10_000 else f"{default:g}"
        argument["help"] += f" (default: {shown})"
    argument["metavar"] = details.get("metavar")
    if get_origin(kind) is tuple and "parse" not in details:
        kind = get_args(kind)[0]
        argument["default"] = list(default)
        argument |= {"nargs": details["nargs"]} if "nargs" in details else {"action": "append"}
    if get_origin(kind) is Literal:
        return argument | {"choices": get_args(kind), "type": type(get_args(kind)[0])}
    return argument | {"type": OptionType(kind, details)}


class OptionType:
    """Converts the text of an option to its value, and refuses one outside the limits."""

    def __init__(self, kind: type, details: Mapping[str, Any]) -> None:
        self.kind, self.details = kind, details
        # argparse says "invalid integer value".
        self.__name__ = {int: "integer", float: "number"}.get(kind, "value")

    def __call__(self, text: str) -> Any:
        """Return the value.

        Raises:
            ValueError: it is not of the kind.
            argparse.ArgumentTypeError: it is outside the limits, or its own parser refuses it.
        """
        parse = self.details.get("parse") or self.details.get("parse_each")
        if parse is None and self.kind is Path:
            parse = local_path
        if parse is not None:
            try:
                return (pkgutil.resolve_name(parse) if isinstance(parse, str) else parse)(text)
            except ValueError as error:
                raise argparse.ArgumentTypeError(str(error)) from None
        value = self.kind(text)
        least, most, above = (self.details.get(name) for name in ("least", "most", "above"))
        if above is not None and not above < value < float("inf"):
            raise argparse.ArgumentTypeError(f"must be more than {above:,}, got {value}")
        if least is not None and most is not None and not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must be from {least:,} to {most:,}, got {value}")
        if least is not None and not least <= value:
            raise argparse.ArgumentTypeError(f"must be {least:,} or more, got {value}")
        return value


# A path of this machine, not an address, for an argument that is no field of a dataclass of options.
LOCAL_PATH = OptionType(Path, {})


def require_packages(what: str, extra: str, *modules: str) -> None:
    """Make sure that packages are installed which are needed only at the end, too late to find them missing.

    Raises:
        MissingExtraError: one is not.
    """
    with requires_extra(what, extra):
        for module in modules:
            import_module(module)


class requires_extra:  # noqa: N801 - reads as a phrase: with requires_extra("train", "train")
    """Turns a missing package of an extra into one line that names the install command."""

    def __init__(self, command: str, extra: str) -> None:
        self.command, self.extra = command, extra

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("mien"):
            raise MissingExtraError(self.command, self.extra) from error
