"""The table of datasets."""

import runpy
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from mien.datasets.list_options import ColumnOptions
from mien.datasets.registry import DATASETS, DatasetOptions, open_dataset
from mien.errors import DatasetError
from mien.runtime.options import option_flag


@pytest.mark.parametrize("kind", DATASETS)
def test_raw_that_is_not_there_is_refused(tmp_path: Path, kind: str) -> None:
    """The error for a missing path says what should be there."""
    with pytest.raises(DatasetError, match=r"There is nothing at `.*nowhere`, expected"):
        open_dataset(kind, tmp_path / "nowhere", DatasetOptions())


@pytest.mark.parametrize("kind", ["affectnet", "ferplus", "folder"])
def test_archive_instead_of_a_folder_is_refused(tmp_path: Path, kind: str) -> None:
    """The error for an archive says to unpack it."""
    (tmp_path / "set.zip").touch()
    with pytest.raises(DatasetError, match="unpack it first"):
        open_dataset(kind, tmp_path / "set.zip", DatasetOptions())


def test_the_guide_has_the_table_of_the_registry() -> None:
    """`python tools/dataset_table.py` writes it."""
    root = Path(__file__).parents[3]
    table = runpy.run_path(str(root / "tools" / "dataset_table.py"))["build_table"]()
    assert table in (root / "docs" / "guide" / "data.md").read_text(encoding="utf-8")
    assert all(kind.title for kind in DATASETS.values())


def test_unknown_kind_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    """The command line only offers the known kinds: another one is an error in code."""
    with pytest.raises(ValueError, match=r"`kind` must be one of affectnet, ferplus, .*, folder, csv"):
        open_dataset("faces", tmp_path, DatasetOptions())


def test_each_kind_opens_its_reader(tmp_path: Path, put: Callable[..., Path]) -> None:
    """The kinds are the names of the datasets, AffectNet's with its release."""
    put(tmp_path / "folder" / "happy" / "a.jpg")
    put(tmp_path / "folder" / "sad" / "b.jpg")
    put(tmp_path / "csv" / "faces.csv", "path,label\na.jpg,happy\nb.jpg,sad\n")
    header = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    put(tmp_path / "ferplus" / "fer2013new.csv", f"{header}\nTraining,a.png,4,3,3,0,0,0,0,0,0,0\n")
    put(tmp_path / "ferplus" / "FER2013Train" / "a.png")
    for part in ("images/1.jpg", "annotations/1_exp.npy"):
        put(tmp_path / "affectnet" / "val_set" / part)
    put(tmp_path / "yaml", "{kind: folder, raw: folder}")
    options = dict.fromkeys(("folder", "csv"), DatasetOptions(val_fraction=0.0))
    options["ferplus"] = DatasetOptions(votes="plurality")
    datasets = {
        kind: open_dataset(kind, tmp_path / kind, options.get(kind, DatasetOptions()))
        for kind in ("affectnet", "ferplus", "folder", "csv", "yaml")
    }
    names = [dataset.name for dataset in datasets.values()]
    assert names == ["affectnet-2021", "ferplus", "folder", "csv", "folder"]
    for kind in ("folder", "csv"):
        assert {row.split for row in datasets[kind].rows()} == {"train"}
    assert [datasets["ferplus"].parse(row).label for row in datasets["ferplus"].rows()] == [0]


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("csv", DatasetOptions(votes="plurality"), "--votes applies to ferplus, not to `csv`"),
        (
            "affectnet",
            DatasetOptions(label_names=(("0", "Sad"),)),
            "--label-names applies to folder, csv",
        ),
        (
            "folder",
            DatasetOptions(columns=ColumnOptions(split_column="phase")),
            "--split-column applies to csv, imagefolder and parquet",
        ),
        (
            "folder",
            DatasetOptions(columns=ColumnOptions(path_column="file")),
            "--path-column applies to csv and imagefolder, not",
        ),
        ("folder", DatasetOptions(landmarks_csv=Path("a.csv")), "--landmarks applies to ferplus"),
        ("ferplus", DatasetOptions(val_fraction=0.2), "--val-fraction applies to .*folder, csv"),
    ],
)
def test_options_of_another_kind_are_refused(
    tmp_path: Path, kind: str, options: DatasetOptions, message: str
) -> None:
    """An option that a kind does not use is not silently ignored."""
    with pytest.raises(DatasetError, match=message):
        open_dataset(kind, tmp_path, options)


def test_the_listed_options_are_those_that_the_kind_takes(tmp_path: Path, put: Callable[..., Path]) -> None:
    """The table and the help are built from them; Parquet files take only some of those of columns."""
    flags = DATASETS["parquet"].flags
    assert flags == (
        *("--val-fraction", "--split", "--label-names"),
        *("--label-column", "--split-column", "--split-names", "--affect-range"),
    )
    put(tmp_path / "a.parquet")
    for entry in fields(ColumnOptions):
        columns = ColumnOptions(**{entry.name: "x"})
        with pytest.raises(DatasetError) as error:
            open_dataset("parquet", tmp_path, DatasetOptions(columns=columns))
        is_refused = f"{option_flag(entry)} does not apply to Parquet files" in str(error.value)
        assert is_refused == (option_flag(entry) not in flags)
