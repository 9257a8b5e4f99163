"""`mien train --plan`: what a run would be, without training.

Everything comes from the code that trains, on the same faces; only ImageNet weights are not fetched.
"""

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
from mien.train.caveats import warn_of_short_phases
from mien.train.dataloader import FaceBatches
from mien.train.dataset import TrainingFaces, read_training_faces
from mien.train.dry_run.cost import StepMemory, count_multiply_adds, count_parameters, estimate_memory
from mien.train.dry_run.learning_rates import RateCurve, draw_as_image, draw_as_text, read_rates
from mien.train.objective import Objective
from mien.train.optimization import build_optimizer, scale_to_batch
from mien.train.sampler import FaceOrder, build_order, require_steps
from mien.train.stage import build_network, fit_recipe, load_teacher

WIDTH = 110
_INDENT = " " * 15
_TASKS = {"expression": "expression", "landmarks": "landmarks", "valence_arousal": "valence and arousal"}


@dataclass(frozen=True, eq=False)
class TrainingPlan:
    """What a run would be. Its text is what the command prints.

    Attributes:
        recipe: as it would be trained: heads that no face has labels for are off.
        left_out: tasks that the recipe asks for and no face has labels for.
        classes: the network's.
        train_counts: ``(C,)`` faces of each class to learn from.
        drawn_counts: ``(C,)`` how many of them an epoch draws, on average.
        dev_counts: ``(C,)`` faces of each class to choose the checkpoint with.
        n_leaks: training faces left out since another split holds a near-duplicate.
        backbone_parameters: numbers that the backbone learns.
        head_parameters: numbers that the heads learn.
        multiply_adds: of one face, forwards.
        teacher_multiply_adds: of one face in the teacher; None without one.
        memory: of a step on one device, an estimate.
        rates: the learning rates, and how many steps there are.
    """

    recipe: Recipe
    left_out: tuple[str, ...]
    classes: tuple[str, ...]
    train_counts: NDArray[np.int64]
    drawn_counts: NDArray[np.float64]
    dev_counts: NDArray[np.int64]
    n_leaks: int
    backbone_parameters: int
    head_parameters: int
    multiply_adds: int
    teacher_multiply_adds: int | None
    memory: StepMemory
    rates: RateCurve

    @property
    def peak_rate(self) -> float:
        """The highest rate of the heads and the backbone's last layers, the head epochs apart."""
        return scale_to_batch(self.recipe.schedule.learning_rate, self.recipe.schedule)

    @property
    def parameters(self) -> int:
        """Numbers that the network learns."""
        return self.backbone_parameters + self.head_parameters

    def __str__(self) -> str:
        lines = {
            "network": _network_in_words(self),
            "work": _work_in_words(self),
            "faces": _faces_in_words(self),
            "steps": _steps_in_words(self),
            "learning rate": _rate_in_words(self),
            "memory": _memory_in_words(self),
        }
        facts = "\n".join(f"{name:<{len(_INDENT)}}{text}" for name, text in lines.items())
        return f"{facts}\n\n{_class_table(self)}\n\n{draw_as_text(self.rates)}"

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
    """Find out what a run would be.

    Args:
        recipe: what to do.
        pack_paths: what to learn from, one pack or several.

    Raises:
        ArtifactError: a pack or the teacher is missing or damaged.
        DatasetError: the packs do not suit the recipe.
        ModelError: the network cannot be built.
        RecipeError: a value makes no sense.
    """
    check_values(recipe)
    packs = [Pack.open(path) for path in pack_paths]
    faces = read_training_faces(packs, recipe.data)
    asked, recipe = recipe, fit_recipe(recipe, faces)
    warn_of_short_phases(asked, recipe)
    counts = _count(faces.train.labels, faces)
    order = build_order(faces.train.labels, len(faces.classes), recipe)
    n_steps = require_steps(order, recipe.schedule.batch_size)
    network = build_network(_without_pretrained(recipe), faces.classes)
    teacher = load_teacher(recipe, faces.classes, packs[0].info.crop)
    objective = Objective(recipe.schedule.loss, counts, tasks=network.tasks, teacher=teacher)
    optimizer = build_optimizer(network, recipe.schedule, further=objective.parameters())
    dataset = FaceBatches(faces.train, recipe.data.input_size, recipe.data.augment, recipe.runtime.seed)
    return TrainingPlan(
        recipe=recipe,
        left_out=tuple(task for task in _tasks(asked.model) if task not in _tasks(recipe.model)),
        classes=faces.classes,
        train_counts=counts,
        drawn_counts=_drawn(order, counts),
        dev_counts=_count(faces.dev.labels, faces),
        n_leaks=faces.n_leaks,
        backbone_parameters=count_parameters(network.backbone),
        head_parameters=sum(count_parameters(head) for head in network.head_modules()),
        multiply_adds=count_multiply_adds(network, recipe.data.input_size),
        teacher_multiply_adds=None
        if teacher is None
        else count_multiply_adds(teacher.network, teacher.input_size),
        memory=estimate_memory(network, objective, dataset, recipe),
        rates=read_rates(optimizer, recipe.schedule, steps_per_epoch=n_steps),
    )


