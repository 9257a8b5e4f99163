"""A run's training and dev faces from one pack. Several packs: test_dataset_packs.py."""

import re
from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from random import Random

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")

from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from mien.errors import DatasetError
from mien.formats.pack import Pack
from mien.formats.pack.schema import NO_LABEL
from mien.recipe import DataConfig, LossConfig, Recipe, ScheduleConfig
from mien.train.dataset import MIN_FACES, assign_folds, choose_dev, hash_names, read_training_faces, split_dev
from mien.train.preflight import adapt_recipe


def draw(n: int, seed: int = 0) -> NDArray[np.uint64]:
    return hash_names([f"{face}.jpg" for face in range(n)], seed=seed)


labels_and_groups = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30)), min_size=1, max_size=200)


@given(labels_and_groups, st.floats(0.01, 0.5), st.integers(0, 100))
def test_no_group_is_split(faces: list[tuple[int, int]], fraction: float, seed: int) -> None:
    """Near-duplicates are all in train or all in dev, and the same seed gives the same split."""
    labels, groups = np.array(faces).T
    in_dev = split_dev(labels, groups, draw(len(labels), seed), fraction=fraction)
    assert not set(groups[in_dev]) & set(groups[~in_dev])
    np.testing.assert_array_equal(
        in_dev, split_dev(labels, groups, draw(len(labels), seed), fraction=fraction)
    )


@given(st.lists(st.integers(0, 60), min_size=1, max_size=5), st.floats(0.01, 0.5), st.integers(0, 100))
def test_each_class_holds_out_its_fraction(sizes: list[int], fraction: float, seed: int) -> None:
    """Without duplicates each class holds out its fraction, rounded."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    in_dev = split_dev(labels, np.arange(len(labels)), draw(len(labels), seed), fraction=fraction)
    for label, size in enumerate(sizes):
        assert in_dev[labels == label].sum() == round(fraction * size)


def test_seeds_split_differently() -> None:
    """The dev split is random, and so are the folds."""
    labels, groups = np.zeros(100, dtype=int), np.arange(100)
    one, other = (split_dev(labels, groups, draw(100, seed), fraction=0.2) for seed in (0, 1))
    assert (one != other).any()
    one, other = (assign_folds(labels, groups, draw(100, seed), n_folds=5) for seed in (0, 1))
    assert (one != other).any()


@given(labels_and_groups, st.floats(0.05, 0.5), st.randoms(use_true_random=False))
def test_the_order_of_the_faces_does_not_matter(
    faces: list[tuple[int, int]], fraction: float, random: Random
) -> None:
    """A dataset prepared again holds out the same photographs, in whatever order they come."""
    labels, groups = np.array(faces).T
    draws = draw(len(labels))
    order = np.array(random.sample(range(len(labels)), len(labels)))
    in_dev = split_dev(labels, groups, draws, fraction=fraction)
    np.testing.assert_array_equal(
        split_dev(labels[order], groups[order], draws[order], fraction=fraction), in_dev[order]
    )
    folds = assign_folds(labels, groups, draws, n_folds=3)
    np.testing.assert_array_equal(
        assign_folds(labels[order], groups[order], draws[order], n_folds=3), folds[order]
    )


def test_the_hash_is_the_same_everywhere() -> None:
    """Earlier runs keep their dev splits: the hash must not change with the machine or version."""
    draws = hash_names(["FER2013Train/fer0000000.png", "é.jpg"], seed=0)
    assert draws.tolist() == [10596694223446446586, 7745627430555685922]


def test_the_dev_split_is_the_same_everywhere(training_pack: Path) -> None:
    """Of each class the faces with the lowest BLAKE2b of their names: written out here, and pinned for one seed."""
    faces = read_training_faces([Pack.open(training_pack)], DataConfig(split_seed=3, dev_fraction=0.2))
    salt = bytes([3, 0, 0, 0, 0, 0, 0, 0])
    expected: set[str] = set()
    for label in range(3):
        names = [f"train/{number}.jpg" for number in range(label, 192, 3)]
        draws = {
            name: int.from_bytes(blake2b(name.encode("utf-8"), digest_size=8, key=salt).digest(), "little")
            for name in names
        }
        expected |= set(sorted(names, key=draws.__getitem__)[: round(0.2 * len(names))])
    dev = {faces.dev.key(face) for face in range(len(faces.dev))}
    assert dev == expected
    first = sorted(int(name[6:-4]) for name in dev)[:8]
    assert first == [0, 9, 10, 25, 31, 34, 39, 40]


def test_a_dataset_with_fewer_faces_holds_out_the_same() -> None:
    """When some faces are rejected, almost none moves between train and dev."""
    labels = np.arange(3000) % 3
    groups, draws = np.arange(3000), draw(3000)
    kept = np.arange(3000) % 50 > 0
    whole, fewer = (
        split_dev(labels[part], groups[part], draws[part], fraction=0.1) for part in (slice(None), kept)
    )
    assert (whole[kept] != fewer).sum() <= 0.1 * whole.sum()


@given(labels_and_groups, st.integers(2, 12), st.integers(0, 100))
def test_folds_split_no_group(faces: list[tuple[int, int]], n_folds: int, seed: int) -> None:
    """Every face is in one of the folds, near-duplicates in the same, and the same seed gives the same folds."""
    labels, groups = np.array(faces).T
    folds = assign_folds(labels, groups, draw(len(labels), seed), n_folds=n_folds)
    assert folds.shape == labels.shape
    assert set(folds) <= set(range(n_folds))
    assert len(np.unique(np.column_stack([groups, folds]), axis=0)) == len(np.unique(groups))
    np.testing.assert_array_equal(
        folds, assign_folds(labels, groups, draw(len(labels), seed), n_folds=n_folds)
    )


@given(st.lists(st.integers(1, 9), min_size=10, max_size=60), st.integers(2, 6), st.integers(0, 100))
def test_folds_with_groups_are_about_equal(sizes: list[int], n_folds: int, seed: int) -> None:
    """A class's size in a fold is off by no more than its largest group."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    labels = groups % 3
    folds = assign_folds(labels, groups, draw(len(labels), seed), n_folds=n_folds)
    for label in range(3):
        parts = np.bincount(folds[labels == label], minlength=n_folds)
        assert np.abs(parts - parts.sum() / n_folds).max() <= max(sizes)


