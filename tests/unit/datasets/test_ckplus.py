"""CK+ and its copy with three frames of each sequence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.datasets.ckplus import open_ckplus
from mien.errors import DatasetError


@pytest.fixture
def raw(tmp_path: Path, put: Callable[..., Path], points: NDArray[np.float64]) -> Path:
    """Three persons with two sequences of three frames each, the second one without a label."""
    for person, number in (("S005", 3), ("S010", 1), ("S011", 7)):
        for sequence in ("001", "002"):
            for frame in (1, 2, 11):
                put(
                    tmp_path
                    / "cohn-kanade-images"
                    / person
                    / sequence
                    / f"{person}_{sequence}_{frame:08d}.png"
                )
        stem = f"{person}_001_00000011"
        put(tmp_path / "Emotion" / person / "001" / f"{stem}_emotion.txt", f"   {number}.0000000e+00\n")
        (tmp_path / "Emotion" / person / "002").mkdir()
        text = "\n".join(f"   {x:.7e}   {y:.7e}" for x, y in points)
        put(tmp_path / "Landmarks" / person / "001" / f"{stem}_landmarks.txt", text)
    return tmp_path


def test_label_is_for_the_last_frame(
    raw: Path, read_set: Callable[..., Any], points: NDArray[np.float64]
) -> None:
    """Only labeled sequences are read; person and sequence are in the record."""
    source = open_ckplus(raw, val_fraction=0)
    read = read_set(source)
    assert {key: source.classes[record.label] for key, record in read.records.items()} == {
        "cohn-kanade-images/S005/001/S005_001_00000011.png": "Disgust",
        "cohn-kanade-images/S010/001/S010_001_00000011.png": "Anger",
        "cohn-kanade-images/S011/001/S011_001_00000011.png": "Surprise",
    }
    record = read.records["cohn-kanade-images/S010/001/S010_001_00000011.png"]
    assert (record.person, record.clip) == ("S010", "S010/001")
    np.testing.assert_allclose(record.landmarks, points)
    assert source.classes == ("Surprise", "Disgust", "Anger")
    assert any("3 of 6 sequences have a label" in note for note in source.notes)


def test_first_frames_as_neutral(raw: Path, read_set: Callable[..., Any]) -> None:
    """With the option, the first frame of every sequence is Neutral."""
    source = open_ckplus(raw, val_fraction=0, neutral=True)
    keys = [
        key for key, record in read_set(source).records.items() if source.classes[record.label] == "Neutral"
    ]
    assert len(keys) == 6
    assert all(key.endswith("_00000001.png") for key in keys)


def test_val_is_drawn_by_person(raw: Path) -> None:
    """No person is on both sides."""
    rows = list(open_ckplus(raw, val_fraction=0.3, neutral=True).rows())
    persons = {
        split: {row.fields["person"] for row in rows if row.split == split} for split in ("train", "val")
    }
    assert len(persons["val"]) == 1
    assert persons["train"] == {"S005", "S010", "S011"} - persons["val"]


def test_damaged_files(raw: Path, put: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """A label out of the map is a rejected row, damaged landmarks are a warning."""
    put(raw / "Emotion" / "S005" / "001" / "S005_001_00000011_emotion.txt", "8.0")
    put(raw / "Landmarks" / "S010" / "001" / "S010_001_00000011_landmarks.txt", "1 2 3\n")
    (raw / "Landmarks" / "S011" / "001" / "S011_001_00000011_landmarks.txt").unlink()
    read = read_set(open_ckplus(raw, val_fraction=0))
    assert read.reasons == ["unknown_label"]
    assert [record.warnings for record in read.records.values()] == [
        ("broken_annotation",),
        ("missing_annotation",),
    ]


def test_class_folders_with_persons_in_the_names(
    tmp_path: Path, put: Callable[..., Path], read_set: Callable[..., Any]
) -> None:
    """CK+48: the person and the sequence are in the name; three frames of a sequence stay together."""
    for person in ("S010", "S011", "S014", "S022"):
        for frame in (15, 16, 17):
            put(tmp_path / "CK+48" / "anger" / f"{person}_004_{frame:08d}.png")
            put(tmp_path / "CK+48" / "happy" / f"{person}_006_{frame:08d}.png")
    put(tmp_path / "CK+48" / "happy" / "copy.png")
    put(tmp_path / "CK+48" / "other" / "S010_006_00000001.png")
    source = open_ckplus(tmp_path, val_fraction=0.25)
    read = read_set(source)
    assert (source.name, source.natural_crop) == ("ckplus-48", "whole")
    assert read.records["anger/S010_004_00000017.png"].clip == "S010/004"
    persons = {
        split: {
            read.records[row.key].person
            for row in read.rows
            if row.split == split and row.key in read.records
        }
        for split in ("train", "val")
    }
    assert len(persons["val"]) == 1
    assert not persons["train"] & persons["val"]
    assert sorted(read.reasons) == ["malformed_row", "unknown_label"]
    with pytest.raises(DatasetError, match="leave --neutral out"):
        open_ckplus(tmp_path, neutral=True)


def test_other_folders_are_refused(tmp_path: Path, put: Callable[..., Path]) -> None:
    """Images without labels, and a folder of something else."""
    put(tmp_path / "cohn-kanade-images" / "S005" / "001" / "S005_001_00000001.png")
    with pytest.raises(DatasetError, match="must hold `cohn-kanade-images/` next to `Emotion/`"):
        open_ckplus(tmp_path)
