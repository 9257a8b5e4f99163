"""A CSV of paths and labels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.datasets.csv_table import open_csv
from mien.datasets.labels import parse_label_names
from mien.datasets.list_options import ColumnOptions
from mien.errors import DatasetError


@pytest.fixture
def make_csv(tmp_path: Path, put: Callable[..., Path]) -> Callable[..., Path]:
    """Return a function that writes ``faces.csv`` with the given lines."""

    def make(*lines: str, end: str = "\n", name: str = "faces.csv") -> Path:
        return put(tmp_path / name, end.join(lines) + end)

    return make


@pytest.mark.parametrize("path_column", ["path", "image", "file", "Filename", "subDirectory_filePath"])
@pytest.mark.parametrize("label_column", ["label", "Expression", "emotion", "class"])
def test_columns_have_usual_names(
    make_csv: Callable[..., Path], read_set: Callable[..., Any], path_column: str, label_column: str
) -> None:
    """Path and label are found under each of their usual names."""
    path = make_csv(f"{path_column},{label_column}", "a.jpg,happy", "b.jpg,sad")
    source = open_csv(path, val_fraction=0)
    assert (source.name, source.classes, source.natural_crop) == ("csv", ("Happy", "Sad"), "whole")
    read = read_set(source)
    assert {key: record.label for key, record in read.records.items()} == {"a.jpg": 0, "b.jpg": 1}
    assert read.records["a.jpg"].image == path.resolve().parent / "a.jpg"


def test_folder_with_one_csv_serves(make_csv: Callable[..., Path]) -> None:
    """The CSV's folder may be given instead if it holds no other CSV."""
    path = make_csv("path,label", "a.jpg,happy", name="Faces.CSV")
    assert [row.key for row in open_csv(path.parent).rows()] == ["a.jpg"]


def test_names_with_spaces_commas_and_unicode(
    make_csv: Callable[..., Path], read_set: Callable[..., Any]
) -> None:
    """Any name that a file can have works, with a BOM and CRLF as Excel writes them."""
    path = make_csv(
        "\ufeffpath,label", "a b/c d.jpg,happy", '"x, y.jpg",sad', "面部/ü é.jpg,fear", end="\r\n"
    )
    read = read_set(open_csv(path, val_fraction=0))
    assert list(read.records) == ["a b/c d.jpg", "x, y.jpg", "面部/ü é.jpg"]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        pytest.param(["happiness", "ANGRY", "bored"], ["Happy", "Anger", "bored"], id="names"),
        pytest.param(["happy", "sad", "7"], ["Happy", "Sad", "?"], id="a number among names"),
        pytest.param(["sad", "fear", ""], ["Sad", "Fear", "?"], id="no label"),
    ],
)
def test_labels_that_are_names(
    make_csv: Callable[..., Path], read_set: Callable[..., Any], labels: list[str], classes: list[str]
) -> None:
    """Labels are interpreted by the whole column, and a label without a class rejects its row."""
    source = open_csv(
        make_csv("path,label", *(f"{n}.jpg,{label}" for n, label in enumerate(labels))), val_fraction=0
    )
    assert [source.class_of(row) for row in source.rows()] == classes
    assert read_set(source).reasons == ["unknown_label"] * classes.count("?")
    assert set(source.classes) == set(classes) - {"?"}


