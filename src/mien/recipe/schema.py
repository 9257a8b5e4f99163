"""The values of a recipe: four parts of typed fields."""

from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal

from mien.errors import ArtifactError


@dataclass(frozen=True)
class ModelConfig:
    """The network.

    Attributes:
        backbone: Any timm model name, see `timm.list_models()`.
        pretrained: Begin from ImageNet weights, fetched by timm. False begins from scratch.
        weights: Begin from an earlier run instead, or from a backbone's safetensors file.
        landmarks: Add the head that places the 68 landmarks.
        valence_arousal: Add the head that reads valence and arousal.
        stem_stride: Stride of the backbone's first convolution; 1 keeps more detail of small inputs, at about
            four times the work; null leaves what the backbone has.
        hidden_size: Width of a layer between the pooled features and the heads; null for none.
        feed_landmarks: Let the expression head see the predicted landmarks beside the features.
        grey: Read brightness alone: a network that learns from grey images must not be led by colours later.
        drop_rate: Share of the pooled features dropped while training.
        drop_path_rate: Share of residual branches dropped while training, at the deepest block.
    """

    backbone: str = "efficientnet_b0"
    pretrained: bool = True
    weights: str | None = None
    landmarks: bool = True
    valence_arousal: bool = True
    stem_stride: int | None = None
    hidden_size: int | None = None
    feed_landmarks: bool = False
    grey: bool = False
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
        mixup: Probability that a face is blended with another; a blend has no landmarks.
        mixup_alpha: Of the Beta distribution of the blend's shares; small values leave one face in front.
        cutmix: Probability that a rectangle of a face is another's; the landmarks outside of it stay.
        cutmix_alpha: Of the Beta distribution of the rectangle's share of the area; 1 is uniform.
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
    mixup: float = 0.0
    mixup_alpha: float = 0.2
    cutmix: float = 0.0
    cutmix_alpha: float = 1.0


@dataclass(frozen=True)
class DataConfig:
    """The faces.

    Attributes:
        input_size: Side of the network's input in pixels.
        packs: Packs to learn from together, in place of --pack. Classes are matched by name.
        classes: Classes to learn, by name; null for all of the pack. Faces of other classes are left out.
        labels: hard learns the one label of a face, votes the share of its annotators' votes.
        dev_fraction: Share of the train split kept back to choose the checkpoint and the temperature.
        folds: Cut the train split into so many folds and keep back one of them instead; null for dev_fraction.
        fold: Which fold is kept back, from 0.
        split_seed: Of the choice of the dev split or the folds.
        exclude_leaks: Leave out training faces that have a near-duplicate in another split.
        sampling: How often the faces of a class are drawn. uniform draws every face once an epoch; inverse draws
            every class equally often; square_root and effective (Cui et al. 2019) lie between.
        sampling_cap: Most times that a face is drawn in an epoch, on average; null for no limit.
        augment: Random changes of the training faces.
    """

    input_size: int = 224
    packs: list[str] | None = None
    classes: list[str] | None = None
    labels: Literal["hard", "votes"] = "hard"
    dev_fraction: float = 0.1
    folds: int | None = None
    fold: int = 0
    split_seed: int = 0
    exclude_leaks: bool = True
    sampling: Literal["uniform", "inverse", "square_root", "effective"] = "uniform"
    sampling_cap: float | None = None
    augment: AugmentConfig = field(default_factory=AugmentConfig)


