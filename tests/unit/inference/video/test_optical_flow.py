"""Faces carried from one frame to the next by optical flow."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mien.faces.detector import DetectedFace
from mien.inference.video.optical_flow import propagate_face

FACE = DetectedFace(np.array([120.0, 80, 200, 160]), 0.9, None)


def texture(seed: int, height: int, width: int) -> NDArray[np.uint8]:
    """Return a texture with corners."""
    coarse = np.random.default_rng(seed).integers(0, 255, (height // 8 + 1, width // 8 + 1), np.uint8)
    fine = np.kron(coarse, np.ones((8, 8), np.uint8))[:height, :width]
    return np.repeat(fine[:, :, None], 3, axis=2)


@pytest.mark.parametrize(("scale", "angle_deg"), [(1.0, 0.0), (1.05, 0.0), (1.0, 4.0)])
def test_a_face_moves_with_the_image(scale: float, angle_deg: float) -> None:
    """Box and points follow translation with scaling or rotation, to within a pixel or two."""
    image = texture(0, 240, 320)
    motion = cv2.getRotationMatrix2D((160, 120), angle_deg, scale)
    motion[:, 2] += (6, -4)
    after = cv2.warpAffine(image, motion, (320, 240))
    points = np.array([[140.0, 110], [180, 110], [160, 125], [145, 140], [175, 140]])
    moved = propagate_face(image, after, DetectedFace(np.array([120.0, 80, 200, 160]), 0.9, points))
    assert moved is not None
    assert moved.points is not None
    assert moved.score is None
    np.testing.assert_allclose(moved.points, points @ motion[:, :2].T + motion[:, 2], atol=1.0)
    center = motion[:, :2] @ (160, 120) + motion[:, 2]
    np.testing.assert_allclose((moved.box_xyxy[:2] + moved.box_xyxy[2:]) / 2, center, atol=1.0)
    assert moved.box_xyxy[2] - moved.box_xyxy[0] == pytest.approx(80 * scale, abs=1.5)


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(texture(1, 240, 320), id="another scene"),
        pytest.param(np.full((240, 320, 3), 90, np.uint8), id="empty"),
    ],
)
def test_a_face_that_disappears_is_not_propagated(after: NDArray[np.uint8]) -> None:
    assert propagate_face(texture(0, 240, 320), after, FACE) is None


def test_a_face_outside_the_image_is_not_propagated() -> None:
    image = texture(0, 240, 320)
    assert propagate_face(image, image, DetectedFace(np.array([900.0, 80, 940, 120]), 0.9, None)) is None
