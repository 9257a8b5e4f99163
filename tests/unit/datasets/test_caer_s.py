"""CAER-S: class folders of whole scenes, with or without lists of face boxes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.datasets.caer_s import open_caer_s
from mien.errors import DatasetError
from mien.faces.classes import EXPRESSIONS_7

FOLDERS = ("Anger", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")


@pytest.fixture
def raw(tmp_path: Path, put: Callable[..., Path]) -> Path:
    """Two images a class in train, one in test."""
    for name in FOLDERS:
        for file in ("train/{}/0001.png", "train/{}/0002.png", "test/{}/0001.png"):
            put(tmp_path / "CAER-S" / file.format(name))
    return tmp_path


def test_classes_come_from_the_folders(raw: Path, read_set: Callable[..., Any]) -> None:
    """Without a list of boxes the faces are detected; the summary says so."""
    for given in (raw, raw / "CAER-S"):
        source = open_caer_s(given)
        assert (source.name, source.classes, source.natural_crop) == ("caer-s", EXPRESSIONS_7, "aligned")
        read = read_set(source)
        assert [row.split for row in read.rows] == ["train"] * 14 + ["test"] * 7
        assert source.classes[read.records["train/Happy/0002.png"].label] == "Happy"
        assert read.records["train/Happy/0002.png"].box_xyxy is None
        assert "There is no list of face boxes `train.txt`: faces of train are detected." in source.notes


@pytest.mark.parametrize("folder", ["CAER-S", "CAER-S/data", "."])
def test_boxes_of_a_list(
    raw: Path, read_set: Callable[..., Any], put: Callable[..., Path], folder: str
) -> None:
    """A list that people pass around with the set gives the boxes; its numbers are not labels."""
    put(raw / folder / "train.txt", "Happy/0001.png,3,10,20,110,140\ntrain/Sad/0002.png,9,1,2,30,40\n")
    source = open_caer_s(raw)
    assert source.natural_crop == "box"
    records = read_set(source).records
    np.testing.assert_array_equal(records["train/Happy/0001.png"].box_xyxy, [10, 20, 110, 140])
    np.testing.assert_array_equal(records["train/Sad/0002.png"].box_xyxy, [1, 2, 30, 40])
    assert source.classes[records["train/Sad/0002.png"].label] == "Sad"
    assert records["train/Anger/0001.png"].box_xyxy is None
    assert source.notes[:2] == (
        "There is no list of face boxes `test.txt`: faces of test are detected.",
        "`train.txt` has face boxes for 2 images.",
    )


def test_list_of_another_form_is_refused(raw: Path, put: Callable[..., Path]) -> None:
    """A line with other cells would shift the box."""
    put(raw / "CAER-S" / "test.txt", "Happy/0001.png,10,20,110,140\n")
    with pytest.raises(DatasetError, match="line 1 has 5 cells"):
        open_caer_s(raw)


def test_other_classes_are_refused(raw: Path, put: Callable[..., Path]) -> None:
    """A set without the seven classes is another set; a further folder is ignored with a note."""
    put(raw / "CAER-S" / "train" / "Bored" / "1.png")
    assert "`train/Bored` is ignored: it is none of the seven classes." in open_caer_s(raw).notes
    for split in ("train", "test"):
        (raw / "CAER-S" / split / "Fear").rename(raw / "CAER-S" / split / "Awe")
    with pytest.raises(DatasetError, match="give the folder of `train` and `test`"):
        open_caer_s(raw)
