"""Where a run is logged besides its own files: parameters, epochs, resuming, and trackers that fail."""

import csv
import importlib.util
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs the train extra")

from lightning.pytorch.loggers import Logger

from mien.artifacts import read_json
from mien.errors import MissingExtraError, ModelError, RecipeError, StoppedError
from mien.recipe import Recipe
from mien.recipe.validation import check_values
from mien.train import trackers, train


class Recorder(Logger):
    """A tracker that keeps what it receives in memory."""

    name = "recorder"
    version = ""

    def __init__(self, run_id: str | None = None, *, fails_at: int | None = None) -> None:
        super().__init__()
        self.version = run_id or "first"
        self.fails_at = fails_at
        self.parameters: dict[str, Any] = {}
        self.epochs: list[tuple[int, dict[str, float]]] = []

    def log_hyperparams(self, params: Any, *_: Any, **__: Any) -> None:
        """Keep the parameters."""
        self.parameters = dict(params)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Keep the metrics of an epoch, or fail."""
        if len(self.epochs) == self.fails_at:
            raise ConnectionError("the server\nis down")
        self.epochs.append((step or 0, dict(metrics)))


def tracked(recipe: Recipe, *names: str, epochs: int = 2) -> Recipe:
    return replace(
        recipe,
        runtime=replace(recipe.runtime, trackers=list(names)),
        schedule=replace(recipe.schedule, epochs=epochs),
    )


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Recorder]:
    """The recorders that stand in for MLflow, each with the id of the run that it continues."""
    recorders: list[Recorder] = []

    def open_recorder(_folder: Path, run_id: str | None) -> Recorder:
        recorders.append(Recorder(run_id))
        return recorders[-1]

    monkeypatch.setattr(trackers, "find_spec", lambda _name: object())
    monkeypatch.setattr(trackers, "open_mlflow", open_recorder)
    return recorders


def test_a_tracker_receives_the_recipe_and_every_epoch(
    training_pack: Path, tiny_recipe: Recipe, tmp_path: Path, opened: list[Recorder]
) -> None:
    train(tracked(tiny_recipe, "mlflow"), [training_pack], tmp_path / "run")
    (recorder,) = opened
    assert recorder.parameters["schedule.learning_rate"] == tiny_recipe.schedule.learning_rate
    assert recorder.parameters["runtime.trackers"] == ["mlflow"]
    with (tmp_path / "run" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(recorder.epochs) == 2
    for row, (_, metrics) in zip(rows, recorder.epochs, strict=True):
        assert float(row["dev_loss"]) == pytest.approx(metrics["dev/loss"], rel=1e-4)
        assert float(row["learning_rate"]) == pytest.approx(metrics["learning_rate"], rel=1e-4)
    assert [step for step, _ in recorder.epochs] == sorted({step for step, _ in recorder.epochs})
    assert read_json(tmp_path / "run" / "trackers.json", what="run") == {"mlflow": "first"}
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_a_tracker_that_fails_costs_no_training(
    training_pack: Path,
    tiny_recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    opened: list[Recorder],
    caplog: pytest.LogCaptureFixture,
) -> None:
    failing = Recorder(fails_at=1)
    monkeypatch.setattr(trackers, "open_wandb", lambda *_: failing)
    with caplog.at_level(logging.WARNING, logger="mien"):
        train(tracked(tiny_recipe, "mlflow", "wandb", epochs=4), [training_pack], tmp_path / "run")
    assert len(failing.epochs) == 1
    assert len(opened[0].epochs) == 4
    warnings = [record.getMessage() for record in caplog.records if "no longer logs" in record.getMessage()]
    assert warnings == ["Recorder no longer logs this run: the server is down"]


def test_a_resumed_run_continues_in_its_tracker(
    training_pack: Path,
    tiny_recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    opened: list[Recorder],
) -> None:
    log = Recorder.log_metrics

    def stop_after(self: Recorder, metrics: dict[str, float], step: int | None = None) -> None:
        log(self, metrics, step)
        if len(self.epochs) == 2 and len(opened) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(Recorder, "log_metrics", stop_after)
    recipe = tracked(tiny_recipe, "mlflow", epochs=3)
    with pytest.raises((KeyboardInterrupt, SystemExit, StoppedError)):
        train(recipe, [training_pack], tmp_path / "run")
    opened[0].version = "never asked again"
    (tmp_path / "run" / "trackers.json").write_text('{"mlflow": "the-same"}')
    changed = replace(recipe, runtime=replace(recipe.runtime, threads=1))
    train(changed, [training_pack], tmp_path / "run", resume=True)
    assert opened[1].version == "the-same"
    # MLflow refuses a parameter with another value.
    assert not opened[1].parameters


def test_a_tracker_that_cannot_begin(
    training_pack: Path,
    tiny_recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    opened: list[Recorder],
) -> None:
    def refuse(*_: Any) -> Any:
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(trackers, "open_mlflow", refuse)
    message = r"^`runtime.trackers: \[mlflow\]` cannot begin: ConnectionError: no route to host\. Check"
    with pytest.raises(ModelError, match=message):
        train(tracked(tiny_recipe, "mlflow"), [training_pack], tmp_path / "run")


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_package_that_is_not_installed(
    name: str, training_pack: Path, tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda _name: None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'mien\[{name}\]'"):
        train(tracked(tiny_recipe, name), [training_pack], tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["mlfow"], r"must be a list of tensorboard, mlflow, wandb, got \['mlfow'\]\. Did you mean `mlflow`"),
        ("mlflow", "must be a list of tensorboard, mlflow, wandb, got mlflow"),
        (["wandb", "wandb"], "names one twice: wandb, wandb"),
        ([["mlflow"]], "must be a list of"),
        (None, "must be a list of"),
    ],
)
def test_unknown_trackers_are_refused(names: Any, message: str, tiny_recipe: Recipe) -> None:
    recipe = replace(tiny_recipe, runtime=replace(tiny_recipe.runtime, trackers=names))
    with pytest.raises(RecipeError, match=message):
        check_values(recipe)


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="the mlflow extra is not installed")
@pytest.mark.filterwarnings("ignore")
def test_mlflow_keeps_the_run_in_its_folder(
    training_pack: Path, tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    train(tracked(tiny_recipe, "mlflow"), [training_pack], tmp_path / "run")
    client = MlflowClient(f"sqlite:///{tmp_path / 'run' / 'mlflow.db'}")
    run_id = read_json(tmp_path / "run" / "trackers.json", what="run")["mlflow"]
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["schedule.epochs"] == "2"
    assert len(client.get_metric_history(run_id, "dev/accuracy")) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="the wandb extra is not installed")
@pytest.mark.filterwarnings("ignore")
def test_wandb_is_offline_unless_asked(
    training_pack: Path, tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.chdir(tmp_path)
    train(tracked(tiny_recipe, "wandb"), [training_pack], tmp_path / "run")
    run_id = read_json(tmp_path / "run" / "trackers.json", what="run")["wandb"]
    (log,) = (tmp_path / "run" / "wandb").glob(f"offline-run-*-{run_id}/run-{run_id}.wandb")
    assert b"dev/accuracy" in log.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
