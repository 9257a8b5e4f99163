"""Contact sheets of any faces: cells, missing landmarks, captions."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.browse.sheet import CAPTION_LINE, GAP, LINE_RGB, Sheet
from mien.browse.stage import TITLE_WIDTH, draw_rows
from mien.errors import ArtifactError
from mien.faces.landmarks import JAW, LEFT_EYE


@dataclass(frozen=True)
class Face:
    """Implements the protocol of a face on a sheet."""

    image_rgb: np.ndarray
    landmarks: np.ndarray
    caption: str = ""


@dataclass(frozen=True)
class Row:
    """Implements the protocol of a row of a sheet."""

    title: str
    faces: list[Face]


MISSING = np.full((68, 2), np.nan, np.float32)


def noise(side: int = 48) -> np.ndarray:
    return np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)


def draw(rows: list[Row], tmp_path: Path, *, input_size: int = 48) -> np.ndarray:
    out = tmp_path / "sheet.png"
    draw_rows(rows, out, input_size=input_size)
    with Image.open(out) as image:
        return np.asarray(image).astype(int)


def green(sheet: np.ndarray) -> np.ndarray:
    """Return where a line covers at least half of a black pixel."""
    return (sheet >= np.array(LINE_RGB) // 2).all(axis=2) & (np.ptp(sheet, axis=2) > 50)


@pytest.mark.parametrize(
    ("input_size", "scale"),
    [pytest.param(48, 3, id="small"), pytest.param(224, 1, id="large"), pytest.param(100, 1, id="between")],
)
def test_every_input_pixel_is_a_square(tmp_path: Path, input_size: int, scale: int) -> None:
    """Nothing is interpolated: each pixel of the input is repeated an integer number of times."""
    image = noise(input_size)
    sheet = draw([Row("a", [Face(image, MISSING)])], tmp_path, input_size=input_size)
    cell = sheet[: input_size * scale, TITLE_WIDTH : TITLE_WIDTH + input_size * scale]
    np.testing.assert_array_equal(cell, image.repeat(scale, axis=0).repeat(scale, axis=1))


def test_face_of_another_size_fills_its_cell(tmp_path: Path) -> None:
    """The stored face is shown at the size of its augmented versions."""
    bright = np.full((70, 70, 3), 200, np.uint8)
    sheet = draw([Row("a", [Face(bright, MISSING), Face(bright[:48, :48], MISSING)])], tmp_path)
    cells = sheet[:144, TITLE_WIDTH:].mean(axis=(0, 2))
    assert cells[:144] == pytest.approx(200)
    assert cells[144 + GAP : 288 + GAP] == pytest.approx(200)


def test_missing_landmarks_are_omitted(tmp_path: Path) -> None:
    """A line ends at a missing point; if half of the jaw is missing, the other half is drawn."""
    points = MISSING.copy()
    points[JAW] = np.column_stack([np.linspace(0.1, 0.9, 17), np.full(17, 0.5)])
    points[8:17] = np.nan
    sheet = draw([Row("a", [Face(np.zeros((48, 48, 3), np.uint8), points)])], tmp_path)
    columns = np.flatnonzero(green(sheet[:144, TITLE_WIDTH:]).any(axis=0))
    assert columns.min() == pytest.approx(0.1 * 144, abs=3)
    assert columns.max() == pytest.approx(0.45 * 144, abs=3)


def test_isolated_landmark_is_a_dot(tmp_path: Path) -> None:
    """A point whose neighbors are missing is still visible."""
    points = MISSING.copy()
    points[LEFT_EYE.start + 2] = (0.25, 0.75)
    sheet = draw([Row("a", [Face(np.zeros((48, 48, 3), np.uint8), points)])], tmp_path)
    rows, columns = np.nonzero(green(sheet[:144, TITLE_WIDTH:]))
    assert len(rows) >= 4
    assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx((36, 108), abs=1)


def test_landmarks_beyond_the_image_stay_in_the_cell(tmp_path: Path) -> None:
    """Landmarks that augmentation moved out of the image are not drawn on adjacent cells."""
    points = np.tile(np.linspace(0.5, 2.5, 68, dtype=np.float32)[:, None], (1, 2))
    black = np.zeros((48, 48, 3), np.uint8)
    sheet = draw([Row("a", [Face(black, points), Face(black, MISSING)]), Row("b", [])], tmp_path)
    is_line = green(sheet[:, TITLE_WIDTH:])
    assert is_line[:144, :144].any()
    assert not is_line[:, 144:].any()
    assert not is_line[144:].any()


def test_captions_make_a_row_taller(tmp_path: Path) -> None:
    """Each row has room for its longest caption; a row without faces has room for its title."""
    face = noise()
    rows = [
        Row("one", [Face(face, MISSING, "epoch 1")]),
        Row("two", [Face(face, MISSING, "60% Happy\n40% Sad"), Face(face, MISSING)]),
        Row("none", []),
    ]
    sheet = draw(rows, tmp_path)
    assert len(sheet) == 3 * (144 + GAP) + 3 * CAPTION_LINE
    strip = sheet[144 : 144 + CAPTION_LINE, TITLE_WIDTH:]
    assert (strip > 120).any()


def test_title_column_fits_long_titles(tmp_path: Path) -> None:
    """No title overlaps the faces."""
    face = Face(np.zeros((48, 48, 3), np.uint8), MISSING)
    sheet = draw([Row("a class with a very long name", [face])], tmp_path)
    width = sheet.shape[1] - 144 - GAP
    assert width > TITLE_WIDTH
    assert (sheet[:144, width - 9 : width] == sheet[0, 0]).all()


@pytest.mark.parametrize(
    ("name", "expected"),
    [pytest.param("sheet.gif", "must end in", id="suffix"), pytest.param("mine.png", "exists", id="exists")],
)
def test_invalid_output_is_rejected(tmp_path: Path, name: str, expected: str) -> None:
    """A different suffix or an existing file is an error, as for any sheet."""
    (tmp_path / "mine.png").write_text("mine")
    with pytest.raises(ArtifactError, match=expected):
        draw_rows([Row("a", [Face(noise(), MISSING)])], tmp_path / name, input_size=48)
    assert (tmp_path / "mine.png").read_text() == "mine"


def test_titles_in_any_script_look_different() -> None:
    """Two names of two characters are not drawn as the same placeholder boxes."""
    sheets = []
    for name in ("高兴", "悲伤"):
        sheet = Sheet([0], 1, side=20, title_width=130)
        sheet.write_title(0, name)
        sheets.append(np.asarray(sheet.image))
    assert (sheets[0] != sheets[1]).any()
