"""Lists of faces in JSON."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mien.datasets.csv_table import open_csv, recognize_csv
from mien.datasets.list_options import ColumnOptions
from mien.datasets.record_files import read_records
from mien.errors import DatasetError

RECORDS = [
    {"image": "a.jpg", "emotion": "happy", "valence": 0.5},
    {"image": "b.jpg", "emotion": "sad", "age": None},
]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("l.json", json.dumps(RECORDS), id="list"),
        pytest.param("l.json", json.dumps({"version": 1, "data": RECORDS}), id="list in an object"),
        pytest.param("l.json", json.dumps({r["image"]: {"emotion": r["emotion"], "valence": r.get("valence")}
                                           for r in RECORDS}), id="object of objects"),
        pytest.param("l.jsonl", "\n".join(map(json.dumps, RECORDS)), id="lines"),
        pytest.param("l.ndjson", "\ufeff" + "\r\n\r\n".join(map(json.dumps, RECORDS)), id="lines from Windows"),
    ],
)  # fmt: skip
def test_records_are_rows(
    tmp_path: Path, put: Callable[..., Path], read_set: Callable[..., Any], name: str, text: str
) -> None:
    """A list in JSON is read like one in CSV, and found in its folder."""
    put(tmp_path / name, text)
    put(tmp_path / "a.jpg")
    assert recognize_csv(tmp_path) == f"`{name}` lists images"
    source = open_csv(tmp_path, val_fraction=0)
    read = read_set(source)
    assert [(row.key, source.class_of(row)) for row in read.rows] == [("a.jpg", "Happy"), ("b.jpg", "Sad")]
    assert [record.valence for record in read.records.values()] == [0.5, None]


def test_labels_by_path(tmp_path: Path, put: Callable[..., Path]) -> None:
    """An object with a label for each path, as annotation tools export it."""
    path = put(tmp_path / "labels.json", json.dumps({"a.jpg": "happy", "b.jpg": "sad"}))
    assert list(read_records(path)) == [
        {"path": "a.jpg", "label": "happy"},
        {"path": "b.jpg", "label": "sad"},
    ]


def test_objects_are_flattened(tmp_path: Path, put: Callable[..., Path]) -> None:
    """An object's keys become columns, and a list of faces becomes rows."""
    record = {
        "file": "a.jpg",
        "meta": {"subject": "Ann", "file": 7},
        "faces": [{"box": [1, 2]}, {"box": [3, 4]}],
    }
    path = put(tmp_path / "l.json", json.dumps([record]))
    assert list(read_records(path)) == [
        {"file": "a.jpg", "subject": "Ann", "meta.file": "7", "box": "[1, 2]"},
        {"file": "a.jpg", "subject": "Ann", "meta.file": "7", "box": "[3, 4]"},
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("l.json", "3", "holds int"),
        ("l.json", "[1]", "record 1"),
        ("l.json", "[", "must hold records like"),
        ("l.jsonl", '{"a": 1}\n{"a"', "line 2"),
        ("l.json", '{"images": [], "annotations": [{"image_id": 1}]}', "is missing"),
    ],
)
def test_other_json_is_refused(
    tmp_path: Path, put: Callable[..., Path], name: str, text: str, message: str
) -> None:
    """The message says what a list looks like, and where it is not one."""
    with pytest.raises(DatasetError, match=message):
        list(read_records(put(tmp_path / name, text)))


def test_coco_attributes_may_be_the_class(tmp_path: Path, put: Callable[..., Path]) -> None:
    """CVAT writes the expression of a category `face` so: it is not passed over."""
    attributes = ({"emotion": "happy", "occluded": False}, {"emotion": "sad", "occluded": True})
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "categories": [{"id": 7, "name": "face"}],
        "annotations": [
            {"image_id": 1, "category_id": 7, "bbox": [n, 0, 9, 9], "attributes": found}
            for n, found in enumerate(attributes)
        ],
    }
    path = put(tmp_path / "l.json", json.dumps(content))
    with pytest.raises(DatasetError, match="may hold the class, `label`, `emotion`: add --label-column"):
        open_csv(path)
    source = open_csv(path, columns=ColumnOptions(label_column="emotion"))
    assert [source.class_of(row) for row in source.rows()] == ["Happy", "Sad"]


def test_a_label_studio_export(
    tmp_path: Path, put: Callable[..., Path], read_set: Callable[..., Any]
) -> None:
    """The only choice among several is the label; boxes are in percent, which is asked."""
    box = {"x": 10, "y": 20, "width": 50, "height": 60, "original_width": 640, "rectanglelabels": ["Happy"]}
    path = put(tmp_path / "l.json", json.dumps([{"image": "a.jpg", "faces": [box]}]))
    options = {"label_column": "rectanglelabels", "box_format": None}
    with pytest.raises(DatasetError, match="add --box-format percent-xywh, or --box-format xywh if"):
        open_csv(path, columns=ColumnOptions(**options))
    options["box_format"] = "percent-xywh"
    source = open_csv(path, columns=ColumnOptions(**options), val_fraction=0)
    (record,) = read_set(source).records.values()
    assert (source.classes, record.is_relative_box) == (("Happy",), True)
    assert record.box_xyxy.tolist() == pytest.approx([0.1, 0.2, 0.6, 0.8])
