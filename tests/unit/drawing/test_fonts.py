"""Drawing text in any script: choosing fonts, escaping missing characters, and reporting them."""

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

from mien.artifacts import json_sha256
from mien.cli import main
from mien.drawing import fonts
from mien.errors import SourceError
from mien.formats.onnx_model import METADATA_KEY

HAPPY, SAD = "高兴", "悲伤"
ADVANCE = 600


def write_font(path: Path, characters: str) -> Path:
    """Write a font whose glyphs are bars with a height for each; the missing-glyph box is the highest."""
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
    """Simulate a machine without fonts: no fontconfig, nothing in the folders."""
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
    """Return a text drawn white on black."""
    image = Image.new("L", (240, 60))
    fonts.draw_text(ImageDraw.Draw(image), (10, 30), text, size_px=40, fill=255, anchor="lm")
    return np.asarray(image)


def test_system_fonts_are_used() -> None:
    """Two names of two characters look different, and unlike missing glyphs."""
    if fonts.fit_text(HAPPY + SAD).missing:
        pytest.skip("no font on this machine has Chinese characters")
    happy, sad = drawn(HAPPY), drawn(SAD)
    font = fonts.fit_text(HAPPY).font(40)
    boxes = Image.new("L", (240, 60))
    ImageDraw.Draw(boxes).text((10, 30), "\U0010fffd\U0010fffd", font=font, fill=255, anchor="lm")
    assert happy.any()
    assert sad.any()
    assert (happy != sad).any()
    assert (happy != np.asarray(boxes)).any()


@pytest.mark.usefixtures("no_other_fonts")
def test_font_given_by_the_user_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its characters are drawn with it, others with another font."""
    monkeypatch.setenv(fonts.FONT_VARIABLE, str(write_font(tmp_path / "bars.ttf", HAPPY + SAD)))
    happy, sad = fonts.fit_text(HAPPY), fonts.fit_text(SAD)
    assert (happy.text, happy.missing, happy.face.path) == (HAPPY, "", str(tmp_path / "bars.ttf"))
    assert sad.width(40) == happy.width(40) == pytest.approx(2 * 40 * ADVANCE / 1000)
    # bars of 80 and 100 thousandths of the font size against 120 and 140
    assert drawn(SAD).sum() / drawn(HAPPY).sum() == pytest.approx(260 / 180, rel=0.1)
    assert fonts.fit_text("Happy").face.path is None


@pytest.mark.usefixtures("no_other_fonts")
def test_characters_that_no_font_has_are_escaped_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    """They are not drawn as boxes: names stay distinct, and one line says what to install."""
    fonts.warn_of_missing_characters(["Happy", HAPPY, SAD])
    assert fonts.fit_text(f"{HAPPY}!").text == r"\u9ad8\u5174!"
    assert (drawn(HAPPY) != drawn(SAD)).any()
    (line,) = caplog.messages
    assert "高兴悲伤" in line
    assert "apt install fonts-noto-cjk" in line
    assert fonts.FONT_VARIABLE in line
    assert "\n" not in line
    caplog.clear()
    fonts.warn_of_missing_characters(["Happy", "Dégoût", "Радость"])
    assert caplog.messages == []


@pytest.mark.parametrize("content", [None, b"", b"no font at all", b"\x00\x01\x00\x00" + b"\xff" * 60])
def test_file_that_is_not_a_font_is_reported(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing, empty or different file is not silently ignored."""
    path = tmp_path / "font.ttf"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv(fonts.FONT_VARIABLE, str(path))
    with pytest.raises(
        SourceError, match=r"MIEN_FONT must be a readable TrueType or OpenType font, and .*font\.ttf"
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
def test_control_characters_are_escaped(name: str, shown: str) -> None:
    """No name can affect the terminal, the line structure or the text direction."""
    assert fonts.printable(name) == shown


def test_newlines_are_kept() -> None:
    """A text is as wide as its longest line."""
    two = fonts.fit_text("Happy\nSad\x1b")
    assert two.text == "Happy\nSad\\x1b"
    assert two.width(20) == max(fonts.fit_text("Happy").width(20), fonts.fit_text("Sad\x1b").width(20))


@pytest.mark.usefixtures("no_other_fonts")
def test_plot_has_the_font_and_no_formulas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Matplotlib receives the font's name, dollar signs are literal, and a legend omits no name."""
    monkeypatch.setenv(fonts.FONT_VARIABLE, str(write_font(tmp_path / "bars.ttf", HAPPY)))
    with mpl.rc_context(fonts.plot_style([HAPPY, "$x_{$"])):
        assert mpl.rcParams["font.family"] == ["sans-serif", "Bars"]
        figure = Figure()
        figure.suptitle(fonts.plot_text("$x_{$"))
        figure.text(0.5, 0.5, fonts.plot_text(HAPPY))
        figure.savefig(tmp_path / "plot.svg")
    assert fonts.plot_text("_hidden") == " _hidden"


@pytest.mark.usefixtures("no_other_fonts")
def test_commands_that_draw_warn_of_missing_characters(
    training_pack: Path,
    make_image: Callable[..., Path],
    model_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`browse` and `predict --draw` report what they cannot draw; `predict` without drawing reports nothing."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(model_path)
    (entry,) = [entry for entry in model.metadata_props if entry.key == METADATA_KEY]
    entry.value = json.dumps({**json.loads(entry.value), "classes": [HAPPY, SAD, "平静"]})
    onnx.save(model, tmp_path / "named.onnx")
    pack = shutil.copytree(training_pack, tmp_path / "named.pack")
    info = json.loads((pack / "pack.json").read_text("utf-8"))
    del info["info_sha256"]
    info["classes"] = [f"{name} {HAPPY}" for name in info["classes"]]
    info["counts"] = {
        split: {f"{name} {HAPPY}": count for name, count in counts.items()}
        for split, counts in info["counts"].items()
    }
    (pack / "pack.json").write_text(json.dumps({**info, "info_sha256": json_sha256(info)}), "utf-8")

    image = make_image("a.png", ("Happy", 30, 20, 60))
    plain = ["predict", str(image), "--model", str(tmp_path / "named.onnx"), "--crop", "whole"]
    assert main(plain) == 0
    assert "No font" not in capsys.readouterr().err
    assert main([*plain, "--draw", str(tmp_path / "drawn")]) == 0
    assert "No font on this machine has 高兴悲伤平静" in capsys.readouterr().err
    assert main(["browse", str(pack), "--out", str(tmp_path / "sheet.png")]) == 0
    assert "No font on this machine has 高兴" in capsys.readouterr().err
