"""What is settled before a run starts: a recipe adapted to its faces, and warnings about settings."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from mien.errors import DatasetError, RecipeError
from mien.faces.action_units import is_present
from mien.formats.pack import Pack
from mien.formats.run import Run
from mien.formats.trained_on import source_names
from mien.recipe import Recipe
from mien.recipe.validation import format_scalar
from mien.tasks import TASKS
from mien.train.dataset import TrainingFaces
from mien.train.optimization import shorten_phases
from mien.train.starting_weights import ARCHITECTURE, find_weights, read_origin

_log = logging.getLogger(__name__)

# Of which task the dev metrics are that select a checkpoint; the others are of the expression.
SELECTION_TASKS = {
    "nme": "landmarks",
    "mean_ccc": "valence_arousal",
    "action_units_f1": "action_units",
}


def adapt_recipe(recipe: Recipe, faces: TrainingFaces) -> Recipe:
    """Return the recipe as it can be trained on some faces.

    Heads for which no training face has labels are switched off: they would stay untrained and still predict. Epochs
    with a frozen backbone and warm-up are shortened to fit a small number of epochs.

    Raises:
        DatasetError: there is only one expression to learn.
        RecipeError: the metric that selects the checkpoint is of a task that is not trained, or no head has a loss.
    """
    if len(faces.classes) < 2 and recipe.schedule.loss.expression_weight > 0:
        raise DatasetError(
            f"Training expressions needs faces of two classes or more, these only have {faces.classes[0]}: add a pack of "
            "other classes, or train only the other tasks with --schedule.loss.expression_weight 0 and a --schedule.select_by "
            f"that is not of expressions ({', '.join(SELECTION_TASKS)})"
        )
    model, targets = recipe.model, faces.train.targets
    heads: dict[str, Any] = {
        task: getattr(model, task) and task in targets and bool(np.isfinite(targets[task]).any())
        for task in TASKS
        if task != "expression"
    }
    trained = ["expression", *(task for task, is_on in heads.items() if is_on)]
    if not any(getattr(recipe.schedule.loss, f"{task}_weight") for task in trained):
        raise RecipeError(
            f"Nothing would be trained: of the tasks that the faces have labels for ({', '.join(trained)}), each has weight 0 "
            f"in the loss. Set `schedule.loss.{trained[-1]}_weight` above 0"
        )
    _require_selectable(recipe, faces, heads)
    condition_on_landmarks = model.condition_on_landmarks and heads["landmarks"]
    return replace(
        recipe,
        model=replace(model, **heads, condition_on_landmarks=condition_on_landmarks),
        schedule=shorten_phases(recipe.schedule),
    )


def _require_selectable(recipe: Recipe, faces: TrainingFaces, heads: dict[str, bool]) -> None:
    """Check that the metric that selects the checkpoint is of a task that is trained, and that dev faces have labels for.

    Raises:
        RecipeError: it is not.
    """
    select_by, loss = recipe.schedule.select_by, recipe.schedule.loss
    task = SELECTION_TASKS.get(select_by, "expression")
    if task == "expression":
        if loss.expression_weight == 0:
            others = [
                name
                for name, other in SELECTION_TASKS.items()
                if heads[other] and getattr(loss, f"{other}_weight")
            ]
            raise RecipeError(
                f"Recipe key `schedule.select_by: {select_by}` is a metric of expressions, which are not trained, since "
                "`schedule.loss.expression_weight` is 0. Select by "
                + (" or ".join(others) or "another metric")
            )
        return
    targets = faces.dev.targets[task] if heads[task] else np.empty(0)
    if task == "action_units" and heads[task]:
        targets = np.where(is_present(targets, faces.annotations[task].kind), 1.0, np.nan)
    if getattr(loss, f"{task}_weight") == 0 or not np.isfinite(targets).any():
        what = task.replace("_", " ")
        raise RecipeError(
            f"Recipe key `schedule.select_by: {select_by}` needs a head for {what} that is trained, and training and dev faces with "
            f"{what}, got none. Select by another metric"
        )


def warn_of_shortened_phases(requested: Recipe, adapted: Recipe) -> None:
    """Warn that epochs with a frozen backbone or the warm-up were shortened."""
    before, after = requested.schedule, adapted.schedule
    if before != after:
        _log.warning(
            f"`schedule.freeze_backbone_epochs` {before.freeze_backbone_epochs:g} and `schedule.warmup_epochs` "
            f"{before.warmup_epochs:g} do not fit into `schedule.epochs` {before.epochs}: shortened to "
            f"{after.freeze_backbone_epochs:g} and {after.warmup_epochs:g}"
        )


def warn_of_upscaled_crops(recipe: Recipe, packs: Sequence[Pack]) -> None:
    """Warn of packs whose crops are smaller than the network's input."""
    size = recipe.data.input_size
    if small := [f"{pack.path} ({pack.info.crop.size} px)" for pack in packs if pack.info.crop.size < size]:
        _log.warning(
            f"`data.input_size` is {size} px, more than the crops of {', '.join(small)}: they are upscaled, which adds no "
            f"detail. Prepare the dataset with `--size {size}`, or lower `data.input_size`"
        )


