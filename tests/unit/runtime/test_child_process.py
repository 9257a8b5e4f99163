"""A process that ends with its parent. tests/end_to_end/test_sweep_processes.py kills and stops real runs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mien.runtime.child_process import run_command

SLEEPER = (
    "import time; from mien.runtime.child_process import end_with_parent; end_with_parent(); time.sleep(60)"
)


@pytest.mark.parametrize(
    ("arguments", "exit_code"),
    [pytest.param(["--version"], 0, id="success"), pytest.param(["fly"], 2, id="wrong usage")],
)
def test_the_exit_code_is_returned(
    arguments: list[str], exit_code: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """The command's exit code is returned, and its output goes to standard error."""
    assert run_command(arguments) == exit_code
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "mien" in printed.err


def test_a_command_runs_on_a_system_without_signal_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows has no `signal.pthread_sigmask`."""
    monkeypatch.delattr(signal, "pthread_sigmask", raising=False)
    assert run_command(["--version"]) == 0


def test_a_closed_standard_input_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent's end closes the pipe, at which the process exits at once."""
    monkeypatch.setenv("MIEN_ENDS_WITH_STDIN", "1")
    with subprocess.Popen([sys.executable, "-c", SLEEPER], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.0)
        process.stdin.close()
        assert process.wait(20.0) == 1


def test_standard_input_is_ignored_without_a_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command started from a shell keeps running when its input is empty."""
    monkeypatch.delenv("MIEN_ENDS_WITH_STDIN", raising=False)
    code = SLEEPER.replace("60", "0.5")
    done = subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0


# Starts a pool of two idle workers, prints the process id of one, and waits to be killed.
POOL = """
import multiprocessing, os, sys
from concurrent.futures import ProcessPoolExecutor
from mien.runtime.child_process import start_worker
if __name__ == "__main__":
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn"), initializer=start_worker) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        sys.stdin.read()
"""


def test_a_worker_ends_with_a_killed_parent(tmp_path: Path) -> None:
    """Otherwise an idle worker would wait forever."""
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
    # a finished orphan may still be a zombie
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rsplit(") ", 1)[1][0] not in "ZX"
