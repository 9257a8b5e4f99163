"""JAFFE: everything is in the file name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mien.datasets.jaffe import open_jaffe

CODES = {
    "AN": "Anger",
    "DI": "Disgust",
    "FE": "Fear",
    "HA": "Happy",
    "NE": "Neutral",
    "SA": "Sad",
    "SU": "Surprise",
}


def test_names_are_read(tmp_path: Path, put: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """Class and person; one of ten persons is val."""
    number = 0
    for person in ("KA", "KL", "KM", "KR", "MK", "NA", "NM", "TM", "UY", "YM"):
        for code in CODES:
            number += 1
            put(tmp_path / "jaffe" / f"{person}.{code}1.{number}.tiff")
    put(tmp_path / "jaffe" / "other.tiff")
    put(tmp_path / "jaffe" / "README_FIRST.txt")
    source = open_jaffe(tmp_path)
    read = read_set(source)
    assert {key[9:11]: source.classes[record.label] for key, record in read.records.items()} == CODES
    record = read.records["jaffe/KA.AN1.1.tiff"]
    assert (record.person, record.is_cropped) == ("KA", True)
    assert read.reasons == ["unknown_label"]
    assert len({row.fields["person"] for row in read.rows if row.split == "val"}) == 1
    assert len([row for row in read.rows if row.split == "val"]) == 7
