"""The small version of a crop by which copies are found."""

import cv2
import numpy as np
import pytest

from mien.faces.thumbnail import OUTSIDE, THUMBNAIL_SIDE, fill_outside, thumbnail


def detailed(side: int, seed: int = 0) -> np.ndarray:
    """A gray image with detail, nowhere black."""
    small = np.random.default_rng(seed).integers(60, 240, (9, 9), dtype=np.uint8)
    return cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC).clip(40, 255).astype(np.uint8)


def test_an_image_without_black_is_a_block_mean() -> None:
    """Color or gray, of any size, within the rounding of two steps."""
    for side in (64, 256, 224):
        gray = detailed(side)
        expected = cv2.resize(gray, (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA)
        for pixels in (gray, np.dstack([gray] * 3)):
            shown = thumbnail(pixels)
            assert shown.dtype == np.uint8
            assert np.abs(shown.astype(int) - expected).max() <= 1
            assert shown.min() > OUTSIDE


@pytest.mark.parametrize("turn_deg", [0, 7, -12])
def test_the_image_in_a_crop_is_centered_and_scaled(turn_deg: float) -> None:
    """Where the crop reaches beyond the image is marked; the rest looks alike, wherever it lies in the crop."""
    image = detailed(180)
    ones = []
    for x, y, zoom in ((0, 0, 1.0), (18, -14, 0.85), (-30, 20, 0.75)):
        matrix = cv2.getRotationMatrix2D((89.5, 89.5), turn_deg, zoom)
        matrix[:, 2] += (38 + x, 38 + y)
        crop = cv2.warpAffine(image, matrix, (256, 256))
        ones.append(thumbnail(crop))
        inside = ones[-1] != OUTSIDE
        assert 0.75 < inside.mean() <= 1
    inside = np.all([one != OUTSIDE for one in ones], axis=0)
    assert inside.mean() > 0.7
    for other in ones[1:]:
        assert np.corrcoef(ones[0][inside], other[inside])[0, 1] > 0.97


def test_dark_parts_of_an_image_are_inside() -> None:
    """Hair and pupils are black too; so are nights, which have no outline at all."""
    image = detailed(200)
    image[60:90, 60:90] = 0
    image[:, 190:] = 0
    assert (thumbnail(image) != OUTSIDE)[5:25, 5:25].all()
    night = np.zeros((96, 96, 3), np.uint8)
    night[40:50, 40:50] = 200
    assert (thumbnail(night) != OUTSIDE).all()
    assert (thumbnail(np.zeros((48, 48), np.uint8)) != OUTSIDE).all()


def test_pixels_outside_get_the_nearest_value() -> None:
    """So that there is no edge between the image and nothing."""
    shown = np.full((32, 32), OUTSIDE, np.uint8)
    shown[8:24, 8:16], shown[8:24, 16:24] = 70, 150
    filled = fill_outside(shown)
    assert (filled[:, :12] == 70).all()
    assert (filled[:, 20:] == 150).all()
    np.testing.assert_array_equal(fill_outside(filled), filled)
    empty = np.full((32, 32), OUTSIDE, np.uint8)
    np.testing.assert_array_equal(fill_outside(empty), empty)
