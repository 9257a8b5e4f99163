"""The contract of the command line: its commands, its exit codes, and what it imports."""

import argparse
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.cli import build_parser, main
from mien.cli.output import print_result

COMMANDS = (
    *("sample", "prepare", "browse", "train", "export", "evaluate", "predict", "explain", "serve", "page"),
    *("audit", "compare", "cite", "bench", "doctor", "demo", "completion", "push", "teach"),
)
ROOT = Path(__file__).parents[2]


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """`mien --help` lists all commands and exits with 0."""
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert all(re.search(rf"^\s+{command}\s", printed, re.MULTILINE) for command in COMMANDS)


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != "train"])
def test_every_command_has_help_and_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`mien COMMAND --help` shows an example."""
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"mien {command}" in capsys.readouterr().out.split("example:")[1]


def test_train_help_lists_the_recipe_keys(capsys: pytest.CaptureFixture[str]) -> None:
    """`mien train --help` explains every key of a recipe."""
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    printed = capsys.readouterr().out
    assert "--recipe" in printed
    assert "--schedule.epochs" in printed
    assert "Probability of a horizontal flip" in printed


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param([], 2, id="no command"),
        pytest.param(["fly"], 2, id="unknown command"),
        pytest.param(["prepare", "affectnet", "raw"], 2, id="no OUT"),
        pytest.param(["prepare", "affectnet", "raw", "--out", "x", "--size", "5"], 2, id="size out of range"),
        pytest.param(["sample", "out", "--faces", "none"], 2, id="not a number"),
        pytest.param(["predict", "a.jpg", "--model", "m.onnx", "--color"], 2, id="unknown option"),
        pytest.param(["compare", "report"], 2, id="one report"),
        pytest.param(["compare", "report", "--group"], 2, id="one report to group"),
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str], code: int) -> None:
    """The exit code of wrong usage is argparse's 2."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == code


LONG = "a" * 300

# Parsing leaves no state behind, see below.
PARSER = build_parser()


def options_with_one_value() -> Iterator[tuple[str, str, str]]:
    """Yield every option of every command that takes a single value, with its first choice or a number."""
    commands = next(a for a in PARSER._actions if isinstance(a, argparse._SubParsersAction))
    for command, parser in commands.choices.items():
        for action in parser._actions:
            takes_values = action.nargs not in (0, argparse.SUPPRESS)
            if action.option_strings and takes_values and not isinstance(action, argparse._AppendAction):
                yield command, action.option_strings[-1], str(next(iter(action.choices or ("1",))))


