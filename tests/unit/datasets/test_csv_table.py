"""A CSV of paths and labels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.datasets.csv_table import open_csv
from mien.datasets.labels import KNOWN_NUMBERS, parse_label_names
from mien.datasets.list_options import ColumnOptions, SplitLists
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
    with pytest.raises(DatasetError, match=r"rafdb \(1 Surprise, 2 Fear, 7 Neutral\).*1=NAME,2=NAME,7=NAME"):
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
    path = make_csv("path,label,camera,valence,,split,emotion_score", "a.jpg,happy,S1,0.5,1,train,0.9")
    assert open_csv(path).notes == (
        "Columns not used in `faces.csv`: camera, (no name), emotion_score.",
        "valence: 1 values from 0.5 to 0.5.",
    )


LOOKALIKES = [
    pytest.param("emotion", "--label-column label", id="second label"),
    pytest.param("true_label", "--label-column label", id="another label"),
    pytest.param("filename", "--path-column path", id="second path"),
    pytest.param("bbox", "--box-columns bbox", id="box in a cell"),
    pytest.param("x,y,w", "--box-columns none", id="three columns of a box"),
    pytest.param("face_keypoints", "--landmarks-column face_keypoints", id="landmarks"),
    pytest.param("valenceMean", "--affect-columns V,A", id="valence"),
    pytest.param("A,V", "--affect-columns V,A", id="letters for valence and arousal"),
    pytest.param("minX,minY,maxX,maxY", "--box-columns minX,minY,maxX,maxY", id="corners of a box"),
    pytest.param("lefteye_x,lefteye_y,nose_x,nose_y", "--landmarks-column none", id="points"),
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


LISTS_AS_WRITTEN = [
    pytest.param("\ufeffpath;label\na.jpg;happy\nb c.jpg;sad\n", "faces.csv", id="semicolons"),
    pytest.param("label\tfile_name\nhappy\ta.jpg\nsad\tb c.jpg\n", "faces.tsv", id="tabs"),
    pytest.param("a.jpg,happy\nb c.jpg,sad\n", "faces.csv", id="no names of columns"),
    pytest.param("happy,a.jpg\nsad,b c.jpg\n", "faces.csv", id="label first"),
    pytest.param("a.jpg happy\nb c.jpg sad\n", "list.txt", id="text"),
    pytest.param("path label\na.jpg happy\nb c.jpg sad\n", "list.lst", id="text with names of columns"),
]


@pytest.mark.parametrize(("text", "name"), LISTS_AS_WRITTEN)
def test_lists_as_they_are_written(
    tmp_path: Path, put: Callable[..., Path], read_set: Callable[..., Any], text: str, name: str
) -> None:
    """The delimiter is found in the first line, and a first line with an image is a row."""
    put(tmp_path / name, text)
    source = open_csv(tmp_path, val_fraction=0)
    read = read_set(source)
    assert {key: source.classes[record.label] for key, record in read.records.items()} == {
        "a.jpg": "Happy",
        "b c.jpg": "Sad",
    }
    noted = any("has no line of column names" in note for note in source.notes)
    assert noted != text.lstrip("\ufeff").startswith(("path", "label"))


def test_columns_of_a_list_without_names_are_numbers(
    make_csv: Callable[..., Path], read_set: Callable[..., Any]
) -> None:
    """ExpW's list: top before left, right before bottom, and the label last."""
    path = make_csv("a.jpg 0 20 10 40 50 99.5 3", "b.jpg 0 21 11 41 51 99.5 0", name="label.lst")
    with pytest.raises(DatasetError, match=r"without names of columns: add --path-column 1 --label-column"):
        open_csv(path)
    columns = ColumnOptions(
        path_column="1", label_column="8", box_columns=("4", "3", "5", "6"), box_format="xyxy"
    )
    source = open_csv(path, columns=columns, label_names=KNOWN_NUMBERS["expw"], val_fraction=0)
    read = read_set(source)
    assert source.classes[read.records["a.jpg"].label] == "Happy"
    np.testing.assert_array_equal(read.records["a.jpg"].box_xyxy, [10, 20, 40, 50])
    assert "Columns not used in `label.lst`: 2, 7." in source.notes