def test_numbers_need_names(make_csv: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """RAF-DB's 1 to 7 are not AffectNet's: refused until the caller explains them."""
    path = make_csv("image,label", "a.jpg,1", "b.jpg,2", "c.jpg,7")
    with pytest.raises(
        DatasetError, match=r"--label-names 1=NAME,2=NAME,7=NAME \(or --label-names affectnet"
    ):
        open_csv(path)
    source = open_csv(path, val_fraction=0, label_names=parse_label_names("1=Surprise,2=Fear"))
    assert [source.class_of(row) for row in source.rows()] == ["Surprise", "Fear", "?"]
    assert read_set(source).reasons == ["unknown_label"]


SPLIT_LISTS = [
    pytest.param("path,label,phase", "{0}{1}.jpg,happy,{0}", id="another name"),
    pytest.param("path,label,Usage", "{0}{1}.jpg,happy,{2}", id="FER2013's"),
    pytest.param("path,label,where", "{0}{1}.jpg,happy,{0}", id="a name that says nothing"),
    pytest.param("path,label", "{0}/{1}.jpg,happy", id="folders"),
    pytest.param("image,label", "{0}_{1}.jpg,happy", id="beginnings of names"),
]


@pytest.mark.parametrize(("header", "row"), SPLIT_LISTS)
def test_a_split_in_another_column_stops(make_csv: Callable[..., Path], header: str, row: str) -> None:
    """Test faces are not trained on because of a column's name; with the option from the message they get their split."""
    usages = {"train": "Training", "val": "PublicTest", "test": "PrivateTest"}
    lines = [row.format(split, n, usage) for split, usage in usages.items() for n in range(2)]
    path = make_csv(header, *lines)
    with pytest.raises(DatasetError, match=r"train 2, val 2, test 2") as error:
        open_csv(path)
    column = str(error.value).split("--split-column ")[1].split()[0]
    rows = list(open_csv(path, columns=ColumnOptions(split_column=column)).rows())
    assert [(row.split, row.number) for row in rows] == [
        *(("train", 1), ("train", 2), ("val", 3), ("val", 4), ("test", 5), ("test", 6))
    ]
    drawn = open_csv(path, columns=ColumnOptions(split_column="none"), val_fraction=0)
    assert {row.split for row in drawn.rows()} == {"train"}
    assert any(f"Columns not used in `faces.csv`: {column}" in note for note in drawn.notes) == (
        column not in ("path", "image")
    )


@pytest.mark.parametrize("column", ["fold", "is_test", "dataSplit"])
def test_a_column_that_is_called_like_a_split_stops(make_csv: Callable[..., Path], column: str) -> None:
    """Even if its cells are not words for splits."""
    path = make_csv(f"path,label,{column}", "a.jpg,happy,0", "b.jpg,sad,1")
    with pytest.raises(
        DatasetError, match=f"`{column}` seems to hold the split .by its name.: add --split-column"
    ):
        open_csv(path)


def test_a_split_column_that_is_not_there(make_csv: Callable[..., Path]) -> None:
    """The message lists the columns of the file."""
    with pytest.raises(DatasetError, match=r"must have the column `phase`; it begins with 'path', 'label'"):
        open_csv(make_csv("path,label", "a.jpg,happy"), columns=ColumnOptions(split_column="phase"))


def test_every_column_is_read_or_named(make_csv: Callable[..., Path]) -> None:
    """Those of a person and without a name are noted as not used."""
    path = make_csv("path,label,subject,valence,,split,emotion_score", "a.jpg,happy,S1,0.5,1,train,0.9")
    assert open_csv(path).notes == (
        "Columns not used in `faces.csv`: subject, (no name), emotion_score.",
        "valence: 1 values from 0.5 to 0.5.",
    )


LOOKALIKES = [
    pytest.param("emotion", "--label-column label", id="second label"),
    pytest.param("true_label", "--label-column label", id="another label"),
    pytest.param("filename", "--path-column path", id="second path"),
    pytest.param("bbox", "--box-columns bbox", id="box in a cell"),
    pytest.param("x,y,w", "--box-columns none", id="three columns of a box"),
    pytest.param("face_keypoints", "--landmarks-column face_keypoints", id="landmarks"),
    pytest.param("valenceMean", "--affect-columns valenceMean", id="valence"),
]


@pytest.mark.parametrize(("columns", "advice"), LOOKALIKES)
def test_what_looks_like_a_column_that_is_read_stops(
    make_csv: Callable[..., Path], columns: str, advice: str
) -> None:
    """It is not left out without a word, and the message has the option that decides."""
    cells = ",".join("1" for _ in columns.split(","))
    path = make_csv(f"path,label,{columns}", f"a.jpg,happy,{cells}")
    with pytest.raises(DatasetError) as error:
        open_csv(path)
    assert advice in str(error.value)
    decided = ColumnOptions(
        path_column="path",
        label_column="label",
        box_columns=("none",),
        landmarks_column="none",
        affect_columns=("none",),
    )
    dataset = open_csv(path, columns=decided)
    assert f"Columns not used in `faces.csv`: {columns.replace(',', ', ')}." in dataset.notes
    assert dataset.natural_crop == "whole"


@pytest.mark.parametrize("columns", ["face_x,face_y,face_width,face_height", "x,y,w,h", "X0,Y0,X1,Y1"])
def test_box_is_read_in_each_form(
    make_csv: Callable[..., Path], read_set: Callable[..., Any], columns: str
) -> None:
    """Left, top, width, height or left, top, right, bottom give the same box, and the natural crop."""
    cells = "1,2,4,6" if columns == "X0,Y0,X1,Y1" else "1,2,3,4"
    source = open_csv(
        make_csv(f"path,label,{columns}", f"a.jpg,happy,{cells}", "b.jpg,sad,,,,", "c.jpg,sad,1,2,0,0")
    )
    assert source.natural_crop == "box"
    records = read_set(source).records
    np.testing.assert_array_equal(records["a.jpg"].box_xyxy, [1, 2, 4, 6])
    assert (records["b.jpg"].box_xyxy, records["b.jpg"].warnings) == (None, ())
    assert (records["c.jpg"].box_xyxy, records["c.jpg"].warnings) == (None, ("box_value",))


@pytest.mark.parametrize("column", ["landmarks", "facial_landmarks"])
def test_landmarks_and_affect_are_read(
    make_csv: Callable[..., Path],
    read_set: Callable[..., Any],
    points: NDArray[np.float64],
    points_text: str,
    column: str,
) -> None:
    """Landmarks make the natural crop aligned; valence and arousal come with them."""
    source = open_csv(
        make_csv(
            f"path,label,{column},valence,arousal", f"a.jpg,happy,{points_text},0.5,-2", "b.jpg,sad,1;2,,"
        )
    )
    assert source.natural_crop == "aligned"
    records = read_set(source).records
    np.testing.assert_allclose(records["a.jpg"].landmarks, points)
    assert (records["a.jpg"].valence, records["a.jpg"].arousal) == (0.5, None)
    assert (records["b.jpg"].landmarks, records["b.jpg"].warnings) == (None, ("landmark_count",))


def test_split_column_is_kept(make_csv: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """Splits come in mien's order with the rows' own numbers; an unknown word rejects its row, once."""
    lines = ["a.jpg,happy,Test", "b.jpg,sad,valid", "c.jpg,sad,training", "d.jpg,sad,holdout", "e.jpg,sad,"]
    read = read_set(open_csv(make_csv("path,label,split", *lines), val_fraction=0.9))
    assert [(row.split, row.number) for row in read.rows] == [
        ("train", 3), ("train", 4), ("train", 5), ("val", 2), ("test", 1),
    ]  # fmt: skip
    assert read.reasons == ["unknown_split", "unknown_split"]


def test_val_is_drawn_where_there_is_no_split(make_csv: Callable[..., Path]) -> None:
    """A fraction of the rows becomes val, the same each time, nothing twice and nothing lost."""
    path = make_csv("path,label", *(f"{number}.jpg,happy" for number in range(100)))
    rows = list(open_csv(path, val_fraction=0.2).rows())
    assert rows == list(open_csv(path, val_fraction=0.2).rows())
    assert sorted(row.number for row in rows) == list(range(1, 101))
    assert 5 < sum(row.split == "val" for row in rows) < 40


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        pytest.param("../a.jpg,happy", "path_outside", id="way out"),
        pytest.param("/etc/hosts,happy", "path_outside", id="absolute"),
        pytest.param(",happy", "missing_file", id="no path"),
        pytest.param("a.jpg", "malformed_row", id="a column short"),
        pytest.param("a.jpg,happy,sad", "malformed_row", id="a column too many"),
    ],
)
def test_bad_rows_are_rejected(
    make_csv: Callable[..., Path], read_set: Callable[..., Any], row: str, reason: str
) -> None:
    """Only the bad row is rejected, and claims the class that it can."""
    read = read_set(open_csv(make_csv("path,label", row, "b.jpg,happy"), val_fraction=0))
    assert read.rejects["train", 1][0] == reason
    assert "b.jpg" in read.records


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        pytest.param(["photo,label", "a.jpg,happy"], "add --path-column photo", id="no path column"),
        pytest.param(["path,feeling", "a.jpg,happy"], "must have a column `label`", id="no label column"),
        pytest.param(["path,label"], "has none", id="no rows"),
        pytest.param(["path,label", "a.jpg,"], "has none", id="no label"),
        pytest.param(["path,label", "a.jpg,-1"], "has none", id="no label but a mark"),
        pytest.param(
            ["path,label", *(f"a.jpg,{n}x" for n in range(1001))], "1,000 different", id="no classes"
        ),
    ],
)
def test_unusable_list_is_refused(make_csv: Callable[..., Path], lines: list[str], message: str) -> None:
    """A CSV that cannot be a list of labeled faces is one clear error."""
    with pytest.raises(DatasetError) as error:
        open_csv(make_csv(*lines))
    assert message in str(error.value)


def test_folder_with_several_or_no_csv_is_refused(make_csv: Callable[..., Path]) -> None:
    """There is no automatic choice between two lists."""
    folder = make_csv("path,label", "a.jpg,happy").parent
    make_csv("path,label", "a.jpg,happy", name="other.csv")
    with pytest.raises(DatasetError, match=r"`faces\.csv`, `other\.csv`"):
        open_csv(folder)
    (folder / "empty").mkdir()
    with pytest.raises(DatasetError, match="holds none"):
        open_csv(folder / "empty")
