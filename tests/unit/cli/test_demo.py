"""`mien demo` runs the commands that it prints."""

from pathlib import Path

import pytest

from mien.cli import build_parser, main
from mien.cli.demo import list_commands

pytest.importorskip("torch", reason="training needs the train extra")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Record the commands instead of running them; the one that exports fails if `export` is in the output's name."""
    commands: list[list[str]] = []

    def run_command(words: list[str]) -> int:
        commands.append(words)
        return 7 if words[0] == "export" and "broken" in words[1] else 0

    monkeypatch.setattr("mien.runtime.child_process.run_command", run_command)
    return commands


def test_the_commands_are_ones_that_a_user_can_type(
    tmp_path: Path, started: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each is printed as it is run, and parses; what it reads, an earlier one has written."""
    assert main(["demo", str(tmp_path / "demo")]) == 0
    printed = capsys.readouterr()
    assert [f"mien: $ mien {' '.join(words)}" for words in started] == printed.err.splitlines()
    assert [words[0] for words in started] == ["sample", "prepare", "browse", "train", "export", "evaluate"]
    for words in started:
        assert build_parser().parse_known_args(words)[1] == []
    assert "mien predict photo.jpg --draw drawn" in printed.out
    for line in printed.out.splitlines():
        if line.startswith("  mien "):
            assert build_parser().parse_known_args(line.split("   ")[0].split()[1:])[1] == [], line


def test_nothing_is_replaced_unless_asked(
    tmp_path: Path, started: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """With --force, every command replaces its output."""
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "notes.txt").write_text("mine")
    assert main(["demo", str(tmp_path / "demo")]) == 1
    assert "already exists" in capsys.readouterr().err
    assert started == []
    assert main(["demo", str(tmp_path / "demo"), "--force"]) == 0
    assert started == [[*words, "--force"] for words in list_commands(tmp_path / "demo")]


def test_it_stops_at_the_first_failure(tmp_path: Path, started: list[list[str]]) -> None:
    """With the exit code of the command."""
    assert main(["demo", str(tmp_path / "broken")]) == 7
    assert started[-1][0] == "export"
