"""AffectNet+: a JSON file per face."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.datasets.affectnet import open_affectnet
from mien.errors import DatasetError
from mien.faces.classes import EXPRESSIONS_8

SOFT = [0.1, 0.6, 0.0, 0.1, 0.0, 0.0, 0.0, 0.2]


@pytest.fixture
def add_face(tmp_path: Path, put: Callable[..., Path]) -> Callable[..., Path]:
    """Return a function that writes an annotated photo; a key given as None is left out."""

    def add(name: str = "1", *, folder: str = "train_set", text: str | None = None, **keys: object) -> Path:
        sound = {
            "human-label": 1,
            "soft-label": SOFT,
            "subset": 2,
            "metadata": {"age": 30, "valence": 0.5, "arousal": -0.25},
        }
        given = {key.replace("_", "-"): value for key, value in keys.items()}
        values = {key: value for key, value in (sound | given).items() if value is not None}
        put(tmp_path / folder / "images" / f"{name}.jpg")
        put(tmp_path / folder / "annotations" / f"{name}.json", json.dumps(values) if text is None else text)
        return tmp_path

    return add


def test_sound_face_is_read_whole(add_face: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """Hard label, soft label, valence and arousal come from the JSON; the summary says what was assumed."""
    add_face()
    raw = add_face("2", folder="validation_set", human_label="7")
    source = open_affectnet(raw)
    assert (source.name, source.classes, source.natural_crop) == ("affectnet-plus", EXPRESSIONS_8, "aligned")
    read = read_set(source)
    assert [(row.split, row.key) for row in read.rows] == [
        ("train", "train_set/images/1.jpg"),
        ("val", "validation_set/images/2.jpg"),
    ]
    record = read.records["train_set/images/1.jpg"]
    assert (record.label, record.valence, record.arousal, record.warnings) == (1, 0.5, -0.25, ())
    assert record.distribution == pytest.approx(SOFT)
    assert read.records["validation_set/images/2.jpg"].label == 7
    assert "soft labels in the order of AffectNet's numbers" in source.notes[0]


@pytest.mark.parametrize("written", ["Human-Label", "human_label", "HUMAN LABEL"])
def test_keys_are_matched_however_written(
    add_face: Callable[..., Path], read_set: Callable[..., Any], written: str
) -> None:
    """Published loaders do not agree on case and hyphens."""
    (record,) = read_set(open_affectnet(add_face(text=json.dumps({written: 4})))).records.values()
    assert (record.label, record.distribution, record.valence) == (4, None, None)


def test_human_half_is_found_in_its_folder(
    add_face: Callable[..., Path], read_set: Callable[..., Any], tmp_path: Path
) -> None:
    """The folder above the two halves may be given; the other half is ignored with a note."""
    add_face(folder="human_annotated/train_set")
    (tmp_path / "other_half").mkdir()
    source = open_affectnet(tmp_path)
    assert list(read_set(source).records) == ["train_set/images/1.jpg"]
    assert any("`other_half` is ignored" in note for note in source.notes)


@pytest.mark.parametrize(
    ("soft", "expected"),
    [
        pytest.param([2.0, 6.0, 0, 0, 0, 0, 0, 0], (0.25, 0.75, 0, 0, 0, 0, 0, 0), id="not normalized"),
        pytest.param([1.0] * 7, None, id="seven"),
        pytest.param([0.0] * 8, None, id="all zero"),
        pytest.param([-1.0, 2, 0, 0, 0, 0, 0, 0], None, id="negative"),
        pytest.param("often", None, id="text"),
    ],
)
def test_soft_label(
    add_face: Callable[..., Path],
    read_set: Callable[..., Any],
    soft: object,
    expected: tuple[float, ...] | None,
) -> None:
    """It becomes fractions that sum to 1; what is not a soft label is dropped with a warning."""
    (record,) = read_set(open_affectnet(add_face(soft_label=soft))).records.values()
    assert record.distribution == (None if expected is None else pytest.approx(expected))
    assert record.warnings == (("soft_label_value",) if expected is None else ())


def test_landmarks_in_the_metadata(
    add_face: Callable[..., Path], read_set: Callable[..., Any], points: NDArray[np.float64]
) -> None:
    """Pairs and a flat list are the same 68 points; another number of them is dropped with a warning."""
    add_face("1", metadata={"landmarks": points.tolist()})
    add_face("2", metadata={"landmarks": points.ravel().tolist()})
    add_face("3", metadata={"landmarks": points[:28].tolist()})
    raw = add_face("4", metadata={"landmarks": [[1], [2, 3]]})
    first, second, third, fourth = read_set(open_affectnet(raw)).records.values()
    np.testing.assert_array_equal(first.landmarks, points)
    np.testing.assert_array_equal(second.landmarks, points)
    assert (third.landmarks, third.warnings) == (None, ("landmark_count",))
    assert (fourth.landmarks, fourth.warnings) == (None, ("landmark_value",))


def test_rows_that_cannot_be_used(add_face: Callable[..., Path], read_set: Callable[..., Any]) -> None:
    """Each is rejected with its reason, and none is lost."""
    add_face("1", human_label=None)
    add_face("2", human_label=8)
    add_face("3", text="{")
    add_face("4", text="[1]")
    raw = add_face("5")
    (raw / "train_set" / "images" / "5.jpg").unlink()
    (raw / "train_set" / "images" / "6.jpg").touch()
    read = read_set(open_affectnet(raw))
    assert read.reasons == [
        "missing_annotation",
        "unknown_label",
        "broken_annotation",
        "broken_annotation",
        "missing_file",
        "missing_annotation",
    ]


def test_two_releases_in_one_folder_are_refused(
    add_face: Callable[..., Path], put: Callable[..., Path]
) -> None:
    """There is no automatic choice between AffectNet+ and the lists of 2017."""
    raw = add_face()
    put(raw / "training.csv")
    with pytest.raises(DatasetError, match=r"both `training.csv` \(2017\) and .*AffectNet\+"):
        open_affectnet(raw)
