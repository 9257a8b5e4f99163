"""A trained series is exported, evaluated and compared."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs the train extra")

from mien.cli import main
from mien.cli.output import log_to_stderr
from mien.compare.grouped_summary import GroupedSummary
from mien.compare.summary import ComparisonSummary
from mien.evaluate.stage import evaluate
from mien.experiments.evaluation import evaluate_series
from mien.experiments.series import RunFailed, Series
from mien.export.stage import export


class InThisProcess:
    """Runs a mien command in this process, and records it."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []

    def __call__(self, words: Sequence[str]) -> int:
        """Return the exit code."""
        self.commands.append(list(words))
        return main(list(words))


def refuse(words: Sequence[str]) -> int:
    raise AssertionError(f"nothing was left to do, but {words} was started")


@pytest.fixture(scope="module")
def evaluated_once(
    tmp_path_factory: pytest.TempPathFactory, trained_sweep: tuple[Series, str], training_pack: Path
) -> Series:
    """A sweep of two rates, evaluated. Do not write into it."""
    series, _ = trained_sweep
    series = replace(series, runs=series.runs[::2])
    series = replace(
        series, out=Path(shutil.copytree(series.out, tmp_path_factory.mktemp("evaluated") / "out"))
    )
    found = evaluate_series(series, training_pack, split="val", start=InThisProcess())
    assert isinstance(found, GroupedSummary)
    groups = [(group.name, len(group.reports)) for group in found.groups]
    assert groups == [("learning_rate=0.001", 1), ("learning_rate=0.005", 1)]
    suffixes = (".json", ".md", ".csv", ".tex", ".png", ".svg", ".pdf")
    assert found.written == tuple(series.out / f"comparison{suffix}" for suffix in suffixes)
    assert all(path.stat().st_size for path in found.written)
    return series


@pytest.fixture
def evaluated(evaluated_once: Series, tmp_path: Path) -> Series:
    """A copy of it, which tests may change."""
    return replace(evaluated_once, out=Path(shutil.copytree(evaluated_once.out, tmp_path / "out")))


def test_each_run_is_measured_as_by_the_commands(
    evaluated: Series, training_pack: Path, tmp_path: Path
) -> None:
    """A report is what export and evaluate make of the run by hand."""
    run = evaluated.runs[1]
    export(evaluated.out / run.folder, tmp_path / "model.onnx")
    evaluate(tmp_path / "model.onnx", training_pack, out=tmp_path / "report")
    theirs = (tmp_path / "report" / "predictions.csv").read_bytes()
    assert (evaluated.out / "reports" / run.folder / "predictions.csv").read_bytes() == theirs
    document = json.loads((evaluated.out / "comparison.json").read_text())
    accuracy = json.loads((tmp_path / "report" / "metrics.json").read_text())["protocols"]["all"]["accuracy"]
    assert document["groups"][1]["metrics"]["accuracy"]["values"][0] == pytest.approx(accuracy)


@pytest.mark.parametrize("damage", ["missing", "no JSON", "another model", "another pack", "another split"])
def test_what_is_finished_is_kept(
    evaluated: Series, training_pack: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    """Only what is missing, damaged, or not of this model and these faces is made again; the table is the same."""
    before = json.loads((evaluated.out / "comparison.json").read_text())
    kept, made = (evaluated.out / "reports" / run.folder / "metrics.json" for run in evaluated.runs)
    time, metrics = kept.stat().st_mtime_ns, json.loads(made.read_text())
    if damage == "missing":
        shutil.rmtree(made.parent)
    elif damage == "no JSON":
        made.write_text("{")
    else:
        part, key, value = {
            "another model": ("model", "sha256", "0"),
            "another pack": ("pack", "content_sha256", "0"),
            "another split": ("", "split", "test"),
        }[damage]
        (metrics[part] if part else metrics)[key] = value
        made.write_text(json.dumps(metrics))
    with log_to_stderr():
        evaluate_series(evaluated, training_pack, split="val", start=refuse)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("evaluating run")]
    assert [line.endswith("finished earlier") for line in lines] == [True, False]
    assert kept.stat().st_mtime_ns == time
    after = json.loads((evaluated.out / "comparison.json").read_text())
    assert [group["metrics"] for group in after["groups"]] == [group["metrics"] for group in before["groups"]]


