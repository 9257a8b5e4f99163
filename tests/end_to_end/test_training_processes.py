"""`mien train` killed and resumed, stopped, and shared by two processes: as real processes, so slow."""

import csv
import os
import secrets
import signal
import socket
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

from mien.formats.run import Run
from mien.recipe import AugmentConfig, ModelConfig, Recipe, ScheduleConfig, format_recipe

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
        words, capture_output=True, text=True, check=False, timeout=600, start_new_session=True
    )


@contextmanager
def started(words: list[str]) -> Iterator["subprocess.Popen[str]"]:
    """Start a command in a process group of its own, of which nothing is left afterwards."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, **pipes, text=True, start_new_session=True) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def rows_of(run: Path) -> list[dict[str, str]]:
    path = run / "metrics.csv"
    return list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []


def wait_for_epochs(process: "subprocess.Popen[str]", run: Path, n_epochs: int) -> None:
    deadline = time.monotonic() + 400
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
    """After kill -9 at any moment, --resume ends with the very weights of a run that was left alone."""
    options = ("--runtime.deterministic", "true", "--runtime.workers", 1, "--schedule.epochs", 12)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert call(command(whole, *options)).returncode == 0
    with started(command(broken, *options)) as process:
        wait_for_epochs(process, broken, 2)
        begin = time.monotonic()
        wait_for_epochs(process, broken, 4)
        # Anywhere within the next epoch, in a step as well as while something is measured or written.
        delay = secrets.randbelow(1000) / 1000 * (time.monotonic() - begin) / 2
        time.sleep(delay)
    assert not (broken / "result.json").exists()
    done = call(command(broken, *options, "--resume"))
    assert done.returncode == 0, done.stderr
    assert "Epoch 1/12" not in done.stderr
    assert (broken / "metrics.csv").read_text() == (whole / "metrics.csv").read_text(), delay
    assert same_weights(broken, whole), delay
    assert Run.open(broken).read_result() == Run.open(whole).read_result()


# `mien` that ends itself by kill -9 when a step begins.
KILLED = """
import os, signal, sys
from mien.cli import main
from mien.train.lightning_adapter import FaceModule

training_step = FaceModule.training_step

def killed(self, batch, batch_index):
    if self.global_step == {step}:
        os.kill(os.getpid(), signal.SIGKILL)
    return training_step(self, batch, batch_index)

FaceModule.training_step = killed
sys.exit(main(sys.argv[1:]))
"""
KINDS = {
    "averaged, mixed, sampled, learned weights": (
        "--schedule.ema_decay", 0.9, "--data.augment.mixup_prob", 0.4, "--data.augment.cutmix_prob", 0.4,
        "--data.sampling", "inverse", "--schedule.loss.task_weights", "learned",
    ),
    "sharpness-aware": ("--schedule.sam_rho", 0.05, "--schedule.optimizer", "sgd", "--model.drop_rate", 0.2),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_killed_in_any_step_of_any_kind(command: Callable[..., list[str]], tmp_path: Path, kind: str) -> None:
    """Killed when a step drawn by lot begins, a run that keeps more than weights goes on to the same end as well."""
    options = (
        "--runtime.deterministic",
        "true",
        "--runtime.workers",
        1,
        "--schedule.epochs",
        4,
        *KINDS[kind],
    )
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert call(command(whole, *options)).returncode == 0
    steps_per_epoch = 153 // 16
    step = 1 + secrets.randbelow(4 * steps_per_epoch - 1)
    killed = call([sys.executable, "-c", KILLED.format(step=step), *command(broken, *options)[1:]])
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    n_done = step // steps_per_epoch
    assert len(rows_of(broken)) == n_done
    done = call(command(broken, *options, "--resume"))
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[0].startswith(f"Epoch {n_done + 1}/4"), step
    assert (broken / "metrics.csv").read_text() == (whole / "metrics.csv").read_text(), step
    assert same_weights(broken, whole), step
    assert Run.open(broken).read_result() == Run.open(whole).read_result()


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize(
    ("sign", "exit_code", "last_line"),
    [
        (signal.SIGINT, 130, "mien: stopped"),
        (
            signal.SIGTERM,
            143,
            "mien: Stopped by SIGTERM. Finished epochs are kept; add --resume to continue",
        ),
    ],
)
def test_a_signal_stops_with_one_line(
    command: Callable[..., list[str]],
    tmp_path: Path,
    devices: int,
    sign: signal.Signals,
    exit_code: int,
    last_line: str,
) -> None:
    """A person's Ctrl-C and a cluster's SIGTERM reach every process, and end without a traceback.

    The run can be resumed, and no script takes it for a finished one.
    """
    run = tmp_path / "run"
    words = command(run, "--schedule.epochs", 500, "--runtime.devices", devices)
    with started(words) as process:
        wait_for_epochs(process, run, 2)
        os.killpg(process.pid, sign)
        _, err = process.communicate(timeout=60)
    assert process.returncode == exit_code
    assert "Traceback" not in err
    assert err.splitlines()[-1] == last_line
    assert Run.open(run).last_checkpoint_path.exists()


@pytest.fixture(scope="module")
def norm_free(
    make_training_pack: Callable[..., Path], tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A recipe in which one process and two learn the same, and its pack.

    There are no batch norms and nothing is drawn on a rank. Every face has landmarks: else each rank averages
    over those of its own half.
    """
    folder = tmp_path_factory.mktemp("norm_free")
    recipe = replace(
        tiny_recipe,
        model=ModelConfig(backbone="vit_tiny_patch16_224", pretrained=False, drop_rate=0.0),
        data=replace(
            tiny_recipe.data, augment=AugmentConfig(brightness=0, contrast=0, saturation=0, erase_prob=0)
        ),
        schedule=ScheduleConfig(epochs=3, batch_size=16, learning_rate=0.001),
    )
    path = folder / "recipe.yaml"
    path.write_text(format_recipe(recipe), encoding="utf-8")
    return path, make_training_pack(folder / "full.pack", n_missing=0)


