"""Drawn images: landmarks match what is painted, and images are reproducible."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.faces.classes import AFFECTNET_CLASSES
from mien.faces.images import decode_image
from mien.faces.landmarks import (
    FLIP_PERMUTATION,
    INNER_MOUTH,
    JAW,
    LEFT_EYE,
    RIGHT_EYE,
    anchors_from_landmarks,
)
from mien.sample.expressions import Movement
from mien.sample.geometry import Face, View, build_face
from mien.sample.identity import sample_identity
from mien.sample.image import draw_image, paint_head

GREEN = (0, 255, 0)
FRONTAL = View(np.array([200.0, 190.0]), scale=110.0)


@pytest.fixture
def face() -> Face:
    return make_face(Movement())


def make_face(movement: Movement) -> Face:
    identity = sample_identity(np.random.default_rng(4))
    look = identity.look._replace(hair_style="bald", beard="none", glasses=0, freckles=False, earrings=False)
    return build_face(identity._replace(look=look), movement)


def paint(face: Face, view: View = FRONTAL) -> np.ndarray:
    pixels = np.full((400, 400, 3), GREEN, dtype=np.uint8)
    paint_head(pixels, face, view, light_x=0.0)
    return pixels


def pixel_at(pixels: np.ndarray, point: np.ndarray) -> np.ndarray:
    x, y = np.floor(point).astype(int)
    return pixels[y, x].astype(int)


def height(landmarks: np.ndarray, upper: int, lower: int) -> float:
    return float(landmarks[lower, 1] - landmarks[upper, 1])


@pytest.mark.parametrize("class_name", AFFECTNET_CLASSES)
def test_the_same_index_gives_the_same_bytes(class_name: str) -> None:
    """An image depends only on class, seed and index."""
    first, other = draw_image(class_name, seed=3, index=7), draw_image(class_name, seed=3, index=7)
    assert first.jpeg == other.jpeg
    assert first.box_xywh == other.box_xywh
    assert draw_image(class_name, seed=4, index=7).jpeg != first.jpeg


def test_scene_has_no_landmarks() -> None:
    """A scene has a box, like AffectNet's rows, but no landmarks and no affect."""
    image = draw_image("NonFace", seed=0, index=1)
    assert image.landmarks is None
    assert image.valence is None
    assert min(image.box_xywh[2:]) > 0


@pytest.mark.parametrize("index", range(1, 31))
def test_landmarks_are_inside_image_and_box(index: int) -> None:
    """No face extends beyond the image, and the box, inside the image, contains nearly all of it."""
    image = draw_image(AFFECTNET_CLASSES[index % 10], seed=1, index=index)
    assert image.landmarks is not None
    size = np.array(image.pixels.shape[1::-1])
    assert 200 <= size.min() <= size.max() <= 420
    assert (image.landmarks > 0).all()
    assert (image.landmarks < size).all()
    left, top, width, tall = image.box_xywh
    assert left >= 0
    assert top >= 0
    assert left + width <= size[0]
    assert top + tall <= size[1]
    inside = ((image.landmarks >= (left, top)) & (image.landmarks <= (left + width, top + tall))).all(axis=1)
    assert inside.mean() > 0.8


def test_jpeg_contains_the_pixels() -> None:
    """The file is the image, except for compression."""
    image = draw_image("Happy", seed=0, index=1)
    difference = np.abs(decode_image(image.jpeg).astype(int) - image.pixels)
    assert difference.mean() < 8


def test_left_is_left_in_the_image(face: Face) -> None:
    """Landmarks called left have smaller x, following iBUG."""
    landmarks = face.landmarks(FRONTAL)
    assert landmarks[LEFT_EYE, 0].max() < landmarks[RIGHT_EYE, 0].min()
    assert landmarks[0, 0] < landmarks[8, 0] < landmarks[16, 0]
    assert (np.diff(landmarks[17:27, 0]) > 0).all()


def test_frontal_neutral_face_is_symmetric(face: Face) -> None:
    """A horizontal flip does not change the landmarks of a symmetric face."""
    landmarks = face.landmarks(FRONTAL)
    mirrored = landmarks[FLIP_PERMUTATION] * (-1, 1) + (2 * FRONTAL.center[0], 0)
    np.testing.assert_allclose(mirrored, landmarks, atol=1e-9)


def test_mirrored_face_is_turned_the_other_way(face: Face) -> None:
    """The flip permutation is also right for turned heads."""
    left = View(FRONTAL.center, FRONTAL.scale, yaw=-0.3, pitch=0.1, roll=-0.2)
    right = View(FRONTAL.center, FRONTAL.scale, yaw=0.3, pitch=0.1, roll=0.2)
    mirrored = face.landmarks(left)[FLIP_PERMUTATION] * (-1, 1) + (2 * FRONTAL.center[0], 0)
    np.testing.assert_allclose(mirrored, face.landmarks(right), atol=1e-9)


