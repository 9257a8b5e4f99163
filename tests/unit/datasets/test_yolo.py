"""Images with boxes in YOLO's format."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mien.datasets.labels import parse_label_names
from mien.datasets.yolo import open_yolo
from mien.errors import DatasetError


@pytest.fixture
def add(tmp_path: Path, put: Callable[..., Path]) -> Callable[..., Path]:
    """Return a function that writes an image of 100x40 pixels and the lines of its faces; None writes no text file."""
    file = io.BytesIO()
    Image.new("RGB", (100, 40)).save(file, "PNG")

    def add_image(
        name: str, *lines: str | None, images: str = "train/images", labels: str = "train/labels"
    ) -> Path:
        put(tmp_path / images / name, file.getvalue())
        if None not in lines:
            put(tmp_path / labels / f"{Path(name).stem}.txt", "\n".join(filter(None, lines)))
        return tmp_path

    return add_image


def test_faces_of_an_image(
    add: Callable[..., Path], put: Callable[..., Path], read_set: Callable[..., Any]
) -> None:
    """Each line is a row; its box is in pixels, its class named by data.yaml and not by AffectNet's numbers."""
    raw = add("a.png", "0 0.5 0.5 0.2 0.5", "3 0.1 0.25 0.2 0.5")
    put(
        raw / "data.yaml",
        "nc: 4\nnames: ['Anger', 'Contempt', 'Disgust', 'happiness']\ntrain: ../train/images\n",
    )
    source = open_yolo(raw)
    assert (source.classes, source.natural_crop) == (("Happy", "Anger"), "box")
    read = read_set(source)
    first, second = (source.parse(row) for row in read.rows)
    np.testing.assert_allclose(first.box_xyxy, [40, 10, 60, 30])
    np.testing.assert_allclose(second.box_xyxy, [0, 0, 20, 20])
    assert [source.classes[record.label] for record in (first, second)] == ["Anger", "Happy"]
    assert [row.split for row in read.rows] == ["train", "train"]


@pytest.mark.parametrize(
    ("images", "labels", "split"),
    [
        ("valid/images", "valid/labels", "val"),
        ("images/test", "labels/test", "test"),
        ("YOLO_format/images/val", "YOLO_format/labels/val", "val"),
    ],
)
def test_both_orders_of_folders(
    add: Callable[..., Path], put: Callable[..., Path], images: str, labels: str, split: str
) -> None:
    """The split is above or below `images`; names may be a mapping."""
    add("b.png", "1 0.5 0.5 0.2 0.5", images=images, labels=labels)
    raw = add("a.png", "0 0.5 0.5 0.2 0.5", images=images, labels=labels)
    put(raw / "data.yaml", "names:\n  0: sad\n  1: happy\n")
    assert {row.split for row in open_yolo(raw).rows()} == {split}


def test_set_without_splits(add: Callable[..., Path], put: Callable[..., Path]) -> None:
    """Val is drawn by image, so that the faces of a photograph stay together; classes.txt names the classes."""
    for number in range(40):
        raw = add(f"{number}.png", "0 0.5 0.5 0.2 0.5", "1 0.1 0.5 0.2 0.5", images="images", labels="labels")
    put(raw / "classes.txt", "sad\nhappy\n")
    splits: dict[str, set[str]] = {}
    for row in open_yolo(raw, val_fraction=0.3).rows():
        splits.setdefault(row.key, set()).add(row.split)
    assert all(len(found) == 1 for found in splits.values())
    assert {"val"} in splits.values()


def test_rows_that_cannot_be_used(
    add: Callable[..., Path], put: Callable[..., Path], read_set: Callable[..., Any]
) -> None:
    """Images without faces and lines of another form are rejected, and counted."""
    add("a.png", "0 0.5 0.5 0.2 0.5")
    add("b.png", None)
    add("c.png")
    add("d.png", "0 0.1 0.1 0.2 0.1 0.9")
    add("e.png", "9 0.5 0.5 0.2 0.5")
    raw = add("f.png", "1 50 20 10 10")
    put(raw / "data.yaml", "names: [sad, happy]")
    read = read_set(open_yolo(raw))
    assert read.reasons == ["missing_annotation", "missing_annotation", "malformed_row", "unknown_label"]
    pixels = read.records["train/images/f.png"]
    assert (pixels.box_xyxy, pixels.warnings) == (None, ("box_value",))


def test_numbers_without_names_are_refused(add: Callable[..., Path]) -> None:
    """The option that explains them is named, and takes precedence over a file."""
    raw = add("a.png", "0 0.5 0.5 0.2 0.5", "1 0.5 0.5 0.2 0.5")
    with pytest.raises(DatasetError, match=r"no `data.yaml` .*--label-names 0=NAME,1=NAME"):
        open_yolo(raw)
    source = open_yolo(raw, label_names=(("0", "Sad"), ("1", "Happy")))
    assert source.classes == ("Happy", "Sad")


def test_what_is_no_such_set_is_refused(
    add: Callable[..., Path], put: Callable[..., Path], tmp_path: Path
) -> None:
    """A missing folder, a damaged file and images outside of the splits are one line each."""
    (tmp_path / "images").mkdir()
    with pytest.raises(DatasetError, match="`images/` next to `labels/`"):
        open_yolo(tmp_path)
    raw = add("a.png", "0 0.5 0.5 0.2 0.5")
    put(raw / "data.yaml", "names: [")
    with pytest.raises(DatasetError, match=r"data.yaml` cannot be read"):
        open_yolo(raw)
    put(raw / "data.yaml", "names: [sad]")
    add("b.png", "0 0.5 0.5 0.2 0.5", images="more/images", labels="more/labels")
    with pytest.raises(DatasetError, match="1 of 2 are in no folder named like a split"):
        open_yolo(raw)


