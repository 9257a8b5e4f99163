"""What the values of a recipe may be: their types, their ranges, and which values go together."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, get_args, get_origin

from mien.errors import RecipeError
from mien.recipe.schema import Range, Recipe
from mien.runtime.suggestion import did_you_mean

_TYPE_NAMES = {float: "a number", int: "an integer", bool: "true or false", str: "text"}


class ValueType(NamedTuple):
    """What a recipe key may hold.

    Attributes:
        kind: a type, a `Literal`, or a list of text or of a `Literal`.
        is_optional: whether null is allowed too.
        range: of a number; None for other kinds.
    """

    kind: Any
    is_optional: bool
    range: Range | None

    def __str__(self) -> str:
        if get_origin(self.kind) is Literal:
            text = "one of " + ", ".join(map(str, self.choices))
        elif self.choices:
            text = "a list of " + ", ".join(self.choices)
        else:
            text = _TYPE_NAMES.get(self.kind, "a list such as [Happy, Sad]")
        return f"{text} or null" if self.is_optional else text

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values of a `Literal`, also of one in a list; empty for other kinds."""
        kind = get_args(self.kind)[0] if get_origin(self.kind) is list else self.kind
        return get_args(kind) if get_origin(kind) is Literal else ()

    def allows(self, value: Any) -> bool:
        """Return whether a value has the right type, whatever its range. Integers are numbers, booleans are not."""
        if value is None:
            return self.is_optional
        if get_origin(self.kind) is Literal:
            return value in self.choices
        if get_origin(self.kind) is list:
            is_text = isinstance(value, list) and all(isinstance(each, str) for each in value)
            return is_text and (not self.choices or set(value) <= set(self.choices))
        return type(value) is self.kind or (self.kind is float and type(value) is int)


@cache
def value_types() -> dict[str, ValueType]:
    """Return the type of every key that holds a value, by dotted name."""
    types: dict[str, ValueType] = {}

    def add(part: Any, prefix: str) -> None:
        for entry in fields(part):
            if is_dataclass(entry.type):
                add(entry.type, f"{prefix}{entry.name}.")
                continue
            # Only numbers are annotated, with their range.
            annotation, *bounds = (
                get_args(entry.type) if hasattr(entry.type, "__metadata__") else (entry.type,)
            )
            options = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
            kind = next(option for option in options if option is not NoneType)
            types[prefix + entry.name] = ValueType(kind, NoneType in options, *(bounds or [None]))

    add(Recipe, "")
    return types


def require_type(key: str, value: Any) -> Any:
    """Return a value of a key's type, with an integer as a float where the key holds one.

    Raises:
        RecipeError: the value is of another type.
    """
    expected = value_types()[key]
    if not expected.allows(value):
        unknown = (
            next((each for each in value if each not in expected.choices), value)
            if isinstance(value, list)
            else value
        )
        hint = did_you_mean(unknown, expected.choices)
        if get_origin(expected.kind) is list and isinstance(value, str):
            hint = f". Write it in brackets: [{value[:80]}]"
        raise RecipeError(f"Recipe key `{key}` must be {expected}, got {format_scalar(value)[:80]}{hint}")
    return float(value) if expected.kind is float and value is not None else value


def format_scalar(value: Any) -> str:
    """Return a value as YAML writes it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def check_values(recipe: Recipe) -> None:
    """Check types, ranges, and values that contradict each other.

    Raises:
        RecipeError: the first thing that is wrong, in one line.
    """
    for key, expected in value_types().items():
        value = attrgetter(key)(recipe)
        if expected.range and isinstance(value, int | float) and not isinstance(value, bool):
            low, high = expected.range
            if not low <= value <= high:
                raise RecipeError(f"Recipe key `{key}` must be from {low} to {high}, got {value}")
        require_type(key, value)
    for complaint in _contradictions(recipe):
        raise RecipeError(complaint)


def _contradictions(recipe: Recipe) -> Iterator[str]:
    """Yield what is wrong between the values of several keys."""
    model, data, schedule, runtime = recipe.model, recipe.data, recipe.schedule, recipe.runtime
    n_devices = runtime.devices * runtime.nodes
    if len(set(runtime.trackers)) < len(runtime.trackers):
        yield f"Recipe key `runtime.trackers` names one twice: {', '.join(runtime.trackers)}"
    frozen_rate = schedule.freeze_backbone_learning_rate
    if schedule.batch_size % n_devices:
        yield (
            f"Recipe key `schedule.batch_size` must be a multiple of the {n_devices} devices, "
            f"got {schedule.batch_size}"
        )
    elif schedule.batch_size < 2 * n_devices:
        yield (
            f"Recipe key `schedule.batch_size` must give each of the {n_devices} devices two faces or more, which "
            f"batch norms need, got {schedule.batch_size}"
        )
    if data.folds is not None and data.fold >= data.folds:
        yield f"Recipe key `data.fold` must be below the {data.folds} folds, got {data.fold}"
    if data.folds is None and data.fold:
        yield f"Recipe key `data.fold` needs `data.folds`, got {data.fold} without it"
    if frozen_rate is not None and not schedule.freeze_backbone_epochs:
        yield (
            "Recipe key `schedule.freeze_backbone_learning_rate` needs `schedule.freeze_backbone_epochs`, "
            f"got {frozen_rate} without it"
        )
    if frozen_rate is not None and not schedule.learning_rate:
        yield (
            "Recipe key `schedule.learning_rate` must be above 0 with `schedule.freeze_backbone_learning_rate`. "
            "To train only the heads, set `schedule.freeze_backbone_epochs` to the number of epochs"
        )
    if data.augment.mixup_prob + data.augment.cutmix_prob > 1:
        yield (
            "Recipe keys `data.augment.mixup_prob` and `data.augment.cutmix_prob` must together be at most 1, "
            f"got {data.augment.mixup_prob} and {data.augment.cutmix_prob}"
        )
    if model.condition_on_landmarks and not model.landmarks:
        yield "Recipe key `model.condition_on_landmarks` needs `model.landmarks: true`, got false"
    if schedule.sam_rho is not None and runtime.precision == "16-mixed":
        yield (
            "Recipe key `schedule.sam_rho` takes two gradients per step, which `runtime.precision: 16-mixed` does not "
            "support. Use bf16-mixed or 32-true"
        )
