"""The limits: named, bounded, each an option of `mien serve` and a row of the guide."""

import re
import socket
from dataclasses import fields
from pathlib import Path

import pytest

from mien.cli import build_parser, main
from mien.reading.recognise import BATCH_FACES
from mien.serve import command
from mien.serve.settings import MOST_BATCH_FACES, ServeSettings

GUIDE = Path(__file__).parents[3] / "docs" / "guide" / "serve.md"
NAMES = [one.name for one in fields(ServeSettings)]


def test_a_batch_is_one_call_of_the_model() -> None:
    """No batch is so large that it would be read in several calls."""
    assert MOST_BATCH_FACES == BATCH_FACES


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("body_bytes", 0),
        ("images", -1),
        ("request_seconds", 0),
        ("batch_faces", 33),
        ("window_ms", float("nan")),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(
    name: str, value: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """In Python and on the command line."""
    with pytest.raises(ValueError, match=name):
        ServeSettings(**{name: value})
    option = "--" + name.replace("_", "-")
    with pytest.raises(SystemExit) as ended:
        main(["serve", f"{option}={value}"])
    assert ended.value.code == 2
    assert option in capsys.readouterr().err


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_an_option_with_its_default(name: str) -> None:
    """The command line's defaults are the settings'."""
    args = build_parser().parse_args(["serve"])
    assert getattr(args, name) == getattr(ServeSettings(), name)
    assert type(getattr(args, name)) is type(getattr(ServeSettings(), name))


def test_the_guide_has_every_setting() -> None:
    """The guide's table has each option with its default, and no other."""
    rows = re.findall(r"^\| `--([a-z-]+)` \| ([\d,.]+) \|", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    shown = {name.replace("-", "_"): float(value.replace(",", "")) for name, value in rows}
    assert shown == {name: float(getattr(ServeSettings(), name)) for name in NAMES}


def test_answers_are_sent_at_once() -> None:
    """Only a socket that says it is TCP gets TCP_NODELAY from asyncio; without it a small answer waits 40 ms."""
    with command._listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP
        assert listener.getsockname()[1] > 0
