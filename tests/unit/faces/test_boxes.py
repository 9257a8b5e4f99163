"""Operations on boxes."""

import numpy as np

from mien.faces.boxes import area_xyxy, intersection_xyxy, iou_xyxy


def test_area_is_computed_per_box() -> None:
    """One box gives a number, several give one each."""
    assert area_xyxy(np.array([1.0, 2, 4, 4])) == 6
    np.testing.assert_array_equal(area_xyxy(np.array([[0.0, 0, 1, 1], [0, 0, 2, 3]])), [1, 6])


def test_boxes_that_do_not_overlap_have_no_intersection() -> None:
    """Also if they are apart in both directions, where the product of two negative sides is positive."""
    box = np.array([0.0, 0, 2, 2])
    np.testing.assert_array_equal(
        intersection_xyxy(box, np.array([[1.0, 1, 3, 3], [2, 0, 4, 2], [5, 5, 6, 6]])), [1, 0, 0]
    )


def test_iou_is_computed_for_every_pair() -> None:
    """Identical boxes have 1, half-overlapping ones a third."""
    one = np.array([[0.0, 0, 10, 10], [40, 40, 50, 50]])
    other = np.array([[0.0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]])
    np.testing.assert_allclose(iou_xyxy(one, other), [[1, 1 / 3, 0], [0, 0, 0]])
