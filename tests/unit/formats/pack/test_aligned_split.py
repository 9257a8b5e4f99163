"""Cropping stored faces again, aligned by their landmarks."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mien.faces.crop import ALIGNED_ANCHORS, crop_image, resize_crop, transform_points
from mien.faces.landmarks import anchors_from_landmarks
from mien.formats.pack import Pack
from mien.prepare.options import PrepareOptions
from mien.prepare.stage import prepare
from mien.sample.write import write_sample

SIDE = 64


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Pack]:
    """Return packs of one drawn set, with different crops."""
    folder = tmp_path_factory.mktemp("drawn")
    write_sample(folder / "raw", n_faces=32, seed=1, workers=1)

    def make(method: str, margin: float, size: int) -> Pack:
        out = folder / f"{method}-{margin}-{size}.pack"
        if not out.exists():
            prepare(
                "affectnet",
                folder / "raw",
                out,
                PrepareOptions(crop=method, margin=margin, size=size, workers=1),
            )
        return Pack.open(out)

    return make


@pytest.mark.parametrize(("method", "margin"), [("whole", 0.0), ("box", 0.6)])
def test_the_crop_is_that_of_a_pack_prepared_aligned(
    drawn: Callable[..., Pack], method: str, margin: float
) -> None:
    """Aligning a stored face gives what `prepare --crop aligned` gives, up to one more JPEG and resampling."""
    stored = drawn(method, margin, 4 * SIDE).split("train", crop="aligned")
    expected = drawn("aligned", 0.0, SIDE).split("train")
    with_landmarks = np.flatnonzero(np.isfinite(expected.landmarks).all(axis=(1, 2)))
    assert len(with_landmarks) > 10
    for index in with_landmarks:
        assert stored.keys[index] == expected.keys[index]
        np.testing.assert_allclose(stored.landmarks[index], expected.landmarks[index], atol=0.002)
        ours = resize_crop(stored.image(int(index)), SIDE).astype(float)
        theirs = expected.image(int(index)).astype(float)
        inside = slice(8, -8)  # outside a stored box, the corners are black
        assert np.abs(ours - theirs)[inside, inside].mean() < 6


def test_eyes_and_mouth_are_at_their_places(drawn: Callable[..., Pack]) -> None:
    """The mean error of the four anchors is small, and the middle of the eyes is at their height."""
    split = drawn("box", 0.6, SIDE).split("train", crop="aligned")
    for points in split.landmarks[np.isfinite(split.landmarks).all(axis=(1, 2))]:
        anchors = anchors_from_landmarks(points)
        np.testing.assert_allclose(anchors.mean(axis=0), ALIGNED_ANCHORS.mean(axis=0), atol=1e-5)


def test_box_matrices_remove_the_margin(drawn: Callable[..., Pack]) -> None:
    """Applied after the crop, they show the face box: the stored image without its margin."""
    pack = drawn("box", 0.5, SIDE)
    stored, aligned = pack.split("val"), pack.split("val", crop="aligned")
    for index in range(len(stored)):
        corners = np.array([[0.25, 0.25], [0.75, 0.75]])  # of the box, in a margin of half a side
        in_crop = transform_points(aligned.crop_matrices[index], corners)
        in_box = transform_points(aligned.box_matrices[index], in_crop)
        np.testing.assert_allclose(in_box, [[0, 0], [1, 1]], atol=1e-9)


def test_a_face_without_landmarks_is_shown_by_its_box(training_pack: Path) -> None:
    """In a pack of full images that is the image itself."""
    pack = Pack.open(training_pack)
    split = pack.split("train", crop="aligned")
    np.testing.assert_allclose(split.crop_matrices[0], [[1, 0, 0], [0, 1, 0]], atol=1e-12)
    np.testing.assert_array_equal(split.image(0), pack.split("train").image(0))
    assert np.isnan(split.landmarks[0]).all()


def test_an_aligned_split_crosses_processes(drawn: Callable[..., Pack]) -> None:
    """The copy in a data loader's process crops alike."""
    split = drawn("whole", 0.0, 4 * SIDE).split("val", crop="aligned")
    copy = pickle.loads(pickle.dumps(split))  # noqa: S301 - made here
    np.testing.assert_array_equal(copy.image(1), split.image(1))
    np.testing.assert_array_equal(copy.landmarks, split.landmarks)


def test_the_stored_split_is_unchanged(drawn: Callable[..., Pack]) -> None:
    """Without alignment, the crop is the stored image."""
    split = drawn("whole", 0.0, 4 * SIDE).split("val")
    np.testing.assert_array_equal(split.image(2), split.stored_image(2))
    side = split.image(2).shape[0]
    matrix = split.crop_matrices[2] / (side, side, 1.0)
    np.testing.assert_array_equal(crop_image(split.stored_image(2), matrix, side), split.image(2))
