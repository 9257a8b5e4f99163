"""The face detector: where its file comes from, and what it finds."""

import csv
import hashlib
import http.server
import io
import os
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mien.errors import ModelError, SourceError
from mien.faces import detector
from mien.faces.detector import (
    CascadeDetector,
    DetectedFace,
    YuNetDetector,
    describe_detector,
    find_detector_file,
    load_detector,
)
from mien.faces.images import decode_image, to_rgb
from mien.faces.landmarks import anchors_from_landmarks
from mien.faces.yunet import YuNet

PACKAGE = Path(detector.__file__).parents[1]
SHARED = Path(os.environ.get("MIEN_SHARED", Path(__file__).resolve().parents[4] / "shared"))
OFFICIAL = b"stands for the official file"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a cache of its own, where ``OFFICIAL`` is the official file and there is no network."""
    monkeypatch.delenv("MIEN_DETECTOR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(detector, "YUNET_SHA256", hashlib.sha256(OFFICIAL).hexdigest())
    monkeypatch.setattr(detector, "YUNET_URL", "http://127.0.0.1:9/nobody-listens")
    return tmp_path / "cache" / "mien" / "face_detection_yunet_2023mar.onnx"


@pytest.fixture
def zoo(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """Serve the content of a list over HTTP where the detector's file is fetched from."""
    content = [OFFICIAL]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content[0])

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        monkeypatch.setattr(detector, "YUNET_URL", f"http://127.0.0.1:{server.server_port}/yunet.onnx")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield content
        server.shutdown()
        thread.join()


def test_a_named_file_is_taken_as_it_is(tmp_path: Path) -> None:
    """A path given by the caller is not compared with the official file."""
    path = tmp_path / "own.onnx"
    path.write_bytes(b"another build")
    assert find_detector_file(path) == path


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    """The message names the file and how to get it."""
    with pytest.raises(SourceError, match=r"no\.onnx does not exist\. Download http"):
        find_detector_file(tmp_path / "no.onnx")


def test_the_environment_names_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MIEN_DETECTOR is used where no path is given."""
    path = tmp_path / "own.onnx"
    path.write_bytes(b"another build")
    monkeypatch.setenv("MIEN_DETECTOR", str(path))
    assert find_detector_file() == path


def test_an_environment_that_names_nothing_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says where the name came from."""
    monkeypatch.setenv("MIEN_DETECTOR", str(tmp_path / "no.onnx"))
    with pytest.raises(SourceError, match="from MIEN_DETECTOR"):
        find_detector_file()


def test_the_cached_official_file_is_used_without_a_word(own_cache: Path) -> None:
    """Nothing is fetched or announced when the cache holds the official file."""
    own_cache.parent.mkdir(parents=True)
    own_cache.write_bytes(OFFICIAL)
    lines: list[str] = []
    assert find_detector_file(announce=lines.append) == own_cache
    assert lines == []


@pytest.mark.parametrize("before", [None, b"damaged"], ids=["empty cache", "wrong file in the cache"])
def test_the_file_is_fetched_once(own_cache: Path, zoo: list[bytes], before: bytes | None) -> None:
    """The download is announced with its size, checked, and found in the cache the next time."""
    if before is not None:
        own_cache.parent.mkdir(parents=True)
        own_cache.write_bytes(before)
    lines: list[str] = []
    assert find_detector_file(announce=lines.append) == own_cache
    zoo[0] = b"changed"
    assert find_detector_file(announce=lines.append) == own_cache
    assert own_cache.read_bytes() == OFFICIAL
    assert len(lines) == 1
    assert "233 kB" in lines[0]


@pytest.mark.parametrize("answer", [b"<html>log in</html>", b"x" * 10_000_000], ids=["a page", "too large"])
def test_another_file_than_the_official_is_not_kept(own_cache: Path, zoo: list[bytes], answer: bytes) -> None:
    """What the network gives instead of the file leaves nothing in the cache."""
    zoo[0] = answer
    lines: list[str] = []
    assert find_detector_file(announce=lines.append) is None
    assert "not the official file" in lines[-1]
    assert not own_cache.parent.exists()


