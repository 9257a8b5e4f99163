"""ExpW: several faces in a photograph, and boxes whose order is not the usual one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.datasets.expw import open_expw
from mien.errors import DatasetError

LINES = [
    "angry_actor_104.jpg 0 28 113 226 141 22.9362 0",
    "angry_actor_104.jpg 1 30 300 400 130 12.5 6",
    "with a space.jpg 0 1 2 30 40 50 3",
    "odd.jpg 0 1 2 30 40 50 7",
    "short.jpg 0 1 2 30",
    "flat.jpg 0 40 2 30 10 50 5",
]


@pytest.fixture
def raw(tmp_path: Path, put: Callable[..., Path]) -> Path:
    """The list and its images."""
    put(tmp_path / "data" / "label" / "label.lst", "\n".join(LINES))
    for line in LINES:
        put(tmp_path / "data" / "image" / "origin" / f"{line.partition('.jpg')[0]}.jpg")
    return tmp_path


def test_boxes_labels_and_faces(raw: Path, read_set: Callable[..., Any]) -> None:
    """Top comes first and right before bottom; two faces in a photograph are two rows."""
    source = open_expw(raw, val_fraction=0)
    read = read_set(source)
    first, second = (source.parse(row) for row in read.rows[:2])
    np.testing.assert_array_equal(first.box_xyxy, [113, 28, 226, 141])
    np.testing.assert_array_equal(second.box_xyxy, [300, 30, 400, 130])
    assert [source.classes[face.label] for face in (first, second)] == ["Anger", "Neutral"]
    assert first.image == second.image == raw.resolve() / "data/image/origin/angry_actor_104.jpg"
    assert read.records["image/origin/with a space.jpg"].label == source.classes.index("Happy")
    assert read.reasons == ["unknown_label", "malformed_row"]
    assert read.records["image/origin/flat.jpg"].warnings == ("box_value",)
    assert source.natural_crop == "box"


def test_faces_of_a_photograph_share_a_split(raw: Path) -> None:
    """The split depends on the image alone."""
    rows = list(open_expw(raw, val_fraction=0.5).rows())
    assert len(rows) == len(LINES)
    assert len({row.split for row in rows if "angry_actor" in row.key}) == 1


def test_boxes_in_another_order_are_refused(raw: Path, put: Callable[..., Path]) -> None:
    """Left, top, right, bottom would cut out something else without a word."""
    put(raw / "data" / "label" / "label.lst", "a.jpg 0 400 10 90 500 9 1\nb.jpg 0 300 10 90 380 9 1\n")
    put(raw / "data" / "label" / "label.lst", "a.jpg 0 10 200 90 300 9 1\nb.jpg 0 10 200 90 300 9 1\n")
    with pytest.raises(DatasetError, match="top, left, right, bottom, but 2 of 2"):
        open_expw(raw)


def test_missing_parts_are_named(tmp_path: Path, put: Callable[..., Path]) -> None:
    """The error says what is missing."""
    with pytest.raises(DatasetError, match=r"no `label/label.lst`"):
        open_expw(tmp_path)
    put(tmp_path / "label" / "label.lst", LINES[0])
    with pytest.raises(DatasetError, match="no `image/origin`"):
        open_expw(tmp_path)
