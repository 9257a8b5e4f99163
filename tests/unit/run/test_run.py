"""The run folder."""

import json
from pathlib import Path

import numpy as np
import pytest

from mien.errors import ArtifactError
from mien.faces.crop import CropContract
from mien.run import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run that has begun."""
    value = Run(tmp_path / "run", ("Happy", "Sad"), CropContract(size=64), {"model": {}}, {"source": "test"})
    value.path.mkdir()
    (value.path / "run.json").write_text(json.dumps(value.to_dict()))
    return value


def test_round_trip(run: Run) -> None:
    """What is written is what is read."""
    assert Run.open(run.path) == run


def test_missing(tmp_path: Path) -> None:
    """A run that is not there, or a folder that is none, is told."""
    with pytest.raises(ArtifactError, match="does not exist"):
        Run.open(tmp_path / "nope")
    with pytest.raises(ArtifactError, match="is no run"):
        Run.open(tmp_path)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"format_version": 99}, "format version 99", id="version"),
        pytest.param({"crop": {"method": "oval"}}, "damaged", id="crop"),
        pytest.param({"classes": None}, "damaged", id="classes"),
    ],
)
def test_another_version_or_damage(run: Run, change: dict, expected: str) -> None:
    """Another format or a damaged file is one line."""
    (run.path / "run.json").write_text(json.dumps(run.to_dict() | change))
    with pytest.raises(ArtifactError, match=expected):
        Run.open(run.path)


def test_an_unfinished_run_has_no_result(run: Run) -> None:
    """What has not finished says how to go on."""
    with pytest.raises(ArtifactError, match=r"has not finished.*--resume"):
        run.read_result()


def test_dev_outputs(run: Run) -> None:
    """The arrays come back as they were written."""
    arrays = {
        "logits": np.eye(2, dtype=np.float32),
        "labels": np.arange(2),
        "crops": np.zeros((1, 4, 4, 3), np.uint8),
    }
    np.savez_compressed(run.path / "dev.npz", **arrays)
    outputs = run.read_dev_outputs()
    for name, array in arrays.items():
        np.testing.assert_array_equal(getattr(outputs, name), array)


def test_dev_outputs_say_which_faces_they_are(run: Run) -> None:
    """Pack and row of each face come back; a run made before they were kept has none."""
    arrays = {"logits": np.zeros((2, 2)), "labels": np.arange(2), "crops": np.zeros((1, 4, 4, 3), np.uint8)}
    np.savez(run.path / "dev.npz", **arrays)
    outputs = run.read_dev_outputs()
    assert (outputs.pack_numbers, outputs.rows) == (None, None)
    np.savez(run.path / "dev.npz", **arrays, pack_numbers=np.array([0, 1]), rows=np.array([7, 3]))
    outputs = run.read_dev_outputs()
    np.testing.assert_array_equal(outputs.pack_numbers, [0, 1])
    np.testing.assert_array_equal(outputs.rows, [7, 3])


@pytest.mark.parametrize("damage", ["missing", "truncated", "text", "another array", "pickle"])
def test_damaged_dev_outputs(run: Run, damage: str) -> None:
    """Each way in which dev.npz can be unreadable is one line, and no pickle is opened."""
    path = run.path / "dev.npz"
    np.savez(path, logits=np.zeros((9, 9)), labels=np.zeros(9), crops=np.zeros(9))
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "text":
        path.write_text("hello")
    elif damage == "another array":
        np.savez(path, other=np.zeros(1))
    else:
        np.savez(path, logits=np.array([object()]), labels=np.zeros(1), crops=np.zeros(1))
    with pytest.raises(ArtifactError, match=r"dev\.npz cannot be read"):
        run.read_dev_outputs()


def test_a_class_of_an_earlier_release_has_its_name_of_today(run: Run) -> None:
    path = run.path / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"classes": ["Happy", "None"]}))
    assert Run.open(run.path).classes == ("Happy", "NoneOfEight")
