"""Nearest faces and the principal plane, compared with scikit-learn."""

import numpy as np
import pytest

from mien.metrics.embedding import nearest, principal_plane

decomposition = pytest.importorskip("sklearn.decomposition")
neighbors = pytest.importorskip("sklearn.neighbors")


def test_nearest_are_those_of_scikit_learn() -> None:
    """By cosine similarity, the most similar first."""
    random = np.random.default_rng(0)
    faces, queries = random.normal(size=(200, 16)), random.normal(size=(5, 16)) * 3
    found, similarity = nearest(queries, faces, 7)
    distances, expected = (
        neighbors.NearestNeighbors(n_neighbors=7, metric="cosine").fit(faces).kneighbors(queries)
    )
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(similarity, 1 - distances, atol=1e-12)


def test_fewer_faces_than_asked_for_are_all_returned() -> None:
    """A vector of zeros is similar to nothing, and no error."""
    found, similarity = nearest(np.array([[1.0, 0.0]]), np.array([[0.0, 0.0], [2.0, 0.0]]), 9)
    assert found.tolist() == [[1, 0]]
    assert similarity.tolist() == [[1.0, 0.0]]


def test_the_plane_is_that_of_scikit_learn() -> None:
    """Coordinates up to the sign of an axis, and the fractions of the variance."""
    random = np.random.default_rng(1)
    faces = random.normal(size=(300, 12)) * np.linspace(4, 0.2, 12) + 7
    plane = principal_plane(faces)
    assert plane is not None
    model = decomposition.PCA(2).fit(faces)
    np.testing.assert_allclose(np.abs(plane.points), np.abs(model.transform(faces)), atol=1e-9)
    np.testing.assert_allclose(plane.explained, model.explained_variance_ratio_, atol=1e-12)


@pytest.mark.parametrize(
    "faces", [np.ones((9, 4)), np.arange(9.0)[:, None] * np.ones((9, 4)), np.ones((9, 1))]
)
def test_features_on_a_line_span_no_plane(faces: np.ndarray) -> None:
    """Nothing is drawn of them."""
    assert principal_plane(faces) is None
