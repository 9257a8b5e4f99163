"""How well a face can be seen."""

import copy

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mien.faces.crop import crop_image, crop_matrix
from mien.faces.detector import DetectedFace
from mien.faces.landmarks import five_from_landmarks
from mien.faces.quality import (
    CROP,
    QUALITY,
    FaceQuality,
    check_quality_rule,
    estimate_pose,
    measure_cover,
    measure_quality,
)

pytestmark = pytest.mark.usefixtures("quality_limits")

POINTS = np.array([[35.0, 40], [65, 40], [50, 58], [38, 76], [62, 76]])
# Tip of the nose, eyes and mouth corners of a head in three dimensions: x right, y down, z to the viewer.
HEAD = np.array([[-165.0, -170, -135], [165, -170, -135], [0, 0, 0], [-150, 150, -125], [150, 150, -125]])


def make_face(seed: int = 0, side: int = 100) -> tuple[NDArray[np.uint8], DetectedFace]:
    """Return an image with texture everywhere, and a face in it."""
    rng = np.random.default_rng(seed)
    small = rng.integers(60, 200, (25, 25), dtype=np.uint8)
    gray = cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC)
    image = np.repeat(gray[..., None], 3, axis=2)
    scale = side / 100
    return image, DetectedFace(np.array([20.0, 20, 80, 95]) * scale, 0.9, POINTS * scale)


def test_light_and_size_are_those_of_the_pixels() -> None:
    """Half the light halves brightness and contrast, and leaves sharpness; the size is the box's shorter side."""
    image, face = make_face()
    plain, dim = measure_quality(image, face), measure_quality(image // 2, face)
    assert plain.face_px == 60
    assert dim.brightness == pytest.approx(plain.brightness / 2, rel=0.02)
    assert dim.contrast == pytest.approx(plain.contrast / 2, rel=0.02)
    assert dim.sharpness == pytest.approx(plain.sharpness, rel=0.05)


def test_the_crop_of_the_model_gives_the_same_quality() -> None:
    """A face that has been aligned already is not cropped again."""
    image, face = make_face(side=300)
    matrix, method = crop_matrix(CROP, (300, 300), anchors=face.anchors, box_xyxy=face.box_xyxy)
    assert method == "aligned"
    aligned = crop_image(image, matrix, CROP.size)
    assert measure_quality(image, face, aligned_rgb=aligned) == measure_quality(image, face)
    other, _ = make_face(seed=1, side=300)
    assert (
        measure_quality(other, face, aligned_rgb=aligned).sharpness == measure_quality(image, face).sharpness
    )


def test_the_cover_is_read_from_the_moments_of_blocks() -> None:
    """As in numpy, block by block."""
    gray = np.random.default_rng(0).uniform(0, 255, (48, 48))
    normalized = (gray - gray.mean()) / (gray.std() + 1e-6)
    blocks = [normalized[y : y + 8, x : x + 8] for y in range(0, 48, 8) for x in range(0, 48, 8)]
    features = [np.log(0.05 + block.std()) for block in blocks] + [block.mean() for block in blocks]
    logit = QUALITY["covered_bias"] + np.dot(QUALITY["covered_weights"], features)
    assert measure_cover(gray) == pytest.approx(1 / (1 + np.exp(-logit)), rel=1e-9)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda image: image, ""),
        (lambda image: image // 12, "too dark"),
        (lambda image: cv2.GaussianBlur(image, (0, 0), 8), "blurred"),
    ],
)
def test_the_reason_says_what_is_wrong(change: object, reason: str) -> None:
    """A face that is seen well has none."""
    image, face = make_face()
    found = measure_quality(np.asarray(change(image), np.uint8), face)  # type: ignore[operator]
    assert FaceQuality(100, found.sharpness, found.brightness, found.contrast).find_reason() == reason


def test_a_tiny_face_is_too_small() -> None:
    """Whatever else is right."""
    image, face = make_face()
    tiny = DetectedFace(face.box_xyxy * 0.3, 0.9, POINTS)
    assert measure_quality(image, tiny).find_reason() == "too small"


def test_a_model_can_have_its_own_limits() -> None:
    """Those of quality.json are for models without."""
    dark = FaceQuality(100, 0.5, 0.05, 0.1, covered=0.9)
    rule = copy.deepcopy({part: QUALITY[part] for part in ("limits", "right_answers")})
    rule["limits"]["least_brightness"] = 0.03
    assert (dark.find_reason(), dark.find_reason(rule)) == ("too dark", "covered")


