"""The faces behind the cells of the confusion matrix."""

import base64
from pathlib import Path

import numpy as np
import pytest

from mien.evaluate.cell_faces import TILE, choose_cell_faces, draw_sheet
from mien.evaluate.prediction import predict_split
from mien.evaluate.score import Evaluation, Truth, score
from mien.faces.images import decode_jpeg_rgb
from mien.formats.onnx_model import OnnxModel
from mien.formats.pack import Pack, PackSplit
from mien.tasks import Values


@pytest.fixture
def answered(make_model, make_pack, val) -> tuple[PackSplit, Values, Evaluation]:
    """The faces, the answers, and their metrics."""
    pack = Pack.open(make_pack(val=val))
    faces, model = pack.split("val"), OnnxModel.load(make_model())
    outputs = predict_split(model, faces).outputs
    truth = Truth(pack.info.classes, faces.labels, {}, {})
    return faces, outputs, score(outputs, truth, classes=model.info.classes)


def test_every_cell_has_its_faces(answered) -> None:
    """By hand: Neutral is twice right and once called Happy, Sad twice right and once called Neutral; mistakes first."""
    faces, outputs, evaluation = answered
    neutral, happy, sad = choose_cell_faces(faces, outputs, evaluation)
    assert [(cell.predicted, cell.n, {face.key for face in cell.faces}) for cell in neutral.cells] == [
        (1, 1, {"c.jpg"}), (0, 2, {"a.jpg", "b.jpg"}),
    ]  # fmt: skip
    assert [(cell.predicted, cell.n) for cell in happy.cells] == [(1, 2)]
    assert [(cell.predicted, cell.n) for cell in sad.cells] == [(0, 1), (2, 2)]
    assert (neutral.n_mistakes, happy.n_mistakes, sad.n_mistakes) == (1, 0, 1)


def test_a_sheet_shows_each_face_where_its_cell_says(answered) -> None:
    """The tile of a face has the color of the face."""
    faces, outputs, evaluation = answered
    for group in choose_cell_faces(faces, outputs, evaluation):
        sheet = decode_jpeg_rgb(base64.b64decode(group.sheet.partition(",")[2]))
        assert sheet.shape[1::-1] == group.size_wh
        for cell in group.cells:
            for face in cell.faces:
                tile = sheet[
                    face.row * TILE : (face.row + 1) * TILE, face.column * TILE : (face.column + 1) * TILE
                ]
                expected = faces.image(faces.keys.index(face.key)).mean(axis=(0, 1))
                np.testing.assert_allclose(tile.mean(axis=(0, 1)), expected, atol=6)


def test_too_many_faces_are_cut_evenly(answered) -> None:
    """The most confident mistakes stay, the counts remain those of all faces."""
    faces, outputs, evaluation = answered
    groups = choose_cell_faces(faces, outputs, evaluation, max_faces=6)
    assert sum(group.n_shown for group in groups) == 6
    assert sum(cell.n for group in groups for cell in group.cells) == 8
    assert [len(cell.faces) for cell in groups[0].cells] == [0, 2]


def test_a_sheet_of_many_faces_has_several_rows() -> None:
    """25 faces need a second row of 24."""
    shades = [np.full((20, 20, 3), shade, np.uint8) for shade in range(100, 125)]
    sheet = draw_sheet(shades)
    assert sheet.shape == (2 * TILE, 24 * TILE, 3)
    assert (sheet[TILE:, :TILE] == 124).all()
    assert (sheet[TILE:, TILE:] == 0).all()


def test_the_page_leads_from_cell_to_faces(report: Path) -> None:
    """A cell with faces is a link, one without is none; every target exists; mistakes have a map."""
    page = (report / "report.html").read_text(encoding="utf-8")
    for cell in ("0-0", "0-1", "1-1", "2-0", "2-2"):
        assert page.count(f'href="#cell-{cell}"') == page.count(f'id="cell-{cell}"') == 1
    assert 'href="#cell-1-0"' not in page
    assert page.count('class="heat" src="data:image/png') == 2
    assert "This page embeds 8 of 8 faces" in page
    assert 'id="features"' in page
