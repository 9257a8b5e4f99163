"""Predictions as tables of Arrow and detections of supervision."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mien
from mien.errors import MienError
from mien.faces.detector import Detector
from mien.formats.onnx_model import OnnxModel
from mien.inference.interop import to_arrow, to_supervision
from mien.inference.pipeline import predict_files
from mien.inference.results import FacePrediction, ImagePrediction

BOX = np.array([1.0, 2.0, 31.0, 42.0])


def face(**changes: Any) -> FacePrediction:
    values: dict[str, Any] = {
        "face": 0,
        "box_xyxy": BOX,
        "score": 0.9,
        "expression": "Happy",
        "confidence": 0.75,
        "probabilities": {"Neutral": 0.25, "Happy": 0.75},
    }
    return FacePrediction("a.jpg", **{**values, **changes})


def test_arrow_has_the_columns_of_a_parquet_file(
    model_path: Path, detector: Detector, make_image: Callable[..., Path], tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    from mien.predict.prediction_files import ParquetWriter

    image = make_image("two.png", ("Happy", 10, 10, 40), ("Sad", 100, 20, 50))
    (tmp_path / "none.png").write_bytes(b"no image")
    model = OnnxModel.load(model_path, threads=1)
    predictions = list(predict_files([tmp_path / "none.png", image], model, detector=detector))
    table = to_arrow(predictions)
    with (tmp_path / "rows.parquet").open("wb") as file:
        writer = ParquetWriter(file, model.info.classes)
        for prediction in predictions:
            for row in prediction.rows:
                writer.write(row)
        writer.close()
    expected = parquet.read_table(tmp_path / "rows.parquet")
    assert table.num_rows == 3
    assert table.equals(expected)
    assert table.column_names == list(mien.to_pandas(predictions).columns)
    assert mien.to_pandas([]).columns[:3].tolist() == ["source", "frame", "seconds"]
    assert predictions[1].to_arrow().num_rows == 2
    assert mien.to_arrow is to_arrow


def test_arrow_of_nothing_and_of_names_that_are_no_text() -> None:
    pytest.importorskip("pyarrow")
    assert to_arrow([]).num_rows == 0
    table = ImagePrediction("x\udcff", (FacePrediction("x\udcff", status="no_face"),)).to_arrow()
    assert table["source"].to_pylist() == ["x\\udcff"]


def test_without_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    prediction = ImagePrediction("a.jpg", (face(),))
    with pytest.raises(MienError, match="`to_supervision` needs supervision: pip install supervision"):
        prediction.to_supervision()
    with pytest.raises(MienError, match=r"`to_arrow` needs pyarrow: pip install 'mien\[data\]'"):
        prediction.to_arrow()


class Detections:
    """What supervision's class of this name takes, for where it is not installed."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    @classmethod
    def empty(cls) -> "Detections":
        """Return no detections."""
        return cls(xyxy=np.empty((0, 4)))


@pytest.fixture(params=["real", "stand-in"])
def supervision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The package itself, and a stand-in for its one class."""
    if request.param == "real":
        return pytest.importorskip("supervision", reason="supervision is not installed")
    module = type(sys)("supervision")
    module.Detections = Detections  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "supervision", module)
    return module


def test_faces_are_detections(supervision: Any) -> None:
    points = np.arange(136, dtype=float).reshape(68, 2)
    rows = (
        face(track=4, landmarks=points, valence=0.5, arousal=-0.25),
        face(expression="unsure", track=2, score=None, landmarks=points, valence=0.0, arousal=0.0),
    )
    found = to_supervision(ImagePrediction("a.jpg", rows))
    assert isinstance(found, supervision.Detections)
    assert found.xyxy.tolist() == [BOX.tolist()] * 2
    assert found.class_id.tolist() == [1, -1]
    assert found.confidence.tolist() == [0.75, 0.75]
    assert found.tracker_id.tolist() == [4, 2]
    assert found.data["class_name"].tolist() == ["Happy", "unsure"]
    assert found.data["probabilities"].tolist() == [[0.25, 0.75]] * 2
    assert found.data["landmarks"].shape == (2, 68, 2)
    assert found.data["valence"].tolist() == [0.5, 0.0]
    assert np.isnan(found.data["score"][1])
    assert ImagePrediction("a.jpg", (face(),)).to_supervision().tracker_id is None


def test_an_image_without_a_face_is_empty(supervision: Any) -> None:
    assert (
        len(to_supervision(ImagePrediction("a.jpg", (FacePrediction("a.jpg", status="no_face"),))).xyxy) == 0
    )


def test_indices_are_not_guessed(supervision: Any) -> None:
    top = face(probabilities={"Happy": 0.75})
    with pytest.raises(ValueError, match="load the model without `top`"):
        to_supervision(ImagePrediction("a.jpg", (top,)))
    with pytest.raises(ValueError, match="a cropped face has none"):
        to_supervision(ImagePrediction("a.jpg", (face(box_xyxy=None),)))
