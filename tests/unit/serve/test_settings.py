"""The settings: named, bounded, each an option of `mien serve` and a row of the guide."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from mien.cli import build_parser, main
from mien.inference.pipeline import BATCH_FACES
from mien.serve.settings import MAX_BATCH_FACES, ServeSettings

GUIDE = Path(__file__).parents[3] / "docs" / "guide" / "serve.md"
NAMES = [one.name for one in fields(ServeSettings)]


def test_the_largest_batch_is_one_model_call() -> None:
    """No batch is split over several calls."""
    assert MAX_BATCH_FACES == BATCH_FACES


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
def test_values_out_of_range_are_rejected(
    name: str, value: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """In Python and on the command line."""
    with pytest.raises(ValueError, match=name):
        ServeSettings(**{name: value})
    option = "--" + name.replace("_", "-")
    with pytest.raises(SystemExit) as exit_info:
        main(["serve", f"{option}={value}"])
    assert exit_info.value.code == 2
    assert option in capsys.readouterr().err


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_an_option_with_its_default(name: str) -> None:
    """Options and settings have the same defaults and types."""
    args = build_parser().parse_args(["serve"])
    assert getattr(args, name) == getattr(ServeSettings(), name)
    assert type(getattr(args, name)) is type(getattr(ServeSettings(), name))


def test_the_guide_has_every_setting() -> None:
    """The guide's table lists every option with its default, and no others."""
    rows = re.findall(r"^\| `--([a-z-]+)` \| ([\d,.]+) \|", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    shown = {name.replace("-", "_"): float(value.replace(",", "")) for name, value in rows}
    assert shown == {name: float(getattr(ServeSettings(), name)) for name in NAMES}
