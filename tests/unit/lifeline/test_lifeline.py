"""A process that ends with its starter. tests/end_to_end/test_sweep_processes.py kills and stops real runs."""

import signal
import subprocess
import sys

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
