"""A small sweep for the tests of sweeps and of series of runs."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mien.experiments.series import Series
    from mien.recipe import Recipe


@pytest.fixture(scope="session")
def quick_recipe_path(tmp_path_factory: pytest.TempPathFactory, tiny_recipe: "Recipe") -> Path:
    """The tiny recipe for one epoch, as a file."""
    from mien.recipe import format_recipe

    path = tmp_path_factory.mktemp("recipes") / "recipe.yaml"
    path.write_text(format_recipe(replace(tiny_recipe, schedule=replace(tiny_recipe.schedule, epochs=1))))
    return path


@pytest.fixture
def make_series(quick_recipe_path: Path, training_pack: Path, tmp_path: Path) -> "Callable[..., Series]":
    """Return a function that plans a sweep of the quick recipe into one folder."""
    from mien.experiments.series import Series
    from mien.experiments.sweep import plan_sweep

    def make(
        *sweeps: str, seeds: int | None = None, overrides: Sequence[str] = (), **changes: Any
    ) -> "Series":
        runs = plan_sweep(quick_recipe_path, list(overrides), sweeps, seeds)
        return replace(Series(tmp_path / "out", "sweep", (training_pack,), runs), **changes)

    return make


@pytest.fixture(scope="session")
def trained_sweep(
    tmp_path_factory: pytest.TempPathFactory, training_pack: Path, quick_recipe_path: Path
) -> "tuple[Series, str]":
    """A trained sweep of two rates and two seeds, and what it printed. Do not write into it."""
    from mien.cli import main
    from mien.experiments.series import Series
    from mien.experiments.sweep import plan_sweep, train_sweep

    runs = plan_sweep(quick_recipe_path, [], ["schedule.learning_rate=1e-3,0.005"], 2)
    series = Series(tmp_path_factory.mktemp("sweep") / "out", "sweep", (training_pack,), runs)
    return series, str(train_sweep(series, start=lambda words: main(list(words))))


@pytest.fixture
def copied_sweep(trained_sweep: "tuple[Series, str]", tmp_path: Path) -> "Series":
    """The trained sweep in the folder of `make_series`, which tests may change."""
    series, _ = trained_sweep
    return replace(series, out=Path(shutil.copytree(series.out, tmp_path / "out")))
