"""`mien train` killed and resumed, stopped, and shared by two processes: as real processes, so slow."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import torch
from safetensors.torch import load_file

from mien.recipe import AugmentConfig, ModelConfig, Recipe, ScheduleConfig, format_recipe
from mien.run import Run

pytestmark = pytest.mark.slow

SCRIPT = Path(sys.executable).with_name("mien")
TORCHRUN = Path(sys.executable).with_name("torchrun")
if not SCRIPT.exists():
    pytest.skip("mien is not installed as a command beside this Python", allow_module_level=True)


@pytest.fixture
def command(tiny_recipe: Recipe, training_pack: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """Return a function that gives the words of `mien train` with the tiny recipe."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(format_recipe(tiny_recipe), encoding="utf-8")

    def words(out: Path, *options: object, pack: Path = training_pack, recipe: Path = recipe) -> list[str]:
        start = [str(SCRIPT), "train", "--recipe", str(recipe), "--pack", str(pack), "--out", str(out)]
        return start + [str(option) for option in options]

    return words


def call(words: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=300, start_new_session=True
    )


@contextmanager
def started(words: list[str]) -> Iterator["subprocess.Popen[str]"]:
    """Start a command in a process group of its own, of which nothing is left afterwards."""
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def rows_of(run: Path) -> list[dict[str, str]]:
    path = run / "metrics.csv"
    return list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []


def wait_for_epochs(process: "subprocess.Popen[str]", run: Path, n_epochs: int) -> None:
    deadline = time.monotonic() + 200
    while len(rows_of(run)) < n_epochs:
        assert process.poll() is None, "the run ended too soon"
        assert time.monotonic() < deadline, "the run is too slow"
        time.sleep(0.02)


def same_weights(one: Path, other: Path) -> bool:
    ours, theirs = (load_file(Run.open(run).best_weights_path) for run in (one, other))
    last, other_last = (
        torch.load(Run.open(run).last_checkpoint_path, weights_only=True)["state_dict"]
        for run in (one, other)
    )
    return all(torch.equal(ours[name], theirs[name]) for name in theirs) and all(
        torch.equal(last[name], other_last[name]) for name in other_last
    )


