"""Folders of images with metadata files, as the Hugging Face Hub has them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mien.datasets.forms import open_any_list
from mien.datasets.list_options import ColumnOptions
from mien.datasets.metadata_folder import open_metadata_folder
from mien.errors import DatasetError


@pytest.fixture
def write(tmp_path: Path, put: Callable[..., Path]) -> Callable[..., Path]:
    """Return a function that writes a folder's metadata, as JSON lines or CSV, and its images."""

    def write_folder(
        rows: dict[str, object], *, folder: str = "train", suffix: str = "jsonl", **more: object
    ) -> Path:
        for name in rows:
            put(tmp_path / folder / name)
        values = [{"file_name": name, "label": label} | more for name, label in rows.items()]
        lines = [json.dumps(value) for value in values]
        if suffix == "csv":
            lines = [
                ",".join(values[0]),
                *(",".join(str(cell) for cell in value.values()) for value in values),
            ]
        put(tmp_path / folder / f"metadata.{suffix}", "\n".join(lines) + "\n")
        return tmp_path

    return write_folder


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_each_split_has_its_file(
    write: Callable[..., Path], read_set: Callable[..., Any], suffix: str
) -> None:
    """Names are relative to the metadata file; other columns and unlisted images are noted."""
    write({"1.jpg": "happy", "a/2.jpg": "sadness"}, suffix=suffix, valence=0.5, caption="x")
    raw = write({"1.jpg": "sad"}, folder="validation", suffix=suffix)
    (raw / "train" / "9.jpg").touch()
    source = open_metadata_folder(raw)
    read = read_set(source)
    assert source.classes == ("Happy", "Sad")
    assert [(row.split, row.key, source.class_of(row)) for row in read.rows] == [
        ("train", "train/1.jpg", "Happy"),
        ("train", "train/a/2.jpg", "Sad"),
        ("val", "validation/1.jpg", "Sad"),
    ]
    assert read.records["train/1.jpg"].valence == 0.5
    assert any(note.startswith("1 images are in no metadata file") for note in source.notes)
    assert any(note.endswith(": caption.") for note in source.notes)


def test_one_file_for_all_splits(write: Callable[..., Path]) -> None:
    """The split is in the path, or in a column; without either, part of the faces becomes val."""
    raw = write({"train/1.jpg": "happy", "test/2.jpg": "sad"}, folder="")
    assert [row.split for row in open_metadata_folder(raw).rows()] == ["train", "test"]
    raw = write({f"{n}.jpg": ("happy", "sad")[n % 2] for n in range(60)}, folder="")
    drawn = [row.split for row in open_metadata_folder(raw, val_fraction=0.3).rows()]
    assert 6 < drawn.count("val") < 30
    raw = write({"1.jpg": "happy"}, folder="", split="test")
    assert [row.split for row in open_metadata_folder(raw).rows()] == ["test"]


