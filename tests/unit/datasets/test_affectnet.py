"""AffectNet's 2017 release, and how the two releases are distinguished."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.datasets.affectnet import COLUMNS, open_affectnet
from mien.errors import DatasetError
from mien.faces.classes import AFFECTNET_CLASSES

HEADER = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
)


def line(path: str = "1/a.jpg", **cells: str) -> str:
    """Return a row of a list with the given cells and valid others."""
    sound = dict(zip(COLUMNS, (path, "10", "20", "30", "40", "", "1", "0.5", "-0.25"), strict=True))
    return ",".join((sound | cells).values())


@pytest.fixture
def make_set(tmp_path: Path, put: Callable[..., Path]) -> Callable[..., Path]:
    """Return a function that writes a set with the given rows in ``training.csv``."""

    def make(
        *rows: str, header: str = HEADER, folder: str = ".", images: str = "Manually_Annotated_Images"
    ) -> Path:
        put(tmp_path / images / "1" / "a.jpg")
        put(tmp_path / folder / "training.csv", "\n".join([header, *rows]) + "\n")
        put(tmp_path / folder / "validation.csv", f"{HEADER}\n{line('1/v.jpg')}\n")
        return tmp_path

    return make


@pytest.mark.parametrize("folder", [".", "Manually_Annotated_file_lists"])
@pytest.mark.parametrize(
    "images", ["Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images"]
)
def test_release_is_found_where_it_was_unpacked(
    make_set: Callable[..., Path], read_set: Callable[..., Any], folder: str, images: str
) -> None:
    """Lists and images are found in every folder that the archives unpack to."""
    raw = make_set(line(), folder=folder, images=images)
    source = open_affectnet(raw)
    assert (source.name, source.classes, source.natural_crop) == (
        "affectnet-2017",
        AFFECTNET_CLASSES,
        "aligned",
    )
    read = read_set(source)
    assert [(row.split, row.number, row.key) for row in read.rows] == [
        ("train", 1, "1/a.jpg"),
        ("val", 1, "1/v.jpg"),
    ]
    assert read.records["1/a.jpg"].image == raw.resolve() / images / "1" / "a.jpg"


def test_sound_row_is_read_whole(
    make_set: Callable[..., Path], read_set: Callable[..., Any], points: NDArray[np.float64], points_text: str
) -> None:
    """Label, box, landmarks, valence and arousal are those of the row."""
    record = read_set(open_affectnet(make_set(line(facial_landmarks=points_text, expression="7")))).records[
        "1/a.jpg"
    ]
    assert (record.label, record.valence, record.arousal, record.warnings) == (7, 0.5, -0.25, ())
    assert record.distribution is None
    np.testing.assert_array_equal(record.box_xyxy, [10, 20, 40, 60])
    np.testing.assert_allclose(record.landmarks, points)


def test_columns_may_come_in_any_order(make_set: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """Columns are found by name, and columns that mien does not know are ignored."""
    header = "arousal,valence,who,expression,facial_landmarks,face_height,face_width,face_y,face_x,subDirectory_filePath"
    raw = make_set("0.1,0.2,me,6,,4,3,2,1,1/a.jpg", header=header)
    record = read_set(open_affectnet(raw)).records["1/a.jpg"]
    assert (record.label, record.valence, record.arousal) == (6, 0.2, 0.1)
    np.testing.assert_array_equal(record.box_xyxy, [1, 2, 4, 6])


def test_list_without_column_names_is_read(
    make_set: Callable[..., Path], put: Callable[..., Path], read_set: Callable[..., Any]
) -> None:
    """The original validation.csv has no header: its first line is its first row."""
    raw = make_set(line())
    put(raw / "validation.csv", line("1/v.jpg", expression="4") + "\n" + line("1/w.jpg") + "\n")
    read = read_set(open_affectnet(raw))
    assert [row.key for row in read.rows if row.split == "val"] == ["1/v.jpg", "1/w.jpg"]
    assert read.records["1/v.jpg"].label == 4


@pytest.mark.parametrize("expression", ["11", "-1", "", "happy", "1.5", "nan"])
def test_unknown_expression_is_rejected(
    make_set: Callable[..., Path], read_set: Callable[..., Any], expression: str
) -> None:
    """An expression that is not an integer from 0 to 10 rejects its row and claims no class."""
    source = open_affectnet(make_set(line(expression=expression)))
    read = read_set(source)
    assert read.rejects["train", 1][0] == "unknown_label"
    assert source.class_of(read.rows[0]) == "?"


@pytest.mark.parametrize(
    ("cells", "warnings"),
    [
        pytest.param(
            {"face_x": "NULL", "face_y": "NULL", "face_width": "NULL", "face_height": "NULL"},
            (),
            id="NULL box",
        ),
        pytest.param({"face_x": "NULL"}, ("box_value",), id="NULL corner"),
        pytest.param({"face_width": "0"}, ("box_value",), id="box of no width"),
        pytest.param({"facial_landmarks": ";".join(["-1"] * 136)}, (), id="landmarks -1"),
        pytest.param({"facial_landmarks": ";".join(["-2"] * 136)}, (), id="landmarks -2"),
        pytest.param({"facial_landmarks": "1;2;3"}, ("landmark_count",), id="too few landmarks"),
        pytest.param({"facial_landmarks": "a;b"}, ("landmark_value",), id="landmarks of text"),
        pytest.param(
            {"face_x": "?", "facial_landmarks": "1;2"}, ("box_value", "landmark_count"), id="two faults"
        ),
    ],
)
def test_faulty_parts_are_left_out(
    make_set: Callable[..., Path],
    read_set: Callable[..., Any],
    cells: dict[str, str],
    warnings: tuple[str, ...],
) -> None:
    """A face is kept without the part that cannot be parsed, and the warning says which."""
    record = read_set(open_affectnet(make_set(line(**cells)))).records["1/a.jpg"]
    assert record.landmarks is None
    assert (record.box_xyxy is None) == ("box_value" in warnings or cells.get("face_height") == "NULL")
    assert record.warnings == warnings


def test_affect_that_was_not_annotated_is_none(
    make_set: Callable[..., Path], read_set: Callable[..., Any]
) -> None:
    """-2 is AffectNet's mark for no valence and arousal."""
    record = read_set(open_affectnet(make_set(line(valence="-2", arousal="-2")))).records["1/a.jpg"]
    assert (record.valence, record.arousal) == (None, None)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        pytest.param(line("../training.csv"), "path_outside", id="way out"),
        pytest.param(line("/etc/hosts"), "path_outside", id="absolute"),
        pytest.param(line(""), "missing_file", id="no path"),
        pytest.param("1/a.jpg,1", "malformed_row", id="two columns"),
        pytest.param(line() + ",5", "malformed_row", id="ten columns"),
    ],
)
def test_rows_that_cannot_be_used_are_rejected(
    make_set: Callable[..., Path], read_set: Callable[..., Any], row: str, reason: str
) -> None:
    """Only the bad row is rejected; the row after it is read."""
    read = read_set(open_affectnet(make_set(row, line("1/b.jpg"))))
    assert read.rejects["train", 1][0] == reason
    assert "1/b.jpg" in read.records


