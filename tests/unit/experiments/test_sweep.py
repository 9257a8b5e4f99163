"""Planning a sweep's runs, and their table."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

pytest.importorskip("torch", reason="training needs the train extra")

from mien.errors import RecipeError
from mien.experiments.series import Series
from mien.experiments.settings import name_folder, name_setting
from mien.experiments.sweep import plan_sweep, read_sweeps, split_values
from mien.experiments.sweep_summary import summarize_sweep, write_sweep_summary
from mien.formats.run import Run

RATES = "schedule.learning_rate=1e-3,0.005"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("1,2", ["1", "2"], id="numbers"),
        pytest.param("a", ["a"], id="one"),
        pytest.param("[Happy, Sad],[Happy]", ["[Happy, Sad]", "[Happy]"], id="lists"),
        pytest.param("'a,b', c", ["'a,b'", "c"], id="quotes"),
        pytest.param("1,,2", ["1", "", "2"], id="an empty one"),
    ],
)
def test_values_are_split_at_commas(text: str, expected: list[str]) -> None:
    """Commas within brackets and quotes do not split."""
    assert split_values(text) == expected


@pytest.mark.parametrize(
    ("sweeps", "expected"),
    [
        pytest.param(["schedule.epochs"], r"must be KEY=VALUE", id="no values"),
        pytest.param(["schedule.epochs="], r"must be KEY=VALUE", id="empty"),
        pytest.param(["schedule.epochs=1,,2"], r"must be KEY=VALUE", id="an empty value"),
        pytest.param(["=1"], r"must be KEY=VALUE", id="no key"),
        pytest.param(["schedule.epochs=1", "schedule.epochs=2"], r"names `schedule\.epochs` twice", id="key twice"),
        pytest.param(["data.augment=1"], r"got the part `data\.augment`", id="part"),
        pytest.param(["schedule=a.yaml"], r"got the part `schedule`", id="part file"),
    ],
)  # fmt: skip
def test_a_malformed_sweep(sweeps: list[str], expected: str) -> None:
    """Each mistake is one line."""
    with pytest.raises(RecipeError, match=expected):
        read_sweeps(sweeps)


def test_the_grid_has_every_combination(quick_recipe_path: Path) -> None:
    """Settings in the order given, each with the recipe's seed and those after it; the dev split stays."""
    runs = plan_sweep(
        quick_recipe_path, ["--runtime.seed=5"], ["schedule.epochs=2,3", "model.landmarks=true,no"], 2
    )
    assert [run.folder for run in runs] == [
        f"epochs={epochs},landmarks={landmarks}/seed-{seed}"
        for epochs in (2, 3)
        for landmarks in ("true", "false")
        for seed in (5, 6)
    ]
    assert runs[3].title == "epochs=2, landmarks=false, seed 6"
    recipe = runs[3].recipe
    assert (recipe.schedule.epochs, recipe.model.landmarks, recipe.runtime.seed) == (2, False, 6)
    assert {run.recipe.data.split_seed for run in runs} == {0}
    assert runs[3].setting == {"schedule.epochs": 2, "model.landmarks": False}


def test_seeds_alone(quick_recipe_path: Path) -> None:
    """Without a sweep the folders are the seeds."""
    runs = plan_sweep(quick_recipe_path, [], [], 3)
    assert [(run.folder, run.title) for run in runs] == [(f"seed-{i}", f"seed {i}") for i in range(3)]
    assert [run.recipe.runtime.seed for run in runs] == [0, 1, 2]


def test_a_sweep_without_seeds_has_one(quick_recipe_path: Path) -> None:
    """The recipe's own."""
    runs = plan_sweep(quick_recipe_path, [], [RATES], None)
    assert [run.folder for run in runs] == ["learning_rate=0.001/seed-0", "learning_rate=0.005/seed-0"]


