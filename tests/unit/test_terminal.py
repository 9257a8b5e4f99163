"""Text of others on a terminal."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mien.cli import main
from mien.cli.words import say, warn
from mien.progress import Progress
from mien.reading.readings import FaceReading, PictureReading
from mien.terminal import on_its_lines, on_one_line

# Clears the screen, sets the title, overwrites the line, turns the direction, hides, breaks the line.
NASTY = "\x1b[2J\x1b]0;t\x07\r\b\x9b31m\u202e\u2066\u200b\ufeff\x00\x7f\u2028\n\t\udcff"


def is_harmless(text: str) -> bool:
    return all(character.isprintable() for character in text)


def test_nothing_acts_and_everything_is_told() -> None:
    shown = on_one_line(f"a{NASTY}b")
    assert is_harmless(shown)
    assert shown.startswith("a\\x1b[2J\\x1b]0;t\\x07\\r\\x08\\x9b31m\\u202e")
    assert shown.endswith("\\n\\t\\udcffb")
    assert shown.encode("utf-8")


@pytest.mark.parametrize("text", ["", "photo.jpg", "中文\u3000照片", "ä ö\u00a0ü", "фото", "😀", "C:\\a\\b"])
def test_what_people_write_stays(text: str) -> None:
    assert on_one_line(text) == text


def test_lines_stay_lines() -> None:
    assert on_its_lines("a\n\x1bb\n") == "a\n\\x1bb\n"


def test_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """By every verb: what was asked for, what is told beside it, and an error."""
    say(f"first\n{NASTY}")
    warn(NASTY)
    with Progress(NASTY, total=1) as progress:
        progress.advance()
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 3
    assert all(is_harmless(line) for line in told.out.split("\n"))
    assert len(told.err.split("\n")) == 3
    assert all(is_harmless(line) for line in told.err.split("\n"))


def test_an_error_is_one_harmless_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["browse", "no\x1b[2J\nmien: all is well", "--out", "a.png"]) == 1
    told = capsys.readouterr().err
    assert is_harmless(told.removesuffix("\n"))
    assert "no\\x1b[2J\\nmien: all is well does not exist" in told


def test_wrong_usage_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["doctor", "--\x1b[2J"])
    assert "\x1b" not in capsys.readouterr().err


def test_a_reading_that_is_printed_is_harmless() -> None:
    row = FaceReading(NASTY, status="not_an_image", detail=NASTY)
    assert is_harmless(str(PictureReading(NASTY, (row,))))


@pytest.mark.parametrize("to_file", [False, True])
def test_predict_tells_of_a_nasty_name(
    to_file: bool, tmp_path: Path, make_picture: Callable[..., Path]
) -> None:
    """The table shows it, JSON keeps it as it is."""
    name = "a\x1b[31m\u202e\r.png"
    picture = make_picture("a.png").rename(tmp_path / name)
    out = ["--out", str(tmp_path / "rows.jsonl")] if to_file else []
    command = [sys.executable, "-m", "mien", "predict", "--crop", "whole", str(picture), *out]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert all(is_harmless(line) for line in (done.stdout + done.stderr).decode().split("\n"))
    if to_file:
        assert json.loads((tmp_path / "rows.jsonl").read_text("utf-8"))["source"] == str(picture)
