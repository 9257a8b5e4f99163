"""Corrections of a dataset's labels."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.datasets.registry import DatasetOptions
from mien.errors import DatasetError
from mien.formats.pack import Pack
from mien.prepare.closing import PrepareSummary
from mien.prepare.options import PrepareOptions
from mien.prepare.stage import prepare


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Four images in two classes, and a damaged one."""
    for number, name in enumerate(("happy/a.png", "happy/b.png", "sad/c.png", "sad/d.png")):
        path = tmp_path / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        cv2.imwrite(str(path), noise)
    (tmp_path / "raw" / "sad" / "damaged.png").write_bytes(b"not an image")
    return tmp_path / "raw"


def prepared(raw: Path, out: str, *corrections: str) -> PrepareSummary:
    path = None
    if corrections:
        path = raw.parent / "corrections.csv"
        path.write_text("\n".join(("key,label,why", *corrections)) + "\n")
    options = PrepareOptions(
        size=32, workers=1, corrections=path, dataset=DatasetOptions(val_fraction=0.0), force=True
    )
    return prepare("folder", raw, raw.parent / out, options)


def test_labels_are_replaced_and_rows_dropped(raw: Path) -> None:
    """Both are counted, recorded and change the content; a dropped row is in rejects.csv with its reason."""
    plain = prepared(raw, "plain.pack")
    summary = prepared(raw, "my.pack", "happy/a.png,sadness,seen by two people", "sad/c.png,drop,a drawing")
    split = Pack.open(summary.out).split("train")
    names = dict(zip(split.keys, (summary.info.classes[label] for label in split.labels), strict=True))
    assert names == {"happy/a.png": "Sad", "happy/b.png": "Happy", "sad/d.png": "Sad"}
    assert summary.info.warnings == {"label_corrected": 1}
    assert summary.info.rejected_by_reason["dropped_by_correction"] == 1
    assert summary.info.corrections is not None
    assert summary.info.corrections["n_rows"] == 2
    assert Pack.open(summary.out).info == summary.info
    assert "Corrections: 1 labels replaced, 1 rows dropped." in str(summary)
    with (summary.out / "rejects.csv").open(newline="") as file:
        assert "a drawing" in [row["detail"] for row in csv.DictReader(file)]
    assert summary.info.content_sha256 != plain.info.content_sha256
    assert plain.info.corrections is None


@pytest.mark.parametrize(
    ("corrections", "expected"),
    [
        (
            ("happy/z.png,Sad,", "happy/y.png,Sad,"),
            "2 rows that the set does not have: happy/z.png, happy/y.png",
        ),
        ((r"happy\a.png,Sad,",), r"such as 'happy/a.png' in place of 'happy\\\\a.png'"),
        (("raw/happy/a.png,Sad,",), "such as 'happy/a.png' in place of 'raw/happy/a.png'"),
        (("happy/a.png,Angry-ish,",), "row 1: `label` must be `drop` or one of the set's classes"),
        (("happy/a.png,Sad,", "happy/a.png,drop,"), "row 2 corrects 'happy/a.png' a second time"),
        (
            ("sad/damaged.png,Happy,",),
            r"1 corrected labels are of rows that were rejected: sad/damaged.png \(not_an_image",
        ),
    ],
)
def test_what_cannot_be_applied_stops_the_command(
    raw: Path, corrections: tuple[str, ...], expected: str
) -> None:
    """Unknown keys, unknown classes, contradictions and labels of rejected rows are named."""
    with pytest.raises(DatasetError, match=expected):
        prepared(raw, "my.pack", *corrections)


def test_a_key_in_several_rows_needs_its_row(raw: Path) -> None:
    """Without the row number it is refused; with it, only that row is corrected."""
    table = raw / "list.csv"
    boxes = "path,label,x,y,w,h\nhappy/a.png,happy,0,0,20,20\nhappy/a.png,happy,10,10,20,20\nsad/c.png,sad,0,0,20,20\n"
    table.write_text(boxes)
    corrections = raw.parent / "corrections.csv"
    options = PrepareOptions(
        size=32, workers=1, corrections=corrections, dataset=DatasetOptions(val_fraction=0.0), force=True
    )
    corrections.write_text("key,label\nhappy/a.png,Sad\n")
    with pytest.raises(
        DatasetError, match=r"train row 1, train row 2\. Name one of them in columns `split` and `row`"
    ):
        prepare("csv", table, raw.parent / "my.pack", options)
    corrections.write_text("key,label,row\nhappy/a.png,Sad,2\n")
    split = Pack.open(prepare("csv", table, raw.parent / "my.pack", options).out).split("train")
    assert [split.pack.info.classes[label] for label in split.labels] == ["Happy", "Sad", "Sad"]