def test_images_of_another_folder(
    tmp_path: Path, put: Callable[..., Path], read_set: Callable[..., Any]
) -> None:
    """Relative and absolute paths lead into the folders that are named, and nowhere else."""
    photo, secret = put(tmp_path / "set" / "1" / "a.jpg"), put(tmp_path / "secret" / "a.jpg")
    path = put(
        tmp_path / "home" / "faces.csv",
        f"path,label\n1/a.jpg,happy\n{photo},sad\n{secret},sad\n../secret/a.jpg,sad\n",
    )
    read = read_set(open_csv(path, images=(tmp_path / "set",), val_fraction=0))
    assert {record.image for record in read.records.values()} == {photo.resolve()}
    assert read.reasons == ["path_outside", "path_outside"]
    with pytest.raises(DatasetError, match="--images must name folders"):
        open_csv(path, images=(tmp_path / "sett",))


def test_a_link_leads_only_into_folders_that_are_named(
    tmp_path: Path, put: Callable[..., Path], read_set: Callable[..., Any]
) -> None:
    """The rejected row names the link and the option; with it the image is found."""
    photo = put(tmp_path / "disk2" / "1" / "a.jpg")
    path = put(tmp_path / "set" / "faces.csv", "path,label\n1/a.jpg,happy\n")
    (tmp_path / "set" / "1").symlink_to(photo.parent, target_is_directory=True)
    reason, detail = read_set(open_csv(path, val_fraction=0)).rejects["train", 1]
    assert reason == "path_outside"
    assert f"through the link '1' to {photo.parent}: add --images {photo.parent}" in detail
    read = read_set(open_csv(path, images=(photo.parent,), val_fraction=0))
    assert read.records["1/a.jpg"].image == photo.resolve()


@pytest.mark.parametrize("prefix", ["/home/other/set/", "D:\\set"])
def test_the_beginning_of_paths_of_another_machine(
    tmp_path: Path, put: Callable[..., Path], read_set: Callable[..., Any], prefix: str
) -> None:
    """It is left off; without the option the row says what is wrong."""
    photo = put(tmp_path / "1" / "a.jpg")
    end = "\\1\\a.jpg" if "\\" in prefix else "1/a.jpg"
    path = put(tmp_path / "faces.csv", f"path,label\n{prefix}{end},happy\n")
    read = read_set(open_csv(path, columns=ColumnOptions(path_prefix=prefix), val_fraction=0))
    assert [record.image for record in read.records.values()] == [photo.resolve()]
    if prefix.startswith("/"):
        assert "on this machine" in read_set(open_csv(path, val_fraction=0)).rejects["train", 1][1]


def test_a_list_for_each_split(
    tmp_path: Path, put: Callable[..., Path], read_set: Callable[..., Any]
) -> None:
    """By their names in one folder, or by options."""
    for name in ("train", "val", "test"):
        put(tmp_path / f"{name}_faces.csv", f"path,label\n{name}.jpg,happy\n")
    expected = [("train", "train.jpg"), ("val", "val.jpg"), ("test", "test.jpg")]
    source = open_csv(tmp_path)
    assert [(row.split, row.key) for row in source.rows()] == expected
    assert (
        "Lists: `train_faces.csv` is train, `val_faces.csv` is val, `test_faces.csv` is test." in source.notes
    )
    lists = SplitLists(train_list=tmp_path / "val_faces.csv", test_list=tmp_path / "train_faces.csv")
    named = open_csv(tmp_path, lists=lists)
    assert [(row.split, row.key) for row in named.rows()] == [("train", "val.jpg"), ("test", "train.jpg")]
    assert f"Lists in `{tmp_path}` that are not read: `test_faces.csv`." in named.notes
    with pytest.raises(
        DatasetError, match=rf"there is no `test_faces.csv`: give --val-list {tmp_path}/test_"
    ):
        open_csv(tmp_path, lists=SplitLists(val_list=Path("test_faces.csv")))
    put(tmp_path / "test_faces.csv", "path,label,landmarks\ntest.jpg,happy,\n")
    with pytest.raises(DatasetError, match=r"must have the same columns, but only one of .* has landmarks"):
        open_csv(tmp_path)


