"""What a run learns from: one pack or several, and the part that is kept back."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch", reason="training needs the train extra")

from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold

from mien.errors import DatasetError
from mien.faces.crop import CropContract
from mien.faces.images import encode_jpeg
from mien.faces.near_duplicates import find_groups
from mien.faces.perceptual_hash import perceptual_hash
from mien.pack import FORMAT_VERSION, Pack, PackedFace, PackInfo
from mien.pack.writer import close_pack, compute_content_sha256, write_shard
from mien.recipe import AugmentConfig, DataConfig
from mien.train.faces import LabelledFaces, TrainingFaces, choose_dev, cut_dev, cut_folds, read_training_faces
from mien.train.loading import FaceBatches
from mien.train.sampler import Draw

SIDE = 64


def picture(number: int, side: int = SIDE) -> NDArray[np.uint8]:
    """A smooth picture, like no other one's, of as much detail as a photograph has."""
    noise = np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)
    blurred = cv2.GaussianBlur(noise, (0, 0), 1.5)
    return np.asarray(cv2.normalize(blurred, None, 0, 255, cv2.NORM_MINMAX), dtype=np.uint8)


def make_face(
    number: int, label: int, *, side: int = SIDE, quality: int = 92, votes: Sequence[float] | None = None
) -> PackedFace:
    """A face that shows a picture; its valence tells the number."""
    jpeg = encode_jpeg(picture(number, side), quality)
    decoded = np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB), dtype=np.uint8)
    return PackedFace(
        key=f"{number}.jpg",
        row=1,
        jpeg=jpeg,
        image_sha256=hashlib.sha256(jpeg).digest(),
        perceptual_hash=perceptual_hash(decoded),
        label=label,
        crop_method="whole",
        distribution=None if votes is None else tuple(votes),
        landmarks=np.full((68, 2), number / 1000, np.float32),
        valence=number / 1000,
        arousal=0.0,
    )


def write_pack(
    folder: Path,
    classes: Sequence[str],
    *,
    train: Sequence[PackedFace],
    val: Sequence[PackedFace] = (),
    crop: CropContract | None = None,
) -> Pack:
    """Write a pack of given faces, with the groups that `prepare` would have found in it."""
    folder.mkdir(parents=True)
    splits = {name: list(faces) for name, faces in (("train", train), ("val", val)) if faces}
    shards = [
        write_shard(folder / f"{name}-00000.arrow", name, faces, len(classes))
        for name, faces in splits.items()
    ]
    counts = {
        name: {classes[label]: sum(face.label == label for face in faces) for label in range(len(classes))}
        for name, faces in splits.items()
    }
    hashes = [np.frombuffer(face.perceptual_hash, np.uint8) for faces in splits.values() for face in faces]
    n = len(hashes)
    info = PackInfo(
        format_version=FORMAT_VERSION, mien_version="0", source="test", classes=tuple(classes),
        crop=crop or CropContract(method="whole", size=SIDE), counts=counts, rejected={}, rejected_by_reason={},
        warnings={}, crop_methods={"whole": n}, duplicates={}, n_rows=n, n_kept=n, n_rejected=0,
        content_sha256=compute_content_sha256(folder, shards, tuple(classes)), shards=tuple(shards),
    )  # fmt: skip
    close_pack(folder, info, find_groups(np.array(hashes)))
    return Pack.open(folder)


def numbers_of(faces: LabelledFaces) -> list[int]:
    """Which pictures the faces show."""
    return [int(number) for number in np.rint(faces.valence_arousal[:, 0] * 1000)]


def join(faces: TrainingFaces) -> list[int]:
    return numbers_of(faces.train) + numbers_of(faces.dev)


labels_and_groups = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30)), min_size=1, max_size=200)


@settings(deadline=None)
@given(labels_and_groups, st.floats(0.01, 0.5), st.integers(0, 100))
def test_no_group_is_cut_in_two(faces: list[tuple[int, int]], fraction: float, seed: int) -> None:
    """Near-duplicates are all in train or all in dev, and the same seed cuts the same way."""
    labels, groups = np.array(faces).T
    in_dev = cut_dev(labels, groups, fraction=fraction, seed=seed)
    assert not set(groups[in_dev]) & set(groups[~in_dev])
    np.testing.assert_array_equal(in_dev, cut_dev(labels, groups, fraction=fraction, seed=seed))


