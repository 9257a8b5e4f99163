"""Series of runs: started, resumed, refused and replaced. tests/end_to_end kills real processes."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs the train extra")

from mien.artifacts import one_writer
from mien.cli import main
from mien.cli.output import log_to_stderr
from mien.errors import ArtifactError, MienError, RecipeError
from mien.experiments.series import RunFailed, Series
from mien.experiments.sweep import train_sweep
from mien.experiments.sweep_summary import summarize_sweep

RATES = "schedule.learning_rate=1e-3,0.005"


class InThisProcess:
    """Runs a mien command in this process, and records the folders of the runs."""

    def __init__(self) -> None:
        self.folders: list[str] = []

    def __call__(self, words: Sequence[str]) -> int:
        """Return the exit code."""
        self.folders.append(words[words.index("--out") + 1])
        return main(list(words))


class Failing(InThisProcess):
    """Runs nothing and returns an exit code."""

    def __init__(self, exit_code: int) -> None:
        super().__init__()
        self.exit_code = exit_code

    def __call__(self, words: Sequence[str]) -> int:
        """Return the exit code."""
        self.folders.append(words[words.index("--out") + 1])
        return self.exit_code


def refuse(words: Sequence[str]) -> int:
    raise AssertionError(f"nothing was to be trained, but {words} was")


def test_a_sweep_resumes(copied_sweep: Series, capsys: pytest.CaptureFixture[str]) -> None:
    """Finished runs are kept, the others are trained, and the summary is the same again."""
    before = {path.name: path.read_bytes() for path in copied_sweep.out.glob("summary.*")}
    shutil.rmtree(copied_sweep.out / copied_sweep.runs[3].folder)
    start = InThisProcess()
    with log_to_stderr():
        train_sweep(copied_sweep, resume=True, start=start)
    assert start.folders == [str(copied_sweep.out / copied_sweep.runs[3].folder)]
    told = capsys.readouterr().err
    assert "run 1 of 4: learning_rate=0.001, seed 0: finished earlier\n" in told
    assert "run 4 of 4: learning_rate=0.005, seed 1\n" in told
    assert {path.name: path.read_bytes() for path in copied_sweep.out.glob("summary.*")} == before


def test_a_finished_run_that_has_changed_is_an_error(copied_sweep: Series) -> None:
    """The files of a finished run are verified before the next one is trained."""
    folder = copied_sweep.out / copied_sweep.runs[0].folder
    (folder / "result.json").write_text((folder / "result.json").read_text().replace("macro_f1", "macro_f2"))
    start = Failing(1)
    with pytest.raises(ArtifactError, match=r"result\.json is damaged"):
        train_sweep(copied_sweep, resume=True, start=start)
    assert start.folders == []


def test_every_pack_is_given_to_every_run(make_series: Callable[..., Series], training_pack: Path) -> None:
    """Every run of a series is trained on all packs of the command."""
    given: list[Sequence[str]] = []

    def start(words: Sequence[str]) -> int:
        given.append(words)
        return 1

    with pytest.raises(RunFailed):
        train_sweep(make_series(seeds=1, packs=(training_pack, training_pack)), start=start)
    assert [given[0][place + 1] for place, word in enumerate(given[0]) if word == "--pack"] == [
        str(training_pack)
    ] * 2


def test_seeds_can_be_added(copied_sweep: Series, make_series: Callable[..., Series]) -> None:
    """The first run to start is the first that is missing; the old summary is removed."""
    start = Failing(1)
    with pytest.raises(RunFailed):
        train_sweep(make_series(RATES, seeds=3), resume=True, start=start)
    assert start.folders == [str(copied_sweep.out / "learning_rate=0.001" / "seed-2")]
    assert not (copied_sweep.out / "summary.json").exists()


def test_a_run_that_fails_stops_the_sweep(make_series: Callable[..., Series]) -> None:
    """Its exit code is passed on, the next run is not started, and there is no summary."""
    series, start = make_series(seeds=3), Failing(3)
    with pytest.raises(RunFailed) as caught:
        train_sweep(series, start=start)
    assert caught.value.exit_code == 3
    assert len(start.folders) == 1
    assert not (series.out / "summary.json").exists()


def test_a_run_that_is_killed_is_reported(make_series: Callable[..., Series]) -> None:
    """A process killed for lack of memory cannot report it."""
    with pytest.raises(MienError, match=r"run 1 of 1: seed 0 was killed by SIGKILL.*--resume"):
        train_sweep(make_series(seeds=1), start=Failing(-9))


def test_a_run_killed_before_its_first_file_starts_over(
    make_series: Callable[..., Series], tmp_path: Path
) -> None:
    """A run's folder without run.json would be in the way, and is removed."""
    series, killed = make_series(seeds=1), tmp_path / "killed"

    def copy(_: Sequence[str]) -> int:
        shutil.copytree(series.out, killed)
        return 1

    with pytest.raises(RunFailed):
        train_sweep(series, start=copy)
    killed.rename(series.out)  # as if the command had been killed too
    (series.out / "seed-0" / "checkpoints").mkdir(parents=True)
    with pytest.raises(RunFailed):
        train_sweep(series, resume=True, start=Failing(1))
    assert (series.out / "runs.json").exists()
    assert not (series.out / "seed-0").exists()


