"""What holds for every crop."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mien.faces.crop import (
    ALIGNED_ANCHORS,
    CropContract,
    crop_image,
    crop_matrix,
    invert_matrix,
    transform_points,
)

sides = st.floats(20, 3000)
centers = st.tuples(st.floats(-100, 4000), st.floats(-100, 4000))
angles = st.floats(-math.pi, math.pi)
margins = st.floats(0, 2)


def points_on_a_face(
    side: float, center: tuple[float, float], angle: float, seed: int
) -> NDArray[np.float64]:
    """Return four anchors: the template turned, scaled, moved, and pulled about as real faces are."""
    pulled = ALIGNED_ANCHORS + np.random.default_rng(seed).uniform(-0.08, 0.08, (4, 2))
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return np.asarray((pulled - 0.5) * side @ turn.T + center)


@given(side=sides, center=centers, angle=angles, margin=margins, seed=st.integers(0, 99))
def test_aligned_then_inverse_is_identity(
    side: float, center: tuple[float, float], angle: float, margin: float, seed: int
) -> None:
    """Any point that goes into the crop and back is where it was, far within a pixel."""
    anchors = points_on_a_face(side, center, angle, seed)
    matrix, method = crop_matrix(CropContract(margin=margin), (4000, 4000), anchors=anchors)
    points = np.random.default_rng(seed).uniform(0, 4000, (20, 2))
    back = transform_points(invert_matrix(matrix), transform_points(matrix, points))
    assert method == "aligned"
    np.testing.assert_allclose(back, points, atol=1e-3)


@given(side=sides, center=centers, angle=angles, seed=st.integers(0, 99))
def test_aligned_crop_is_a_similarity(
    side: float, center: tuple[float, float], angle: float, seed: int
) -> None:
    """The transform turns, scales and moves, and never shears or mirrors."""
    anchors = points_on_a_face(side, center, angle, seed)
    linear = crop_matrix(CropContract(), (4000, 4000), anchors=anchors)[0][:, :2]
    scale = math.sqrt(np.linalg.det(linear))
    np.testing.assert_allclose(linear @ linear.T, scale**2 * np.eye(2), atol=1e-12)


@given(side=sides, center=centers, angle=angles, seed=st.integers(0, 99))
def test_aligned_crop_is_the_best_fit(
    side: float, center: tuple[float, float], angle: float, seed: int
) -> None:
    """No small change of turn, scale or place brings the anchors nearer to their template."""
    anchors = points_on_a_face(side, center, angle, seed)
    matrix, _ = crop_matrix(CropContract(margin=0), (4000, 4000), anchors=anchors)

    def error(changed: NDArray[np.float64]) -> float:
        return float(((transform_points(changed, anchors) - ALIGNED_ANCHORS) ** 2).sum())

    (a, b), best = matrix[:, 0], error(matrix)
    for step in ((1e-3, 0, 0, 0), (0, 1e-3, 0, 0), (0, 0, 1e-3, 0), (0, 0, 0, 1e-3)):
        for sign in (1, -1):
            da, db, dx, dy = (sign * value for value in step)
            a2, b2 = a + da * abs(a + 1j * b), b + db * abs(a + 1j * b)
            middle = anchors.mean(axis=0)
            shift = transform_points(matrix, middle[None])[0] + (dx, dy)
            linear = np.array([[a2, -b2], [b2, a2]])
            assert error(np.column_stack([linear, shift - linear @ middle])) >= best - 1e-12


@settings(max_examples=60)
@given(
    width=st.integers(1, 400),
    height=st.integers(1, 400),
    box=st.tuples(*[st.floats(-500, 900) for _ in range(2)], *[st.floats(0.01, 900) for _ in range(2)]),
    size=st.sampled_from([16, 31, 64]),
    gray=st.booleans(),
)
def test_any_box_can_be_cut(
    width: int, height: int, box: tuple[float, float, float, float], size: int, *, gray: bool
) -> None:
    """Any box in or outside any image gives a crop of the right shape, black but for the image."""
    image = np.full((height, width) if gray else (height, width, 3), 200, np.uint8)
    x, y, w, h = box
    contract = CropContract(method="box", size=size)
    matrix, _ = crop_matrix(contract, (width, height), box_xyxy=np.array([x, y, x + w, y + h]))
    crop = crop_image(image, matrix, size)
    assert crop.shape == (size, size, *image.shape[2:])
    assert crop.max(initial=0) <= 200
    centers = (np.indices((size, size))[::-1].reshape(2, -1).T + 0.5) / size
    inside = transform_points(invert_matrix(matrix), centers)
    # A sample further from the edge than the widest halved pixel sees nothing but the image.
    reach = max(2.0, 2 * max(w, h) * 1.2 / size)
    sure = ((inside > reach) & (inside < np.array([width, height]) - reach)).all(axis=1).reshape(size, size)
    assert (crop[sure] == 200).all()
