"""Reading a recipe from YAML files and the command line, and writing it."""

import re
from dataclasses import asdict, fields, is_dataclass
from difflib import get_close_matches
from itertools import takewhile
from pathlib import Path
from typing import Any, NoReturn

import jsonargparse
import yaml

from mien.errors import RecipeError
from mien.recipe.schema import PARTS, Recipe
from mien.recipe.validation import check_values, leaf_types, type_in_words


class _RecipeParser(jsonargparse.ArgumentParser):
    """jsonargparse, with errors of one line in the words of a recipe."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise instead of printing the usage and leaving."""
        raise RecipeError(_explain(" ".join(str(ex or message).split()))) from None


def _explain(line: str) -> str:
    unknown = re.search(r"unrecognized arguments: --([\w.]+)", line)
    if unknown:
        return _unknown_key(unknown[1], [*PARTS, *leaf_types()])
    value = re.match(r'Parser key "([\w.]+)": .*(?:Got|Given) value: (.*)', line)
    if value and value[1] in leaf_types():
        return f"Recipe key `{value[1]}` must be {type_in_words(leaf_types()[value[1]])}, got {value[2][:80]}"
    file = re.search(r"Unable to load config ['\"]([^'\"]+)", line)
    return f"The part file {file[1]} does not exist, or is no mapping of keys to values" if file else line


def _unknown_key(wrong: str, keys: list[str]) -> str:
    """Name the key that was meant: of the same end, of these initials (`lr`), or of nearly these letters."""
    part, _, last = wrong.rpartition(".")
    initials = [
        key
        for key in keys
        if key.rpartition(".")[0] == part
        and "".join(word[0] for word in key.rpartition(".")[2].split("_")) == last
    ]
    same_end = [key for key in keys if key.endswith(f".{wrong}")]
    near = initials or same_end or get_close_matches(wrong, keys, cutoff=0.7)
    hint = f"Did you mean `{near[0]}`?" if near else "See `mien train --help` for the keys"
    return f"Recipe key `{wrong}` is unknown. {hint}"


def build_parser() -> jsonargparse.ArgumentParser:
    """Return the parser of recipes, for `read_recipe` and for the help of `mien train`."""
    parser = _RecipeParser(prog="mien train", allow_abbrev=False, add_help=False)
    for name, kind in PARTS.items():
        parser.add_argument(f"--{name}", type=kind, default=kind())
    return parser


LARGEST_FILE = 100_000
FOLDER = Path(__file__).parents[1] / "assets" / "recipes"


def recipe_names() -> tuple[str, ...]:
    """Return the names of the recipes in the box."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def find_recipe(recipe: str | Path) -> Path:
    """Return the file of a recipe: of this path, or of this name in the box. A file that exists goes before a name.

    Raises:
        RecipeError: there is neither.
    """
    path = Path(recipe)
    if path.is_file():
        return path
    if str(recipe) in recipe_names():
        return FOLDER / f"{recipe}.yaml"
    near = get_close_matches(path.stem, recipe_names(), n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise RecipeError(f"Recipe {recipe} does not exist.{hint} In the box: {', '.join(recipe_names())}")


def read_recipe(recipe: str | Path | None, overrides: list[str]) -> Recipe:
    """Read a recipe with its part files and overrides.

    Args:
        recipe: a name of `recipe_names`, a YAML file, or None for the defaults.
        overrides: such as ``["--schedule.epochs", "10"]``; ``["--runtime", "gpu"]`` takes a part in the box.

    Raises:
        RecipeError: a file is missing, or a key, type or value is wrong; one line that names it.
    """
    parser = build_parser()
    values = None
    if recipe is not None:
        path = find_recipe(recipe)
        parts = _read_parts(path)
        try:
            values = parser.parse_object(parts)
        except RecipeError as error:
            raise RecipeError(f"{path}: {error}") from None
    parsed = parser.instantiate(parser.parse_args(_find_parts(overrides), namespace=values))
    result = Recipe(*(getattr(parsed, name) for name in PARTS))
    check_values(result)
    return result


def _find_parts(overrides: list[str]) -> list[str]:
    """Return overrides in which parts in the box are named by their files, after checking the files of parts."""
    found = list(overrides)
    for place, word in enumerate(overrides):
        option, equals, value = word.partition("=")
        name = option.removeprefix("--")
        if name not in PARTS or option == name:
            continue
        if not equals:
            place, value = place + 1, "".join(overrides[place + 1 : place + 2])  # noqa: PLW2901
        in_box = FOLDER / name / f"{value}.yaml"
        if not Path(value).exists() and in_box.is_file():
            value, found[place] = str(in_box), f"{option}={in_box}" if equals else str(in_box)
        if Path(value).is_file():
            part = _read_yaml(Path(value), what=f"The `{name}` part")
            _check_keys(part, PARTS[name], f"{name}.", where=Path(value))
    return found


def _read_parts(path: Path) -> dict[str, Any]:
    """Return a recipe as nested mappings with known keys, its part files read."""
    parts = dict(_read_yaml(path, what="Recipe"))
    _check_keys(parts, Recipe, "", where=path)
    return {name: _read_part(name, value, path) for name, value in parts.items()}


def _read_part(name: str, value: Any, path: Path) -> Any:
    """Return a part: a file's values, or the recipe's own, which may stand on those of a file that `from` names."""
    changes = dict(value) if isinstance(value, dict) else {}
    file = changes.pop("from", None) if isinstance(value, dict) else value
    part: Any = {}
    if isinstance(file, str):
        origin = path.parent / file
        part = _read_yaml(origin, what=f"The `{name}` part of {path},")
        _check_keys(part, PARTS[name], f"{name}.", where=origin)
    elif file is not None or not isinstance(value, dict):
        raise RecipeError(f"{path}: Recipe key `{name}` must be a part file or a mapping, got {file!r}")
    _check_keys(changes, PARTS[name], f"{name}.", where=path)
    return _merge(part, changes)


def _merge(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return nested values with some of them changed."""
    merged = dict(values)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _check_keys(value: Any, kind: Any, prefix: str, *, where: Path) -> None:
    if not isinstance(value, dict):
        raise RecipeError(f"{where}: Recipe key `{prefix[:-1]}` must be a mapping, got {value!r}")
    types = {entry.name: entry.type for entry in fields(kind)}
    for key, inner in value.items():
        if key not in types:
            raise RecipeError(f"{where}: {_unknown_key(f'{prefix}{key}', [prefix + name for name in types])}")
        if prefix and is_dataclass(types[key]):
            _check_keys(inner, types[key], f"{prefix}{key}.", where=where)


