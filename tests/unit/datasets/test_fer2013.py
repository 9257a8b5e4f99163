"""FER2013 with its own labels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.datasets.fer2013 import open_fer2013
from mien.datasets.ferplus import open_ferplus
from mien.errors import DatasetError

PIXELS = " ".join(str(value % 256) for value in range(48 * 48))
ROWS = [
    ("Training", 0), ("Training", 1), ("Training", 2), ("Training", 3), ("PublicTest", 4), ("PublicTest", 5),
    ("PrivateTest", 6),
]  # fmt: skip


def write_list(path: Path, rows: list[tuple[str, object]], header: str = "emotion,pixels,Usage") -> None:
    """Write FER2013's list."""
    lines = [f"{label},{PIXELS},{usage}" for usage, label in rows]
    path.write_text("\n".join([header, *lines]) + "\n")


def test_numbers_and_splits(tmp_path: Path, read_set: Callable[..., Any]) -> None:
    """Classes by the paper's numbers; PublicTest is val and PrivateTest is test."""
    write_list(tmp_path / "fer2013.csv", ROWS)
    source = open_fer2013(tmp_path)
    read = read_set(source)
    assert {row.key: (row.split, source.class_of(row)) for row in read.rows} == {
        "FER2013Train/fer0000000.png": ("train", "Anger"),
        "FER2013Train/fer0000001.png": ("train", "Disgust"),
        "FER2013Train/fer0000002.png": ("train", "Fear"),
        "FER2013Train/fer0000003.png": ("train", "Happy"),
        "FER2013Valid/fer0000004.png": ("val", "Sad"),
        "FER2013Valid/fer0000005.png": ("val", "Surprise"),
        "FER2013Test/fer0000006.png": ("test", "Neutral"),
    }
    image = read.records["FER2013Test/fer0000006.png"].image
    np.testing.assert_array_equal(image, (np.arange(48 * 48) % 256).reshape(48, 48))


def test_kaggle_list_with_blanks_in_its_header(tmp_path: Path) -> None:
    """icml_face_data.csv writes ` Usage` and ` pixels`; a file may be given as well."""
    path = tmp_path / "icml_face_data.csv"
    write_list(path, ROWS, "emotion, pixels, Usage")
    assert len(list(open_fer2013(path).rows())) == len(ROWS)


def test_rows_that_cannot_be_used(tmp_path: Path, read_set: Callable[..., Any]) -> None:
    """A number out of the map (7 is Contempt in another set with this layout), an unknown split, pixels cut short."""
    path = tmp_path / "fer2013.csv"
    write_list(path, [("Training", 7), ("Holdout", 1), ("Training", "x"), ("PublicTest", 1)])
    with path.open("a") as file:
        file.write("1,1 2 3,Training\n")
    read = read_set(open_fer2013(tmp_path))
    assert read.reasons == ["unknown_label", "unknown_split", "unknown_label", "truncated_image"]
    assert len(read.records) == 1


def test_ferplus_without_its_votes(tmp_path: Path) -> None:
    """`ferplus` reads FER2013's own labels and says so; options for votes are refused."""
    write_list(tmp_path / "fer2013.csv", ROWS)
    source = open_ferplus(tmp_path)
    assert source.name == "fer2013"
    assert "labels are FER2013's own" in source.notes[0]
    with pytest.raises(DatasetError, match=r"must hold `fer2013new.csv` for --votes"):
        open_ferplus(tmp_path, votes="plurality")


def test_list_that_is_not_there(tmp_path: Path) -> None:
    """The error names the file, and the reader for folders."""
    with pytest.raises(DatasetError, match=r"fer2013\.csv.*mien prepare folder"):
        open_fer2013(tmp_path)
