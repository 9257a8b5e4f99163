"""Shells complete what the parser knows."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mien.cli import main
from mien.cli.completion import SHELLS


def complete(line: str, tmp_path: Path) -> list[str]:
    """Return the completions of a command line, as a shell asks for them."""
    answer = tmp_path / "answer"
    variables = {
        "_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_STDOUT_FILENAME": str(answer), "COMP_LINE": line,
        "COMP_POINT": str(len(line)), "COMP_TYPE": "9",
    }  # fmt: skip
    environment = {**os.environ, **variables}
    subprocess.run([sys.executable, "-m", "mien"], env=environment, cwd=tmp_path, check=True)
    return [word.strip() for word in answer.read_text("utf-8").split("\n")]


def test_verbs_options_and_choices_are_completed(tmp_path: Path) -> None:
    """Without running the command."""
    assert complete("mien pre", tmp_path) == ["predict", "prepare"]
    assert complete("mien predict photo.jpg --mod", tmp_path) == ["--model"]
    assert complete("mien predict photo.jpg --prior as", tmp_path) == ["as-trained"]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_gets_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "mien" in capsys.readouterr().out
