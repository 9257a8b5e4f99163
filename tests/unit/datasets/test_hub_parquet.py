"""Parquet files with images, as the Hugging Face Hub has them."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mien.datasets.forms import open_any_folder, open_any_list
from mien.datasets.hub_parquet import open_parquet
from mien.datasets.labels import parse_label_names
from mien.datasets.list_options import ColumnOptions
from mien.datasets.list_table import parse_split_names
from mien.errors import DatasetError

# The order of the Hub's copy of AffectNet, which is not AffectNet's own.
NAMES = ["anger", "disgust", "fear", "happy", "neutral", "sad", "surprise"]
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes one file of the set, each image being its own path as bytes."""

    def write_file(
        labels: Sequence[object],
        name: str = "train-00000-of-00001.parquet",
        *,
        names: Sequence[str] | None = NAMES,
        paths: Sequence[str | None] | None = None,
        rows_per_group: int = 2,
        **more: Any,
    ) -> Path:
        stem = Path(name).stem
        given = paths if paths is not None else [f"{stem}-{index}.jpg" for index in range(len(labels))]
        images = [{"bytes": f"{stem}/{index}".encode(), "path": path} for index, path in enumerate(given)]
        table = pa.table({"image": pa.array(images, IMAGE), "label": pa.array(labels), **more})
        features: dict[str, Any] = {"image": {"_type": "Image"}}
        if names is not None:
            features["label"] = {"names": list(names), "_type": "ClassLabel"}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, row_group_size=rows_per_group)
        return tmp_path / "set"

    return write_file


