"""`--faces`: boxes and landmarks from a list instead of a detector."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.cli import main
from mien.errors import ArtifactError, SourceError
from mien.inference.model import load
from mien.predict.face_list import read_faces
from mien.predict.options import PredictOptions
from mien.predict.stage import run_predict

MakeImage = Callable[..., Path]
POINTS = [[30, 20], [50, 20], [40, 30], [32, 40], [48, 40]]


@pytest.fixture
def listed(tmp_path: Path) -> Callable[[str], Path]:
    """Write a list."""

    def write(text: str) -> Path:
        (tmp_path / "faces.csv").write_text(text, encoding="utf-8")
        return tmp_path / "faces.csv"

    return write


@pytest.fixture(autouse=True)
def squares_are_faces(monkeypatch: pytest.MonkeyPatch, detector: Any) -> None:
    """Detect the squares of the test images."""
    monkeypatch.setattr("mien.predict.stage.load_detector", lambda path, min_face_px=0: detector)


def test_a_prediction_file_and_boxes_of_other_tools_are_read(
    tmp_path: Path, listed: Callable[[str], Path]
) -> None:
    """Paths are relative to the list or the working folder; the order of an image's faces is that of its rows."""
    names = [str(tmp_path / name) for name in ("a.png", "b.png", "c.png")]
    path = listed(
        f"source,box_x0,box_y0,box_x1,box_y1,score\na.png,1,2,30,40,0.9\n{names[0]},5,6,7,8,\nb.png,,,,,\nx.png,1,2,3,4,\n"
    )
    faces, n_others = read_faces(path, names)
    assert {Path(name).name: len(given) for name, given in faces.items()} == {"a.png": 2, "b.png": 0}
    assert n_others == 1
    image = np.zeros((60, 100, 3), np.uint8)
    assert [face.box_xyxy.tolist() for face in faces[names[0]].find_faces(image)] == [
        [1, 2, 30, 40],
        [5, 6, 7, 8],
    ]
    faces, _ = read_faces(listed("Path,x,y,w,h\na.png,1,2,30,40\n"), names)
    assert faces[names[0]].find_faces(image)[0].box_xyxy.tolist() == [1, 2, 31, 42]
    for delimiter in ";\t":  # as Excel writes a list in some countries, and as it pastes one
        text = "path,x,y,w,h\na.png,1,2,30,40\n".replace(",", delimiter)
        faces, _ = read_faces(listed(text), names)
        assert faces[names[0]].find_faces(image)[0].box_xyxy.tolist() == [1, 2, 31, 42]


def test_landmarks_are_enough_and_may_be_missing(tmp_path: Path, listed: Callable[[str], Path]) -> None:
    """Of five points or 68; a row without them has only its box."""
    text = ";".join(f"{value}" for point in POINTS for value in point)
    path = listed(f"path,landmarks,left,top,right,bottom\na.png,{text},,,,\na.png,,1,2,30,40\n")
    faces, _ = read_faces(path, [str(tmp_path / "a.png")])
    with_points, without = faces[str(tmp_path / "a.png")].find_faces(np.zeros((60, 100, 3), np.uint8))
    np.testing.assert_array_equal(with_points.points, POINTS)
    assert with_points.box_xyxy.tolist() == pytest.approx([18, 12, 62, 56])
    assert without.points is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,size\na.png,3\n", "must have one column `source` or `path`, and"),
        ("path,file,x,y,w,h\na.png,a.png,1,2,3,4\n", "one column `source` or `path`"),
        ("path,x,y,w,h,x1,y1,x2,y2\na.png,1,2,3,4,1,2,3,4\n", "Rename or remove"),
        (
            "path,x1,y1,x2,y2\na.png,5,5,3,8\n",
            r"row 1 .* must be four numbers, xyxy, with an area; got 5, 5, 3, 8",
        ),
        ("path,x,y,w,h\na.png,5,5,3,8\na.png,5,five,3,8\n", "row 2 .* got 5, five"),
        ("path,x,y,w,h\na.png,5,5\n", "row 1 .* 3 columns"),
        ("path,x,y,w,h,x\na.png,1,2,3,4,5\n", "more than one column 'x'"),
        ("path,landmarks\na.png,1;2;3\n", "row 1 .* 136 or 10 numbers"),
        ("path,x,y,w,h\nelsewhere/a.png,5,5,3,8\n", "names none of the 1 images"),
    ],
)
def test_what_is_not_understood_is_refused(
    tmp_path: Path, listed: Callable[[str], Path], text: str, message: str
) -> None:
    """With the row."""
    with pytest.raises(SourceError, match=message):
        read_faces(listed(text), [str(tmp_path / "a.png")])


