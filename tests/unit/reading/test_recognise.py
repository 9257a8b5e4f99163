"""From picture files to readings."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mien.bundle import Bundle, Outputs
from mien.errors import ModelError
from mien.faces.crop import CropContract, crop_matrix, cut, resize_crop
from mien.faces.detector import DetectedFace, Detector
from mien.faces.images import decode_image
from mien.faces.landmarks import anchors_from_landmarks
from mien.reading import recognise
from mien.reading.recognise import read_pictures

MakePicture = Callable[..., Path]
INPUT_SIZE = 32


class OneFace:
    """A detector that finds the same face in every picture."""

    def __init__(self, face: DetectedFace) -> None:
        self.face = face

    def find_faces(self, image_rgb: NDArray[np.uint8]) -> list[DetectedFace]:
        """Return the face."""
        return [self.face]


@pytest.fixture
def bundle(model_path: Path) -> Bundle:
    """Return the tiny model, loaded."""
    return Bundle.load(model_path, threads=1)


def test_every_face_is_read_from_its_own_pixels(
    bundle: Bundle, detector: Detector, make_picture: MakePicture
) -> None:
    """Two faces in one picture, one in the next: each row has its square's box, class and affect."""
    paths = [
        make_picture("a.png", ("Happy", 10, 10, 40), ("Sad", 80, 20, 80)),
        make_picture("b.png", ("Neutral", 30, 30, 60)),
    ]
    rows = [row for picture in read_pictures(paths, bundle, detector=detector) for row in picture.rows]
    assert [(Path(row.source).name, row.face, row.expression) for row in rows] == [
        ("a.png", 0, "Sad"),
        ("a.png", 1, "Happy"),
        ("b.png", 0, "Neutral"),
    ]
    np.testing.assert_array_equal(rows[1].box_xyxy, [10, 10, 50, 50])
    assert rows[0].probabilities is not None
    assert sum(rows[0].probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert rows[0].confidence == max(rows[0].probabilities.values())
    assert list(rows[0].probabilities) == list(bundle.info.classes)
    assert (rows[2].valence, rows[2].arousal) == (pytest.approx(1, abs=0.05), pytest.approx(0, abs=0.05))


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_batches_do_not_change_the_rows(
    bundle: Bundle,
    detector: Detector,
    make_picture: MakePicture,
    monkeypatch: pytest.MonkeyPatch,
    batch: int,
) -> None:
    """Faces meet in one call or not; the rows come in the order of pictures and faces."""
    monkeypatch.setattr(recognise, "BATCH_FACES", batch)
    squares = [("Neutral", 0, 0, 50), ("Happy", 60, 0, 40), ("Sad", 120, 0, 30)]
    paths = [make_picture(f"{count}.png", *squares[:count]) for count in (3, 0, 1, 2)]
    found = [[row.expression for row in p.rows] for p in read_pictures(paths, bundle, detector=detector)]
    assert found == [["Neutral", "Happy", "Sad"], [None], ["Neutral"], ["Neutral", "Happy"]]


def test_landmarks_come_back_to_the_picture(
    bundle: Bundle, make_picture: MakePicture, template: NDArray[np.float32]
) -> None:
    """The crop puts a turned face's eyes and mouth at the template's, so the template comes back onto them."""
    # a face turned by 30 degrees: distances in the ratio of the crop's own anchors
    turn, center = np.deg2rad(30), np.array([90.0, 60.0])
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    upright = anchors_from_landmarks(template) - 0.5
    anchors = upright * 70 @ rotation.T + center
    face = DetectedFace(np.array([60.0, 30, 120, 90]), 0.8, np.insert(anchors, 2, center, axis=0))
    (picture,) = read_pictures([make_picture("a.png")], bundle, detector=OneFace(face))
    landmarks = picture.rows[0].landmarks
    assert landmarks is not None
    assert landmarks.shape == (68, 2)
    np.testing.assert_allclose(anchors_from_landmarks(landmarks), anchors, atol=1e-3)


@pytest.mark.parametrize(
    ("contract", "cut_by"),
    [
        pytest.param(contract := CropContract("aligned", margin=0.1, size=64), contract, id="aligned"),
        pytest.param(contract := CropContract("box", margin=0.3, size=48), contract, id="box"),
        # a face found in a picture is what the detector's box holds, not the picture
        pytest.param(
            CropContract("whole", margin=0.1, size=48), CropContract("box", margin=0.0, size=48), id="whole"
        ),
    ],
)
def test_the_model_sees_the_crop_of_its_contract(
    write_model: Callable[..., Path],
    make_picture: MakePicture,
    monkeypatch: pytest.MonkeyPatch,
    contract: CropContract,
    cut_by: CropContract,
) -> None:
    """The pixels given to the model are those of a pack made by this contract, resized as `evaluate` does."""
    seen: list[NDArray[np.uint8]] = []
    real = Bundle.run

    def run(self: Bundle, images_rgb: NDArray[np.uint8]) -> Outputs:
        seen.append(images_rgb)
        return real(self, images_rgb)

    monkeypatch.setattr(Bundle, "run", run)
    bundle = Bundle.load(write_model(contract=contract))
    path = make_picture("a.png", ("Happy", 10, 10, 40), ("Sad", 80, 20, 80))
    points = np.array([[40, 40], [90, 50], [60, 70], [45, 90], [80, 95]], dtype=np.float64)
    face = DetectedFace(np.array([20.0, 15, 110, 118]), 0.8, points)
    list(read_pictures([path], bundle, detector=OneFace(face)))
    image = decode_image(path.read_bytes())
    matrix, method = crop_matrix(
        cut_by, (image.shape[1], image.shape[0]), anchors=points[[0, 1, 3, 4]], box_xyxy=face.box_xyxy
    )
    assert method == cut_by.method
    np.testing.assert_array_equal(seen[0][0], resize_crop(cut(image, matrix, contract.size), INPUT_SIZE))


def test_whole_takes_the_picture_for_the_face(bundle: Bundle, make_picture: MakePicture) -> None:
    """One row whose box is the picture, without a score."""
    path = make_picture("a.png", ("Happy", 0, 0, 80), size_wh=(80, 80))
    (picture,) = read_pictures([path], bundle, detector=None)
    (row,) = picture.rows
    assert (row.expression, row.score, row.face) == ("Happy", None, 0)
    np.testing.assert_array_equal(row.box_xyxy, [0, 0, 80, 80])


def test_a_picture_without_a_face_has_a_row(
    bundle: Bundle, detector: Detector, make_picture: MakePicture
) -> None:
    """Its status says so and everything else is empty."""
    (picture,) = read_pictures([make_picture("a.png")], bundle, detector=detector)
    (row,) = picture.rows
    assert (row.status, row.face, row.expression, row.box_xyxy) == ("no_face", None, None, None)


@pytest.mark.parametrize(
    ("content", "status"),
    [
        pytest.param(b"", "empty_file", id="empty"),
        pytest.param(b"<html><body>not found</body></html>", "not_an_image", id="a web page"),
        pytest.param(None, "missing_file", id="vanished"),
        pytest.param("pipe", "not_a_file", id="a pipe"),
        pytest.param("truncated", "truncated_image", id="truncated"),
    ],
)
def test_an_unreadable_picture_has_a_row_with_the_reason(
    tmp_path: Path,
    bundle: Bundle,
    detector: Detector,
    make_picture: MakePicture,
    content: bytes | str | None,
    status: str,
) -> None:
    """The pictures before and after it are read."""
    good = make_picture("good.png", ("Happy", 10, 10, 40))
    bad = tmp_path / "bad.jpg"
    if content == "pipe":
        os.mkfifo(bad)
    elif isinstance(content, str):
        noise = np.random.default_rng(0).integers(0, 255, (100, 100, 3), dtype=np.uint8)
        Image.fromarray(noise).save(bad)
        bad.write_bytes(bad.read_bytes()[:3000])
    elif content is not None:
        bad.write_bytes(content)
    rows = [p.rows[0] for p in read_pictures([good, bad, good], bundle, detector=detector)]
    assert [row.status for row in rows] == ["ok", status, "ok"]
    assert rows[1].detail


def test_a_file_too_large_for_a_picture_is_not_read(
    bundle: Bundle, detector: Detector, make_picture: MakePicture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row names the limit."""
    monkeypatch.setattr("mien.faces.image_files.MAX_FILE_BYTES", 10)
    (picture,) = read_pictures([make_picture("a.png")], bundle, detector=detector)
    assert picture.rows[0].status == "image_too_large"


def test_grey_pictures_are_read(tmp_path: Path, bundle: Bundle) -> None:
    """A grey file becomes RGB before the detector and the model see it."""
    Image.fromarray(np.full((50, 60), 90, np.uint8)).save(tmp_path / "grey.png")
    (picture,) = read_pictures([tmp_path / "grey.png"], bundle, detector=None, keep_images=True)
    assert picture.rows[0].status == "ok"
    assert picture.image_rgb is not None
    assert picture.image_rgb.shape == (50, 60, 3)


def test_readings_come_before_all_pictures_are_taken(
    bundle: Bundle, detector: Detector, make_picture: MakePicture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch is given out when it is full: memory and waiting do not grow with the number of pictures."""
    monkeypatch.setattr(recognise, "MAX_WAITING_PICTURES", 3)
    taken: list[int] = []
    path = make_picture("a.png")

    def paths() -> Iterator[Path]:
        for index in range(100):
            taken.append(index)
            yield path

    next(read_pictures(paths(), bundle, detector=detector))
    assert len(taken) == 3


def test_a_model_that_gives_no_numbers_is_an_error(
    write_model: Callable[..., Path], make_picture: MakePicture
) -> None:
    """NaN in an output stops with the model's name, before it reaches a file."""
    broken = write_model(landmarks=np.full((68, 2), np.nan, np.float32))
    with pytest.raises(ModelError, match=r"other\.onnx gives values of landmarks that are not finite"):
        list(read_pictures([make_picture("a.png")], Bundle.load(broken), detector=None))
