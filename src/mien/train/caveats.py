"""What a run is warned of at its beginning: it goes on, and may be less than was hoped for."""

import sys
from pathlib import Path

from mien.formats.run import Run
from mien.recipe import Recipe


def warn_of_short_phases(asked: Recipe, recipe: Recipe) -> None:
    """Tell that the head epochs or the warm-up gave way to a small number of epochs."""
    was, now = asked.schedule, recipe.schedule
    if was != now:
        sys.stderr.write(
            f"mien: `schedule.head_epochs` {was.head_epochs:g} and `schedule.warmup_epochs` {was.warmup_epochs:g} do not "
            f"fit into `schedule.epochs` {was.epochs}: taken as {now.head_epochs:g} and {now.warmup_epochs:g}\n"
        )


def warn_of_doubled_corrections(recipe: Recipe) -> None:
    """Warn of several cures of one imbalance: together they make rare classes count too much."""
    loss = recipe.schedule.loss
    cures = {
        f"`data.sampling: {recipe.data.sampling}`": recipe.data.sampling != "uniform",
        f"`schedule.loss.class_weights: {loss.class_weights}`": loss.class_weights != "none",
        f"`schedule.loss.logit_adjustment: {loss.logit_adjustment:g}`": loss.logit_adjustment > 0,
    }
    stacked = [name for name, is_on in cures.items() if is_on]
    if len(stacked) > 1:
        sys.stderr.write(
            f"mien: {' and '.join(stacked)} correct the same imbalance twice, and rare classes may be answered "
            "too often. One of them is enough\n"
        )


def warn_of_learnt_dev_faces(run: Run) -> None:
    """Warn of an earlier run on the same set that kept back other faces: it learnt some of this run's dev faces."""
    data = run.recipe["data"]
    for name in (run.recipe["model"]["weights"], run.recipe["schedule"]["loss"]["teacher"]):
        if name is None or not Path(name).is_dir():
            continue
        earlier = Run.open(Path(name))
        before = earlier.recipe["data"]
        changed = [
            key for key in ("dev_fraction", "split_seed", "folds", "fold") if before.get(key) != data[key]
        ]
        if changed and earlier.pack["source"] == run.pack["source"]:
            differ = ", ".join(f"`data.{key}` was {before.get(key)}, is {data[key]}" for key in changed)
            sys.stderr.write(
                f"mien: {name} kept back other dev faces ({differ}), so it learnt some of those that will choose the "
                "checkpoint: the figures on them will be too good. Give the same values\n"
            )
