"""The whole verb: checks first, then rows and copies."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from PIL import Image

from mien.errors import ArtifactError, SourceError
from mien.faces.crop import CropContract, CropMethod
from mien.faces.detector import Detector
from mien.predict import stage as command
from mien.predict.stage import PredictOptions, PredictSummary, run_predict


@pytest.fixture(autouse=True)
def squares_are_faces(monkeypatch: pytest.MonkeyPatch, detector: Detector) -> None:
    """Let the verb find colored squares."""
    monkeypatch.setattr(command, "load_detector", lambda path, *, announce: detector)


@pytest.fixture
def folder(tmp_path: Path, make_image: Callable[..., Path]) -> Path:
    """Return a folder of two faces in one image, none in another, and a file that is no image."""
    make_image("in/a.png", ("Happy", 10, 10, 40), ("Sad", 80, 20, 80))
    make_image("in/x/b.jpg")
    (tmp_path / "in" / "broken.jpg").write_bytes(b"")
    return tmp_path / "in"


def run(
    *sources: Path, model: Path, stream: io.StringIO | None = None, options: PredictOptions
) -> PredictSummary:
    """Run the verb, announcing nothing."""
    return run_predict(
        sources, model, options=options, stream=stream or io.StringIO(), announce=lambda _line: None
    )


def test_json_lines_have_a_row_a_face_and_one_for_every_other_image(
    tmp_path: Path, folder: Path, model_path: Path
) -> None:
    """Nothing is lost: two faces, an empty image, an unreadable one."""
    out = tmp_path / "new" / "rows.jsonl"
    summary = run(folder, model=model_path, options=PredictOptions(out=out))
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [(Path(row["source"]).name, row["face"], row["status"]) for row in rows] == [
        ("a.png", 0, "ok"),
        ("a.png", 1, "ok"),
        ("broken.jpg", None, "empty_file"),
        ("b.jpg", None, "no_face"),
    ]
    assert str(summary) == "2 faces in 3 images, 1 with no face, 1 unreadable"


@pytest.mark.parametrize(
    ("method", "crop", "is_told"),
    [("whole", "detect", True), ("whole", "whole", False), ("box", "detect", False)],
)
def test_a_model_of_cropped_images_that_is_to_find_faces_says_so(
    folder: Path,
    write_model: Callable[..., Path],
    method: CropMethod,
    crop: Literal["detect", "whole"],
    is_told: bool,
) -> None:
    """Its faces are cut by a box that it never learnt from."""
    told: list[str] = []
    model = write_model(contract=CropContract(method))
    run_predict(
        [folder / "a.png"],
        model,
        options=PredictOptions(crop=crop),
        stream=io.StringIO(),
        announce=told.append,
    )
    assert ["cut to a face already" in line for line in told] == [True] * is_told


def test_csv_has_the_columns_of_the_model(tmp_path: Path, folder: Path, model_path: Path) -> None:
    """A probability column a class, in the model's order."""
    out = tmp_path / "rows.CSV"
    run(folder, model=model_path, options=PredictOptions(out=out))
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [name for name in rows[0] if name.startswith("p_")] == ["p_Neutral", "p_Happy", "p_Sad"]
    assert len(rows) == 4


def test_without_a_file_a_table_is_written(folder: Path, model_path: Path) -> None:
    """A heading and a line a row."""
    stream = io.StringIO()
    run(folder, model=model_path, stream=stream, options=PredictOptions())
    lines = stream.getvalue().splitlines()
    assert len(lines) == 5
    assert "expression" in lines[0]
    assert "Sad" in lines[1]


def test_copies_are_drawn_of_readable_images(tmp_path: Path, folder: Path, model_path: Path) -> None:
    """With their folders, as images that differ from the originals."""
    drawn = tmp_path / "drawn"
    run(folder, model=model_path, options=PredictOptions(draw=drawn))
    assert sorted(str(path.relative_to(drawn)) for path in drawn.rglob("*.*")) == ["a.png", "x/b.jpg"]
    with Image.open(drawn / "a.png") as copy, Image.open(folder / "a.png") as original:
        assert copy.width > original.width


