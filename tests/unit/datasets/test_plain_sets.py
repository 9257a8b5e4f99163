"""Sets in use whose layout is a folder for each class."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mien.datasets.plain_sets import open_mmafedb, open_nhfi
from mien.errors import DatasetError

SEVEN = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
EIGHT = ("anger", "contempt", "disgust", "fear", "happiness", "neutrality", "sadness", "surprise")


def test_mmafedb(tmp_path: Path, put: Callable[..., Path]) -> None:
    """Its splits and seven classes."""
    for split in ("train", "valid", "test"):
        for name in SEVEN:
            put(tmp_path / "MMAFEDB" / split / name / "a.jpg")
    source = open_mmafedb(tmp_path)
    assert source.name == "mmafedb"
    assert [row.split for row in source.rows()] == ["train"] * 7 + ["val"] * 7 + ["test"] * 7


def test_nhfi(tmp_path: Path, put: Callable[..., Path]) -> None:
    """Its eight classes have AffectNet's names."""
    for name in EIGHT:
        put(tmp_path / name / "a.jpg")
    source = open_nhfi(tmp_path, val_fraction=0)
    assert (source.name, len(source.classes)) == ("nhfi", 8)
    assert {source.class_of(row) for row in source.rows()} == set(source.classes)


def test_other_folders_are_refused(tmp_path: Path, put: Callable[..., Path]) -> None:
    """Folders of other classes or splits are another set."""
    for name in SEVEN:
        put(tmp_path / "train" / name / "a.jpg")
    with pytest.raises(DatasetError, match="must hold a folder for each of eight classes"):
        open_nhfi(tmp_path)
    with pytest.raises(DatasetError, match=r"`valid/` and `test/`.*it holds train"):
        open_mmafedb(tmp_path)
