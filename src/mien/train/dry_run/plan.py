"""`mien train --plan`: what a run would do, without training.

Everything comes from the training code, on the same faces; only ImageNet weights are not downloaded.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import fill

import numpy as np
from numpy.typing import NDArray

from mien.artifacts import claim_output, one_writer
from mien.formats.pack import Pack
from mien.recipe import ModelConfig, Recipe
from mien.recipe.validation import check_values
from mien.tasks import TASKS, optional_tasks
from mien.train.dataloader import FaceBatches
from mien.train.dataset import network_crop, other_tasks, read_training_faces
from mien.train.dry_run.cost import StepMemory, count_multiply_adds, count_parameters, estimate_memory
from mien.train.dry_run.duration import RunDuration, measure_duration
from mien.train.dry_run.learning_rates import RateCurve, draw_as_image, draw_as_text, trace_rates
from mien.train.objective import Objective
from mien.train.optimization import build_optimizer, scale_learning_rate
from mien.train.preflight import adapt_recipe, warn_of_shortened_phases, warn_of_upscaled_crops
from mien.train.sampler import build_order, require_steps
from mien.train.starting_weights import adopt_network, load_weights
from mien.train.weights import build_network, load_teacher

_log = logging.getLogger(__name__)

WIDTH = 110
_INDENT = " " * 15


@dataclass(frozen=True, eq=False)
class TrainingPlan:
    """What a run would do. Its text is what the command prints.

    Attributes:
        recipe: the recipe as it would be trained: heads without labels are switched off.
        left_out: tasks of the recipe that no face has labels for; optional ones only if a pack has their columns.
        classes: the network's classes.
        train_counts: ``(C,)`` training faces of each class.
        drawn_counts: ``(C,)`` mean draws of each class per epoch.
        dev_counts: ``(C,)`` dev faces of each class.
        n_leaks: training faces excluded because another split has a near-duplicate.
        n_shared_persons: further training faces excluded because another split has their person or clip.
        n_kept_out: other training faces excluded because they repeat a face of `data.keep_out`.
        backbone_parameters: number of trainable parameters of the backbone.
        head_parameters: number of trainable parameters of the heads.
        multiply_adds: multiply-adds per face, forward.
        teacher_multiply_adds: the same for the teacher; None without one.
        memory: estimated memory of a step on one device.
        rates: the learning rates and the number of steps.
        duration: how long the run would take on this machine.
    """

    recipe: Recipe
    left_out: tuple[str, ...]
    classes: tuple[str, ...]
    train_counts: NDArray[np.int64]
    drawn_counts: NDArray[np.float64]
    dev_counts: NDArray[np.int64]
    n_leaks: int
    n_shared_persons: int
    n_kept_out: int
    backbone_parameters: int
    head_parameters: int
    multiply_adds: int
    teacher_multiply_adds: int | None
    memory: StepMemory
    rates: RateCurve
    duration: RunDuration

    @property
    def peak_rate(self) -> float:
        """The peak rate of the heads and the backbone's last layers, after epochs with a frozen backbone."""
        return scale_learning_rate(self.recipe.schedule.learning_rate, self.recipe.schedule)

    @property
    def parameters(self) -> int:
        """Number of trainable parameters."""
        return self.backbone_parameters + self.head_parameters

    def __str__(self) -> str:
        return format_plan(self)

    def draw(self, path: Path, *, force: bool = False) -> None:
        """Write the learning rates as a PNG.

        Raises:
            ArtifactError: it exists and may not be replaced.
        """
        schedule = self.recipe.schedule
        title = f"{self.recipe.model.backbone}, {schedule.optimizer}, {self.rates.n_steps:,} steps of "
        with one_writer(path):
            claim_output(path, force=force)
            draw_as_image(self.rates, path, title=f"{title}{schedule.batch_size:,} faces")


