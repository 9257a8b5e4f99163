"""The run folder."""

import json
from pathlib import Path

import numpy as np
import pytest

from mien.artifacts import json_sha256
from mien.errors import ArtifactError
from mien.faces.crop import CropContract
from mien.formats.run import HASHED_FILES, WEIGHTS, Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """An unfinished run."""
    value = Run(tmp_path / "run", ("Happy", "Sad"), CropContract(size=64), {"model": {}}, {"source": "test"})
    value.path.mkdir()
    (value.path / "run.json").write_text(json.dumps(value.to_dict()))
    return value


def test_round_trip(run: Run) -> None:
    """A run is read back as it was written."""
    assert Run.open(run.path) == run


def test_missing(tmp_path: Path) -> None:
    """A missing run, or a folder that is not a run, is rejected."""
    with pytest.raises(ArtifactError, match="does not exist"):
        Run.open(tmp_path / "nope")
    with pytest.raises(ArtifactError, match=r"is not a run: it has no run\.json$"):
        Run.open(tmp_path)


@pytest.mark.parametrize(
    ("mark", "found"),
    [("pack.json", "a pack"), ("metrics.json", "a report"), ("runs.json", "the folder of several runs")],
)
def test_another_artifact_is_named(tmp_path: Path, mark: str, found: str) -> None:
    """Instead of a run, its file or the folder of another stage."""
    (tmp_path / mark).touch()
    with pytest.raises(ArtifactError, match=rf"is not a run: it has no run\.json, but is {found}"):
        Run.open(tmp_path)
    with pytest.raises(ArtifactError, match="is a file, a run is a folder"):
        Run.open(tmp_path / mark)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"format_version": 99}, "format version 99", id="version"),
        pytest.param({"crop": {"method": "oval"}}, "damaged", id="crop"),
        pytest.param({"crop": {"method": "whole"}}, "damaged", id="part of a crop"),
        *(
            pytest.param({name: odd}, "damaged", id=f"{name} {odd!r}")
            for name in ("classes", "crop", "recipe", "pack")
            for odd in (None, -1, "x", [], [[]], True, 1e300)
        ),
        pytest.param({"classes": ["Sad", "Sad"]}, "damaged", id="a duplicate class"),
        pytest.param({"pack": {"source": 1}}, "damaged", id="source"),
        pytest.param({"pack": {"members": "ab"}}, "damaged", id="members"),
    ],
)
def test_another_version_or_damage(run: Run, change: dict, expected: str) -> None:
    """Another format version or a damaged file is rejected."""
    (run.path / "run.json").write_text(json.dumps(run.to_dict() | change))
    with pytest.raises(ArtifactError, match=expected):
        Run.open(run.path)


def test_an_unfinished_run_has_no_result(run: Run) -> None:
    """The message says how to resume."""
    with pytest.raises(ArtifactError, match=r"has not finished.*--resume"):
        run.read_result()


RESULT = {"best_epoch": 3, "epochs": 5, "select_by": "accuracy", "dev": {"n": 2, "accuracy": 0.5}}


@pytest.fixture
def finished(run: Run) -> Run:
    """A finished run."""
    run.best_weights_path.parent.mkdir()
    run.best_weights_path.write_bytes(b"weights")
    np.savez(
        run.path / "dev.npz",
        logits=np.eye(2, dtype=np.float32),
        labels=np.arange(2),
        crops=np.zeros((1, 4, 4, 3), np.uint8),
    )
    run.write_result(RESULT)
    return run


def test_a_result_comes_back(finished: Run) -> None:
    """The result is read back as it was written, and the files match their hashes."""
    assert finished.read_result() == RESULT
    for name in HASHED_FILES:
        finished.require_unchanged(name)


