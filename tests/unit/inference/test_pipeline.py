"""From image files to predictions."""

import copy
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mien.errors import ModelError
from mien.faces.crop import CropContract, crop_image, crop_matrix, resize_crop
from mien.faces.detector import DetectedFace, Detector, turn_back
from mien.faces.images import decode_image
from mien.faces.landmarks import anchors_from_landmarks
from mien.faces.quality import QUALITY
from mien.formats.onnx_model import OnnxModel
from mien.inference import pipeline
from mien.inference.decision_rule import DecisionRule
from mien.inference.pipeline import crop_face, predict_files
from mien.tasks import Values

MakeImage = Callable[..., Path]
INPUT_SIZE = 32


class OneFace:
    """A detector that finds the same face in every image."""

    def __init__(self, face: DetectedFace) -> None:
        self.face = face

    def find_faces(self, image_rgb: NDArray[np.uint8]) -> list[DetectedFace]:
        """Return the face."""
        return [self.face]


@pytest.fixture
def model(model_path: Path) -> OnnxModel:
    """Return the tiny model, loaded."""
    return OnnxModel.load(model_path, threads=1)


def test_every_face_is_predicted_from_its_own_pixels(
    model: OnnxModel, detector: Detector, make_image: MakeImage
) -> None:
    """Two faces in one image, one in the next: each row has its square's box, class and affect."""
    paths = [
        make_image("a.png", ("Happy", 10, 10, 40), ("Sad", 80, 20, 80)),
        make_image("b.png", ("Neutral", 30, 30, 60)),
    ]
    rows = [row for image in predict_files(paths, model, detector=detector) for row in image.rows]
    assert [(Path(row.source).name, row.face, row.expression) for row in rows] == [
        ("a.png", 0, "Sad"),
        ("a.png", 1, "Happy"),
        ("b.png", 0, "Neutral"),
    ]
    np.testing.assert_array_equal(rows[1].box_xyxy, [10, 10, 50, 50])
    assert rows[0].probabilities is not None
    assert sum(rows[0].probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert rows[0].confidence == max(rows[0].probabilities.values())
    assert list(rows[0].probabilities) == list(model.info.classes)
    assert (rows[2].valence, rows[2].arousal) == (pytest.approx(1, abs=0.05), pytest.approx(0, abs=0.05))


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_batches_do_not_change_the_rows(
    model: OnnxModel,
    detector: Detector,
    make_image: MakeImage,
    monkeypatch: pytest.MonkeyPatch,
    batch: int,
) -> None:
    """Rows are in the order of images and faces, whichever faces share a model call."""
    monkeypatch.setattr(pipeline, "BATCH_FACES", batch)
    squares = [("Neutral", 0, 0, 50), ("Happy", 60, 0, 40), ("Sad", 120, 0, 30)]
    paths = [make_image(f"{count}.png", *squares[:count]) for count in (3, 0, 1, 2)]
    found = [[row.expression for row in p.rows] for p in predict_files(paths, model, detector=detector)]
    assert found == [["Neutral", "Happy", "Sad"], [None], ["Neutral"], ["Neutral", "Happy"]]


def test_landmarks_are_mapped_back_to_the_image(
    model: OnnxModel, make_image: MakeImage, template: NDArray[np.float32]
) -> None:
    """The crop aligns a rotated face with the template, so template landmarks map back onto the face."""
    # a face rotated by 30 degrees, with the proportions of the crop's own anchors
    turn, center = np.deg2rad(30), np.array([90.0, 60.0])
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    upright = anchors_from_landmarks(template) - 0.5
    anchors = upright * 70 @ rotation.T + center
    face = DetectedFace(np.array([60.0, 30, 120, 90]), 0.8, np.insert(anchors, 2, center, axis=0))
    (image,) = predict_files([make_image("a.png")], model, detector=OneFace(face))
    landmarks = image.rows[0].landmarks
    assert landmarks is not None
    assert landmarks.shape == (68, 2)
    np.testing.assert_allclose(anchors_from_landmarks(landmarks), anchors, atol=1e-3)


@pytest.mark.parametrize(
    ("contract", "expected"),
    [
        pytest.param(contract := CropContract("aligned", margin=0.1, size=64), contract, id="aligned"),
        pytest.param(contract := CropContract("box", margin=0.3, size=48), contract, id="box"),
        # a detected face is the content of its box, not the full image
        pytest.param(
            CropContract("whole", margin=0.1, size=48), CropContract("box", margin=0.0, size=48), id="whole"
        ),
    ],
)
def test_the_model_sees_the_crop_of_its_contract(
    write_model: Callable[..., Path],
    make_image: MakeImage,
    monkeypatch: pytest.MonkeyPatch,
    contract: CropContract,
    expected: CropContract,
) -> None:
    """The model's input equals the crops in a pack with this contract, resized as in `evaluate`."""
    seen: list[NDArray[np.uint8]] = []
    real = OnnxModel.run

    def run(self: OnnxModel, images_rgb: NDArray[np.uint8]) -> Values:
        seen.append(images_rgb)
        return real(self, images_rgb)

    monkeypatch.setattr(OnnxModel, "run", run)
    model = OnnxModel.load(write_model(contract=contract))
    path = make_image("a.png", ("Happy", 10, 10, 40), ("Sad", 80, 20, 80))
    points = np.array([[40, 40], [90, 50], [60, 70], [45, 90], [80, 95]], dtype=np.float64)
    face = DetectedFace(np.array([20.0, 15, 110, 118]), 0.8, points)
    list(predict_files([path], model, detector=OneFace(face)))
    image = decode_image(path.read_bytes())
    matrix, method = crop_matrix(
        expected, (image.shape[1], image.shape[0]), anchors=points[[0, 1, 3, 4]], box_xyxy=face.box_xyxy
    )
    assert method == expected.method
    np.testing.assert_array_equal(
        seen[0][0], resize_crop(crop_image(image, matrix, contract.size), INPUT_SIZE)
    )


def test_without_a_detector_the_image_is_the_face(model: OnnxModel, make_image: MakeImage) -> None:
    """One row whose box is the image, without a score."""
    path = make_image("a.png", ("Happy", 0, 0, 80), size_wh=(80, 80))
    (image,) = predict_files([path], model, detector=None)
    (row,) = image.rows
    assert (row.expression, row.score, row.face) == ("Happy", None, 0)
    np.testing.assert_array_equal(row.box_xyxy, [0, 0, 80, 80])


def test_an_image_without_a_face_has_a_row(
    model: OnnxModel, detector: Detector, make_image: MakeImage
) -> None:
    """With its status, and nothing else."""
    (image,) = predict_files([make_image("a.png")], model, detector=detector)
    (row,) = image.rows
    assert (row.status, row.face, row.expression, row.box_xyxy) == ("no_face", None, None, None)


@pytest.mark.parametrize(
    ("content", "status"),
    [
        pytest.param(b"", "empty_file", id="empty"),
        pytest.param(b"<html><body>not found</body></html>", "not_an_image", id="a web page"),
        pytest.param(None, "missing_file", id="missing"),
        pytest.param("pipe", "not_a_file", id="a pipe"),
        pytest.param("truncated", "truncated_image", id="truncated"),
    ],
)
def test_an_unreadable_image_has_a_row_with_the_reason(
    tmp_path: Path,
    model: OnnxModel,
    detector: Detector,
    make_image: MakeImage,
    content: bytes | str | None,
    status: str,
) -> None:
    """The images before and after it are predicted."""
    good = make_image("good.png", ("Happy", 10, 10, 40))
    bad = tmp_path / "bad.jpg"
    if content == "pipe":
        os.mkfifo(bad)
    elif isinstance(content, str):
        noise = np.random.default_rng(0).integers(0, 255, (100, 100, 3), dtype=np.uint8)
        Image.fromarray(noise).save(bad)
        bad.write_bytes(bad.read_bytes()[:3000])
    elif content is not None:
        bad.write_bytes(content)
    rows = [p.rows[0] for p in predict_files([good, bad, good], model, detector=detector)]
    assert [row.status for row in rows] == ["ok", status, "ok"]
    assert rows[1].detail


def test_a_file_above_the_size_limit_is_not_read(
    model: OnnxModel, detector: Detector, make_image: MakeImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row says so."""
    monkeypatch.setattr("mien.faces.image_files.MAX_FILE_BYTES", 10)
    (image,) = predict_files([make_image("a.png")], model, detector=detector)
    assert image.rows[0].status == "image_too_large"


def test_grayscale_images_are_predicted(tmp_path: Path, model: OnnxModel) -> None:
    """They are converted to RGB before the detector and the model see them."""
    Image.fromarray(np.full((50, 60), 90, np.uint8)).save(tmp_path / "gray.png")
    (image,) = predict_files([tmp_path / "gray.png"], model, detector=None, keep_images=True)
    assert image.rows[0].status == "ok"
    assert image.image_rgb is not None
    assert image.image_rgb.shape == (50, 60, 3)


def test_predictions_are_yielded_before_all_images_are_read(
    model: OnnxModel, detector: Detector, make_image: MakeImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch is yielded as soon as it is full: memory and latency do not grow with the number of images."""
    monkeypatch.setattr(pipeline, "MAX_WAITING_IMAGES", 3)
    indices: list[int] = []
    path = make_image("a.png")

    def paths() -> Iterator[Path]:
        for index in range(100):
            indices.append(index)
            yield path

    next(predict_files(paths(), model, detector=detector))
    assert len(indices) == 3


def test_outputs_that_are_not_finite_are_an_error(
    write_model: Callable[..., Path], make_image: MakeImage
) -> None:
    """NaN in an output raises an error with the model's name before it reaches a file."""
    broken = write_model(landmarks=np.full((68, 2), np.nan, np.float32))
    with pytest.raises(ModelError, match=r"other\.onnx returns landmarks values that are not finite"):
        list(predict_files([make_image("a.png")], OnnxModel.load(broken), detector=None))


class CloseUps:
    """A detector that finds no face, and takes images of a size for close-ups."""

    def find_faces(self, image_rgb: NDArray[np.uint8]) -> list[DetectedFace]:
        """Find nothing."""
        return []

    def fills_image(self, image_rgb: NDArray[np.uint8]) -> bool:
        """Go by the size."""
        return image_rgb.shape[0] == 40


def test_a_close_up_without_a_found_face_is_one_face(model: OnnxModel, make_image: MakeImage) -> None:
    """Its row says so; an image that is no close-up has no face."""
    paths = [make_image("a.png"), make_image("b.png")]
    Image.new("RGB", (50, 40), (200, 10, 10)).save(paths[0])
    one, other = predict_files(paths, model, detector=CloseUps())
    assert (one.rows[0].found_by, one.rows[0].status) == ("whole", "ok")
    np.testing.assert_array_equal(one.rows[0].box_xyxy, [0, 0, 50, 40])
    (whole,) = predict_files(paths[:1], model, detector=None)
    assert one.rows[0].probabilities == whole.rows[0].probabilities
    assert (other.rows[0].found_by, other.rows[0].status) == (None, "no_face")


@pytest.mark.parametrize("quarters", range(4))
def test_the_box_of_a_turned_face_is_cropped_upright(write_model: Callable[..., Path], quarters: int) -> None:
    """For a model of box crops, the crop of a turned photo is that of the upright one."""
    info = OnnxModel.load(write_model(contract=CropContract("box", margin=0.0, size=32)), threads=1).info
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    points = np.array([[40.0, 30], [60, 30], [50, 40], [42, 50], [58, 50]])
    face = DetectedFace(np.array([30.0, 20, 70, 60]), 0.9, points)
    upright = crop_face(image, face, info)
    turned = turn_back(face, (4 - quarters) % 4, image.shape[1::-1] if quarters % 2 == 0 else (90, 120))
    crop = crop_face(np.ascontiguousarray(np.rot90(image, quarters)), turned, info)
    np.testing.assert_allclose(crop.crop.astype(int), upright.crop, atol=2)


@pytest.mark.usefixtures("quality_limits")
def test_a_face_that_cannot_be_seen_well_is_unsure(model: OnnxModel, make_image: MakeImage) -> None:
    """With the reason, the values, and a lower confidence; without the rule, only with the values."""
    paths = [make_image("a.png", ("Happy", 10, 10, 12))]
    face = DetectedFace(np.array([10.0, 10, 22, 22]), 0.9, None)
    detector = OneFace(face)
    (with_rule,) = predict_files(paths, model, detector=detector)
    (without,) = predict_files(paths, model, detector=detector, rule=DecisionRule(quality_rule=False))
    row, plain = with_rule.rows[0], without.rows[0]
    assert (row.expression, row.reason, row.confidence) == ("unsure", "too small", 0.43)
    assert (plain.expression, plain.reason) == ("Happy", "")
    assert row.quality == plain.quality
    assert row.probabilities == plain.probabilities
    assert row.quality is not None
    assert row.quality["face_px"] == 12
    assert row.quality["yaw_deg"] is not None  # from the landmarks


@pytest.mark.usefixtures("quality_limits")
def test_the_limits_are_those_of_the_model(model: OnnxModel, make_image: MakeImage) -> None:
    """A model that is right about small faces answers, and one that is less often right is less confident."""
    path, detector = (
        make_image("a.png", ("Happy", 10, 10, 12)),
        OneFace(DetectedFace(np.array([10.0, 10, 22, 22]), 0.9, None)),
    )
    for least_px, expected in ((10, "Happy"), (13, "unsure")):
        limits = QUALITY["limits"] | {"least_face_px": least_px}
        rule = {"limits": limits, "right_answers": QUALITY["right_answers"] | {"too small": 0.25}}
        own = copy.copy(model)
        own.info = replace(model.info, quality_rule=rule)
        (row,) = next(predict_files([path], own, detector=detector)).rows
        assert row.expression == expected
        assert (row.confidence == 0.25) == (expected == "unsure")


def test_the_limit_on_pixels_is_that_of_the_caller(model: OnnxModel, make_image: MakeImage) -> None:
    """An image above it is reported, not read."""
    path = make_image("a.png")
    statuses = [
        next(predict_files([path], model, detector=None, max_pixels=limit)).rows[0].status
        for limit in (1000, 10**6)
    ]
    assert statuses == ["image_too_large", "ok"]
