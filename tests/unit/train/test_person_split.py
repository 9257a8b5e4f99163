"""Dev splits and folds of whole persons and clips."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.errors import DatasetError
from mien.formats.pack import Pack
from mien.recipe import DataConfig
from mien.train.dataset import read_training_faces
from mien.train.person_split import assign_folds_by_person, split_dev_by_person


def make_faces(
    n_persons: int, n_each: int, n_classes: int = 7, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64]]:
    """Return labels, groups and draws of persons who each show the classes in turn."""
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_persons), n_each)
    labels = np.tile(np.arange(n_each) % n_classes, n_persons)
    draws = random.integers(0, 2**63, len(groups)).astype(np.uint64)
    order = random.permutation(len(groups))
    return labels[order], groups[order], draws[order]


@pytest.mark.parametrize(("n_persons", "fraction"), [(10, 0.1), (10, 0.3), (123, 0.1), (70, 0.2)])
@pytest.mark.parametrize("seed", [0, 1])
def test_dev_has_whole_persons_of_its_fraction(n_persons: int, fraction: float, seed: int) -> None:
    """Every class is within half a person of its fraction, and no person is on both sides."""
    labels, groups, draws = make_faces(n_persons, 21, seed=seed)
    in_dev = split_dev_by_person(labels, groups, draws, fraction=fraction)
    assert not set(groups[in_dev]) & set(groups[~in_dev])
    counts = np.bincount(labels[in_dev], minlength=7)
    assert np.abs(counts - fraction * n_persons * 3).max() <= 1.5


def test_persons_with_few_classes() -> None:
    """With persons who each show one or two classes, every class is near its fraction."""
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(300), 8)
    labels = np.concatenate([random.choice(random.choice(7, 2, replace=False), 8) for _ in range(300)])
    draws = random.integers(0, 2**63, len(groups)).astype(np.uint64)
    in_dev = split_dev_by_person(labels, groups, draws, fraction=0.1)
    fractions = np.bincount(labels[in_dev], minlength=7) / np.bincount(labels, minlength=7)
    assert abs(in_dev.mean() - 0.1) < 0.02
    assert (np.abs(fractions - 0.1) < 0.05).all()


def test_one_person_is_held_out_even_if_large() -> None:
    """With two persons, one is held out."""
    labels, groups, draws = make_faces(2, 40)
    in_dev = split_dev_by_person(labels, groups, draws, fraction=0.05)
    assert in_dev.sum() == 40


@pytest.mark.parametrize("n_folds", [2, 5, 10])
def test_folds_have_whole_persons_in_equal_parts(n_folds: int) -> None:
    """Each person is in one fold; the folds of equal persons are equal."""
    labels, groups, draws = make_faces(20, 14)
    folds = assign_folds_by_person(labels, groups, draws, n_folds=n_folds)
    assert all(len(np.unique(folds[groups == person])) == 1 for person in range(20))
    table = np.array([np.bincount(labels[folds == fold], minlength=7) for fold in range(n_folds)])
    assert (table == 2 * 20 // n_folds).all()


def test_folds_of_unequal_persons() -> None:
    """The largest fold is at most the mean and the largest person."""
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), random.integers(1, 60, 40))
    labels = random.integers(0, 7, len(groups))
    draws = random.integers(0, 2**63, len(groups)).astype(np.uint64)
    sizes = np.bincount(assign_folds_by_person(labels, groups, draws, n_folds=5))
    assert sizes.max() - sizes.min() < 30


@pytest.fixture
def pack(make_training_pack: Callable[..., Path], tmp_path: Path) -> Pack:
    """192 training and 24 val faces of 27 persons, 8 each; clips join persons 0 and 1; duplicates join 2 and 3."""

    def state(number: int) -> dict[str, object]:
        person = number % 27 if number < 192 else number % 3 + 24
        clip = "c" if number in (0, 1) else None
        return {"person": f"S{person}", "clip": clip}

    groups = np.arange(216)
    groups[3] = groups[2]
    return Pack.open(make_training_pack(tmp_path / "persons.pack", stated=state, groups=groups))


@pytest.mark.parametrize("config", [DataConfig(dev_fraction=0.3), DataConfig(folds=4, fold=1)])
def test_persons_clips_and_duplicates_stay_together(pack: Pack, config: DataConfig) -> None:
    """No person of the dev split is trained on, and neither is one who is joined to it."""
    faces = read_training_faces([pack], config)
    persons = pack.split("train").persons
    assert persons is not None
    dev, train = ({persons[row] for row in part.rows} for part in (faces.dev, faces.train))
    assert dev
    assert not dev & train
    assert ("S0" in dev) == ("S1" in dev)
    assert ("S2" in dev) == ("S3" in dev)


def test_persons_of_other_splits_can_be_left_out(pack: Pack) -> None:
    """By default they are trained on, since published splits may share persons."""
    faces = read_training_faces([pack], DataConfig(dev_fraction=0.3))
    assert (len(faces.train) + len(faces.dev), faces.n_shared_persons) == (192, 0)
    faces = read_training_faces([pack], DataConfig(dev_fraction=0.3, exclude_shared_persons=True))
    persons = pack.split("train").persons
    assert persons is not None
    assert faces.n_shared_persons == sum(person in ("S24", "S25", "S26") for person in persons)
    assert not {persons[row] for row in (*faces.train.rows, *faces.dev.rows)} & {"S24", "S25", "S26"}


def test_a_single_person(make_training_pack: Callable[..., Path], tmp_path: Path) -> None:
    """Nobody is left to train on: the error says that a person's faces stay together."""
    pack = Pack.open(make_training_pack(tmp_path / "one.pack", stated=lambda _: {"person": "me"}))
    with pytest.raises(DatasetError, match=r"leave 0 for training.*faces of a person or clip stay together"):
        read_training_faces([pack], DataConfig())
