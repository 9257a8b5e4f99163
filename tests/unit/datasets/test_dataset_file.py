"""YAML files that describe datasets, and sets that are merged."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mien.datasets.dataset_file import open_dataset_file
from mien.datasets.registry import DatasetOptions, open_dataset
from mien.errors import DatasetError


@pytest.fixture
def place(tmp_path: Path, put: Callable[..., Path]) -> Path:
    """A list by numbers in a folder, class folders in another, and a third for the YAML file."""
    put(
        tmp_path / "listed" / "faces.csv",
        "file,emotion,left,top,right,bottom\na.jpg,1,1,2,3,4\nb.jpg,2,,,,\n",
    )
    for name in ("listed/a.jpg", "listed/b.jpg", "sorted/happy/a.jpg", "sorted/bored/b.jpg"):
        put(tmp_path / name, b"\xff\xd8\xff")
    (tmp_path / "mine").mkdir()
    return tmp_path


LISTED = """
kind: csv
raw: ../listed/faces.csv
label_names: {1: Surprise, 2: sad}
val_fraction: 0
columns: {label: emotion, box: [left, top, right, bottom]}
"""


def test_a_file_holds_the_options_of_a_set(place: Path, put: Callable[..., Path], read_set: Any) -> None:
    """With paths relative to it, the set is the one that the options open."""
    dataset = open_dataset_file(put(place / "mine" / "dataset.yaml", LISTED))
    assert (dataset.name, dataset.classes, dataset.natural_crop) == ("csv", ("Sad", "Surprise"), "box")
    read = read_set(dataset)
    assert read.records["a.jpg"].image == (place / "listed" / "a.jpg").resolve()
    assert list(read.records["a.jpg"].box_xyxy) == [1, 2, 3, 4]


def test_the_lists_of_the_splits(place: Path, put: Callable[..., Path], read_set: Any) -> None:
    """Under `lists`, and their images elsewhere."""
    put(place / "mine" / "t.txt", "a.jpg happy\n")
    put(place / "mine" / "v.txt", "b.jpg sad\n")
    text = "kind: csv\nraw: .\nimages: ../listed\nlists: {train: t.txt, val: v.txt}\n"
    dataset = open_dataset_file(put(place / "mine" / "dataset.yml", text))
    assert [(row.split, row.key) for row in dataset.rows()] == [("train", "a.jpg"), ("val", "b.jpg")]
    assert read_set(dataset).records["b.jpg"].image == (place / "listed" / "b.jpg").resolve()


def test_sources_are_merged_by_class_name(place: Path, put: Callable[..., Path], read_set: Any) -> None:
    """Keys begin with the source's name; labels are numbers of the merged classes."""
    text = (
        "crop: whole\nsources:\n- {kind: folder, raw: ../sorted, name: web, val_fraction: 0}\n- "
        + LISTED.strip().replace("\n", "\n  ")
    )
    dataset = open_dataset_file(put(place / "mine" / "dataset.yaml", text))
    assert (dataset.name, dataset.natural_crop) == ("folder+csv", "whole")
    assert dataset.classes == ("Happy", "Sad", "Surprise", "bored")
    read = read_set(dataset)
    labels = {key: dataset.classes[record.label] for key, record in read.records.items()}
    assert labels == {
        "web/bored/b.jpg": "bored",
        "web/happy/a.jpg": "Happy",
        "faces.csv/a.jpg": "Surprise",
        "faces.csv/b.jpg": "Sad",
    }
    assert "web: New classes, which AffectNet does not have: 'bored'." in dataset.notes


