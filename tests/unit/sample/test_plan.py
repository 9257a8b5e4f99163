"""The rows of a sample set."""

from collections import Counter

import pytest

from mien.errors import DatasetError
from mien.faces.classes import AFFECTNET_CLASSES
from mien.sample.plan import MIN_FACES, N_COPIES, N_UNUSABLE, plan_rows


def usable_counts(n_faces: int, split: str) -> Counter[str]:
    rows = plan_rows(n_faces, seed=0)
    return Counter(row.class_name for row in rows if row.split == split and row.fault is None)


@pytest.mark.parametrize("n_faces", [MIN_FACES, 60, 101, 3000])
def test_number_of_rows(n_faces: int) -> None:
    """The usable rows are as many as requested, and the unusable ones are added to them."""
    rows = plan_rows(n_faces, seed=0)
    assert sum(row.fault is None for row in rows) == n_faces
    assert len(rows) == n_faces + N_UNUSABLE


@pytest.mark.parametrize("n_faces", [MIN_FACES, 3000])
def test_every_class_is_in_both_splits(n_faces: int) -> None:
    """Even the smallest set has every class in training and in validation."""
    for split in ("training", "validation"):
        assert set(usable_counts(n_faces, split)) == set(AFFECTNET_CLASSES)


def test_training_is_imbalanced_like_affectnet() -> None:
    """Happy is the most frequent class and contempt the rarest, with enough faces to train on."""
    counts = usable_counts(3000, "training")
    assert counts.most_common(1)[0][0] == "Happy"
    assert counts.most_common()[-1][0] == "Contempt"
    assert counts["Contempt"] >= 24


def test_validation_is_near_balanced() -> None:
    """No two classes differ by more than one face."""
    counts = usable_counts(3000, "validation")
    assert max(counts.values()) - min(counts.values()) <= 1


def test_paths_are_unique() -> None:
    """No two rows have the same file."""
    paths = [row.path for row in plan_rows(3000, seed=0)]
    assert len(set(paths)) == len(paths)


def test_some_images_are_in_both_splits() -> None:
    """Exactly the promised number of images are in both splits, with the same class."""
    rows = [row for row in plan_rows(300, seed=0) if row.fault is None]
    by_split = {
        split: {(r.image_index, r.class_name) for r in rows if r.split == split}
        for split in ("training", "validation")
    }
    assert len(by_split["training"] & by_split["validation"]) == N_COPIES


def test_file_names_depend_on_the_seed() -> None:
    """No file name is the same for two seeds."""
    first, second = ({row.path for row in plan_rows(60, seed=seed)} for seed in (0, 1))
    assert not first & second


@pytest.mark.parametrize(("n_faces", "seed", "message"), [(21, 0, "at least 22"), (100, -1, "0 or more")])
def test_numbers_out_of_range_are_rejected(n_faces: int, seed: int, message: str) -> None:
    """A set too small for all classes, or a negative seed, is an error."""
    with pytest.raises(DatasetError, match=message):
        plan_rows(n_faces, seed=seed)
