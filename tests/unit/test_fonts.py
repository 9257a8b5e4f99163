"""Text drawn into images: fonts that have its characters, escapes where none has them, and the line that tells."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mien import fonts
from mien.bundle import METADATA_KEY
from mien.cli import main
from mien.errors import SourceError

HAPPY, SAD = "高兴", "悲伤"
ADVANCE = 600


def write_font(path: Path, characters: str) -> Path:
    """Write a font whose glyphs are bars, each as high as its number; its box for what it lacks is the highest."""
    builder = FontBuilder(1000, isTTF=True)
    names = {character: f"glyph{number}" for number, character in enumerate(characters)}
    heights = {".notdef": 1000, **{name: 80 + 20 * number for number, name in enumerate(names.values())}}
    builder.setupGlyphOrder(list(heights))
    builder.setupCharacterMap({ord(character): name for character, name in names.items()})
    builder.setupGlyf({name: _bar(height) for name, height in heights.items()})
    builder.setupHorizontalMetrics(dict.fromkeys(heights, (ADVANCE, 0)))
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": "Bars", "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=900, sTypoDescender=-100)
    builder.setupPost()
    builder.save(path)
    return path


def _bar(height: int) -> object:
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for point in ((100, height), (500, height), (500, 0)):
        pen.lineTo(point)
    pen.closePath()
    return pen.glyph()


@pytest.fixture
def no_other_fonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine on which nothing is found: no fontconfig, nothing in the folders."""
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr(fonts, "_UNIX_FOLDERS", ())
    monkeypatch.setattr(fonts, "_FOLDERS", {})
    for cached in (fonts._fit, fonts._known_faces, fonts._characters, fonts._load):
        cached.cache_clear()
    yield
    fonts._fit.cache_clear()
    fonts._known_faces.cache_clear()


def drawn(text: str) -> NDArray[np.uint8]:
    """Return a text as it is drawn, white on black."""
    image = Image.new("L", (240, 60))
    fonts.draw_text(ImageDraw.Draw(image), (10, 30), text, size_px=40, fill=255, anchor="lm")
    return np.asarray(image)


def test_what_the_system_has_is_drawn() -> None:
    """Two names of two characters each look different, and neither looks as what no font has."""
    if fonts.fit_text(HAPPY + SAD).missing:
        pytest.skip("no font of this machine has Chinese characters")
    happy, sad = drawn(HAPPY), drawn(SAD)
    font = fonts.fit_text(HAPPY).font(40)
    boxes = Image.new("L", (240, 60))
    ImageDraw.Draw(boxes).text((10, 30), "\U0010fffd\U0010fffd", font=font, fill=255, anchor="lm")
    assert happy.any()
    assert sad.any()
    assert (happy != sad).any()
    assert (happy != np.asarray(boxes)).any()