@pytest.mark.parametrize("yaw", [-0.3, 0.0, 0.3])
def test_jaw_landmarks_are_on_the_edge_of_the_painted_face(face: Face, yaw: float) -> None:
    """Three pixels outward from the cheek points there is background, three pixels inward there is skin."""
    view = View(FRONTAL.center, FRONTAL.scale, yaw=yaw)
    pixels, jaw = paint(face, view), face.landmarks(view)[JAW]
    middle = jaw.mean(axis=0)
    for point in jaw[[4, 5, 11, 12]]:
        outward = (point - middle) / np.linalg.norm(point - middle)
        assert (pixel_at(pixels, point - 3 * outward) != GREEN).any()
        if abs(point[0] - middle[0]) > 0.75 * FRONTAL.scale:  # the neck is behind the others
            assert (pixel_at(pixels, point + 3 * outward) == GREEN).all()


def test_eye_landmarks_surround_the_painted_eye(face: Face) -> None:
    """The pupil in the middle is darker than skin, and near the corners the eye is white."""
    pixels, landmarks = paint(face), face.landmarks(FRONTAL)
    for eye in (LEFT_EYE, RIGHT_EYE):
        points = landmarks[eye]
        assert pixel_at(pixels, points.mean(axis=0) - (0, 2)).sum() < 0.5 * face.identity.palette.skin.sum()
        inside = points[0] * 0.8 + points[3] * 0.2 + (0, 1)
        assert pixel_at(pixels, inside).min() > 140


def test_lips_are_between_outer_and_inner_mouth_landmarks(face: Face) -> None:
    """Between the outer and the inner edge of the lower lip, the image has the color of the lips."""
    pixels, landmarks = paint(face), face.landmarks(FRONTAL)
    lip = landmarks[57] * 0.75 + landmarks[66] * 0.25
    np.testing.assert_allclose(pixel_at(pixels, lip), face.identity.palette.lips, atol=14)


def test_open_mouth_is_dark_between_its_inner_landmarks() -> None:
    """With a dropped jaw, it is dark below the teeth and above the tongue."""
    face = make_face(Movement(jaw=1.0, pucker=0.6))
    landmarks = face.landmarks(FRONTAL)
    hole = landmarks[INNER_MOUTH].mean(axis=0)
    assert pixel_at(paint(face), hole).sum() < 300


@pytest.mark.parametrize(
    ("movement", "upper", "lower", "grows"),
    [
        pytest.param(Movement(jaw=1), 62, 66, True, id="jaw drop opens the mouth"),
        pytest.param(Movement(lid=1), 37, 41, True, id="raised lids open the eyes"),
        pytest.param(Movement(lid=-1), 37, 41, False, id="lowered lids close the eyes"),
        pytest.param(Movement(brow_inner=1), 21, 39, True, id="inner brows rise"),
        pytest.param(Movement(brow_outer=1), 18, 36, True, id="outer brows rise"),
        pytest.param(Movement(brow_knit=1), 21, 39, False, id="knit brows sink"),
        pytest.param(Movement(smile=1), 48, 57, True, id="a smile lifts the corners"),
        pytest.param(Movement(smile=-1), 48, 57, False, id="a frown drops the corners"),
        pytest.param(Movement(lip_up=1, part=1), 33, 51, False, id="a raised lip nears the nose"),
    ],
)
def test_movements_move_their_landmarks(
    face: Face, movement: Movement, upper: int, lower: int, grows: bool
) -> None:
    """Each movement changes the distance between its landmarks."""
    rest, moved = face.landmarks(FRONTAL), make_face(movement).landmarks(FRONTAL)
    change = height(moved, upper, lower) - height(rest, upper, lower)
    assert change > 2 if grows else change < -2


def test_contempt_lifts_one_corner_only() -> None:
    """The movement of contempt is one-sided."""
    moved, rest = (make_face(m).landmarks(FRONTAL) for m in (Movement(corner_asym=1), Movement()))
    lifts = rest[[48, 54], 1] - moved[[48, 54], 1]
    assert lifts[1] > 5
    assert lifts[0] < 2


def _detector_path() -> Path:
    shared = Path(os.environ.get("MIEN_SHARED", Path(__file__).parents[4] / "shared"))
    return shared / "models" / "face_detection_yunet_2023mar.onnx"


@pytest.mark.skipif(not _detector_path().exists(), reason="the YuNet detector file is not available")
def test_detector_trained_on_photos_agrees_with_the_landmarks() -> None:
    """YuNet detects a face in nearly every image, with eyes and mouth at the landmarks."""
    detector = cv2.FaceDetectorYN.create(str(_detector_path()), "", (320, 320), 0.6)
    errors = []
    for index in range(1, 31):
        image = draw_image(AFFECTNET_CLASSES[index % 10], seed=3, index=index)
        assert image.landmarks is not None
        detector.setInputSize(image.pixels.shape[1::-1])
        _, found = detector.detect(np.ascontiguousarray(image.pixels[:, :, ::-1]))
        if found is None:
            continue
        anchors = anchors_from_landmarks(image.landmarks)
        seen = found[0][4:14].reshape(5, 2)[[0, 1, 3, 4]]
        errors.append(np.linalg.norm(seen - anchors, axis=1) / np.linalg.norm(anchors[0] - anchors[1]))
    assert len(errors) >= 27
    assert np.median(errors) < 0.12
