"""A list next to class folders that says something else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mien.datasets.forms import open_any_folder
from mien.errors import DatasetError


@pytest.fixture
def make_set(tmp_path: Path, put: Callable[..., Path]) -> Callable[..., Path]:
    """Return a function that writes splits of class folders and ``labels.csv``, whose paths lack the split."""

    def make(*lines: str, header: str = ",pth,label,relFCs") -> Path:
        for file in ("Train/anger/1.jpg", "Train/sad/2.jpg", "Test/Anger/3.jpg", "Test/Sad/4.jpg"):
            put(tmp_path / "set" / file)
        put(tmp_path / "set" / "labels.csv", "\n".join([header, *lines]) + "\n")
        return tmp_path / "set"

    return make


AGREEING = ("0,anger/1.jpg,anger,0.9", "1,sad/2.jpg,sad,0.9", "2,anger/3.jpg,anger,0.9")


def test_agreement_is_noted(make_set: Callable[..., Path]) -> None:
    """A list that says the same needs no decision."""
    notes = open_any_folder(make_set(*AGREEING)).notes
    assert "`labels.csv` agrees with the class folders for all 3 images that it lists." in notes


@pytest.mark.parametrize("header", [",filepath,category,x", ",image_name,label,x", ",Path,class_name,x"])
def test_the_columns_are_those_that_a_list_may_have(make_set: Callable[..., Path], header: str) -> None:
    """A contradiction is never overlooked because of a name that `mien prepare csv` knows."""
    raw = make_set("0,anger/1.jpg,surprise,0.9", *AGREEING[1:], header=header)
    with pytest.raises(DatasetError, match="contradict each other for 1 of 3 images"):
        open_any_folder(raw)


def test_contradiction_has_to_be_decided(make_set: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """It is counted, and either side can be taken; an image that the list lacks is then rejected."""
    raw = make_set("0,anger/1.jpg,surprise,0.9", *AGREEING[1:])
    with pytest.raises(
        DatasetError,
        match=r"contradict each other for 1 of 3 images: say which is right with --labels-from folders",
    ):
        open_any_folder(raw)
    by_folder = open_any_folder(raw, labels_from="folders")
    assert {row.key: by_folder.class_of(row) for row in by_folder.rows()}["Train/anger/1.jpg"] == "Anger"
    assert "`labels.csv` and the class folders contradict each other for 1 of 3 images." in by_folder.notes
    source = open_any_folder(raw, labels_from="labels.csv")
    read = read_set(source)
    assert source.classes == ("Sad", "Surprise", "Anger")
    assert {row.key: (row.split, source.class_of(row)) for row in read.rows} == {
        "Train/anger/1.jpg": ("train", "Surprise"),
        "Train/sad/2.jpg": ("train", "Sad"),
        "Test/Anger/3.jpg": ("test", "Anger"),
        "Test/Sad/4.jpg": ("test", "?"),
    }
    assert read.reasons == ["missing_annotation"]
    assert source.notes[-1] == (
        "Labels are those of `labels.csv`: 1 of 4 images lie in the folder of another class."
    )


def test_path_with_two_labels_has_none(make_set: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """A list that contradicts itself is not believed for that image."""
    raw = make_set(*AGREEING, "3,anger/1.jpg,sad,0.9")
    with pytest.raises(DatasetError, match="contradict each other for 1 of 3"):
        open_any_folder(raw)
    assert read_set(open_any_folder(raw, labels_from="labels.csv")).reasons == ["missing_annotation"] * 2


def test_numbers_are_explained_for_both(tmp_path: Path, put: Callable[..., Path]) -> None:
    """Where folders are numbers, the list's numbers mean the same; where they are words, numbers are not compared."""
    for file in ("0/1.jpg", "1/2.jpg"):
        put(tmp_path / file)
    put(tmp_path / "labels.csv", "path,label\n0/1.jpg,0\n1/2.jpg,0\n")
    names = (("0", "Neutral"), ("1", "Happy"))
    with pytest.raises(DatasetError, match="contradict each other for 1 of 2"):
        open_any_folder(tmp_path, label_names=names)
    (tmp_path / "0").rename(tmp_path / "neutral")
    (tmp_path / "1").rename(tmp_path / "happy")
    assert "its labels are numbers" in open_any_folder(tmp_path).notes[-1]


def test_other_lists_and_names(make_set: Callable[..., Path], put: Callable[..., Path]) -> None:
    """A list of other images and a table of other things are no contradiction; an unknown list is refused."""
    raw = make_set("0,elsewhere/9.jpg,anger,0.9")
    put(raw / "counts.csv", "class,n\nanger,2\n")
    assert "it lists none of the images" in open_any_folder(raw).notes[-1]
    with pytest.raises(
        DatasetError, match=r"--labels-from must be folders or .*`labels.csv`; got 'other.csv'"
    ):
        open_any_folder(raw, labels_from="other.csv")
    with pytest.raises(DatasetError, match="gives none of the images"):
        open_any_folder(raw, labels_from="labels.csv")