def test_killed_and_resumed_is_bit_for_bit_uninterrupted(
    command: Callable[..., list[str]], tmp_path: Path
) -> None:
    """After kill -9 in the middle, --resume ends with the very weights of a run that was left alone."""
    options = ("--runtime.deterministic", "true", "--runtime.workers", 1, "--schedule.epochs", 12)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert call(command(whole, *options)).returncode == 0
    with started(command(broken, *options)) as process:
        wait_for_epochs(process, broken, 4)
    assert not (broken / "result.json").exists()
    done = call(command(broken, *options, "--resume"))
    assert done.returncode == 0, done.stderr
    assert "Epoch 1/12" not in done.stderr
    assert (broken / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
    assert same_weights(broken, whole)
    assert Run.open(broken).read_result() == Run.open(whole).read_result()


@pytest.mark.parametrize("devices", [1, 2])
def test_ctrl_c_stops_with_one_line(command: Callable[..., list[str]], tmp_path: Path, devices: int) -> None:
    """A person's Ctrl-C reaches every process, and ends without a traceback; the run can be resumed."""
    run = tmp_path / "run"
    words = command(run, "--schedule.epochs", 500, "--runtime.devices", devices)
    with started(words) as process:
        wait_for_epochs(process, run, 2)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "mien: stopped"
    assert Run.open(run).last_checkpoint_path.exists()


def norm_free_recipe(tiny_recipe: Recipe, folder: Path) -> Path:
    """A recipe in which one process and two learn the same: no batch norms, nothing drawn on a rank."""
    recipe = replace(
        tiny_recipe,
        model=ModelConfig(backbone="vit_tiny_patch16_224", pretrained=False, drop_rate=0.0),
        data=replace(
            tiny_recipe.data, augment=AugmentConfig(brightness=0, contrast=0, saturation=0, erase=0)
        ),
        schedule=ScheduleConfig(epochs=3, batch_size=16, learning_rate=0.001),
    )
    path = folder / "norm_free.yaml"
    path.write_text(format_recipe(recipe), encoding="utf-8")
    return path


def test_two_processes_learn_what_one_learns(
    command: Callable[..., list[str]],
    make_training_pack: Callable[..., Path],
    tiny_recipe: Recipe,
    tmp_path: Path,
) -> None:
    """Sharing each batch between two processes gives the losses of one, by either launcher.

    This holds only if the ranks see different halves of the batch, the gradients are averaged, and every dev
    face is measured once.
    """
    # Every face has landmarks: else each rank averages over those of its own half.
    pack = make_training_pack(tmp_path / "full.pack", n_missing=0)
    recipe = norm_free_recipe(tiny_recipe, tmp_path)
    one, two, by_torchrun = tmp_path / "one", tmp_path / "two", tmp_path / "torchrun"
    shared = ("--runtime.devices", 2)
    launcher = [str(TORCHRUN), "--nproc-per-node", "2", "--no-python"]
    for words in (
        command(one, pack=pack, recipe=recipe),
        command(two, *shared, pack=pack, recipe=recipe),
        launcher + command(by_torchrun, *shared, pack=pack, recipe=recipe),
    ):
        done = call(words)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("trained on 153 faces") == 1
        assert "(n = 39)" in done.stdout
        assert "Traceback" not in done.stderr
        assert "Initializing distributed" not in done.stderr
    assert Run.open(two).read_result()["dev"]["n"] == 39
    for run in (two, by_torchrun):
        for ours, theirs in zip(rows_of(run), rows_of(one), strict=True):
            for name in ("train_total", "train_expression", "train_landmarks", "dev_loss", "dev_nme"):
                assert float(ours[name]) == pytest.approx(float(theirs[name]), rel=2e-3), name


def test_two_processes_with_batch_norms_learn(command: Callable[..., list[str]], tmp_path: Path) -> None:
    """With batch norms, which see a rank's half alone, two processes differ from one and still learn."""
    done = call(command(tmp_path / "run", "--runtime.devices", 2, "--schedule.epochs", 10))
    assert done.returncode == 0, done.stderr
    rows = rows_of(tmp_path / "run")
    assert float(rows[-1]["train_total"]) < 0.85 * float(rows[0]["train_total"])
    assert Run.open(tmp_path / "run").read_result()["dev"]["balanced_accuracy"] > 0.6


def test_two_processes_go_on_after_a_kill(command: Callable[..., list[str]], tmp_path: Path) -> None:
    """A run shared by two processes is resumed by two as well, to the same end."""
    options = ("--runtime.devices", 2, "--schedule.epochs", 8)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert call(command(whole, *options)).returncode == 0
    with started(command(broken, *options)) as process:
        wait_for_epochs(process, broken, 3)
    done = call(command(broken, *options, "--resume"))
    assert done.returncode == 0, done.stderr
    assert (broken / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
    assert same_weights(broken, whole)


@pytest.mark.parametrize("launcher", ["lightning", "torchrun"])
def test_two_processes_refuse_an_existing_run(
    command: Callable[..., list[str]], trained_run: Path, launcher: str
) -> None:
    """OUT is not touched by either process."""
    before = {path: path.stat().st_mtime_ns for path in trained_run.rglob("*")}
    words = command(trained_run, "--runtime.devices", 2)
    if launcher == "torchrun":
        words = [str(TORCHRUN), "--nproc-per-node", "2", "--no-python", *words]
    done = call(words)
    assert done.returncode == 1
    assert done.stderr.count("mien: ") == 1
    assert "exists already" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in trained_run.rglob("*")} == before


def test_a_loss_that_explodes_stops_both_processes(command: Callable[..., list[str]], tmp_path: Path) -> None:
    """Both ranks leave with one line between them, and none waits for the other."""
    options = ("--schedule.optimizer", "sgd", "--schedule.learning_rate", 1000, "--schedule.warmup_epochs", 0)
    done = call(command(tmp_path / "run", "--runtime.devices", 2, *options))
    assert done.returncode == 1
    assert done.stderr.count("no longer finite") == 1
    assert "Traceback" not in done.stderr