def test_rows_that_cannot_be_used(write: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """They are rejected with a reason."""
    raw = write({"1.jpg": "happy", "2.jpg": "sad", "3.jpg": None, "../../4.jpg": "sad"})
    assert read_set(open_metadata_folder(raw)).reasons == ["unknown_label", "path_outside"]
    raw = write({"1.jpg": "happy", "2.jpg": "sad"}, split="later")
    with pytest.raises(DatasetError, match="--split-names later=SPLIT"):
        open_metadata_folder(raw)


def test_an_ambiguous_column_stops(write: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """As in any other list: a scale, a box, a second label; the options of lists resolve it."""
    rows = {f"{number}.jpg": ("happy", "sad")[number % 2] for number in range(20)}
    raw = write(rows, valence=3, bbox=[4, 5, 20, 30], subject="Ann")
    with pytest.raises(DatasetError, match="add --box-columns bbox"):
        open_metadata_folder(raw)
    boxes = ColumnOptions(box_columns=("bbox",), box_format="xywh")
    with pytest.raises(DatasetError, match=r"--affect-range=1..5"):
        open_metadata_folder(raw, columns=boxes)
    source = open_metadata_folder(raw, columns=replace(boxes, affect_range=(1, 5)))
    record = read_set(source).records["train/3.jpg"]
    assert record.box_xyxy is not None
    assert (record.box_xyxy.tolist(), record.valence, record.person) == ([4, 5, 24, 35], 0, "Ann")
    assert source.natural_crop == "box"


def test_objects_are_faces_of_one_image(
    tmp_path: Path, put: Callable[..., Path], read_set: Callable[..., Any]
) -> None:
    """The Hub's object detection sets: lists of boxes and categories in each line."""
    objects = {"bbox": [[1, 2, 10, 10], [30, 2, 10, 10]], "categories": [1, 0]}
    put(tmp_path / "train" / "metadata.jsonl", json.dumps({"file_name": "a.jpg", "objects": objects}))
    columns = ColumnOptions(box_columns=("bbox",), box_format="xywh")
    source = open_metadata_folder(tmp_path, columns=columns, label_names=(("0", "Sad"), ("1", "Happy")))
    read = read_set(source)
    assert [(row.key, source.class_of(row)) for row in read.rows] == [
        ("train/a.jpg", "Happy"),
        ("train/a.jpg", "Sad"),
    ]


def test_coco_of_roboflow(tmp_path: Path, put: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """A file for each split; an image without an annotation is rejected."""
    for folder in ("train", "valid"):
        content = {
            "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 8, "file_name": "b.jpg"}],
            "annotations": [{"id": 0, "image_id": 7, "category_id": 3, "bbox": [1, 2, 10, 20]}],
            "categories": [{"id": 3, "name": "Anger"}],
        }
        put(tmp_path / folder / "_annotations.coco.json", json.dumps(content))
    source = open_metadata_folder(tmp_path)
    read = read_set(source)
    assert {(row.split, row.key) for row in read.rows} == {
        ("train", "train/a.jpg"), ("train", "train/b.jpg"), ("val", "valid/a.jpg"), ("val", "valid/b.jpg"),
    }  # fmt: skip
    assert (source.natural_crop, read.reasons) == ("box", ["unknown_label"] * 2)
    box_xyxy = read.records["valid/a.jpg"].box_xyxy
    assert box_xyxy is not None
    assert box_xyxy.tolist() == [1, 2, 11, 22]


def test_numbers_are_refused_until_explained(write: Callable[..., Path]) -> None:
    """The Hub's sets do not number their classes alike."""
    raw = write({"1.jpg": 0, "2.jpg": 1})
    with pytest.raises(DatasetError, match="--label-names 0=NAME,1=NAME"):
        open_metadata_folder(raw)
    source = open_metadata_folder(raw, label_names=(("0", "Anger"), ("1", "Happy")))
    assert source.classes == ("Happy", "Anger")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1"),
        ("[1]", "line 1"),
        ('{"file_name": "a.jpg"}', "must have a column `label`"),
        ('{"photo": "a.jpg", "label": "sad"}', "must have a column `path`.* --path-column photo"),
        ("\n", "holds no records"),
    ],
)
def test_damaged_file_is_refused(tmp_path: Path, put: Callable[..., Path], text: str, message: str) -> None:
    """The message names file and line."""
    put(tmp_path / "train" / "metadata.jsonl", text)
    with pytest.raises(DatasetError, match=message):
        open_metadata_folder(tmp_path)


def test_splits_of_only_some_images_are_refused(write: Callable[..., Path]) -> None:
    """The others could be of any split."""
    write({"1.jpg": "happy", "2.jpg": "sad"})
    with pytest.raises(DatasetError, match="1 of 3 are in no folder named like a split"):
        open_metadata_folder(write({"3.jpg": "happy"}, folder="more"))


def test_csv_opens_it_too(write: Callable[..., Path]) -> None:
    """A set with a metadata file for each split is a list in several parts."""
    raw = write({"1.jpg": "happy", "2.jpg": "sad"}, suffix="csv")
    assert open_any_list(raw).name == "imagefolder"
    with pytest.raises(DatasetError, match="must have the column `phase`"):
        open_any_list(raw, columns=ColumnOptions(split_column="phase"))
    (raw / "train" / "metadata.csv").rename(raw / "metadata.csv")
    assert open_any_list(raw).name == "csv"


@pytest.mark.parametrize("folders", [("train", "test"), ("",)])
def test_the_beginning_of_paths_of_another_machine(
    write: Callable[..., Path], read_set: Callable[..., Any], folders: tuple[str, ...]
) -> None:
    """It is left off before the folder of the metadata file is put in front; the splits are those of what remains."""
    names = ("1.jpg", "2.jpg") if folders[0] else ("train/1.jpg", "test/2.jpg")
    for folder in folders:
        raw = write({name: "happy" if "1" in name else "sad" for name in names}, folder=folder, suffix="csv")
        path = raw / folder / "metadata.csv"
        lines = path.read_text().splitlines()
        path.write_text("\n".join([lines[0], *(f"/test/old/{line}" for line in lines[1:])]))
    read = read_set(open_metadata_folder(raw, columns=ColumnOptions(path_prefix="/test/old")))
    places = [f"{folder}/{name}" for folder in folders for name in names] if folders[0] else list(names)
    assert [(row.split, row.key) for row in read.rows] == [(place.split("/")[0], place) for place in places]
    assert {record.image for record in read.records.values()} == {raw.resolve() / place for place in places}
    with pytest.raises(DatasetError, match=r"begins with --path-prefix '/new/', the first is '/test/old/"):
        open_metadata_folder(raw, columns=ColumnOptions(path_prefix="/new/"))


def test_a_prefix_that_is_also_the_folder(write: Callable[..., Path]) -> None:
    """Paths that are written from the set's folder are relative to the file's without it."""
    raw = write({"1.jpg": "happy", "2.jpg": "sad"}, suffix="csv")
    path = raw / "train" / "metadata.csv"
    path.write_text(path.read_text().replace("1.jpg", "train/1.jpg").replace("2.jpg", "train/2.jpg"))
    source = open_metadata_folder(raw, columns=ColumnOptions(path_prefix="train/"))
    assert [source.parse(row).image for row in source.rows()] == [
        raw.resolve() / "train" / "1.jpg", raw.resolve() / "train" / "2.jpg",
    ]  # fmt: skip
