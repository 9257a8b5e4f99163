"""FER+."""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.datasets.base import RejectedRow
from mien.datasets.ferplus import label_votes, open_ferplus
from mien.errors import DatasetError
from mien.faces.classes import EXPRESSIONS_8

HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
FOLDERS = {"Training": "FER2013Train", "PublicTest": "FER2013Valid", "PrivateTest": "FER2013Test"}
ROWS = (
    "Training,fer0000000.png,9,0,0,1,0,0,0,0,0,0",
    "Training,fer0000001.png,0,0,0,0,0,0,0,10,0,0",
    "Training,,0,0,0,0,0,0,0,0,0,10",
    "PublicTest,fer0000003.png,0,0,8,2,0,0,0,0,0,0",
    "PrivateTest,fer0000004.png,0,0,0,0,10,0,0,0,0,0",
)


@pytest.fixture
def make_set(tmp_path: Path, put: Callable[..., Path]) -> Callable[..., Path]:
    """Return a function that writes ``fer2013new.csv`` with the given rows, and a PNG for each name."""

    def make(*rows: str, header: str = HEADER) -> Path:
        put(tmp_path / "fer2013new.csv", "\r\n".join([header, *rows]) + "\r\n")
        for row in rows:
            usage, name, *_ = row.split(",")
            if usage in FOLDERS and name:
                put(tmp_path / FOLDERS[usage] / name)
        return tmp_path

    return make


def pixel_row(usage: str, value: int = 7, n: int = 2304) -> str:
    """Return a row of the pixel CSV in the order of FER2013's own list."""
    return f"0,{' '.join([str(value)] * n)},{usage}"


@pytest.mark.parametrize(
    ("votes", "label", "shares"),
    [
        pytest.param(
            (9, 0, 0, 1, 0, 0, 0, 0, 0, 0), "Neutral", {"Neutral": 1.0}, id="a single vote does not count"
        ),
        pytest.param(
            (4, 0, 0, 2, 1, 1, 1, 1, 0, 0),
            "Neutral",
            {"Neutral": 4 / 6, "Sad": 2 / 6},
            id="4 of 10 but 4 of 6",
        ),
        pytest.param((0, 6, 0, 0, 0, 0, 0, 0, 4, 0), "Happy", {"Happy": 1.0}, id="unknown has no share"),
        pytest.param((0, 0, 0, 0, 0, 8, 0, 0, 0, 2), "Disgust", {"Disgust": 1.0}, id="no face has no share"),
        pytest.param(
            (0, 0, 0, 0, 0, 0, 7, 3, 0, 0), "Fear", {"Fear": 0.7, "Contempt": 0.3}, id="columns by name"
        ),
    ],
)
def test_majority_rule_gives_label_and_fractions(
    votes: tuple[int, ...], label: str, shares: dict[str, float]
) -> None:
    """Votes of 1 are dropped, a class with over half of the others wins, fractions are of the expressions."""
    index, distribution = label_votes(votes, "majority")
    assert EXPRESSIONS_8[index] == label
    assert distribution == pytest.approx([shares.get(name, 0.0) for name in EXPRESSIONS_8])


@pytest.mark.parametrize(
    ("votes", "reason"),
    [
        pytest.param((5, 5, 0, 0, 0, 0, 0, 0, 0, 0), "no_majority", id="two equals"),
        pytest.param((5, 3, 2, 0, 0, 0, 0, 0, 0, 0), "no_majority", id="exactly half"),
        pytest.param((1, 1, 1, 1, 1, 1, 1, 1, 1, 1), "no_majority", id="single votes only"),
        pytest.param((4, 0, 0, 0, 0, 0, 0, 0, 4, 2), "no_majority", id="unknown counts against"),
        pytest.param((2, 0, 0, 0, 0, 0, 0, 0, 8, 0), "not_a_face", id="unknown wins"),
        pytest.param((0, 0, 0, 0, 0, 0, 0, 0, 0, 10), "not_a_face", id="no face wins"),
        pytest.param((0,) * 10, "no_majority", id="no votes"),
    ],
)
def test_majority_rule_rejects(votes: tuple[int, ...], reason: str) -> None:
    """A face without a class that more than half agree on is not labeled."""
    with pytest.raises(RejectedRow) as rejected:
        label_votes(votes, "majority")
    assert rejected.value.reason == reason


