"""What a run learns from, and the dev split."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")

from hypothesis import given
from hypothesis import strategies as st

from mien.errors import DatasetError
from mien.pack import Pack
from mien.recipe import DataConfig
from mien.train.faces import cut_dev, read_training_faces


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30)), min_size=1, max_size=200),
    st.floats(0.01, 0.5),
    st.integers(0, 100),
)
def test_no_group_is_cut_in_two(faces: list[tuple[int, int]], fraction: float, seed: int) -> None:
    """Near-duplicates are all in train or all in dev, and the same seed cuts the same way."""
    labels, groups = np.array(faces).T
    in_dev = cut_dev(labels, groups, fraction=fraction, seed=seed)
    assert not set(groups[in_dev]) & set(groups[~in_dev])
    np.testing.assert_array_equal(in_dev, cut_dev(labels, groups, fraction=fraction, seed=seed))


@given(st.lists(st.integers(0, 60), min_size=1, max_size=5), st.floats(0.01, 0.5), st.integers(0, 100))
def test_each_class_gives_its_share(sizes: list[int], fraction: float, seed: int) -> None:
    """Without duplicates each class keeps back its share, rounded."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    in_dev = cut_dev(labels, np.arange(len(labels)), fraction=fraction, seed=seed)
    for label, size in enumerate(sizes):
        assert in_dev[labels == label].sum() == round(fraction * size)


def test_seeds_cut_differently() -> None:
    """The dev split is a draw."""
    labels, groups = np.zeros(100, dtype=int), np.arange(100)
    one, other = (cut_dev(labels, groups, fraction=0.2, seed=seed) for seed in (0, 1))
    assert (one != other).any()


def test_train_and_dev_are_the_pack(training_pack: Path) -> None:
    """Every training face is on one side, none on both, and val is on neither."""
    pack = Pack.open(training_pack)
    faces = read_training_faces([pack], DataConfig(dev_fraction=0.25))
    assert faces.classes == pack.info.classes
    assert sorted([*faces.train.indices, *faces.dev.indices]) == list(range(192))
    np.testing.assert_array_equal(np.bincount(faces.dev.labels), [16, 16, 16])
    np.testing.assert_array_equal(faces.train.targets.argmax(axis=1), faces.train.labels)
    np.testing.assert_array_equal(faces.train.targets.sum(axis=1), 1)
    np.testing.assert_array_equal(faces.train.landmarks, pack.split("train").landmarks[faces.train.indices])


def test_a_choice_of_classes(training_pack: Path) -> None:
    """Faces of other classes are left out, and labels count in the chosen order."""
    pack = Pack.open(training_pack)
    faces = read_training_faces([pack], DataConfig(classes=["Sad", "Neutral"], dev_fraction=0.25))
    assert faces.classes == ("Sad", "Neutral")
    assert faces.train.targets.shape[1] == 2
    assert len(faces.train) + len(faces.dev) == 128
    names = np.array(pack.info.classes)[pack.split("train").labels[faces.train.indices]]
    np.testing.assert_array_equal(names, np.array(faces.classes)[faces.train.labels])


@pytest.mark.parametrize("classes", [["Happy", "Joy"], ["Happy", "Happy"], ["Happy"], []])
def test_a_wrong_choice_of_classes(training_pack: Path, classes: list[str]) -> None:
    """A class that the pack lacks, one named twice, or fewer than two is told with those that there are."""
    with pytest.raises(DatasetError, match="Neutral, Happy, Sad"):
        read_training_faces([Pack.open(training_pack)], DataConfig(classes=classes))


def test_votes_count_among_the_chosen_classes(
    make_training_pack: Callable[..., Path], tmp_path: Path
) -> None:
    """Votes for classes that are left out are dropped, and the rest sums to one."""
    pack = Pack.open(make_training_pack(tmp_path / "votes.pack", votes=True))
    every = read_training_faces([pack], DataConfig(labels="votes", dev_fraction=0.25)).train
    np.testing.assert_allclose(
        np.sort(every.targets, axis=1), np.tile([0.1, 0.1, 0.8], (len(every), 1)), rtol=1e-6
    )
    two = read_training_faces(
        pack, DataConfig(labels="votes", classes=["Happy", "Sad"], dev_fraction=0.25), seed=0
    ).train
    np.testing.assert_allclose(
        np.sort(two.targets, axis=1), np.tile([1 / 9, 8 / 9], (len(two), 1)), rtol=1e-6
    )
    np.testing.assert_array_equal(two.targets.argmax(axis=1), two.labels)


def test_votes_that_are_not_there(training_pack: Path) -> None:
    """A pack without votes cannot be learnt by votes."""
    with pytest.raises(DatasetError, match=r"Use `data\.labels: hard`"):
        read_training_faces([Pack.open(training_pack)], DataConfig(labels="votes"))


def test_leaks_are_left_out(make_training_pack: Callable[..., Path], tmp_path: Path) -> None:
    """Training faces with a near-duplicate in val are not learnt from, unless the recipe wants them."""
    groups = np.arange(216)
    groups[192:202] = groups[:10]
    pack = Pack.open(make_training_pack(tmp_path / "leaks.pack", groups=groups))
    faces = read_training_faces([pack], DataConfig())
    assert faces.n_leaks == 10
    assert not {*faces.train.indices, *faces.dev.indices} & set(range(10))
    kept = read_training_faces([pack], DataConfig(exclude_leaks=False))
    assert kept.n_leaks == 0
    assert len(kept.train) + len(kept.dev) == 192


def test_too_few_faces(make_training_pack: Callable[..., Path], tmp_path: Path) -> None:
    """A handful of faces is no training set."""
    pack = Pack.open(make_training_pack(tmp_path / "few.pack", n_train=18, n_missing=0))
    with pytest.raises(DatasetError, match=r"18 usable training faces .* 16 of each are needed"):
        read_training_faces([pack], DataConfig())
