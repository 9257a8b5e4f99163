"""A folder for each class."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mien.datasets.image_folder import open_folder, recognize_folder
from mien.datasets.labels import parse_label_names
from mien.errors import DatasetError


@pytest.fixture
def make_set(tmp_path: Path, put: Callable[..., Path]) -> Callable[..., Path]:
    """Return a function that writes files at the given paths."""

    def make(*places: str) -> Path:
        for place in places:
            put(tmp_path / place)
        return tmp_path

    return make


def test_folders_are_classes(make_set: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """Names that mean AffectNet's classes become these, others are kept; nested folders belong to their class folder."""
    raw = make_set("bored/a.jpg", "Happiness/a b.jpg", "Happiness/more/面.PNG", "angry/x,y.jpeg", "zen/a.jpg")
    source = open_folder(raw, val_fraction=0)
    assert (source.name, source.natural_crop) == ("folder", "whole")
    assert source.classes == ("Happy", "Anger", "bored", "zen")
    read = read_set(source)
    assert {key: source.classes[record.label] for key, record in read.records.items()} == {
        "Happiness/a b.jpg": "Happy",
        "Happiness/more/面.PNG": "Happy",
        "angry/x,y.jpeg": "Anger",
        "bored/a.jpg": "bored",
        "zen/a.jpg": "zen",
    }
    assert [row.number for row in read.rows] == [1, 2, 3, 4, 5]
    assert read.records["Happiness/a b.jpg"].image == raw.resolve() / "Happiness" / "a b.jpg"


def test_two_folders_may_be_one_class(make_set: Callable[..., Path]) -> None:
    """Folders whose names mean the same class are that class."""
    assert open_folder(make_set("sad/a.jpg", "Sadness/b.jpg", "fear/c.jpg")).classes == ("Sad", "Fear")


def test_every_file_in_a_class_folder_is_a_row(make_set: Callable[..., Path]) -> None:
    """Only hidden and system files are ignored: the rest is rejected later, with a reason."""
    raw = make_set(
        "happy/a.jpg", "happy/notes.txt", "happy/noending", "happy/.DS_Store", "happy/Thumbs.db",
        "happy/.cache/b.jpg", "sad/._c.jpg", "sad/c.jpg", "__MACOSX/happy/a.jpg", ".git/config",
    )  # fmt: skip
    source = open_folder(raw, val_fraction=0)
    assert [row.key for row in source.rows()] == [
        "happy/a.jpg",
        "happy/noending",
        "happy/notes.txt",
        "sad/c.jpg",
    ]


@pytest.mark.parametrize("folder", ["", "train/"])
def test_image_in_no_class_folder_is_rejected(
    make_set: Callable[..., Path], read_set: Callable[..., Any], folder: str
) -> None:
    """An image next to the class folders is a rejected row; other files there are not part of the set."""
    raw = make_set(*(folder + place for place in ("happy/a.jpg", "sad/b.jpg", "stray.jpg", "README.md")))
    source = open_folder(raw, val_fraction=0)
    read = read_set(source)
    assert len(read.rows) == 3
    assert read.reasons == ["unknown_label"]
    assert source.class_of(read.rows[-1]) == "?"


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (("train", "val", "test"), ["train", "val", "test"]),
        (("Training", "validation"), ["train", "val"]),
        (("train", "valid"), ["train", "val"]),
        (("train_set", "Test-Images"), ["train", "test"]),
        (("train", "test"), ["train", "test"]),
        (("val",), ["val"]),
    ],
)
def test_splits_of_its_own_are_kept(
    make_set: Callable[..., Path], read_set: Callable[..., Any], folders: tuple[str, ...], splits: list[str]
) -> None:
    """Split folders are the splits, in mien's order, each numbered from 1; nothing is assigned."""
    raw = make_set(*(f"{folder}/{name}/a.jpg" for folder in folders for name in ("happy", "sad")))
    read = read_set(open_folder(raw, val_fraction=0.5))
    assert [(row.split, row.number) for row in read.rows] == [(split, n) for split in splits for n in (1, 2)]
    assert {record.label for record in read.records.values()} == {0, 1}


def test_classes_are_those_of_all_splits(make_set: Callable[..., Path]) -> None:
    """A class in only one split is a class."""
    raw = make_set("train/happy/a.jpg", "train/sad/a.jpg", "val/fear/a.jpg")
    assert open_folder(raw).classes == ("Happy", "Sad", "Fear")


