"""Writing shards."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mien.artifacts import file_sha256
from mien.formats.pack.schema import BATCH_ROWS, PackedFace, shard_schema
from mien.formats.pack.writer import compute_content_sha256, read_columns, write_shard

# Computed with the release that wrote pack format 2, for the faces of `_plain_faces`.
CONTENT_OF_VERSION_2 = "fee69dce5c5096ed2bff5527f9d0837eafd6e948c277fff2194f8c2453541cb7"


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


def _plain_faces() -> list[PackedFace]:
    return [
        PackedFace(
            key=f"{number}.jpg",
            row=number + 1,
            jpeg=b"jpeg",
            image_sha256=bytes([number]) * 32,
            perceptual_hash=bytes(32),
            label=number,
            crop_method="whole",
            distribution=(0.25, 0.75) if number else None,
            landmarks=None,
            valence=None if number else 0.5,
            arousal=None,
        )
        for number in range(2)
    ]


def test_content_hash_of_faces_without_persons(tmp_path: Path) -> None:
    """Faces without person, clip and attributes have the content hash that they had before these existed."""
    info = write_shard(tmp_path / "train-00000.arrow", "train", _plain_faces(), 2)
    assert compute_content_sha256(tmp_path, [info], ("a", "b")) == CONTENT_OF_VERSION_2


def test_content_hash_covers_persons(tmp_path: Path) -> None:
    """A changed person, clip or attribute changes the hash, as does moving a name from one to the other."""
    hashes = {CONTENT_OF_VERSION_2}
    for stated in ({"person": "S1"}, {"clip": "S1"}, {"attributes": {"age": "20"}}, {"person": "S2"}):
        faces = _plain_faces()
        faces[1] = replace(faces[1], **stated)
        info = write_shard(tmp_path / "train-00000.arrow", "train", faces, 2)
        hashes.add(compute_content_sha256(tmp_path, [info], ("a", "b")))
    assert len(hashes) == 5


def test_optional_columns_only_where_needed(tmp_path: Path) -> None:
    """A shard has the columns of the values that its faces have."""
    faces = [replace(face, clip="c", attributes={"b": "2", "a": "1"}) for face in _plain_faces()]
    write_shard(tmp_path / "train-00000.arrow", "train", faces, 2)
    table = pa.ipc.open_file(tmp_path / "train-00000.arrow").read_all()
    assert table.schema == shard_schema(2, ["clip", "attributes"])
    assert table["attributes"].to_pylist() == ['{"a": "1", "b": "2"}'] * 2
