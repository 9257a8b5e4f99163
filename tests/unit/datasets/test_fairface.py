"""FairFace: attributes, and no expressions."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mien.datasets.fairface import open_fairface
from mien.errors import DatasetError
from mien.formats.pack.schema import NO_LABEL

HEADER = "file,age,gender,race,service_test"


@pytest.fixture
def raw(tmp_path: Path, put: Callable[..., Path]) -> Path:
    """Lists of three images, next to those of one margin."""
    put(
        tmp_path / "fairface_label_train.csv",
        f"{HEADER}\ntrain/1.jpg,50-59,Male,East Asian,True\ntrain/2.jpg,,Female,Indian,False\nbad\n",
    )
    put(tmp_path / "fairface_label_val.csv", f"{HEADER}\nval/1.jpg,more than 70,Female,White,True\n")
    for file in ("train/1.jpg", "train/2.jpg", "val/1.jpg"):
        put(tmp_path / "fairface-img-margin025-trainval" / file)
    return tmp_path


def test_attributes_as_stated(raw: Path, read_set: Callable[..., Any]) -> None:
    """Each face has attributes and no label; an empty cell states nothing."""
    source = open_fairface(raw)
    read = read_set(source)
    folder = "fairface-img-margin025-trainval"
    assert {key: record.attributes for key, record in read.records.items()} == {
        f"{folder}/train/1.jpg": {"age": "50-59", "gender": "Male", "race": "East Asian"},
        f"{folder}/train/2.jpg": {"gender": "Female", "race": "Indian"},
        f"{folder}/val/1.jpg": {"age": "more than 70", "gender": "Female", "race": "White"},
    }
    assert {record.label for record in read.records.values()} == {NO_LABEL}
    assert source.classes == ()
    assert [row.split for row in read.rows] == ["train", "train", "train", "val"]
    assert read.reasons == ["malformed_row"]
    assert any("service_test" in note for note in source.notes)


def test_both_margins_are_ambiguous(raw: Path, put: Callable[..., Path]) -> None:
    """The lists are the same for both."""
    put(raw / "fairface-img-margin125-trainval" / "val" / "1.jpg")
    with pytest.raises(DatasetError, match=r"margin025-trainval` and .*margin125"):
        open_fairface(raw)


def test_missing_parts_are_named(tmp_path: Path, put: Callable[..., Path]) -> None:
    """Without lists, and without images."""
    with pytest.raises(DatasetError, match="it holds no list"):
        open_fairface(tmp_path)
    put(tmp_path / "fairface_label_val.csv", f"{HEADER}\nval/1.jpg,0-2,Male,Black,True\n")
    with pytest.raises(DatasetError, match="it holds no images"):
        open_fairface(tmp_path)