def test_no_row_is_lost(make_set: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """Rows kept and rejected add up to the rows of the lists."""
    rows = [line(f"1/{number}.jpg", expression=str(number)) for number in range(-1, 12)]
    read = read_set(open_affectnet(make_set(*rows)))
    assert (len(read.rows), len(read.records), len(read.rejects)) == (14, 12, 2)


@pytest.mark.parametrize("missing", COLUMNS)
def test_list_without_a_column_is_refused(make_set: Callable[..., Path], missing: str) -> None:
    """Each of AffectNet's columns is required; the message names the one that is missing."""
    raw = make_set(line(), header=HEADER.replace(missing, "other"))
    with pytest.raises(DatasetError, match=rf"training\.csv.*`{missing}`"):
        open_affectnet(raw)


def test_a_single_list_is_read_with_a_note(make_set: Callable[..., Path]) -> None:
    """Someone with only the validation set can use it."""
    raw = make_set(line())
    (raw / "training.csv").unlink()
    source = open_affectnet(raw)
    assert [row.split for row in source.rows()] == ["val"]
    assert "training.csv" in source.notes[0]


def test_lists_without_images_are_refused(make_set: Callable[..., Path]) -> None:
    """Lists without the folder of images are one clear error, not a reject for each row."""
    raw = make_set(line())
    (raw / "Manually_Annotated_Images").rename(raw / "elsewhere")
    with pytest.raises(DatasetError, match="Manually_Annotated_Images"):
        open_affectnet(raw)


def test_folder_with_neither_release_is_refused(tmp_path: Path) -> None:
    """The message describes the layout of both releases."""
    with pytest.raises(DatasetError, match=r"training\.csv.*train_set"):
        open_affectnet(tmp_path)


def test_folder_with_both_releases_is_refused(make_set: Callable[..., Path]) -> None:
    """There is no automatic choice between two releases."""
    raw = make_set(line())
    (raw / "train_set").mkdir()
    with pytest.raises(DatasetError, match="both"):
        open_affectnet(raw)


@pytest.fixture
def add_automatic(make_set: Callable[..., Path], put: Callable[..., Path]) -> Callable[..., Path]:
    """Return a function that writes a set with both halves, which number their folders alike."""

    def add(folder: str = "Automatically_Annotated_file_lists", above: str = "") -> Path:
        raw = make_set(line())
        put(raw / above / "Automatically_Annotated_Images" / "1" / "a.jpg", b"automatic")
        put(raw / folder / "automatically_annotated.csv", f"{HEADER}\n{line(expression='3')}\n")
        return raw

    return add


def test_manual_half_is_read_alone_with_a_note(add_automatic: Callable[..., Path]) -> None:
    """A network's labels are not mixed in without being asked for, and not left out without a word."""
    source = open_affectnet(add_automatic())
    assert (source.name, [row.key for row in source.rows()]) == ("affectnet-2017", ["1/a.jpg", "1/v.jpg"])
    assert any(
        "`automatically_annotated.csv` is not read: add --halves both" in note for note in source.notes
    )


@pytest.mark.parametrize("above", ["", "Automatically_Annotated"])
def test_automatic_half_by_itself(
    add_automatic: Callable[..., Path], read_set: Callable[..., Any], above: str
) -> None:
    """Where the manual lists are missing it needs no option; its images are its own."""
    raw = add_automatic(above or ".", above)
    for name in ("training.csv", "validation.csv"):
        (raw / name).unlink()
    source = open_affectnet(raw)
    read = read_set(source)
    assert (source.name, [row.split for row in read.rows]) == ("affectnet-2017-automatic", ["train"])
    record = read.records["Automatically_Annotated_Images/1/a.jpg"]
    assert (record.image.read_bytes(), record.label) == (b"automatic", 3)
    assert any("a network's predictions" in note for note in source.notes)


def test_both_halves_together(add_automatic: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """Two images of the same name in both halves remain two faces; the lists come split by split."""
    source = open_affectnet(add_automatic(), halves="both")
    read = read_set(source)
    assert source.name == "affectnet-2017-both"
    assert [(row.split, row.number, row.key) for row in read.rows] == [
        ("train", 1, "1/a.jpg"),
        ("train", 1, "Automatically_Annotated_Images/1/a.jpg"),
        ("val", 1, "1/v.jpg"),
    ]
    assert [record.label for record in read.records.values()] == [1, 3, 1]


def test_half_that_is_not_there_is_refused(make_set: Callable[..., Path], tmp_path: Path) -> None:
    """The message names the list; an option for the wrong release is refused too."""
    with pytest.raises(DatasetError, match=r"--halves both needs `automatically_annotated\.csv`"):
        open_affectnet(make_set(line()), halves="both")
    other = tmp_path / "other"
    (other / "train_set").mkdir(parents=True)
    with pytest.raises(DatasetError, match="--halves applies to AffectNet of 2017"):
        open_affectnet(other, halves="both")