@dataclass(frozen=True)
class LossConfig:
    """What is minimised: the weighted sum of the tasks' losses.

    Attributes:
        expression_weight: Of the expression loss (cross-entropy).
        landmarks_weight: Of the landmark loss.
        valence_arousal_weight: Of the valence and arousal loss.
        task_weights: fixed keeps these weights; learned begins with them and learns them (Kendall et al. 2018).
        landmarks: smooth_l1 or wing (Feng et al. 2018), in units of 2 % of the crop; or mse, of the plain coordinates as
            fractions of the crop, which weighs far less.
        valence_arousal: mse, or ccc_mse, which adds 1 - CCC.
        label_smoothing: Share of the label spread over other classes.
        smoothing_to: all spreads it evenly; rare gives rare classes more, as 1 / faces (after Zhang et al. 2023).
        class_weights: Weigh the terms of a class in the expression loss (with label_smoothing rare classes also get more of
            that): none, inverse, square_root or effective.
        logit_adjustment: Add so many times the log of a class's share to its logit while training (Menon et al.
            2021); 1 is the balanced softmax (Ren et al. 2020).
        teacher: A finished run whose network teaches this one on the same faces; null for none.
        teacher_weight: Share of the expression loss that the teacher's answer takes from the labels'.
        teacher_temperature: Divides both networks' logits in the teacher's part (Hinton et al. 2015).
    """

    expression_weight: float = 1.0
    landmarks_weight: float = 0.5
    valence_arousal_weight: float = 0.5
    task_weights: Literal["fixed", "learned"] = "fixed"
    landmarks: Literal["smooth_l1", "mse", "wing"] = "smooth_l1"
    valence_arousal: Literal["mse", "ccc_mse"] = "mse"
    label_smoothing: float = 0.0
    smoothing_to: Literal["all", "rare"] = "all"
    class_weights: Literal["none", "inverse", "square_root", "effective"] = "none"
    logit_adjustment: float = 0.0
    teacher: str | None = None
    teacher_weight: float = 0.5
    teacher_temperature: float = 2.0


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
        layer_decay: Multiply the rate by this for each layer further from the heads; null for one rate.
        head_epochs: Epochs at the beginning in which only the heads learn.
        head_learning_rate: The rate of those epochs; null for learning_rate.
        warmup_epochs: Epochs of linear warm-up, counted by step, after the head epochs.
        warmup_start: Where the warm-up begins, as a share of the rate.
        final_rate: Where the cosine ends, as a share of the rate.
        clip_gradient: Largest norm of the gradient; null for no limit.
        sam_rho: Radius of sharpness-aware minimisation (Foret et al. 2021), at twice the work; null for none.
        ema_decay: Keep a moving average of the weights, and measure and choose that; null for none.
        select_by: What chooses the checkpoint, measured on the dev split.
        loss: What is minimised.
    """

    epochs: int = 20
    batch_size: int = 64
    optimizer: Literal["sgd", "adamw"] = "adamw"
    learning_rate: float = 1e-3
    base_batch_size: int | None = None
    momentum: float = 0.9
    weight_decay: float = 0.05
    layer_decay: float | None = None
    head_epochs: float = 0.0
    head_learning_rate: float | None = None
    warmup_epochs: float = 1.0
    warmup_start: float = 0.01
    final_rate: float = 0.0
    clip_gradient: float | None = None
    sam_rho: float | None = None
    ema_decay: float | None = None
    select_by: Literal["accuracy", "balanced_accuracy", "macro_f1"] = "balanced_accuracy"
    loss: LossConfig = field(default_factory=LossConfig)


@dataclass(frozen=True)
class RuntimeConfig:
    """Where and how it runs.

    Attributes:
        accelerator: auto takes a graphics card where there is one.
        devices: Devices, or processes on a CPU, that share each batch (DDP). Batch norms see a device's share.
        nodes: Machines; start the same command on each under torchrun.
        precision: 32-true, bf16-mixed or 16-mixed.
        workers: Processes that read faces, per device; null chooses 8 for a GPU and none for a CPU.
        threads: Threads that compute on a CPU, per device; null leaves it to torch. 1 suits small networks.
        compile: Compile the network before training; pays on a graphics card, in runs of more than minutes.
        deterministic: Bit for bit the same result every time, at some speed.
        seed: Of everything random.
    """

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int = 1
    nodes: int = 1
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    workers: int | None = None
    threads: int | None = None
    compile: bool = False
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


def recipe_from_dict(value: dict[str, Any]) -> Recipe:
    """Return the recipe of `dataclasses.asdict`, as a run keeps it.

    Raises:
        ArtifactError: a key is missing, or unknown to this release.
    """
    try:
        return Recipe(**{name: _part_from_dict(kind, value[name]) for name, kind in PARTS.items()})
    except (KeyError, TypeError) as error:
        raise ArtifactError(
            f"The recipe of the run is from another release of mien: {error}. Train again"
        ) from None


def _part_from_dict(kind: Any, value: dict[str, Any]) -> Any:
    inner = {entry.name: entry.type for entry in fields(kind) if is_dataclass(entry.type)}
    return kind(**{**value, **{name: _part_from_dict(part, value[name]) for name, part in inner.items()}})