@pytest.mark.parametrize("folder", ["", "train/"])
def test_val_is_drawn_where_there_is_none(make_set: Callable[..., Path], folder: str) -> None:
    """A fraction of train becomes val, the same each time, nothing twice and nothing lost."""
    places = [f"{folder}{name}/{number}.jpg" for name in ("happy", "sad") for number in range(50)]
    raw = make_set(*places)
    rows = list(open_folder(raw, val_fraction=0.2).rows())
    assert rows == list(open_folder(raw, val_fraction=0.2).rows())
    assert sorted(row.key for row in rows) == sorted(places)
    assert [row.split for row in rows] == sorted(row.split for row in rows)
    assert 5 < sum(row.split == "val" for row in rows) < 40


def test_links_to_folders_and_files_are_followed_once(
    make_set: Callable[..., Path], tmp_path: Path, put: Callable[..., Path]
) -> None:
    """Sets made of links work, and a link to a parent folder does not loop forever."""
    put(tmp_path / "elsewhere" / "a.jpg")
    raw = make_set("set/happy/b.jpg", "set/sad/c.jpg") / "set"
    (raw / "angry").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (raw / "happy" / "a.jpg").symlink_to(tmp_path / "elsewhere" / "a.jpg")
    (raw / "happy" / "again").symlink_to(raw / "happy", target_is_directory=True)
    keys = [row.key for row in open_folder(raw, val_fraction=0).rows()]
    assert keys == ["angry/a.jpg", "happy/a.jpg", "happy/b.jpg", "sad/c.jpg"]


@pytest.mark.skipif(os.name == "nt", reason="names are UTF-16 on Windows")
def test_name_in_another_encoding_is_a_row(
    make_set: Callable[..., Path], read_set: Callable[..., Any]
) -> None:
    """A file whose name is not UTF-8 is found, under a key that can be written."""
    raw = make_set("happy/a.jpg", "sad/b.jpg")
    try:
        path = raw / "happy" / os.fsdecode(b"\xe9.jpg")
        path.touch()
    except OSError:
        pytest.skip("the file system takes UTF-8 names only")
    read = read_set(open_folder(raw, val_fraction=0))
    assert read.records[r"happy/\xe9.jpg"].image == path.resolve()


def test_empty_class_folder_is_no_class(make_set: Callable[..., Path]) -> None:
    """Nothing can be trained for a class without a file: it is noted instead."""
    raw = make_set("happy/a.jpg", "sad/b.jpg")
    (raw / "fear").mkdir()
    source = open_folder(raw)
    assert source.classes == ("Happy", "Sad")
    assert "`fear`" in source.notes[0]


AFFECTNET_2021 = [f"{s}/{part}/1.jpg" for s in ("train_set", "val_set") for part in ("images", "annotations")]


@pytest.mark.parametrize(
    ("places", "message"),
    [
        pytest.param(
            ["happy/a.jpg", "images/b.jpg", "sad/c.jpg"], "`images` is not named like a class", id="images"
        ),
        pytest.param(
            ["happy/a.jpg", "pictures/b.jpg"],  # not our word
            "is not named like a class",
            id="another word for images",
        ),
        pytest.param(
            ["train/images/a.jpg", "train/labels/a.txt", "valid/images/b.jpg", "valid/labels/b.txt"],
            r"`train/images` is not named like a class .*YOLO",
            id="YOLO",
        ),
        pytest.param(
            AFFECTNET_2021, r"`train_set/annotations` is .*use `mien prepare affectnet [^`]+`", id="2021"
        ),
        pytest.param(["happy/a.jpg", "sad/b.jpg", "notes/c.txt"], "`notes` holds no image", id="no image"),
        pytest.param(
            ["happy/train/a.jpg", "happy/test/b.jpg", "sad/train/c.jpg", "sad/test/d.jpg"],
            "`happy` holds `test`, `train`: move the folders, so that it is `test/happy`",
            id="splits below classes",
        ),
        pytest.param(
            ["0/a.jpg", "1/b.jpg"],
            "affectnet or ferplus .0 Neutral, 1 Happy.*--label-names 0=NAME,1=NAME$",
            id="numbers",
        ),
        pytest.param(["0/a.jpg", "happy/b.jpg"], "--label-names 0=NAME,happy$", id="a number among names"),
        pytest.param(["train/1/a.jpg", "test/2/b.jpg"], "are numbers", id="numbers in splits"),
    ],
)
def test_folders_that_are_no_classes_stop(
    make_set: Callable[..., Path], places: list[str], message: str
) -> None:
    """They would be trained on without an error; the message names folder and remedy."""
    with pytest.raises(DatasetError, match=message) as error:
        open_folder(make_set(*places))
    assert "\n" not in str(error.value)


