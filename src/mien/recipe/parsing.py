"""Reading a recipe from YAML files and the command line, and writing it."""

import argparse
import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields, is_dataclass
from difflib import get_close_matches
from itertools import takewhile
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any, Literal, get_origin

import yaml

from mien.assets import RECIPES
from mien.errors import RecipeError
from mien.formats.recipe_keys import RENAMED_KEYS
from mien.recipe.schema import PARTS, Recipe, recipe_from_dict
from mien.recipe.validation import check_values, format_scalar, require_type, value_types
from mien.runtime.yaml_text import load_yaml, read_yaml

# What timm, Ultralytics, Lightning, fastai and the Hugging Face Trainer call a key.
OTHER_NAMES = {
    "amp": "runtime.precision",
    "arch": "model.backbone",
    "batch": "schedule.batch_size",
    "clip_grad": "schedule.grad_clip_norm",
    "device": "runtime.accelerator",
    "dropout": "model.drop_rate",
    "fp16": "runtime.precision",
    "freeze": "schedule.freeze_backbone_epochs",
    "freeze_epochs": "schedule.freeze_backbone_epochs",
    "gpus": "runtime.devices",
    "gradient_clip_val": "schedule.grad_clip_norm",
    "image_size": "data.input_size",
    "img_size": "data.input_size",
    "imgsz": "data.input_size",
    "lr0": "schedule.learning_rate",
    "max_epochs": "schedule.epochs",
    "max_grad_norm": "schedule.grad_clip_norm",
    "num_classes": "data.classes",
    "num_epochs": "schedule.epochs",
    "num_train_epochs": "schedule.epochs",
    "num_workers": "runtime.workers",
    "opt": "schedule.optimizer",
    "smoothing": "schedule.loss.label_smoothing",
    "val_split": "data.dev_fraction",
}


def recipe_names() -> tuple[str, ...]:
    """Return the names of the bundled recipes."""
    return tuple(sorted(path.stem for path in RECIPES.glob("*.yaml")))


