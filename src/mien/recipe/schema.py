"""The values of a recipe: four parts of typed fields, each number with its range.

The docstring of a part is also its help on the command line.
"""

from dataclasses import dataclass, field, fields, is_dataclass
from typing import Annotated, Any, Literal, NamedTuple

from mien.errors import ArtifactError


class Range(NamedTuple):
    """The smallest and the largest value a number may have."""

    low: float
    high: float


# The backbone of a recipe that names neither one nor the weights of a known network.
DEFAULT_BACKBONE = "efficientnet_b0"

Fraction = Annotated[float, Range(0, 1)]
Seed = Annotated[int, Range(0, 2**32 - 1)]
Tracker = Literal["tensorboard", "mlflow", "wandb"]


@dataclass(frozen=True)
class ModelConfig:
    """The network.

    Attributes:
        backbone: Any timm model name, see `timm.list_models()`; null for the network of `weights`, with its input size, if
            that is a run or a model file, otherwise for efficientnet_b0.
        pretrained: Start from ImageNet weights, downloaded by timm. False starts from scratch.
        weights: Start from these weights instead: a run, a model file (.onnx) or its address (hf://ORG/NAME), `bundled` for
            the bundled model, or a file of safetensors or of torch's (.pth, .pt, .bin) with a backbone's weights, of
            whatever library.
        landmarks: Add the head that predicts the 68 landmarks.
        valence_arousal: Add the head that predicts valence and arousal.
        action_units: Add the head that predicts the action units of the packs, their presence or intensity.
        stem_stride: Stride of the backbone's first convolution; 1 keeps more detail of small inputs, at about
            four times the compute; null keeps the backbone's own.
        head_hidden_size: Width of a hidden layer between the pooled features and the heads; null for none.
        condition_on_landmarks: Feed the predicted landmarks to the expression head along with the features.
        grayscale: Convert the input to grayscale, so that a network trained on grayscale images ignores color.
        drop_rate: Dropout rate of the pooled features.
        drop_path_rate: Stochastic-depth rate of the deepest block.
    """

    backbone: str | None = None
    pretrained: bool = True
    weights: str | None = None
    landmarks: bool = True
    valence_arousal: bool = True
    action_units: bool = True
    stem_stride: Annotated[int | None, Range(1, 4)] = None
    head_hidden_size: Annotated[int | None, Range(1, 65_536)] = None
    condition_on_landmarks: bool = False
    grayscale: bool = False
    drop_rate: Annotated[float, Range(0, 0.95)] = 0.2
    drop_path_rate: Annotated[float, Range(0, 0.95)] = 0.0


