"""Faces whose boxes or landmarks come with the image."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.faces.detector import DetectedFace
from mien.faces.landmarks import box_of_points
from mien.inference.given_faces import GivenFaces

IMAGE = np.zeros((60, 100, 3), np.uint8)
POINTS = np.array([[30.0, 20], [50, 20], [40, 30], [32, 40], [48, 40]])


class OneFace:
    """A detector that finds one face."""

    def find_faces(self, image_rgb: NDArray[np.uint8]) -> list[DetectedFace]:
        """Return it."""
        return [DetectedFace(np.array([20.0, 10, 60, 50]), 0.9, POINTS)]


def test_the_order_is_kept_and_the_points_are_those_of_the_face_in_the_box() -> None:
    """A box in which the detector finds nothing has none."""
    boxes = [[70, 0, 80, 10], [22, 12, 58, 52]]
    faces = GivenFaces(boxes, detector=OneFace()).find_faces(IMAGE)
    assert [face.box_xyxy.tolist() for face in faces] == boxes
    assert [face.found_by for face in faces] == ["given", "given"]
    assert faces[0].points is None
    np.testing.assert_array_equal(faces[1].points, POINTS)


@pytest.mark.parametrize("n_points", [5, 68])
def test_landmarks_are_enough(n_points: int) -> None:
    """The box is that of the whole face: the bounds of 68, which are reduced to five, or an estimate from five."""
    landmarks = np.zeros((68, 2))
    landmarks[:] = POINTS[2]
    landmarks[0], landmarks[8], landmarks[16], landmarks[19] = (18, 25), (40, 56), (62, 25), (33, 12)
    landmarks[36:42], landmarks[42:48], landmarks[30], landmarks[48], landmarks[54] = POINTS
    given = landmarks if n_points == 68 else POINTS
    (face,) = GivenFaces(None, given[None]).find_faces(IMAGE)
    np.testing.assert_allclose(face.points, POINTS, rtol=1e-12)
    np.testing.assert_allclose(face.box_xyxy, [18, 12, 62, 56])


def test_the_box_of_five_points_turns_with_them() -> None:
    """Of a face that lies on its side, and of one upside down."""
    center = np.array([40.0, 30])
    quarter = center + (POINTS - center) @ np.array([[0, 1], [-1, 0]])
    np.testing.assert_allclose(box_of_points(quarter), [14, 8, 58, 52])
    np.testing.assert_allclose(box_of_points(2 * center - POINTS), [18, 4, 62, 48])


@pytest.mark.parametrize(
    "points", [POINTS, 80 - POINTS, [[40, 20], [40.2, 19], [55, 30], [40, 40], [40.2, 40]]]
)
def test_a_face_in_any_pose_is_none_that_is_mirrored(points: object) -> None:
    """Also upside down, and from the side, where the eyes are in one place."""
    assert len(GivenFaces([[0, 0, 100, 60]], np.array([points]))) == 1


@pytest.mark.parametrize(
    ("boxes", "landmarks", "message"),
    [
        (None, None, "required"),
        ([1, 2, 3, 4], None, r"must be \(N, 4\)"),
        ([[10, 10, 5, 30]], None, r"box 0 must be left < right .* \(x, y, width, height\)"),
        ([[0, 0, math.nan, 5]], None, "finite"),
        ([["a", 0, 1, 1]], None, "numbers"),
        (None, np.zeros((1, 7, 2)), r"\(N, 68, 2\) or \(N, 5, 2\)"),
        ([[0, 0, 5, 5]], np.stack([POINTS, POINTS]), "1 boxes, but landmarks of 2"),
        ([[200, 0, 220, 20]], None, "outside the image of 100x60"),
        ([[-1e300, -1e300, 1e300, 1e300]], None, "finite numbers of pixels"),
        ([[0.1, 0.1, 0.9, 1.02]], None, "multiply fractions of the image by its width"),
        (None, POINTS[None] / 100, "multiply fractions"),
        (None, POINTS[None, [1, 0, 2, 4, 3]], "mirrored face: .* the person's right"),
        (None, POINTS[None, :, ::-1], r"mirrored face: a point is \(x, y\)"),
        ([[60, 0, 80, 20], [20, 10, 60, 50]], np.stack([POINTS, POINTS + np.array([30, -20])]), "same order"),
    ],
)
def test_what_is_malformed_is_refused(boxes: object, landmarks: object, message: str) -> None:
    """The message says what was given."""
    with pytest.raises(ValueError, match=message):
        GivenFaces(boxes, landmarks).find_faces(IMAGE)  # type: ignore[arg-type]


@pytest.mark.parametrize("n_points", [5, 68])
def test_landmarks_that_are_all_one_point_are_refused(n_points: int) -> None:
    """Such as -1 for a missing value: a face would be aligned by nothing."""
    with pytest.raises(ValueError, match=r"face 0 are all one point: give None where they are missing"):
        GivenFaces([[10, 10, 50, 50]], np.full((1, n_points, 2), -1.0))