@pytest.mark.parametrize(
    ("votes", "label"),
    [
        pytest.param((4, 0, 0, 4, 1, 0, 0, 0, 1, 0), "Neutral", id="the first of equals"),
        pytest.param((1, 0, 0, 0, 0, 0, 0, 0, 0, 0), "Neutral", id="a single vote"),
        pytest.param((0, 0, 0, 3, 3, 0, 4, 0, 0, 0), "Fear", id="under half"),
    ],
)
def test_plurality_rule_takes_the_most_votes(votes: tuple[int, ...], label: str) -> None:
    """Under plurality every vote counts and the most votes win."""
    index, distribution = label_votes(votes, "plurality")
    assert EXPRESSIONS_8[index] == label
    assert sum(distribution) == pytest.approx(1)


def test_plurality_rule_rejects_unknown_and_none() -> None:
    """Under plurality unknown may win, and a row without votes has no winner."""
    with pytest.raises(RejectedRow, match="not_a_face"):
        label_votes((0, 0, 0, 0, 0, 0, 0, 0, 1, 0), "plurality")
    with pytest.raises(RejectedRow, match="no_majority"):
        label_votes((0,) * 10, "plurality")


def test_image_folders_are_read(make_set: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """Each usage is a split, labels are AffectNet's, and a row without an image name is not a face."""
    raw = make_set(*ROWS)
    source = open_ferplus(raw)
    assert (source.name, source.classes, source.natural_crop) == ("ferplus", EXPRESSIONS_8, "whole")
    read = read_set(source)
    assert [(row.split, row.number) for row in read.rows] == [
        ("train", 1), ("train", 2), ("train", 3), ("val", 4), ("test", 5),
    ]  # fmt: skip
    assert {key: EXPRESSIONS_8[record.label] for key, record in read.records.items()} == {
        "FER2013Train/fer0000000.png": "Neutral",
        "FER2013Train/fer0000001.png": "Contempt",
        "FER2013Valid/fer0000003.png": "Surprise",
        "FER2013Test/fer0000004.png": "Anger",
    }
    assert (
        read.records["FER2013Test/fer0000004.png"].image == raw.resolve() / "FER2013Test" / "fer0000004.png"
    )
    assert read.rejects["train", 3][0] == "not_a_face"


def test_rows_claim_the_class_with_the_most_votes(make_set: Callable[..., Path]) -> None:
    """A row that the majority rule rejects is counted under its first class, one without an expression under ?."""
    source = open_ferplus(make_set("Training,a.png,5,5,0,0,0,0,0,0,0,0", *ROWS[2:3]))
    assert [source.class_of(row) for row in source.rows()] == ["Neutral", "?"]


def test_split_without_images_is_left_out_with_a_note(make_set: Callable[..., Path]) -> None:
    """A split whose folder is missing or empty is one note instead of thousands of rejects."""
    raw = make_set(*ROWS)
    shutil.rmtree(raw / "FER2013Test")
    (raw / "FER2013Valid" / "fer0000003.png").unlink()
    source = open_ferplus(raw)
    assert {row.split for row in source.rows()} == {"train"}
    assert any("PrivateTest is skipped (1 rows)" in note for note in source.notes)
    assert any("PublicTest is skipped" in note for note in source.notes)


def test_missing_images_of_a_split_that_is_there_are_rows(make_set: Callable[..., Path]) -> None:
    """A single missing image is not skipped silently."""
    raw = make_set(*ROWS)
    (raw / "FER2013Train" / "fer0000000.png").unlink()
    assert len(list(open_ferplus(raw).rows())) == 5


@pytest.mark.parametrize("name", ["fer2013.csv", "icml_face_data.csv"])
def test_pixel_list_serves_splits_without_folder(
    make_set: Callable[..., Path], put: Callable[..., Path], read_set: Callable[..., Any], name: str
) -> None:
    """Rows of the pixel list match rows by position; an image folder takes precedence."""
    raw = make_set(*ROWS)
    shutil.rmtree(raw / "FER2013Valid")
    shutil.rmtree(raw / "FER2013Test")
    usages = [row.split(",")[0] for row in ROWS]
    put(raw / name, "emotion, pixels, Usage\n" + "\n".join(map(pixel_row, usages, range(5))))
    read = read_set(open_ferplus(raw))
    assert isinstance(read.records["FER2013Train/fer0000000.png"].image, Path)
    for key, value in (("FER2013Valid/fer0000003.png", 3), ("FER2013Test/fer0000004.png", 4)):
        pixels = read.records[key].image
        assert isinstance(pixels, np.ndarray)
        assert pixels.dtype == np.uint8
        np.testing.assert_array_equal(pixels, np.full((48, 48), value))


def test_pixel_list_may_have_its_columns_in_any_order(
    tmp_path: Path, put: Callable[..., Path], read_set: Callable[..., Any]
) -> None:
    """Kaggle's lists differ in the order of columns."""
    put(tmp_path / "fer2013new.csv", f"{HEADER}\n{ROWS[0]}\n")
    put(
        tmp_path / "icml_face_data.csv",
        f"emotion, Usage, pixels\n0,Training,{' '.join(map(str, range(48))) * 1}" + " 0" * 2256,
    )
    (record,) = read_set(open_ferplus(tmp_path)).records.values()
    np.testing.assert_array_equal(record.image[0], np.arange(48))
    assert record.image[1:].max() == 0


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        pytest.param(pixel_row("Training", n=2303), "truncated_image", id="a pixel short"),
        pytest.param(pixel_row("Training", value=256), "truncated_image", id="above 255"),
        pytest.param(pixel_row("Training", value=-1), "truncated_image", id="below 0"),
        pytest.param("0,a b c,Training", "truncated_image", id="no numbers"),
        pytest.param("0,,Training", "truncated_image", id="empty"),
        pytest.param("0,Training", "malformed_row", id="a column short"),
    ],
)
def test_broken_pixels_are_rejected(
    tmp_path: Path, put: Callable[..., Path], read_set: Callable[..., Any], row: str, reason: str
) -> None:
    """Only the row whose pixels are not an image is rejected."""
    put(tmp_path / "fer2013new.csv", "\n".join([HEADER, *ROWS[:2]]))
    put(tmp_path / "fer2013.csv", "\n".join(["emotion,pixels,Usage", row, pixel_row("Training")]))
    read = read_set(open_ferplus(tmp_path))
    assert read.reasons == [reason]
    assert len(read.records) == 1


