"""Progress lines, and the bar on a terminal."""

import contextlib
import io
import logging
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import mien.runtime.progress
from mien.cli.output import log_to_stderr
from mien.runtime.progress import Progress

if TYPE_CHECKING:
    from mien.recipe import Recipe


class Clock:
    """Time that passes on demand."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture(autouse=True)
def command() -> Iterator[None]:
    """Show what the progress reports, as during a command."""
    with log_to_stderr():
        yield


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replace the clock of the progress module."""
    clock = Clock()
    monkeypatch.setattr(mien.runtime.progress, "time", clock)
    return clock


def test_plain_lines_every_15_seconds(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal, lines appear every 15 seconds and at the end, with rate and remaining time."""
    with Progress("Preparing", total=1000, unit="face") as progress:
        for _ in range(5):
            clock.now += 10
            progress.advance(200)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "Preparing: 400 of 1,000 faces (40%), 30 s left, 20 a second",
        "Preparing: 800 of 1,000 faces (80%), 10 s left, 20 a second",
        "Preparing: 1,000 of 1,000 faces (100%), 0 s left, 20 a second",
    ]


def test_skipped_items_do_not_affect_the_rate(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """Items of an earlier run are done, but say nothing about the speed of this one."""
    with Progress("Preparing", total=1000, unit="row") as progress:
        progress.skip(600)
        clock.now += 20
        progress.advance(200)
    assert "800 of 1,000 rows (80%), 20 s left, 10 a second" in capsys.readouterr().err


def test_unknown_total_and_note(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a total there is no remaining time; a note is shown at the end."""
    with Progress("Reading", unit="row") as progress:
        clock.now += 20
        progress.advance(100, note="loss 1.5")
    assert capsys.readouterr().err.splitlines()[0] == "Reading: 100 rows, 5 a second, loss 1.5"


def test_no_last_line_without_work(capsys: pytest.CaptureFixture[str]) -> None:
    """Work that did nothing or failed has no last line."""
    with Progress("Preparing", total=3):
        pass
    with contextlib.suppress(ZeroDivisionError), Progress("Preparing", total=3) as progress:
        progress.advance()
        raise ZeroDivisionError
    assert capsys.readouterr().err == ""


class Terminal(io.StringIO):
    """Standard error as a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


def test_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal, a bar shows the title and the percentage."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TQDM_MININTERVAL", "0")
    with Progress("Preparing", total=10, unit="face") as progress:
        progress.skip(2)
        progress.advance(3, note="loss 1.5")
    assert "Preparing" in terminal.getvalue()
    assert "20%" in terminal.getvalue()


@contextlib.contextmanager
def pseudo_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Make standard error a real terminal; afterwards the list has the lines that remain visible."""
    pty = pytest.importorskip("pty", reason="Windows has no pseudo-terminals")
    ours, theirs = pty.openpty()
    received, lines = bytearray(), []

    def receive() -> None:
        with contextlib.suppress(OSError):  # Linux: the other end is closed
            while content := os.read(ours, 4096):
                received.extend(content)

    reader = threading.Thread(target=receive)
    reader.start()
    with monkeypatch.context() as patch, os.fdopen(theirs, "w", encoding="utf-8") as terminal:
        patch.setattr(sys, "stderr", terminal)
        yield lines
    reader.join()
    os.close(ours)
    # A carriage return without a line feed overwrites the line.
    lines += [line.rstrip("\r").rpartition("\r")[2] for line in received.decode().split("\n")]


def test_lines_left_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar disappears; with `leave`, the last line stays."""
    with pseudo_terminal(monkeypatch) as lines:
        for title, leave in (("Preparing", False), ("Epoch 1/2", True), ("Epoch 2/2", True)):
            with Progress(title, total=3, unit="step", leave=leave) as progress:
                progress.advance(3)
                progress.advance(0, note=f"dev accuracy of {title}")
    staying = [line for line in lines if line.strip()]
    assert len(staying) == 2, staying
    for line, title in zip(staying, ("Epoch 1/2", "Epoch 2/2"), strict=True):
        assert line.startswith(f"{title}: 3 of 3 steps (100%)")
        assert line.endswith(f"dev accuracy of {title}")


def test_a_log_line_does_not_break_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets a line of its own above the bar, also if it is logged in the middle of the work."""
    monkeypatch.setenv("TQDM_MININTERVAL", "0")
    with pseudo_terminal(monkeypatch) as lines, Progress("Preparing", total=3, unit="face") as progress:
        progress.advance(1)
        logging.getLogger("mien.faces").warning("careful")
        progress.advance(1)
    assert "mien: careful" in lines, lines


def test_nothing_is_shown_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither with --quiet nor in a program that has not set up logging, on a terminal or not."""
    with log_to_stderr(quiet=True):
        for terminal in (Terminal(), io.StringIO()):
            monkeypatch.setattr(sys, "stderr", terminal)
            with Progress("Preparing", total=3, leave=True) as progress:
                progress.advance(3)
            assert terminal.getvalue() == ""


def test_each_training_epoch_leaves_a_line_on_a_terminal(
    training_pack: Path, tiny_recipe: "Recipe", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dev score of each epoch stays visible, as in a log file."""
    from mien.train import train

    recipe = replace(tiny_recipe, schedule=replace(tiny_recipe.schedule, epochs=2))
    with pseudo_terminal(monkeypatch) as lines:
        train(recipe, [training_pack], tmp_path / "run")
    epochs = [line.partition(":")[0] for line in lines if "dev balanced_accuracy" in line]
    assert epochs == ["Epoch 1/2", "Epoch 2/2"]


def test_more_items_than_were_estimated(capsys: pytest.CaptureFixture[str]) -> None:
    """The total is no longer shown."""
    with Progress("Predicting", total=1, unit="frame") as progress:
        progress.advance(2)
    assert capsys.readouterr().err.startswith("Predicting: 2 frames, ")
