"""Writing shards and closing a pack. Written rows are never changed."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mien.artifacts import file_sha256, write_atomically, write_json
from mien.formats.pack.schema import (
    BATCH_ROWS,
    GROUPS_SCHEMA,
    OPTIONAL_COLUMNS,
    PackedFace,
    PackInfo,
    ShardInfo,
    annotation_columns,
    shard_schema,
)
from mien.tasks import NO_ANNOTATIONS, Annotations, annotations_to_dict


def write_shard(
    path: Path,
    split: str,
    faces: Sequence[PackedFace],
    n_classes: int,
    annotations: Annotations = NO_ANNOTATIONS,
) -> ShardInfo:
    """Write faces as one Arrow file, atomically."""
    optional: dict[str, list[str | None]] = {
        "person": [face.person for face in faces],
        "clip": [face.clip for face in faces],
        "attributes": [
            json.dumps(face.attributes, sort_keys=True) if face.attributes else None for face in faces
        ],
        "landmarks_by": [face.landmarks_by for face in faces],
    }
    present = [name for name in OPTIONAL_COLUMNS if any(value is not None for value in optional[name])]
    schema = shard_schema(n_classes, annotations, present)
    batch = pa.record_batch(
        [
            [face.key for face in faces],
            [face.row for face in faces],
            [face.jpeg for face in faces],
            [face.image_sha256 for face in faces],
            [face.perceptual_hash for face in faces],
            [face.label for face in faces],
            [face.crop_method for face in faces],
            [face.distribution for face in faces],
            *([face.values(column) for face in faces] for column in annotation_columns(annotations)),
            *(optional[name] for name in present),
        ],
        schema=schema,
    )

    def write(partial: Path) -> None:
        with pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            for start in range(0, batch.num_rows, BATCH_ROWS):
                writer.write_batch(batch.slice(start, BATCH_ROWS))

    write_atomically(path, write)
    return ShardInfo(path.name, split, len(faces), file_sha256(path))


def read_columns(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield the given columns of a shard batch by batch; other columns are not read from disk.

    `OPTIONAL_COLUMNS` that the shard does not have are left out.
    """
    with pa.memory_map(str(path)) as file:
        reader = pa.ipc.open_file(file)
        present = [name for name in columns if name not in OPTIONAL_COLUMNS or name in reader.schema.names]
        for index in range(reader.num_record_batches):
            yield reader.get_batch(index).select(present)


def compute_content_sha256(
    folder: Path,
    shards: Sequence[ShardInfo],
    classes: Sequence[str],
    annotations: Annotations = NO_ANNOTATIONS,
) -> str:
    """Return the hash of the faces and labels: equal for equal content, however it was prepared."""
    digest = hashlib.sha256("\0".join(classes).encode())
    if annotations:
        digest.update(json.dumps(annotations_to_dict(annotations), sort_keys=True).encode())
    float_columns = ("distribution", *annotation_columns(annotations))
    for shard in shards:
        columns = ("key", "label", *float_columns, "image_sha256")
        for batch in read_columns(folder / shard.name, (*columns, *OPTIONAL_COLUMNS)):
            keys, labels, digests = (batch[name].to_pylist() for name in ("key", "label", "image_sha256"))
            floats = [_float_bytes(batch[name]) for name in float_columns]
            optional = batch.select([name for name in OPTIONAL_COLUMNS if name in batch.schema.names])
            stated = optional.to_pylist() if optional.num_columns else [{}] * batch.num_rows
            for key, label, *parts, values in zip(keys, labels, *floats, digests, stated, strict=True):
                digest.update(f"\n{shard.split}\0{key}\0{label}\0".encode())
                digest.update(b"".join(parts))
                # Nothing is added for a face without these, so that the hashes of format version 2 stay valid.
                if known := {name: value for name, value in values.items() if value is not None}:
                    digest.update(json.dumps(known, sort_keys=True).encode())
    return digest.hexdigest()


def _float_bytes(column: pa.Array) -> list[bytes]:
    """Return each row's values as little-endian float32, or ``-`` for null."""
    values, width = column.drop_null(), 1
    if pa.types.is_fixed_size_list(column.type):
        values, width = values.flatten(), column.type.list_size
    # A pack without classes has lists of no width, which are all null.
    rows = iter(values.to_numpy(zero_copy_only=False).astype("<f4").reshape(-1, max(width, 1)))
    return [next(rows).tobytes() if is_valid else b"-" for is_valid in column.is_valid().to_pylist()]


def close_pack(folder: Path, info: PackInfo, groups: NDArray[np.int64]) -> PackInfo:
    """Write the groups, then pack.json, which completes the pack.

    Returns:
        The content of pack.json: ``info`` with the hashes of groups.arrow and, if there is one, rejects.csv.
    """
    table = pa.table({"group": groups}, schema=GROUPS_SCHEMA)

    def write(partial: Path) -> None:
        with pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)

    write_atomically(folder / "groups.arrow", write)
    rejects = folder / "rejects.csv"
    info = replace(
        info,
        groups_sha256=file_sha256(folder / "groups.arrow"),
        rejects_sha256=file_sha256(rejects) if rejects.exists() else None,
    )
    write_json(folder / "pack.json", info.to_dict())
    return info
