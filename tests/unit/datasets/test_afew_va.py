"""AFEW-VA: clips with valence, arousal and landmarks, and no expressions."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.datasets.afew_va import open_afew_va
from mien.errors import DatasetError
from mien.formats.pack.schema import NO_LABEL


@pytest.fixture
def add_clip(tmp_path: Path, put: Callable[..., Path], points: NDArray[np.float64]) -> Callable[..., Path]:
    """Return a function that writes a clip of three frames; single frames may be given, and None leaves one out."""

    def add(name: str = "001", *, above: str = "01", actor: object = "Ann", **frames: object) -> Path:
        sound = {"valence": 5.0, "arousal": -2.0, "landmarks": points.tolist()}
        given = {f"0000{index}": sound for index in range(3)} | {
            key.removeprefix("f"): value for key, value in frames.items()
        }
        kept = {frame: value for frame, value in given.items() if value is not None}
        folder = tmp_path / above / name
        put(folder / f"{name}.json", json.dumps({"actor": actor, "video_id": name, "frames": kept}))
        for frame in given:
            put(folder / f"{frame}.png")
        return tmp_path

    return add


@pytest.mark.parametrize("above", ["01", ".", "AFEW-VA/12"])
def test_sound_frame_is_read_whole(
    add_clip: Callable[..., Path], read_set: Callable[..., Any], points: NDArray[np.float64], above: str
) -> None:
    """Valence and arousal are divided by ten; a face has landmarks, actor and clip, and no expression."""
    source = open_afew_va(add_clip(above=above), val_fraction=0)
    assert (source.name, source.classes, source.natural_crop) == ("afew-va", (), "aligned")
    read = read_set(source)
    assert len(read.records) == 3
    record = read.records[(Path(above) / "001" / "00001.png").as_posix()]
    assert (record.label, record.valence, record.arousal) == (NO_LABEL, 0.5, -0.2)
    assert (record.person, record.clip, record.warnings) == ("Ann", "001", ())
    np.testing.assert_array_equal(record.landmarks, points)


def test_val_is_drawn_by_actor(add_clip: Callable[..., Path]) -> None:
    """Two clips of an actor are in one split."""
    for number in range(12):
        raw = add_clip(f"{number:03d}", actor=f"actor {number // 2}")
    source = open_afew_va(raw, val_fraction=0.4)
    splits: dict[str, set[str]] = {}
    for row in source.rows():
        splits.setdefault(row.fields["person"], set()).add(row.split)
    assert all(len(found) == 1 for found in splits.values())
    assert {split for found in splits.values() for split in found} == {"train", "val"}
    assert any("val is drawn by person" in note for note in source.notes)


def test_what_is_not_usable_is_dropped_or_rejected(
    add_clip: Callable[..., Path], read_set: Callable[..., Any], put: Callable[..., Path]
) -> None:
    """Values out of range and other numbers of points are warnings; a frame without its other half is rejected."""
    raw = add_clip(
        f00000={"valence": 50, "arousal": None, "landmarks": [[1, 2]]},
        f00001={"valence": 1, "arousal": 1, "landmarks": "none"},
        f00002=None,
        f00003=[],
    )
    put(raw / "01" / "002" / "002.json", "{")
    put(raw / "01" / "002" / "00000.png")
    read = read_set(open_afew_va(raw, val_fraction=0))
    first, second = read.records.values()
    assert (first.valence, first.arousal, first.landmarks) == (None, None, None)
    assert first.warnings == ("affect_value", "landmark_count")
    assert (second.valence, second.landmarks, second.warnings) == (0.1, None, ("landmark_value",))
    assert read.reasons == ["missing_annotation", "broken_annotation", "broken_annotation"]


def test_annotated_frame_without_image_is_a_row(add_clip: Callable[..., Path]) -> None:
    """It is rejected for its missing file later, and not lost."""
    raw = add_clip()
    (raw / "01" / "001" / "00001.png").unlink()
    assert [row.key for row in open_afew_va(raw, val_fraction=0).rows()] == [
        f"01/001/0000{index}.png" for index in range(3)
    ]


def test_every_second_frame(add_clip: Callable[..., Path]) -> None:
    """Neighboring frames are nearly the same: some of them are enough."""
    keys = [row.key for row in open_afew_va(add_clip(), val_fraction=0, every=2).rows()]
    assert keys == ["01/001/00000.png", "01/001/00002.png"]


def test_folder_without_clips_is_refused(tmp_path: Path, put: Callable[..., Path]) -> None:
    """The message describes the layout."""
    put(tmp_path / "01" / "notes.json", "{}")
    with pytest.raises(DatasetError, match=r"`<clip>.json`, it holds none"):
        open_afew_va(tmp_path)
