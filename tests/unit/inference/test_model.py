"""The Python interface: load, predict, and predictions that print, convert and draw."""

import copy
import io
import json
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mien
from mien.errors import ArtifactError, MienError, ModelError
from mien.faces.detector import Detector
from mien.faces.images import decode_image
from mien.formats.onnx_model import OnnxModel
from mien.inference import model as model_module
from mien.inference.decision_rule import DecisionRule
from mien.inference.model import Model
from mien.inference.results import FacePrediction

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


def test_a_least_size_of_faces_reaches_the_detector_and_is_not_for_given_faces(
    model_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, object]] = []
    monkeypatch.setattr(model_module, "load_detector", lambda *_, **options: asked.append(options))
    model = mien.load(model_path, min_face_px=90)
    assert copy.copy(model).detector is None
    mien.load(model_path, min_face_px=80, detector="yunet.onnx")
    assert asked == [{"min_face_px": 90}, {"min_face_px": 80}]
    for too_small in (-1, float("nan")):
        with pytest.raises(ValueError, match="`min_face_px` must be 0 or more, got"):
            mien.load(model_path, min_face_px=too_small)
    with pytest.raises(ValueError, match="without `min_face_px`"):
        model.predict(image, boxes_xyxy=[[10, 10, 50, 50]])


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
    with pytest.raises(IndexError, match=r"no face 0 in .*no.jpg: it has 0 \(missing_file: there is no file"):
        prediction[0]
    with pytest.raises(ValueError, match="could not be read"):
        prediction.draw()


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".tiff"])
def test_further_images_of_a_file_are_not_passed_over_in_silence(
    model: Model, image: Path, tmp_path: Path, suffix: str
) -> None:
    first = Image.open(image)
    path = tmp_path / f"a{suffix}"
    first.save(path, save_all=True, append_images=[first.rotate(90), first.rotate(180)])
    for source in (path, path.read_bytes()):
        prediction = model.predict(source)
        assert prediction.n_more_images == prediction.to_dict()["n_more_images"] == 2
        assert str(prediction).endswith("\nOnly the first of 3 images in the file")
    assert "images in the file" not in str(model.predict(image))


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


def test_a_list_of_predictions_holds_no_pixels_but_can_be_drawn(model: Model, image: Path) -> None:
    kept, from_file, from_pixels = (
        model.predict(image, keep_images=True),
        model.predict(image),
        model.predict(decode_image(image.read_bytes())),
    )
    drawn = kept.draw()
    assert kept.image_rgb is not None
    assert from_file.image_rgb is from_pixels.image_rgb is None
    assert np.array_equal(from_file.draw(), drawn)
    assert np.array_equal(from_pixels.draw(image.read_bytes()), drawn)
    with pytest.raises(ValueError, match="keep_images=True"):
        from_pixels.draw()
    with pytest.raises(ValueError, match="has 20x30 pixels, the one that was predicted had 200x120"):
        from_pixels.draw(np.zeros((30, 20), np.uint8))


def test_predictions_become_a_table(model: Model, image: Path, make_image: MakeImage) -> None:
    predictions = model.predict([make_image("empty.png"), image])
    table = mien.to_pandas(predictions)
    assert list(table["status"]) == ["no_face", "ok", "ok"]
    assert list(table["expression"])[1:] == ["Sad", "Happy"]
    assert table.loc[1, ["box_x0", "box_y0", "box_x1", "box_y1"]].tolist() == [80, 20, 160, 100]
    assert table.loc[1, "p_Sad"] == pytest.approx(predictions[1][0].confidence, abs=1e-6)
    assert len(table.loc[1, "landmarks"]) == 136
    assert list(predictions[1].to_pandas().columns) == list(table.columns)
    # What no row has is a column of numbers too.
    for name in ("frame", "seconds", "track"):
        assert np.isnan(table[name].mean()), name
    model.rule = DecisionRule(top=1)
    assert {"p_Happy", "p_Sad"} <= set(model.predict(image).to_pandas().columns)


def test_a_table_without_pandas_is_one_line(
    model: Model, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MienError, match="pip install pandas"):
        model.predict(image).to_pandas()