@pytest.mark.parametrize(
    ("pixel_usages", "message"),
    [
        pytest.param(
            ["Training", "PublicTest"], "row 2 is 'PublicTest' there and 'Training' here", id="other order"
        ),
        pytest.param(["Training"], "`fer2013.csv` ends first", id="too short"),
        pytest.param(["Training"] * 3, "`fer2013new.csv` ends first", id="too long"),
    ],
)
def test_pixel_list_of_other_images_is_refused(
    tmp_path: Path, put: Callable[..., Path], pixel_usages: list[str], message: str
) -> None:
    """Lists that do not match row by row would give faces the votes of others."""
    put(tmp_path / "fer2013new.csv", "\n".join([HEADER, *ROWS[:2]]))
    put(tmp_path / "fer2013.csv", "\n".join(["emotion,pixels,Usage", *map(pixel_row, pixel_usages)]))
    source = open_ferplus(tmp_path)
    with pytest.raises(DatasetError) as error:
        list(source.rows())
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["landmarks68.csv", "landmarks68.csv.gz"])
def test_landmarks_list_is_picked_up(
    make_set: Callable[..., Path],
    put: Callable[..., Path],
    read_set: Callable[..., Any],
    points: NDArray[np.float64],
    points_text: str,
    name: str,
) -> None:
    """Landmarks go to the image they name, in any order; an empty entry and no entry are none."""
    raw = make_set(*ROWS)
    text = f"Image name,facial_landmarks\nfer0000003.png,{points_text}\nother.png,1;2\nfer0000000.png,\n"
    put(raw / name, gzip.compress(text.encode()) if name.endswith(".gz") else text)
    source = open_ferplus(raw)
    read = read_set(source)
    np.testing.assert_allclose(read.records["FER2013Valid/fer0000003.png"].landmarks, points)
    assert read.records["FER2013Train/fer0000000.png"].landmarks is None
    assert read.records["FER2013Train/fer0000001.png"].landmarks is None
    assert any(name in note for note in source.notes)