def test_repeated_and_contradicting_rows(make_csv: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """The first of equal rows is kept in each split, none of contradicting ones; several boxes are several faces."""
    lines = [
        *("a.jpg,happy,train,1,1,9,9", "./a.jpg,Happiness,train,1,1,9,9", "a.jpg,happy,test,1,1,9,9"),
        *("b.jpg,happy,train,1,1,9,9", "b.jpg,sad,test,1,1,9,9"),
        *("c.jpg,happy,train,1,1,9,9", "c.jpg,sad,train,9,9,9,9"),
    ]
    read = read_set(open_csv(make_csv("path,label,split,x,y,w,h", *lines)))
    assert {place: reason for place, (reason, _) in read.rejects.items()} == {
        ("train", 2): "duplicate_row",
        ("train", 4): "contradicting_labels",
        ("test", 5): "contradicting_labels",
    }
    assert read.rejects["train", 4][1] == "rows with this face are Happy, Sad"
    assert len(read.rows) - len(read.rejects) == 4


def test_a_row_that_is_rejected_does_not_make_the_next_one_a_repetition(
    make_csv: Callable[..., Path], read_set: Callable[..., Any]
) -> None:
    """The first row of a face that has a class and a split is kept."""
    lines = [
        *("a.jpg,,train", "a.jpg,happy,train", "b.jpg,sad,later", "b.jpg,sad,train", "c.jpg,sad,test"),
        *("d.jpg,?,train", "d.jpg,happy,train", "d.jpg,happy,train"),
    ]
    read = read_set(open_csv(make_csv("path,label,split", *lines)))
    assert list(read.records) == ["a.jpg", "b.jpg", "d.jpg", "c.jpg"]
    assert {number: reason for (_, number), (reason, _) in read.rejects.items()} == {
        1: "unknown_label", 3: "unknown_split", 6: "unknown_label", 8: "duplicate_row",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "advice"),
    [
        (range(1, 10), "from 1 to 9, outside of -1 to 1: add --affect-range"),
        ([-10, 3, 4], "--affect-range=-10..10"),
        (
            [n / 30 for n in range(30)],
            "none of which is negative.* --affect-range=0..1, or --affect-range=-1..1",
        ),
    ],
)
def test_affect_on_another_scale_stops(
    make_csv: Callable[..., Path], read_set: Callable[..., Any], values: Any, advice: str
) -> None:
    """Until the scale is stated, to which the values are then mapped."""
    path = make_csv("path,label,valence", *(f"{n}.jpg,happy,{value}" for n, value in enumerate(values)))
    with pytest.raises(DatasetError, match=advice):
        open_csv(path)
    columns = ColumnOptions(affect_range=(min(values), max(values)))
    read = read_set(open_csv(path, columns=columns, val_fraction=0))
    found = [record.valence for record in read.records.values()]
    assert (min(found), max(found)) == (-1, 1)


def test_a_mark_for_none_is_not_the_end_of_the_scale(
    make_csv: Callable[..., Path], read_set: Callable[..., Any]
) -> None:
    """Of -1 and numbers from 0 to 1, -1 may mean none; with one more negative number the scale is -1 to 1."""
    values = [*(n / 30 for n in range(30)), -1, -1]
    rows = [f"{n}.jpg,happy,{value}" for n, value in enumerate(values)]
    path = make_csv("path,label,valence", *rows)
    with pytest.raises(DatasetError, match=r"or none but -1, .* --affect-range=0\.\.1, or"):
        open_csv(path)
    read = read_set(open_csv(path, columns=ColumnOptions(affect_range=(0, 1)), val_fraction=0))
    assert [read.records[f"{n}.jpg"].valence for n in (0, 15, 31)] == [-1, 0, None]
    open_csv(make_csv("path,label,valence", *rows, "x.jpg,happy,-0.5"))


def test_a_few_values_off_the_scale_are_warnings(
    make_csv: Callable[..., Path], read_set: Callable[..., Any]
) -> None:
    """Of their column; the face is kept."""
    rows = [f"{n}.jpg,happy,{0.1 - n / 50},-0.5" for n in range(30)] + [
        "x.jpg,happy,5,-2",
        "y.jpg,sad,-2,high",
    ]
    read = read_set(open_csv(make_csv("path,label,valence,arousal", *rows), val_fraction=0))
    assert read.records["x.jpg"].warnings == ("valence_value",)
    assert read.records["y.jpg"].warnings == ("arousal_value",)


