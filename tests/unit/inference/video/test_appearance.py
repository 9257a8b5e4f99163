"""How alike faces look."""

import cv2
import numpy as np

from mien.faces.detector import DetectedFace
from mien.inference.video.appearance import describe_face

FACE = DetectedFace(np.array([20.0, 20, 100, 100]), 0.9, None)


def texture(seed: int) -> np.ndarray:
    """Return a smooth random image."""
    noise = np.random.default_rng(seed).integers(0, 255, (120, 120, 3), np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 6), None, 0, 255, cv2.NORM_MINMAX)


def test_the_product_of_descriptors_is_a_correlation() -> None:
    """It does not depend on brightness and contrast, and is low for another face."""
    first, darker = describe_face(texture(0), FACE), describe_face(texture(0) // 2 + 30, FACE)
    other = describe_face(texture(1), FACE)
    assert first is not None
    assert darker is not None
    assert other is not None
    assert first @ first == np.float32(1) or abs(first @ first - 1) < 1e-5
    assert first @ darker > 0.99
    assert abs(first @ other) < 0.5


def test_a_uniform_patch_tells_nothing() -> None:
    assert describe_face(np.full((120, 120, 3), 90, np.uint8), FACE) is None