def test_landmarks_list_may_be_named(
    make_set: Callable[..., Path], put: Callable[..., Path], read_set: Callable[..., Any], points_text: str
) -> None:
    """A list given by path is used instead of the one in the folder."""
    raw = make_set(*ROWS[:2])
    put(raw / "landmarks68.csv", "Image name,facial_landmarks\nfer0000000.png,1;2\n")
    other = put(raw / "mine" / "points.csv", f"Image name,facial_landmarks\nfer0000001.png,{points_text}\n")
    read = read_set(open_ferplus(raw, landmarks_csv=other))
    assert read.records["FER2013Train/fer0000001.png"].landmarks is not None
    assert read.records["FER2013Train/fer0000000.png"].warnings == ()


def test_landmarks_list_that_is_not_there_is_refused(make_set: Callable[..., Path], tmp_path: Path) -> None:
    """A list given by path must exist."""
    with pytest.raises(DatasetError, match=r"none\.csv"):
        open_ferplus(make_set(*ROWS), landmarks_csv=tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        pytest.param("Training,a.png,x,0,0,0,0,0,0,0,0,0", "malformed_row", id="a vote that is no number"),
        pytest.param("Training,a.png,-9,0,0,0,0,0,0,0,0,19", "malformed_row", id="a vote below 0"),
        pytest.param("Training,a.png,10,0,0", "malformed_row", id="columns short"),
        pytest.param("Holdout,a.png,10,0,0,0,0,0,0,0,0,0", "unknown_split", id="unknown usage"),
        pytest.param("Training,../../a.png,10,0,0,0,0,0,0,0,0,0", "path_outside", id="way out"),
    ],
)
def test_bad_rows_are_rejected(
    make_set: Callable[..., Path], read_set: Callable[..., Any], row: str, reason: str
) -> None:
    """Only the bad row is rejected, once, wherever it is."""
    raw = make_set(*ROWS)
    with (raw / "fer2013new.csv").open("a") as file:
        file.write(row + "\n")
    read = read_set(open_ferplus(raw))
    assert len(read.rows) == 6
    assert read.rejects["train", 6][0] == reason


def test_counts_of_both_rules(make_set: Callable[..., Path]) -> None:
    """Rows count for each split that the list has, whether their images are there or not."""
    raw = make_set(*ROWS[:4], "Training,b.png,5,5,0,0,0,0,0,0,0,0")
    shutil.rmtree(raw / "FER2013Valid")
    assert open_ferplus(raw).notes[:2] == (
        "Training: 4 rows, of which majority keeps 2 and plurality 3.",
        "PublicTest is skipped (1 rows): there is neither `FER2013Valid/` nor `fer2013.csv`.",
    )


@pytest.mark.parametrize(
    ("header", "message"),
    [
        pytest.param(HEADER.replace("contempt", "scorn"), "`contempt`", id="a column of votes missing"),
        pytest.param(HEADER.replace("Image name", "File"), "`Image name`", id="no image name"),
        pytest.param("emotion,pixels,Usage", "`Image name`, `neutral`", id="FER2013's own list"),
    ],
)
def test_list_of_other_columns_is_refused(make_set: Callable[..., Path], header: str, message: str) -> None:
    """A list without FER+'s columns is one clear error."""
    with pytest.raises(DatasetError) as error:
        open_ferplus(make_set(*ROWS, header=header))
    assert message in str(error.value)


def test_folder_without_votes_is_refused(tmp_path: Path) -> None:
    """FER2013 alone has no votes; the message names what is missing."""
    with pytest.raises(DatasetError, match=r"there is no `fer2013new\.csv`"):
        open_ferplus(tmp_path)


def test_votes_without_images_are_refused(tmp_path: Path, put: Callable[..., Path]) -> None:
    """The votes alone are one clear error, not a reject for each row."""
    put(tmp_path / "fer2013new.csv", "\n".join([HEADER, *ROWS]))
    with pytest.raises(DatasetError, match="no images"):
        open_ferplus(tmp_path)
