"""Choosing the reader."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mien.errors import DatasetError
from mien.sources.opening import KINDS, SourceOptions, open_source


@pytest.mark.parametrize("kind", KINDS)
def test_raw_that_is_not_there_is_refused(tmp_path: Path, kind: str) -> None:
    """A path with nothing at it is told with what should be there."""
    with pytest.raises(DatasetError, match=r"There is nothing at `.*nowhere`, where"):
        open_source(kind, tmp_path / "nowhere", SourceOptions())


@pytest.mark.parametrize("kind", ["affectnet", "ferplus", "folder"])
def test_archive_in_place_of_a_folder_is_refused(tmp_path: Path, kind: str) -> None:
    """Someone who gives the archive is told to unpack it."""
    (tmp_path / "set.zip").touch()
    with pytest.raises(DatasetError, match="unpack it first"):
        open_source(kind, tmp_path / "set.zip", SourceOptions())


def test_unknown_kind_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    """The command line offers the kinds: another one comes from code."""
    with pytest.raises(ValueError, match="`kind` must be one of affectnet, ferplus, folder, csv"):
        open_source("rafdb", tmp_path, SourceOptions())


def test_each_kind_opens_its_reader(tmp_path: Path, put: Callable[..., Path]) -> None:
    """The kinds of the command line are the readers' names, AffectNet's with its release."""
    put(tmp_path / "folder" / "happy" / "a.jpg")
    put(tmp_path / "folder" / "sad" / "b.jpg")
    put(tmp_path / "csv" / "faces.csv", "path,label\na.jpg,happy\nb.jpg,sad\n")
    header = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    put(tmp_path / "ferplus" / "fer2013new.csv", f"{header}\nTraining,a.png,4,3,3,0,0,0,0,0,0,0\n")
    put(tmp_path / "ferplus" / "FER2013Train" / "a.png")
    for part in ("images/1.jpg", "annotations/1_exp.npy"):
        put(tmp_path / "affectnet" / "val_set" / part)
    options = dict.fromkeys(("folder", "csv"), SourceOptions(val_fraction=0.0))
    options["ferplus"] = SourceOptions(votes="plurality")
    sources = {kind: open_source(kind, tmp_path / kind, options.get(kind, SourceOptions())) for kind in KINDS}
    assert [source.name for source in sources.values()] == ["affectnet-2021", "ferplus", "folder", "csv"]
    for kind in ("folder", "csv"):
        assert {row.split for row in sources[kind].rows()} == {"train"}
    assert [sources["ferplus"].parse(row).label for row in sources["ferplus"].rows()] == [0]


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("csv", SourceOptions(votes="plurality"), "--votes is of ferplus, `csv` has no use for it"),
        ("affectnet", SourceOptions(label_names=(("0", "Sad"),)), "--label-names is of folder and csv"),
        ("folder", SourceOptions(split_column="phase"), "--split-column is of csv"),
        ("folder", SourceOptions(landmarks_csv=Path("a.csv")), "--landmarks is of ferplus"),
        ("ferplus", SourceOptions(val_fraction=0.2), "--val-fraction is of folder and csv"),
    ],
)
def test_options_of_another_kind_are_refused(
    tmp_path: Path, kind: str, options: SourceOptions, message: str
) -> None:
    """What a reader does not use is not passed over."""
    with pytest.raises(DatasetError, match=message):
        open_source(kind, tmp_path, options)
