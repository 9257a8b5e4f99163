"""Lists that contradict each other, their names or the options, which stop before a row is parsed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mien.datasets.csv_table import open_csv
from mien.datasets.dataset_file import open_dataset_file
from mien.datasets.list_options import ColumnOptions
from mien.datasets.metadata_folder import open_metadata_folder
from mien.errors import DatasetError


@pytest.fixture
def make_lists(tmp_path: Path, put: Callable[..., Path]) -> Callable[..., Path]:
    """Return a function that writes a list for each split, given its columns after path and label and their cells."""

    def make(**lists: tuple[str, str]) -> Path:
        for split, (names, cells) in lists.items():
            put(
                tmp_path / f"{split}.csv",
                f"path,label{names}\n{split}1.jpg,happy{cells}\n{split}2.jpg,sad{cells}\n",
            )
        return tmp_path

    return make


def test_boxes_of_two_formats_stop(make_lists: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """Those of the second list would be read in the format of the first one; an option states one for both."""
    raw = make_lists(train=(",x,y,w,h", ",10,20,30,40"), val=(",x1,y1,x2,y2", ",10,20,30,40"))
    with pytest.raises(
        DatasetError, match=r"boxes in one format, .*train.csv` and .*val.csv` have xywh and xyxy"
    ):
        open_csv(raw)
    stated = read_set(open_csv(raw, columns=ColumnOptions(box_format="xyxy")))
    assert {tuple(record.box_xyxy) for record in stated.records.values()} == {(10, 20, 30, 40)}
    assert open_csv(raw, columns=ColumnOptions(box_columns=("none",))).natural_crop == "whole"


def test_a_column_of_splits_that_contradicts_its_list_stops(
    make_lists: Callable[..., Path], put: Callable[..., Path]
) -> None:
    """A row of test must not be trained on because it is in the list of train; `none` goes by the lists."""
    raw = make_lists(train=(",split", ",train"), val=(",split", ",Validation"))
    assert [row.split for row in open_csv(raw).rows()] == ["train", "train", "val", "val"]
    put(raw / "train.csv", "path,label,split\na.jpg,happy,train\nb.jpg,sad,test\n")
    for column in (None, "split"):
        with pytest.raises(
            DatasetError, match=r"the list of train, but its column `split` names others \(test 1\)"
        ):
            open_csv(raw, columns=ColumnOptions(split_column=column))
    by_list = open_csv(raw, columns=ColumnOptions(split_column="none"))
    assert [row.split for row in by_list.rows()] == ["train", "train", "val", "val"]


@pytest.mark.parametrize(
    ("names", "cells", "advice"),
    [
        (",person", ",S1", "has person: add it to the other list, or leave it out with --person-column none"),
        (",clip", ",v1", "has clip: add it to the other list, or leave it out with --clip-column none"),
        (",split", ",train", "has split: add it to the other list, or leave it out with --split-column none"),
        (
            ",x,y,w,h",
            ",1,2,30,40",
            "has box: add it to the other list, or leave it out with --box-columns none",
        ),
        (",AU01", ",1", "has AU01: add it to the other list, or remove AU01"),
        (
            ",landmarks,person,AU01",
            ",,S1,1",
            "add them to the other list, or leave them out with --landmarks-column none --person-column none, and remove AU01",
        ),
    ],
)
def test_the_advice_fits_the_column_that_only_one_list_has(
    make_lists: Callable[..., Path], names: str, cells: str, advice: str
) -> None:
    with pytest.raises(DatasetError) as error:
        open_csv(make_lists(train=(names, cells), val=("", "")))
    assert advice in str(error.value)


def test_a_label_beside_votes_needs_the_option(
    make_lists: Callable[..., Path], put: Callable[..., Path]
) -> None:
    """A label cannot be left out; votes have one order."""
    raw = make_lists(train=("", ""))
    put(raw / "val.csv", "path,happy,sad\na.jpg,1,0\n")
    with pytest.raises(
        DatasetError, match="name the column of the label, or those of the votes, with --label-column"
    ):
        open_csv(raw)
    put(raw / "train.csv", "path,sad,happy\na.jpg,1,0\n")
    with pytest.raises(DatasetError, match=r"in the same order, .* have sad, happy and happy, sad"):
        open_csv(raw)


NAMES = (("0", "train"),)
WITHOUT_EFFECT = [
    ("", "", ColumnOptions(box_format="xyxy"), "--box-format"),
    (",x,y,w,h", ",1,2,30,40", ColumnOptions(box_format="xyxy", box_columns=("none",)), "--box-format"),
    ("", "", ColumnOptions(split_names=NAMES), "--split-names"),
    (",split", ",0", ColumnOptions(split_names=NAMES, split_column="none"), "--split-names"),
    ("", "", ColumnOptions(affect_range=(1, 9)), "--affect-range"),
    (",valence", ",5", ColumnOptions(affect_range=(1, 9), affect_columns=("none",)), "--affect-range"),
]


@pytest.mark.parametrize(("names", "cells", "columns", "flag"), WITHOUT_EFFECT)
def test_options_about_columns_that_are_not_read_stop(
    tmp_path: Path, put: Callable[..., Path], names: str, cells: str, columns: ColumnOptions, flag: str
) -> None:
    """In a list, and in folders with metadata files, where the splits are those of the folders."""
    text = f"file_name,label{names}\na.jpg,happy{cells}\nb.jpg,sad{cells}\n"
    path = put(tmp_path / "train" / "metadata.csv", text)
    for opener, raw in ((open_csv, path), (open_metadata_folder, tmp_path)):
        with pytest.raises(DatasetError, match=f"{flag} has no effect, since no column of"):
            opener(raw, columns=columns)


def test_options_without_effect_in_a_file_of_options(tmp_path: Path, put: Callable[..., Path]) -> None:
    """As on the command line."""
    put(tmp_path / "faces.csv", "path,label\na.jpg,happy\nb.jpg,sad\n")
    text = "kind: csv\nraw: faces.csv\ncolumns: {box_format: xyxy}\n"
    with pytest.raises(DatasetError, match="--box-format has no effect"):
        open_dataset_file(put(tmp_path / "set.yaml", text))
