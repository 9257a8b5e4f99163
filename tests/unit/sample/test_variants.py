"""Drawn faces at several levels of one trait: only that trait differs."""

import numpy as np
import pytest

from mien.sample.identity import SKIN_COLORS
from mien.sample.image import draw_image
from mien.sample.variants import CONTROL, TRAITS, DrawnFace, DrawnVariants


@pytest.fixture(scope="module")
def faces() -> list[DrawnFace]:
    """Two faces in all variants."""
    return list(DrawnVariants(2, seed=3))


def test_every_face_has_every_level(faces: list[DrawnFace]) -> None:
    """Once each, the first level of a trait first, and as many as the length says."""
    assert len(faces) == len(DrawnVariants(2, seed=3))
    places = [(face.trait, face.level) for face in faces if face.number == 1]
    expected = [(trait, level) for trait, levels in TRAITS.items() for level in levels]
    assert places[: len(expected)] == expected
    assert [trait for trait, _ in places[len(expected) :]] == [CONTROL] * 2


def test_only_the_trait_changes(faces: list[DrawnFace]) -> None:
    """Expression, landmarks, box and background are the same in all variants; the image differs between levels."""
    first = [face for face in faces if face.number == 0 and face.trait != CONTROL]
    for face in first:
        np.testing.assert_array_equal(face.landmarks, first[0].landmarks)
        np.testing.assert_array_equal(face.box_xyxy, first[0].box_xyxy)
        assert face.class_name == first[0].class_name
        # The corner at the top is background, with its grain, in this image.
        np.testing.assert_array_equal(face.image_rgb[:8, :8], first[0].image_rgb[:8, :8])
    for trait, levels in TRAITS.items():
        images = [face.image_rgb.tobytes() for face in first if face.trait == trait]
        assert len(set(images)) == len(levels), trait


def test_the_control_is_the_sampled_face_and_a_moved_crop(faces: list[DrawnFace]) -> None:
    """The image is the same, box and landmarks are one percent of the face's width to the side."""
    plain, moved = (face for face in faces if face.number == 0 and face.trait == CONTROL)
    sampled = draw_image(plain.class_name, seed=3, index=0)
    np.testing.assert_array_equal(plain.image_rgb, sampled.pixels)
    np.testing.assert_array_equal(plain.image_rgb, moved.image_rgb)
    by = moved.landmarks - plain.landmarks
    np.testing.assert_allclose(by, np.tile([0.01 * sampled.box_xywh[2], 0], (68, 1)), atol=1e-9)
    np.testing.assert_allclose(moved.box_xyxy - plain.box_xyxy, np.tile(by[0], 2), atol=1e-9)


def test_skin_tones_get_darker(faces: list[DrawnFace]) -> None:
    """The middle of the face has the order of the tones."""
    means = []
    for face in faces:
        if face.number == 0 and face.trait == "skin tone":
            x, y = face.landmarks[27:36].mean(axis=0).astype(int)
            means.append(face.image_rgb[y - 6 : y + 6, x - 6 : x + 6].mean())
    assert means == sorted(means, reverse=True)
    assert means[0] > 1.5 * means[-1]
    assert len(SKIN_COLORS) == 8