@dataclass(frozen=True)
class AugmentConfig:
    """Augmentation of the training faces. Landmarks are transformed with the pixels.

    Attributes:
        hflip_prob: Probability of a horizontal flip.
        box_crop_prob: Probability of showing a face by its box instead of aligned, if data.crop is aligned.
        affine_prob: Probability of rotating, scaling and shifting.
        rotation_deg: Largest rotation either way.
        scale: Largest relative change of scale either way.
        shift: Largest shift either way, as a fraction of the side.
        brightness: Largest relative change of brightness either way.
        contrast: Largest relative change of contrast either way.
        saturation: Largest relative change of saturation either way.
        erase_prob: Probability of erasing a rectangle.
        erase_max_area: Largest fraction of the area that is erased.
        downscale_prob: Probability of a smaller image, enlarged again.
        downscale_min: Smallest scale.
        blur_prob: Probability of Gaussian blur.
        blur_max_sigma: Largest standard deviation of the blur, as a fraction of the side.
        low_light_prob: Probability of low light.
        low_light_min: Smallest factor of the brightness.
        noise_prob: Probability of Gaussian noise.
        noise_max_std: Largest standard deviation of the noise, as a fraction of white.
        jpeg_prob: Probability of JPEG compression.
        jpeg_min_quality: Lowest quality; the highest is 95.
        mixup_prob: Probability that a face is blended with another; a blend has no landmarks.
        mixup_alpha: Parameter of mixup's Beta distribution; small values leave one face dominant.
        cutmix_prob: Probability that a rectangle of another face is pasted in; landmarks outside it are kept.
        cutmix_alpha: Parameter of the Beta distribution of the pasted area; 1 is uniform.
    """

    hflip_prob: Fraction = 0.5
    box_crop_prob: Fraction = 0.0
    affine_prob: Fraction = 1.0
    rotation_deg: Annotated[float, Range(0, 180)] = 10.0
    scale: Fraction = 0.1
    shift: Fraction = 0.05
    brightness: Fraction = 0.2
    contrast: Fraction = 0.2
    saturation: Fraction = 0.2
    erase_prob: Fraction = 0.25
    erase_max_area: Fraction = 0.2
    downscale_prob: Fraction = 0.0
    downscale_min: Annotated[float, Range(0.05, 1)] = 0.4
    blur_prob: Fraction = 0.0
    blur_max_sigma: Annotated[float, Range(0, 0.2)] = 0.03
    low_light_prob: Fraction = 0.0
    low_light_min: Annotated[float, Range(0.01, 1)] = 0.15
    noise_prob: Fraction = 0.0
    noise_max_std: Fraction = 0.06
    jpeg_prob: Fraction = 0.0
    jpeg_min_quality: Annotated[int, Range(1, 95)] = 10
    mixup_prob: Fraction = 0.0
    mixup_alpha: Annotated[float, Range(0.001, 1000)] = 0.2
    cutmix_prob: Fraction = 0.0
    cutmix_alpha: Annotated[float, Range(0.001, 1000)] = 1.0


@dataclass(frozen=True)
class DataConfig:
    """The faces.

    Attributes:
        input_size: Side of the network's input in pixels.
        packs: Packs to train on together, in place of --pack. Classes are matched by name.
        crop: stored shows faces as the pack stores them; aligned crops them again, aligned by the eyes and mouth of their
            landmarks, from packs of full images or of boxes. Faces without landmarks are shown by their box.
        classes: Classes to train on, by name; null for all of the pack's. Faces of other classes are left out.
        labels: hard trains on the one label of a face, votes on the distribution of its annotators' votes.
        dev_fraction: Fraction of the train split held out to choose the checkpoint and the temperature.
        folds: Split the train split into this many folds and hold out one of them instead; null for dev_fraction.
        fold: Which fold is held out, from 0.
        split_seed: Seed of the dev split or the folds.
        exclude_leaks: Leave out training faces that have a near-duplicate in another split.
        exclude_shared_persons: Leave out training faces whose person or clip another split has too.
        keep_out: Packs, or folders of images, with faces to keep out of training although they are in none of the packs:
            training faces that repeat one are left out, exclude_leaks or not.
        sampling: How often the faces of a class are drawn. uniform draws every face once an epoch; inverse draws
            every class equally often; square_root and effective (Cui et al. 2019) are in between.
        sampling_max_repeats: How often a face may be drawn in an epoch, on average; null for no limit.
        augment: Augmentation of the training faces.
    """

    input_size: Annotated[int, Range(32, 1024)] = 224
    packs: list[str] | None = None
    crop: Literal["stored", "aligned"] = "stored"
    classes: list[str] | None = None
    labels: Literal["hard", "votes"] = "hard"
    dev_fraction: Annotated[float, Range(0.01, 0.5)] = 0.1
    folds: Annotated[int | None, Range(2, 100)] = None
    fold: Annotated[int, Range(0, 99)] = 0
    split_seed: Seed = 0
    exclude_leaks: bool = True
    exclude_shared_persons: bool = False
    keep_out: list[str] | None = None
    sampling: Literal["uniform", "inverse", "square_root", "effective"] = "uniform"
    sampling_max_repeats: Annotated[float | None, Range(1, 1e6)] = None
    augment: AugmentConfig = field(default_factory=AugmentConfig)


