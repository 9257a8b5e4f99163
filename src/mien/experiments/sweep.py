"""Sweeps over seeds and recipe values: planning the runs, with pure functions, and training them."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from operator import attrgetter
from pathlib import Path

from mien.artifacts import drop_aside, one_writer
from mien.errors import RecipeError
from mien.experiments.series import MARK, PlannedRun, Series, Start, train_series
from mien.experiments.settings import name_folder, name_setting
from mien.experiments.sweep_summary import SweepSummary, summarize_sweep, write_sweep_summary
from mien.recipe import read_recipe
from mien.recipe.validation import check_values, value_types
from mien.runtime.child_process import run_command


def train_sweep(
    series: Series, *, resume: bool = False, force: bool = False, start: Start = run_command
) -> SweepSummary:
    """Train the runs of `plan_sweep`, then compare their dev metrics in a table, a JSON file and a plot.

    Arguments and errors are those of `mien.experiments.series.train_series`.
    """
    with one_writer(series.out):
        train_series(series, resume=resume, force=force, start=start)
        summary = summarize_sweep(series)
        write_sweep_summary(summary)
        drop_aside(series.out, kind_mark=MARK)
    return summary


def plan_sweep(
    recipe_name: str | Path | None,
    overrides: list[str],
    sweeps: Sequence[str],
    n_seeds: int | None,
) -> tuple[PlannedRun, ...]:
    """Return the runs of every combination of values and every seed, with the seeds of a combination together.

    Args:
        recipe_name: as in `read_recipe`.
        overrides: as in `read_recipe`; swept values take precedence.
        sweeps: options such as ``["schedule.learning_rate=0.001,0.01"]``.
        n_seeds: number of seeds for each combination, starting at the recipe's; None for only that one.

    Raises:
        RecipeError: a key is unknown, a value is wrong, or one is given twice.
    """
    values = read_sweeps(sweeps)
    if n_seeds is not None and "runtime.seed" in values:
        raise RecipeError(
            "`--seeds` counts up from `runtime.seed`, which `--sweep` sets too. Give one of them"
        )
    runs: list[PlannedRun] = []
    for texts in product(*values.values()):
        swept = [f"--{key}={text}" for key, text in zip(values, texts, strict=True)]
        recipe = read_recipe(recipe_name, [*overrides, *swept])
        setting = {key: attrgetter(key)(recipe) for key in values}
        if any(run.setting == setting for run in runs):
            raise RecipeError(f"`--sweep` gives {name_setting(setting)} twice. Give each value once")
        for seed in range(recipe.runtime.seed, recipe.runtime.seed + (n_seeds or 1)):
            seeded = replace(recipe, runtime=replace(recipe.runtime, seed=seed))
            check_values(seeded)
            folder, title = f"seed-{seed}", f"seed {seed}"
            if setting:
                folder = f"{name_folder(setting)}/{folder}"
                title = f"{name_setting(setting, separator=', ')}, {title}"
            runs.append(PlannedRun(folder, title, seeded, setting))
    return tuple(runs)


def read_sweeps(sweeps: Sequence[str]) -> dict[str, list[str]]:
    """Return the values to try for each recipe key, as text.

    Raises:
        RecipeError: a sweep is not ``KEY=V1,V2``, or its key does not hold a single value, or is given twice.
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
        if any(leaf.startswith(f"{key}.") for leaf in value_types()):
            raise RecipeError(f"`--sweep` must name a key that holds a single value, got the part `{key}`")
        values[key] = texts
    return values


def split_values(text: str) -> list[str]:
    """Split at commas, except within brackets or quotes.

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