@settings(deadline=None)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=5), st.floats(0.01, 0.5), st.integers(0, 100))
def test_each_class_gives_its_share(sizes: list[int], fraction: float, seed: int) -> None:
    """Without duplicates each class keeps back its share, rounded."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    in_dev = cut_dev(labels, np.arange(len(labels)), fraction=fraction, seed=seed)
    for label, size in enumerate(sizes):
        assert in_dev[labels == label].sum() == round(fraction * size)


def test_seeds_cut_differently() -> None:
    """The dev split is a draw, and so are the folds."""
    labels, groups = np.zeros(100, dtype=int), np.arange(100)
    one, other = (cut_dev(labels, groups, fraction=0.2, seed=seed) for seed in (0, 1))
    assert (one != other).any()
    one, other = (cut_folds(labels, groups, n_folds=5, seed=seed) for seed in (0, 1))
    assert (one != other).any()


@settings(deadline=None)
@given(labels_and_groups, st.integers(2, 12), st.integers(0, 100))
def test_folds_cut_no_group_in_two(faces: list[tuple[int, int]], n_folds: int, seed: int) -> None:
    """Every face is in one of the folds, near-duplicates in the same, and the same seed cuts the same way."""
    labels, groups = np.array(faces).T
    folds = cut_folds(labels, groups, n_folds=n_folds, seed=seed)
    assert folds.shape == labels.shape
    assert set(folds) <= set(range(n_folds))
    assert len(np.unique(np.column_stack([groups, folds]), axis=0)) == len(np.unique(groups))
    np.testing.assert_array_equal(folds, cut_folds(labels, groups, n_folds=n_folds, seed=seed))


@settings(deadline=None)
@given(st.lists(st.integers(1, 9), min_size=10, max_size=60), st.integers(2, 6), st.integers(0, 100))
def test_folds_with_groups_are_about_equal(sizes: list[int], n_folds: int, seed: int) -> None:
    """A class's part in a fold is off by no more than its largest group."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    labels = groups % 3
    folds = cut_folds(labels, groups, n_folds=n_folds, seed=seed)
    for label in range(3):
        parts = np.bincount(folds[labels == label], minlength=n_folds)
        assert np.abs(parts - parts.sum() / n_folds).max() <= max(sizes)


@settings(deadline=None)
@given(st.lists(st.integers(6, 60), min_size=1, max_size=5), st.integers(2, 6), st.integers(0, 100))
def test_folds_are_as_equal_as_those_of_scikit_learn(sizes: list[int], n_folds: int, seed: int) -> None:
    """Without duplicates, the parts of each class are as large as in a stratified k-fold, folds in any order."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    folds = cut_folds(labels, np.arange(len(labels)), n_folds=n_folds, seed=seed)
    theirs = np.empty_like(folds)
    cuts = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    for fold, (_, kept_back) in enumerate(cuts.split(labels, labels)):
        theirs[kept_back] = fold
    for label in range(len(sizes)):
        ours, expected = (np.bincount(cut[labels == label], minlength=n_folds) for cut in (folds, theirs))
        assert sorted(ours) == sorted(expected)


def test_rare_classes_are_spread_over_the_folds() -> None:
    """Classes of one face each do not all fall into the same fold."""
    folds = cut_folds(np.arange(10), np.arange(10), n_folds=5, seed=0)
    np.testing.assert_array_equal(np.bincount(folds), [2, 2, 2, 2, 2])


def test_a_recipe_chooses_its_fold() -> None:
    """With `folds` the recipe's fold is kept back, without them the fraction is."""
    labels, groups = np.arange(90) % 3, np.arange(90) // 2
    folds = cut_folds(labels, groups, n_folds=3, seed=7)
    for fold in range(3):
        chosen = choose_dev(labels, groups, DataConfig(folds=3, fold=fold, split_seed=7))
        np.testing.assert_array_equal(chosen, folds == fold)
    np.testing.assert_array_equal(
        choose_dev(labels, groups, DataConfig(dev_fraction=0.2, split_seed=7)),
        cut_dev(labels, groups, fraction=0.2, seed=7),
    )