def test_votes_are_counted_for_the_merged_classes(
    tmp_path: Path, put: Callable[..., Path], read_set: Any
) -> None:
    """FER+'s eight fractions are those of the same classes beside one more."""
    votes = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    put(tmp_path / "fer" / "fer2013new.csv", f"{votes}\nTraining,a.png,0,8,2,0,0,0,0,0,0,0\n")
    put(tmp_path / "fer" / "FER2013Train" / "a.png", b"\x89PNG")
    for name in ("bored", "Calm"):
        put(tmp_path / "own" / name / "a.jpg", b"\xff\xd8\xff")
    text = "sources: [{kind: ferplus, raw: fer}, {kind: folder, raw: own}]"
    dataset = open_dataset_file(put(tmp_path / "dataset.yaml", text))
    record = read_set(dataset).records["fer/FER2013Train/a.png"]
    found = dict(zip(dataset.classes, record.distribution, strict=True))
    assert (found["Happy"], found["Surprise"], found["bored"]) == (0.8, 0.2, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raw: x", "`kind` must be one of affectnet, ferplus, "),
        ("kind: yaml\nraw: x.yaml", "`kind` must be one of"),
        ("kind: csv", "`raw` must be the path of the set, got None"),
        ("kind: csv\nraw: nowhere", "There is nothing at"),
        (
            "kind: csv\nraw: ../listed\nlabel_name: rafdb",
            "`label_name` is no option. Did you mean `label_names`",
        ),
        (
            "kind: csv\nraw: ../listed\ncolumns: {labels: x}",
            "`columns`: `labels` is no option. Did you mean `label`",
        ),
        ("kind: csv\nraw: ../listed\ncolumns: emotion", "`columns` must be a mapping, got 'emotion'"),
        ("kind: csv\nraw: ../listed\nlabel_names: {7: NAME}", "`label_names` must be like 1=Surprise"),
        ("kind: csv\nraw: ../listed\nval_fraction: 2", "`val_fraction` must be from 0 to 0.9, got 2"),
        (
            "kind: csv\nraw: ../listed\ncolumns: {label: no}",
            "must not be False: YAML reads yes, no, on and off",
        ),
        ("kind: csv\nraw: ../listed\ncolumns: {box_format: yx}", "`box_format` must be one of xywh"),
        ("kind: folder\nraw: ../sorted\nvotes: plurality", "--votes applies to ferplus, not to `folder`"),
        ("kind: csv\nkind: folder\nraw: x", "key `kind` is given twice, line 2"),
        (
            "sources: [{kind: folder, raw: ../sorted}]\nval_fraction: 0",
            "`val_fraction` must be in an item of `sources`",
        ),
        ("sources: ../sorted", "`sources` must be a list of mappings"),
        ("sources: [{kind: folder, raw: ../sorted}, {kind: folder, raw: ../sorted}]", "need different names"),
        (
            "crop: eyes\nsources: [{kind: folder, raw: ../sorted}]",
            "`crop` must be one of aligned, box, whole",
        ),
    ],
)
def test_what_does_not_fit_is_refused(place: Path, put: Callable[..., Path], text: str, message: str) -> None:
    """In one line, with the key."""
    with pytest.raises(DatasetError) as refused:
        open_dataset("yaml", put(place / "mine" / "dataset.yaml", text), DatasetOptions())
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_sources_that_are_cropped_differently_need_a_crop(place: Path, put: Callable[..., Path]) -> None:
    """A pack has one crop."""
    text = "sources:\n- {kind: folder, raw: ../sorted}\n- " + LISTED.strip().replace("\n", "\n  ")
    with pytest.raises(DatasetError, match=r"\(sorted: whole, faces.csv: box\): add `crop: aligned`"):
        open_dataset_file(put(place / "mine" / "dataset.yaml", text))


def test_persons_of_two_sources_are_not_one(tmp_path: Path, put: Callable[..., Path], read_set: Any) -> None:
    """Sets number their persons and clips alike: the name of the source comes before theirs."""
    for name in ("a", "b"):
        put(tmp_path / name / "faces.csv", "path,label,person,clip\n1.jpg,happy,1,7\n2.jpg,sad,,\n")
    text = "sources: [{kind: csv, raw: a, val_fraction: 0}, {kind: csv, raw: b, val_fraction: 0}]"
    read = read_set(open_dataset_file(put(tmp_path / "dataset.yaml", text)))
    assert {key: (record.person, record.clip) for key, record in read.records.items()} == {
        "a/1.jpg": ("a/1", "a/7"), "a/2.jpg": (None, None), "b/1.jpg": ("b/1", "b/7"), "b/2.jpg": (None, None),
    }  # fmt: skip