@pytest.mark.parametrize(("command", "option", "choice"), list(options_with_one_value()))
def test_an_option_given_twice_is_rejected(
    command: str, option: str, choice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Otherwise the first value would be dropped silently."""
    value = {
        "--aggregate": "track",
        "--engine": "pool",
        "--classes": "7",
        "--prior": "half",
        "--split": "val",
        "--size": "64",
        "--by": "expression",
        "--min-group": "20",
        "--drawn": "8",
        "--val-fraction": "0.5",
        "--affect-columns": "V,A",
        "--affect-range": "1..9",
        "--split-names": "0=train,1=test",
        "--allow": "empty-classes",
        "--root-path": "/faces",
    }.get(option, choice)
    with pytest.raises(SystemExit) as ended:
        PARSER.parse_known_args([command, option, value, option, value])
    assert ended.value.code == 2
    assert f"{option} is given twice" in capsys.readouterr().err


def test_parsing_leaves_no_state_behind() -> None:
    """A command can be parsed twice by the same parser."""
    parser = build_parser()
    for _ in range(2):
        assert parser.parse_args(["sample", "out", "--seed", "1", "--force", "--force"]).seed == 1


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["prepare", "affectnet", "{}/none", "--out", "{}/p"], id="prepare"),
        pytest.param(["browse", "{}/none", "--out", "{}/s.png"], id="browse"),
        pytest.param(["audit", "{}/none", "--out", "{}/a"], id="audit"),
        pytest.param(["export", "{}/none", "--out", "{}/m.onnx"], id="export"),
        pytest.param(["evaluate", "--model", "{}/m.onnx", "--pack", "{}/p", "--out", "{}/r"], id="evaluate"),
        pytest.param(["predict", "{}/none.jpg", "--model", "{}/m.onnx"], id="predict"),
        pytest.param(["compare", "{}/a", "{}/b"], id="compare"),
    ],
)
def test_a_missing_input_is_one_line_and_exits_with_1(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An expected failure is one line on standard error."""
    assert main([argument.format(tmp_path) for argument in arguments]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("mien: ")
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", LONG],
        ["predict", "a.jpg", "--model", LONG],
        ["predict", ".", "--detector", LONG],
        ["predict", ".", "--out", f"{LONG}.csv"],
        ["predict", ".", "--draw", LONG],
        ["explain", LONG, "--out", "why"],
        ["teach", LONG, "--out", "mine.onnx"],
        ["bench", "--model", LONG],
        ["evaluate", "--pack", LONG, "--out", "report"],
        ["browse", LONG, "--out", "sheet.png"],
        ["prepare", "folder", LONG, "--out", "my.pack"],
        ["compare", LONG, LONG],
    ],
)
def test_a_name_too_long_for_a_file_is_one_line(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Such as an image in base64, pasted in place of its path; the line shows its beginning."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save("a.png")
    assert main(arguments) == 1
    printed = capsys.readouterr().err.strip().splitlines()[-1]
    assert printed.startswith("mien: ")
    assert len(printed) < 1000


def test_help_imports_nothing_heavy() -> None:
    """Building the parser imports only the standard library, which keeps `--help` fast."""
    heavy = ("numpy", "cv2", "torch", "pyarrow", "onnxruntime", "matplotlib", "PIL", "yaml", "tqdm")
    done = run_python(
        "import sys, mien.cli; mien.cli.build_parser();"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_stages_without_training_work_with_torch_absent() -> None:
    """The plain install has no torch: these stages must import without it."""
    blocked = ("torch", "timm", "lightning", "yaml", "safetensors", "onnx")
    stages = (
        *("mien.predict.stage", "mien.serve.server", "mien.bench", "mien.evaluate", "mien.prepare"),
        *("mien.compare", "mien.browse", "mien.audit.stage", "mien.teach.stage"),
    )
    done = run_python(
        f"import sys; sys.modules.update(dict.fromkeys({blocked!r})); import {', '.join(stages)}; print('ok')"
    )
    assert done.stdout.strip() == "ok", done.stderr


# One process for all commands, since starting Python takes longer than any of them.
RUN_COMMANDS = """
import contextlib, io, json, sys
sys.modules.update(dict.fromkeys({absent!r}))
from mien.cli import main
done = []
for words in {commands!r}:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            code = main(words)
        except SystemExit as ended:
            code = ended.code
    done.append((code, out.getvalue(), err.getvalue()))
print(json.dumps(done))
"""


def run_without(absent: tuple[str, ...], commands: list[list[str]]) -> list[tuple[int, str, str]]:
    """Run commands where packages are absent; return the exit code, the output and the errors of each."""
    done = run_python(RUN_COMMANDS.format(absent=absent, commands=commands))
    assert done.returncode == 0, done.stderr
    return [(code, out, err) for code, out, err in json.loads(done.stdout)]


def test_a_missing_extra_names_the_install_command() -> None:
    """Without torch, `train`, `export` and `browse --recipe` say what to install."""
    commands = [
        ["train", "--pack", "p", "--out", "r"],
        ["export", "run", "--out", "m.onnx"],
        ["browse", "p", "--recipe", "r.yaml", "--out", "s.png"],
    ]
    for code, _, err in run_without(("torch", "timm", "lightning", "yaml"), commands):
        assert (code, err.count("\n")) == (1, 1), err
        assert "pip install 'mien[train]'" in err


def test_the_missing_data_extra_names_the_install_command() -> None:
    """The plain install predicts; packs, reports, plots and Parquet say what to install before any work."""
    commands = [
        ["prepare", "folder", "faces", "--out", "p"],
        ["browse", "p", "--out", "s.png"],
        ["audit", "p", "--out", "a"],
        ["evaluate", "--pack", "p", "--out", "r"],
        ["compare", "r", "s", "--plot", "c.png"],
        ["predict", "photo.jpg", "--out", "rows.parquet"],
        ["predict", "talk.mp4", "--timeline", "t.png"],
    ]
    for code, _, err in run_without(("pyarrow", "matplotlib", "jinja2"), commands):
        assert (code, err.count("\n")) == (1, 1), err
        assert "pip install 'mien[data]'" in err


def test_predicting_needs_no_extra(tmp_path: Path) -> None:
    """An image is predicted, written as JSON Lines and drawn, with every extra's packages absent."""
    blocked = ("pyarrow", "matplotlib", "jinja2", "torch", "timm", "lightning", "yaml", "onnx", "fastapi")
    image = Path(__file__).parents[2] / "page" / "public" / "example.jpg"
    words = [
        "predict",
        str(image),
        "--crop",
        "whole",
        "--out",
        str(tmp_path / "rows.jsonl"),
        "--draw",
        str(tmp_path / "d"),
    ]
    done = run_python(
        f"import sys; sys.modules.update(dict.fromkeys({blocked!r}));"
        f"from mien.cli import main; sys.exit(main({words!r}))"
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "rows.jsonl").read_text().count("\n") == 1
    assert (tmp_path / "d" / "example.jpg").is_file()


def test_help_works_without_the_extras() -> None:
    """On the plain install, `--help` of every command shows its options; `train --help` also says how to see the recipe keys."""
    absent = ("torch", "timm", "lightning", "yaml", "safetensors", "onnx", "fastapi", "uvicorn")
    missing = "mien: `mien train` needs the `train` extra: pip install 'mien[train]'\n"
    for command, (code, out, err) in zip(
        COMMANDS, run_without(absent, [[command, "--help"] for command in COMMANDS]), strict=True
    ):
        assert f"usage: mien {command}" in out
        assert (code, err) == ((1, missing) if command == "train" else (0, ""))


def test_characters_that_a_terminal_lacks_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Characters that the terminal cannot encode become escapes."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    print_result("0.01 |▂█")
    sys.stdout.flush()
    assert written.getvalue().split() == [b"0.01", rb"|\u2582\u2588"]


def test_every_command_has_a_guide_page() -> None:
    """The guide page is named like the command, and both READMEs link to it, the Chinese one to the Chinese page."""
    for command in COMMANDS:
        english, chinese = f"docs/guide/{command}.md", f"docs/zh/guide/{command}.md"
        assert (ROOT / english).is_file()
        assert f"]({english})" in (ROOT / "README.md").read_text(encoding="utf-8")
        expected = chinese if (ROOT / chinese).is_file() else english
        assert f"]({expected})" in (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")


def test_commands_in_the_docs_parse() -> None:
    """The parser accepts every `mien` command line in the READMEs."""
    for readme in ("README.md", "README.zh-CN.md"):
        lines = re.findall(
            rf"^mien ((?:{'|'.join(COMMANDS)}) .+)$",
            (ROOT / readme).read_text(encoding="utf-8"),
            re.MULTILINE,
        )
        assert len(lines) >= 5
        for line in lines:
            _, rest = PARSER.parse_known_args(line.partition(" #")[0].split())
            assert not rest, line


def test_relative_links_in_the_docs_resolve() -> None:
    """No page links to a missing file."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert broken == []