@pytest.mark.parametrize("part", ["body", "head"])
def test_a_download_that_drips_is_given_up(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """A byte now and then keeps each read going, but not the whole."""
    monkeypatch.setattr(detector, "FETCH_DEADLINE_S", 0.3)
    given_up = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if part == "body":
                self.send_response(200)
                self.end_headers()
            else:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
            # Whoever waits for the end gets it at last, and another answer than the test wants.
            for _ in range(400):
                self.wfile.write(b"x")
                if given_up.wait(0.02):
                    break

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        monkeypatch.setattr(detector, "YUNET_URL", f"http://127.0.0.1:{server.server_port}/yunet.onnx")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        lines: list[str] = []
        assert find_detector_file(announce=lines.append) is None
        given_up.set()
        server.shutdown()
        thread.join()
    assert "took longer than 0.3 s" in lines[-1]
    assert not own_cache.parent.exists()


def test_nothing_is_fetched_unless_wanted(own_cache: Path, zoo: list[bytes]) -> None:
    """A set that hardly needs the detector does without a download, and takes the file that is there."""
    lines: list[str] = []
    assert find_detector_file(fetch=False, announce=lines.append) is None
    assert lines == []
    own_cache.parent.mkdir(parents=True)
    own_cache.write_bytes(OFFICIAL)
    assert find_detector_file(fetch=False) == own_cache


def test_a_detector_is_described_by_what_it_is(tmp_path: Path) -> None:
    """By its file's content, wherever that lies; the cascade by its own."""
    descriptions = []
    for folder, content in (("a", b"one"), ("b", b"one"), ("c", b"other")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "yunet.onnx").write_bytes(content)
        descriptions.append(describe_detector(tmp_path / folder / "yunet.onnx"))
    assert descriptions[0] == descriptions[1] != descriptions[2]
    assert describe_detector(None)["name"] == "cascade"
    assert len(describe_detector(None)["sha256"]) == 64


class BrightSquare:
    """In place of the network: takes a white square of 20 to 200 pixels for a face."""

    def detect(self, image_bgr: NDArray[np.uint8], *, score_threshold: float) -> NDArray[np.float32]:
        """Return rows as `YuNet.detect` does."""
        rows, columns = np.nonzero(image_bgr[:, :, 0] > 200)
        if not len(rows):
            return np.empty((0, 15), np.float32)
        x, y, side = columns.min(), rows.min(), np.ptp(rows) + 1
        row = np.full(15, 0.9, np.float32)
        row[:14] = [x, y, side, side, *np.tile([x, y], 5)]
        return row[None] if 20 <= side <= 200 else np.empty((0, 15), np.float32)


@pytest.mark.parametrize(("side", "at"), [(30, (40, 700)), (150, (300, 300)), (600, (200, 500))])
def test_two_looks_find_faces_that_one_does_not(side: int, at: tuple[int, int]) -> None:
    """Small faces of a large picture are found in the second look, large ones in the first, middling ones once."""
    found = YuNetDetector.__new__(YuNetDetector)
    found._network = BrightSquare()  # type: ignore[assignment]
    picture = np.full((1000, 1280, 3), 90, np.uint8)
    picture[at[0] : at[0] + side, at[1] : at[1] + side] = 255
    (face,) = found.find_faces(picture)
    np.testing.assert_allclose(face.box_xyxy, [at[1], at[0], at[1] + side, at[0] + side], atol=10)


def test_without_network_the_cascade_serves_and_says_so() -> None:
    """One line tells that the cascade is used and how to get the file."""
    lines: list[str] = []
    assert isinstance(load_detector(announce=lines.append), CascadeDetector)
    warnings = [line for line in lines if "cascade" in line]
    assert len(warnings) == 1
    assert "\n" not in warnings[0]
    assert "MIEN_DETECTOR" in warnings[0]


def test_a_file_that_is_no_network_is_an_error(tmp_path: Path) -> None:
    """The message names the file."""
    path = tmp_path / "own.onnx"
    path.write_bytes(b"no network")
    with pytest.raises(ModelError, match=r"own\.onnx is not the YuNet face detector"):
        YuNetDetector(path)


def test_anchors_are_in_the_order_of_the_landmarks() -> None:
    """Eyes and mouth corners of five points stand where those of 68 landmarks do."""
    landmarks = np.zeros((68, 2))
    landmarks[36:42], landmarks[42:48], landmarks[48], landmarks[54] = (30, 40), (70, 40), (35, 80), (65, 80)
    # the order that OpenCV's documentation gives: right eye, left eye, nose, right and left corner of the mouth,
    # of the person, whose right is the picture's left
    points = np.array([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]], dtype=np.float64)
    face = DetectedFace(np.zeros(4), 1.0, points)
    np.testing.assert_array_equal(face.anchors, anchors_from_landmarks(landmarks))


