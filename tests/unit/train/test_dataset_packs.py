"""Training faces from several packs together, with real near-duplicates and real hashes."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch", reason="training needs the train extra")

from mien.errors import DatasetError
from mien.faces.crop import CropContract
from mien.faces.images import encode_jpeg
from mien.faces.near_duplicates import find_groups
from mien.faces.perceptual_hash import perceptual_hash
from mien.formats.pack import FORMAT_VERSION, Pack, PackedFace, PackInfo
from mien.formats.pack.writer import close_pack, compute_content_sha256, write_shard
from mien.recipe import AugmentConfig, DataConfig
from mien.train.dataloader import FaceBatches
from mien.train.dataset import LabeledFaces, TrainingFaces, network_crop, read_training_faces
from mien.train.sampler import Draw

SIDE = 64


def photo(number: int, side: int = SIDE) -> NDArray[np.uint8]:
    """A smooth photo, unlike any other, with as much detail as a photograph."""
    noise = np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)
    blurred = cv2.GaussianBlur(noise, (0, 0), 1.5)
    return np.asarray(cv2.normalize(blurred, None, 0, 255, cv2.NORM_MINMAX), dtype=np.uint8)


def make_face(
    number: int, label: int, *, side: int = SIDE, quality: int = 92, votes: Sequence[float] | None = None
) -> PackedFace:
    """A face that shows a photo; its valence encodes the photo's number."""
    jpeg = encode_jpeg(photo(number, side), quality)
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
    """Write a pack of the given faces, with the groups that `prepare` would have found."""
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


def numbers_of(faces: LabeledFaces) -> list[int]:
    """The photos that the faces show."""
    return [int(number) for number in np.rint(faces.targets["valence_arousal"][:, 0] * 1000)]


def join(faces: TrainingFaces) -> list[int]:
    return numbers_of(faces.train) + numbers_of(faces.dev)


A_CLASSES, B_CLASSES = ("Neutral", "Happy", "Sad"), ("Fear", "Sad", "Happy")


def name_of(number: int) -> str:
    """The expression on a photo: of the first 100 one of A's classes, of the others one of B's."""
    return A_CLASSES[number % 3] if number < 100 else B_CLASSES[number % 3]


def faces_of(numbers: Sequence[int], classes: Sequence[str], *, quality: int = 92) -> list[PackedFace]:
    return [make_face(number, classes.index(name_of(number)), quality=quality) for number in numbers]


@pytest.fixture(scope="module")
def two_packs(tmp_path_factory: pytest.TempPathFactory) -> list[Pack]:
    """Packs A of photos 0 to 59 (val: 60 to 69), and B of 100 to 159 (val: 160 to 169), in other classes."""
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
    """The network's classes are those of either pack; a class in both is one, whatever its index in each."""
    faces = read_training_faces(two_packs, DataConfig(dev_fraction=0.25))
    assert faces.classes == ("Neutral", "Happy", "Sad", "Fear")
    assert sorted(join(faces)) == [*range(60), *range(100, 160)]
    for part in (faces.train, faces.dev):
        numbers = numbers_of(part)
        assert [faces.classes[label] for label in part.labels] == [name_of(number) for number in numbers]
        np.testing.assert_array_equal(part.targets["expression"], np.eye(4)[part.labels])
    assert faces.n_leaks == 0


def test_the_order_of_the_packs_is_the_order_of_classes(two_packs: list[Pack]) -> None:
    """With B first its classes come first, and each face is still what it was."""
    faces = read_training_faces(two_packs[::-1], DataConfig(dev_fraction=0.25))
    assert faces.classes == ("Fear", "Sad", "Happy", "Neutral")
    for number, label in zip(numbers_of(faces.train), faces.train.labels, strict=True):
        assert faces.classes[label] == name_of(number)


def test_images_of_two_packs(two_packs: list[Pack]) -> None:
    """A face's photo, path and landmarks come from its own pack."""
    faces = read_training_faces(two_packs, DataConfig(dev_fraction=0.25)).train
    for face, number in enumerate(numbers_of(faces)):
        assert faces.key(face) == f"{number}.jpg"
        assert faces.pack_numbers[face] == (number >= 100)
        assert (faces.targets["landmarks"][face] == np.float32(number / 1000)).all()
        if face % 8 == 0:
            assert np.abs(faces.image(face).astype(int) - photo(number)).mean() < 8


def test_a_choice_of_classes_from_two_packs(two_packs: list[Pack]) -> None:
    """A class of only one pack can be left out, or chosen together with one of both."""
    faces = read_training_faces(two_packs, DataConfig(classes=["Fear", "Happy"], dev_fraction=0.4))
    wanted = [n for n in [*range(60), *range(100, 160)] if name_of(n) in ("Fear", "Happy")]
    assert sorted(join(faces)) == wanted
    for number, label in zip(numbers_of(faces.train), faces.train.labels, strict=True):
        assert faces.classes[label] == name_of(number)
    with pytest.raises(DatasetError, match="Neutral, Happy, Sad, Fear; got Happy, Joy"):
        read_training_faces(two_packs, DataConfig(classes=["Happy", "Joy"]))


def test_votes_of_two_packs(two_packs: list[Pack], tmp_path: Path) -> None:
    """Votes go to their classes by name; a face without votes for the chosen classes has its label."""
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
        for number, target, label in zip(
            numbers_of(part), part.targets["expression"], part.labels, strict=True
        ):
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
    """A photo in A's train that is re-encoded in B's val is excluded, unless the recipe keeps it."""
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
    # Neither pack finds it by itself.
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
    """A photo in both packs is on one side of the dev split, whatever the seed and the fold."""
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
        (
            CropContract(method="box", margin=0.1, size=SIDE),
            r"a.pack has whole crops of \d+ px, .* has box crops of \d+ px with margin 0\.1",
        ),
        (
            CropContract(method="aligned", margin=0.3, size=SIDE),
            r"whole crops of \d+ px, .* has aligned crops of \d+ px with margin 0\.3",
        ),
    ],
    ids=["box", "aligned"],
)
def test_packs_that_are_cropped_differently(
    two_packs: list[Pack], tmp_path: Path, crop: CropContract, told: str
) -> None:
    """One network cannot be trained on two crops: one line says which pack has which."""
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
    # `mien predict` crops photographs with the detail that some training faces had.
    assert network_crop([two_packs[0], larger], DataConfig()) == larger.info.crop
    sides = {(number >= 200, len(faces.dev.image(face))) for face, number in enumerate(numbers_of(faces.dev))}
    assert sides == {(False, SIDE), (True, 2 * SIDE)}
    draws = [Draw(0, face, face) for face in range(len(faces.dev))]
    still = AugmentConfig(hflip_prob=0, affine_prob=0, brightness=0, contrast=0, saturation=0, erase_prob=0)
    plain, unchanged = (FaceBatches(faces.dev, 48, augment).__getitems__(draws) for augment in (None, still))
    np.testing.assert_array_equal(plain.images_rgb, unchanged.images_rgb)
