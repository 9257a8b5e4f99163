"""A process that ends with its starter. tests/end_to_end/test_sweep_processes.py kills and stops real runs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mien.lifeline import run_command

SLEEPER = "import time; from mien.lifeline import hold_lifeline; hold_lifeline(); time.sleep(60)"


@pytest.mark.parametrize(
    ("words", "exit_code"),
    [pytest.param(["--version"], 0, id="done"), pytest.param(["fly"], 2, id="wrong usage")],
)
def test_a_command_ends_with_its_exit_code(
    words: list[str], exit_code: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """The exit code is the command's, and what it prints is not on standard output."""
    assert run_command(words) == exit_code
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "mien" in printed.err


def test_a_command_is_started_where_there_are_no_signal_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows has no `signal.pthread_sigmask`."""
    monkeypatch.delattr(signal, "pthread_sigmask", raising=False)
    assert run_command(["--version"]) == 0


def test_a_closed_standard_input_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the starter is the end of the pipe, at which the process leaves at once."""
    monkeypatch.setenv("MIEN_ENDS_WITH_STDIN", "1")
    with subprocess.Popen([sys.executable, "-c", SLEEPER], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.0)
        process.stdin.close()
        assert process.wait(20.0) == 1


def test_without_a_starter_standard_input_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that a person starts, as with an empty input, goes on."""
    monkeypatch.delenv("MIEN_ENDS_WITH_STDIN", raising=False)
    code = SLEEPER.replace("60", "0.5")
    done = subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0


# Two workers of a pool that are idle, their numbers on standard output; then it waits to be killed.
POOL = """
import multiprocessing, os, sys
from concurrent.futures import ProcessPoolExecutor
from mien.lifeline import start_worker
if __name__ == "__main__":
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn"), initializer=start_worker) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        sys.stdin.read()
"""


def test_a_worker_ends_with_a_killed_parent(tmp_path: Path) -> None:
    """Without it, a worker that waits for work waits for ever."""
    program = tmp_path / "pool.py"
    program.write_text(POOL)
    with subprocess.Popen(
        [sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        process.kill()
    deadline = time.monotonic() + 20
    while _is_alive(worker):
        assert time.monotonic() < deadline, "the worker outlived its parent"
        time.sleep(0.05)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # an orphan that ended may wait for somebody to ask how
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rsplit(") ", 1)[1][0] not in "ZX"