def test_boxes_in_fractions_stop(make_csv: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """YOLO's numbers are not pixels."""
    path = make_csv("path,label,x,y,w,h", "a.jpg,happy,0.5,0.5,0.25,0.5")
    with pytest.raises(
        DatasetError, match=r"no number in them is larger than 1: add --box-format relative-xywh"
    ):
        open_csv(path)
    read = read_set(open_csv(path, columns=ColumnOptions(box_format="relative-cxcywh"), val_fraction=0))
    record = read.records["a.jpg"]
    assert record.is_relative_box
    np.testing.assert_allclose(record.box_xyxy, [0.375, 0.25, 0.625, 0.75])


def test_what_lies_beside_a_list_is_noted(tmp_path: Path, put: Callable[..., Path]) -> None:
    """Other lists, and folders that no path leads to."""
    for name in ("images/a.jpg", "masks/a.png", "boxes.json", "README.txt", "classes.txt"):
        put(tmp_path / name)
    put(tmp_path / "faces.csv", "path,label\nimages/a.jpg,happy\n")
    assert open_csv(tmp_path).notes == (
        f"Lists in `{tmp_path}` that are not read: `boxes.json`.",
        f"Folders in `{tmp_path}` that no path leads to: `masks`.",
    )


@pytest.mark.parametrize(
    ("names", "labels", "classes"),
    [
        pytest.param("happy\nsad\nbored\n", "012", ("Happy", "Sad", "bored"), id="from 0"),
        pytest.param("happy\nsad\nbored\n", "123", None, id="from 1"),
        pytest.param("happy\nsad\n", "012", None, id="too few"),
        pytest.param(
            "happy\n\nsad\nfear\n\n", "023", ("Happy", "Sad", "Fear"), id="a number without a class"
        ),
        pytest.param("happy\n\nsad\nfear\n", "01", None, id="a class without a name"),
    ],
)
def test_a_file_of_classes_explains_numbers(
    tmp_path: Path, put: Callable[..., Path], names: str, labels: str, classes: Any
) -> None:
    """If it can only be meant so."""
    put(tmp_path / "classes.txt", names)
    put(tmp_path / "faces.txt", "".join(f"{n}.jpg {n}\n" for n in labels))
    if classes is None:
        with pytest.raises(DatasetError, match="are numbers"):
            open_csv(tmp_path)
    else:
        assert open_csv(tmp_path).classes == classes


def test_label_names_that_explain_nothing(make_csv: Callable[..., Path]) -> None:
    """The labels are shown."""
    with pytest.raises(DatasetError, match=r"explains none of the labels of .*, which are 'happy', 'sad'"):
        open_csv(make_csv("path,label", "a.jpg,happy", "b.jpg,sad"), label_names=KNOWN_NUMBERS["rafdb"])


def _sides(source: Any, column: str) -> tuple[set[str], set[str]]:
    """Return the values of a column in train and in val."""
    train, val = (
        {row.fields[column] for row in source.rows() if row.split == split} for split in ("train", "val")
    )
    return train, val


@pytest.mark.parametrize("column", ["person", "Subject", "identity", "person_id", "subject_id"])
def test_persons_stay_on_one_side(
    tmp_path: Path, put: Callable[..., Path], read_set: Callable[..., Any], column: str
) -> None:
    """Val is drawn by person, and the record names the person."""
    rows = [f"S{person}/{label}.jpg,{label},S{person}" for person in range(12) for label in ("happy", "sad")]
    path = put(tmp_path / "faces.csv", "\n".join([f"path,label,{column}", *rows, "x.jpg,happy,"]))
    source = open_csv(path, val_fraction=0.25)
    train, val = _sides(source, "person")
    assert (len(val - {""}), len(train & val - {""})) == (3, 0)
    records = read_set(source).records
    assert (records["S3/sad.jpg"].person, records["x.jpg"].person) == ("S3", None)
    assert f"The persons are in the column `{column}`: 12." in source.notes
    assert "The set has no splits: val is drawn by person, 3 of 12 persons." in source.notes


def test_persons_and_clips_are_connected(tmp_path: Path, put: Callable[..., Path]) -> None:
    """A clip with two persons keeps both on one side."""
    rows = [f"{n}.jpg,{('happy', 'sad')[n % 2]},S{n % 8},v{n % 8 // 2}" for n in range(80)]
    path = put(tmp_path / "faces.csv", "\n".join(["path,label,subject,video", *rows]))
    source = open_csv(path, val_fraction=0.25)
    train, val = _sides(source, "clip")
    assert (len(val), len(train & val)) == (1, 0)


def test_clips_that_are_numbered_for_each_person(
    tmp_path: Path, put: Callable[..., Path], read_set: Callable[..., Any]
) -> None:
    """Clip 1 of one person is not clip 1 of another: these names connect nobody, and a note says so."""
    rows = [f"{n}.jpg,{('happy', 'sad')[n % 2]},S{n % 8},{n // 8}" for n in range(80)]
    path = put(tmp_path / "faces.csv", "\n".join(["path,label,subject,clip", *rows]))
    source = open_csv(path, val_fraction=0.25)
    train, val = _sides(source, "person")
    assert (len(val), len(train & val)) == (2, 0)
    assert read_set(source).records["9.jpg"].clip == "S1/1"
    assert any("numbered for each person" in note for note in source.notes)


def test_columns_for_persons_can_be_named_or_refused(tmp_path: Path, put: Callable[..., Path]) -> None:
    """Another column is used where it is named; `none` draws single faces."""
    rows = [f"{n}.jpg,{('happy', 'sad')[n % 2]},S{n % 4},A{n % 5}" for n in range(80)]
    path = put(tmp_path / "faces.csv", "\n".join(["path,label,subject,actor", *rows]))
    source = open_csv(path, val_fraction=0.2, columns=ColumnOptions(person_column="actor"))
    assert _sides(source, "person")[1] <= {f"A{n}" for n in range(5)}
    source = open_csv(path, val_fraction=0.2, columns=ColumnOptions(person_column="none"))
    assert not any("persons" in note for note in source.notes)
    assert any("subject, actor" in note for note in source.notes)
    with pytest.raises(DatasetError, match="`who`"):
        open_csv(path, columns=ColumnOptions(person_column="who"))
    alone = put(tmp_path / "one.csv", "path,label,subject\na.jpg,happy,me\nb.jpg,sad,me\n")
    assert any("all faces are of one person: val is empty" in note for note in open_csv(alone).notes)


def test_given_splits_are_kept(
    tmp_path: Path, put: Callable[..., Path], read_set: Callable[..., Any]
) -> None:
    """A person may be on both sides of given splits: `prepare` counts them."""
    text = "path,label,subject,split\na.jpg,happy,S1,train\nb.jpg,sad,S1,val\n"
    source = open_csv(put(tmp_path / "faces.csv", text))
    assert [(row.split, row.fields["person"]) for row in source.rows()] == [("train", "S1"), ("val", "S1")]


def test_rows_that_the_header_does_not_fit_are_named(make_csv: Callable[..., Path]) -> None:
    """A numbered list whose header lacks the number has labels, but no row can be read."""
    path = make_csv("path,label", "0,a.jpg,happy", "1,b.jpg,sad")
    with pytest.raises(
        DatasetError, match="the row has 3 columns, the list has 2: correct the line of column names"
    ):
        open_csv(path)


def test_one_hot_columns_as_pandas_writes_them(make_csv: Callable[..., Path]) -> None:
    """False and True, and the name of the column that they come from before the class; the advice names all of them."""
    rows = ("a.jpg,False,True", "b.jpg,True,False")
    path = make_csv("path,sad,happy", *rows)
    source = open_csv(path)
    assert [source.class_of(row) for row in source.rows()] == ["Happy", "Sad"]
    path = make_csv("path,emotion_sad,emotion_happy", *rows)
    with pytest.raises(DatasetError, match="add --label-column emotion_sad,emotion_happy"):
        open_csv(path)
    source = open_csv(path, columns=ColumnOptions(label_column="emotion_sad,emotion_happy"))
    assert (source.classes, [source.class_of(row) for row in source.rows()]) == (
        ("Happy", "Sad"),
        ["Happy", "Sad"],
    )


@pytest.mark.parametrize(
    ("column", "option"),
    [
        *(("participant", "person"), ("Participant_ID", "person"), ("actor", "person"), ("subj", "person")),
        *(
            ("video_name", "clip"),
            ("sequence", "clip"),
            ("subject_age", None),
            ("video_url", None),
            ("user_id", None),
        ),
    ],
)
def test_persons_under_another_name_stop(
    column: str, option: str | None, make_csv: Callable[..., Path]
) -> None:
    """Faces of one person would be on both sides of the split drawn here; `none` says that it is no person."""
    path = make_csv(f"path,label,{column}", *(f"{n}.jpg,happy,{n % 4}" for n in range(20)))
    if option is None:
        open_csv(path)
        return
    with pytest.raises(
        DatasetError, match=rf"add --{option}-column {column} to use it, or .* none to leave it out"
    ):
        open_csv(path)
    used = open_csv(path, val_fraction=0.3, columns=ColumnOptions(**{f"{option}_column": column}))
    by_split = {(row.split, row.fields[option]) for row in used.rows()}
    assert len(by_split) == 4
    open_csv(path, columns=ColumnOptions(**{f"{option}_column": "none"}))


def test_a_list_of_pixels_is_told_from_one_of_paths(make_csv: Callable[..., Path]) -> None:
    """FER2013's list is another kind."""
    with pytest.raises(DatasetError, match="holds pixels in place of paths: `mien prepare fer2013` reads"):
        open_csv(make_csv("emotion,pixels", "0,1 2 3 4"))


def test_splits_at_the_end_of_other_words_stop(make_csv: Callable[..., Path]) -> None:
    """As in the names of sets that were put together; each of the values can be explained."""
    path = make_csv(
        "path,label,source", "a.jpg,happy,rafdb_train", "b.jpg,sad,rafdb_test", "c.jpg,sad,fer-train"
    )
    with pytest.raises(DatasetError, match=r"`source` seems to hold the split \(train 2, test 1\)"):
        open_csv(path)
    with pytest.raises(
        DatasetError, match="--split-names fer-train=SPLIT,rafdb_test=SPLIT,rafdb_train=SPLIT"
    ):
        open_csv(path, columns=ColumnOptions(split_column="source"))
    open_csv(path, columns=ColumnOptions(split_column="none"))


def test_a_list_of_names_without_suffix_and_header(make_csv: Callable[..., Path]) -> None:
    """Its first line looks like names of columns; the numbers in the advice say that it is a row."""
    path = make_csv("train_1 happy", "train_2 sad", name="faces.txt")
    with pytest.raises(
        DatasetError, match=r"if its first line is a row, such as --path-column '\{1\}\.jpg' --label-column 2"
    ):
        open_csv(path)
    columns = ColumnOptions(path_column="{1}.jpg", label_column="2", split_column="none")
    assert [row.key for row in open_csv(path, columns=columns, val_fraction=0).rows()] == [
        "train_1.jpg",
        "train_2.jpg",
    ]


def test_columns_that_were_swapped_are_told(make_csv: Callable[..., Path]) -> None:
    path = make_csv("label,path", *(f"{index}.jpg,happy" for index in range(6)))
    with pytest.raises(DatasetError, match=r"label column `label` .* holds names of images, such as '0.jpg'"):
        open_csv(path)


def test_a_prefix_that_no_path_has_is_told(make_csv: Callable[..., Path]) -> None:
    path = make_csv("path,label", "C:\\faces\\a.jpg,happy")
    with pytest.raises(DatasetError, match=r"begins with --path-prefix 'C:/faces/', the first is"):
        open_csv(path, columns=ColumnOptions(path_prefix="C:/faces/"))


def test_the_split_does_not_depend_on_the_machine(make_csv: Callable[..., Path]) -> None:
    """Nor on how a path in the folder is written."""
    splits = []
    for written, prefix in (("{}", ""), ("./{}", ""), ("/home/a/{}", "/home/a/"), ("C:\\b\\{}", "C:\\b")):
        lines = [f"{written.format(f'{index}.jpg')},{'happy' if index % 2 else 'sad'}" for index in range(60)]
        dataset = open_csv(make_csv("path,label", *lines), columns=ColumnOptions(path_prefix=prefix))
        splits.append({row.number: row.split for row in dataset.rows()})
    assert {split for found in splits for split in found.values()} == {"train", "val"}
    assert all(found == splits[0] for found in splits)
