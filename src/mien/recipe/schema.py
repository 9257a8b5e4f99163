"""The values of a recipe: four parts of typed fields, and what each may be."""

from dataclasses import dataclass, field, fields, is_dataclass
from operator import attrgetter
from typing import Any, Literal, get_args, get_origin

from mien.errors import ArtifactError, RecipeError


@dataclass(frozen=True)
class ModelConfig:
    """The network.

    Attributes:
        backbone: Any timm model name, see `timm.list_models()`.
        pretrained: Begin from ImageNet weights, fetched by timm. False begins from scratch.
        weights: Begin from this safetensors file instead: a backbone's, or an earlier run's best.safetensors.
        landmarks: Add the head that places the 68 landmarks.
        valence_arousal: Add the head that reads valence and arousal.
        drop_rate: Share of the pooled features dropped while training.
        drop_path_rate: Share of residual branches dropped while training, at the deepest block.
    """

    backbone: str = "efficientnet_b0"
    pretrained: bool = True
    weights: str | None = None
    landmarks: bool = True
    valence_arousal: bool = True
    drop_rate: float = 0.2
    drop_path_rate: float = 0.0


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes of the training faces. Landmarks move with the pixels.

    Attributes:
        flip: Probability of mirroring.
        affine: Probability of turning, scaling and shifting.
        rotation_deg: Turned by up to so many degrees either way.
        scale: Scaled by up to this share either way.
        shift: Shifted by up to this share of the side either way.
        brightness: Brightness changed by up to this share either way.
        contrast: Contrast changed by up to this share either way.
        saturation: Colour saturation changed by up to this share either way.
        erase: Probability of erasing a rectangle.
        erase_area: The largest share of the area that is erased.
    """

    flip: float = 0.5
    affine: float = 1.0
    rotation_deg: float = 10.0
    scale: float = 0.1
    shift: float = 0.05
    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    erase: float = 0.25
    erase_area: float = 0.2


@dataclass(frozen=True)
class DataConfig:
    """The faces.

    Attributes:
        input_size: Side of the network's input in pixels.
        classes: Classes to learn, by name; null for all of the pack. Faces of other classes are left out.
        labels: hard learns the one label of a face, votes the share of its annotators' votes.
        dev_fraction: Share of the train split kept back to choose the checkpoint and the temperature.
        exclude_leaks: Leave out training faces that have a near-duplicate in another split.
        augment: Random changes of the training faces.
    """

    input_size: int = 224
    classes: list[str] | None = None
    labels: Literal["hard", "votes"] = "hard"
    dev_fraction: float = 0.1
    exclude_leaks: bool = True
    augment: AugmentConfig = field(default_factory=AugmentConfig)


@dataclass(frozen=True)
class ScheduleConfig:
    """The optimisation.

    Attributes:
        epochs: Passes over the training faces.
        batch_size: Faces in a step, over all devices together.
        optimizer: sgd (with Nesterov momentum) or adamw.
        learning_rate: The highest rate, reached after the warm-up.
        base_batch_size: Scale the rate by batch_size / base_batch_size; null leaves it.
        momentum: Of sgd.
        weight_decay: Applied to weights, not to biases and norms.
        warmup_epochs: Epochs of linear warm-up, counted by step.
        warmup_start: Where the warm-up begins, as a share of the rate.
        final_rate: Where the cosine ends, as a share of the rate.
        clip_gradient: Largest norm of the gradient; null for no limit.
        label_smoothing: Share of the label spread over all classes.
        expression_weight: Of the expression loss (cross-entropy).
        landmarks_weight: Of the landmark loss (smooth L1, in units of 2 % of the crop).
        valence_arousal_weight: Of the valence and arousal loss (mean squared error).
        select_by: What chooses the checkpoint, measured on the dev split.
    """

    epochs: int = 20
    batch_size: int = 64
    optimizer: Literal["sgd", "adamw"] = "adamw"
    learning_rate: float = 1e-3
    base_batch_size: int | None = None
    momentum: float = 0.9
    weight_decay: float = 0.05
    warmup_epochs: float = 1.0
    warmup_start: float = 0.01
    final_rate: float = 0.0
    clip_gradient: float | None = None
    label_smoothing: float = 0.0
    expression_weight: float = 1.0
    landmarks_weight: float = 0.5
    valence_arousal_weight: float = 0.5
    select_by: Literal["accuracy", "balanced_accuracy", "macro_f1"] = "balanced_accuracy"


@dataclass(frozen=True)
class RuntimeConfig:
    """Where and how it runs.

    Attributes:
        accelerator: auto takes a graphics card where there is one.
        devices: Devices, or processes on a CPU, that share each batch (DDP). Batch norms see a device's share.
        nodes: Machines; start the same command on each under torchrun.
        precision: 32-true, bf16-mixed or 16-mixed.
        workers: Processes that read faces, per device; null chooses.
        threads: Threads that compute on a CPU, per device; null leaves it to torch. 1 suits small networks.
        deterministic: Bit for bit the same result every time, at some speed.
        seed: Of everything random.
    """

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int = 1
    nodes: int = 1
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    workers: int | None = None
    threads: int | None = None
    deterministic: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Recipe:
    """A training run's four parts."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)


