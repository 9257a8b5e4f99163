"""Files in the layouts of other programs, as their readers see them."""

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mien.cli import main
from mien.faces.action_units import ActionUnits
from mien.inference.results import FacePrediction
from mien.predict.peer_formats import LabelStudioWriter, OpenFaceWriter, PyFeatWriter
from mien.predict.prediction_files import RowWriter

POINTS = np.arange(136, dtype=np.float64).reshape(68, 2) / 4
BOX = np.array([10.0, 20.0, 50.0, 80.0])


def face(**values: Any) -> FacePrediction:
    known: dict[str, Any] = {
        "source": "a.mp4",
        "frame": 4,
        "seconds": 0.16,
        "face": 0,
        "track": 3,
        "score": 0.9,
        "box_xyxy": BOX,
        "expression": "Happy",
        "confidence": 0.75,
        "landmarks": POINTS,
        "probabilities": {"Happy": 0.75, "Contempt": 0.25},
        "valence": 0.5,
        "arousal": -0.25,
    }
    return FacePrediction(**(known | values))


def write(kind: type, rows: Sequence[FacePrediction], units: ActionUnits | None = None) -> str:
    stream = io.StringIO()
    annotations = {} if units is None else {"action_units": units}
    writer: RowWriter = kind(stream, ("Happy", "Contempt"), annotations)
    for row in rows:
        writer.write(row, (100, 200))
    if hasattr(writer, "close"):
        writer.close()
    return stream.getvalue()


def test_openface() -> None:
    """The names and conventions of OpenFace's wiki: frames from 1, all x before all y, zeros without a face."""
    rows = [
        face(action_units={"AU06": 3.456, "AU12": 1.0}),
        face(frame=5, seconds=0.2, score=None, action_units={"AU06": 0.0, "AU12": 2.0}),
        FacePrediction("a.mp4", frame=6, seconds=0.24, status="no_face"),
        FacePrediction("a.mp4", frame=7, seconds=0.28, status="truncated_video"),
    ]
    units = ActionUnits(names=("AU06", "AU12"), kind="intensity")
    table = pd.read_csv(io.StringIO(write(OpenFaceWriter, rows, units)))
    assert list(table.columns[:7]) == ["frame", "face_id", "timestamp", "confidence", "success", "x_0", "x_1"]
    assert table["frame"].tolist() == [5, 6, 7]
    assert table["success"].tolist() == [1, 1, 0]
    assert table["confidence"].tolist() == [0.9, 0.9, 0]
    assert table["face_id"].tolist()[:2] == [3, 3]
    assert table["timestamp"].tolist() == [0.16, 0.2, 0.24]
    points = table.loc[0, [f"{axis}_{index}" for axis in "xy" for index in range(68)]]
    assert np.allclose(points.to_numpy(dtype=float).reshape(2, 68).T, POINTS, atol=0.01)
    assert table[["AU06_r", "AU12_r", "AU06_c", "AU12_c"]].to_numpy()[:2].tolist() == [
        [3.46, 1, 1, 0],
        [0, 2, 0, 1],
    ]


def test_py_feat() -> None:
    """The columns that its `read_feat` selects; without its valence and arousal, by which it tells its detectors apart."""
    rows = [face(), FacePrediction("a.mp4", frame=5, seconds=61.0, status="no_face")]
    table = pd.read_csv(io.StringIO(write(PyFeatWriter, rows)))
    boxes = table[["FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight", "FaceScore"]]
    assert boxes.to_numpy()[0].tolist() == [10, 20, 40, 60, 0.9]
    assert boxes.iloc[1].isna().all()
    emotions = table[["anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral", "contempt"]]
    assert emotions.iloc[0].dropna().to_dict() == {"happiness": 0.75, "contempt": 0.25}
    assert table[["FrameHeight", "FrameWidth", "frame", "approx_time"]].to_numpy().tolist() == [
        [200, 100, 4, "00:00"],
        [200, 100, 5, "01:01"],
    ]
    assert not {"valence", "arousal"} & set(table.columns)
    assert table["y_67"].tolist()[0] == POINTS[67, 1]


def test_label_studio() -> None:
    """A task per image; boxes in percent of the image, inside of it."""
    rows = [
        face(source="a.jpg", frame=None),
        face(source="a.jpg", frame=None, face=1, box_xyxy=np.array([-10, 0, 50, 250.0])),
        FacePrediction("b.jpg", status="no_face"),
        FacePrediction("c.jpg", status="truncated_image"),
    ]
    tasks = json.loads(write(LabelStudioWriter, rows))
    assert [task["data"]["image"] for task in tasks] == ["a.jpg", "b.jpg"]
    first, second = tasks[0]["predictions"][0]["result"]
    assert first["value"] == {
        "x": 10,
        "y": 10,
        "width": 40,
        "height": 30,
        "rotation": 0,
        "rectanglelabels": ["Happy"],
    }
    assert (first["original_width"], first["original_height"], first["score"]) == (100, 200, 0.75)
    assert (second["value"]["x"], second["value"]["width"], second["value"]["height"]) == (0, 50, 100)
    assert tasks[1]["predictions"][0]["result"] == []


def test_no_image_at_all_is_a_valid_file() -> None:
    assert json.loads(write(LabelStudioWriter, [])) == []


@pytest.mark.parametrize(
    ("layout", "name", "error"),
    [
        ("label-studio", "rows.json", None),
        ("openface", "rows.csv", None),
        ("openface", "rows.parquet", "must end in .csv"),
    ],
)
def test_the_option(  # noqa: PLR0917 - fixtures
    layout: str,
    name: str,
    error: str | None,
    make_image: Callable[..., Path],
    model_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    image, out = make_image("a.png", ("Happy", 0, 0, 100)), tmp_path / name
    words = ["predict", str(image), "--crop", "whole", "--model", str(model_path)]
    assert main([*words, "--format", layout, "--out", str(out)]) == (0 if error is None else 1)
    assert out.exists() == (error is None)
    assert error is None or error in capsys.readouterr().err
    assert main([*words, "--format", layout]) == 1
    assert "add --out" in capsys.readouterr().err
