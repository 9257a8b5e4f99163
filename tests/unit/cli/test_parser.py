"""Options from dataclasses, and suggestions for typos."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from mien.cli import build_parser, main
from mien.cli.parser import Parser, add_options, read_options
from mien.runtime.options import option, option_group


def parse_pair(text: str) -> tuple[str, ...]:
    if "," not in text:
        raise ValueError(f"must be like a,b, got {text!r}")
    return tuple(text.split(","))


@dataclass(frozen=True)
class Inner:
    """Options with a heading of their own, and a field that is not an option."""

    mode: Literal["fast", "exact"] = option("fast", "how")
    count: Literal[7, 8] | None = option(None, "number of classes")
    smoothing: float = option(0.25, "do not smooth", flag="--no-smoothing", const=0.0)
    derived: bool = False


@dataclass(frozen=True)
class Outer:
    """One option of each type."""

    n_faces: int = option(12_000, "number of faces", flag="--faces", metavar="N", least=1)
    margin: float = option(0.5, "50% of the face", least=0, most=2)
    seconds: float | None = option(None, "duration", above=0)
    out: Path | None = option(None, "file (default: none)")
    force: bool = option(False, "replace it")
    names: tuple[str, ...] = option((), "name; may be repeated", flag="--name")
    layers: tuple[str, ...] = option((), "layers", nargs="+")
    pair: tuple[str, ...] | None = option(None, "pair", parse=parse_pair)
    labels: tuple[tuple[str, str], ...] | None = option(
        None, "labels", parse="mien.datasets.labels:parse_label_names"
    )
    inner: Inner = option_group(Inner, "inner options")


@pytest.fixture
def parser() -> Parser:
    """Return a parser with every option."""
    parser = Parser(prog="mien")
    add_options(parser, Outer)
    return parser


def test_defaults_come_from_the_dataclass(parser: Parser) -> None:
    """An empty command line gives the dataclass as Python makes it."""
    assert read_options(Outer, parser.parse_args([])) == Outer()


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        ("--faces 3", "n_faces", 3),
        ("--margin 2", "margin", 2.0),
        ("--seconds 0.5", "seconds", 0.5),
        ("--out a.png", "out", Path("a.png")),
        ("--force", "force", True),
        ("--name a --name b", "names", ("a", "b")),
        ("--layers a b", "layers", ("a", "b")),
        ("--pair a,b", "pair", ("a", "b")),
        ("--labels 1=Fear", "labels", (("1", "Fear"),)),
        ("--mode exact", "inner", Inner(mode="exact")),
        ("--count 8", "inner", Inner(count=8)),
        ("--no-smoothing", "inner", Inner(smoothing=0.0)),
    ],
)
def test_text_becomes_a_value_of_the_field_type(
    parser: Parser, arguments: str, name: str, value: Any
) -> None:
    options = read_options(Outer, parser.parse_args(arguments.split()))
    assert getattr(options, name) == value
    assert type(getattr(options, name)) is type(value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--faces 0", "argument --faces: must be 1 or more, got 0"),
        ("--faces many", "argument --faces: invalid integer value: 'many'"),
        ("--margin 3", "argument --margin: must be from 0 to 2, got 3.0"),
        ("--margin nan", "argument --margin: must be from 0 to 2, got nan"),
        ("--margin wide", "argument --margin: invalid number value: 'wide'"),
        ("--seconds 0", "argument --seconds: must be more than 0, got 0.0"),
        ("--seconds inf", "argument --seconds: must be more than 0, got inf"),
        ("--mode slow", "invalid choice: 'slow'"),
        ("--pair a", "argument --pair: must be like a,b, got 'a'"),
        ("--labels 1=", "argument --labels: must be like 1=Surprise"),
    ],
)
def test_values_outside_the_limits_are_rejected(
    parser: Parser, arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(arguments.split())
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_the_help_shows_defaults_and_headings(parser: Parser) -> None:
    """A default is appended if it is a value that the text does not describe already."""
    text = " ".join(parser.format_help().split())
    assert "number of faces (default: 12,000)" in text
    assert "50% of the face (default: 0.5)" in text
    assert "file (default: none)" in text
    assert "replace it --name" in text
    assert "do not smooth" in text
    assert "inner options: --mode {fast,exact}" in text
    assert "derived" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("predct a.jpg", "Did you mean `predict`?"),
        ("prepare afectnet raw --out p", "Did you mean `affectnet`?"),
        (
            "predict a.jpg --ouut x",
            "unrecognized arguments: --ouut x. Did you mean `--out` instead of `--ouut`?",
        ),
        (
            "prepare csv raw --output=p",
            "unrecognized arguments: --output=p. Did you mean `--out` instead of `--output`?",
        ),
        ("train --recpe demo --out run", "Did you mean `--recipe` instead of `--recpe`?"),
        ("train demo --pack p --out run", "unrecognized arguments: demo. Did you mean `--recipe demo`?"),
        ("train my.yaml --pack p --out run", "Did you mean `--recipe my.yaml`?"),
        ("evaluate m.onnx --pack p --out r", "arguments: m.onnx. Did you mean `--model m.onnx`?"),
    ],
)
def test_typos_get_a_suggestion(arguments: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """For a command, a choice and an option, also if a required option is missing because of the typo."""
    try:
        code: object = main(arguments.split())
    except SystemExit as ended:
        code = ended.code
    assert code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", ["train --seed 3", "train --workers 2", "train --device cuda", "train --lr 1"]
)
def test_a_recipe_key_without_its_part_gets_one_suggestion(
    arguments: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """That of the key, not of an option that only shares its dashes."""
    assert main(arguments.split()) == 2
    assert capsys.readouterr().err.count("Did you mean") == 1


@pytest.mark.parametrize("arguments", ["fly", "doctor --xyz", "predict"])
def test_nothing_similar_gets_no_suggestion(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments.split())
    assert "Did you mean" not in capsys.readouterr().err


def test_mien_alone_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """It is wrong usage, so the help goes to standard error."""
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "predict" in printed.err
    assert "`mien --help` lists all commands" in printed.err


def test_every_language_option_says_what_stays_in_english() -> None:
    """A command that writes a Chinese page still speaks English on the terminal."""
    (commands,) = (one for one in build_parser()._actions if isinstance(one, argparse._SubParsersAction))
    helps = {
        name: str(one.help)
        for name, command in commands.choices.items()
        for one in command._actions
        if "--language" in one.option_strings
    }
    assert helps.keys() >= {"audit", "evaluate", "explain", "push", "teach"}
    assert [name for name, text in helps.items() if "Messages and data stay in English" not in text] == []


def test_values_that_exclude_each_other_are_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the options, not the fields."""
    with pytest.raises(SystemExit, match="2"):
        main(["predict", "a.mp4", "--from", "2", "--to", "1"])
    assert "--to must be later than --from" in capsys.readouterr().err


def test_a_file_in_place_of_an_option_or_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-a.jpg").touch()
    Path("b.jpg").touch()
    for arguments, hint in (
        (["predict", "-a.jpg"], "write `./-a.jpg`"),
        (["b.jpg"], "Did you mean `mien predict b.jpg`"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main(arguments)
        assert hint in capsys.readouterr().err
