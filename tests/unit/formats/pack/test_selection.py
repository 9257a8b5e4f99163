"""Choosing faces from several packs, and decoding them in batches."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mien.faces.crop import resize_crop
from mien.formats.pack import Pack
from mien.formats.pack.selection import FaceSelection, read_batches


@pytest.fixture
def selection(make_training_pack: Callable[..., Path], tmp_path: Path) -> FaceSelection:
    """Five faces from two packs, out of order; row 0 has no landmarks."""
    splits = tuple(
        Pack.open(make_training_pack(tmp_path / name, n_train=n, n_val=6, n_missing=1)).split("train")
        for name, n in (("a.pack", 30), ("b.pack", 33))
    )
    numbers, rows = np.array([1, 0, 0, 1, 0]), np.array([32, 3, 0, 0, 29])
    return FaceSelection(splits, numbers, rows, rows % 3)


def test_faces_are_those_of_their_packs(selection: FaceSelection) -> None:
    """Image, key and landmarks of each face come from its pack and row."""
    landmarks = selection.read_annotations()["landmarks"]
    for face, (number, row) in enumerate(zip(selection.pack_numbers, selection.rows, strict=True)):
        split = selection.splits[number]
        np.testing.assert_array_equal(selection.image(face), split.image(int(row)))
        np.testing.assert_array_equal(landmarks[face], split.landmarks[row])
        assert selection.key(face) == split.keys[row]
    assert np.isnan(landmarks[[2, 3]]).all()
    assert np.isfinite(landmarks[[0, 1, 4]]).all()


@pytest.mark.parametrize(
    "chosen", [np.array([False, True, False, False, True]), np.array([1, 4])], ids=["mask", "indices"]
)
def test_part(selection: FaceSelection, chosen: np.ndarray) -> None:
    """Every array is reduced; the packs stay."""
    part = selection.part(chosen)
    assert len(part) == 2
    assert part.splits == selection.splits
    assert (part.rows.tolist(), part.labels.tolist()) == ([3, 29], [0, 2])


@pytest.mark.parametrize("batch_size", [1, 2, 5, 9])
def test_batches_are_in_order(selection: FaceSelection, batch_size: int) -> None:
    """Batches of any size, resized, together have every face once."""
    batches = list(read_batches(selection, size=16, batch_size=batch_size))
    assert {len(batch) for batch in batches[:-1]} <= {batch_size}
    expected = np.stack([resize_crop(selection.image(face), 16) for face in range(5)])
    np.testing.assert_array_equal(np.concatenate(batches), expected)
