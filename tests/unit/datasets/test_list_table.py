"""What a list says in several columns: the path, votes for classes, 68 points; and values that name splits."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.datasets.csv_table import open_csv
from mien.datasets.list_options import ColumnOptions
from mien.datasets.list_table import parse_split_names
from mien.errors import DatasetError


@pytest.fixture
def make_csv(tmp_path: Path, put: Callable[..., Path]) -> Callable[..., Path]:
    """Return a function that writes ``faces.csv`` with the given lines."""

    def make(*lines: str) -> Path:
        return put(tmp_path / "faces.csv", "\n".join(lines) + "\n")

    return make


def test_one_hot_columns_are_the_label(make_csv: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """Without votes; a row with two classes or none is rejected, and a class without a row exists."""
    path = make_csv(
        "path,angry,Happy,sad,frame", "a.jpg,0,1,0,9", "b.jpg,1.0,0,0,9", "c.jpg,1,1,0,9", "d.jpg,0,1,0,9"
    )
    source = open_csv(path, val_fraction=0)
    read = read_set(source)
    assert source.classes == ("Happy", "Sad", "Anger")
    assert {key: (r.label, r.distribution) for key, r in read.records.items() if key != "d.jpg"} == {
        "a.jpg": (0, None), "b.jpg": (2, None),
    }  # fmt: skip
    assert read.reasons == ["unknown_label"]
    assert any("largest of the columns angry, Happy, sad" in note for note in source.notes)
    assert any("not used in `faces.csv`: frame." in note for note in source.notes)


@pytest.mark.parametrize("scale", [1, 0.1, 10])
def test_votes_and_shares_are_kept(
    make_csv: Callable[..., Path], read_set: Callable[..., Any], scale: float
) -> None:
    """The largest is the label, and fractions of the sum are the distribution; the class order is mien's."""
    path = make_csv(
        "path,anger,happiness", f"a.jpg,{3 * scale:g},{7 * scale:g}", f"b.jpg,{9 * scale:g},{scale:g}"
    )
    read = read_set(open_csv(path, val_fraction=0))
    assert [(record.label, record.distribution) for record in read.records.values()] == [
        (0, pytest.approx((0.7, 0.3))), (1, pytest.approx((0.1, 0.9))),
    ]  # fmt: skip


def test_named_columns_are_votes_next_to_a_label(
    make_csv: Callable[..., Path], read_set: Callable[..., Any]
) -> None:
    """``--label-column`` may name several, of any classes; a column of labels is used unless it does."""
    path = make_csv("path,label,happy,bored", "a.jpg,sad,1,3", "b.jpg,happy,4,0")
    assert open_csv(path).classes == ("Happy", "Sad")
    read = read_set(open_csv(path, columns=ColumnOptions(label_column="happy,bored"), val_fraction=0))
    assert [record.distribution for record in read.records.values()] == [(0.25, 0.75), (1, 0)]


@pytest.mark.parametrize(
    ("columns", "classes"),
    [
        pytest.param(
            "emotion_happy,emotion_sad,emotion_bored", ("Happy", "Sad", "bored"), id="one of the user's own"
        ),
        pytest.param("emotion_sad,emotion_surprise", ("Sad", "Surprise"), id="classes that begin alike"),
        pytest.param("emotion happy,emotion sad", ("Happy", "Sad"), id="a blank"),
        pytest.param("EmotionHappy,EmotionSad", ("Happy", "Sad"), id="no mark between them"),
    ],
)
def test_what_the_names_of_votes_begin_with_is_left_off(
    make_csv: Callable[..., Path], columns: str, classes: tuple[str, ...]
) -> None:
    """The message without the option names all of the columns."""
    n_columns = columns.count(",") + 1
    rows = (",".join(str(int(place == row)) for place in range(n_columns)) for row in range(n_columns))
    path = make_csv(f"path,{columns}", *(f"{number}.jpg,{row}" for number, row in enumerate(rows)))
    with pytest.raises(DatasetError) as error:
        open_csv(path)
    advised = shlex.split(str(error.value).partition("add --label-column ")[2])[0]
    assert advised == columns
    assert open_csv(path, columns=ColumnOptions(label_column=advised)).classes == classes


def test_columns_of_logits_are_no_votes(make_csv: Callable[..., Path]) -> None:
    """Negative numbers are not, and ties have no label: if most rows are so, the set is refused."""
    with pytest.raises(DatasetError, match="single largest number, none being negative, in 1 of 3 rows"):
        open_csv(make_csv("path,happy,sad", "a.jpg,-1,2.5", "b.jpg,1,1", "c.jpg,1,0"))