PARTS = {"model": ModelConfig, "data": DataConfig, "schedule": ScheduleConfig, "runtime": RuntimeConfig}
_TYPE_WORDS = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}

# What makes sense of a number, by key; both ends are allowed.
_RANGES: dict[str, tuple[float, float]] = {
    "model.drop_rate": (0, 0.95),
    "model.drop_path_rate": (0, 0.95),
    "data.input_size": (32, 1024),
    "data.dev_fraction": (0.01, 0.5),
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
    "schedule.epochs": (1, 100_000),
    "schedule.batch_size": (2, 1_000_000),
    "schedule.learning_rate": (0, 1000),
    "schedule.base_batch_size": (1, 1_000_000),
    "schedule.momentum": (0, 0.9999),
    "schedule.weight_decay": (0, 100),
    "schedule.warmup_epochs": (0, 100_000),
    "schedule.warmup_start": (0, 1),
    "schedule.final_rate": (0, 1),
    "schedule.clip_gradient": (1e-9, 1e9),
    "schedule.label_smoothing": (0, 0.99),
    "schedule.expression_weight": (0, 1e6),
    "schedule.landmarks_weight": (0, 1e6),
    "schedule.valence_arousal_weight": (0, 1e6),
    "runtime.devices": (1, 1024),
    "runtime.nodes": (1, 1024),
    "runtime.workers": (0, 1024),
    "runtime.threads": (1, 1024),
    "runtime.seed": (0, 2**32 - 1),
}


def recipe_from_dict(value: dict[str, Any]) -> Recipe:
    """Return the recipe of `dataclasses.asdict`, as a run keeps it.

    Raises:
        ArtifactError: a key is missing, or unknown to this release.
    """
    try:
        parts = {name: dict(value[name]) for name in PARTS}
        parts["data"]["augment"] = AugmentConfig(**parts["data"]["augment"])
        return Recipe(**{name: kind(**parts[name]) for name, kind in PARTS.items()})
    except (KeyError, TypeError) as error:
        raise ArtifactError(
            f"The recipe of the run is from another release of mien: {error}. Train again"
        ) from None


def check_values(recipe: Recipe) -> None:
    """Refuse values of the right type that make no sense, and nothing where something must stand."""
    for key, kind in leaf_types().items():
        value = attrgetter(key)(recipe)
        low, high = _RANGES.get(key, (None, None))
        if value is None and type(None) not in get_args(kind):
            raise RecipeError(f"Recipe key `{key}` must be {type_in_words(kind)}, got null")
        if low is not None and high is not None and value is not None and not low <= value <= high:
            raise RecipeError(f"Recipe key `{key}` must be from {low} to {high}, got {value}")
    schedule, runtime = recipe.schedule, recipe.runtime
    if schedule.warmup_epochs > schedule.epochs:
        raise RecipeError(
            f"Recipe key `schedule.warmup_epochs` must be at most the {schedule.epochs} epochs, "
            f"got {schedule.warmup_epochs}"
        )
    n_devices = runtime.devices * runtime.nodes
    if schedule.batch_size % n_devices:
        raise RecipeError(
            f"Recipe key `schedule.batch_size` must be a multiple of the {n_devices} devices, got {schedule.batch_size}"
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