def run(model_path: Path, sources: list[Path], **options: Any) -> list[dict[str, str]]:
    """Predict to CSV and return its rows."""
    out = sources[0].parent / "rows.csv"
    run_predict(
        sources, model_path, options=PredictOptions(out=out, force=True, **options), stream=io.StringIO()
    )
    with out.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("workers", [None, 1], ids=["here", "in a worker"])
def test_faces_of_a_list_are_predicted_as_in_python(
    model_path: Path,
    make_image: MakeImage,
    listed: Callable[[str], Path],
    caplog: pytest.LogCaptureFixture,
    workers: int | None,
) -> None:
    """What is not listed has no face, and a box outside the image is the problem of its image."""
    paths = [
        make_image(name, ("Happy", 10, 10, 60), ("Sad", 80, 20, 80)) for name in ("a.png", "b.png", "c.png")
    ]
    path = listed("path,x0,y0,x1,y1\na.png,80,20,160,100\na.png,10,10,70,70\nb.png,5000,10,5060,70\n")
    rows = run(model_path, paths, faces=path, workers=workers)
    assert [(Path(row["source"]).name, row["status"], row["expression"]) for row in rows] == [
        ("a.png", "ok", "Sad"),
        ("a.png", "ok", "Happy"),
        ("b.png", "face_outside_image", ""),
        ("c.png", "no_face", ""),
    ]
    assert "outside the image" in rows[2]["detail"]
    assert "no row for 1 of 3 images" in caplog.text
    expected = load(model_path).predict(paths[0], boxes_xyxy=[[80, 20, 160, 100], [10, 10, 70, 70]])
    assert [float(row["confidence"]) for row in rows[:2]] == pytest.approx(
        [face.confidence for face in expected], abs=1e-6
    )


def test_the_list_does_not_go_with_whole_images_or_videos(
    model_path: Path, make_image: MakeImage, listed: Callable[[str], Path], tmp_path: Path
) -> None:
    """Both say where the face is."""
    image = make_image("a.png")
    path = listed("path,x,y,w,h\na.png,5,5,30,80\n")
    with pytest.raises(ArtifactError, match="--crop whole both say"):
        run(model_path, [image], faces=path, crop="whole")
    with pytest.raises(ArtifactError, match="leave it out with --faces"):
        run(model_path, [image], faces=path, min_face_px=30)
    (tmp_path / "talk.mp4").write_bytes(b"")
    with pytest.raises(ArtifactError, match="--faces is for image files"):
        run(model_path, [image, tmp_path / "talk.mp4"], faces=path)


@pytest.mark.parametrize("mark", [";".join(["-1"] * 136), ";".join(["-2.0"] * 136), "nan", "N/A"])
def test_marks_of_missing_landmarks_are_no_landmarks(
    tmp_path: Path, listed: Callable[[str], Path], mark: str
) -> None:
    """As AffectNet writes them, for instance: `prepare` reads them so, too."""
    faces, _ = read_faces(
        listed(f"path,landmarks,x,y,w,h\na.png,{mark},5,5,30,30\n"), [str(tmp_path / "a.png")]
    )
    assert faces[str(tmp_path / "a.png")].find_faces(np.zeros((60, 100, 3), np.uint8))[0].points is None


def test_a_detector_does_not_go_with_whole_images(
    model_path: Path, make_image: MakeImage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`predict`, `teach` and `explain` would not use the file that was named."""
    image, detector = (
        str(make_image("a.png")),
        ["--detector", str(tmp_path / "yunet.onnx"), "--crop", "whole"],
    )
    for words in (
        ["predict", image],
        ["explain", image, "--out", str(tmp_path / "explained")],
        ["teach", str(tmp_path), "--out", str(tmp_path / "mine.onnx")],
    ):
        assert main([*words, "--model", str(model_path), *detector]) == 1
        assert "leave it out with --crop whole" in capsys.readouterr().err
