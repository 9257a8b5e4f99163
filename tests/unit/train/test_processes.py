"""Variables left in the environment by launchers: ignored, used, or refused before anything starts."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs the train extra")

from lightning.pytorch.utilities.rank_zero import rank_zero_only

from mien.errors import ArtifactError, MienError, ModelError, RecipeError
from mien.formats.pack import PackSplit
from mien.formats.run import Run
from mien.recipe import Recipe
from mien.train import train
from mien.train.processes import require_launcher, require_numbers, require_rank

LAUNCHERS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID", "SLURM_NTASKS", "WORLD_SIZE", "MASTER_PORT")


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """No launcher's variables in the environment, unless a test sets them."""
    for name in (*LAUNCHERS, "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)


def quick(recipe: Recipe, *, devices: int = 1, **schedule: Any) -> Recipe:
    return replace(
        recipe,
        schedule=replace(recipe.schedule, **{"epochs": 1, **schedule}),
        runtime=replace(recipe.runtime, devices=devices),
    )


@pytest.mark.parametrize(
    "left",
    [
        {"RANK": "1", "LOCAL_RANK": "1", "NODE_RANK": "1"},
        {"SLURM_PROCID": "2"},
        {
            "SLURM_PROCID": "2",
            "SLURM_NTASKS": "4",
            "SLURM_JOB_ID": "7",
            "SLURM_JOB_NAME": "x",
            "SLURM_LOCALID": "2",
        },
    ],
    ids=" ".join,
)
def test_a_single_process_trains_whatever_a_launcher_left(
    training_pack: Path,
    tiny_recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    left: dict[str, str],
) -> None:
    """One independent run of a job array, or a leftover variable: the run is complete."""
    for name, value in left.items():
        monkeypatch.setenv(name, value)
    # what Lightning reads from the environment when it is imported
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    assert train(quick(tiny_recipe), [training_pack], tmp_path / "run") is not None
    run = Run.open(tmp_path / "run")
    assert run.read_result()["epochs"] == 1
    assert run.last_checkpoint_path.exists()
    assert sum(path.stat().st_size for path in (run.path / "tensorboard").glob("events*")) > 200


@pytest.mark.parametrize(
    ("environment", "devices", "expected"),
    [
        pytest.param(
            {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2"},
            1,
            r"torchrun started 2 processes.*is 1",
            id="torchrun",
        ),
        pytest.param(
            {"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, 2, r"SLURM started 4 processes.*is 2", id="SLURM"
        ),
        pytest.param({"LOCAL_RANK": "1"}, 2, r"LOCAL_RANK=1 .*`unset LOCAL_RANK`", id="no launcher"),
        pytest.param({"NODE_RANK": "1"}, 2, r"process 2 of 2.*NODE_RANK", id="a machine too many"),
    ],
)
def test_several_processes_and_the_environment_must_agree(
    training_pack: Path,
    tiny_recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    environment: dict[str, str],
    devices: int,
    expected: str,
) -> None:
    """Each would wait for processes that never start, or train several times: one line before anything is written."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RecipeError, match=expected) as caught:
        train(quick(tiny_recipe, devices=devices), [training_pack], tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_what_agrees_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many processes as requested, Lightning's own processes, and an interactive SLURM job."""
    monkeypatch.setenv("SLURM_NTASKS", "2")
    require_launcher(2)
    monkeypatch.setenv("SLURM_JOB_NAME", "interactive")
    require_launcher(3)
    monkeypatch.delenv("SLURM_NTASKS")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("MASTER_PORT", "29500")
    require_launcher(2)
    require_rank(1, 2)


@pytest.mark.parametrize("value", ["", "two", "-1"])
def test_a_rank_that_is_not_a_number(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """It is named, with how to remove it."""
    monkeypatch.setenv("RANK", value)
    with pytest.raises(RecipeError, match=rf"RANK in the environment.* got '{value}'.*unset RANK"):
        require_numbers()


def test_a_rank_that_is_not_a_number_is_one_line() -> None:
    """Lightning ends its import with a traceback."""
    code = "import os; os.environ['RANK'] = ''; from mien.cli import main; raise SystemExit(main({words!r}))"
    words = ["train", "--pack", "p", "--out", "r"]
    done = subprocess.run(
        [sys.executable, "-c", code.format(words=words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert "unset RANK" in done.stderr


def test_a_device_needs_two_faces(training_pack: Path, tiny_recipe: Recipe, tmp_path: Path) -> None:
    """A batch norm has no variance of one value."""
    with pytest.raises(
        RecipeError, match=r"`schedule\.batch_size` must give each of the 2 devices two faces"
    ):
        train(quick(tiny_recipe, devices=2, batch_size=2), [training_pack], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_a_loaders_process_finds_is_one_line(
    training_pack: Path, tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its error is raised with the same type, without the process's traceback."""

    def fail(split: PackSplit, index: int) -> None:
        raise ArtifactError(f"{split.pack.path} is gone. Run `mien prepare` again")

    monkeypatch.setattr(PackSplit, "image", fail)
    recipe = quick(tiny_recipe)
    recipe = replace(recipe, runtime=replace(recipe.runtime, workers=1))
    with pytest.raises(MienError) as caught:
        train(recipe, [training_pack], tmp_path / "run")
    assert str(caught.value) == f"{training_pack} is gone. Run `mien prepare` again"
    assert type(caught.value) is ArtifactError


def test_processes_that_lose_each_other_are_one_line(
    training_pack: Path, tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port that is in use, reported by torch itself."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
        monkeypatch.setenv("MASTER_PORT", str(taken.getsockname()[1]))
        monkeypatch.setenv("LOCAL_RANK", "0")
        with pytest.raises(ModelError, match=r"cannot reach each other: .*MASTER_PORT") as caught:
            train(quick(tiny_recipe, devices=2), [training_pack], tmp_path / "run")
    assert "\n" not in str(caught.value)
