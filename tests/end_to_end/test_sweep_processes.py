"""A sweep of `mien train` killed, resumed and stopped: as real processes, so slow."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs the train extra")

from mien.recipe import Recipe, format_recipe

pytestmark = pytest.mark.slow


@pytest.fixture
def recipe_path(tiny_recipe: Recipe, tmp_path: Path) -> Path:
    """The tiny recipe as a file."""
    path = tmp_path / "recipe.yaml"
    path.write_text(format_recipe(tiny_recipe), encoding="utf-8")
    return path


def words_of(recipe_path: Path, pack: Path, out: Path, *options: str) -> list[str]:
    start = [sys.executable, "-m", "mien", "train", "--recipe", str(recipe_path), "--pack", str(pack)]
    return [*start, "--out", str(out), "--seeds", "2", "--schedule.epochs", "8", *options]


def wait_for_epochs(process: "subprocess.Popen[str]", run: Path, n_epochs: int) -> None:
    deadline = time.monotonic() + 200
    while not (run / "metrics.csv").exists() or (run / "metrics.csv").read_text().count("\n") <= n_epochs:
        assert process.poll() is None, "the sweep ended too soon"
        assert time.monotonic() < deadline, "the sweep is too slow"
        time.sleep(0.02)


def processes_of(out: Path) -> list[str]:
    """Return the commands that still run and name a folder."""
    shown = subprocess.run(
        ["/bin/ps", "axww", "-o", "args"], capture_output=True, text=True, check=True
    ).stdout
    return [line for line in shown.splitlines() if str(out) in line]


def wait_until_gone(out: Path) -> None:
    deadline = time.monotonic() + 30
    while processes_of(out):
        assert time.monotonic() < deadline, processes_of(out)
        time.sleep(0.1)


def test_killed_and_resumed_is_the_same_sweep(recipe_path: Path, training_pack: Path, tmp_path: Path) -> None:
    """Kill -9 of the sweep alone takes its run with it, and --resume ends in the summary of one left alone."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    done = subprocess.run(
        words_of(recipe_path, training_pack, whole), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("seeds  dev n")
    words = words_of(recipe_path, training_pack, broken)
    with subprocess.Popen(words, stderr=subprocess.DEVNULL, text=True, start_new_session=True) as process:
        wait_for_epochs(process, broken / "seed-1", 3)
        process.kill()
    wait_until_gone(broken)
    assert (broken / "seed-0" / "result.json").exists()
    assert not (broken / "seed-1" / "result.json").exists()
    done = subprocess.run([*words, "--resume"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "run 1 of 2: seed 0: finished earlier" in done.stderr
    assert "Epoch 1/8" not in done.stderr
    for name in ("summary.csv", "summary.json"):
        assert (broken / name).read_text() == (whole / name).read_text()


@pytest.mark.parametrize("devices", ["1", "2"])
def test_ctrl_c_stops_with_one_line(
    recipe_path: Path, training_pack: Path, tmp_path: Path, devices: str
) -> None:
    """A person's Ctrl-C reaches the whole group; it ends without a traceback and leaves no process behind."""
    out = tmp_path / "out"
    words = words_of(recipe_path, training_pack, out, "--runtime.devices", devices, "--runtime.workers", "1")
    words[words.index("8")] = "500"
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            wait_for_epochs(process, out / "seed-0", 2)
            os.killpg(process.pid, signal.SIGINT)
            _, err = process.communicate(timeout=60)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert err.count("mien: ") == 1
    assert err.splitlines()[-1] == "mien: stopped"
    wait_until_gone(out)


def test_a_failing_run_ends_with_its_code_and_line(
    recipe_path: Path, training_pack: Path, tmp_path: Path
) -> None:
    """The run's own line is all that is said, and its exit code is the sweep's."""
    words = words_of(recipe_path, training_pack, tmp_path / "out", "--model.backbone", "resnt18")
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("mien: ") == 1
    assert "Did you mean resnet18" in done.stderr
    assert "Traceback" not in done.stderr