class _Loader(yaml.SafeLoader):
    """Plain YAML in which no key may stand twice: the earlier value would be lost without a word.

    Nor may an alias: a few lines of them stand for gigabytes of values.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.composer.ComposerError(
                problem="a recipe has no aliases (*name); write the value out",
                problem_mark=self.peek_event().start_mark,
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                mark = node.value[index][0].start_mark
                raise yaml.constructor.ConstructorError(
                    problem=f"key `{key}` stands twice", problem_mark=mark
                )
        return dict(super().construct_mapping(node, deep=deep))


# YAML 1.1 reads 1e-3, which has no dot, as text.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+[eE][-+]?\d+$"), list("-+0123456789")
)


def _read_yaml(path: Path, *, what: str) -> dict[str, Any]:
    if not path.is_file():
        raise RecipeError(f"{what} {path} does not exist")
    if path.stat().st_size > LARGEST_FILE:
        raise RecipeError(
            f"{what} {path} has {path.stat().st_size:,} bytes, a recipe has at most {LARGEST_FILE:,}"
        )
    try:
        value = yaml.load(path.read_text(encoding="utf-8-sig"), Loader=_Loader)  # noqa: S506 - a safe loader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise RecipeError(f"{what} {path} is no readable YAML: {error.problem}, line {line}") from None
    except RecursionError:
        raise RecipeError(f"{what} {path} has brackets in brackets, deeper than a recipe goes") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"{what} {path} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(value, dict):
        came = "nothing" if value is None else repr(value)[:80]
        raise RecipeError(f"{what} {path} must be a mapping of keys to values, got {came}")
    return value


def format_recipe(recipe: Recipe) -> str:
    """Return the recipe as YAML that `read_recipe` reads."""
    return str(yaml.safe_dump(asdict(recipe), sort_keys=False))


def format_recipe_help() -> str:
    """Return the help of every key, by part."""
    text = str(build_parser().format_help())
    names = "\n".join(f"  {name:<32} {_first_words(FOLDER / f'{name}.yaml')}" for name in recipe_names())
    return f"recipes in the box:\n{names}\n\nrecipe keys:\n" + text[text.index("The network:") :]


def _first_words(path: Path) -> str:
    """Return what a recipe is, as the comment that it begins with says: the first sentence of it."""
    lines = takewhile(
        lambda line: not re.match("# [A-Z][a-z]+: ", line), path.read_text("utf-8").splitlines()
    )
    return re.split(r"[.:;](?: |$)", " ".join(line.removeprefix("# ") for line in lines))[0]
