"""The complete command on images: checks first, then rows and annotated copies."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Self

import pytest
from PIL import Image

from mien.errors import ArtifactError, SourceError
from mien.faces.crop import CropContract
from mien.faces.crop_options import CropMethod
from mien.faces.detector import Detector
from mien.inference.video.options import VideoOptions
from mien.predict import stage
from mien.predict.options import PredictOptions
from mien.predict.stage import PredictSummary, run_predict
from mien.runtime.progress import Progress


@pytest.fixture(autouse=True)
def squares_are_faces(monkeypatch: pytest.MonkeyPatch, detector: Detector) -> None:
    """Detect colored squares as faces."""
    monkeypatch.setattr(stage, "load_detector", lambda path, min_face_px=0: detector)


@pytest.fixture
def folder(tmp_path: Path, make_image: Callable[..., Path]) -> Path:
    """Return a folder with two faces in one image, none in another, and an unreadable file."""
    make_image("in/a.png", ("Happy", 10, 10, 40), ("Sad", 80, 20, 80))
    make_image("in/x/b.jpg")
    (tmp_path / "in" / "broken.jpg").write_bytes(b"")
    return tmp_path / "in"


def run(
    *sources: Path, model: Path, stream: io.StringIO | None = None, options: PredictOptions
) -> PredictSummary:
    """Run the command."""
    return run_predict(sources, model, options=options, stream=stream or io.StringIO())


def test_json_lines_have_a_row_per_face_and_one_for_every_other_image(
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
    ("method", "crop", "is_reported"),
    [("whole", "detect", True), ("whole", "whole", False), ("box", "detect", False)],
)
def test_detecting_faces_for_a_model_of_cropped_images_is_reported(
    folder: Path,
    write_model: Callable[..., Path],
    method: CropMethod,
    crop: Literal["detect", "whole"],
    is_reported: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It was not trained on crops by bounding box."""
    run(folder / "a.png", model=write_model(contract=CropContract(method)), options=PredictOptions(crop=crop))
    assert ["trained on pre-cropped faces" in line for line in caplog.messages] == [True] * is_reported