def test_train_and_dev_are_the_pack(training_pack: Path) -> None:
    """Every training face is on one side, none on both, and val is on neither."""
    pack = Pack.open(training_pack)
    faces = read_training_faces([pack], DataConfig(dev_fraction=0.25))
    assert faces.classes == pack.info.classes
    assert sorted([*faces.train.rows, *faces.dev.rows]) == list(range(192))
    np.testing.assert_array_equal(np.bincount(faces.dev.labels), [16, 16, 16])
    np.testing.assert_array_equal(faces.train.targets.argmax(axis=1), faces.train.labels)
    np.testing.assert_array_equal(faces.train.targets.sum(axis=1), 1)
    np.testing.assert_array_equal(faces.train.landmarks, pack.split("train").landmarks[faces.train.rows])


def test_folds_of_a_pack(training_pack: Path) -> None:
    """Each fold keeps back other faces and learns from the rest; together they keep back every face."""
    pack = Pack.open(training_pack)
    kept_back = []
    for fold in range(4):
        faces = read_training_faces([pack], DataConfig(folds=4, fold=fold))
        np.testing.assert_array_equal(np.bincount(faces.dev.labels), [16, 16, 16])
        assert sorted([*faces.train.rows, *faces.dev.rows]) == list(range(192))
        kept_back.extend(faces.dev.rows)
    assert sorted(kept_back) == list(range(192))


def test_a_part_of_the_faces(training_pack: Path) -> None:
    """A part holds the chosen faces with all that belongs to them, their pictures and paths too."""
    pack = Pack.open(training_pack)
    faces = read_training_faces([pack], DataConfig(dev_fraction=0.25)).train
    chosen = np.arange(len(faces)) % 5 == 2
    part = faces.part(chosen)
    assert len(part) == chosen.sum()
    split = pack.split("train")
    for place, face in enumerate(np.flatnonzero(chosen)):
        assert part.key(place) == faces.key(face) == split.keys[faces.rows[face]]
        np.testing.assert_array_equal(part.image(place), split.image(int(faces.rows[face])))
    for name in ("pack_numbers", "rows", "targets", "labels", "landmarks", "valence_arousal", "groups"):
        np.testing.assert_array_equal(getattr(part, name), getattr(faces, name)[chosen])


def test_a_choice_of_classes(training_pack: Path) -> None:
    """Faces of other classes are left out, and labels count in the chosen order."""
    pack = Pack.open(training_pack)
    faces = read_training_faces([pack], DataConfig(classes=["Sad", "Neutral"], dev_fraction=0.25))
    assert faces.classes == ("Sad", "Neutral")
    assert faces.train.targets.shape[1] == 2
    assert len(faces.train) + len(faces.dev) == 128
    names = np.array(pack.info.classes)[pack.split("train").labels[faces.train.rows]]
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
        [pack], DataConfig(labels="votes", classes=["Happy", "Sad"], dev_fraction=0.25)
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
    assert not {*faces.train.rows, *faces.dev.rows} & set(range(10))
    kept = read_training_faces([pack], DataConfig(exclude_leaks=False))
    assert kept.n_leaks == 0
    assert len(kept.train) + len(kept.dev) == 192


def test_too_few_faces(make_training_pack: Callable[..., Path], tmp_path: Path) -> None:
    """A handful of faces is no training set."""
    pack = Pack.open(make_training_pack(tmp_path / "few.pack", n_train=18, n_missing=0))
    with pytest.raises(DatasetError, match=r"18 usable training faces .* 16 of each are needed"):
        read_training_faces([pack], DataConfig())


A_CLASSES, B_CLASSES = ("Neutral", "Happy", "Sad"), ("Fear", "Sad", "Happy")


def name_of(number: int) -> str:
    """The expression on a picture: of the first 100 one of A's classes, of the others one of B's."""
    return A_CLASSES[number % 3] if number < 100 else B_CLASSES[number % 3]


def faces_of(numbers: Sequence[int], classes: Sequence[str], *, quality: int = 92) -> list[PackedFace]:
    return [make_face(number, classes.index(name_of(number)), quality=quality) for number in numbers]


@pytest.fixture(scope="module")
def two_packs(tmp_path_factory: pytest.TempPathFactory) -> list[Pack]:
    """Packs A of pictures 0 to 59 (val: 60 to 69), and B of 100 to 159 (val: 160 to 169), in other classes."""
    folder = tmp_path_factory.mktemp("two")
    return [
        write_pack(
            folder / name,
            classes,
            train=faces_of(range(start, start + 60), classes),
            val=faces_of(range(start + 60, start + 70), classes),
        )
        for name, classes, start in (("a.pack", A_CLASSES, 0), ("b.pack", B_CLASSES, 100))
    ]


