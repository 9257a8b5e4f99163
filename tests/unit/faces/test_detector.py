"""The faces that the detectors find."""

import io
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mien.errors import ModelError
from mien.faces import detector
from mien.faces.boxes import iou_xyxy
from mien.faces.detector import (
    CascadeDetector,
    DetectedFace,
    YuNetDetector,
    describe_detector,
    load_detector,
    longest_side,
    turn_back,
)
from mien.faces.images import decode_image, to_rgb
from mien.faces.landmarks import anchors_from_landmarks

PACKAGE = Path(detector.__file__).parents[1]
SHARED = Path(os.environ.get("MIEN_SHARED", Path(__file__).resolve().parents[4] / "shared"))
Photographs = list[tuple[NDArray[np.uint8], NDArray[np.float64]]]


def test_a_detector_is_described_by_what_it_is(tmp_path: Path) -> None:
    """By the content of its file, wherever it is; the cascade likewise."""
    descriptions = []
    for folder, content in (("a", b"one"), ("b", b"one"), ("c", b"other")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "yunet.onnx").write_bytes(content)
        descriptions.append(describe_detector(tmp_path / folder / "yunet.onnx"))
    assert descriptions[0] == descriptions[1] != descriptions[2]
    assert describe_detector(None)["name"] == "cascade"
    assert len(describe_detector(None)["sha256"]) == 64


class BrightSquare:
    """Instead of the network: detects a white square of 20 to 200 pixels as a face."""

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
def test_two_passes_find_faces_that_one_does_not(side: int, at: tuple[int, int]) -> None:
    """Small faces in a large image are found by the second pass, large ones by the first, medium ones only once."""
    found = YuNetDetector.__new__(YuNetDetector)
    found._network = BrightSquare()  # type: ignore[assignment]
    photo = np.full((1000, 1280, 3), 90, np.uint8)
    photo[at[0] : at[0] + side, at[1] : at[1] + side] = 255
    (face,) = found.find_faces(photo)
    np.testing.assert_allclose(face.box_xyxy, [at[1], at[0], at[1] + side, at[0] + side], atol=10)


def test_without_network_the_cascade_serves_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """One line says that the cascade is used and how to get the file."""
    assert isinstance(load_detector(), CascadeDetector)
    warnings = [line for line in caplog.messages if "cascade" in line]
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
    """Eyes and mouth corners of five points are in the order of those of 68 landmarks."""
    landmarks = np.zeros((68, 2))
    landmarks[36:42], landmarks[42:48], landmarks[48], landmarks[54] = (30, 40), (70, 40), (35, 80), (65, 80)
    # the order that OpenCV's documentation gives: right eye, left eye, nose, right and left corner of the mouth,
    # of the person, whose right is the photo's left
    points = np.array([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]], dtype=np.float64)
    face = DetectedFace(np.zeros(4), 1.0, points)
    np.testing.assert_array_equal(face.anchors, anchors_from_landmarks(landmarks))


def test_a_face_without_points_has_no_anchors() -> None:
    """The cascade's faces fall back to the box."""
    assert DetectedFace(np.zeros(4), None, None).anchors is None


def test_the_cascade_finds_nothing_in_an_empty_image() -> None:
    """A plain photo, gray or colored, has no face."""
    assert CascadeDetector().find_faces(np.full((64, 80, 3), 90, np.uint8)) == []
    assert CascadeDetector().find_faces(np.full((64, 80), 90, np.uint8)) == []
    # A strip is not shrunk to nothing.
    assert CascadeDetector().find_faces(np.full((1, 3000), 90, np.uint8)) == []
    assert CascadeDetector().find_faces(np.full((16000, 3, 3), 90, np.uint8)) == []


def test_one_cascade_serves_several_threads() -> None:
    """Each image has the face that it has when it is processed alone."""
    face = to_rgb(decode_image((PACKAGE / "bench" / "image.jpg").read_bytes()))
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
    """A face that fills a tiny or a large photo is found, at the position that scaling moves it to."""
    for image, _ in photographs[:4]:
        scaled = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        one, other = yunet.find_faces(image), yunet.find_faces(np.asarray(scaled, np.uint8))
        assert len(other) == 1
        scale = np.array([side / image.shape[1], side / image.shape[0]] * 2)
        np.testing.assert_allclose(other[0].box_xyxy / scale, one[0].box_xyxy, atol=0.12 * image.shape[0])


