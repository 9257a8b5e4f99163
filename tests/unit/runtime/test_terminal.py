"""Safe printing of text from outside."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mien.cli import main
from mien.cli.output import log_to_stderr, print_notice, print_result
from mien.inference.results import FacePrediction, ImagePrediction
from mien.runtime.progress import Progress
from mien.runtime.terminal import on_its_lines, on_one_line

# Clears the screen, sets the title, overwrites the line, changes direction, hides text, breaks the line.
NASTY = "\x1b[2J\x1b]0;t\x07\r\b\x9b31m\u202e\u2066\u200b\ufeff\x00\x7f\u2028\n\t\udcff"


def is_harmless(text: str) -> bool:
    return all(character.isprintable() for character in text)


def test_control_characters_are_escaped() -> None:
    shown = on_one_line(f"a{NASTY}b")
    assert is_harmless(shown)
    assert shown.startswith("a\\x1b[2J\\x1b]0;t\\x07\\r\\x08\\x9b31m\\u202e")
    assert shown.endswith("\\n\\t\\udcffb")
    assert shown.encode("utf-8")


@pytest.mark.parametrize("text", ["", "photo.jpg", "中文\u3000照片", "ä ö\u00a0ü", "фото", "😀", "C:\\a\\b"])
def test_ordinary_text_is_unchanged(text: str) -> None:
    assert on_one_line(text) == text


def test_line_breaks_are_kept_in_multi_line_text() -> None:
    assert on_its_lines("a\n\x1bb\n") == "a\n\\x1bb\n"


def test_results_notices_and_progress_are_safe(capsys: pytest.CaptureFixture[str]) -> None:
    """Everything that commands print goes through these."""
    print_result(f"first\n{NASTY}")
    print_notice(NASTY)
    with log_to_stderr(), Progress(NASTY, total=1) as progress:
        progress.advance()
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 3
    assert all(is_harmless(line) for line in printed.out.split("\n"))
    assert len(printed.err.split("\n")) == 3
    assert all(is_harmless(line) for line in printed.err.split("\n"))


def test_an_error_is_one_safe_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["browse", "no\x1b[2J\nmien: all is well", "--out", "a.png"]) == 1
    error = capsys.readouterr().err
    assert is_harmless(error.removesuffix("\n"))
    assert "no\\x1b[2J\\nmien: all is well does not exist" in error


def test_wrong_usage_is_safe(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["doctor", "--\x1b[2J"])
    assert "\x1b" not in capsys.readouterr().err


def test_a_printed_prediction_is_safe() -> None:
    row = FacePrediction(NASTY, status="not_an_image", detail=NASTY)
    assert is_harmless(str(ImagePrediction(NASTY, (row,))))


@pytest.mark.parametrize("to_file", [False, True])
def test_predict_prints_a_nasty_name_safely(
    to_file: bool, tmp_path: Path, make_image: Callable[..., Path]
) -> None:
    """The table escapes it; JSON keeps it unchanged."""
    name = "a\x1b[31m\u202e\r.png"
    image = make_image("a.png").rename(tmp_path / name)
    out = ["--out", str(tmp_path / "rows.jsonl")] if to_file else []
    command = [sys.executable, "-m", "mien", "predict", "--crop", "whole", str(image), *out]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")}
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert all(is_harmless(line) for line in (done.stdout + done.stderr).decode().split("\n"))
    if to_file:
        assert json.loads((tmp_path / "rows.jsonl").read_text("utf-8"))["source"] == str(image)
