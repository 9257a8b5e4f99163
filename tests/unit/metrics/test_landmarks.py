"""The normalized mean error, on points shifted by a known distance."""

import numpy as np
import pytest

from mien.metrics.landmarks import cumulative_error, mean_nme, nme_per_face

SHIFT = np.array([0.04, 0.0])


def _faces(n: int = 3) -> np.ndarray:
    points = np.random.default_rng(0).uniform(0.2, 0.8, (n, 68, 2))
    points[:, 36], points[:, 45] = (0.3, 0.4), (0.7, 0.4)
    return points


def test_shift_by_a_tenth_of_the_eye_distance() -> None:
    """All points 0.04 to the right with outer eye corners 0.4 apart: the error is 0.1."""
    truth = _faces()
    assert nme_per_face(truth, truth + SHIFT) == pytest.approx([0.1] * 3)


def test_unit_does_not_matter() -> None:
    """Pixels and fractions of a square crop give the same error."""
    truth = _faces()
    predicted = truth + np.random.default_rng(1).normal(size=truth.shape) * 0.02
    assert nme_per_face(truth * 256, predicted * 256) == pytest.approx(nme_per_face(truth, predicted))


def test_faces_without_landmarks_do_not_count() -> None:
    """A NaN face is excluded from the mean."""
    truth = _faces()
    predicted = truth + SHIFT
    truth[1] = np.nan
    errors = nme_per_face(truth, predicted)
    assert np.isnan(errors).tolist() == [False, True, False]
    assert mean_nme(errors) == pytest.approx(0.1)


def test_coinciding_eye_corners_do_not_count() -> None:
    """A face without an eye distance has no error, rather than an infinite one."""
    truth = _faces(1)
    truth[:, 45] = truth[:, 36]
    assert mean_nme(nme_per_face(truth, truth + 0.1)) is None


def test_cumulative_error_counts_up_to_and_including() -> None:
    """Of errors 0.1, 0.2 and 0.3, two are at most 0.2; NaN faces are ignored."""
    fractions = cumulative_error(np.array([0.3, np.nan, 0.1, 0.2]), np.array([0.0, 0.2, 1.0]))
    assert fractions == pytest.approx([0, 2 / 3, 1])
    assert cumulative_error(np.array([np.nan]), np.array([0.1])) is None


def test_other_shapes_are_refused() -> None:
    """Truth and prediction must have the same shape."""
    with pytest.raises(ValueError, match="must both be"):
        nme_per_face(_faces(2), _faces(3))