def test_a_notebook_and_a_prompt_show_little(model: Model, image: Path) -> None:
    prediction = model.predict(image.read_bytes(), keep_images=True)
    assert len(repr([prediction] * 2)) < 200
    assert "Sad" in repr(prediction)
    assert "Sad" in repr(prediction[0])
    shown = prediction._repr_html_()
    assert shown.count("<tr>") == 3
    assert "data:image/jpeg" in shown
    named = replace(prediction, source="<script>a.png", image_rgb=None)
    assert "<script>" not in named._repr_html_()


def test_a_model_is_pickled_with_its_file_and_copied(
    model_path: Path, image: Path, detector: Detector, tmp_path: Path
) -> None:
    moved = tmp_path / "moved.onnx"
    moved.write_bytes(model_path.read_bytes())
    loaded = mien.load(moved, min_confidence=0.25, threads=1)
    model = Model(loaded.onnx_model, rule=loaded.rule, detector=detector)
    pickled, copied = pickle.dumps(model), copy.deepcopy(model)
    moved.write_bytes(b"something else")
    for other in (pickle.loads(pickled), copied):  # noqa: S301
        assert [face.to_dict() for face in other.predict(image)] == [
            face.to_dict() for face in model.predict(image)
        ]
        assert (other.rule, other.onnx_model.threads) == (model.rule, 1)
    with pytest.raises(ArtifactError, match="not a loadable ONNX model"):
        pickle.dumps(model)


def test_an_unpickled_model_needs_no_file(model_path: Path, tmp_path: Path) -> None:
    """It can be forked, pickled again and given other threads where the file never was; the loaded one cannot."""
    path = tmp_path / "model.onnx"
    path.write_bytes(model_path.read_bytes())
    model = OnnxModel.load(path, threads=1)
    elsewhere = pickle.loads(pickle.dumps(model))  # noqa: S301
    path.unlink()
    crops = np.full((1, 32, 32, 3), 100, np.uint8)
    expected = model.run(crops)["expression"]
    for again in (elsewhere.with_threads(2), pickle.loads(pickle.dumps(elsewhere))):  # noqa: S301
        assert (again.run(crops)["expression"] == expected).all()
    for loaded in (elsewhere, model):
        loaded._session._pid = 0  # as in a forked process
    assert (elsewhere.run(crops)["expression"] == expected).all()
    reasons = (
        r"model\.onnx cannot be read: No such file.*It was there when the model was loaded, .*put it back"
    )
    for fail in (lambda: model.with_threads(2), lambda: pickle.dumps(model), lambda: model.run(crops)):
        with pytest.raises(ArtifactError, match=reasons) as raised:
            fail()
        assert "Export it again" not in str(raised.value)