def test_classes_of_two_packs_are_matched_by_name(two_packs: list[Pack]) -> None:
    """The network's classes are those of either pack; a class of both is one, wherever it stands in each."""
    faces = read_training_faces(two_packs, DataConfig(dev_fraction=0.25))
    assert faces.classes == ("Neutral", "Happy", "Sad", "Fear")
    assert sorted(join(faces)) == [*range(60), *range(100, 160)]
    for part in (faces.train, faces.dev):
        numbers = numbers_of(part)
        assert [faces.classes[label] for label in part.labels] == [name_of(number) for number in numbers]
        np.testing.assert_array_equal(part.targets, np.eye(4)[part.labels])
    assert faces.n_leaks == 0


def test_the_order_of_the_packs_is_the_order_of_classes(two_packs: list[Pack]) -> None:
    """With B first its classes come first, and each face is still what it was."""
    faces = read_training_faces(two_packs[::-1], DataConfig(dev_fraction=0.25))
    assert faces.classes == ("Fear", "Sad", "Happy", "Neutral")
    for number, label in zip(numbers_of(faces.train), faces.train.labels, strict=True):
        assert faces.classes[label] == name_of(number)


def test_pictures_of_two_packs(two_packs: list[Pack]) -> None:
    """A face's picture, path and landmarks come from its own pack."""
    faces = read_training_faces(two_packs, DataConfig(dev_fraction=0.25)).train
    for face, number in enumerate(numbers_of(faces)):
        assert faces.key(face) == f"{number}.jpg"
        assert faces.pack_numbers[face] == (number >= 100)
        assert (faces.landmarks[face] == np.float32(number / 1000)).all()
        if face % 8 == 0:
            assert np.abs(faces.image(face).astype(int) - picture(number)).mean() < 8


def test_a_choice_of_classes_from_two_packs(two_packs: list[Pack]) -> None:
    """A class of one pack alone can be left out, or chosen beside one of both."""
    faces = read_training_faces(two_packs, DataConfig(classes=["Fear", "Happy"], dev_fraction=0.4))
    wanted = [n for n in [*range(60), *range(100, 160)] if name_of(n) in ("Fear", "Happy")]
    assert sorted(join(faces)) == wanted
    for number, label in zip(numbers_of(faces.train), faces.train.labels, strict=True):
        assert faces.classes[label] == name_of(number)
    with pytest.raises(DatasetError, match="Neutral, Happy, Sad, Fear; got Happy, Joy"):
        read_training_faces(two_packs, DataConfig(classes=["Happy", "Joy"]))


def test_votes_of_two_packs(two_packs: list[Pack], tmp_path: Path) -> None:
    """Votes go to their classes by name; a face without votes, or with none for what is learnt, has its label."""
    votes = {f"{number}.jpg": (0.0, 0.25, 0.75) for number in range(200, 238)}
    votes["238.jpg"] = (1.0, 0.0, 0.0)
    voted = [make_face(int(key.split(".")[0]), 2, votes=shares) for key, shares in votes.items()] + faces_of(
        [239], B_CLASSES
    )
    pack = write_pack(tmp_path / "votes.pack", B_CLASSES, train=voted)
    faces = read_training_faces(
        [two_packs[0], pack],
        DataConfig(labels="votes", classes=["Happy", "Neutral", "Sad"], dev_fraction=0.25),
    )
    seen = 0
    for part in (faces.train, faces.dev):
        for number, target, label in zip(numbers_of(part), part.targets, part.labels, strict=True):
            if 200 <= number < 238:
                np.testing.assert_allclose(target, [0.75, 0, 0.25])
                assert faces.classes[label] == "Happy"
            else:
                np.testing.assert_array_equal(target, np.eye(3)[label])
                assert faces.classes[label] == ("Happy" if number == 238 else name_of(number))
            seen += number >= 200
    assert seen == 39 + (name_of(239) != "Fear")