def test_options_of_videos_are_reported_for_images(
    folder: Path, model_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = PredictOptions(video=VideoOptions(start_seconds=1.0, smoothing_s=0.0))
    run_predict([folder], model_path, options=options, stream=io.StringIO())
    assert "No source is a video or camera: --no-smoothing and --from has no effect on images" in caplog.text


def test_csv_has_the_columns_of_the_model(tmp_path: Path, folder: Path, model_path: Path) -> None:
    """A probability column per class, in the model's order."""
    out = tmp_path / "rows.CSV"
    run(folder, model=model_path, options=PredictOptions(out=out))
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [name for name in rows[0] if name.startswith("p_")] == ["p_Neutral", "p_Happy", "p_Sad"]
    assert len(rows) == 4


def test_without_a_file_a_table_is_written(folder: Path, model_path: Path) -> None:
    """A header and a line per row."""
    stream = io.StringIO()
    run(folder, model=model_path, stream=stream, options=PredictOptions())
    lines = stream.getvalue().splitlines()
    assert len(lines) == 5
    assert "expression" in lines[0]
    assert "Sad" in lines[1]


def test_readable_images_are_annotated(tmp_path: Path, folder: Path, model_path: Path) -> None:
    """In their subfolders, as images that differ from the originals."""
    drawn = tmp_path / "drawn"
    run(folder, model=model_path, options=PredictOptions(draw=drawn))
    assert sorted(str(path.relative_to(drawn)) for path in drawn.rglob("*.*")) == ["a.png", "x/b.jpg"]
    with Image.open(drawn / "a.png") as copy, Image.open(folder / "a.png") as original:
        assert copy.width > original.width


def test_copies_inside_a_source_folder_are_not_inputs(folder: Path, model_path: Path) -> None:
    """A second run over the same folder predicts the same images."""
    options = PredictOptions(draw=folder / "drawn", force=True)
    counts = [run(folder, model=model_path, options=options).n_images for _ in range(2)]
    assert counts == [3, 3]


def test_an_image_is_never_replaced_by_its_copy(folder: Path, model_path: Path) -> None:
    """Not even with --force, which is for files that mien wrote."""
    before = (folder / "a.png").read_bytes()
    with pytest.raises(ArtifactError, match="would replace it"):
        run(folder, model=model_path, options=PredictOptions(draw=folder, force=True))
    assert (folder / "a.png").read_bytes() == before


def test_an_existing_file_is_not_replaced(tmp_path: Path, folder: Path, model_path: Path) -> None:
    """Without --force; with it, it is."""
    out = tmp_path / "rows.jsonl"
    out.write_text("precious")
    with pytest.raises(ArtifactError, match="--force"):
        run(folder, model=model_path, options=PredictOptions(out=out))
    assert out.read_text() == "precious"
    run(folder, model=model_path, options=PredictOptions(out=out, force=True))
    assert len(out.read_text(encoding="utf-8").splitlines()) == 4


def test_an_unknown_suffix_is_rejected(tmp_path: Path, folder: Path, model_path: Path) -> None:
    """The suffix selects the format."""
    with pytest.raises(ArtifactError, match=r"\.jsonl or \.csv"):
        run(folder, model=model_path, options=PredictOptions(out=tmp_path / "rows.txt"))


def test_a_folder_instead_of_a_file_is_rejected(tmp_path: Path, folder: Path, model_path: Path) -> None:
    """Even with --force."""
    (tmp_path / "rows.csv" / "x").mkdir(parents=True)
    with pytest.raises(ArtifactError, match="is a folder"):
        run(folder, model=model_path, options=PredictOptions(out=tmp_path / "rows.csv", force=True))


def test_a_missing_source_stops_before_any_work(tmp_path: Path, folder: Path, model_path: Path) -> None:
    """Nothing is written."""
    out = tmp_path / "rows.jsonl"
    with pytest.raises(SourceError, match=r"no\.jpg does not exist"):
        run(folder, tmp_path / "no.jpg", model=model_path, options=PredictOptions(out=out))
    assert not list(tmp_path.glob("rows*"))


def test_an_interrupted_run_leaves_a_partial_file(
    tmp_path: Path, folder: Path, model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file gets its name only when complete; the one it replaces stays until then."""
    out = tmp_path / "rows.jsonl"
    out.write_text("earlier")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mien.predict.image_rows.write_annotated_image", stop)
    options = PredictOptions(out=out, draw=tmp_path / "drawn", force=True)
    with pytest.raises(KeyboardInterrupt):
        run(folder, model=model_path, options=options)
    assert out.read_text() == "earlier"
    assert len((tmp_path / "rows.jsonl.partial").read_text(encoding="utf-8").splitlines()) == 2


@pytest.mark.parametrize(
    ("name", "is_terminal", "has_bar"),
    [(None, True, False), (None, False, True), ("rows.csv", True, True)],
)
def test_a_bar_does_not_break_the_table(
    folder: Path,
    model_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str | None,
    is_terminal: bool,
    has_bar: bool,
) -> None:
    """The rows on a terminal show the progress themselves."""

    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return is_terminal

    shown: list[str] = []

    class Bar(Progress):
        def __enter__(self) -> Self:
            shown.append(self.title)
            return super().__enter__()

    monkeypatch.setattr(stage, "MIN_IMAGES_FOR_PROGRESS", 1)
    monkeypatch.setattr(stage, "Progress", Bar)
    out = folder.parent / name if name else None
    run(folder, model=model_path, stream=Stream(), options=PredictOptions(out=out))
    assert shown == ["Predicting"] * has_bar


def test_predicting_needs_no_torch(folder: Path, model_path: Path) -> None:
    """Images are predicted and drawn without torch, matplotlib and pyarrow."""
    program = f"""
import sys
for name in ("torch", "timm", "lightning", "matplotlib", "pyarrow", "yaml"):
    sys.modules[name] = None
from pathlib import Path
from mien.predict.options import PredictOptions
from mien.predict.stage import run_predict
print(run_predict([Path({str(folder)!r})], Path({str(model_path)!r}), stream=sys.stdout,
    options=PredictOptions(crop="whole", draw=Path({str(folder.parent / "drawn")!r}))))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "2 faces in 3 images, 1 unreadable" in result.stdout
