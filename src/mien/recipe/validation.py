"""What the values of a recipe may be: ranges, what must fit together, and types in words."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from operator import attrgetter
from typing import Any, Literal, get_args, get_origin

from mien.errors import RecipeError
from mien.recipe.schema import Recipe

_TYPE_WORDS = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}

# What makes sense of a number, by key; both ends are allowed.
_RANGES: dict[str, tuple[float, float]] = {
    "model.stem_stride": (1, 4),
    "model.hidden_size": (1, 65_536),
    "model.drop_rate": (0, 0.95),
    "model.drop_path_rate": (0, 0.95),
    "data.input_size": (32, 1024),
    "data.dev_fraction": (0.01, 0.5),
    "data.folds": (2, 100),
    "data.fold": (0, 99),
    "data.split_seed": (0, 2**32 - 1),
    "data.sampling_cap": (1, 1e6),
    "data.augment.flip": (0, 1),
    "data.augment.affine": (0, 1),
    "data.augment.rotation_deg": (0, 180),
    "data.augment.scale": (0, 1),
    "data.augment.shift": (0, 1),
    "data.augment.brightness": (0, 1),
    "data.augment.contrast": (0, 1),
    "data.augment.saturation": (0, 1),
    "data.augment.erase": (0, 1),
    "data.augment.erase_area": (0, 1),
    "data.augment.mixup": (0, 1),
    "data.augment.mixup_alpha": (0.001, 1000),
    "data.augment.cutmix": (0, 1),
    "data.augment.cutmix_alpha": (0.001, 1000),
    "schedule.epochs": (1, 100_000),
    "schedule.batch_size": (2, 1_000_000),
    "schedule.learning_rate": (0, 1000),
    "schedule.base_batch_size": (1, 1_000_000),
    "schedule.momentum": (0, 0.9999),
    "schedule.weight_decay": (0, 100),
    "schedule.layer_decay": (0.01, 1),
    "schedule.head_epochs": (0, 100_000),
    "schedule.head_learning_rate": (0, 1000),
    "schedule.warmup_epochs": (0, 100_000),
    "schedule.warmup_start": (0, 1),
    "schedule.final_rate": (0, 1),
    "schedule.clip_gradient": (1e-9, 1e9),
    "schedule.sam_rho": (1e-6, 100),
    "schedule.ema_decay": (0, 0.999999),
    "schedule.loss.expression_weight": (0, 1e6),
    "schedule.loss.landmarks_weight": (0, 1e6),
    "schedule.loss.valence_arousal_weight": (0, 1e6),
    "schedule.loss.label_smoothing": (0, 0.99),
    "schedule.loss.logit_adjustment": (0, 10),
    "schedule.loss.teacher_weight": (0, 1),
    "schedule.loss.teacher_temperature": (0.01, 100),
    "runtime.devices": (1, 1024),
    "runtime.nodes": (1, 1024),
    "runtime.workers": (0, 1024),
    "runtime.threads": (1, 1024),
    "runtime.seed": (0, 2**32 - 1),
}


def check_values(recipe: Recipe) -> None:
    """Refuse values of the right type that make no sense, and nothing where something must stand."""
    for key, kind in leaf_types().items():
        value = attrgetter(key)(recipe)
        low, high = _RANGES.get(key, (None, None))
        if value is None and type(None) not in get_args(kind):
            raise RecipeError(f"Recipe key `{key}` must be {type_in_words(kind)}, got null")
        if get_origin(kind) is Literal and value not in get_args(kind):
            raise RecipeError(f"Recipe key `{key}` must be {type_in_words(kind)}, got {value}")
        if low is not None and high is not None and value is not None and not low <= value <= high:
            raise RecipeError(f"Recipe key `{key}` must be from {low} to {high}, got {value}")
    for complaint in _contradictions(recipe):
        raise RecipeError(complaint)


def _contradictions(recipe: Recipe) -> Iterator[str]:
    """Yield what is wrong between the values of several keys."""
    model, data, schedule, runtime = recipe.model, recipe.data, recipe.schedule, recipe.runtime
    n_devices = runtime.devices * runtime.nodes
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
    if schedule.head_learning_rate is not None and not schedule.head_epochs:
        yield (
            f"Recipe key `schedule.head_learning_rate` needs `schedule.head_epochs`, got {schedule.head_learning_rate} "
            "without it"
        )
    if schedule.head_learning_rate is not None and not schedule.learning_rate:
        yield (
            "Recipe key `schedule.learning_rate` must be above 0 beside `schedule.head_learning_rate`. "
            "To train the heads alone set `schedule.head_epochs` to all the epochs"
        )
    if data.augment.mixup + data.augment.cutmix > 1:
        yield (
            "Recipe keys `data.augment.mixup` and `data.augment.cutmix` must together be at most 1, "
            f"got {data.augment.mixup} and {data.augment.cutmix}"
        )
    if model.feed_landmarks and not model.landmarks:
        yield "Recipe key `model.feed_landmarks` needs `model.landmarks: true`, got false"
    if schedule.sam_rho is not None and runtime.precision == "16-mixed":
        yield (
            "Recipe key `schedule.sam_rho` takes two gradients a step, which `runtime.precision: 16-mixed` cannot. "
            "Use bf16-mixed or 32-true"
        )


def leaf_types() -> dict[str, Any]:
    """Return the type of every key that holds a value, by dotted name."""
    types: dict[str, Any] = {}

    def add(kind: Any, prefix: str) -> None:
        for entry in fields(kind):
            if is_dataclass(entry.type):
                add(entry.type, f"{prefix}{entry.name}.")
            else:
                types[prefix + entry.name] = entry.type

    add(Recipe, "")
    return types


def type_in_words(kind: Any) -> str:
    """Return what a value of a key's type is, for an error message."""
    options = [option for option in get_args(kind) if option is not type(None)]
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, options))
    if get_origin(kind) is list:
        return "a list such as [Happy, Sad]"
    if options:
        return f"{type_in_words(options[0])} or null"
    return _TYPE_WORDS[kind]