@dataclass(frozen=True)
class LossConfig:
    """The loss: the weighted sum of the tasks' losses.

    Attributes:
        expression_weight: Weight of the expression loss (cross-entropy).
        landmarks_weight: Weight of the landmark loss.
        valence_arousal_weight: Weight of the valence and arousal loss.
        action_units_weight: Weight of the action unit loss: cross-entropy for presence, squared error for intensity.
        task_weights: fixed keeps these weights; learned starts from them and learns them (Kendall et al. 2018).
        landmarks: smooth_l1 or wing (Feng et al. 2018), in units of 2% of the crop; or mse, of the plain coordinates as
            fractions of the crop, which counts far less.
        valence_arousal: mse, or ccc_mse, which adds 1 - CCC.
        label_smoothing: Fraction of the label moved to other classes.
        smoothing_distribution: uniform smooths toward all classes alike; inverse toward rare ones, as 1 / faces (after
            Zhang et al. 2023, https://arxiv.org/abs/2310.19636).
        class_weights: Weight of each class's terms in the expression loss (with label_smoothing rare classes also get more
            of that): none, inverse, square_root or effective.
        logit_adjustment: Add this multiple of each class's log prior to its logit while training (Menon et al.
            2021); 1 is the balanced softmax (Ren et al. 2020).
        teacher: A finished run to distill from, on the same faces; null for none.
        teacher_weight: Weight of the distillation loss within the expression loss; the labels get the rest.
        teacher_temperature: Divides both networks' logits in the distillation loss (Hinton et al. 2015).
    """

    expression_weight: Annotated[float, Range(0, 1e6)] = 1.0
    landmarks_weight: Annotated[float, Range(0, 1e6)] = 0.5
    valence_arousal_weight: Annotated[float, Range(0, 1e6)] = 0.5
    action_units_weight: Annotated[float, Range(0, 1e6)] = 0.5
    task_weights: Literal["fixed", "learned"] = "fixed"
    landmarks: Literal["smooth_l1", "mse", "wing"] = "smooth_l1"
    valence_arousal: Literal["mse", "ccc_mse"] = "mse"
    label_smoothing: Annotated[float, Range(0, 0.99)] = 0.0
    smoothing_distribution: Literal["uniform", "inverse"] = "uniform"
    class_weights: Literal["none", "inverse", "square_root", "effective"] = "none"
    logit_adjustment: Annotated[float, Range(0, 10)] = 0.0
    teacher: str | None = None
    teacher_weight: Fraction = 0.5
    teacher_temperature: Annotated[float, Range(0.01, 100)] = 2.0