def test_class_names_come_from_the_schema(write: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """Number 3 is Happy in this set; images are bytes, over several files and row groups."""
    write([3, 0, 4, 3, 6], "data/train-00000-of-00002.parquet")
    write([1, 2, 5], "data/train-00001-of-00002.parquet")
    source = open_parquet(write([3, 4], "data/validation-00000-of-00001.parquet"))
    assert source.classes == ("Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger")
    read = read_set(source)
    assert [(row.split, row.number, row.key) for row in read.rows][4:6] == [
        ("train", 5, "train-00000-of-00002-4.jpg"),
        ("train", 1, "train-00001-of-00002-0.jpg"),
    ]
    assert [row.split for row in read.rows] == ["train"] * 8 + ["val"] * 2
    by_key = {key: (record.image, source.classes[record.label]) for key, record in read.records.items()}
    assert by_key["train-00000-of-00002-3.jpg"] == (b"train-00000-of-00002/3", "Happy")
    assert by_key["train-00001-of-00002-2.jpg"] == (b"train-00001-of-00002/2", "Sad")


def test_names_of_each_file_are_its_own(write: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """Two files that number their classes differently are not mixed up."""
    write([0, 1], names=["happy", "sad"])
    source = open_parquet(write([0, 1], "test.parquet", names=["sad", "happy"]))
    read = read_set(source)
    assert [(row.split, source.class_of(row)) for row in read.rows] == [
        ("train", "Happy"),
        ("train", "Sad"),
        ("test", "Sad"),
        ("test", "Happy"),
    ]


@pytest.mark.parametrize("names", [None, ["0", "1", "2"]])
def test_numbers_without_names_are_refused(
    write: Callable[..., Path], read_set: Callable[..., Any], names: list[str] | None
) -> None:
    """The option that explains them is named, and explains them."""
    raw = write([0, 1, 2], names=names)
    with pytest.raises(DatasetError, match=r"numbers its classes differently\..*--label-names 0=NAME"):
        open_parquet(raw)
    label_names = (("0", "Anger"), ("1", "Disgust"), ("2", "Happy"))
    source = open_parquet(raw, label_names=label_names)
    assert source.classes == ("Happy", "Disgust", "Anger")


def test_words_as_labels(write: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """Words need no schema; a missing label is a rejected row."""
    read = read_set(open_parquet(write(["happiness", "sad", None], names=None)))
    assert len(read.records) == 2
    assert read.reasons == ["unknown_label"]


def test_images_without_paths_of_their_own(write: Callable[..., Path]) -> None:
    """Keys are file and row where paths are missing or repeated."""
    for paths in ([None, None], ["a.jpg", "a.jpg"]):
        keys = [row.key for row in open_parquet(write([3, 4], paths=paths)).rows()]
        assert keys == [f"train-00000-of-00001.parquet/{index}" for index in (0, 1)]


def test_images_outside_of_the_file(
    write: Callable[..., Path], read_set: Callable[..., Any], tmp_path: Path
) -> None:
    """An image may be a path in the set's folder, and not one that leads out of it."""
    raw = write([3, 4])
    path = raw / "train-00000-of-00001.parquet"
    table = pq.read_table(path)
    images = [{"bytes": None, "path": "a/1.jpg"}, {"bytes": None, "path": "../1.jpg"}]
    pq.write_table(table.set_column(0, "image", pa.array(images, IMAGE)), path)
    read = read_set(open_parquet(raw))
    assert [record.image for record in read.records.values()] == [(raw / "a" / "1.jpg").resolve()]
    assert read.reasons == ["path_outside"]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train-00000-of-00001.parquet", "train"),
        ("validation-00000-of-00001.parquet", "val"),
        ("default/test/0000.parquet", "test"),
        ("data/test.parquet", "test"),
        ("val_0.parquet", "val"),
    ],
)
def test_split_is_in_the_name(write: Callable[..., Path], name: str, split: str) -> None:
    """The usual names of files and folders say the split."""
    assert {row.split for row in open_parquet(write([3, 4], name)).rows()} == {split}


def test_set_without_splits(write: Callable[..., Path]) -> None:
    """A column says the split if it is named for it; otherwise part of the faces becomes val."""
    splits = ["train", "test", "train", "dev"]
    raw = write([3, 4, 3, 4], "faces.parquet", split=pa.array(splits))
    assert [row.split for row in open_parquet(raw).rows()] == ["train", "train", "val", "test"]
    assert {row.split for row in open_parquet(raw, columns=ColumnOptions(split_column="none")).rows()} <= {
        "train",
        "val",
    }
    raw = write([3, 4] * 50, "faces.parquet")
    drawn = [row.split for row in open_parquet(raw, val_fraction=0.3).rows()]
    assert drawn == sorted(drawn)
    assert 15 < drawn.count("val") < 45
    raw = write([3, 4], "faces.parquet", usage=pa.array(["train", "test"]))
    with pytest.raises(DatasetError, match="--split-column usage to use it"):
        open_parquet(raw)
    assert {row.split for row in open_parquet(raw, columns=ColumnOptions(split_column="usage")).rows()} == {
        "train",
        "test",
    }


def test_missing_files_and_unread_columns_are_noted(write: Callable[..., Path]) -> None:
    """A set that was not downloaded to its end is no full set."""
    raw = write([3, 4], "train-00000-of-00003.parquet", note=pa.array(["a", "b"]))
    notes = open_parquet(raw).notes
    assert "Columns not used in the Parquet files: note." in notes
    assert any("`train-00001-of-00003.parquet`, `train-00002-of-00003.parquet` missing" in n for n in notes)


def test_valence_and_arousal_are_read(write: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """Columns of these names hold them; a value out of range is none."""
    raw = write([3, 4], valence=pa.array([0.5, None]), arousal=pa.array([-0.25, -2.0]))
    first, second = read_set(open_parquet(raw)).records.values()
    assert (first.valence, first.arousal, second.valence, second.arousal) == (0.5, -0.25, None, None)


def test_ambiguous_sets_are_refused(write: Callable[..., Path]) -> None:
    """Several sets in one folder, several images in one row, and files of unknown split are not guessed at."""
    raw = write([3, 4], "a/train.parquet")
    write([3, 4], "b/train.parquet")
    with pytest.raises(DatasetError, match="must hold one set, its Parquet files lie in `a`, `b`"):
        open_parquet(raw)
    (raw / "b" / "train.parquet").rename(raw / "a" / "faces.parquet")
    with pytest.raises(DatasetError, match=r"`a/faces.parquet` does not"):
        open_parquet(raw)
    (raw / "a" / "faces.parquet").unlink()
    two = {name: pa.array([{"bytes": b"", "path": ""}] * 2, IMAGE) for name in ("image", "img")}
    pq.write_table(pa.table({**two, "label": ["happy", "sad"]}), raw / "a" / "train.parquet")
    with pytest.raises(DatasetError, match=r"must have one image column.*it has image, img"):
        open_parquet(raw)
    with pytest.raises(DatasetError, match="must hold a number or word in each row, it holds list"):
        open_parquet(write([[3], [4]], "a/train.parquet", names=None))


def test_what_is_no_such_file_is_refused(tmp_path: Path, put: Callable[..., Path]) -> None:
    """Damage, an empty folder and tables without images are one line each."""
    with pytest.raises(DatasetError, match="it holds none"):
        open_parquet(tmp_path)
    path = put(tmp_path / "train.parquet", b"PAR1 and then nothing")
    with pytest.raises(DatasetError, match=r"train.parquet` cannot be read as Parquet"):
        open_parquet(tmp_path)
    pq.write_table(pa.table({"path": ["a.jpg"], "label": ["happy"]}), path)
    with pytest.raises(DatasetError, match="holds no images"):
        open_parquet(tmp_path)


def test_csv_and_folder_open_it_too(write: Callable[..., Path]) -> None:
    """It opens as a table and as a folder; a folder of images with such a file in it stays one."""
    raw = write([3, 4])
    assert open_any_list(raw).name == open_any_folder(raw).name == "parquet"
    assert open_any_list(raw / "train-00000-of-00001.parquet").name == "parquet"
    for name in ("happy", "sad"):
        (raw / name).mkdir()
        (raw / name / "1.jpg").touch()
    source = open_any_folder(raw, label_names=(("happy", "Happy"), ("sad", "Sad")))
    assert source.name == "folder"
    assert any("train-00000-of-00001.parquet" in note for note in source.notes)


def test_affect_is_on_a_scale(write: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """As in any list: another scale than -1 to 1 stops the command until it is stated."""
    raw = write([3, 4, 5], valence=pa.array([1, 5, 9]), arousal=pa.array([5.0, None, 5.0]))
    with pytest.raises(DatasetError, match=r"--affect-range=1\.\.9"):
        open_parquet(raw)
    read = read_set(open_parquet(raw, columns=ColumnOptions(affect_range=(1, 9))))
    assert [(record.valence, record.arousal) for record in read.records.values()] == [
        (-1, 0),
        (0, None),
        (1, 0),
    ]


def test_the_label_may_be_in_any_column(write: Callable[..., Path]) -> None:
    """The option names it, also next to a class label."""
    raw = write([3, 4], mood=pa.array(["bored", "sad"]))
    assert open_parquet(raw, columns=ColumnOptions(label_column="mood")).classes == ("Sad", "bored")
    with pytest.raises(DatasetError, match="has no column `feeling`, it has image, label, mood"):
        open_parquet(raw, columns=ColumnOptions(label_column="feeling"))


def test_paths_without_images(tmp_path: Path) -> None:
    """A list of paths is for `mien prepare csv`, and the message says how to write it."""
    pq.write_table(pa.table({"path": ["a.jpg"], "label": ["sad"]}), tmp_path / "list.parquet")
    with pytest.raises(DatasetError, match="holds no images: if it lists their paths, write it as CSV"):
        open_parquet(tmp_path)


@pytest.mark.parametrize("kind", [pa.string(), pa.dictionary(pa.int8(), pa.string())])
def test_words_in_any_type_of_text(kind: pa.DataType, write: Callable[..., Path]) -> None:
    """A categorical of pandas is written as a dictionary."""
    source = open_parquet(write(pa.array(["happy", "sad"], pa.string()).cast(kind), names=None))
    assert [source.class_of(row) for row in source.rows()] == ["Happy", "Sad"]


def test_numbers_with_decimals(write: Callable[..., Path]) -> None:
    """As pandas writes integers of which one is missing."""
    raw = write([1.0, 4.0, None], names=None)
    with pytest.raises(DatasetError, match="are numbers"):
        open_parquet(raw)
    source = open_parquet(raw, label_names=parse_label_names("rafdb"))
    assert [source.class_of(row) for row in source.rows()] == ["Surprise", "Happy", "?"]


def test_several_labels_of_a_row_are_refused(write: Callable[..., Path]) -> None:
    """The message says what is needed."""
    with pytest.raises(
        DatasetError, match=r"a number or word in each row, it holds list.*one class for each row"
    ):
        open_parquet(write([[1], [2, 3]], names=None))


def test_splits_in_a_column_of_another_name(write: Callable[..., Path]) -> None:
    """A column that is filled with splits, or named for one, is not passed over; its values can be explained."""
    raw = write([3, 0], "faces.parquet", part=["Training", "PublicTest"])
    with pytest.raises(DatasetError, match="`part` seems to hold the split: add --split-column part"):
        open_parquet(raw)
    source = open_parquet(raw, columns=ColumnOptions(split_column="part"))
    assert [row.split for row in source.rows()] == ["train", "val"]
    raw = write([3, 0], "faces.parquet", is_valid=[False, True])
    with pytest.raises(DatasetError, match="--split-column is_valid"):
        open_parquet(raw)
    with pytest.raises(DatasetError, match="add --split-names false=SPLIT,true=SPLIT"):
        open_parquet(raw, columns=ColumnOptions(split_column="is_valid"))
    names = parse_split_names("False=train,True=val")
    source = open_parquet(raw, columns=ColumnOptions(split_column="is_valid", split_names=names))
    assert [row.split for row in source.rows()] == ["train", "val"]


def test_options_without_effect_stop(write: Callable[..., Path]) -> None:
    """They are about columns that the files do not have, or that `none` leaves out."""
    raw = write([3, 0], part=[0, 1])
    for split_column in (None, "none"):
        columns = ColumnOptions(split_column=split_column, split_names=(("0", "train"),))
        with pytest.raises(
            DatasetError, match="--split-names has no effect, since no column of splits is read"
        ):
            open_parquet(raw, columns=columns)
    with pytest.raises(DatasetError, match=r"--affect-range has no effect, since .* no column `valence`"):
        open_parquet(raw, columns=ColumnOptions(affect_range=(1, 9)))