def test_every_flipped_bit_is_detected(finished: Run) -> None:
    """A flipped bit in any hashed file gives a one-line message that names a file."""
    random = np.random.default_rng(0)
    for name in (*HASHED_FILES, "result.json"):
        path = finished.path / name
        content = path.read_bytes()
        for bit in random.integers(0, 8 * len(content), 30).tolist():
            changed = bytearray(content)
            changed[bit // 8] ^= 1 << bit % 8
            path.write_bytes(changed)
            with pytest.raises(ArtifactError, match=path.name) as caught:
                read_all(finished.path)
            assert "\n" not in str(caught.value)
        path.write_bytes(content)
    read_all(finished.path)


def read_all(path: Path) -> None:
    run = Run.open(path)
    run.read_result()
    run.read_dev_outputs()
    run.require_unchanged(WEIGHTS)


@pytest.mark.parametrize("name", ["best_epoch", "epochs", "select_by", "dev", "sha256", "result_sha256"])
@pytest.mark.parametrize("odd", [None, -1.5, "x", [], {}, {"n": None}, True])
def test_invalid_values_in_result_json(finished: Run, name: str, odd: object) -> None:
    """An invalid value is rejected, even with a matching hash."""
    path = finished.path / "result.json"
    value = json.loads(path.read_text()) | {name: odd}
    if name != "result_sha256":
        value["result_sha256"] = json_sha256({key: v for key, v in value.items() if key != "result_sha256"})
    path.write_text(json.dumps(value))
    if (name, odd) == ("select_by", "x"):
        assert finished.read_result()["select_by"] == "x"
        return
    with pytest.raises(ArtifactError, match=r"result\.json is damaged"):
        finished.read_result()


def test_first_version_is_read(finished: Run) -> None:
    """A run of format version 1 has no hashes; nothing is verified."""
    value = json.loads((finished.path / "run.json").read_text())
    (finished.path / "run.json").write_text(json.dumps(value | {"format_version": 1}))
    (finished.path / "result.json").write_text(json.dumps(RESULT))
    run = Run.open(finished.path)
    assert run.read_result() == RESULT
    run.require_unchanged(WEIGHTS)
    assert len(run.read_dev_outputs().labels) == 2
    value["format_version"] = 2
    (finished.path / "run.json").write_text(json.dumps(value))
    with pytest.raises(ArtifactError, match=r"result\.json is damaged: 'result_sha256' is missing"):
        Run.open(finished.path).read_result()


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


def test_dev_outputs_record_their_faces(run: Run) -> None:
    """Pack and row of each face come back; an older run has none."""
    arrays = {
        "logits": np.zeros((2, 2), np.float32),
        "labels": np.arange(2),
        "crops": np.zeros((1, 4, 4, 3), np.uint8),
    }
    np.savez(run.path / "dev.npz", **arrays)
    outputs = run.read_dev_outputs()
    assert (outputs.pack_numbers, outputs.rows) == (None, None)
    np.savez(run.path / "dev.npz", **arrays, pack_numbers=np.array([0, 1]), rows=np.array([7, 3]))
    outputs = run.read_dev_outputs()
    np.testing.assert_array_equal(outputs.pack_numbers, [0, 1])
    np.testing.assert_array_equal(outputs.rows, [7, 3])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"logits": np.zeros((2, 3), np.float32)}, id="wrong number of classes"),
        pytest.param({"logits": np.zeros((3, 2), np.float32)}, id="wrong number of faces"),
        pytest.param({"logits": np.zeros((2, 2), np.int64)}, id="integer logits"),
        pytest.param({"labels": np.array([0, 2])}, id="label out of range"),
        pytest.param({"labels": np.array([-1, 0])}, id="negative label"),
        pytest.param({"labels": np.array([0.0, 1.0])}, id="float labels"),
        pytest.param({"labels": np.float32(1)}, id="scalar labels"),
        pytest.param({"crops": np.zeros((1, 4, 4, 3))}, id="float crops"),
        pytest.param({"crops": np.zeros((0, 4, 4, 3), np.uint8)}, id="no crops"),
        pytest.param({"crops": np.zeros((1, 4, 5, 3), np.uint8)}, id="non-square crops"),
        pytest.param({"rows": np.zeros(3, np.int64)}, id="wrong number of rows"),
    ],
)
def test_inconsistent_dev_outputs(run: Run, change: dict[str, np.ndarray]) -> None:
    """Arrays that do not belong to the same faces are rejected."""
    arrays = {
        "logits": np.eye(2, dtype=np.float32),
        "labels": np.arange(2),
        "crops": np.zeros((1, 4, 4, 3), np.uint8),
    }
    np.savez(run.path / "dev.npz", **arrays | change)
    with pytest.raises(ArtifactError, match=r"dev\.npz cannot be read"):
        run.read_dev_outputs()


@pytest.mark.parametrize(
    "damage", ["compressed bytes", "missing", "truncated", "text", "another array", "pickle"]
)
def test_damaged_dev_outputs(run: Run, damage: str) -> None:
    """Every kind of damage is reported as one, and pickles are never loaded."""
    path = run.path / "dev.npz"
    np.savez(path, logits=np.zeros((9, 9)), labels=np.zeros(9), crops=np.zeros(9))
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "compressed bytes":
        np.savez_compressed(path, logits=np.zeros((9, 9)), labels=np.zeros(9), crops=np.zeros(9))
        content = bytearray(path.read_bytes())
        content[60:100] = bytes(40)
        path.write_bytes(content)
    elif damage == "text":
        path.write_text("hello")
    elif damage == "another array":
        np.savez(path, other=np.zeros(1))
    else:
        np.savez(path, logits=np.array([object()]), labels=np.zeros(1), crops=np.zeros(1))
    with pytest.raises(ArtifactError, match=r"dev\.npz cannot be read"):
        run.read_dev_outputs()


def test_class_names_of_earlier_releases_are_updated(run: Run) -> None:
    path = run.path / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"classes": ["Happy", "None"]}))
    assert Run.open(run.path).classes == ("Happy", "NoneOfEight")