def test_yunet_finds_small_faces_next_to_large_ones(yunet: YuNetDetector, photographs: Photographs) -> None:
    """Faces of 80 to 600 pixels in one photo are all found once, the largest first."""
    photo = np.full((1000, 1600, 3), 120, np.uint8)
    sides, x = (700, 350, 200, 110), 20
    for (image, _), side in zip(photographs[:4], sides, strict=True):
        photo[100 : 100 + side, x : x + side] = cv2.resize(to_rgb(image), (side, side))
        x += side + 40
    faces = yunet.find_faces(photo)
    assert len(faces) == 4
    assert [face.area for face in faces] == sorted((face.area for face in faces), reverse=True)
    assert np.all(np.diff([face.box_xyxy[0] for face in faces]) > 0)


def test_yunet_finds_faces_of_a_crowd(yunet: YuNetDetector, photographs: Photographs) -> None:
    """Faces of about 35 pixels in a photo of 1280 are only found at full size."""
    photo = np.full((960, 1280, 3), 120, np.uint8)
    for number, (image, _) in enumerate(photographs[:12]):
        x, y = 100 + 280 * (number % 4), 120 + 280 * (number // 4)
        photo[y : y + 70, x : x + 70] = cv2.resize(to_rgb(image), (70, 70), interpolation=cv2.INTER_AREA)
    assert len(yunet.find_faces(photo)) >= 11


@pytest.mark.parametrize("share", [0.07, 0.12, 0.2, 0.35, 0.6])
def test_yunet_finds_faces_of_a_known_size_in_one_pass(
    yunet: YuNetDetector, photographs: Photographs, share: float
) -> None:
    """Nearly all that two passes find, whatever fraction of the image they take up."""
    found = 0
    for image, _ in photographs[:20]:
        box = yunet.find_faces(image)[0].box_xyxy
        side = share * 1280
        scale = side / (box[2:] - box[:2]).max()
        small = cv2.resize(to_rgb(image), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[:900]
        photo = np.full((960, 1280, 3), 120, np.uint8)
        photo[20 : 20 + small.shape[0], 30 : 30 + small.shape[1]] = small
        found += len(yunet.find_faces_like(photo, smallest=side, largest=side)) == 1
    assert found >= 19


@pytest.mark.parametrize("turns", range(4))
def test_a_face_is_mapped_back_from_a_turned_copy(turns: int) -> None:
    """A point of an image that is wider than high has the same pixel under it after a turn and back."""
    image = np.arange(5 * 8).reshape(5, 8)
    turned = np.rot90(image, turns)
    for y, x in np.ndindex(turned.shape):
        face = DetectedFace(np.array([x, y, x + 1, y + 1.0]), 0.9, np.tile([x + 0.5, y + 0.5], (5, 1)))
        back = turn_back(face, turns, (8, 5))
        assert back.points is not None
        column, row = np.floor(back.points[0]).astype(int)
        assert image[row, column] == turned[y, x]
        np.testing.assert_array_equal(back.box_xyxy, [column, row, column + 1, row + 1])


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("factor", [1, 3], ids=["close-up", "photo"])
def test_yunet_finds_a_face_at_any_roll(
    yunet: YuNetDetector, photographs: Photographs, turns: int, factor: int
) -> None:
    """A turned photo has the face of the upright one: eyes, nose and mouth where they are, not mirrored."""
    for image, _ in photographs[:5]:
        height, width = image.shape[:2]
        photo = np.full((height * factor, width * factor, 3), 110, np.uint8)
        photo[:height, :width] = to_rgb(image)
        upright = yunet.find_faces(photo)[0]
        (found,) = yunet.find_faces(np.ascontiguousarray(np.rot90(photo, turns)))
        back = turn_back(found, turns, (width * factor, height * factor))
        assert back.points is not None
        errors = np.linalg.norm(back.points - upright.points, axis=1)
        assert errors.mean() < 0.1 * longest_side(upright)
        assert abs(abs(found.roll_deg) - {1: 90, 2: 180, 3: 90}[turns]) < 25


@pytest.mark.parametrize(("side", "n_least"), [(48, 10), (24, 8), (20, 7)])
def test_yunet_finds_small_faces(
    yunet: YuNetDetector, photographs: Photographs, side: int, n_least: int
) -> None:
    """In 640x480 pixels."""
    n_found = 0
    for image, _ in photographs[:10]:
        scale = side / longest_side(yunet.find_faces(image)[0])
        face = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        photo = np.full((480, 640, 3), 110, np.uint8)
        photo[200 : 200 + face.shape[0], 300 : 300 + face.shape[1]] = to_rgb(np.asarray(face, np.uint8))
        n_found += len(yunet.find_faces(photo)) == 1
    assert n_found >= n_least


@pytest.mark.parametrize(
    ("score", "side", "height", "is_close_up"),
    [
        (0.25, 150, 267, True),
        (0.25, 90, 267, False),
        (0.15, 150, 267, False),
        (0.25, 150, 500, True),
        (0.25, 150, 560, False),
    ],
)
def test_a_close_up_that_is_missed_fills_the_image(
    score: float, side: int, height: int, is_close_up: bool
) -> None:
    """A candidate that is too faint for a face, and covers a third of the image or more, which is not stretched."""

    class Faint:
        def detect(self, image_bgr: NDArray[np.uint8], *, score_threshold: float) -> NDArray[np.float32]:
            row = np.full((1, 15), score, np.float32)
            row[0, :4] = 60, 60, side, side
            return row[[score >= score_threshold]]

    found = YuNetDetector.__new__(YuNetDetector)
    found._network = Faint()  # type: ignore[assignment]
    image = np.full((height, 267, 3), 90, np.uint8)
    assert found.find_faces(image) == []
    assert found.fills_image(image) == is_close_up
    found._min_face_px = 268
    assert not found.fills_image(image)


def test_boxes_are_in_pixels_of_the_image_at_any_size() -> None:
    """An odd last row or column is dropped when the image is halved: it must not stretch the coordinates."""
    seen: list[tuple[int, ...]] = []

    class Everything:
        def detect(self, image_bgr: NDArray[np.uint8], *, score_threshold: float) -> NDArray[np.float32]:
            seen.append(image_bgr.shape[:2])
            row = np.full((1, 15), score_threshold, np.float32)
            row[0, :4] = 0, 0, image_bgr.shape[1], image_bgr.shape[0]
            return row

    found = YuNetDetector.__new__(YuNetDetector)
    found._network = Everything()  # type: ignore[assignment]
    face = found._find_at(np.zeros((1503, 1997, 3), np.uint8), 0.2, border=0)[0]
    assert seen == [(301, 399)]
    np.testing.assert_allclose(face.box_xyxy, [0, 0, 1996, 1500])


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Record the width at which YuNet looks at an image, and the border."""
    looks: list[tuple[int, int]] = []
    real = YuNetDetector._find_at

    def find_at(
        self: YuNetDetector,
        image_bgr: NDArray[np.uint8],
        scale: float,
        *,
        border: int,
        score_threshold: float = 0.7,
    ) -> list[DetectedFace]:
        looks.append((round(image_bgr.shape[1] * scale), border))
        return real(self, image_bgr, scale, border=border, score_threshold=score_threshold)

    monkeypatch.setattr(YuNetDetector, "_find_at", find_at)
    return looks


def test_yunet_looks_for_small_faces_only_where_one_may_be(
    yunet: YuNetDetector, photographs: Photographs, looks: list[tuple[int, int]]
) -> None:
    """An image is enlarged if there is a small face, or none, but not for a portrait."""
    face = cv2.resize(to_rgb(photographs[0][0]), (200, 200), interpolation=cv2.INTER_AREA)
    widths = {}
    for side in (200, 36, 1):
        photo = np.full((480, 640, 3), 110, np.uint8)
        photo[100 : 100 + side, 200 : 200 + side] = cv2.resize(
            face, (side, side), interpolation=cv2.INTER_AREA
        )
        looks.clear()
        yunet.find_faces(photo)
        widths[side] = [width for width, _ in looks if width >= 640]
    assert widths == {200: [640], 36: [640, 1280], 1: [640, 1280]}


def test_faces_below_a_size_are_left_out_and_not_searched_for(
    yunet: YuNetDetector, photographs: Photographs, looks: list[tuple[int, int]]
) -> None:
    """The passes are as fine as the smallest face that is wanted needs; larger faces are the same ones."""
    photo = np.full((480, 640, 3), 110, np.uint8)
    for (image, _), side, left in zip(photographs[:2], (360, 60), (20, 450), strict=True):
        photo[60 : 60 + side, left : left + side] = cv2.resize(to_rgb(image), (side, side))
    (large, small) = yunet.find_faces(photo)
    least = min(small.box_xyxy[2:] - small.box_xyxy[:2])
    widths = []
    for min_face_px, n_faces in ((least - 2, 2), (1.2 * least, 1), (100, 1), (10**400, 0)):
        looks.clear()
        finder = copy(yunet.with_min_face_px(min_face_px))
        found = finder.find_faces(photo)
        widths.append(max(width for width, _ in looks))
        assert len(found) == n_faces
        for face, expected in zip(found, (large, small), strict=False):
            assert iou_xyxy(face.box_xyxy[None], expected.box_xyxy[None])[0, 0] > 0.8
        like = finder.find_faces_like(photo, smallest=least, largest=200)
        assert len(like) <= n_faces
    assert len(yunet.find_faces(photo)) == 2
    with pytest.raises(ValueError, match="0 or more, got -1"):
        yunet.with_min_face_px(-1)
    # A second pass that is no larger than that for close-ups is left out.
    assert widths == [max(267, round(640 * 28 / px)) for px in (least - 2, 1.2 * least, 100, 1000)]
    assert widths[0] > 267


def test_a_face_is_left_out_that_a_second_look_finds_to_be_small() -> None:
    """The box is that of the look which scores highest."""

    class Turned:
        n_looks = 0

        def detect(self, image_bgr: NDArray[np.uint8], *, score_threshold: float) -> NDArray[np.float32]:
            row = np.full((1, 15), 0.75, np.float32)
            row[0, :4] = 60, 60, 100, 100
            if image_bgr.shape[:2] == (160, 160):
                row[0, :4] = 50, 50, 60, 60
                row[0, 14] = 0.95 if self.n_looks else 0.7
                self.n_looks += 1
            return row[[row[0, 14] >= score_threshold]]

    image = np.full((267, 267, 3), 90, np.uint8)
    sides = {}
    for least in (70, 90):
        yunet = YuNetDetector.__new__(YuNetDetector).with_min_face_px(least)
        yunet._network = Turned()  # type: ignore[assignment]
        sides[least] = [
            np.ptp(face.box_xyxy.reshape(2, 2), axis=0).round() for face in yunet.find_faces(image)
        ]
    assert [side.tolist() for side in sides[70]] == [[75, 75]]
    assert sides[90] == []


def test_a_smallest_face_does_not_load_the_network_again(
    yunet: YuNetDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server asks for one in any request."""
    monkeypatch.setattr("mien.faces.detector.YuNet", lambda _data: pytest.fail("it was loaded"))
    monkeypatch.setattr("mien.faces.detector.read_detector_file", lambda _path: pytest.fail("it was read"))
    assert yunet.with_min_face_px(50).find_faces(np.zeros((64, 64, 3), np.uint8)) == []


def test_the_cascade_leaves_out_faces_below_a_size(photographs: Photographs) -> None:
    """Also a copy of it."""
    image = to_rgb(photographs[0][0])
    (face,) = CascadeDetector().find_faces(image)[:1]
    side = float((face.box_xyxy[2:] - face.box_xyxy[:2]).min())
    assert CascadeDetector().with_min_face_px(side).find_faces(image)
    assert not copy(CascadeDetector().with_min_face_px(side + 1)).find_faces(image)
    with pytest.raises(ValueError, match="0 or more, got nan"):
        CascadeDetector().with_min_face_px(float("nan"))


def test_yunet_runs_twice_if_no_scale_suits_all(yunet: YuNetDetector, looks: list[tuple[int, int]]) -> None:
    """Faces of 60 and 700 pixels need both passes; larger or medium ones only one."""
    photo = np.full((800, 1000, 3), 120, np.uint8)
    yunet.find_faces_like(photo, smallest=60, largest=700)
    assert looks[:2] == [(267, 27), (1000, 0)]
    looks.clear()
    yunet.find_faces_like(photo, smallest=400, largest=700)
    assert looks == [(267, 27)]
    looks.clear()
    yunet.find_faces_like(photo, smallest=160, largest=300)
    assert looks == [(500, 0)]


def test_one_yunet_serves_several_threads(yunet: YuNetDetector, photographs: Photographs) -> None:
    """Images of different sizes at once: each gets its own faces."""
    photos = [
        np.asarray(cv2.resize(to_rgb(image), (side, side)), np.uint8)
        for (image, _), side in zip(photographs[:4], (200, 320, 260, 400), strict=True)
    ]
    alone = [yunet.find_faces(photo)[0].box_xyxy for photo in photos]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(yunet.find_faces, photos * 6))
    for index, faces in enumerate(together):
        np.testing.assert_allclose(faces[0].box_xyxy, alone[index % 4], atol=1e-3)


def test_yunet_finds_nothing_in_an_empty_image(yunet: YuNetDetector) -> None:
    """Noise and plain photos of any shape have no face."""
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