@dataclass(frozen=True)
class ScheduleConfig:
    """The optimization.

    Attributes:
        epochs: Passes over the training faces.
        batch_size: Faces per step, over all devices together.
        optimizer: sgd (with Nesterov momentum) or adamw.
        learning_rate: The peak rate, reached after the warm-up.
        base_batch_size: Scale the rate by batch_size / base_batch_size; null leaves it as it is.
        momentum: Momentum of sgd.
        weight_decay: Weight decay of weights; biases and norms have none.
        layer_decay: Multiply the rate by this for each layer further from the heads; null for one rate.
        freeze_backbone_epochs: Epochs at the start in which only the heads are trained; the statistics of the backbone's
            batch norms still follow the faces.
        freeze_backbone_learning_rate: Learning rate of those epochs; null for learning_rate.
        warmup_epochs: Epochs of linear warm-up, by step, after those with a frozen backbone.
        warmup_lr_ratio: Where the warm-up starts, as a fraction of the rate.
        min_lr_ratio: Where the cosine ends, as a fraction of the rate.
        grad_clip_norm: Largest norm of the gradient; null for no limit.
        sam_rho: Radius of sharpness-aware minimization (Foret et al. 2021), at twice the compute; null for none.
        ema_decay: Keep an exponential moving average of the weights, and evaluate and select that; null for none.
        select_by: Dev metric that selects the checkpoint. The first four are of the expression; its loss varies least from
            epoch to epoch on a small dev split. nme is the error of the landmarks, mean_ccc the mean concordance of
            valence and arousal, action_units_f1 the mean F1 of the action units.
        loss: The loss.
    """

    epochs: Annotated[int, Range(1, 100_000)] = 20
    batch_size: Annotated[int, Range(2, 1_000_000)] = 64
    optimizer: Literal["sgd", "adamw"] = "adamw"
    learning_rate: Annotated[float, Range(0, 1000)] = 1e-3
    base_batch_size: Annotated[int | None, Range(1, 1_000_000)] = None
    momentum: Annotated[float, Range(0, 0.9999)] = 0.9
    weight_decay: Annotated[float, Range(0, 100)] = 0.05
    layer_decay: Annotated[float | None, Range(0.01, 1)] = None
    freeze_backbone_epochs: Annotated[float, Range(0, 100_000)] = 0.0
    freeze_backbone_learning_rate: Annotated[float | None, Range(0, 1000)] = None
    warmup_epochs: Annotated[float, Range(0, 100_000)] = 1.0
    warmup_lr_ratio: Fraction = 0.01
    min_lr_ratio: Fraction = 0.0
    grad_clip_norm: Annotated[float | None, Range(1e-9, 1e9)] = None
    sam_rho: Annotated[float | None, Range(1e-6, 100)] = None
    ema_decay: Annotated[float | None, Range(0, 0.999999)] = None
    select_by: Literal[
        "accuracy", "balanced_accuracy", "macro_f1", "loss", "nme", "mean_ccc", "action_units_f1"
    ] = "balanced_accuracy"
    loss: LossConfig = field(default_factory=LossConfig)


@dataclass(frozen=True)
class RuntimeConfig:
    """Where and how to run.

    Attributes:
        accelerator: auto uses a GPU if there is one.
        devices: Devices, or processes on a CPU, that share each batch (DDP). Each computes its own batch-norm
            statistics.
        nodes: Machines; start the same command on each under torchrun.
        precision: 32-true, bf16-mixed or 16-mixed.
        workers: Data-loading processes per device; null chooses 8 for a GPU and none for a CPU.
        threads: Threads per device for computing on a CPU; null leaves it to torch. 1 suits small networks.
        compile: Compile the network, and the teacher, with torch.compile: the first step takes a minute or more, and
            later ones less time; not tried on a GPU.
        deterministic: Make results bit-exact from run to run, at some cost in speed.
        seed: Seed of everything random.
        trackers: Where losses and dev metrics of each epoch are logged besides the run's own files: tensorboard, mlflow and
            wandb, any of them or none. Nothing leaves this machine unless MLFLOW_TRACKING_URI or WANDB_MODE says so.
    """

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: Annotated[int, Range(1, 1024)] = 1
    nodes: Annotated[int, Range(1, 1024)] = 1
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    workers: Annotated[int | None, Range(0, 1024)] = None
    threads: Annotated[int | None, Range(1, 1024)] = None
    compile: bool = False
    deterministic: bool = False
    seed: Seed = 0
    trackers: list[Tracker] = field(default_factory=lambda: ["tensorboard"])


@dataclass(frozen=True)
class Recipe:
    """A training run's four parts."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)


PARTS = {"model": ModelConfig, "data": DataConfig, "schedule": ScheduleConfig, "runtime": RuntimeConfig}


def recipe_from_dict(value: dict[str, Any]) -> Recipe:
    """Return the recipe of `dataclasses.asdict`, as stored in a run.

    Raises:
        ArtifactError: a key is missing, or unknown to this release.
    """

    def build(kind: Any, values: dict[str, Any]) -> Any:
        parts = {entry.name: entry.type for entry in fields(kind) if is_dataclass(entry.type)}
        return kind(**{**values, **{name: build(part, values[name]) for name, part in parts.items()}})

    try:
        recipe: Recipe = build(Recipe, value)
    except (KeyError, TypeError) as error:
        raise ArtifactError(
            f"The recipe of the run is from another release of mien: {error}. Train again"
        ) from None
    return recipe