def test_copies_within_the_source_are_not_read_again(folder: Path, model_path: Path) -> None:
    """A second run over the same folder reads the same images."""
    options = PredictOptions(draw=folder / "drawn", force=True)
    counts = [run(folder, model=model_path, options=options).n_images for _ in range(2)]
    assert counts == [3, 3]


def test_a_image_is_never_replaced_by_its_copy(folder: Path, model_path: Path) -> None:
    """Not with --force either, which is for what mien made."""
    before = (folder / "a.png").read_bytes()
    with pytest.raises(ArtifactError, match="would replace it"):
        run(folder, model=model_path, options=PredictOptions(draw=folder, force=True))
    assert (folder / "a.png").read_bytes() == before


def test_an_existing_file_is_refused(tmp_path: Path, folder: Path, model_path: Path) -> None:
    """It is not touched without --force, and replaced with it."""
    out = tmp_path / "rows.jsonl"
    out.write_text("precious")
    with pytest.raises(ArtifactError, match="--force"):
        run(folder, model=model_path, options=PredictOptions(out=out))
    assert out.read_text() == "precious"
    run(folder, model=model_path, options=PredictOptions(out=out, force=True))
    assert len(out.read_text(encoding="utf-8").splitlines()) == 4


def test_a_file_of_another_kind_is_refused(tmp_path: Path, folder: Path, model_path: Path) -> None:
    """The suffix says what is written."""
    with pytest.raises(ArtifactError, match=r"\.jsonl or \.csv"):
        run(folder, model=model_path, options=PredictOptions(out=tmp_path / "rows.txt"))


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path, folder: Path, model_path: Path) -> None:
    """Even with --force."""
    (tmp_path / "rows.csv" / "x").mkdir(parents=True)
    with pytest.raises(ArtifactError, match="is a folder"):
        run(folder, model=model_path, options=PredictOptions(out=tmp_path / "rows.csv", force=True))


def test_a_source_that_does_not_exist_stops_before_any_work(
    tmp_path: Path, folder: Path, model_path: Path
) -> None:
    """Nothing is written."""
    out = tmp_path / "rows.jsonl"
    with pytest.raises(SourceError, match=r"no\.jpg does not exist"):
        run(folder, tmp_path / "no.jpg", model=model_path, options=PredictOptions(out=out))
    assert not list(tmp_path.glob("rows*"))


def test_a_stop_leaves_what_was_read_in_a_partial_file(
    tmp_path: Path, folder: Path, model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file takes its name only when all is written; the one it replaces stays until then."""
    out = tmp_path / "rows.jsonl"
    out.write_text("earlier")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "write_copy", stop)
    options = PredictOptions(out=out, draw=tmp_path / "drawn", force=True)
    with pytest.raises(KeyboardInterrupt):
        run(folder, model=model_path, options=options)
    assert out.read_text() == "earlier"
    assert len((tmp_path / "rows.jsonl.partial").read_text(encoding="utf-8").splitlines()) == 2


def test_prediction_needs_no_torch(folder: Path, model_path: Path) -> None:
    """With torch, matplotlib and pyarrow out of reach, images are read and drawn."""
    program = f"""
import sys
for name in ("torch", "timm", "lightning", "matplotlib", "pyarrow", "yaml"):
    sys.modules[name] = None
from pathlib import Path
from mien.predict.stage import PredictOptions, run_predict
print(run_predict([Path({str(folder)!r})], Path({str(model_path)!r}), stream=sys.stdout, announce=print,
    options=PredictOptions(crop="whole", draw=Path({str(folder.parent / "drawn")!r}))))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "2 faces in 3 images, 1 unreadable" in result.stdout