@pytest.mark.usefixtures("no_other_fonts")
def test_a_named_font_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has is drawn with it, what it lacks with another."""
    monkeypatch.setenv(fonts.FONT_VARIABLE, str(write_font(tmp_path / "bars.ttf", HAPPY + SAD)))
    happy, sad = fonts.fit_text(HAPPY), fonts.fit_text(SAD)
    assert (happy.text, happy.missing, happy.face.path) == (HAPPY, "", str(tmp_path / "bars.ttf"))
    assert sad.width(40) == happy.width(40) == pytest.approx(2 * 40 * ADVANCE / 1000)
    # bars: 80 and 100 thousandths of the size against 120 and 140
    assert drawn(SAD).sum() / drawn(HAPPY).sum() == pytest.approx(260 / 180, rel=0.1)
    assert fonts.fit_text("Happy").face.path is None


@pytest.mark.usefixtures("no_other_fonts")
def test_what_no_font_has_is_an_escape_and_told() -> None:
    """Not a box: names stay apart, and one line says what to install."""
    told: list[str] = []
    fonts.tell_missing(["Happy", HAPPY, SAD], told.append)
    assert fonts.fit_text(f"{HAPPY}!").text == r"\u9ad8\u5174!"
    assert (drawn(HAPPY) != drawn(SAD)).any()
    (line,) = told
    assert "高兴悲伤" in line
    assert "apt install fonts-noto-cjk" in line
    assert fonts.FONT_VARIABLE in line
    assert "\n" not in line
    told.clear()
    fonts.tell_missing(["Happy", "Dégoût", "Радость"], told.append)
    assert told == []


@pytest.mark.parametrize("content", [None, b"", b"no font at all", b"\x00\x01\x00\x00" + b"\xff" * 60])
def test_a_name_of_no_font_is_told(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is missing, empty or another thing is not passed over."""
    path = tmp_path / "font.ttf"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv(fonts.FONT_VARIABLE, str(path))
    with pytest.raises(
        SourceError, match=r"MIEN_FONT must name a TrueType or OpenType font, and .*font\.ttf"
    ):
        fonts.fit_text("Happy")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\x1b[31mHappy\x1b[0m", r"\x1b[31mHappy\x1b[0m"),
        ("a\u202eb", r"a\u202eb"),
        ("two\nlines\t!", r"two\nlines\t!"),
        ("\udcff.jpg", r"\udcff.jpg"),
        ("a\u00a0b\u3000c", "a b c"),
        ("Dego\u0302ut", "Deg\u00f4ut"),
        ("Happy", "Happy"),
    ],
)
def test_control_characters_are_shown(name: str, shown: str) -> None:
    """Nothing in a name steers the terminal, the lines, or the direction of writing."""
    assert fonts.printable(name) == shown


def test_newlines_of_a_layout_are_kept() -> None:
    """A text of several lines is as wide as its longest."""
    two = fonts.fit_text("Happy\nSad\x1b")
    assert two.text == "Happy\nSad\\x1b"
    assert two.width(20) == max(fonts.fit_text("Happy").width(20), fonts.fit_text("Sad\x1b").width(20))


@pytest.mark.usefixtures("no_other_fonts")
def test_a_plot_has_the_font_and_no_formulas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Matplotlib is given the font's name, dollars stay dollars, and a legend leaves no name out."""
    monkeypatch.setenv(fonts.FONT_VARIABLE, str(write_font(tmp_path / "bars.ttf", HAPPY)))
    with mpl.rc_context(fonts.plot_style([HAPPY, "$x_{$"])):
        assert mpl.rcParams["font.family"] == ["sans-serif", "Bars"]
        figure = Figure()
        figure.suptitle(fonts.plot_text("$x_{$"))
        figure.text(0.5, 0.5, fonts.plot_text(HAPPY))
        figure.savefig(tmp_path / "plot.svg")
    assert fonts.plot_text("_hidden") == " _hidden"


@pytest.mark.usefixtures("no_other_fonts")
def test_the_commands_that_draw_tell(
    training_pack: Path,
    make_picture: Callable[..., Path],
    model_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`browse` and `predict --draw` name what they cannot draw; `predict` without a drawing has nothing to tell."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(model_path)
    (entry,) = [entry for entry in model.metadata_props if entry.key == METADATA_KEY]
    entry.value = json.dumps({**json.loads(entry.value), "classes": [HAPPY, SAD, "平静"]})
    onnx.save(model, tmp_path / "named.onnx")
    pack = shutil.copytree(training_pack, tmp_path / "named.pack")
    index = json.loads((pack / "pack.json").read_text("utf-8"))
    names = [f"{name} {HAPPY}" for name in index["classes"]]
    (pack / "pack.json").write_text(json.dumps({**index, "classes": names}), "utf-8")

    picture = make_picture("a.png", ("Happy", 30, 20, 60))
    plain = ["predict", str(picture), "--model", str(tmp_path / "named.onnx"), "--crop", "whole"]
    assert main(plain) == 0
    assert "No font" not in capsys.readouterr().err
    assert main([*plain, "--draw", str(tmp_path / "drawn")]) == 0
    assert "No font on this machine has 高兴悲伤平静" in capsys.readouterr().err
    assert main(["browse", str(pack), "--out", str(tmp_path / "sheet.png")]) == 0
    assert "No font on this machine has 高兴" in capsys.readouterr().err