def test_label_names_say_what_folders_are(
    make_set: Callable[..., Path], read_set: Callable[..., Any]
) -> None:
    """Numbers get names, folders that are not listed are ignored with a note, and any name may be a class."""
    raw = make_set("1/a.jpg", "02/b.jpg", "images/c.jpg", "labels/c.txt", "README.md")
    source = open_folder(raw, val_fraction=0, label_names=parse_label_names("1=surprised,2=Fear,images"))
    assert source.classes == ("Surprise", "Fear", "images")
    read = read_set(source)
    assert {key: source.classes[record.label] for key, record in read.records.items()} == {
        "02/b.jpg": "Fear",
        "1/a.jpg": "Surprise",
        "images/c.jpg": "images",
    }
    assert len(read.rows) == 3
    notes = " ".join(source.notes)
    assert "`labels` is ignored" in notes
    assert "not read: `README.md`" in notes
    assert "New classes, which AffectNet does not have: 'images'" in notes


def test_label_names_that_name_no_folders(make_set: Callable[..., Path]) -> None:
    """The message about what is missing lists the folders that exist."""
    raw = make_set("1/a.jpg", "2/b.jpg")
    with pytest.raises(DatasetError, match=r"--label-names makes 1 of the folders `1`, `2`"):
        open_folder(raw, label_names=parse_label_names("1=Happy,3=Sad"))


def test_affectnet_s_numbers_can_be_named_at_once(make_set: Callable[..., Path]) -> None:
    """In folders as in lists."""
    raw = make_set("train/0/a.jpg", "train/7/b.jpg", "val/7/c.jpg")
    assert open_folder(raw, label_names=parse_label_names("affectnet")).classes == ("Neutral", "Contempt")


def test_a_class_folder_of_images_without_endings(
    make_set: Callable[..., Path], put: Callable[..., Path]
) -> None:
    """A file is an image by its content."""
    raw = make_set("happy/a.jpg")
    put(raw / "sad" / "b", b"\x89PNG\r\n\x1a\n")
    assert open_folder(raw).classes == ("Happy", "Sad")


@pytest.mark.parametrize(
    ("places", "message"),
    [
        pytest.param([], "found none", id="empty"),
        pytest.param(["a.jpg", "b.jpg"], "found none", id="images only"),
        pytest.param(["dataset/happy/a.jpg", "dataset/sad/b.jpg"], "found `dataset`", id="a folder too high"),
        pytest.param(["train/a.jpg"], "found none", id="split without classes"),
        pytest.param(["train/happy/a.jpg", "sad/b.jpg"], "`train` next to `sad`", id="splits and classes"),
    ],
)
def test_other_layouts_are_refused(make_set: Callable[..., Path], places: list[str], message: str) -> None:
    """Fewer than two class folders is one clear error that says what was found."""
    with pytest.raises(DatasetError) as error:
        open_folder(make_set(*places))
    assert message in str(error.value)


def test_a_file_is_refused(tmp_path: Path, put: Callable[..., Path]) -> None:
    """A file instead of the folder is one clear error."""
    with pytest.raises(DatasetError, match="must be a folder"):
        open_folder(put(tmp_path / "set.zip"))


@pytest.mark.parametrize("names", [("fold1", "fold2", "fold3"), ("learn", "faces_val", "faces_eval")])
def test_folders_that_may_be_splits_are_no_persons(
    names: tuple[str, ...], make_set: Callable[..., Path]
) -> None:
    """Folds, or splits under other names, would be mixed; linked under the names of splits they are read."""
    raw = make_set(*(f"{name}/{kind}/a.jpg" for name in names for kind in ("happy", "sad")))
    with pytest.raises(DatasetError, match="rename them to train, val and test, or link to them"):
        open_folder(raw)
    linked = raw / "linked"
    linked.mkdir()
    for name, split in zip(names, ("train", "val", "test"), strict=True):
        (linked / split).symlink_to(raw / name)
    assert sorted({row.split for row in open_folder(linked).rows()}) == ["test", "train", "val"]


