"""Several seeds and several values: which runs those are, by pure functions, and training them."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from operator import attrgetter
from pathlib import Path
from typing import Any

from mien.artifacts import drop_aside, one_writer
from mien.errors import RecipeError
from mien.lifeline import run_command
from mien.recipe import Recipe, read_recipe
from mien.recipe.checks import check_values, leaf_types
from mien.train.series import MARK, PlannedRun, Series, Start, train_series
from mien.train.settings import name_folder, name_setting
from mien.train.sweep_summary import SweepSummary, summarise_sweep, write_sweep_summary


def train_sweep(
    series: Series, *, resume: bool = False, force: bool = False, start: Start = run_command
) -> SweepSummary:
    """Train the runs of `plan_sweep`, then compare their dev metrics in a table, a JSON file and a picture.

    Args:
        series: what to train.
        resume: go on in an existing folder: finished runs are kept, an unfinished one goes on.
        force: replace an existing folder.
        start: runs a command of mien.

    Raises:
        ArtifactError: the folder exists, or was begun with another recipe or pack.
        RecipeError: the runs cannot be trained one after the other here.
        RunFailed: a run ended with an error, which it has told.
        MienError: a run was killed.
    """
    with one_writer(series.out):
        train_series(series, resume=resume, force=force, start=start)
        summary = summarise_sweep(series)
        write_sweep_summary(summary)
        drop_aside(series.out, kind_mark=MARK)
    return summary


def plan_sweep(
    recipe_name: str | Path | None,
    overrides: list[str],
    sweeps: Sequence[str],
    n_seeds: int | None,
) -> tuple[PlannedRun, ...]:
    """Return the runs of every combination of values and every seed, the seeds of a combination together.

    Args:
        recipe_name: as of `read_recipe`, or None for the defaults.
        overrides: as of `read_recipe`; a value that is swept counts instead of its override.
        sweeps: such as ``["schedule.learning_rate=0.001,0.01"]``.
        n_seeds: seeds to train each combination with, the recipe's and those after it; None for its one.

    Raises:
        RecipeError: a key is unknown, a value is wrong, or one stands twice.
    """
    values = read_sweeps(sweeps)
    if n_seeds is not None and "runtime.seed" in values:
        raise RecipeError(
            "`--seeds` counts up from `runtime.seed`, which `--sweep` sets too. Give one of them"
        )
    runs: list[PlannedRun] = []
    for texts in product(*values.values()):
        given = [f"--{key}={text}" for key, text in zip(values, texts, strict=True)]
        recipe = read_recipe(recipe_name, [*overrides, *given])
        setting = {key: attrgetter(key)(recipe) for key in values}
        if any(run.setting == setting for run in runs):
            raise RecipeError(f"`--sweep` gives {name_setting(setting)} twice. Give each value once")
        runs += [_plan_run(recipe, setting, seed=recipe.runtime.seed + i) for i in range(n_seeds or 1)]
    return tuple(runs)


def _plan_run(recipe: Recipe, setting: dict[str, Any], *, seed: int) -> PlannedRun:
    recipe = replace(recipe, runtime=replace(recipe.runtime, seed=seed))
    check_values(recipe)
    folder = f"seed-{seed}"
    if not setting:
        return PlannedRun(folder, f"seed {seed}", recipe, setting)
    title = name_setting(setting, separator=", ")
    return PlannedRun(f"{name_folder(setting)}/{folder}", f"{title}, seed {seed}", recipe, setting)


def read_sweeps(sweeps: Sequence[str]) -> dict[str, list[str]]:
    """Return the texts of the values by recipe key.

    Raises:
        RecipeError: a sweep is not ``KEY=V1,V2``, or its key is none that holds one value, or stands twice.
    """
    values: dict[str, list[str]] = {}
    for sweep in sweeps:
        key, equals, text = sweep.partition("=")
        texts = split_values(text)
        if not (key and equals and all(texts)):
            raise RecipeError(
                f"`--sweep` must be KEY=VALUE,VALUE,... with a key of the recipe, got {sweep!r}"
            )
        if key in values:
            raise RecipeError(
                f"`--sweep` names `{key}` twice. Give all its values in one, as KEY=VALUE,VALUE"
            )
        if any(leaf.startswith(f"{key}.") for leaf in leaf_types()):
            raise RecipeError(f"`--sweep` must name a key that holds one value, got the part `{key}`")
        values[key] = texts
    return values


def split_values(text: str) -> list[str]:
    """Split at commas, those within brackets or quotes apart.

    Example:
        >>> split_values("[Happy, Sad],[Happy, Fear]")
        ['[Happy, Sad]', '[Happy, Fear]']
    """
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        else:
            depth += (letter in "[{(") - (letter in ")}]")
        if letter == "," and not quote and depth <= 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]
