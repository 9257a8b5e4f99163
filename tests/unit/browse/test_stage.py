"""Contact sheets of packs."""

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from mien.browse.groups import affect_quadrants, faces_by_unit
from mien.browse.options import Grouping
from mien.browse.sheet import LINE_RGB
from mien.browse.stage import CELL, TITLE_WIDTH, browse
from mien.cli import main
from mien.errors import ArtifactError
from mien.faces.action_units import ActionUnits
from mien.formats.pack import Pack
from mien.formats.pack.schema import NO_LABEL
from mien.tasks import TASKS


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def cell(sheet: np.ndarray, row: int, column: int) -> np.ndarray:
    left = TITLE_WIDTH + column * CELL
    return sheet[row * CELL : (row + 1) * CELL, left : left + CELL]


def test_every_class_has_a_row(training_pack: Path, tmp_path: Path) -> None:
    """Each row shows faces of its class, recognizable by their color."""
    browse(training_pack, tmp_path / "sheet.png", per_class=4)
    sheet = read(tmp_path / "sheet.png")
    n_classes = len(Pack.open(training_pack).info.classes)
    assert sheet.shape == (n_classes * CELL, TITLE_WIDTH + 4 * CELL, 3)
    for row in range(n_classes):
        for column in range(4):
            saturated = cell(sheet, row, column).astype(int)
            strong = saturated[np.ptp(saturated, axis=2) > 80]
            away_from_lines = strong[np.abs(strong - LINE_RGB).sum(axis=1) > 200]
            assert away_from_lines.mean(axis=0).argmax() == row


def test_faces_without_a_label_have_a_row(make_training_pack: Callable[..., Path], tmp_path: Path) -> None:
    """It is the last one."""
    pack = make_training_pack(tmp_path / "pack", stated=lambda row: {"label": NO_LABEL} if row < 40 else {})
    browse(pack, tmp_path / "sheet.png", per_class=4)
    assert read(tmp_path / "sheet.png").shape == (4 * CELL, TITLE_WIDTH + 4 * CELL, 3)


def test_landmarks_are_drawn_where_they_are(training_pack: Path, tmp_path: Path) -> None:
    """Pixels of the line color are where the landmarks are."""
    browse(training_pack, tmp_path / "sheet.png", per_class=1, split="val", seed=3)
    sheet = read(tmp_path / "sheet.png").astype(int)
    green = np.abs(cell(sheet, 0, 0) - LINE_RGB).sum(axis=2) < 120
    rows, columns = np.nonzero(green)
    assert len(rows) > 50
    faces = Pack.open(training_pack).split("val")
    centers = faces.landmarks[faces.labels == 0].mean(axis=1) * (CELL - 2)
    assert np.abs(centers - (columns.mean(), rows.mean())).max(axis=1).min() < 6


def test_seed_chooses_the_faces(training_pack: Path, tmp_path: Path) -> None:
    """The same seed gives the same sheet, a different one a different sheet."""
    sheets = []
    for number, seed in enumerate((1, 1, 2)):
        browse(training_pack, tmp_path / f"{number}.png", per_class=3, seed=seed)
        sheets.append((tmp_path / f"{number}.png").read_bytes())
    assert sheets[0] == sheets[1] != sheets[2]


def test_class_with_fewer_faces(training_pack: Path, tmp_path: Path) -> None:
    """If fewer faces exist than requested, all are shown and the sheet is no wider than they need."""
    browse(training_pack, tmp_path / "sheet.jpg", per_class=10_000, split="val")
    assert read(tmp_path / "sheet.jpg").shape[1] == TITLE_WIDTH + 8 * CELL


@pytest.mark.parametrize("name", ["sheet.gif", "sheet", "sheet.png.txt"])
def test_other_suffixes_are_rejected(training_pack: Path, tmp_path: Path, name: str) -> None:
    """OUT must have the suffix of an image."""
    with pytest.raises(ArtifactError, match=r"must end in .png or .jpg, got"):
        browse(training_pack, tmp_path / name)


