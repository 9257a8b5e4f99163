"""Timing the inference pipeline."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mien.bench.options import BenchOptions
from mien.bench.stage import DRAWN_IMAGE, bench, read_image
from mien.cli import main
from mien.errors import ArtifactError, MienError, SourceError
from mien.faces.detector import CascadeDetector, DetectedFace


class Recorder:
    """A detector that returns fixed faces and records its calls."""

    def __init__(self, faces: list[DetectedFace]) -> None:
        self.faces = faces
        self.shapes: list[tuple[int, ...]] = []
        self.threads: set[int] = set()

    def find_faces(self, image_rgb: NDArray[np.uint8]) -> list[DetectedFace]:
        """Return the fixed faces."""
        self.shapes.append(image_rgb.shape)
        self.threads.add(cv2.getNumThreads())
        return self.faces


FACE = DetectedFace(np.array([10.0, 10, 50, 50]), 0.9, None)


def test_every_step_is_timed(model_path: Path) -> None:
    """Detect, crop, and infer at three batch sizes, together with the setup."""
    detector = Recorder([FACE])
    report = bench(model_path, detector, BenchOptions(rounds=4))
    steps = [(timing.step, timing.batch_size) for timing in report.timings]
    assert steps == [("detect", 1), ("crop", 1), ("infer", 1), ("infer", 8), ("infer", 32)]
    assert all(0 < timing.median_ms <= timing.p95_ms for timing in report.timings)
    # once to find the face, three warm-ups, four timed calls
    assert detector.shapes == [(480, 640, 3)] * 8
    assert (report.image, report.image_wh, report.n_found) == (None, (640, 480), 1)
    assert report.image_ms == pytest.approx(sum(timing.median_ms for timing in report.timings[:3]))
    text = str(report)
    assert f"colors.onnx: {model_path.stat().st_size / 1e6:.2f} MB, input 32 px" in text
    assert "bundled drawing, 640 x 480, faces found: 1\n" in text
    assert len([line for line in text.splitlines() if line.startswith("infer ")]) == 3


def test_photo_without_a_face(model_path: Path, tmp_path: Path) -> None:
    """Its center is cropped, and the report says so."""
    photo = tmp_path / "wall.png"
    Image.new("RGB", (90, 60), (10, 20, 30)).save(photo)
    report = bench(model_path, Recorder([]), BenchOptions(photo=photo, rounds=1))
    assert (report.image, report.image_wh, report.n_found) == ("wall.png", (90, 60), 0)
    assert "wall.png, 90 x 60, faces found: 0, so its center is cropped" in str(report)


def test_threads_apply_to_opencv_and_are_restored(model_path: Path) -> None:
    """The detector runs with the requested threads; afterwards the process has its previous number again."""
    before = cv2.getNumThreads()
    detector = Recorder([FACE])
    report = bench(model_path, detector, BenchOptions(threads=before + 1, rounds=1))
    assert detector.threads == {before + 1}
    assert report.threads == before + 1
    assert cv2.getNumThreads() == before


def test_drawn_image_has_one_face() -> None:
    """OpenCV's own detector finds exactly one."""
    assert len(CascadeDetector().find_faces(read_image(DRAWN_IMAGE))) == 1


def test_report_as_json(model_path: Path, tmp_path: Path) -> None:
    """The file contains what is printed, and is replaced only with force."""
    out = tmp_path / "bench.json"
    report = bench(model_path, Recorder([FACE]), BenchOptions(rounds=1), out=out)
    written = json.loads(out.read_text())
    assert written["timings"][4]["batch_size"] == 32
    assert written["timings"][4]["median_ms"] == report.timings[4].median_ms
    assert written["detector"] == "cascade"
    assert written["image_ms"] == report.image_ms
    with pytest.raises(ArtifactError, match="--force"):
        bench(model_path, Recorder([FACE]), BenchOptions(rounds=1), out=out)
    again = bench(model_path, Recorder([FACE]), BenchOptions(rounds=2), out=out, force=True)
    assert json.loads(out.read_text())["rounds"] == again.rounds == 2


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(None, "there is no file", id="missing"),
        pytest.param(b"not an image", r"cannot be read: .*--photo", id="not an image"),
    ],
)
def test_unreadable_photo(model_path: Path, tmp_path: Path, content: bytes | None, expected: str) -> None:
    """The error is one line."""
    photo = tmp_path / "photo.jpg"
    if content is not None:
        photo.write_bytes(content)
    with pytest.raises(SourceError, match=expected) as caught:
        bench(model_path, Recorder([FACE]), BenchOptions(photo=photo, rounds=1))
    assert "\n" not in str(caught.value)


def test_command(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The options reach the stage, and the table is printed."""
    monkeypatch.setattr("mien.faces.detector.load_detector", lambda: Recorder([FACE]))
    argv = [
        "bench",
        "--model",
        str(model_path),
        "--rounds",
        "2",
        "--threads",
        "1",
        "--out",
        str(tmp_path / "b.json"),
    ]
    assert main(argv) == 0
    printed = capsys.readouterr().out
    assert "threads: 1" in printed
    assert "2 calls of each step" in printed
    assert json.loads((tmp_path / "b.json").read_text())["threads"] == 1


def test_unknown_model_is_reported(tmp_path: Path) -> None:
    """As for every command."""
    with pytest.raises(MienError, match="does not exist"):
        bench(tmp_path / "none.onnx", Recorder([FACE]))
