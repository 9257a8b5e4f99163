"""The run folder."""

import json
from pathlib import Path

import numpy as np
import pytest

from mien.artifacts import json_sha256
from mien.errors import ArtifactError
from mien.faces.crop import CropContract
from mien.run import HASHED_FILES, WEIGHTS, Run


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
        pytest.param({"crop": {"method": "whole"}}, "damaged", id="part of a crop"),
        *(
            pytest.param({name: odd}, "damaged", id=f"{name} {odd!r}")
            for name in ("classes", "crop", "recipe", "pack")
            for odd in (None, -1, "x", [], [[]], True, 1e300)
        ),
        pytest.param({"classes": ["Sad", "Sad"]}, "damaged", id="a class twice"),
        pytest.param({"pack": {"source": 1}}, "damaged", id="source"),
        pytest.param({"pack": {"members": "ab"}}, "damaged", id="members"),
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


RESULT = {"best_epoch": 3, "epochs": 5, "select_by": "accuracy", "dev": {"n": 2, "accuracy": 0.5}}


@pytest.fixture
def finished(run: Run) -> Run:
    """A run that has finished."""
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
    """The result is what was written, and the files are those that it was written about."""
    assert finished.read_result() == RESULT
    for name in HASHED_FILES:
        finished.require_unchanged(name)


def test_no_flipped_bit_is_silent(finished: Run) -> None:
    """Whichever bit of a hashed file is another one, one line names a file."""
    random = np.random.default_rng(0)
    for name in (*HASHED_FILES, "result.json"):
        path = finished.path / name
        content = path.read_bytes()
        for place in random.integers(0, 8 * len(content), 30).tolist():
            changed = bytearray(content)
            changed[place // 8] ^= 1 << place % 8
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
def test_odd_values_of_a_result(finished: Run, name: str, odd: object) -> None:
    """A value that cannot be is told, also where its hash is its own."""
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
    """A run of format version 1 has no hashes; nothing is compared."""
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


def test_dev_outputs_say_which_faces_they_are(run: Run) -> None:
    """Pack and row of each face come back; a run made before they were kept has none."""
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
        pytest.param({"logits": np.zeros((2, 3), np.float32)}, id="another number of classes"),
        pytest.param({"logits": np.zeros((3, 2), np.float32)}, id="another number of faces"),
        pytest.param({"logits": np.zeros((2, 2), np.int64)}, id="logits that are whole numbers"),
        pytest.param({"labels": np.array([0, 2])}, id="a label beyond the classes"),
        pytest.param({"labels": np.array([-1, 0])}, id="a label below 0"),
        pytest.param({"labels": np.array([0.0, 1.0])}, id="labels that are fractions"),
        pytest.param({"labels": np.float32(1)}, id="labels that are one number"),
        pytest.param({"crops": np.zeros((1, 4, 4, 3))}, id="crops that are no bytes"),
        pytest.param({"crops": np.zeros((0, 4, 4, 3), np.uint8)}, id="no crops"),
        pytest.param({"crops": np.zeros((1, 4, 5, 3), np.uint8)}, id="crops that are no squares"),
        pytest.param({"rows": np.zeros(3, np.int64)}, id="rows of other faces"),
    ],
)
def test_dev_outputs_that_do_not_fit(run: Run, change: dict[str, np.ndarray]) -> None:
    """Arrays that are not of one set of faces are told when they are read."""
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
    """Each way in which dev.npz can be unreadable is one line, and no pickle is opened."""
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


def test_a_class_of_an_earlier_release_has_its_name_of_today(run: Run) -> None:
    path = run.path / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"classes": ["Happy", "None"]}))
    assert Run.open(run.path).classes == ("Happy", "NoneOfEight")