def test_missing_split_and_pack(training_pack: Path, tmp_path: Path) -> None:
    """A missing split or pack is an error, and nothing is written."""
    with pytest.raises(ArtifactError, match="no split 'test', it has: train, val"):
        browse(training_pack, tmp_path / "sheet.png", split="test")
    with pytest.raises(ArtifactError, match="does not exist"):
        browse(tmp_path / "none", tmp_path / "sheet.png")
    assert list(tmp_path.iterdir()) == []


def test_existing_sheet_is_kept(training_pack: Path, tmp_path: Path) -> None:
    """A sheet is replaced only with --force."""
    out = tmp_path / "sheet.png"
    out.write_text("mine")
    with pytest.raises(ArtifactError, match="already exists"):
        browse(training_pack, out)
    assert out.read_text() == "mine"
    browse(training_pack, out, force=True)
    assert out.read_bytes().startswith(b"\x89PNG")


def test_faces_without_landmarks(make_training_pack: Callable[..., Path], tmp_path: Path) -> None:
    """They are shown without lines."""
    pack = make_training_pack(tmp_path / "bare.pack", n_train=6, n_missing=6)
    browse(pack, tmp_path / "sheet.png", per_class=2)
    sheet = read(tmp_path / "sheet.png").astype(int)
    assert np.abs(cell(sheet, 0, 0) - LINE_RGB).sum(axis=2).min() > 60


def test_sheet_that_is_too_large(
    training_pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says which option to change."""
    monkeypatch.setattr("mien.browse.sheet.LARGEST_SIDE", 1000)
    with pytest.raises(ArtifactError, match="Use a smaller --per-class"):
        browse(training_pack, tmp_path / "sheet.jpg", per_class=50)
    browse(training_pack, tmp_path / "sheet.jpg", per_class=5)


def test_action_units_have_a_row_each(make_training_pack: Callable[..., Path], tmp_path: Path) -> None:
    """Faces that show the unit, with their values below them; a unit that nobody shows has an empty row."""
    units = {"action_units": ActionUnits(("AU06", "AU12", "AU25"), "presence")}

    def stated(row: int) -> dict:
        values = np.array([row % 2, row % 4 == 0, 0], np.float32)
        return {"annotations": {"action_units": values}} if row % 3 else {}

    pack = make_training_pack(tmp_path / "pack", stated=stated, annotations=units)
    faces = Pack.open(pack).split("train")
    groups = faces_by_unit(faces.annotations["action_units"], units)
    assert list(groups) == ["AU06\ncheek raiser", "AU12\nlip corner puller", "AU25\nlips part"]
    assert [int(members.sum()) for members in groups.values()] == [
        sum(1 for row in range(192) if row % 3 and row % 2),
        sum(1 for row in range(192) if row % 3 and row % 4 == 0),
        0,
    ]
    browse(pack, tmp_path / "sheet.png", per_class=4, by="action_units")
    sheet = read(tmp_path / "sheet.png")
    assert sheet.shape[0] > 3 * CELL
    assert np.ptp(sheet[-CELL:, -4 * CELL :], axis=(0, 1)).max() == 0
    with pytest.raises(ArtifactError, match="needs faces annotated for it"):
        browse(make_training_pack(tmp_path / "plain"), tmp_path / "no.png", by="action_units")


def test_quadrants_of_valence_and_arousal() -> None:
    """Every annotated face is in exactly one."""
    values = np.array([[0.5, 0.5], [0.5, -0.5], [-0.5, 0.5], [-0.5, -0.5], [0, 0], [np.nan, 1]], np.float32)
    groups = affect_quadrants(values, {})
    assert [np.flatnonzero(members).tolist() for members in groups.values()] == [[0, 4], [1], [2], [3]]


def test_the_help_names_the_tasks_of_the_table() -> None:
    """The options import nothing heavy, so they repeat the names."""
    assert ("expression", *(name for name, task in TASKS.items() if task.groups)) == get_args(Grouping)


def test_a_seed_is_not_negative(
    training_pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["browse", str(training_pack), "--out", str(tmp_path / "a.png"), "--seed", "-1"])
    assert "argument --seed: must be 0 or more, got -1" in capsys.readouterr().err