@given(st.lists(st.integers(6, 60), min_size=1, max_size=5), st.integers(2, 6), st.integers(0, 100))
def test_folds_are_as_equal_as_those_of_scikit_learn(sizes: list[int], n_folds: int, seed: int) -> None:
    """Without duplicates, the folds of each class are as large as in a stratified k-fold, in any order."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    folds = assign_folds(labels, np.arange(len(labels)), draw(len(labels), seed), n_folds=n_folds)
    theirs = np.empty_like(folds)
    cuts = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(cuts.split(labels, labels)):
        theirs[held_out] = fold
    for label in range(len(sizes)):
        ours, expected = (np.bincount(cut[labels == label], minlength=n_folds) for cut in (folds, theirs))
        assert sorted(ours) == sorted(expected)


def test_rare_classes_are_spread_over_the_folds() -> None:
    """Classes with one face each do not all fall into the same fold."""
    folds = assign_folds(np.arange(10), np.arange(10), draw(10), n_folds=5)
    np.testing.assert_array_equal(np.bincount(folds), [2, 2, 2, 2, 2])


def test_a_recipe_chooses_its_fold() -> None:
    """With `folds` the recipe's fold is held out, otherwise the fraction is."""
    labels, groups = np.arange(90) % 3, np.arange(90) // 2
    folds = assign_folds(labels, groups, draw(90), n_folds=3)
    for fold in range(3):
        chosen = choose_dev(labels, groups, draw(90), DataConfig(folds=3, fold=fold))
        np.testing.assert_array_equal(chosen, folds == fold)
    np.testing.assert_array_equal(
        choose_dev(labels, groups, draw(90), DataConfig(dev_fraction=0.2)),
        split_dev(labels, groups, draw(90), fraction=0.2),
    )


def test_train_and_dev_are_the_pack(training_pack: Path) -> None:
    """Every training face is on one side, none on both, and val is on neither."""
    pack = Pack.open(training_pack)
    faces = read_training_faces([pack], DataConfig(dev_fraction=0.25))
    assert faces.classes == pack.info.classes
    assert sorted([*faces.train.rows, *faces.dev.rows]) == list(range(192))
    np.testing.assert_array_equal(np.bincount(faces.dev.labels), [16, 16, 16])
    np.testing.assert_array_equal(faces.train.targets["expression"].argmax(axis=1), faces.train.labels)
    np.testing.assert_array_equal(faces.train.targets["expression"].sum(axis=1), 1)
    np.testing.assert_array_equal(
        faces.train.targets["landmarks"], pack.split("train").landmarks[faces.train.rows]
    )


