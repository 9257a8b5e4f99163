"""RAF-DB in its own layout and in that of the copy on Kaggle."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.datasets.rafdb import open_rafdb
from mien.errors import DatasetError

LINES = "train_00001.jpg 5\ntrain_00002.jpg 1\ntest_0001.jpg 7\ntest_0002.jpg 4\n"
POINTS = "40.5\t30.25\n80 31\n60 50\n45 70\n78 71\n"


@pytest.fixture
def raw(tmp_path: Path, put: Callable[..., Path]) -> Path:
    """The basic set with aligned and original images and annotations, as its README describes it."""
    put(tmp_path / "basic" / "EmoLabel" / "list_patition_label.txt", LINES)
    for line in LINES.splitlines():
        stem = line.split(".")[0]
        put(tmp_path / "basic" / "Image" / "aligned" / f"{stem}_aligned.jpg")
        put(tmp_path / "basic" / "Image" / "original" / f"{stem}.jpg")
        put(tmp_path / "basic" / "Annotation" / "manual" / f"{stem}_manu_attri.txt", POINTS + "1\n2\n4\n")
        put(tmp_path / "basic" / "Annotation" / "boundingbox" / f"{stem}_boundingbox.txt", "10 20 90 110")
    return tmp_path


def test_numbers_splits_and_attributes(raw: Path, read_set: Callable[..., Any]) -> None:
    """Labels are mapped by the README's numbers, splits are the names' prefixes."""
    source = open_rafdb(raw)
    read = read_set(source)
    found = {row.key: (row.split, source.class_of(row)) for row in read.rows}
    assert found == {
        "Image/aligned/train_00001_aligned.jpg": ("train", "Sad"),
        "Image/aligned/train_00002_aligned.jpg": ("train", "Surprise"),
        "Image/aligned/test_0001_aligned.jpg": ("test", "Neutral"),
        "Image/aligned/test_0002_aligned.jpg": ("test", "Happy"),
    }
    record = read.records["Image/aligned/train_00001_aligned.jpg"]
    assert record.image == raw.resolve() / "basic/Image/aligned/train_00001_aligned.jpg"
    assert record.attributes == {"gender": "female", "race": "Asian", "age": "70+"}
    assert (record.anchors, record.box_xyxy) == (None, None)  # these are for the original image
    assert source.natural_crop == "whole"


def test_original_images_have_points_and_a_box(raw: Path, read_set: Callable[..., Any]) -> None:
    """The points of the eyes and of the mouth position the crop."""
    source = open_rafdb(raw, raf_images="original")
    record = read_set(source).records["Image/original/test_0001.jpg"]
    np.testing.assert_array_equal(record.anchors, [[40.5, 30.25], [80, 31], [45, 70], [78, 71]])
    np.testing.assert_array_equal(record.box_xyxy, [10, 20, 90, 110])
    assert source.natural_crop == "aligned"


def test_damaged_annotations_are_warnings(
    raw: Path, read_set: Callable[..., Any], put: Callable[..., Path]
) -> None:
    """The face is kept without them."""
    manual = raw / "basic" / "Annotation" / "manual"
    put(manual / "train_00001_manu_attri.txt", POINTS + "3\n0\n0\n")
    put(manual / "train_00002_manu_attri.txt", "1 2\n")
    (manual / "test_0001_manu_attri.txt").unlink()
    put(raw / "basic" / "Annotation" / "boundingbox" / "test_0002_boundingbox.txt", "90 20 10 110")
    read = read_set(open_rafdb(raw, raf_images="original"))
    assert {key.rpartition("/")[2]: record.warnings for key, record in read.records.items()} == {
        "train_00001.jpg": ("broken_annotation",),
        "train_00002.jpg": ("broken_annotation",),
        "test_0001.jpg": ("missing_annotation",),
        "test_0002.jpg": ("box_value",),
    }


def test_wrong_lines_are_rejected(
    tmp_path: Path, put: Callable[..., Path], read_set: Callable[..., Any]
) -> None:
    """A number out of the map, an unknown split and a line without a number."""
    lines = "train_1.jpg 1\ntrain_2.jpg 0\ntrain_3.jpg x\nval_4.jpg 1\nface.jpg 2\nsad\n"
    put(tmp_path / "EmoLabel" / "list_patition_label.txt", lines)
    put(tmp_path / "Image" / "aligned" / "train_1_aligned.jpg")
    read = read_set(open_rafdb(tmp_path))
    assert sorted(read.reasons) == ["malformed_row", "unknown_label", "unknown_label", "unknown_split"]
    assert {row.split for row in read.rows} == {"train", "val"}


def test_compound_set_is_recognized(
    tmp_path: Path, put: Callable[..., Path], read_set: Callable[..., Any]
) -> None:
    """Its numbers go beyond 7, and 1 is not Surprise."""
    put(tmp_path / "EmoLabel" / "list_patition_label.txt", "train_1.jpg 1\ntest_1.jpg 11\n")
    put(tmp_path / "Image" / "aligned" / "train_1_aligned.jpg")
    source = open_rafdb(tmp_path)
    assert source.name == "rafdb-compound"
    assert [source.class_of(row) for row in source.rows()] == ["Happily Surprised", "Disgustedly Surprised"]
    assert len(source.classes) == 11


@pytest.mark.parametrize("label", ["77", "8"])
def test_a_wrong_number_does_not_make_the_set_a_compound_one(
    tmp_path: Path, put: Callable[..., Path], read_set: Callable[..., Any], label: str
) -> None:
    """Nor one of another set: its row is rejected, and the others keep their classes."""
    lines = [f"train_{number}.jpg {number % 7 + 1}" for number in range(40)]
    put(tmp_path / "EmoLabel" / "list_patition_label.txt", "\n".join([*lines, f"train_x.jpg {label}"]))
    put(tmp_path / "Image" / "aligned" / "train_1_aligned.jpg")
    source = open_rafdb(tmp_path)
    read = read_set(source)
    assert (source.name, len(source.classes), read.reasons) == ("rafdb", 7, ["unknown_label"])
    assert read.rejects["train", 41][1] == f"label '{label}' is not an integer from 1 to 7"


def test_numbered_folders_and_their_lists(
    tmp_path: Path, put: Callable[..., Path], read_set: Callable[..., Any]
) -> None:
    """Folders and list must agree; what only one of them names is a row too."""
    root = tmp_path / "DATASET"
    for file in (
        "train/5/train_1_aligned.jpg",
        "train/1/train_2_aligned.jpg",
        "test/7/test_1_aligned.jpg",
        "train/8/a.jpg",
    ):
        put(root / file)
    lines = "train_1_aligned.jpg,5\ntrain_2_aligned.jpg,3\ngone_aligned.jpg,2\nodd.jpg,9\n"
    put(root / "train_labels.csv", f"image,label\n{lines}")
    put(root / "notes.txt")
    source = open_rafdb(tmp_path)
    read = read_set(source)
    classes = {key: source.classes[record.label] for key, record in read.records.items()}
    assert classes == {
        "train/5/train_1_aligned.jpg": "Sad",
        "test/7/test_1_aligned.jpg": "Neutral",
        "train/2/gone_aligned.jpg": "Fear",  # rejected as missing when it is read
    }
    assert read.reasons == ["conflicting_label", "unknown_label", "unknown_label"]
    assert any("notes.txt" in note for note in source.notes)
    with pytest.raises(DatasetError, match="leave --raf-images out"):
        open_rafdb(tmp_path, raf_images="original")


def test_missing_parts_are_named(tmp_path: Path, put: Callable[..., Path]) -> None:
    """The error says what is missing."""
    with pytest.raises(DatasetError, match="list_patition_label"):
        open_rafdb(tmp_path)
    put(tmp_path / "EmoLabel" / "list_patition_label.txt", LINES)
    with pytest.raises(DatasetError, match="`Image/original/`, there is no such folder"):
        open_rafdb(tmp_path)
