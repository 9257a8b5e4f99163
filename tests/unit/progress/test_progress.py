"""Progress lines, and the bar on a terminal."""

import contextlib
import io
import sys

import pytest

import mien.progress
from mien.progress import Progress


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replace the time that progress sees."""
    clock = Clock()
    monkeypatch.setattr(mien.progress, "time", clock)
    return clock


def test_plain_lines_now_and_then(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal there is a line every 15 seconds and one at the end, with rate and time left."""
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


def test_skipped_items_do_not_count_for_the_rate(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """What an earlier run did is done, but says nothing of how fast this one is."""
    with Progress("Preparing", total=1000, unit="row") as progress:
        progress.skip(600)
        clock.now += 20
        progress.advance(200)
    assert "800 of 1,000 rows (80%), 20 s left, 10 a second" in capsys.readouterr().err


def test_unknown_total_and_note(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a total there is no time left; a note stands at the end."""
    with Progress("Reading", unit="row") as progress:
        clock.now += 20
        progress.advance(100, note="loss 1.5")
    assert capsys.readouterr().err.splitlines()[0] == "Reading: 100 rows, 5 a second, loss 1.5"


def test_nothing_is_said_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Work that did nothing, or failed, has no last line."""
    with Progress("Preparing", total=3):
        pass
    with contextlib.suppress(ZeroDivisionError), Progress("Preparing", total=3) as progress:
        progress.advance()
        raise ZeroDivisionError
    assert capsys.readouterr().err == ""


class Terminal(io.StringIO):
    """Standard error as a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def test_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a bar shows the title, the share, and the note."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TQDM_MININTERVAL", "0")
    with Progress("Preparing", total=10, unit="face") as progress:
        progress.skip(2)
        progress.advance(3, note="loss 1.5")
    assert "Preparing" in terminal.getvalue()
    assert "20%" in terminal.getvalue()
