"""Writing shards."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mien.artifacts import file_sha256
from mien.formats.pack.schema import BATCH_ROWS, shard_schema
from mien.formats.pack.writer import read_columns, write_shard


def test_shard_of_no_faces(tmp_path: Path) -> None:
    """A shard without faces is a file that any Arrow tool can read."""
    info = write_shard(tmp_path / "val-00000.arrow", "val", [], 3)
    table = pa.ipc.open_file(tmp_path / "val-00000.arrow").read_all()
    assert (info.n_faces, table.num_rows, table.schema) == (0, 0, shard_schema(3))
    assert list(read_columns(tmp_path / "val-00000.arrow", ("key",))) == []


def test_shard_knows_its_file(training_pack: Path) -> None:
    """Batches are small, and the recorded hash is the file's."""
    batches = list(read_columns(training_pack / "train-00000.arrow", ("label", "key")))
    assert max(batch.num_rows for batch in batches) <= BATCH_ROWS
    assert batches[0].schema.names == ["label", "key"]


def test_failure_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When writing fails, neither the shard nor a part of it remains."""

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mien.formats.pack.writer.pa.ipc.new_file", fail)
    with pytest.raises(OSError, match="No space left"):
        write_shard(tmp_path / "train-00000.arrow", "train", [], 2)
    assert list(tmp_path.iterdir()) == []


def test_same_faces_same_file(training_pack: Path, make_training_pack: object, tmp_path: Path) -> None:
    """Writing the same faces again gives the same bytes."""
    again = make_training_pack(tmp_path / "again.pack")  # type: ignore[operator]
    for name in ("train-00000.arrow", "val-00000.arrow", "groups.arrow", "pack.json"):
        assert file_sha256(again / name) == file_sha256(training_pack / name)


def test_groups_are_integers(training_pack: Path) -> None:
    """groups.arrow has one row per face of the pack."""
    table = pa.ipc.open_file(training_pack / "groups.arrow").read_all()
    assert table["group"].to_numpy().dtype == np.int64
    assert table.num_rows == 216