def test_a_pickled_model_whose_file_was_replaced_is_refused(
    model_path: Path, tmp_path: Path, write_model: Callable[..., Path]
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(model_path.read_bytes())
    model = mien.load(path)
    path.write_bytes(write_model(landmarks=np.zeros((68, 2), np.float32)).read_bytes())
    with pytest.raises(ArtifactError, match="has changed since the model was loaded"):
        pickle.dumps(model)


def test_an_unknown_device_is_one_line() -> None:
    with pytest.raises(ModelError, match=r"Device 'gpu' is unknown.* cpu, cuda"):
        mien.load(device="gpu")
    with pytest.raises(ModelError, match=r"has no 'NoProvider': it has .*CPUExecutionProvider"):
        mien.load(providers=["NoProvider"])


def test_a_provider_with_options(model_path: Path, image: Path, detector: Detector, model: Model) -> None:
    loaded = mien.load(model_path, providers=[("CPUExecutionProvider", {})])
    assert str(Model(loaded.onnx_model, detector=detector).predict(image)) == str(model.predict(image))


def test_frames_of_a_program_are_tracked_one_at_a_time(model: Model, image: Path) -> None:
    pixels = decode_image(image.read_bytes())
    requested = []

    def frames() -> Iterator[object]:
        for number in range(4):
            requested.append(number)
            yield pixels[:, :, ::-1]

    for number, prediction in enumerate(model.watch(frames(), frame_rate=10, color="bgr")):
        assert requested == list(range(number + 1))
        assert [(face.frame, face.track, face.expression) for face in prediction] == [
            (number, 0, "Sad"),
            (number, 1, "Happy"),
        ]
        assert prediction.rows[0].seconds == pytest.approx(number / 10)


def test_frames_with_times_and_damaged_frames(model: Model, image: Path) -> None:
    predictions = list(model.watch([(2.0, image), (2.5, b"no image"), (4.0, image)]))
    assert [(p.rows[0].seconds, p.rows[0].status) for p in predictions] == [
        (2, "ok"),
        (2.5, "not_an_image"),
        (4, "ok"),
    ]
    with pytest.raises(ValueError, match="frame 1 is at 1 s, before the last one at 2 s"):
        list(model.watch([(2.0, image), (1.0, image)]))
    for pair, message in (
        ((True, image), "truth value .* `cv2.VideoCapture.read`"),
        ((None, image), "got NoneType in place of seconds"),
        ((np.zeros((9, 8)), 3), "got ndarray in place of seconds"),
    ):
        with pytest.raises(TypeError, match=message):
            list(model.watch([pair]))
    with pytest.raises(ValueError, match="frame 1 has no time: it is nan"):
        list(model.watch([(2.0, image), (float("nan"), image)]))
    for wrong in (None, True, {}, io.BytesIO(b"a\nb")):
        with pytest.raises(TypeError, match="iterable of frames"):
            model.watch(wrong)  # type: ignore[arg-type]
    for shape in ((9, 8), (9, 8, 3), (9, 8, 1)):
        with pytest.raises(TypeError, match="for a single image use `predict`"):
            model.watch(np.zeros(shape, np.uint8))
    assert len(list(model.watch(np.zeros((2, 9, 8), np.uint8)))) == 2


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


def test_a_least_size_is_not_for_cropped_faces(model: Model, image: Path) -> None:
    """Refused by each door, in place of being ignored."""
    limited = Model(model.onnx_model, detector=model.detector, min_face_px=50)
    calls: list[Callable[[], object]] = [
        lambda: limited.predict(image, cropped=True),
        lambda: limited.explain(image, cropped=True),
        lambda: limited.watch(image, cropped=True),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="`min_face_px` is for faces that are detected"):
            call()


def test_a_single_prediction_is_aggregated_and_compared(model: Model, image: Path) -> None:
    """As if it were in a list: iterating over it would give its faces."""
    for prediction in (model.predict(image), model.predict("nope.jpg")):
        assert list(mien.aggregate(prediction)) == list(mien.aggregate([prediction]))
        changed = list(mien.subtract_baseline(prediction, neutral={}))
        assert [len(one.rows) for one in changed] == [len(prediction.rows)]
    assert mien.measure_baseline(model.predict(image)) == mien.measure_baseline([model.predict(image)])


def test_a_row_that_was_written_has_the_same_ratios(model: Model, image: Path) -> None:
    """Although its landmarks are rounded."""
    for row in model.predict(image).rows:
        assert FacePrediction.from_dict(row.to_dict()).to_flat_dict() == row.to_flat_dict()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"threads": 1.5}, "`threads` must be an integer"),
        ({"classes": 7.0}, "`classes` must be an integer"),
        ({"classes": 9}, "`classes` must be 7, 8, 11 or None"),
        ({"min_confidence": "0.5"}, "`min_confidence` must be a number"),
        ({"min_face_px": "20"}, "`min_face_px` must be a number"),
        ({"top": 2.5}, "`top` must be an integer"),
        ({"quality_rule": "false"}, "`quality_rule` must be True or False"),
    ],
)
def test_options_of_another_type_are_refused(model_path: Path, options: dict[str, Any], error: str) -> None:
    with pytest.raises((TypeError, ValueError), match=error):
        mien.load(model_path, **options)


def test_a_name_too_long_for_a_file_is_no_traceback() -> None:
    with pytest.raises(ArtifactError, match="does not exist"):
        mien.load("a" * 300)
    with pytest.raises(MienError, match="does not exist"):
        mien.load(detector="a" * 300)
