"""Names of classes and images that a table or a list cannot hold."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.errors import DatasetError
from mien.formats.pack import Pack
from mien.prepare.options import PrepareOptions
from mien.prepare.stage import prepare

OPTIONS = PrepareOptions(size=16, workers=1)


def put_image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.write_bytes(cv2.imencode(".png", np.full((20, 20, 3), 90, np.uint8))[1].tobytes())
    except OSError:
        pytest.skip("this file system has no such names")


@pytest.mark.parametrize(
    ("folder", "told"),
    [
        ("NA", "'NA' is a missing value to pandas"),
        ("null", "'null' is a missing"),
        ("a\nb", "contains a line break"),
        ("Unsure", "a face without a certain class is called 'unsure'"),
        ("Bored", "'Bored' and 'bored' differ only in case or blanks"),
    ],
)
def test_a_class_folder_that_tables_cannot_hold(folder: str, told: str, tmp_path: Path) -> None:
    for name in (folder, "happy", "bored"):
        put_image(tmp_path / "raw" / name / "a.png")
    with pytest.raises(
        DatasetError, match=rf"The classes of .*raw must .*{told}.* Rename the folder"
    ) as error:
        prepare("folder", tmp_path / "raw", tmp_path / "a.pack", OPTIONS)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "a.pack").exists()


def test_a_label_that_is_a_missing_value(tmp_path: Path) -> None:
    """In a list it is what it says: a row without a label, which is rejected with the reason."""
    for name in "abc":
        put_image(tmp_path / "raw" / f"{name}.png")
    listed = tmp_path / "raw" / "faces.csv"
    listed.write_text("path,label\na.png,happy\nb.png,NA\nc.png,sad\n")
    info = prepare("csv", listed, tmp_path / "a.pack", OPTIONS).info
    assert (info.classes, info.n_kept, info.rejected_by_reason) == (("Happy", "Sad"), 2, {"unknown_label": 1})


def test_an_image_that_a_line_cannot_name(tmp_path: Path) -> None:
    """The advice helps too: the same faces without the annotation files."""
    raw, out = tmp_path / "raw", tmp_path / "a.pack"
    for name in ("happy/a\nb.png", "sad/a.png"):
        put_image(raw / name)
    options = PrepareOptions(size=16, workers=1, annotations=tmp_path / "lists")
    with pytest.raises(
        DatasetError, match=r"'happy/a\\nb.png' contains a line break.* leave --annotations out"
    ):
        prepare("folder", raw, out, options)
    prepare("folder", raw, out, PrepareOptions(size=16, workers=1, force=True))
    pack = Pack.open(out)
    assert sorted(key for split in pack.splits for key in pack.split(split).keys) == [
        "happy/a\nb.png",
        "sad/a.png",
    ]