def find_recipe(recipe: str | Path) -> Path:
    """Return the file of a recipe, given by path or by the name of a bundled one. A file that exists comes first.

    Raises:
        RecipeError: there is neither.
    """
    path = Path(recipe)
    if path.is_file():
        return path
    if str(recipe) in recipe_names():
        return RECIPES / f"{recipe}.yaml"
    near = get_close_matches(path.stem, recipe_names(), n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise RecipeError(f"Recipe {recipe} does not exist.{hint} Bundled: {', '.join(recipe_names())}")


def read_recipe(recipe: str | Path | None, overrides: list[str]) -> Recipe:
    """Read a recipe with its part files and overrides.

    Args:
        recipe: one of `recipe_names`, a YAML file, or None for the defaults.
        overrides: options such as ``["--schedule.epochs", "10"]``; ``["--runtime", "gpu"]`` takes a bundled part.

    Raises:
        RecipeError: a file is missing, or a key, type or value is wrong; one line that names it.
    """
    values = asdict(Recipe())
    if recipe is not None:
        values = _merge(values, _read_recipe_file(find_recipe(recipe)))
    for changes in _read_overrides(overrides):
        values = _merge(values, changes)
    result = recipe_from_dict(values)
    check_values(result)
    return result


def _read_recipe_file(path: Path) -> dict[str, Any]:
    """Return the values of a recipe by part; a part is a file, a mapping, or a mapping on top of a file (`from`)."""
    values = {}
    for name, value in read_yaml(path, what="Recipe", error=RecipeError).items():
        if name not in PARTS:
            raise RecipeError(f"{path}: {_explain_unknown_key(name, list(PARTS))}")
        changes = dict(value) if isinstance(value, dict) else {}
        file = changes.pop("from", None) if isinstance(value, dict) else value
        part: dict[str, Any] = {}
        if isinstance(file, str):
            part = _read_part_file(path.parent / file, name, what=f"The `{name}` part of {path},")
        elif file is not None or not isinstance(value, dict):
            raise RecipeError(f"{path}: Recipe key `{name}` must be a part file or a mapping, got {file!r}")
        with _errors_in(path):
            values[name] = _merge(part, _check_part(changes, PARTS[name], name))
    return values


def _read_overrides(overrides: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the nested values of each ``--key value`` or ``--key=value``: those of parts first, which single keys override."""
    groups = _groups()
    read: list[tuple[int, dict[str, Any]]] = []
    words = iter(overrides)
    for word in words:
        option, has_value, text = word.partition("=")
        key = option.removeprefix("--")
        keys = [*groups, *value_types()]
        if key == option:
            near = _nearest_key(key, keys) if has_value else None
            hint = f". Did you mean `--{near}={text}`?" if near else ""
            raise RecipeError(f"unrecognized arguments: {word}{hint}")
        if key not in keys:
            raise RecipeError(_explain_unknown_key(key, keys))
        if not has_value:
            text = next(words, "--")
            if text.startswith("--"):
                raise RecipeError(f"argument --{key}: expected one argument")
        value = (
            _read_group(text, groups[key], key)
            if key in groups
            else require_type(key, _parse_text(text, key))
        )
        for name in reversed(key.split(".")):
            value = {name: value}
        read.append((key.count("."), value))
    yield from (value for _, value in sorted(read, key=itemgetter(0)))


def _groups() -> dict[str, Any]:
    """Return the dataclass of every key that holds other keys, by dotted name."""
    groups: dict[str, Any] = {}
    for name, part in PARTS.items():
        groups[name] = part
        groups |= {f"{name}.{entry.name}": entry.type for entry in fields(part) if is_dataclass(entry.type)}
    return groups


def _read_group(text: str, kind: Any, key: str) -> dict[str, Any]:
    """Return the values of a group given on the command line: a file, a bundled part's name, or a YAML mapping."""
    bundled = RECIPES / key / f"{text}.yaml"
    path = bundled if bundled.is_file() and not Path(text).exists() else Path(text)
    if path.is_file():
        return _read_part_file(path, key, what=f"The `{key}` part")
    values = _load_yaml_text(text)
    if not isinstance(values, dict):
        names = sorted(path.stem for path in (RECIPES / key).glob("*.yaml"))
        known = f". Bundled: {', '.join(names)}" if names else ""
        raise RecipeError(
            f"The part file {text} does not exist, or is no mapping of keys to values{known}. For a single key, write "
            f"`--{key}.KEY VALUE`"
        )
    return _check_part(values, kind, key)


def _parse_text(text: str, key: str) -> Any:
    """Return the value that a word of the command line stands for: YAML, except that text and choices are literal."""
    expected = value_types()[key]
    if expected.kind is str or get_origin(expected.kind) is Literal:
        return None if text == "null" and expected.is_optional else text
    return _load_yaml_text(text)


def _load_yaml_text(text: str) -> Any:
    try:
        return load_yaml(text)
    except (yaml.YAMLError, RecursionError):
        return text


def _read_part_file(path: Path, key: str, *, what: str) -> dict[str, Any]:
    values = read_yaml(path, what=what, error=RecipeError)
    with _errors_in(path):
        return _check_part(values, _groups()[key], key)


@contextmanager
def _errors_in(path: Path) -> Iterator[None]:
    """Put the file's name in front of an error."""
    try:
        yield
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from None


def _check_part(values: Any, kind: Any, prefix: str) -> dict[str, Any]:
    """Return the nested values of a part, after checking that its keys exist and its values have their types."""
    if not isinstance(values, dict):
        raise RecipeError(f"Recipe key `{prefix}` must be a mapping, got {values!r}")
    kinds = {entry.name: entry.type for entry in fields(kind)}
    checked = {}
    for name, value in values.items():
        key = f"{prefix}.{name}"
        if name not in kinds:
            raise RecipeError(_explain_unknown_key(key, [f"{prefix}.{each}" for each in kinds]))
        is_group = is_dataclass(kinds[name])
        checked[name] = _check_part(value, kinds[name], key) if is_group else require_type(key, value)
    return checked


def _explain_unknown_key(wrong: str, keys: list[str]) -> str:
    """Return an error that names the key that was meant, or its new name."""
    for old, new in RENAMED_KEYS.items():
        if f".{old}".endswith(f".{wrong}"):
            return f"Recipe key `{old}` is now `{new}`"
    near = _nearest_key(wrong, keys)
    hint = f"Did you mean `{near}`?" if near else "See `mien train --help` for the keys"
    return f"Recipe key `{wrong}` is unknown. {hint}"


def _nearest_key(wrong: str, keys: list[str]) -> str | None:
    """Return the key that was probably meant.

    That is one with the same ending, with these initials (`lr`), of this name in other trainers, that begins like this, or
    with nearly the same spelling.
    """
    name = wrong.replace("-", "_")
    part, _, last = name.rpartition(".")
    in_part = [key for key in keys if key.rpartition(".")[0] == part or not part]
    last_words = {key.rpartition(".")[2]: key for key in reversed(in_part)}
    found = [
        *(key for key in keys if f".{key}".endswith(f".{name}")),
        *(key for word, key in last_words.items() if "".join(each[0] for each in word.split("_")) == last),
        *([OTHER_NAMES[last]] if last in OTHER_NAMES else []),
        *(key for key in in_part if key.rpartition(".")[2].startswith(f"{last}_")),
        *get_close_matches(name, keys, cutoff=0.8),
        *(last_words[word] for word in get_close_matches(last, last_words, cutoff=0.8)),
    ]
    return next(iter(found), None)


def _merge(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return nested values with some of them changed."""
    merged = dict(values)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def format_recipe(recipe: Recipe) -> str:
    """Return the recipe as YAML that `read_recipe` reads."""
    return str(yaml.safe_dump(asdict(recipe), sort_keys=False))


def format_recipe_help() -> str:
    """Return the help of the bundled recipes and of every key, by part."""
    names = "\n".join(f"  {name:<32} {_first_sentence(RECIPES / f'{name}.yaml')}" for name in recipe_names())
    parser = argparse.ArgumentParser(usage=argparse.SUPPRESS, add_help=False)
    defaults = Recipe()
    for prefix, part in _groups().items():
        summary, _, attributes = inspect.getdoc(part).partition("\n\nAttributes:\n")  # type: ignore[union-attr]
        group = parser.add_argument_group(summary.rstrip("."))
        group.add_argument(f"--{prefix}", metavar="FILE", help="Take these values from a part file.")
        for name, text in re.findall(r"^    (\w+): (.*(?:\n        .*)*)", attributes, re.MULTILINE):
            key = f"{prefix}.{name}"
            if key in value_types():
                expected, default = value_types()[key], format_scalar(attrgetter(key)(defaults))
                limits = f", {expected.range.low} to {expected.range.high}" if expected.range else ""
                description = f"{' '.join(text.split())} ({expected}{limits}; default: {default})"
                group.add_argument(f"--{key}", metavar=name.upper(), help=description.replace("%", "%%"))
    return f"bundled recipes:\n{names}\n\nrecipe keys:\n{parser.format_help().lstrip()}"


def _first_sentence(path: Path) -> str:
    """Return the first sentence of the comment at the head of a recipe."""
    lines = takewhile(
        lambda line: not re.match("# [A-Z][a-z]+: ", line), path.read_text("utf-8").splitlines()
    )
    return re.split(r"[.:;](?: |$)", " ".join(line.removeprefix("# ") for line in lines))[0]