def test_a_path_may_be_put_together(make_csv: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """From columns and text; the columns are used, and the path is the key."""
    path = make_csv("id,label,part", "7,happy,train", "8,sad,train")
    source = open_csv(path, columns=ColumnOptions(path_column="{Part}/{id}.jpg"), val_fraction=0)
    assert list(read_set(source).records) == ["train/7.jpg", "train/8.jpg"]
    assert not any("not used" in note for note in source.notes)
    with pytest.raises(DatasetError, match="has no column `dir`"):
        open_csv(path, columns=ColumnOptions(path_column="{dir}/{id}"))


def test_a_part_of_the_path_is_not_taken_for_it(make_csv: Callable[..., Path]) -> None:
    """File names that repeat in every folder contradict each other, and the message says how to name the folder."""
    lines = [f"f{number}.jpg,{name},{name}" for number in range(6) for name in ("happy", "sad")]
    with pytest.raises(DatasetError, match=r"12 of 12 rows .* --path-column '{FOLDER}/{file}'"):
        open_csv(make_csv("file,folder,label", *lines))


@pytest.mark.parametrize(
    "form",
    ["{axis}_{number}", "{axis}{number}", "landmark_{number}_{axis}", "lm{number}{axis}"],
)
def test_columns_of_68_points(
    make_csv: Callable[..., Path], read_set: Callable[..., Any], points: NDArray[np.float64], form: str
) -> None:
    """In OpenFace's order, all x before all y, with its points in space next to them, which are not read."""
    names = [form.format(axis=axis, number=number) for axis in "xy" for number in range(1, 69)]
    names += [form.format(axis=axis, number=number) for axis in "XYZ" for number in range(1, 69)]
    cells = [f"{value:g}" for value in points.T.ravel()] + ["0"] * 204
    source = open_csv(make_csv(",".join(["path", "label", *names]), ",".join(["a.jpg", "sad", *cells])))
    np.testing.assert_allclose(read_set(source).records["a.jpg"].landmarks, points)
    assert source.natural_crop == "aligned"


def test_several_points_are_no_box(make_csv: Callable[..., Path]) -> None:
    """`x1, y1, x2, y2` are a box, but not next to `x3`."""
    path = make_csv("path,label,x1,y1,x2,y2,x3,y3", "a.jpg,happy,1,2,3,4,5,6")
    with pytest.raises(DatasetError, match="`x1`, `y1`, `x2`, `y2`, `x3`, `y3`, which may hold a face box"):
        open_csv(path)


def test_values_of_splits_are_named(make_csv: Callable[..., Path]) -> None:
    """Numbers and yes or no are refused until an option says what they are."""
    path = make_csv("path,label,is_train", "a.jpg,happy,1", "b.jpg,sad,0.0", "c.jpg,sad,1")
    with pytest.raises(DatasetError, match=r"has '0.0', '1': add --split-names 0=SPLIT,1=SPLIT"):
        open_csv(path, columns=ColumnOptions(split_column="is_train"))
    names = parse_split_names("1=train,0=test")
    source = open_csv(path, columns=ColumnOptions(split_column="is_train", split_names=names))
    assert [(row.key, row.split) for row in source.rows()] == [
        ("a.jpg", "train"), ("c.jpg", "train"), ("b.jpg", "test"),
    ]  # fmt: skip
    for text in ("1", "1=SPLIT", "1=train,1.0=val", "=val"):
        with pytest.raises(ValueError, match="must be like 0=train,1=val"):
            parse_split_names(text)


@pytest.mark.parametrize(
    ("cells", "advice", "splits"),
    [
        pytest.param(("0.0", "1.0", "0"), "0=SPLIT,1=SPLIT", ("train", "test", "train"), id="decimals"),
        pytest.param(
            ("0,0", "1,0", "0,0"), "0=SPLIT,1=SPLIT", ("train", "test", "train"), id="decimal commas"
        ),
        pytest.param(("", "B", ""), "''=SPLIT,b=SPLIT", ("train", "test", "train"), id="empty cells"),
    ],
)
def test_the_advised_names_of_splits_are_read(
    make_csv: Callable[..., Path], cells: tuple[str, ...], advice: str, splits: tuple[str, ...]
) -> None:
    """As the message writes them, a split in place of each SPLIT."""
    path = make_csv("path,label,part", *(f'{n}.jpg,happy,"{cell}"' for n, cell in enumerate(cells)))
    with pytest.raises(DatasetError) as error:
        open_csv(path, columns=ColumnOptions(split_column="part"))
    words = shlex.split(str(error.value).partition("add ")[2])
    assert words[:2] == ["--split-names", advice]
    names = parse_split_names(words[1].replace("SPLIT", "train", 1).replace("SPLIT", "test"))
    source = open_csv(path, columns=ColumnOptions(split_column="part", split_names=names))
    assert {row.number: row.split for row in source.rows()} == dict(enumerate(splits, 1))


def test_numbers_off_the_scale_may_mean_none(make_csv: Callable[..., Path]) -> None:
    """The message offers the scale without them."""
    path = make_csv(
        "path,label,valence,arousal", *(f"{n}.jpg,sad,{(-0.5, -10)[n % 3 == 0]},0" for n in range(9))
    )
    with pytest.raises(DatasetError, match=r"or --affect-range=-1..1 if -10 mean none"):
        open_csv(path)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("path\tlabel\na.jpg\t高兴\n".encode("utf-16"), id="UTF-16"),
        pytest.param("\ufeffsep=;\r\npath;label\r\na.jpg;高兴\r\n".encode(), id="Excel's delimiter"),
        pytest.param("path|label\na.jpg|高兴\n".encode(), id="vertical bars"),
    ],
)
def test_forms_of_text(tmp_path: Path, put: Callable[..., Path], content: bytes) -> None:
    """What spreadsheets and databases write."""
    source = open_csv(put(tmp_path / "faces.csv", content))
    assert [(row.key, source.class_of(row)) for row in source.rows()] == [("a.jpg", "Happy")]


def test_text_in_another_encoding_is_named(tmp_path: Path, put: Callable[..., Path]) -> None:
    """The message has the command that converts it."""
    for text, encoding in (("a.jpg,愤怒", "gbk"), ("a.jpg,dégoût", "cp1252")):
        path = put(tmp_path / "faces.csv", f"path,label\n{text}\n".encode(encoding))
        with pytest.raises(
            DatasetError, match=f"iconv -f {'GB18030' if encoding == 'gbk' else 'CP1252'} -t UTF-8"
        ):
            open_csv(path)