def test_a_split_of_unknown_kind_next_to_train_is_named(make_set: Callable[..., Path]) -> None:
    """Faces for evaluation may be val or test."""
    with pytest.raises(DatasetError, match="if `eval` is a split too, rename it to val or test; or move"):
        open_folder(make_set("train/happy/a.jpg", "train/sad/a.jpg", "eval/happy/a.jpg"))


@pytest.mark.parametrize("splits", [("",), ("train/", "test/")])
def test_folders_of_persons(
    tmp_path: Path, put: Callable[..., Path], read_set: Callable[..., Any], splits: tuple[str, ...]
) -> None:
    """Class folders in the folders of three persons or more: each person is on one side of the split drawn here."""
    for split in splits:
        for person in ("S1", "S2", "S3"):
            for name in ("happy", "sad"):
                put(tmp_path / split / person / name / "a.jpg")
    source = open_folder(tmp_path, val_fraction=0.3)
    read = read_set(source)
    assert source.classes == ("Happy", "Sad")
    assert {record.person for record in read.records.values()} == {"S1", "S2", "S3"}
    if splits == ("",):
        by_person = {
            (row.split, record.person) for row, record in zip(read.rows, read.records.values(), strict=True)
        }
        assert sorted(split for split, _ in by_person) == ["train", "train", "val"]
    else:
        assert {row.split for row in read.rows} == {"train", "test"}
    assert recognize_folder(tmp_path) is not None


def test_two_sets_in_a_folder_are_no_classes(tmp_path: Path, put: Callable[..., Path]) -> None:
    """They may be persons or sets."""
    for name in ("web/happy", "web/sad", "lab/happy", "lab/sad"):
        put(tmp_path / name / "a.jpg")
    with pytest.raises(
        DatasetError, match="`lab`, `web` hold class folders each: give one of them, or merge"
    ):
        open_folder(tmp_path)


def test_splits_in_the_names_of_class_folders_are_refused(make_set: Callable[..., Path]) -> None:
    """With --label-names too, which would make one class of both."""
    raw = make_set("happy_train/a.jpg", "happy_test/a.jpg", "sad_train/a.jpg", "sad_test/a.jpg")
    for names in (None, parse_label_names("happy_test=Happy,happy_train=Happy,sad_test=Sad,sad_train=Sad")):
        with pytest.raises(DatasetError, match=r"`happy_test` seems to be of the split test: .* SPLIT/CLASS"):
            open_folder(raw, label_names=names)


def test_split_folders_twice(make_set: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """`train/train/happy`, as archives of sets are unpacked."""
    source = open_folder(
        make_set(*(f"{s}/{s}/{c}/a.jpg" for s in ("train", "test") for c in ("happy", "sad")))
    )
    assert [(row.split, row.key, source.class_of(row)) for row in source.rows()] == [
        ("train", "train/train/happy/a.jpg", "Happy"),
        ("train", "train/train/sad/a.jpg", "Sad"),
        ("test", "test/test/happy/a.jpg", "Happy"),
        ("test", "test/test/sad/a.jpg", "Sad"),
    ]
    assert len(read_set(source).records) == 4


def test_a_link_to_a_folder_above_is_not_followed(make_set: Callable[..., Path]) -> None:
    """All other classes would be this one."""
    raw = make_set("happy/a.jpg", "sad/b.jpg")
    (raw / "happy" / "up").symlink_to("..")
    assert [row.key for row in open_folder(raw, val_fraction=0).rows()] == ["happy/a.jpg", "sad/b.jpg"]


def test_names_of_folders_from_macos(make_set: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """They are matched in each form of their accents, and their files are opened by the names that they have."""
    composed, decomposed = "m\u00fcde", "mu\u0308de"
    raw = make_set(
        f"train/{decomposed}/a.jpg", "train/happy/b.jpg", f"val/{composed}/c.jpg", "val/happy/d.jpg"
    )
    for names in (None, parse_label_names(f"{composed},happy")):
        source = open_folder(raw, label_names=names)
        assert source.classes == ("Happy", composed)
        records = read_set(source).records
        assert records[f"train/{decomposed}/a.jpg"].image == raw.resolve() / "train" / decomposed / "a.jpg"
        assert len(records) == 4