@pytest.fixture(scope="module")
def alone(norm_free: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process."""
    recipe, pack = norm_free
    out = tmp_path_factory.mktemp("alone") / "run"
    words = [SCRIPT, "train", "--recipe", recipe, "--pack", pack, "--out", out]
    done = call([str(word) for word in words])
    assert done.returncode == 0, done.stderr
    return out


def assert_same_losses(ours: Path, theirs: Path) -> None:
    """Compare the losses within rounding; equal to the last bit, each process would have trained alone."""
    assert not same_weights(ours, theirs)
    assert Run.open(ours).read_result()["dev"]["n"] == 39
    for row, expected in zip(rows_of(ours), rows_of(theirs), strict=True):
        for name in ("train_total", "train_expression", "train_landmarks", "dev_loss", "dev_nme"):
            assert float(row[name]) == pytest.approx(float(expected[name]), rel=2e-3), name


def assert_told_once(done: "list[subprocess.CompletedProcess[str]]") -> None:
    """Every process ended well, and one of them printed the result."""
    for each in done:
        assert each.returncode == 0, each.stderr
        assert "Traceback" not in each.stderr
        assert "Initializing distributed" not in each.stderr
    assert "".join(each.stdout for each in done).count("trained on 153 faces") == 1
    assert sum("(n = 39)" in each.stdout for each in done) == 1


@pytest.mark.parametrize("launcher", ["lightning", "torchrun"])
def test_two_processes_learn_what_one_learns(
    command: Callable[..., list[str]],
    norm_free: tuple[Path, Path],
    alone: Path,
    tmp_path: Path,
    launcher: str,
) -> None:
    """Sharing each batch between two processes gives the losses of one, by either launcher.

    This holds only if the ranks see different halves of the batch, the gradients are averaged, and every dev
    face is measured once.
    """
    recipe, pack = norm_free
    words = command(tmp_path / "run", "--runtime.devices", 2, pack=pack, recipe=recipe)
    if launcher == "torchrun":
        words = [str(TORCHRUN), "--nproc-per-node", "2", "--no-python", *words]
    assert_told_once([call(words)])
    assert_same_losses(tmp_path / "run", alone)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def call_on_two_hosts(words: list[str]) -> "list[subprocess.CompletedProcess[str]]":
    """Start one command under two agents of torchrun, as on two machines, and wait for both."""
    agent = [
        str(TORCHRUN), "--nnodes", "2", "--nproc-per-node", "1", "--master-addr", "127.0.0.1",
        "--master-port", str(free_port()),
    ]  # fmt: skip
    with started([*agent, "--node-rank", "0", "--no-python", *words]) as first:
        second = call([*agent, "--node-rank", "1", "--no-python", *words])
        out, err = first.communicate(timeout=60)
    return [subprocess.CompletedProcess(words, first.returncode, out, err), second]


def test_two_hosts_learn_what_one_process_learns(
    command: Callable[..., list[str]], norm_free: tuple[Path, Path], alone: Path, tmp_path: Path
) -> None:
    """One process on each of two machines shares a batch of the same size, and the first one alone writes and prints."""
    recipe, pack = norm_free
    words = command(tmp_path / "run", "--runtime.nodes", 2, "--runtime.devices", 1, pack=pack, recipe=recipe)
    first, second = call_on_two_hosts(words)
    assert_told_once([first, second])
    assert second.stdout == ""
    assert_same_losses(tmp_path / "run", alone)
    again = call_on_two_hosts(words)
    assert [each.returncode for each in again] == [1, 1]
    assert again[0].stderr.count("already exists") == 1
    assert_same_losses(tmp_path / "run", alone)


def test_two_processes_share_parameters_outside_the_network(
    command: Callable[..., list[str]], norm_free: tuple[Path, Path], tmp_path: Path
) -> None:
    """A sharpness-aware step, a moving average, learned task weights and inverse sampling are one process's too."""
    recipe, pack = norm_free
    options = (
        "--schedule.sam_rho", 0.05, "--schedule.ema_decay", 0.8, "--schedule.loss.task_weights", "learned",
        "--data.sampling", "inverse", "--schedule.epochs", 2, "--schedule.grad_clip_norm", 1.0,
    )  # fmt: skip
    one, two = tmp_path / "one", tmp_path / "two"
    assert_told_once([call(command(one, *options, pack=pack, recipe=recipe))])
    assert_told_once([call(command(two, *options, "--runtime.devices", 2, pack=pack, recipe=recipe))])
    assert_same_losses(two, one)
    ours, theirs = (
        torch.load(Run.open(run).last_checkpoint_path, weights_only=True)["state_dict"] for run in (two, one)
    )
    for task in ("expression", "landmarks", "valence_arousal"):
        name = f"objective.log_weights.{task}"
        assert ours[name].item() == pytest.approx(theirs[name].item(), abs=1e-4)
    assert int(ours["average.n_averaged"]) == int(theirs["average.n_averaged"]) == 2 * (153 // 16)


def test_two_processes_with_batch_norms_learn(command: Callable[..., list[str]], tmp_path: Path) -> None:
    """With batch norms, which see a rank's half alone, two processes differ from one and still learn."""
    done = call(command(tmp_path / "run", "--runtime.devices", 2, "--schedule.epochs", 10))
    assert done.returncode == 0, done.stderr
    rows = rows_of(tmp_path / "run")
    assert float(rows[-1]["train_total"]) < 0.85 * float(rows[0]["train_total"])
    assert Run.open(tmp_path / "run").read_result()["dev"]["balanced_accuracy"] > 0.6


def test_two_processes_go_on_after_a_kill(command: Callable[..., list[str]], tmp_path: Path) -> None:
    """A run shared by two processes is resumed by two as well, to the same end."""
    options = ("--runtime.devices", 2, "--schedule.epochs", 5)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert call(command(whole, *options)).returncode == 0
    with started(command(broken, *options)) as process:
        wait_for_epochs(process, broken, 2)
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
    assert "already exists" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in trained_run.rglob("*")} == before


@pytest.mark.parametrize("batch_size", [16, 4], ids=["end of a short epoch", "long epoch"])
def test_a_loss_that_explodes_stops_both_processes(
    command: Callable[..., list[str]], tmp_path: Path, batch_size: int
) -> None:
    """Both ranks leave with one line between them, and none waits for the other."""
    options = ("--schedule.optimizer", "sgd", "--schedule.learning_rate", 1000, "--schedule.warmup_epochs", 0)
    batch = ("--schedule.batch_size", batch_size)
    done = call(command(tmp_path / "run", "--runtime.devices", 2, *options, *batch))
    assert done.returncode == 1
    assert done.stderr.count("no longer finite") == 1
    assert "Traceback" not in done.stderr
