"""The Python interface: load, predict, and predictions that print, convert and draw."""

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
from mien.inference import model as model_module
from mien.inference.model import Model

MakeImage = Callable[..., Path]


@pytest.fixture
def model(model_path: Path, detector: Detector) -> Model:
    """Return the tiny model with the detector of colored squares."""
    loaded = mien.load(model_path)
    return Model(loaded.onnx_model, rule=loaded.rule, detector=detector)


@pytest.fixture
def image(make_image: MakeImage) -> Path:
    """Return an image of two faces."""
    return make_image("a.png", ("Happy", 10, 10, 40), ("Sad", 80, 20, 80))


def test_a_path_bytes_and_pixels_give_the_same_prediction(model: Model, image: Path) -> None:
    predictions = [
        model.predict(image),
        model.predict(str(image)),
        model.predict(image.read_bytes()),
        model.predict(decode_image(image.read_bytes())),
    ]
    rows = [[face.to_dict() | {"source": ""} for face in prediction] for prediction in predictions]
    assert all(row == rows[0] for row in rows)
    assert [face["expression"] for face in rows[0]] == ["Sad", "Happy"]
    assert [prediction.source for prediction in predictions] == [str(image), str(image), "", ""]


def test_a_list_is_predicted_in_order(model: Model, image: Path, make_image: MakeImage) -> None:
    empty = make_image("empty.png")
    predictions = model.predict([image, empty, b"no image", image] * 20)
    assert [len(prediction) for prediction in predictions[:4]] == [2, 0, 0, 2]
    assert [prediction.rows[0].status for prediction in predictions[:4]] == [
        "ok",
        "no_face",
        "not_an_image",
        "ok",
    ]
    assert len(predictions) == 80


def test_threads_share_one_detector_that_is_loaded_once(
    model_path: Path, detector: Detector, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Detector] = []

    def load_slowly(**_: object) -> Detector:
        time.sleep(0.05)
        loaded.append(detector)
        return detector

    monkeypatch.setattr(model_module, "load_detector", load_slowly)
    model = mien.load(model_path)
    with ThreadPoolExecutor(8) as pool:
        predictions = list(pool.map(model.predict, [image] * 8))
    assert [len(prediction) for prediction in predictions] == [2] * 8
    assert len(loaded) == 1


def test_an_unreadable_image_has_a_prediction(model: Model, tmp_path: Path) -> None:
    prediction = model.predict(tmp_path / "no.jpg")
    assert prediction.rows[0].status == "missing_file"
    assert prediction
    assert not list(prediction)
    with pytest.raises(ValueError, match="nothing can be drawn"):
        prediction.draw()


@pytest.mark.parametrize(
    "wrong", [3, None, np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_invalid_images_are_rejected(model: Model, wrong: object) -> None:
    with pytest.raises(TypeError, match="must be"):
        model.predict(wrong)  # type: ignore[call-overload]


def test_a_cropped_image_is_one_face(model: Model, image: Path) -> None:
    (face,) = model.predict(image, cropped=True)
    assert face.score is None
    assert face.box_xyxy is not None
    assert face.box_xyxy.tolist() == [0, 0, 200, 120]


def test_predictions_print_convert_and_draw(model: Model, image: Path) -> None:
    prediction = model.predict(image)
    assert str(prediction[1]).startswith("Happy ")
    assert str(prediction).count("\n") == 1
    values = json.loads(json.dumps(prediction.to_dict(), allow_nan=False))
    assert values["rows"][0]["box_xyxy"] == [80, 20, 160, 100]
    arrays = prediction[0].to_numpy()
    assert {name: array.shape for name, array in arrays.items()} == {
        "box_xyxy": (4,),
        "probabilities": (3,),
        "landmarks": (68, 2),
        "valence_arousal": (2,),
    }
    drawn = prediction.draw()
    assert drawn.dtype == np.uint8
    assert drawn.shape[1] > 200


def test_the_decision_rule_is_applied(model_path: Path, detector: Detector, image: Path) -> None:
    loaded = mien.load(model_path, min_confidence=1.0, top=1)
    prediction = Model(loaded.onnx_model, rule=loaded.rule, detector=detector).predict(image)
    assert [face.expression for face in prediction] == ["unsure", "unsure"]
    assert [len(face.probabilities or {}) for face in prediction] == [1, 1]


def test_classes_that_the_model_lacks_are_reported_at_load(model_path: Path) -> None:
    with pytest.raises(ModelError, match="does not know Surprise"):
        mien.load(model_path, classes=7)


def test_the_error_for_an_unknown_model_lists_the_bundled_ones() -> None:
    with pytest.raises(ArtifactError, match=r"Model nothing does not exist.* Bundled models: .*mien export"):
        mien.load("nothing")


def test_an_unknown_name_of_the_package() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        mien.nothing  # noqa: B018


def test_importing_mien_loads_nothing_heavy() -> None:
    program = "import mien, sys; print([n for n in ('numpy', 'cv2', 'onnxruntime') if n in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