@pytest.mark.parametrize(
    ("part", "change", "problem"),
    [
        (None, {}, ""),
        (None, {"more": 1}, "only"),
        ("limits", {"least_face_px": 20.5}, ""),
        (
            "limits",
            {"least_brightness": 1.5},
            "`limits.least_brightness` must be a number from 0 to 1, got 1.5",
        ),
        ("limits", {"least_sharpness": "0.1"}, "must be a number"),
        ("limits", {"least_face_px": float("inf")}, "must be a number"),
        ("limits", {"least_light": 1}, "`limits` must have least_face_px"),
        ("right_answers", {"too dark": float("nan")}, "must be a number"),
    ],
)
def test_a_rule_is_checked(part: str | None, change: dict[str, object], problem: str) -> None:
    """Names and ranges; what is wrong is named."""
    rule = copy.deepcopy({part: QUALITY[part] for part in ("limits", "right_answers")})
    (rule if part is None else rule[part]).update(change)
    found = check_quality_rule(rule)
    assert problem in found
    assert bool(problem) == bool(found)


@pytest.mark.parametrize("rule", [None, [], {}, {"limits": {}}, {"limits": [1], "right_answers": {}}])
def test_something_else_is_no_rule(rule: object) -> None:
    assert check_quality_rule(rule)


def test_a_plain_patch_over_mouth_and_nose_is_a_cover() -> None:
    """The lower half in one color, with sharp edges; without points nothing is said."""
    image, face = make_face()
    covered = image.copy()
    covered[58:, 15:85] = 230
    before, after = (measure_quality(pixels, face).covered for pixels in (image, covered))
    assert before is not None
    assert after is not None
    assert after > 0.8 > before
    assert measure_quality(covered, DetectedFace(face.box_xyxy, None, None)).covered is None


@pytest.mark.parametrize("quarter_turns", range(4))
def test_a_mouth_beyond_the_edge_of_the_image_is_not_seen(quarter_turns: int) -> None:
    """The image ends between nose and mouth, at any of its edges; the mouth's place is the detector's guess."""
    image, face = make_face()
    turned = np.ascontiguousarray(np.rot90(image, quarter_turns))
    points = POINTS
    for _ in range(quarter_turns):
        points = np.stack([points[:, 1], 100 - points[:, 0]], axis=1)
    assert measure_quality(turned, DetectedFace(face.box_xyxy, 0.9, points)).covered != 1
    mouth, nose = points[3:].mean(axis=0), points[2]
    axis = int(np.argmax(np.abs(mouth - nose)))
    edge = round((mouth + nose)[axis] / 2)
    side = slice(None, edge) if mouth[axis] > nose[axis] else slice(edge, None)
    cut = np.ascontiguousarray(turned[side] if axis == 1 else turned[:, side])
    shift = np.zeros(2)
    shift[axis] = side.start or 0
    quality = measure_quality(cut, DetectedFace(face.box_xyxy, 0.9, points - shift))
    assert (quality.covered, quality.find_reason()) == (1, "covered")


@pytest.mark.parametrize(
    "angles", [(0, 0, 0), (30, 0, 0), (-170, 0, 0), (0, 35, 0), (0, 0, -25), (90, -20, 10)]
)
def test_the_pose_is_that_of_a_turned_head(angles: tuple[float, float, float]) -> None:
    """Seen from far away, the generic head is found as it was turned, at any size and place."""
    roll, yaw, pitch = np.deg2rad(angles)
    rotate_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    rotate_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    rotate_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    points = (rotate_z @ rotate_y @ rotate_x @ HEAD.T).T[:, :2] * 0.3 + (200, 100)
    found = estimate_pose(points)
    assert found == pytest.approx(angles, abs=1e-6)


def test_five_points_of_68() -> None:
    """Centers of the eyes, tip of the nose, corners of the mouth, in the order of the detector."""
    landmarks = np.zeros((68, 2))
    landmarks[36:42], landmarks[42:48], landmarks[30], landmarks[48], landmarks[54] = POINTS
    np.testing.assert_allclose(five_from_landmarks(landmarks), POINTS, rtol=1e-12)