def test_a_face_without_points_has_no_anchors() -> None:
    """The cascade's faces fall back to the box."""
    assert DetectedFace(np.zeros(4), None, None).anchors is None


def test_the_cascade_finds_nothing_in_an_empty_picture() -> None:
    """A plain picture, grey or colored, has no face."""
    assert CascadeDetector().find_faces(np.full((64, 80, 3), 90, np.uint8)) == []
    assert CascadeDetector().find_faces(np.full((64, 80), 90, np.uint8)) == []


def test_one_cascade_serves_several_threads() -> None:
    """Each image has the face that it has when it is looked at alone."""
    face = to_rgb(decode_image((PACKAGE / "bench" / "picture.jpg").read_bytes()))
    sizes = [(192, 144), (256, 192), (320, 240), (384, 288)]
    images = [
        np.asarray(cv2.resize(face, size, interpolation=cv2.INTER_AREA), np.uint8) for size in sizes
    ] * 5
    cascade = CascadeDetector()

    def find_boxes(image: NDArray[np.uint8]) -> list[list[float]]:
        return [found.box_xyxy.tolist() for found in cascade.find_faces(image)]

    alone = [find_boxes(image) for image in images]
    assert all(len(boxes) == 1 for boxes in alone)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(find_boxes, images)) == alone


# On real photographs.


@pytest.fixture(scope="module")
def yunet_path() -> Path:
    """Return YuNet's file, or skip the test."""
    path = SHARED / "models" / "face_detection_yunet_2023mar.onnx"
    if not path.exists():
        pytest.skip(f"needs {path.name} of the shared models (MIEN_SHARED)")
    return path


@pytest.fixture(scope="module")
def yunet(yunet_path: Path) -> YuNetDetector:
    """Return YuNet."""
    return YuNetDetector(yunet_path)


@pytest.fixture(scope="module")
def photographs() -> list[tuple[NDArray[np.uint8], NDArray[np.float64]]]:
    """Return LFW photographs with their 68 landmarks, or skip the test."""
    folder = SHARED / "data" / "lfw-affectnet"
    if not folder.exists():
        pytest.skip("needs lfw-affectnet of the shared data (MIEN_SHARED)")
    with (folder / "validation.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if int(row["expression"]) < 8][::10]
    faces = []
    with zipfile.ZipFile(folder / "Manually_Annotated_Images.zip") as archive:
        for row in rows:
            landmarks = np.array(row["facial_landmarks"].split(";"), dtype=np.float64)
            if landmarks.min() >= 0:
                data = archive.read(f"Manually_Annotated_Images/{row['subDirectory_filePath']}")
                faces.append((decode_image(data), landmarks.reshape(-1, 2)))
    return faces


Photographs = list[tuple[NDArray[np.uint8], NDArray[np.float64]]]


def test_yunet_finds_the_one_face_of_each_photograph(yunet: YuNetDetector, photographs: Photographs) -> None:
    """Close-ups of 350 pixels: one face each."""
    assert [len(yunet.find_faces(image)) for image, _ in photographs] == [1] * len(photographs)


def test_yunet_agrees_with_the_landmarks(yunet: YuNetDetector, photographs: Photographs) -> None:
    """Its anchors lie within a fifth of the distance of the eyes from those of the 68 landmarks, on average a tenth."""
    errors = []
    for image, landmarks in photographs:
        expected = anchors_from_landmarks(landmarks)
        found = yunet.find_faces(image)[0].anchors
        assert found is not None
        errors.append(np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected[1] - expected[0]))
    assert np.mean(errors) < 0.1
    assert np.median(np.max(errors, axis=1)) < 0.2