def plan_training(recipe: Recipe, pack_paths: Sequence[Path]) -> TrainingPlan:
    """Work out what a run would do.

    Args:
        recipe: the recipe.
        pack_paths: what to train on, one pack or several.

    Raises:
        ArtifactError: a pack or the teacher is missing or damaged.
        DatasetError: the packs do not suit the recipe.
        ModelError: the network cannot be built.
        RecipeError: a value makes no sense.
    """
    check_values(recipe)
    packs = [Pack.open(path) for path in pack_paths]
    recipe = adopt_network(recipe, network_crop(packs, recipe.data))
    faces = read_training_faces(packs, recipe.data, tasks=other_tasks(recipe.model))
    requested, recipe = recipe, adapt_recipe(recipe, faces)
    warn_of_shortened_phases(requested, recipe)
    warn_of_upscaled_crops(recipe, packs)
    n_classes = len(faces.classes)
    counts = faces.train.count_classes()
    order = build_order(faces.train.labels, n_classes, recipe)
    n_steps = require_steps(order, recipe.schedule.batch_size)
    local = replace(recipe, model=replace(recipe.model, pretrained=False))
    network = build_network(local, faces.classes, faces.annotations)
    if recipe.model.weights is not None:
        loaded = load_weights(network, recipe, faces.classes, faces.train, faces.annotations)
        _log.info("%s", loaded)
    teacher = load_teacher(recipe, faces.classes, network_crop(packs, recipe.data))
    objective = Objective(
        recipe.schedule.loss,
        counts,
        tasks=network.tasks,
        teacher=teacher,
        annotations=faces.annotations,
    )
    optimizer = build_optimizer(network, recipe.schedule, further=objective.parameters())
    dataset = FaceBatches(faces.train, recipe.data.input_size, recipe.data.augment, recipe.runtime.seed)
    return TrainingPlan(
        recipe=recipe,
        left_out=tuple(
            task
            for task in _tasks(requested.model)
            if task not in _tasks(recipe.model)
            and (task not in optional_tasks() or task in faces.annotations)
        ),
        classes=faces.classes,
        train_counts=counts,
        drawn_counts=counts.astype(np.float64) if order.quotas is None else order.quotas[:n_classes],
        dev_counts=faces.dev.count_classes(),
        n_leaks=faces.n_leaks,
        n_shared_persons=faces.n_shared_persons,
        n_kept_out=faces.n_kept_out,
        backbone_parameters=count_parameters(network.backbone),
        head_parameters=sum(count_parameters(head) for head in network.head_modules()),
        multiply_adds=count_multiply_adds(network, recipe.data.input_size),
        teacher_multiply_adds=None
        if teacher is None
        else count_multiply_adds(teacher.network, teacher.input_size),
        memory=estimate_memory(network, objective, dataset, recipe),
        rates=trace_rates(optimizer, recipe.schedule, steps_per_epoch=n_steps),
        duration=measure_duration(
            network, objective, faces, recipe, n_steps=n_steps * recipe.schedule.epochs
        ),
    )