def test_polygons_and_keypoints(
    add: Callable[..., Path], put: Callable[..., Path], read_set: Callable[..., Any]
) -> None:
    """The box encloses a polygon; keypoints come after a box."""
    raw = add("a.png", "0 0.1 0.25 0.3 0.25 0.2 0.75")
    put(raw / "data.yaml", "names: [sad]")
    np.testing.assert_allclose(
        read_set(open_yolo(raw)).records["train/images/a.png"].box_xyxy, [10, 10, 30, 30]
    )
    raw = add("a.png", "0 0.5 0.5 0.2 0.5 0.4 0.4 0.6 0.4")
    put(raw / "data.yaml", "names: [sad]\nkpt_shape: [2, 2]")
    np.testing.assert_allclose(
        read_set(open_yolo(raw)).records["train/images/a.png"].box_xyxy, [40, 10, 60, 30]
    )


@pytest.mark.parametrize("description", ["", "path: /content/set\ntrain: train.txt\nval: ./val.txt\n"])
def test_lists_of_splits(add: Callable[..., Path], put: Callable[..., Path], description: str) -> None:
    """They decide, whatever machine their paths are of; an image that is in none, or in two, stops the command."""
    for name in ("a", "b"):
        raw = add(f"{name}.png", "0 0.5 0.5 0.2 0.5", images="images", labels="labels")
    put(raw / "data.yaml", f"names: [sad]\n{description}")
    put(raw / "train.txt", "/content/set/images/a.png\n")
    message = (
        "`./val.txt`, the list of val, must be in" if description else "1 of 2 are in no folder .* in no list"
    )
    with pytest.raises(DatasetError, match=message):
        open_yolo(raw)
    put(raw / "val.txt", "./images/b.png\n")
    assert [(row.split, row.key) for row in open_yolo(raw).rows()] == [
        ("train", "images/a.png"), ("val", "images/b.png"),
    ]  # fmt: skip
    put(raw / "val.txt", "images/b.png\nimages/a.png\n")
    with pytest.raises(DatasetError, match=r"`images/a.png` is in the lists of train and val"):
        open_yolo(raw)


def test_numbers_from_1_with_names_from_0_are_refused(
    add: Callable[..., Path], put: Callable[..., Path]
) -> None:
    """Only the last class would be missed; the message has the names shifted by one, and its advice works."""
    raw = add("a.png", "1 0.5 0.5 0.2 0.5", "2 0.5 0.5 0.2 0.5")
    put(raw / "data.yaml", "names: [sad, angry]\n")
    with pytest.raises(
        DatasetError, match=r"from 1 to 2, .* 0 to 1: .* add --label-names 1=Sad,2=Anger;"
    ) as told:
        open_yolo(raw)
    assert "\n" not in str(told.value)
    source = open_yolo(raw, label_names=parse_label_names("1=Sad,2=Anger"))
    assert [source.class_of(row) for row in source.rows()] == ["Sad", "Anger"]


@pytest.mark.parametrize(("names", "label"), [("['1', '2']", "0"), ("{0: 0, 1: 1, 2: 2}", "1")])
def test_numbers_as_names_are_explained_as_numbers(
    names: str, label: str, add: Callable[..., Path], put: Callable[..., Path]
) -> None:
    """Roboflow calls the classes of a numbered set so; the option explains the name, not its place in the list."""
    raw = add("a.png", f"{label} 0.5 0.5 0.2 0.5")
    put(raw / "data.yaml", f"names: {names}\n")
    with pytest.raises(DatasetError, match=r"are numbers.* --label-names .*rafdb .*1 Surprise"):
        open_yolo(raw)
    source = open_yolo(raw, label_names=parse_label_names("rafdb"))
    assert [source.class_of(row) for row in source.rows()] == ["Surprise"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a [sad]\nnames: [*a, *a]\n", r"aliases \(\*name\) are not read"),
        ("names: [sad]\nnames: [angry]\n", "key `names` is given twice"),
        ("names: [[sad, angry], happy]\n", r"a class must have one name, got \['sad', 'angry'\]"),
    ],
)
def test_descriptions_that_would_be_read_wrongly_are_refused(
    add: Callable[..., Path], put: Callable[..., Path], text: str, message: str
) -> None:
    """A few lines of aliases can stand for gigabytes of names."""
    raw = add("a.png", "0 0.5 0.5 0.2 0.5")
    put(raw / "data.yaml", text)
    with pytest.raises(DatasetError, match=message):
        open_yolo(raw)


def test_names_of_files_that_are_not_utf_8(add: Callable[..., Path]) -> None:
    """They are assigned to a split as others are, whose bytes are hashed."""
    is_val = int.from_bytes(hashlib.sha256(b"images/\xe9.png").digest()[:8], "big") < 0.1 * 2**64
    raw = add("\udce9.png", "0 0.5 0.5 0.2 0.5", images="images", labels="labels")
    assert [row.split for row in open_yolo(raw, label_names=parse_label_names("0=Sad")).rows()] == [
        "val" if is_val else "train"
    ]