@pytest.mark.parametrize("side", [48, 64, 1400], ids=lambda side: f"{side} px")
def test_yunet_finds_a_close_up_at_any_size(
    yunet: YuNetDetector, photographs: Photographs, side: int
) -> None:
    """A face that fills a tiny or a large picture is found, at the place that scaling moves it to."""
    for image, _ in photographs[:4]:
        scaled = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        one, other = yunet.find_faces(image), yunet.find_faces(np.asarray(scaled, np.uint8))
        assert len(other) == 1
        scale = np.array([side / image.shape[1], side / image.shape[0]] * 2)
        np.testing.assert_allclose(other[0].box_xyxy / scale, one[0].box_xyxy, atol=0.12 * image.shape[0])


def test_yunet_finds_small_faces_beside_large_ones(yunet: YuNetDetector, photographs: Photographs) -> None:
    """Faces of 80 to 600 pixels in one picture are all found once, the largest first."""
    picture = np.full((1000, 1600, 3), 120, np.uint8)
    sides, x = (700, 350, 200, 110), 20
    for (image, _), side in zip(photographs[:4], sides, strict=True):
        picture[100 : 100 + side, x : x + side] = cv2.resize(to_rgb(image), (side, side))
        x += side + 40
    faces = yunet.find_faces(picture)
    assert len(faces) == 4
    assert [face.area for face in faces] == sorted((face.area for face in faces), reverse=True)
    assert np.all(np.diff([face.box_xyxy[0] for face in faces]) > 0)