def test_a_series_whose_first_run_does_not_start_leaves_nothing(make_series: Callable[..., Series]) -> None:
    """The corrected command then needs neither another folder nor --force."""
    series = make_series(seeds=2)
    for _ in range(2):
        with pytest.raises(RunFailed):
            train_sweep(series, start=Failing(1))
        assert not series.out.exists()


@pytest.mark.parametrize(
    ("sweeps", "changes", "expected"),
    [
        pytest.param([RATES], {"overrides": ["--data.flip=1"]}, "`data.flip` is unknown", id="key"),
        pytest.param(
            [RATES], {"overrides": ["--schedule.batch_size=32"]}, "schedule.batch_size differ", id="recipe"
        ),
        pytest.param(
            ["schedule.epochs=1,2"],
            {},
            "started as a sweep of schedule.learning_rate, not as a sweep of schedule.epochs",
            id="another sweep",
        ),
        pytest.param([], {}, "not as several seeds of one recipe", id="no sweep"),
        pytest.param([RATES], {"kind": "folds"}, "not as a cross-validation", id="folds"),
    ],
)
def test_another_series_is_refused_before_training(
    copied_sweep: Series,
    make_series: Callable[..., Series],
    sweeps: list[str],
    changes: dict[str, Any],
    expected: str,
) -> None:
    """--resume accepts only the same series, and the folder stays as it is."""
    with pytest.raises(MienError, match=expected):
        train_sweep(make_series(*sweeps, seeds=2, **changes), resume=True, start=refuse)
    assert (copied_sweep.out / "summary.json").exists()


def test_the_rest_of_runtime_may_differ(copied_sweep: Series, make_series: Callable[..., Series]) -> None:
    """Another machine may resume with its own devices and workers."""
    series = make_series(RATES, seeds=2, overrides=["--runtime.workers=1"])
    assert train_sweep(series, resume=True, start=refuse).results == summarize_sweep(copied_sweep).results


def test_another_pack_is_refused(
    copied_sweep: Series, make_training_pack: Callable[..., Path], tmp_path: Path
) -> None:
    """The pack is identified by its content."""
    other = make_training_pack(tmp_path / "other.pack", n_train=180)
    with pytest.raises(ArtifactError, match="started on another pack"):
        train_sweep(replace(copied_sweep, packs=(other,)), resume=True, start=refuse)


def test_an_existing_folder_is_not_overwritten(make_series: Callable[..., Series]) -> None:
    """Not without --force, nor with it if the folder is not a sweep."""
    series = make_series(seeds=1)
    series.out.mkdir()
    (series.out / "me.jpg").write_bytes(b"x")
    for resume, force, expected in (
        (False, False, "already exists"),
        (True, False, "already exists"),
        (False, True, r"holds no runs\.json"),
    ):
        with pytest.raises(ArtifactError, match=expected):
            train_sweep(series, resume=resume, force=force, start=refuse)
    assert [path.name for path in series.out.iterdir()] == ["me.jpg"]