@pytest.mark.parametrize(
    ("sweep", "seeds", "expected"),
    [
        pytest.param("schedule.learning_rte=1,2", None, r"Did you mean `schedule\.learning_rate`", id="key"),
        pytest.param("schedule.learning_rate=1,x", None, "must be a number, got x", id="type"),
        pytest.param("schedule.epochs=1,0", None, "must be from 1 to 100000, got 0", id="range"),
        pytest.param("data.fold=0,9", None, "needs `data.folds`", id="contradiction"),
        pytest.param("schedule.learning_rate=0.1,1e-1", None, "gives learning_rate=0.1 twice", id="value twice"),
        pytest.param("runtime.seed=1,2", 2, "`--seeds` counts up from `runtime.seed`", id="seeds twice"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_found_while_planning(
    quick_recipe_path: Path, sweep: str, seeds: int | None, expected: str
) -> None:
    """Every setting is parsed and checked before anything is trained."""
    with pytest.raises(RecipeError, match=expected):
        plan_sweep(quick_recipe_path, [], [sweep], seeds)


def test_seeds_beyond_the_last(quick_recipe_path: Path) -> None:
    """The seeds after the recipe's are checked like it."""
    with pytest.raises(RecipeError, match=r"`runtime\.seed` must be from 0 to 4294967295, got 4294967296"):
        plan_sweep(quick_recipe_path, ["--runtime.seed=4294967295"], [], 2)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        pytest.param({"schedule.epochs": 3}, "epochs=3", id="last part"),
        pytest.param(
            {"model.landmarks": True, "schedule.loss.landmarks": "mse"},
            "model.landmarks=true,schedule.loss.landmarks=mse",
            id="last parts alike",
        ),
        pytest.param({"data.classes": ["Happy", "Sad"]}, "classes=Happy+Sad", id="list"),
        pytest.param({"model.weights": None}, "weights=null", id="null"),
        pytest.param(
            {"model.drop_rate": 0.0, "model.head_hidden_size": 0}, "drop_rate=0.0,head_hidden_size=0", id="0"
        ),
    ],
)
def test_settings_are_named(setting: dict[str, Any], expected: str) -> None:
    """The same as text and as a folder, if the characters are safe."""
    assert name_setting(setting) == name_folder(setting) == expected


def test_folder_names_are_safe_and_different() -> None:
    """Slashes, spaces and long values become safe names that stay distinct."""
    values = ["../a b", "..-a-b", "/a/b.safetensors", "x" * 500, "x" * 501, "ä"]
    names = [name_folder({"model.weights": value}) for value in values]
    assert len(set(names)) == len(names)
    for name in names:
        assert name.startswith("weights=")
        assert name.isascii()
        assert "/" not in name
        assert len(name) < 150


def dev_of(series: Series) -> dict[str, list[dict[str, float]]]:
    """The dev metrics of every run, by setting, from the runs themselves."""
    found: dict[str, list[dict[str, float]]] = {}
    for run in series.runs:
        result = Run.open(series.out / run.folder).read_result()
        found.setdefault(str(next(iter(run.setting.values()))), []).append(result["dev"])
    return found


def test_the_table_is_numpys(trained_sweep: tuple[Series, str]) -> None:
    """Mean and standard deviation of each metric over the seeds, in both files."""
    series, _ = trained_sweep
    with (series.out / "summary.csv").open() as file:
        rows = {row["schedule.learning_rate"]: row for row in csv.DictReader(file)}
    settings = json.loads((series.out / "summary.json").read_text())["settings"]
    assert list(rows) == ["0.001", "0.005"]
    for (value, dev), setting in zip(dev_of(series).items(), settings, strict=True):
        assert setting["setting"] == {"schedule.learning_rate": float(value)}
        assert (setting["n_seeds"], setting["n_dev"]) == (2, 39)
        assert (rows[value]["n_seeds"], rows[value]["n_dev"]) == ("2", "39")
        assert [run["dev"] for run in setting["runs"]] == dev
        assert [run["seed"] for run in setting["runs"]] == [0, 1]
        for name in ("loss", "accuracy", "balanced_accuracy", "macro_f1", "nme", "valence_ccc"):
            mean, sd = np.mean([one[name] for one in dev]), np.std([one[name] for one in dev], ddof=1)
            assert setting["metrics"][name] == pytest.approx({"mean": mean, "sd": sd})
            assert float(rows[value][f"{name}_mean"]) == pytest.approx(mean)
            assert float(rows[value][f"{name}_sd"]) == pytest.approx(sd)


def test_what_is_printed(trained_sweep: tuple[Series, str]) -> None:
    """One table with n, and what the dev split was used for."""
    series, text = trained_sweep
    head, first, second, *rest = text.splitlines()
    assert head.split()[:5] == ["learning_rate", "seeds", "dev", "n", "loss"]
    assert first.split()[:3] == ["0.001", "2", "39"]
    assert second.split()[:3] == ["0.005", "2", "39"]
    accuracies = [dev["accuracy"] for dev in dev_of(series)["0.005"]]
    assert f"{np.mean(accuracies):.4f} ± {np.std(accuracies, ddof=1):.4f}" in second
    assert "(n = 39)" in " ".join(rest)
    assert "not as results" in " ".join(rest)
    assert str(series.out / "summary.csv") in rest[-1]


def test_the_folder_of_a_sweep(trained_sweep: tuple[Series, str]) -> None:
    """The documented files are there, and no partial ones; the image is valid."""
    out = trained_sweep[0].out
    assert sorted(path.name for path in out.iterdir()) == [
        "learning_rate=0.001", "learning_rate=0.005", "runs.json", "summary.csv", "summary.json", "summary.md",
        "summary.pdf", "summary.png", "summary.svg", "summary.tex",
    ]  # fmt: skip
    assert sorted(path.name for path in (out / "learning_rate=0.005").iterdir()) == [
        "seed-0", "seed-0.yaml", "seed-1", "seed-1.yaml",
    ]  # fmt: skip
    for suffix, start in ((".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")):
        assert (out / f"summary{suffix}").read_bytes().startswith(start)
    for suffix, line in (
        (".md", "| learning_rate | seeds | dev n |"),
        (".tex", r"learning\_rate & seeds & dev n &"),
    ):
        assert line in (out / f"summary{suffix}").read_text("utf-8")
        assert "(n = 39)" in (out / f"summary{suffix}").read_text("utf-8")


def test_seeds_share_the_dev_split(trained_sweep: tuple[Series, str]) -> None:
    """The same faces are held out for every seed and setting, and the networks differ."""
    series, _ = trained_sweep
    outputs = [Run.open(series.out / run.folder).read_dev_outputs() for run in series.runs]
    for output in outputs[1:]:
        np.testing.assert_array_equal(output.rows, outputs[0].rows)
        assert not np.array_equal(output.logits, outputs[0].logits)


def test_a_single_seed_has_no_standard_deviation(trained_sweep: tuple[Series, str]) -> None:
    """The mean is the value, and there is no standard deviation."""
    alone = replace(trained_sweep[0], runs=trained_sweep[0].runs[:1])
    summary = summarize_sweep(alone)
    metric = summary.results[0].metrics["accuracy"]
    assert (metric.mean, metric.sd) == (dev_of(alone)["0.001"][0]["accuracy"], None)
    assert "±" not in str(summary).splitlines()[1]


def test_a_metric_that_a_run_lacks(copied_sweep: Series) -> None:
    """A correlation with a constant is undefined; other settings have theirs, and the cell stays empty."""
    series = copied_sweep
    run = Run.open(series.out / series.runs[0].folder)
    result = run.read_result()
    del result["dev"]["valence_ccc"]
    run.write_result(result)
    summary = summarize_sweep(series)
    write_sweep_summary(summary)
    assert "–" in str(summary).splitlines()[1]
    assert "–" not in str(summary).splitlines()[2]
    with (series.out / "summary.csv").open() as file:
        cells = [row["valence_ccc_mean"] for row in csv.DictReader(file)]
    assert [bool(cell) for cell in cells] == [False, True]


def test_a_setting_that_is_null_is_not_a_missing_value(copied_sweep: Series) -> None:
    """The cell is a YAML word that pandas reads as text, so that no setting is lost in a group."""
    summary = summarize_sweep(copied_sweep)
    results = [summary.results[0]._replace(setting={"model.weights": None}), *summary.results[1:]]
    write_sweep_summary(replace(summary, results=results))
    table = pd.read_csv(copied_sweep.out / "summary.csv")
    assert table["model.weights"][0] == "~"
    assert yaml.safe_load("~") is None