def _without_pretrained(recipe: Recipe) -> Recipe:
    return replace(recipe, model=replace(recipe.model, pretrained=False))


def _tasks(model: ModelConfig) -> list[str]:
    is_on = {"expression": True, "landmarks": model.landmarks, "valence_arousal": model.valence_arousal}
    return [task for task, on in is_on.items() if on]


def _count(labels: NDArray[np.int64], faces: TrainingFaces) -> NDArray[np.int64]:
    return np.bincount(labels, minlength=len(faces.classes))


def _drawn(order: FaceOrder, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    return counts.astype(np.float64) if order.quotas is None else order.quotas


def _network_in_words(plan: TrainingPlan) -> str:
    model = plan.recipe.model
    start = "from ImageNet weights" if model.pretrained else "from scratch"
    if model.weights is not None:
        start = f"from {model.weights}"
    heads = ", ".join(_TASKS[task] for task in _tasks(model))
    left_out = " and ".join(_TASKS[task] for task in plan.left_out)
    no_labels = f" (no labels for {left_out})" if left_out else ""
    return (
        f"{model.backbone} at {plan.recipe.data.input_size} px, {start}; heads: {heads}{no_labels}\n{_INDENT}"
        f"{plan.parameters:,} parameters: {plan.backbone_parameters:,} of the backbone, "
        f"{plan.head_parameters:,} of the heads"
    )


def _work_in_words(plan: TrainingPlan) -> str:
    work = f"{_multiply_adds(plan.multiply_adds)} a face, forwards"
    if plan.teacher_multiply_adds is not None:
        work += f", and {_multiply_adds(plan.teacher_multiply_adds)} in the teacher"
    if plan.recipe.schedule.sam_rho is not None:
        work += "; every step is done twice (sam_rho)"
    return work


def _multiply_adds(count: int) -> str:
    return f"{count / 1e9:.3g} G multiply-adds" if count >= 1e9 else f"{count / 1e6:.3g} M multiply-adds"


def _faces_in_words(plan: TrainingPlan) -> str:
    words = f"{plan.train_counts.sum():,} to learn from, {plan.dev_counts.sum():,} to choose with"
    if plan.n_leaks:
        words += f"; {plan.n_leaks:,} left out that repeat a face of another split"
    return words


def _steps_in_words(plan: TrainingPlan) -> str:
    schedule, n_faces = plan.recipe.schedule, plan.memory.n_faces
    words = (
        f"{plan.rates.steps_per_epoch:,} an epoch, {plan.rates.n_steps:,} in {schedule.epochs:,} epochs, "
        f"of {schedule.batch_size:,} faces"
    )
    n_devices = plan.recipe.runtime.devices * plan.recipe.runtime.nodes
    return f"{words} ({n_faces:,} on each of {n_devices} devices)" if n_devices > 1 else words


def _rate_in_words(plan: TrainingPlan) -> str:
    rates, schedule = plan.rates, plan.recipe.schedule
    warmup = f"after {rates.warmup_steps:,} steps of warm-up" if rates.warmup_steps else "without warm-up"
    words = f"{schedule.optimizer}, {plan.peak_rate:.4g} at its highest, {warmup}"
    further = []
    if schedule.base_batch_size is not None:
        further.append(
            f"scaled from {schedule.learning_rate:.4g} at {schedule.base_batch_size:,} faces a step"
        )
    if rates.head_steps:
        further.append(f"before that {rates.head_steps:,} steps of the heads alone at {rates.heads[0]:.4g}")
    if schedule.layer_decay is not None:
        further.append(
            f"the backbone's layers from {rates.first_layers.max():.3g} to {rates.backbone.max():.3g}"
        )
    return f"\n{_INDENT}".join([words, *further])


def _memory_in_words(plan: TrainingPlan) -> str:
    memory = plan.memory
    parts = [f"{name} {_megabytes(size)}" for name, size in memory.parts.items()]
    parts.append(f"activations {_megabytes(memory.activations)}")
    sum_of = f"{', '.join(parts)} ({_megabytes(memory.per_face)} a face)"
    return (
        f"about {_megabytes(memory.total)} in a step of {memory.n_faces:,} faces on one device, an estimate:\n"
        + fill(sum_of, WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT, break_on_hyphens=False)
    )


def _megabytes(size: int) -> str:
    megabytes = size / 1e6
    return f"{megabytes / 1000:.3g} GB" if megabytes >= 1000 else f"{megabytes:.3g} MB"


def _class_table(plan: TrainingPlan) -> str:
    rows = [("class", "to learn from", "drawn an epoch", "times", "to choose with")]
    for name, n_train, n_drawn, n_dev in zip(
        plan.classes, plan.train_counts, plan.drawn_counts, plan.dev_counts, strict=True
    ):
        each = f"{n_drawn / n_train:.2f}" if n_train else "-"
        rows.append((name, f"{n_train:,}", f"{n_drawn:,.0f}", each, f"{n_dev:,}"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
