"""`mien predict --baseline`."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mien.cli import main
from mien.faces.detector import Detector
from mien.predict import stage

MakeImage = Callable[..., Path]


@pytest.fixture(autouse=True)
def squares_are_faces(monkeypatch: pytest.MonkeyPatch, detector: Detector) -> None:
    """Detect colored squares as faces."""
    monkeypatch.setattr(stage, "load_detector", lambda path, min_face_px=0: detector)


def predict(*words: str | Path, model: Path) -> int:
    return main(["predict", "--model", str(model), *map(str, words)])


def test_a_neutral_image_is_subtracted(make_image: MakeImage, model_path: Path, tmp_path: Path) -> None:
    """In CSV the columns follow all others; in JSON Lines they are an object."""
    happy = make_image("happy.png", ("Happy", 10, 10, 40))
    empty = make_image("empty.png")
    neutral = make_image("neutral.png", ("Neutral", 30, 10, 40))
    plain, flat, lines = (tmp_path / name for name in ("plain.csv", "rows.csv", "rows.jsonl"))
    assert predict(neutral, happy, "--out", plain, model=model_path) == 0
    assert predict(happy, empty, "--baseline", neutral, "--out", flat, model=model_path) == 0
    assert predict(happy, "--baseline", neutral, "--out", lines, model=model_path) == 0
    at_rest, other = csv.DictReader(plain.read_text().splitlines())
    row, without_face = csv.DictReader(flat.read_text().splitlines())
    changes = {name: value for name, value in row.items() if name.startswith("change_")}
    assert [*row][-len(changes) :] == [*changes]
    assert set(changes) >= {"change_p_Happy", "change_valence", "change_arousal", "change_eye_aspect_ratio"}
    # The tiny model's eyes have no width, so that their ratio is not defined.
    assert changes.pop("change_eye_aspect_ratio") == other["eye_aspect_ratio"] == ""
    for name, value in changes.items():
        measure = name.removeprefix("change_")
        assert float(value) == pytest.approx(float(other[measure]) - float(at_rest[measure]), abs=3e-6), name
    assert float(changes["change_p_Happy"]) > 0.9
    assert not any(without_face[name] for name in changes)
    change: dict[str, Any] = json.loads(lines.read_text())["change"]
    assert {f"change_{name}": str(value) for name, value in change.items()} == changes


def test_images_without_a_face_are_no_part_of_the_baseline(
    make_image: MakeImage, model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    face = make_image("face.png", ("Happy", 10, 10, 40))
    folder = tmp_path / "neutral"
    folder.mkdir()
    (folder / "a.png").write_bytes(face.read_bytes())
    (folder / "b.png").write_bytes(make_image("empty.png").read_bytes())
    (folder / "c.png").write_bytes(b"")
    assert predict(face, "--baseline", folder, "--out", tmp_path / "a.csv", model=model_path) == 0
    message = capsys.readouterr().err
    assert "the mean of 1 images or frames, without 1 empty_file, 1 no_face" in message


def test_the_first_seconds_of_a_video(
    model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video, out = tmp_path / "a.avi", tmp_path / "rows.csv"
    writer = cv2.VideoWriter(str(video), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), 30, (160, 120))
    if not writer.isOpened():
        pytest.skip("this OpenCV cannot write lossless video")
    for index in range(30):
        frame = np.full((120, 160, 3), 100, np.uint8)
        frame[40:90, 40:90] = (0, 0, 255) if index < 15 else (0, 255, 0)  # BGR
        writer.write(frame)
    writer.release()
    assert (
        predict(video, "--baseline", "0.5", "--no-smoothing", "--every", 1, "--out", out, model=model_path)
        == 0
    )
    changes = [row["change_p_Happy"] for row in csv.DictReader(out.read_text().splitlines())]
    assert changes[:15] == [""] * 15
    assert np.allclose(np.array(changes[15:], dtype=float), 1, atol=0.01)
    # A part of the video is compared with all of its baseline, and nothing with a baseline of the whole video.
    words = (video, "--from", "0.9", "--baseline", video, "--out", out, "--force")
    assert predict(*words, "--no-smoothing", "--every", 1, model=model_path) == 0
    changes = [row["change_p_Happy"] for row in csv.DictReader(out.read_text().splitlines())]
    assert np.allclose(np.array(changes, dtype=float), 0.5, atol=0.01)
    assert "No face has a change" not in capsys.readouterr().err
    assert predict(video, "--baseline", "5", "--out", out, "--force", model=model_path) == 0
    assert "No face has a change: each of the 1 tracks ends within its first 5 s" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--baseline", "2", "--out", "rows.csv"], "2 is a number of seconds, but an image has none"),
        (["--baseline", "a.png"], "add --out"),
        (["--baseline", "a.png", "--out", "rows.csv", "--format", "openface"], "without --format"),
        (["--baseline", "a.png", "--out", "rows.csv", "--top", "1"], "leave out --top"),
        (["--baseline", "no.png", "--out", "rows.csv"], "no.png does not exist"),
        (["--baseline", "empty.png", "--out", "rows.csv"], "empty.png: no face is found"),
    ],
)
def test_what_a_baseline_requires(
    words: list[str],
    message: str,
    make_image: MakeImage,
    model_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    image = make_image("a.png", ("Happy", 10, 10, 40))
    make_image("empty.png")
    monkeypatch.chdir(image.parent)
    assert predict("a.png", *words, model=model_path) == 1
    assert message in capsys.readouterr().err
    assert not Path("rows.csv").exists()