def test_force_starts_over(copied_sweep: Series, make_series: Callable[..., Series]) -> None:
    """The earlier sweep is removed once the new one has started, including files that the new one does not write."""
    series = make_series(seeds=1)
    train_sweep(series, force=True, start=InThisProcess())
    assert sorted(path.name for path in copied_sweep.out.iterdir()) == [
        "runs.json", "seed-0", "seed-0.yaml", "summary.csv", "summary.json", "summary.md",
        "summary.pdf", "summary.png", "summary.svg", "summary.tex",
    ]  # fmt: skip
    assert [path.name for path in copied_sweep.out.parent.iterdir() if path.name.startswith("out")] == ["out"]


def test_a_mistake_does_not_cost_the_earlier_sweep(
    copied_sweep: Series, make_series: Callable[..., Series], capsys: pytest.CaptureFixture[str]
) -> None:
    """A backbone that does not exist is found by the first run, and with --force the old folder comes back."""
    before = {path: path.read_bytes() for path in copied_sweep.out.rglob("*") if path.is_file()}
    series = make_series(seeds=1, overrides=["--model.backbone=resnt18"])
    with pytest.raises(RunFailed):
        train_sweep(series, force=True, start=InThisProcess())
    assert "Did you mean resnet18" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in copied_sweep.out.rglob("*") if path.is_file()} == before
    assert [path.name for path in copied_sweep.out.parent.iterdir() if path.name.startswith("out")] == ["out"]


def test_the_earlier_sweep_stays_until_the_new_one_is_finished(
    copied_sweep: Series, make_series: Callable[..., Series]
) -> None:
    """Interrupted once or twice, it is still there; the finished new one replaces it."""
    aside = copied_sweep.out.with_name("out.replaced")
    before = (copied_sweep.out / "summary.json").read_bytes()
    train_first = InThisProcess()

    def stop_at_the_second(words: Sequence[str]) -> int:
        if "seed-1" in " ".join(words):
            raise KeyboardInterrupt
        return train_first(words)

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train_sweep(make_series(seeds=2), force=True, start=stop_at_the_second)
        assert (aside / "summary.json").read_bytes() == before
        assert not (copied_sweep.out / "summary.json").exists()
    train_sweep(make_series(seeds=2), resume=True, start=InThisProcess())
    assert not aside.exists()
    assert (copied_sweep.out / "summary.json").exists()


def test_a_sweep_has_one_writer(make_series: Callable[..., Series]) -> None:
    """The second gets an error, and does nothing."""
    series = make_series(seeds=1)
    with one_writer(series.out), pytest.raises(ArtifactError, match="is being written by this process"):
        train_sweep(series, start=refuse)
    assert not series.out.exists()


def test_torchrun_and_several_machines_are_refused(
    make_series: Callable[..., Series], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would all train everything."""
    with pytest.raises(RecipeError, match="on one machine"):
        train_sweep(make_series(seeds=1, overrides=["--runtime.nodes=2"]), start=refuse)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    series = make_series(seeds=1)
    with pytest.raises(RecipeError, match="not under torchrun"):
        train_sweep(series, start=refuse)
    assert not series.out.exists()


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        pytest.param(["--sweep", "schedule.lerning_rate=1"], 2, "Did you mean", id="key"),
        pytest.param(["--sweep", "schedule.epochs=2", "--pack", "nope.pack"], 1, "nope.pack does not", id="pack"),
        pytest.param(["--seeds", "2", "--schedule.epochs", "x"], 2, "must be an integer", id="recipe"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(
    quick_recipe_path: Path, training_pack: Path, tmp_path: Path, words: list[str], code: int, expected: str
) -> None:
    """From the command line, before anything is written."""
    pack = [] if "--pack" in words else ["--pack", training_pack]
    start = ["train", "--recipe", quick_recipe_path, *pack, "--out", tmp_path / "out"]
    told = StringIO()
    with redirect_stderr(told):
        assert main([str(word) for word in [*start, *words]]) == code
    assert told.getvalue().count("\n") == 1
    assert expected in told.getvalue()
    assert not (tmp_path / "out").exists()


def test_starting_runs_needs_no_torch() -> None:
    """A process that only starts others must not take the memory of torch."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'timm', 'lightning')));"
        "import mien.experiments.sweep, mien.experiments.cross_validation; print('ok')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "ok", done.stderr
