"""A pack as Parquet files: what other programs read, and what `mien prepare parquet` makes the same pack from.

The files carry two descriptions in the metadata of their schema. ``huggingface`` holds the features that the `datasets`
library reads: `image` is an image, `label` a class with its name. ``mien`` holds what only mien needs: crop, classes,
source, terms.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mien.errors import ArtifactError
from mien.faces.classes import check_class_names
from mien.faces.crop import CropContract
from mien.formats.pack.reader import Pack
from mien.formats.pack.schema import (
    BATCH_ROWS,
    NO_LABEL,
    OPTIONAL_COLUMNS,
    annotation_columns,
    shard_schema,
)
from mien.formats.pack.writer import read_columns
from mien.runtime.json_text import parse_json
from mien.tasks import Annotations, annotations_to_dict, parse_annotations

MIEN_KEY, HUGGING_FACE_KEY = b"mien", b"huggingface"
PARQUET_VERSION = 1
# The names by which the `datasets` library recognizes splits in file names.
SPLIT_NAMES = {"train": "train", "val": "validation", "test": "test"}
# About the size of the files that the `datasets` library writes.
MAX_FILE_BYTES = 500_000_000

IMAGE, LABEL = "image", "label"
IMAGE_TYPE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])


def copied_columns(annotations: Annotations) -> tuple[str, ...]:
    """Return the columns of a shard, besides `OPTIONAL_COLUMNS`, that are not computed from others."""
    return ("key", "row", "crop_method", "distribution", *annotation_columns(annotations))


class PackedParquet(NamedTuple):
    """What the ``mien`` metadata of a Parquet file says about the pack that it holds.

    Attributes:
        crop: how the faces were cropped.
        classes: names, in label order.
        source: kind of dataset that the pack was made from.
        terms: see `PackInfo`.
        annotations: see `PackInfo`.
        content_sha256: its content hash.
    """

    crop: CropContract
    classes: tuple[str, ...]
    source: str
    terms: str | None
    annotations: Annotations
    content_sha256: str


def write_parquet(pack: Pack, folder: Path) -> list[Path]:
    """Write the faces of a pack, each split to files named like ``train-00000-of-00002.parquet``.

    Args:
        pack: the pack, whose files are verified first.
        folder: an existing folder.

    Returns:
        The files.

    Raises:
        ArtifactError: a file of the pack is damaged.
    """
    schema = _parquet_schema(pack)
    paths = []
    for split in pack.splits:
        pack.split(split)  # verifies the hashes
        shards = [pack.path / shard.name for shard in pack.info.shards if shard.split == split]
        n_bytes = sum(shard.stat().st_size for shard in shards)
        n_files = min(len(shards), math.ceil(n_bytes / MAX_FILE_BYTES))
        for number in range(n_files):
            path = folder / f"{SPLIT_NAMES[split]}-{number:05d}-of-{n_files:05d}.parquet"
            part = shards[number * len(shards) // n_files : (number + 1) * len(shards) // n_files]
            # JPEG files do not get smaller, and the other columns are small.
            with pq.ParquetWriter(path, schema, compression="zstd", write_page_index=True) as writer:
                for batch in _read_batches(part, schema):
                    writer.write_batch(batch, row_group_size=BATCH_ROWS)
            paths.append(path)
    return paths


def _parquet_schema(pack: Pack) -> pa.Schema:
    info = pack.info
    in_shards = shard_schema(len(info.classes), info.annotations)
    # All files of a set must have the same columns: those that any shard has.
    found: set[str] = set()
    for shard in info.shards:
        with pa.memory_map(str(pack.path / shard.name)) as file:
            found.update(pa.ipc.open_file(file).schema.names)
    features = {
        IMAGE: {"_type": "Image"},
        LABEL: {"names": list(info.classes), "_type": "ClassLabel"},
    }
    described = {
        "parquet_version": PARQUET_VERSION,
        "crop": info.crop.to_dict(),
        "classes": list(info.classes),
        "source": info.source,
        "terms": info.terms,
        "annotations": annotations_to_dict(info.annotations),
        "content_sha256": info.content_sha256,
    }
    columns = [pa.field(name, in_shards.field(name).type) for name in copied_columns(info.annotations)]
    columns += [pa.field(name, OPTIONAL_COLUMNS[name]) for name in OPTIONAL_COLUMNS if name in found]
    return pa.schema(
        [pa.field(IMAGE, IMAGE_TYPE), pa.field(LABEL, pa.int64()), *columns],
        metadata={
            HUGGING_FACE_KEY: json.dumps({"info": {"features": features}}),
            MIEN_KEY: json.dumps(described),
        },
    )


def _read_batches(shards: list[Path], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    names = [name for name in schema.names if name not in (IMAGE, LABEL)]
    for shard in shards:
        for batch in read_columns(shard, ("image", "label", *names)):
            image = pa.StructArray.from_arrays([batch["image"], batch["key"]], fields=list(IMAGE_TYPE))
            label = batch["label"].cast(pa.int64())
            is_labeled = pc.not_equal(label, NO_LABEL)
            columns = {IMAGE: image, LABEL: pc.if_else(is_labeled, label, pa.scalar(None, pa.int64()))}
            columns |= {
                name: batch[name]
                if name in batch.schema.names
                else pa.nulls(batch.num_rows, schema.field(name).type)
                for name in names
            }
            yield pa.record_batch([columns[name] for name in schema.names], schema=schema)


def parse_packed_parquet(schema: pa.Schema, *, where: str) -> PackedParquet | None:
    """Return what a file says about the pack that it holds, or None if mien did not write it.

    Raises:
        ArtifactError: it is from a later release, or damaged.
    """
    text = (schema.metadata or {}).get(MIEN_KEY)
    if text is None:
        return None
    try:
        described: dict[str, Any] = parse_json(text)
        version = described["parquet_version"]
        if version != PARQUET_VERSION:
            raise ArtifactError(
                f"{where} was written in version {version!r:.20} of a pack as Parquet, this release reads "
                f"{PARQUET_VERSION}. Write it again with this release"
            )
        classes, terms = tuple(described["classes"]), described["terms"]
        source, content_sha256 = described["source"], described["content_sha256"]
        annotations = parse_annotations(described.get("annotations", {}))
        if not all(isinstance(text, str) for text in (source, content_sha256, terms or "")):
            raise ValueError("`source`, `terms` and `content_sha256` must be text")
        if problem := check_class_names(classes):
            raise ValueError(f"`classes`: {problem}")
        return PackedParquet(
            CropContract.from_dict(described["crop"]), classes, source, terms, annotations, content_sha256
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise ArtifactError(
            f"The `mien` metadata of {where} is damaged: {reason}. Write the file again from its pack"
        ) from None