def test_a_run_that_was_trained_again_is_exported_again(evaluated: Series, training_pack: Path) -> None:
    """Its model is older than its result."""
    commands: list[Sequence[str]] = []

    def start(words: Sequence[str]) -> int:
        commands.append(words)
        return 0

    model = evaluated.out / "models" / f"{evaluated.runs[0].folder}.onnx"
    os.utime(model, ns=(0, 0))
    evaluate_series(evaluated, training_pack, split="val", start=start)
    assert [words[:4] for words in commands] == [
        ["export", str(evaluated.out / evaluated.runs[0].folder), "--out", str(model)]
    ]


def test_folds_are_a_row_each(evaluated: Series, training_pack: Path) -> None:
    """They differ in more than the seed."""
    runs = []
    for number, run in enumerate(evaluated.runs):
        for folder, suffix in ((".", ""), ("models", ".onnx"), ("reports", "")):
            (evaluated.out / folder / f"{run.folder}{suffix}").rename(
                evaluated.out / folder / f"fold-{number}{suffix}"
            )
        runs.append(run._replace(folder=f"fold-{number}"))
    folds = replace(evaluated, kind="folds", runs=tuple(runs))
    found = evaluate_series(folds, training_pack, split="val", start=refuse)
    assert isinstance(found, ComparisonSummary)
    assert [model.name for model in found.models] == ["fold-0", "fold-1"]


def test_a_single_run_has_a_report(evaluated: Series, training_pack: Path) -> None:
    """There is nothing to compare it with."""
    one = replace(evaluated, runs=evaluated.runs[:1])
    found = evaluate_series(one, training_pack, split="val", start=refuse)
    assert found == one.out / "reports" / one.runs[0].folder


def test_a_failed_export_ends_it(copied_sweep: Series, training_pack: Path) -> None:
    """Its process has said why."""
    with pytest.raises(RunFailed) as caught:
        evaluate_series(copied_sweep, training_pack, split="val", start=lambda _words: 1)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("words", "ending"),
    [
        pytest.param(["--seeds", "2", "--evaluate", "nope.pack"], (1, "Pack nope.pack does not exist"), id="pack"),
        pytest.param(["--seeds", "2", "--evaluate", "{pack}", "--evaluate-split", "dev"], (1, "no split 'dev'"), id="split"),
        pytest.param(["--evaluate", "{pack}"], (2, "--evaluate needs --seeds, --sweep or --folds"), id="one run"),
        pytest.param(["--seeds", "2", "--evaluate-split", "test"], (2, "--evaluate-split needs --evaluate"), id="no pack"),
        pytest.param(["--seeds", "2", "--evaluate", "{pack}", "--plan"], (2, "`--plan` shows a single run"), id="plan"),
    ],
)  # fmt: skip
def test_a_mistake_is_found_before_training(
    quick_recipe_path: Path,
    training_pack: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    ending: tuple[int, str],
) -> None:
    words = [word.format(pack=training_pack) for word in words]
    start = [
        "train",
        "--recipe",
        str(quick_recipe_path),
        "--pack",
        str(training_pack),
        "--out",
        str(tmp_path / "out"),
    ]
    try:
        code = main([*start, *words])
    except SystemExit as usage:
        code = int(str(usage.code))
    assert code == ending[0]
    assert ending[1] in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_command_ends_with_the_comparison(
    evaluated: Series, quick_recipe_path: Path, training_pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything was finished earlier, so nothing is started; the tables of dev and of the reports are printed again."""
    words = [
        "train",
        "--recipe",
        quick_recipe_path,
        "--pack",
        training_pack,
        "--out",
        evaluated.out,
        "--resume",
    ]
    words += ["--sweep", "schedule.learning_rate=1e-3,0.005", "--evaluate", training_pack]
    assert main([str(word) for word in words]) == 0
    printed = capsys.readouterr().out
    assert printed.index("summary: ") < printed.index("learning_rate=0.005 against learning_rate=0.001")
    assert f"Written: {evaluated.out / 'comparison.png'}" in printed


def test_evaluating_needs_no_torch() -> None:
    """Only the exports load it, in processes of their own."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'timm', 'lightning')));"
        "import mien.experiments.evaluation; print('ok')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "ok", done.stderr
