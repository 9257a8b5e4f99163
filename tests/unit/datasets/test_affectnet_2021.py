"""AffectNet's 2021 release."""

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from mien.datasets.affectnet import open_affectnet
from mien.errors import DatasetError
from mien.faces.classes import EXPRESSIONS_8


def npy(value: ArrayLike) -> bytes:
    """Return a value as the bytes of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(value))
    return buffer.getvalue()


@pytest.fixture
def add_face(tmp_path: Path, put: Callable[..., Path], points: NDArray[np.float64]) -> Callable[..., Path]:
    """Return a function that writes one annotated photo; a part given as None is not written."""

    def add(name: str = "1.jpg", *, folder: str = "train_set", **parts: object) -> Path:
        stem = Path(name).stem
        sound: dict[str, object] = {"exp": "1", "val": "0.5", "aro": "-0.25", "lnd": points.ravel()}
        (tmp_path / folder / "annotations").mkdir(parents=True, exist_ok=True)
        for part, value in (sound | parts).items():
            if value is not None:
                content = value if isinstance(value, bytes) else npy(value)
                put(tmp_path / folder / "annotations" / f"{stem}_{part}.npy", content)
        put(tmp_path / folder / "images" / name)
        return tmp_path

    return add


def test_sound_face_is_read_whole(
    add_face: Callable[..., Path], read_set: Callable[..., Any], points: NDArray[np.float64]
) -> None:
    """Label, landmarks, valence and arousal come from the four files; the crop is made from landmarks."""
    raw = add_face()
    source = open_affectnet(raw)
    assert (source.name, source.classes, source.natural_crop) == ("affectnet-2021", EXPRESSIONS_8, "aligned")
    record = read_set(source).records["train_set/images/1.jpg"]
    assert record.image == raw.resolve() / "train_set" / "images" / "1.jpg"
    assert (record.label, record.valence, record.arousal, record.warnings) == (1, 0.5, -0.25, ())
    np.testing.assert_array_equal(record.landmarks, points)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("7", id="text"),
        pytest.param(np.array(b"7"), id="bytes"),
        pytest.param(7, id="integer"),
        pytest.param(7.0, id="float"),
        pytest.param([7], id="array of one"),
        pytest.param([["7"]], id="array of one text"),
    ],
)
def test_expression_is_read_however_stored(
    add_face: Callable[..., Path], read_set: Callable[..., Any], value: object
) -> None:
    """A text array, a number and an array of one are the same label."""
    (record,) = read_set(open_affectnet(add_face(exp=value))).records.values()
    assert record.label == 7


def test_rows_come_by_number_over_images_and_annotations(
    add_face: Callable[..., Path], read_set: Callable[..., Any]
) -> None:
    """Numbers are in numeric order; a number with only a photo or only annotations is a rejected row."""
    for name in ("10.jpg", "2.jpg", "1.jpg", "30.jpg"):
        raw = add_face(name)
    (raw / "train_set" / "images" / "2.jpg").unlink()
    for part in ("exp", "val", "aro", "lnd"):
        (raw / "train_set" / "annotations" / f"10_{part}.npy").unlink()
    read = read_set(open_affectnet(raw))
    assert [Path(row.key).stem for row in read.rows] == ["1", "2", "10", "30"]
    assert [row.number for row in read.rows] == [1, 2, 3, 4]
    assert {number: reason for (_, number), (reason, _) in read.rejects.items()} == {
        2: "missing_file",
        3: "missing_annotation",
    }


def test_images_of_other_names_are_rows(add_face: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """A photo with another suffix finds its annotations; a name that is not a number comes last."""
    for name in ("b.jpg", "3.PNG", "12.jpg"):
        raw = add_face(name)
    (raw / "train_set" / "images" / ".DS_Store").touch()
    read = read_set(open_affectnet(raw))
    assert [Path(row.key).name for row in read.rows] == ["3.PNG", "12.jpg", "b.jpg"]
    assert read.rejects == {}


@pytest.mark.parametrize(
    ("exp", "reason"),
    [
        pytest.param(8, "unknown_label", id="None is no class of this release"),
        pytest.param(-1, "unknown_label", id="below 0"),
        pytest.param(1.5, "unknown_label", id="no integer"),
        pytest.param("happy", "broken_annotation", id="a word"),
        pytest.param([1, 2], "unknown_label", id="two labels"),
        pytest.param([], "unknown_label", id="no label"),
        pytest.param(b"", "broken_annotation", id="0 bytes"),
        pytest.param(npy("1")[:-2], "broken_annotation", id="cut short"),
        pytest.param(b"<html>", "broken_annotation", id="a web page"),
        pytest.param(npy("1").replace(b"}", b"{"), "broken_annotation", id="header that is no Python"),
        pytest.param(npy("1")[:-4] + b"\xff" * 4, "broken_annotation", id="text that is no Unicode"),
        pytest.param(
            npy([1]).replace(b"(1,), }" + b" " * 29, b"(1" + b"0" * 29 + b",), }"),
            "broken_annotation",
            id="shape beyond all numbers",
        ),
        pytest.param(b"x" * 70_000, "broken_annotation", id="far too large"),
        pytest.param(np.array([None]), "broken_annotation", id="pickled objects"),
        pytest.param(np.array(1j), "broken_annotation", id="complex"),
        pytest.param(None, "missing_annotation", id="no file"),
    ],
)
def test_unusable_expression_is_rejected(
    add_face: Callable[..., Path], read_set: Callable[..., Any], exp: object, reason: str
) -> None:
    """A face without a readable label is a rejected row that claims no class; nothing is unpickled."""
    source = open_affectnet(add_face(exp=exp))
    read = read_set(source)
    assert read.reasons == [reason]
    assert source.class_of(read.rows[0]) == "?"


@pytest.mark.parametrize(
    ("lnd", "warnings"),
    [
        pytest.param(None, ("missing_annotation",), id="no file"),
        pytest.param(b"", ("broken_annotation",), id="0 bytes"),
        pytest.param(np.zeros(134), ("landmark_count",), id="67 points"),
        pytest.param(np.full(136, np.nan), ("landmark_value",), id="nan"),
        pytest.param(["x"] * 136, ("broken_annotation",), id="text"),
        pytest.param(np.full(136, -1.0), (), id="all -1"),
        pytest.param(np.full(136, -2), (), id="all -2"),
    ],
)
def test_faulty_landmarks_are_left_out(
    add_face: Callable[..., Path], read_set: Callable[..., Any], lnd: object, warnings: tuple[str, ...]
) -> None:
    """A face is kept without landmarks that cannot be read."""
    (record,) = read_set(open_affectnet(add_face(lnd=lnd))).records.values()
    assert record.landmarks is None
    assert record.warnings == warnings


def test_landmarks_as_points_are_read(
    add_face: Callable[..., Path], read_set: Callable[..., Any], points: NDArray[np.float64]
) -> None:
    """A (68, 2) array of strings is as good as 136 numbers."""
    (record,) = read_set(open_affectnet(add_face(lnd=points.astype(str)))).records.values()
    np.testing.assert_allclose(record.landmarks, points)


def test_missing_affect_is_none_with_one_warning(
    add_face: Callable[..., Path], read_set: Callable[..., Any]
) -> None:
    """A face is kept without valence and arousal; -2 is not annotated."""
    (record,) = read_set(open_affectnet(add_face(val=None, aro=None))).records.values()
    assert (record.valence, record.arousal, record.warnings) == (None, None, ("missing_annotation",))
    (record,) = read_set(open_affectnet(add_face(val="-2", aro=-2.0))).records.values()
    assert (record.valence, record.arousal, record.warnings) == (None, None, ())


def test_both_splits_are_read(add_face: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """train_set is train and val_set is val, each numbered from 1."""
    add_face("5.jpg")
    raw = add_face("5.jpg", folder="val_set", exp=0)
    source = open_affectnet(raw)
    assert [(row.split, row.number, row.key) for row in source.rows()] == [
        ("train", 1, "train_set/images/5.jpg"),
        ("val", 1, "val_set/images/5.jpg"),
    ]
    assert [source.class_of(row) for row in source.rows()] == ["Happy", "Neutral"]
    assert source.notes == ()


def test_a_single_split_is_read_with_a_note(add_face: Callable[..., Path]) -> None:
    """Someone with only the validation set can use it."""
    source = open_affectnet(add_face(folder="val_set"))
    assert [row.split for row in source.rows()] == ["val"]
    assert "train_set" in source.notes[0]


def test_split_without_annotations_is_refused(add_face: Callable[..., Path]) -> None:
    """A folder of photos without annotations is one clear error, not a reject for each."""
    raw = add_face()
    (raw / "train_set" / "annotations").rename(raw / "elsewhere")
    with pytest.raises(DatasetError, match="annotations"):
        open_affectnet(raw)


def test_other_folders_of_faces_are_noted(add_face: Callable[..., Path]) -> None:
    """A folder that is none of the three splits is ignored with a note."""
    add_face()
    raw = add_face(folder="extra_set")
    notes = open_affectnet(raw).notes
    assert notes[0] == "There is no `val_set`: its split is skipped."
    assert notes[1].startswith("The folder `extra_set` is ignored")


def test_annotated_test_set_is_the_test_split(
    add_face: Callable[..., Path], read_set: Callable[..., Any]
) -> None:
    """A `test_set` with annotations is read; without, it is left out with a note."""
    add_face()
    raw = add_face("2.jpg", folder="test_set", exp="3")
    read = read_set(open_affectnet(raw))
    assert [(row.split, row.key) for row in read.rows] == [
        ("train", "train_set/images/1.jpg"),
        ("test", "test_set/images/2.jpg"),
    ]
    assert read.records["test_set/images/2.jpg"].label == 3
    shutil.rmtree(raw / "test_set" / "annotations")
    unlabeled = open_affectnet(raw)
    assert [row.split for row in unlabeled.rows()] == ["train"]
    assert any("`test_set` has no `annotations`" in note for note in unlabeled.notes)


def test_annotations_of_another_kind_are_refused(tmp_path: Path, put: Callable[..., Path]) -> None:
    """Files of an unknown format are one immediate error instead of a rejected row for each."""
    put(tmp_path / "train_set" / "images" / "0.jpg")
    put(tmp_path / "train_set" / "annotations" / "0_prob_rank.txt", "")
    with pytest.raises(
        DatasetError, match=r"must hold files such as `0_exp.npy`, it holds `0_prob_rank.txt`.*prepare csv"
    ):
        open_affectnet(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with a name here")
def test_a_pipe_instead_of_an_annotation(add_face: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """It is a damaged annotation, and is not waited for."""
    raw = add_face(exp=None)
    os.mkfifo(raw / "train_set" / "annotations" / "1_exp.npy")
    add_face("2.jpg")
    read = read_set(open_affectnet(raw))
    assert read.reasons == ["broken_annotation"]
    assert "pipe" in read.rejects["train", 1][1]