def format_plan(plan: TrainingPlan) -> str:
    """Return a plan as text."""
    facts = {**_describe_network(plan), **_describe_steps(plan), **_describe_memory(plan)}
    facts["duration"] = fill(str(plan.duration), WIDTH - len(_INDENT), subsequent_indent=_INDENT)
    lines = "\n".join(f"{name:<{len(_INDENT)}}{text}" for name, text in facts.items())
    header = ("class", "training faces", "drawn per epoch", "repeats", "dev faces")
    rows = [header]
    for name, n_train, n_drawn, n_dev in zip(
        plan.classes, plan.train_counts, plan.drawn_counts, plan.dev_counts, strict=True
    ):
        repeats = f"{n_drawn / n_train:.2f}" if n_train else "-"
        rows.append((name, f"{n_train:,}", f"{n_drawn:,.0f}", repeats, f"{n_dev:,}"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    table = "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    )
    return f"{lines}\n\n{table}\n\n{draw_as_text(plan.rates)}"


def _describe_network(plan: TrainingPlan) -> dict[str, str]:
    model = plan.recipe.model
    start = "from ImageNet weights" if model.pretrained else "from scratch"
    if model.weights is not None:
        start = f"from {model.weights}"
    heads = ", ".join(TASKS[task].title for task in _tasks(model))
    left_out = " and ".join(TASKS[task].title for task in plan.left_out)
    no_labels = f" (no labels for {left_out})" if left_out else ""
    compute = f"{_format_multiply_adds(plan.multiply_adds)} per face, forward"
    if plan.teacher_multiply_adds is not None:
        compute += f", and {_format_multiply_adds(plan.teacher_multiply_adds)} in the teacher"
    if plan.recipe.schedule.sam_rho is not None:
        compute += "; every step is computed twice (sam_rho)"
    return {
        "network": f"{model.backbone} at {plan.recipe.data.input_size} px, {start}; heads: {heads}{no_labels}\n{_INDENT}"
        f"{plan.parameters:,} parameters: {plan.backbone_parameters:,} in the backbone, "
        f"{plan.head_parameters:,} in the heads",
        "compute": compute,
    }


def _describe_steps(plan: TrainingPlan) -> dict[str, str]:
    rates, schedule, runtime = plan.rates, plan.recipe.schedule, plan.recipe.runtime
    faces = f"{plan.train_counts.sum():,} for training, {plan.dev_counts.sum():,} for dev"
    if plan.n_leaks:
        faces += f"; {plan.n_leaks:,} near-duplicates of other splits excluded"
    if plan.n_shared_persons:
        faces += f"; {plan.n_shared_persons:,} of persons or clips in other splits excluded"
    if plan.n_kept_out:
        faces += f"; {plan.n_kept_out:,} that repeat a face to keep out excluded"
    steps = (
        f"{rates.steps_per_epoch:,} per epoch, {rates.n_steps:,} in {schedule.epochs:,} {'epoch' if schedule.epochs == 1 else 'epochs'}, "
        f"of {schedule.batch_size:,} faces"
    )
    n_devices = runtime.devices * runtime.nodes
    if n_devices > 1:
        steps += f" ({plan.memory.n_faces:,} on each of {n_devices} devices)"
    warmup = f"after {rates.warmup_steps:,} warm-up steps" if rates.warmup_steps else "without warm-up"
    learning_rate = [f"{schedule.optimizer}, peak {plan.peak_rate:.4g}, {warmup}"]
    if schedule.base_batch_size is not None:
        learning_rate.append(
            f"scaled from {schedule.learning_rate:.4g} at {schedule.base_batch_size:,} faces per step"
        )
    if rates.frozen_steps:
        learning_rate.append(
            f"before that {rates.frozen_steps:,} steps with a frozen backbone at {rates.heads[0]:.4g}"
        )
    if schedule.layer_decay is not None:
        learning_rate.append(
            f"the backbone's layers from {rates.first_layers.max():.3g} to {rates.backbone.max():.3g}"
        )
    return {"faces": faces, "steps": steps, "learning rate": f"\n{_INDENT}".join(learning_rate)}


def _describe_memory(plan: TrainingPlan) -> dict[str, str]:
    memory = plan.memory
    parts = [f"{name} {_format_bytes(size)}" for name, size in memory.parts.items()]
    parts.append(
        f"activations {_format_bytes(memory.activations)} ({_format_bytes(memory.per_face)} per face)"
    )
    summary = f"about {_format_bytes(memory.total)} for a step of {memory.n_faces:,} faces on one device, an estimate:"
    details = fill(
        ", ".join(parts), WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT, break_on_hyphens=False
    )
    return {"memory": f"{summary}\n{details}"}


def _tasks(model: ModelConfig) -> list[str]:
    return ["expression", *other_tasks(model)]


def _format_multiply_adds(count: int) -> str:
    return f"{count / 1e9:.3g} G multiply-adds" if count >= 1e9 else f"{count / 1e6:.3g} M multiply-adds"


def _format_bytes(size: int) -> str:
    megabytes = size / 1e6
    return f"{megabytes / 1000:.3g} GB" if megabytes >= 1000 else f"{megabytes:.3g} MB"