def test_folds_of_a_pack(training_pack: Path) -> None:
    """Each fold holds out other faces and trains on the rest; together they hold out every face."""
    pack = Pack.open(training_pack)
    held_out = []
    for fold in range(4):
        faces = read_training_faces([pack], DataConfig(folds=4, fold=fold))
        np.testing.assert_array_equal(np.bincount(faces.dev.labels), [16, 16, 16])
        assert sorted([*faces.train.rows, *faces.dev.rows]) == list(range(192))
        held_out.extend(faces.dev.rows)
    assert sorted(held_out) == list(range(192))


def test_a_part_of_the_faces(training_pack: Path) -> None:
    """A part holds the chosen faces with all their values, including images and paths."""
    pack = Pack.open(training_pack)
    faces = read_training_faces([pack], DataConfig(dev_fraction=0.25)).train
    chosen = np.arange(len(faces)) % 5 == 2
    part = faces.part(chosen)
    assert len(part) == chosen.sum()
    split = pack.split("train")
    for place, face in enumerate(np.flatnonzero(chosen)):
        assert part.key(place) == faces.key(face) == split.keys[faces.rows[face]]
        np.testing.assert_array_equal(part.image(place), split.image(int(faces.rows[face])))
    for name in ("pack_numbers", "rows", "labels", "groups"):
        np.testing.assert_array_equal(getattr(part, name), getattr(faces, name)[chosen])
    for task, values in faces.targets.items():
        np.testing.assert_array_equal(part.targets[task], values[chosen])
    assert list(part.targets) == ["expression", "landmarks", "valence_arousal"]


def test_a_choice_of_classes(training_pack: Path) -> None:
    """Faces of other classes are left out, and labels follow the chosen order."""
    pack = Pack.open(training_pack)
    faces = read_training_faces([pack], DataConfig(classes=["Sad", "Neutral"], dev_fraction=0.25))
    assert faces.classes == ("Sad", "Neutral")
    assert faces.train.targets["expression"].shape[1] == 2
    assert len(faces.train) + len(faces.dev) == 128
    names = np.array(pack.info.classes)[pack.split("train").labels[faces.train.rows]]
    np.testing.assert_array_equal(names, np.array(faces.classes)[faces.train.labels])


def test_classes_in_another_spelling(training_pack: Path) -> None:
    """Names are compared as when raw data are read: case does not count, and words of other sets stand for classes."""
    faces = read_training_faces(
        [Pack.open(training_pack)], DataConfig(classes=["sadness", "HAPPY"], dev_fraction=0.25)
    )
    assert faces.classes == ("Sad", "Happy")


@pytest.mark.parametrize("classes", [["Happy", "Joy"], ["Happy", "Happy"], ["Happy"], []])
def test_a_wrong_choice_of_classes(training_pack: Path, classes: list[str]) -> None:
    """A class that the pack lacks, one named twice, or fewer than two is an error that lists the available ones."""
    with pytest.raises(DatasetError, match="Neutral, Happy, Sad"):
        read_training_faces([Pack.open(training_pack)], DataConfig(classes=classes))


def test_votes_count_among_the_chosen_classes(
    make_training_pack: Callable[..., Path], tmp_path: Path
) -> None:
    """Votes for classes that are left out are dropped, and the rest sums to one."""
    pack = Pack.open(make_training_pack(tmp_path / "votes.pack", votes=True))
    every = read_training_faces([pack], DataConfig(labels="votes", dev_fraction=0.25)).train
    np.testing.assert_allclose(
        np.sort(every.targets["expression"], axis=1), np.tile([0.1, 0.1, 0.8], (len(every), 1)), rtol=1e-6
    )
    two = read_training_faces(
        [pack], DataConfig(labels="votes", classes=["Happy", "Sad"], dev_fraction=0.25)
    ).train
    np.testing.assert_allclose(
        np.sort(two.targets["expression"], axis=1), np.tile([1 / 9, 8 / 9], (len(two), 1)), rtol=1e-6
    )
    np.testing.assert_array_equal(two.targets["expression"].argmax(axis=1), two.labels)


