"""Which rows a sample set has."""

from collections import Counter

import pytest

from mien.errors import DatasetError
from mien.faces.classes import AFFECTNET_CLASSES
from mien.sample.plan import MIN_FACES, N_COPIES, N_UNUSABLE, plan_rows


def _usable(n_faces: int, split: str) -> Counter[str]:
    rows = plan_rows(n_faces, seed=0)
    return Counter(row.class_name for row in rows if row.split == split and row.fault is None)


@pytest.mark.parametrize("n_faces", [MIN_FACES, 60, 101, 3000])
def test_as_many_rows_as_asked_for(n_faces: int) -> None:
    """The usable rows are as many as asked for, and the unusable ones come on top."""
    rows = plan_rows(n_faces, seed=0)
    assert sum(row.fault is None for row in rows) == n_faces
    assert len(rows) == n_faces + N_UNUSABLE


@pytest.mark.parametrize("n_faces", [MIN_FACES, 3000])
def test_every_class_stands_in_both_splits(n_faces: int) -> None:
    """Even the smallest set has each class in training and in validation."""
    for split in ("training", "validation"):
        assert set(_usable(n_faces, split)) == set(AFFECTNET_CLASSES)


def test_training_is_imbalanced_as_affectnet_is() -> None:
    """Happy is the most frequent class and contempt the rarest, with enough of it to train on."""
    counts = _usable(3000, "training")
    assert counts.most_common(1)[0][0] == "Happy"
    assert counts.most_common()[-1][0] == "Contempt"
    assert counts["Contempt"] >= 24


def test_validation_is_near_balanced() -> None:
    """No two classes of validation differ by more than one face."""
    counts = _usable(3000, "validation")
    assert max(counts.values()) - min(counts.values()) <= 1


def test_paths_are_unique() -> None:
    """No two rows share a file."""
    paths = [row.path for row in plan_rows(3000, seed=0)]
    assert len(set(paths)) == len(paths)


def test_copies_cross_the_splits() -> None:
    """Exactly the promised images stand in both splits, with the same class."""
    rows = [row for row in plan_rows(300, seed=0) if row.fault is None]
    by_split = {
        split: {(r.index, r.class_name) for r in rows if r.split == split}
        for split in ("training", "validation")
    }
    assert len(by_split["training"] & by_split["validation"]) == N_COPIES


def test_another_seed_gives_other_names() -> None:
    """The seed is part of every file's name."""
    first, second = ({row.path for row in plan_rows(60, seed=seed)} for seed in (0, 1))
    assert not first & second


@pytest.mark.parametrize(("n_faces", "seed", "message"), [(21, 0, "at least 22"), (100, -1, "0 or more")])
def test_numbers_out_of_range_are_refused(n_faces: int, seed: int, message: str) -> None:
    """A set too small for all classes, or a negative seed, is one clear error."""
    with pytest.raises(DatasetError, match=message):
        plan_rows(n_faces, seed=seed)
