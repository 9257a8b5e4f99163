"""The split of a set without splits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mien.datasets.list_options import ColumnOptions
from mien.datasets.registry import DatasetOptions, open_dataset
from mien.errors import DatasetError

YOLO = "0 0.5 0.5 0.5 0.5\n"


@pytest.fixture
def raw(tmp_path: Path, put: Callable[..., Path]) -> Path:
    """Return a folder with a held-out part in the layout of each kind."""
    for part in ("train", "test"):
        for name in ("happy", "sad"):
            put(tmp_path / "faces" / part / name / "a.jpg")
    listed = "file_name,label\nhappy/a.jpg,happy\nsad/a.jpg,sad\n"
    put(tmp_path / "faces" / "test" / "metadata.csv", listed)
    put(tmp_path / "faces" / "fer_test.csv", listed)
    put(tmp_path / "yolo" / "test" / "images" / "a.jpg")
    put(tmp_path / "yolo" / "test" / "labels" / "a.txt", YOLO)
    put(tmp_path / "yolo" / "test" / "classes.txt", "happy\nsad\n")
    return tmp_path


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        *(("folder", "faces/test"), ("csv", "faces/test"), ("csv", "faces/fer_test.csv")),
        *(("csv", "faces/test/metadata.csv"), ("imagefolder", "faces/test"), ("yolo", "yolo/test")),
    ],
)
def test_a_held_out_part_given_alone_is_not_trained_on(raw: Path, kind: str, place: str) -> None:
    """It is refused until its split is stated; `none` draws val, and `train` draws none."""
    with pytest.raises(
        DatasetError, match=r"named like a test split, .*: add --split test to hold its faces out"
    ):
        open_dataset(kind, raw / place, DatasetOptions())
    dataset = open_dataset(kind, raw / place, DatasetOptions(split="test"))
    assert {row.split for row in dataset.rows()} == {"test"}
    assert "All faces are test, as --split says." in dataset.notes
    assert all(dataset.class_of(row) in dataset.classes for row in dataset.rows())
    drawn = open_dataset(kind, raw / place, DatasetOptions(split="none"))
    assert {row.split for row in drawn.rows()} <= {"train", "val"}


def test_a_split_is_not_stated_over_those_of_the_set(raw: Path) -> None:
    """The set says which face is in which."""
    with pytest.raises(DatasetError, match=r"--split is for sets without splits, `.*faces` has its own"):
        open_dataset("folder", raw / "faces", DatasetOptions(split="test"))


def test_a_kind_with_splits_takes_no_option_for_them(raw: Path) -> None:
    """FER2013 states them."""
    with pytest.raises(
        DatasetError, match=r"--split applies to folder, csv, .*, not to `fer2013`: leave it out"
    ):
        open_dataset("fer2013", raw, DatasetOptions(split="test"))


def test_the_only_list_of_a_folder_is_of_the_split_that_it_is_named_for(
    tmp_path: Path, put: Callable[..., Path]
) -> None:
    """As one of several would be; unless a column says the split, and `train.csv` is a list like any other."""
    put(tmp_path / "one" / "test.csv", "path,label\na.jpg,happy\nb.jpg,sad\n")
    put(tmp_path / "column" / "test.csv", "path,label,split\na.jpg,happy,train\nb.jpg,sad,test\n")
    put(tmp_path / "train" / "train.csv", "path,label\n" + "".join(f"{n}.jpg,happy\n" for n in range(99)))

    def splits(name: str, **options: Any) -> set[str]:
        opened = open_dataset("csv", tmp_path / name, DatasetOptions(columns=ColumnOptions(**options)))
        return {row.split for row in opened.rows()}

    assert splits("one") == {"test"}
    assert splits("column") == {"train", "test"}
    assert splits("train") == {"train", "val"}


def test_paths_that_all_lead_to_a_held_out_split_are_no_training_faces(
    tmp_path: Path, put: Callable[..., Path]
) -> None:
    """The column of the path says the split."""
    path = put(tmp_path / "faces.csv", "path,label\ntest/a.jpg,happy\ntest/b.jpg,sad\n")
    with pytest.raises(
        DatasetError, match=r"`path` seems to hold the split \(test 2\): add --split-column path"
    ):
        open_dataset("csv", path, DatasetOptions())
    columns = ColumnOptions(split_column="path")
    opened = open_dataset("csv", path, DatasetOptions(columns=columns))
    assert {row.split for row in opened.rows()} == {"test"}