def test_votes_that_are_not_there(training_pack: Path) -> None:
    """A pack without votes cannot be trained on votes."""
    with pytest.raises(DatasetError, match=r"Use `data\.labels: hard`"):
        read_training_faces([Pack.open(training_pack)], DataConfig(labels="votes"))


def test_leaks_are_left_out(make_training_pack: Callable[..., Path], tmp_path: Path) -> None:
    """Training faces with a near-duplicate in val are excluded, unless the recipe keeps them."""
    groups = np.arange(216)
    groups[192:202] = groups[:10]
    pack = Pack.open(make_training_pack(tmp_path / "leaks.pack", groups=groups))
    faces = read_training_faces([pack], DataConfig())
    assert faces.n_leaks == 10
    assert not {*faces.train.rows, *faces.dev.rows} & set(range(10))
    kept = read_training_faces([pack], DataConfig(exclude_leaks=False))
    assert kept.n_leaks == 0
    assert len(kept.train) + len(kept.dev) == 192


def test_faces_without_a_label_have_no_class(make_training_pack: Callable[..., Path], tmp_path: Path) -> None:
    """They are not taken for faces of the last class; those without any label are left out."""
    path = make_training_pack(
        tmp_path / "some.pack", stated=lambda number: {"label": NO_LABEL} if number < 60 else {}
    )
    pack = Pack.open(path)
    assert pack.info.unlabeled == {"train": 60}
    for config in (DataConfig(dev_fraction=0.25), DataConfig(dev_fraction=0.25, classes=["Sad", "Happy"])):
        faces = read_training_faces([pack], config)
        for part in (faces.train, faces.dev):
            assert ((part.labels == NO_LABEL) == (part.rows < 60)).all()
            assert part.rows.min() >= 24  # the first 24 have no landmarks either


def test_a_pack_of_one_class(make_training_pack: Callable[..., Path], tmp_path: Path) -> None:
    """There is nothing to tell apart, but other tasks can be trained."""
    pack = Pack.open(make_training_pack(tmp_path / "one.pack"))
    faces = replace(read_training_faces([pack], DataConfig()), classes=("Happy",))
    with pytest.raises(DatasetError, match=r"two classes or more, these only have Happy"):
        adapt_recipe(Recipe(), faces)
    loss = LossConfig(expression_weight=0)
    adapted = adapt_recipe(Recipe(schedule=ScheduleConfig(loss=loss, select_by="nme")), faces)
    assert adapted.model.landmarks


def test_too_few_faces(make_training_pack: Callable[..., Path], tmp_path: Path) -> None:
    """A handful of faces is not a training set."""
    pack = Pack.open(make_training_pack(tmp_path / "few.pack", n_train=18, n_missing=0))
    with pytest.raises(
        DatasetError, match=r"18 usable training faces .* 16 of each are needed.*`mien teach`"
    ):
        read_training_faces([pack], DataConfig())


def test_too_few_dev_faces_name_a_fraction_that_suffices(
    make_training_pack: Callable[..., Path], tmp_path: Path
) -> None:
    """A run with the fraction that the message names can train."""
    pack = Pack.open(make_training_pack(tmp_path / "few.pack", n_train=48, n_missing=0))
    with pytest.raises(DatasetError, match=r"--data\.dev_fraction") as error:
        read_training_faces([pack], DataConfig())
    fraction = float(re.findall(r"--data\.dev_fraction ([\d.]+)", str(error.value))[0])
    faces = read_training_faces([pack], DataConfig(dev_fraction=fraction))
    assert min(len(faces.train), len(faces.dev)) >= MIN_FACES
    with pytest.raises(DatasetError, match="Add faces, or use at most 2 folds"):
        read_training_faces([pack], DataConfig(folds=4, fold=0))
    faces = read_training_faces([pack], DataConfig(folds=2, fold=0))
    assert min(len(faces.train), len(faces.dev)) >= MIN_FACES


def test_too_few_faces_are_left(make_training_pack: Callable[..., Path], tmp_path: Path) -> None:
    """The message says what was left out, such as everything in a pack that is its own `keep_out`."""
    pack = Pack.open(make_training_pack(tmp_path / "some.pack"))
    with pytest.raises(DatasetError, match=r"^0 usable .* Left out: 192 repeat a face of `data\.keep_out`$"):
        read_training_faces([pack], DataConfig(keep_out=[str(pack.path)], exclude_leaks=False))
