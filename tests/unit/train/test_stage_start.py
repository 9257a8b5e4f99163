"""The start of a run: its packs, its recipe, and what stops it early."""

import csv
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import lightning.pytorch as lightning
import torch

from mien.errors import ArtifactError, ModelError, RecipeError
from mien.formats.run import Run
from mien.recipe import LossConfig, Recipe
from mien.train import stage, train
from mien.train.dry_run.plan import plan_training
from mien.train.preflight import warn_of_seen_dev_faces

CLASSES = ("Neutral", "Happy", "Sad")


def quick(recipe: Recipe, **schedule: Any) -> Recipe:
    """The recipe for one epoch, with other values of its schedule."""
    return replace(recipe, schedule=replace(recipe.schedule, **{"epochs": 1, **schedule}))


@pytest.mark.usefixtures("unlike_faces")
def test_several_packs_are_trained_on_together(
    make_training_pack: Callable[..., Path],
    training_pack: Path,
    tiny_recipe: Recipe,
    tmp_path: Path,
) -> None:
    """The run records each pack's hash in order, and one of all; resuming with others is refused."""
    other = make_training_pack(tmp_path / "other.pack", n_train=48, n_val=6, n_missing=0)
    hashes = [
        json.loads((pack / "pack.json").read_text())["content_sha256"] for pack in (training_pack, other)
    ]
    out = tmp_path / "run"
    summary = train(quick(tiny_recipe), [training_pack, other], out)
    run = Run.open(out)
    assert run.pack["members"] == hashes
    assert run.pack["content_sha256"] == hashlib.sha256("".join(hashes).encode()).hexdigest()
    assert run.pack["path"] == f"{training_pack}, {other}"
    assert run.pack["n_train"] + run.pack["n_dev"] + run.pack["n_leaks_left_out"] == 192 + 48
    assert summary is not None
    assert sum(run.pack["train_counts"]) == run.pack["n_train"] == summary.n_train
    (out / "result.json").unlink()
    for packs in ([training_pack], [other, training_pack]):
        with pytest.raises(ArtifactError, match="started on another pack"):
            train(quick(tiny_recipe), packs, out, resume=True)
    train(quick(tiny_recipe), [training_pack, other], out, resume=True)


@pytest.mark.parametrize("do", [train, plan_training])
def test_a_recipe_made_in_python_is_checked(
    training_pack: Path, tiny_recipe: Recipe, tmp_path: Path, do: Callable[..., object]
) -> None:
    """A value that the YAML parser would refuse is refused before anything is written."""
    recipe = quick(tiny_recipe, loss=LossConfig(landmarks="wng"))  # type: ignore[arg-type]
    arguments = (tmp_path / "run",) if do is train else ()
    with pytest.raises(RecipeError, match=r"`schedule\.loss\.landmarks` must be one of smooth_l1, mse, wing"):
        do(recipe, [training_pack], *arguments)
    assert not (tmp_path / "run").exists()


def test_selecting_by_a_head_that_is_off_is_refused(
    training_pack: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    """A pack without action units has no mean F1 of them to select by."""
    recipe = quick(tiny_recipe, select_by="action_units_f1")
    with pytest.raises(
        RecipeError,
        match=r"select_by: action_units_f1` needs a head for action units that is trained.*got none",
    ):
        train(recipe, [training_pack], tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("select_by", "weights", "message"),
    [
        (
            "balanced_accuracy",
            {"expression_weight": 0},
            r"balanced_accuracy` is a metric of expressions, which are not trained.*Select by nme or mean_ccc$",
        ),
        ("nme", {"landmarks_weight": 0}, r"nme` needs a head for landmarks that is trained"),
        (
            "mean_ccc",
            {"valence_arousal_weight": 0},
            r"mean_ccc` needs a head for valence arousal that is trained",
        ),
    ],
)
def test_selecting_by_a_task_that_is_not_trained_is_refused(
    training_pack: Path,
    tiny_recipe: Recipe,
    tmp_path: Path,
    select_by: str,
    weights: dict[str, float],
    message: str,
) -> None:
    """Its epochs differ by chance."""
    loss = replace(
        tiny_recipe.schedule.loss, **{"landmarks_weight": 1, "valence_arousal_weight": 1, **weights}
    )
    with pytest.raises(RecipeError, match=message):
        train(quick(tiny_recipe, select_by=select_by, loss=loss), [training_pack], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_landmarks_alone_are_trained_and_selected(
    training_pack: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    loss = replace(tiny_recipe.schedule.loss, expression_weight=0, landmarks_weight=1)
    recipe = quick(tiny_recipe, epochs=3, select_by="nme", loss=loss)
    train(recipe, [training_pack], tmp_path / "run")
    with (tmp_path / "run" / "metrics.csv").open() as file:
        errors = [float(row["dev_nme"]) for row in csv.DictReader(file)]
    result = Run.open(tmp_path / "run").read_result()
    assert result["best_epoch"] == 1 + errors.index(min(errors))
    assert result["dev"]["nme"] == pytest.approx(min(errors), rel=1e-4)


def test_one_pack_is_a_member_too(trained_run: Path) -> None:
    """A run on one pack is identified by that pack's own hash."""
    pack = Run.open(trained_run).pack
    assert pack["members"] == [pack["content_sha256"]]


def test_an_earlier_run_with_other_dev_faces_is_warned_about(
    training_pack: Path,
    trained_run: Path,
    tiny_recipe: Recipe,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was trained on some of the faces that will select the checkpoint."""
    monkeypatch.setattr(stage, "fit", lambda *_, **__: None)
    monkeypatch.setattr(stage, "finish_run", lambda *_: {})
    same = replace(tiny_recipe, model=replace(tiny_recipe.model, weights=str(trained_run)))
    train(same, [training_pack], tmp_path / "same")
    assert caplog.text == ""
    train(replace(same, data=replace(same.data, split_seed=5)), [training_pack], tmp_path / "other")
    was = f"{trained_run} held out other dev faces (`data.split_seed` was {same.data.split_seed}, is 5)"
    assert was in caplog.text
    caplog.clear()
    info = json.loads((trained_run / "run.json").read_text())
    run = Run(
        tmp_path,
        CLASSES,
        Run.open(trained_run).crop,
        asdict(same),
        {"source": f"FER+ + {info['pack']['source']}"},
    )
    warn_of_seen_dev_faces(run)
    assert not caplog.text
    run.recipe["data"]["split_seed"] = 5
    warn_of_seen_dev_faces(run)
    assert "held out other dev faces" in caplog.text


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), "too little memory for 24 faces per step"),
        (
            RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error."),
            "A loader process was killed",
        ),
    ],
)
def test_a_lack_of_memory_is_one_line(
    training_pack: Path,
    tiny_recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    expected: str,
) -> None:
    """It says what to lower; any other torch error keeps its traceback."""

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(lightning.Trainer, "fit", fail)
    with pytest.raises(ModelError, match=expected):
        train(quick(tiny_recipe, batch_size=24), [training_pack], tmp_path / "run")