def warn_of_stacked_rebalancing(recipe: Recipe) -> None:
    """Warn of several corrections for the same class imbalance, which together overweight rare classes."""
    loss = recipe.schedule.loss
    corrections = {
        f"`data.sampling: {recipe.data.sampling}`": recipe.data.sampling != "uniform",
        f"`schedule.loss.class_weights: {loss.class_weights}`": loss.class_weights != "none",
        f"`schedule.loss.logit_adjustment: {loss.logit_adjustment:g}`": loss.logit_adjustment > 0,
    }
    active = [name for name, is_on in corrections.items() if is_on]
    if len(active) > 1:
        _log.warning(
            f"{' and '.join(active)} correct the same class imbalance more than once, and rare classes may be predicted "
            "too often. One of them is enough"
        )


def warn_of_untrained_classes(recipe: Recipe, faces: TrainingFaces) -> None:
    """Warn of classes that nothing trains, and of others that no dev face has."""
    if recipe.schedule.loss.expression_weight == 0:
        _log.warning(
            "`schedule.loss.expression_weight` is 0: the expression head stays as it starts, and what it predicts means "
            "nothing"
        )
        return
    n_train, n_dev = faces.train.count_classes(), faces.dev.count_classes()
    untrained = [name for name, n in zip(faces.classes, n_train, strict=True) if not n]
    unchecked = [name for name, n, dev in zip(faces.classes, n_train, n_dev, strict=True) if n and not dev]
    if untrained:
        trained = ", ".join(name for name in faces.classes if name not in untrained)
        _log.warning(
            f"No training face has the class {', '.join(untrained)}: the network gets an output for it that nothing trains. "
            f'Add faces of it, or leave it out with --data.classes "[{trained}]"'
        )
    if unchecked:
        _log.warning(
            f"No dev face has the class {', '.join(unchecked)}: it has no part in selecting the checkpoint and in the "
            "temperature. Add faces of it, or raise `data.dev_fraction`"
        )


def warn_of_seen_dev_faces(run: Run) -> None:
    """Warn of an earlier run on the same data with another dev split: it was trained on some of this run's dev faces."""
    data = run.recipe["data"]
    for name in (run.recipe["model"]["weights"], run.recipe["schedule"]["loss"]["teacher"]):
        earlier = None if name is None else read_origin(find_weights(name))
        if earlier is None:
            continue
        before = asdict(earlier.recipe.data)
        changed = [
            key for key in ("dev_fraction", "split_seed", "folds", "fold") if before.get(key) != data[key]
        ]
        if changed and not set(source_names(earlier.pack)).isdisjoint(source_names(run.pack)):
            differences = ", ".join(f"`data.{key}` was {before.get(key)}, is {data[key]}" for key in changed)
            _log.warning(
                f"{name} held out other dev faces ({differences}), so it was trained on some of those that will select "
                "the checkpoint: their figures will be too good. Use the same values"
            )


def warn_of_another_network(run: Run) -> None:
    """Warn of weights that were trained in a network, or on crops, which the recipe sets otherwise."""
    model = run.recipe["model"]
    origin = None if model["weights"] is None else read_origin(find_weights(model["weights"]))
    if origin is None:
        return
    before = asdict(origin.recipe.model)
    changes = [
        f"`model.{key}` was {format_scalar(before[key])}, is {format_scalar(model[key])}"
        for key in ARCHITECTURE
        if before[key] != model[key]
    ]
    if not origin.crop.crops_like(run.crop):
        changes.append(f"on {origin.crop.describe()}, the pack has {run.crop.describe()}")
    if changes:
        _log.warning(
            f"{model['weights']} was trained otherwise: {', '.join(changes)}. Leave `model.backbone` out to take the network "
            "as it was"
        )