def test_yunet_finds_faces_of_a_crowd(yunet: YuNetDetector, photographs: Photographs) -> None:
    """Faces of about 35 pixels in a picture of 1280 are seen at full size alone."""
    picture = np.full((960, 1280, 3), 120, np.uint8)
    for number, (image, _) in enumerate(photographs[:12]):
        x, y = 100 + 280 * (number % 4), 120 + 280 * (number // 4)
        picture[y : y + 70, x : x + 70] = cv2.resize(to_rgb(image), (70, 70), interpolation=cv2.INTER_AREA)
    assert len(yunet.find_faces(picture)) >= 11


@pytest.mark.parametrize("share", [0.07, 0.12, 0.2, 0.35, 0.6])
def test_yunet_finds_faces_of_a_known_size_in_one_look(
    yunet: YuNetDetector, photographs: Photographs, share: float
) -> None:
    """Nearly all of them, whatever part of the picture they take, where two looks find them."""
    found = 0
    for image, _ in photographs[:20]:
        box = yunet.find_faces(image)[0].box_xyxy
        side = share * 1280
        scale = side / (box[2:] - box[:2]).max()
        small = cv2.resize(to_rgb(image), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[:900]
        picture = np.full((960, 1280, 3), 120, np.uint8)
        picture[20 : 20 + small.shape[0], 30 : 30 + small.shape[1]] = small
        found += len(yunet.find_faces_like(picture, smallest=side, largest=side)) == 1
    assert found >= 19


def test_yunet_looks_twice_where_no_size_suits_all(
    yunet: YuNetDetector, photographs: Photographs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faces of 60 and 700 pixels need both looks; those of 300 alone the smallest one."""
    looks: list[tuple[int, int]] = []
    real = YuNetDetector._find_at

    def find_at(
        self: YuNetDetector, image_bgr: NDArray[np.uint8], scale: float, *, border: int
    ) -> list[DetectedFace]:
        looks.append((round(image_bgr.shape[1] * scale), border))
        return real(self, image_bgr, scale, border=border)

    monkeypatch.setattr(YuNetDetector, "_find_at", find_at)
    picture = np.full((800, 1000, 3), 120, np.uint8)
    yunet.find_faces_like(picture, smallest=60, largest=700)
    assert looks == [(267, 27), (1000, 0)]
    looks.clear()
    yunet.find_faces_like(picture, smallest=400, largest=700)
    assert looks == [(267, 27)]
    looks.clear()
    yunet.find_faces_like(picture, smallest=160, largest=300)
    assert looks == [(500, 0)]


@pytest.mark.parametrize("size_wh", [(350, 350), (320, 240), (161, 203), (640, 480), (64, 64)])
def test_yunet_computes_what_opencv_computes(
    yunet_path: Path, photographs: Photographs, size_wh: tuple[int, int]
) -> None:
    """Boxes and points to a hundredth of a pixel, scores to a ten-thousandth, in the same order of certainty."""
    opencv = cv2.FaceDetectorYN.create(str(yunet_path), "", size_wh, 0.6, 0.3, 5000)
    network = YuNet(yunet_path.read_bytes())
    n_faces = 0
    for image, _ in photographs[:12]:
        picture = np.ascontiguousarray(cv2.resize(to_rgb(image), size_wh)[:, :, ::-1])
        # several faces, and one that is cut off
        picture = np.ascontiguousarray(np.roll(picture, size_wh[0] // 3, axis=1))
        expected, found = opencv.detect(picture)[1], network.detect(picture, score_threshold=0.6)
        expected = np.empty((0, 15)) if expected is None else expected
        assert len(expected) == len(found)
        n_faces += len(found)
        np.testing.assert_allclose(found[:, :14], expected[:, :14], atol=0.01)
        np.testing.assert_allclose(found[:, 14], expected[:, 14], atol=1e-4)
    assert n_faces >= 8


@pytest.mark.parametrize("n_bytes", [0, 1, 100, 20_000, 232_588])
def test_a_file_of_yunet_that_was_cut_off_is_an_error(yunet_path: Path, n_bytes: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        YuNet(yunet_path.read_bytes()[:n_bytes])


def test_another_network_is_not_yunet(model_path: Path) -> None:
    """A model that onnxruntime loads, but whose outputs are others."""
    with pytest.raises(ValueError, match="it gives "):
        YuNet(model_path.read_bytes())


def test_one_yunet_serves_several_threads(yunet: YuNetDetector, photographs: Photographs) -> None:
    """Pictures of different sizes at once: each gets its own faces."""
    pictures = [
        np.asarray(cv2.resize(to_rgb(image), (side, side)), np.uint8)
        for (image, _), side in zip(photographs[:4], (200, 320, 260, 400), strict=True)
    ]
    alone = [yunet.find_faces(picture)[0].box_xyxy for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(yunet.find_faces, pictures * 6))
    for index, faces in enumerate(together):
        np.testing.assert_allclose(faces[0].box_xyxy, alone[index % 4], atol=1e-3)


def test_yunet_finds_nothing_in_an_empty_picture(yunet: YuNetDetector) -> None:
    """Noise and plain pictures of any shape have no face."""
    noise = np.random.default_rng(0).integers(0, 255, (300, 500, 3), dtype=np.uint8)
    assert yunet.find_faces(noise) == []
    for shape in ((1, 1, 3), (1, 900), (30, 900), (2000, 3, 3)):
        assert yunet.find_faces(np.zeros(shape, np.uint8)) == []


def test_fer_faces_are_found(yunet: YuNetDetector) -> None:
    """Nine of ten FER faces of 48 pixels are found."""
    path = SHARED / "data" / "ferplus" / "FER2013Valid.zip"
    if not path.exists():
        pytest.skip("needs ferplus of the shared data (MIEN_SHARED)")
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        names = [name for name in archive.namelist() if name.endswith(".png")][::70]
        found = [bool(yunet.find_faces(decode_image(archive.read(name)))) for name in names]
    assert sum(found) >= 0.9 * len(found)
