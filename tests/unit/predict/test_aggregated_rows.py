"""`mien predict --aggregate`."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.cli import main
from mien.faces.detector import Detector
from mien.predict import stage

MakeImage = Callable[..., Path]
RATE = 10


@pytest.fixture(autouse=True)
def squares_are_faces(monkeypatch: pytest.MonkeyPatch, detector: Detector) -> None:
    """Detect colored squares as faces."""
    monkeypatch.setattr(stage, "load_detector", lambda path, min_face_px=0: detector)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds: a green square (Happy) in all of it, a blue one (Sad) in the second half."""
    av = pytest.importorskip("av")
    path = tmp_path_factory.mktemp("videos") / "talk.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "bgr0"
        for number in range(2 * RATE):
            frame: NDArray[np.uint8] = np.full((120, 160, 3), 100, np.uint8)
            frame[20:60, 10:50] = (0, 255, 0)
            if number >= RATE:
                frame[70:100, 110:140] = (0, 0, 255)
            for packet in stream.encode(
                av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="bgr0")
            ):
                container.mux(packet)
        container.mux(stream.encode())
    return path


def predict(*words: str | Path | int, model: Path) -> int:
    return main(["predict", "--model", str(model), *map(str, words)])


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_the_persons_of_a_video(suffix: str, video: Path, model_path: Path, tmp_path: Path) -> None:
    out = tmp_path / f"persons{suffix}"
    assert (
        predict(video, "--aggregate", "track", "--every", 1, "--no-smoothing", "--out", out, model=model_path)
        == 0
    )
    if suffix == ".csv":
        rows = [*csv.DictReader(out.read_text().splitlines())]
    elif suffix == ".jsonl":
        rows = [json.loads(line) for line in out.read_text().splitlines()]
    else:
        rows = pytest.importorskip("pyarrow.parquet").read_table(out).to_pylist()
    assert [(row["expression"], int(row["n_frames"]), float(row["start_seconds"])) for row in rows] == [
        ("Happy", 20, 0.0),
        ("Sad", 10, 1.0),
    ]
    assert {"p_Happy", "valence", "valence_sd", "eye_aspect_ratio_min", "mouth_aspect_ratio_max"} <= {
        *rows[0]
    }
    assert not {"second", "landmarks", "label_set", "change_valence"} & {*rows[0]}
    assert float(rows[1]["p_Sad"]) > 0.9
    assert not out.with_name(out.name + ".partial").exists()


def test_seconds_with_the_change_from_a_baseline(video: Path, model_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "seconds.csv"
    words = ("--aggregate", "second", "--baseline", "1", "--every", "1")
    assert predict(video, *words, "--out", out, model=model_path) == 0
    first, second = csv.DictReader(out.read_text().splitlines())
    assert (first["second"], first["n_faces"], first["change_p_Happy"]) == ("0", "10", "")
    # The second person's first second is all there is of them: only the first one has a change.
    assert (second["second"], second["n_frames"], second["n_faces"]) == ("1", "10", "20")
    assert float(second["change_p_Happy"]) == pytest.approx(0, abs=1e-6)


def test_images_in_parts(
    make_image: MakeImage, model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part holds rows: they are aggregated when they are copied."""
    monkeypatch.setattr("mien.predict.parts.PART_IMAGES", 2)
    images = [make_image(f"{i}.png", ("Happy", 10, 10, 40), ("Sad", 90, 10, 30)) for i in range(2)]
    images.append(make_image("2.png"))
    out = tmp_path / "files.csv"
    assert predict(*images, "--resume", "--aggregate", "file", "--out", out, model=model_path) == 0
    rows = [*csv.DictReader(out.read_text().splitlines())]
    assert [(row["n_frames"], row["n_faces"], row["status"]) for row in rows] == [("1", "2", "ok")] * 2 + [
        ("1", "0", "no_face")
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--aggregate", "second", "--out", "a.csv"], "videos and cameras, but 1 of the sources is an image"),
        (["--aggregate", "file"], "--aggregate file is for files of mien's own format: add --out"),
        (["--aggregate", "file", "--out", "a.csv", "--format", "openface"], "without --format"),
        (["--aggregate", "file", "--out", "a.csv", "--top", "1"], "leave out --top"),
        (
            ["--aggregate", "file", "--out", "a.csv", "--coverage", "0.9"],
            "no place for the sets of --coverage",
        ),
    ],
)
def test_what_aggregated_rows_require(
    words: list[str],
    message: str,
    make_image: MakeImage,
    model_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    image = make_image("a.png", ("Happy", 10, 10, 40))
    monkeypatch.chdir(image.parent)
    assert predict(image, *words, model=model_path) == 1
    assert message in capsys.readouterr().err
    assert not Path("a.csv").exists()
    with pytest.raises(SystemExit) as stopped:
        predict("a.png", "--aggregate", "minute", model=model_path)
    assert stopped.value.code == 2
    assert "must be file, track, second, or track,second; got 'minute'" in capsys.readouterr().err
