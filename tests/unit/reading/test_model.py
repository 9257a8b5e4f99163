"""The Python interface: load, predict, readings that print, convert and draw."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import mien
from mien.errors import ArtifactError, ModelError
from mien.faces.detector import Detector
from mien.faces.images import decode_image
from mien.reading import model as model_module
from mien.reading.model import Model

MakePicture = Callable[..., Path]


@pytest.fixture
def model(model_path: Path, detector: Detector) -> Model:
    """Return the tiny model with the detector of colored squares."""
    loaded = mien.load(model_path)
    return Model(loaded.bundle, rule=loaded.rule, detector=detector)


@pytest.fixture
def picture(make_picture: MakePicture) -> Path:
    """Return a picture of two faces."""
    return make_picture("a.png", ("Happy", 10, 10, 40), ("Sad", 80, 20, 80))


def test_a_path_a_files_bytes_and_pixels_are_read_alike(model: Model, picture: Path) -> None:
    readings = [
        model.predict(picture),
        model.predict(str(picture)),
        model.predict(picture.read_bytes()),
        model.predict(decode_image(picture.read_bytes())),
    ]
    rows = [[face.to_dict() | {"source": ""} for face in reading] for reading in readings]
    assert all(row == rows[0] for row in rows)
    assert [face["expression"] for face in rows[0]] == ["Sad", "Happy"]
    assert [reading.source for reading in readings] == [str(picture), str(picture), "", ""]


def test_a_list_is_read_in_order(model: Model, picture: Path, make_picture: MakePicture) -> None:
    empty = make_picture("empty.png")
    readings = model.predict([picture, empty, b"no picture", picture] * 20)
    assert [len(reading) for reading in readings[:4]] == [2, 0, 0, 2]
    assert [reading.rows[0].status for reading in readings[:4]] == ["ok", "no_face", "not_an_image", "ok"]
    assert len(readings) == 80


def test_threads_share_one_detector_that_is_loaded_once(
    model_path: Path, detector: Detector, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Detector] = []

    def load_slowly(**_: object) -> Detector:
        time.sleep(0.05)
        loaded.append(detector)
        return detector

    monkeypatch.setattr(model_module, "load_detector", load_slowly)
    model = mien.load(model_path)
    with ThreadPoolExecutor(8) as pool:
        readings = list(pool.map(model.predict, [picture] * 8))
    assert [len(reading) for reading in readings] == [2] * 8
    assert len(loaded) == 1


def test_an_unreadable_picture_is_a_reading(model: Model, tmp_path: Path) -> None:
    reading = model.predict(tmp_path / "no.jpg")
    assert reading.rows[0].status == "missing_file"
    assert reading
    assert not list(reading)
    with pytest.raises(ValueError, match="nothing can be drawn"):
        reading.draw()


@pytest.mark.parametrize(
    "wrong", [3, None, np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_picture(model: Model, wrong: object) -> None:
    with pytest.raises(TypeError, match="must be"):
        model.predict(wrong)  # type: ignore[call-overload]


def test_a_whole_picture_is_a_face(model: Model, picture: Path) -> None:
    (face,) = model.predict(picture, whole=True)
    assert face.score is None
    assert face.box_xyxy is not None
    assert face.box_xyxy.tolist() == [0, 0, 200, 120]


def test_readings_print_convert_and_draw(model: Model, picture: Path) -> None:
    reading = model.predict(picture)
    assert str(reading[1]).startswith("Happy ")
    assert str(reading).count("\n") == 1
    values = json.loads(json.dumps(reading.to_dict(), allow_nan=False))
    assert values["rows"][0]["box_xyxy"] == [80, 20, 160, 100]
    arrays = reading[0].to_numpy()
    assert {name: array.shape for name, array in arrays.items()} == {
        "box_xyxy": (4,),
        "probabilities": (3,),
        "landmarks": (68, 2),
        "valence_arousal": (2,),
    }
    drawn = reading.draw()
    assert drawn.dtype == np.uint8
    assert drawn.shape[1] > 200


def test_the_rule_is_used(model_path: Path, detector: Detector, picture: Path) -> None:
    loaded = mien.load(model_path, min_confidence=1.0, top=1)
    reading = Model(loaded.bundle, rule=loaded.rule, detector=detector).predict(picture)
    assert [face.expression for face in reading] == ["unsure", "unsure"]
    assert [len(face.probabilities or {}) for face in reading] == [1, 1]


def test_classes_that_the_model_lacks_are_told_when_it_is_loaded(model_path: Path) -> None:
    with pytest.raises(ModelError, match="does not know Surprise"):
        mien.load(model_path, classes=7)


def test_a_model_that_does_not_exist_names_those_in_the_box() -> None:
    with pytest.raises(ArtifactError, match=r"Model nothing does not exist.* In the box: .*mien export"):
        mien.load("nothing")


def test_an_unknown_name_of_the_package() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        mien.nothing  # noqa: B018


def test_importing_mien_loads_nothing_heavy() -> None:
    program = "import mien, sys; print([n for n in ('numpy', 'cv2', 'onnxruntime') if n in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
