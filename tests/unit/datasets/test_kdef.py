"""KDEF: everything is in the file name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mien.datasets.kdef import open_kdef
from mien.errors import DatasetError

CODES = {
    "AF": "Fear",
    "AN": "Anger",
    "DI": "Disgust",
    "HA": "Happy",
    "NE": "Neutral",
    "SA": "Sad",
    "SU": "Surprise",
}


@pytest.fixture
def raw(tmp_path: Path, put: Callable[..., Path]) -> Path:
    """Four actors, both sessions."""
    for session in "AB":
        for actor in ("F01", "F02", "M01", "M02"):
            for code in CODES:
                put(tmp_path / "KDEF" / f"{session}{actor}" / f"{session}{actor}{code}S.JPG")
    return tmp_path


def test_names_are_read(raw: Path, read_set: Callable[..., Any], put: Callable[..., Path]) -> None:
    """Class, person, gender and view; names of another form are rejected, other files are not images."""
    put(raw / "KDEF" / "AM31" / "am31hahl.jpg")
    put(raw / "AKDEF" / "FAFFL.JPG")
    put(raw / "readme.txt")
    source = open_kdef(raw, val_fraction=0)
    read = read_set(source)
    classes = {
        key[-7:-5]: source.classes[record.label]
        for key, record in read.records.items()
        if key.endswith("S.JPG")
    }
    assert classes == CODES
    record = read.records["KDEF/AM31/am31hahl.jpg"]
    assert (record.person, source.classes[record.label]) == ("M31", "Happy")
    assert record.attributes == {"gender": "male", "view": "half left profile"}
    assert read.reasons == ["unknown_label"]
    assert len(read.rows) == 58


def test_val_is_drawn_by_person(raw: Path) -> None:
    """Both sessions of an actor are on one side, although F01 and M01 share a number."""
    source = open_kdef(raw, val_fraction=0.25)
    persons = {row.split: set[str]() for row in source.rows()}
    for row in source.rows():
        persons[row.split].add(row.fields["person"])
    assert (len(persons["train"]), len(persons["val"])) == (3, 1)
    assert not persons["train"] & persons["val"]
    assert source.notes == ("The set has no splits: val is drawn by person, 1 of 4 persons.",)


def test_no_image(tmp_path: Path, put: Callable[..., Path]) -> None:
    """An empty folder is an error, and so are images of something else."""
    with pytest.raises(DatasetError, match=r"holds no image of kdef\. Give"):
        open_kdef(tmp_path)
    put(tmp_path / "happy" / "a.jpg")
    with pytest.raises(DatasetError, match=r"for `happy/a\.jpg`, the name is not like AF01ANS\.JPG"):
        open_kdef(tmp_path)