@pytest.mark.parametrize("quality", [92, 50])
def test_leaks_between_packs_are_left_out(two_packs: list[Pack], tmp_path: Path, quality: int) -> None:
    """A picture of A's train that stands in B's val, saved anew, is not learnt from, unless the recipe wants it."""
    a, _ = two_packs
    leaking = write_pack(
        tmp_path / "b.pack",
        B_CLASSES,
        train=faces_of(range(100, 140), B_CLASSES),
        val=[make_face(number, 2, quality=quality) for number in (3, 7, 58)],
    )
    faces = read_training_faces([a, leaking], DataConfig(dev_fraction=0.25))
    assert faces.n_leaks == 3
    assert sorted(join(faces)) == sorted({*range(60), *range(100, 140)} - {3, 7, 58})
    kept = read_training_faces([a, leaking], DataConfig(dev_fraction=0.25, exclude_leaks=False))
    assert kept.n_leaks == 0
    assert len(join(kept)) == 100
    # Alone, neither pack knows of it.
    assert read_training_faces([a], DataConfig(dev_fraction=0.3)).n_leaks == 0


def test_a_leak_in_the_other_direction(two_packs: list[Pack], tmp_path: Path) -> None:
    """The val of the first pack guards against the train of the second as well."""
    a, _ = two_packs
    numbers = [*range(100, 140), 60, 65]
    leaking = write_pack(
        tmp_path / "b.pack", B_CLASSES, train=[make_face(n, n % 3, quality=60) for n in numbers]
    )
    faces = read_training_faces([a, leaking], DataConfig(dev_fraction=0.25))
    assert faces.n_leaks == 2
    assert not set(join(faces)) & {60, 65}


def test_copies_in_two_packs_stay_on_one_side(two_packs: list[Pack], tmp_path: Path) -> None:
    """A picture that both packs learn from is on one side of the dev split, whichever the seed and the fold."""
    a, _ = two_packs
    again = write_pack(tmp_path / "b.pack", A_CLASSES, train=faces_of(range(40), A_CLASSES, quality=50))
    for data in (
        *(DataConfig(dev_fraction=0.3, split_seed=s) for s in range(5)),
        DataConfig(folds=3, fold=1),
    ):
        faces = read_training_faces([a, again], data)
        assert not set(numbers_of(faces.train)) & set(numbers_of(faces.dev))
        assert len(join(faces)) == 100
        counts = np.bincount(numbers_of(faces.dev), minlength=60)
        assert set(counts[:40]) == {0, 2}


@pytest.mark.parametrize(
    ("crop", "told"),
    [
        (CropContract(method="box", margin=0.1, size=SIDE), r"a.pack has crop whole .* has box with 0\.1"),
        (CropContract(method="whole", margin=0.3, size=SIDE), r"whole with margin 0\.1, .* whole with 0\.3"),
    ],
    ids=["method", "margin"],
)
def test_packs_that_are_cropped_differently(
    two_packs: list[Pack], tmp_path: Path, crop: CropContract, told: str
) -> None:
    """One network cannot learn two crops: one line says which pack has which."""
    other = write_pack(
        tmp_path / "other.pack", B_CLASSES, train=faces_of(range(100, 140), B_CLASSES), crop=crop
    )
    with pytest.raises(DatasetError, match=told) as caught:
        read_training_faces([*two_packs, other], DataConfig())
    assert str(other.path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_packs_of_different_size(two_packs: list[Pack], tmp_path: Path) -> None:
    """The stored size may differ: every face is resized for the network anyway."""
    larger = write_pack(
        tmp_path / "larger.pack",
        B_CLASSES,
        train=[make_face(number, number % 3, side=2 * SIDE) for number in range(200, 240)],
        crop=CropContract(method="whole", size=2 * SIDE),
    )
    faces = read_training_faces([two_packs[0], larger], DataConfig(dev_fraction=0.25))
    assert len(join(faces)) == 100
    sides = {(number >= 200, len(faces.dev.image(face))) for face, number in enumerate(numbers_of(faces.dev))}
    assert sides == {(False, SIDE), (True, 2 * SIDE)}
    draws = [Draw(0, face, face) for face in range(len(faces.dev))]
    still = AugmentConfig(flip=0, affine=0, brightness=0, contrast=0, saturation=0, erase=0)
    plain, unchanged = (FaceBatches(faces.dev, 48, augment).__getitems__(draws) for augment in (None, still))
    np.testing.assert_array_equal(plain.images_rgb, unchanged.images_rgb)
