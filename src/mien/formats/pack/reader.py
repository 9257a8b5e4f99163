"""Reading a pack: labels as arrays in memory, images one by one from memory-mapped shards.

Every file is verified against its hash in pack.json before it is used: once per opened `Pack`, and not again when a
split is sent to a data loader's process.
"""

import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mien.artifacts import read_json, require_sha256
from mien.errors import ArtifactError
from mien.faces.images import decode_jpeg_gray, decode_jpeg_rgb
from mien.faces.thumbnail import THUMBNAIL_SIDE, thumbnail
from mien.formats.pack.schema import GROUPS_SCHEMA, HASH_BYTES, PREPARE_AGAIN, SPLITS, PackInfo, shard_schema
from mien.runtime.cpu import usable_cpu_cores
from mien.runtime.regular_files import open_regular

GROUPS = "groups.arrow"


class Pack:
    """A pack on disk. Cheap to open; `split` verifies the hashes of its shards."""

    def __init__(self, path: Path, info: PackInfo) -> None:
        self.path = path
        self.info = info
        self._verified: set[str] = set()

    @classmethod
    def open(cls, path: Path) -> "Pack":
        """Open a pack.

        Raises:
            ArtifactError: it is missing, unfinished, damaged or has another format version.
        """
        pack = cls._open(path)
        if pack.info.rejects_sha256 is not None:
            pack.verify({"rejects.csv": pack.info.rejects_sha256})
        return pack

    @classmethod
    def _open(cls, path: Path) -> "Pack":
        if not path.exists():
            raise ArtifactError(f"Pack {path} does not exist. Make one with `mien prepare ... --out {path}`")
        if not path.is_dir():
            raise ArtifactError(
                f"Pack {path} is a file, a pack is a folder. Give a folder written by `mien prepare`"
            )
        if (path / ".prepare").exists() and not (path / "pack.json").exists():
            raise ArtifactError(
                f"Pack {path} is unfinished. Run the same `mien prepare` again, it resumes where it stopped"
            )
        info = PackInfo.from_dict(
            read_json(path / "pack.json", what="pack", advice=PREPARE_AGAIN), where=str(path / "pack.json")
        )
        return cls(path, info)

    @classmethod
    def reopen(cls, path: Path, info_sha256: str) -> "Pack":
        """Open a pack whose files another process of this command has already verified.

        Args:
            path: the pack.
            info_sha256: `PackInfo.sha256` at that time.

        Raises:
            ArtifactError: the pack has been replaced since.
        """
        pack = cls._open(path)
        if pack.info.sha256() != info_sha256:
            raise ArtifactError(f"Pack {path} was replaced while it was in use. Run the same command again")
        pack._verified |= {GROUPS, *(shard.name for shard in pack.info.shards)}
        return pack

    def verify(self, hashes: dict[str, str]) -> None:
        """Verify files of the pack against their hashes, each file only once.

        Raises:
            ArtifactError: a file is missing or has changed since it was written.
        """
        names = [name for name in hashes if name not in self._verified]

        def verify_one(name: str) -> None:
            require_sha256(self.path / name, hashes[name], record="pack.json", advice=PREPARE_AGAIN)

        with ThreadPoolExecutor(usable_cpu_cores()) as pool:  # hashing releases the GIL
            for _ in pool.map(verify_one, names):
                pass
        self._verified.update(names)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have faces."""
        return tuple(split for split in SPLITS if sum(self.info.counts.get(split, {}).values()))

    def split(self, name: str) -> "PackSplit":
        """Return the faces of one split.

        Raises:
            ArtifactError: there is no such split, or a shard is missing or damaged.
        """
        if name not in self.splits:
            raise ArtifactError(f"Pack {self.path} has no split {name!r}, it has: {', '.join(self.splits)}")
        return PackSplit(self, name)


class PackSplit:
    """The faces of one split.

    Attributes:
        keys: image paths as the source writes them, ``(N,)`` strings.
        labels: ``(N,)`` int64 indices into the pack's classes.
        distributions: ``(N, C)`` float32 label distributions from votes, or None.
        landmarks: ``(N, 68, 2)`` float32 fractions of the crop, NaN where a face has none.
        valence_arousal: ``(N, 2)`` float32 in [-1, 1], NaN where a face has none.
        groups: ``(N,)`` int64; faces with the same number are near-duplicates, also across splits.
    """

    def __init__(self, pack: Pack, name: str) -> None:
        self.pack = pack
        self.name = name
        shards = [shard for shard in pack.info.shards if shard.split == name]
        hashes = {shard.name: shard.sha256 for shard in shards}
        if pack.info.groups_sha256 is not None:
            hashes[GROUPS] = pack.info.groups_sha256
        pack.verify(hashes)
        schema = shard_schema(len(pack.info.classes))
        paths = [pack.path / shard.name for shard in shards]
        tables = [
            _open_table(path, schema, n_rows=shard.n_faces) for path, shard in zip(paths, shards, strict=True)
        ]
        table = pa.concat_tables(tables)
        self.keys: list[str] = table["key"].to_pylist()
        self.labels = self._read_labels(table["label"])
        self.distributions = _matrix(table["distribution"], len(pack.info.classes))
        landmarks = _matrix(table["landmarks"], 136)
        self.landmarks = (
            np.full((len(self), 68, 2), np.nan, np.float32)
            if landmarks is None
            else landmarks.reshape(-1, 68, 2)
        )
        self.valence_arousal = np.column_stack(
            [table[name].to_numpy().astype(np.float32) for name in ("valence", "arousal")]
        )
        n_before = sum(
            sum(pack.info.counts[split].values()) for split in pack.splits[: pack.splits.index(name)]
        )
        groups = _open_table(pack.path / GROUPS, GROUPS_SCHEMA, n_rows=pack.info.n_kept)["group"]
        self.groups = np.asarray(groups.to_numpy()[n_before : n_before + len(self)], dtype=np.int64)
        self._hashes = table["perceptual_hash"]
        self._chunks = table["image"].chunks
        self._starts = np.cumsum([0, *(len(chunk) for chunk in self._chunks)])
        self._files = [
            (str(path), path.stat().st_size)
            for path, one in zip(paths, tables, strict=True)
            for _ in range(one["image"].num_chunks)
        ]

    def __len__(self) -> int:
        return len(self.labels)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen_split, (self.pack.path, self.name, self.pack.info.sha256())

    def _read_labels(self, column: pa.ChunkedArray) -> NDArray[np.int64]:
        labels: NDArray[np.int64] = column.to_numpy().astype(np.int64)
        expected = list(self.pack.info.counts[self.name].values())
        if (
            column.null_count
            or labels.min() < 0
            or np.bincount(labels, minlength=len(expected)).tolist() != expected
        ):
            raise ArtifactError(
                f"The labels of split {self.name!r} of pack {self.pack.path} do not match the counts in pack.json. "
                f"{PREPARE_AGAIN}"
            )
        return labels

    def read_perceptual_hashes(self) -> NDArray[np.uint8]:
        """Return ``(N, 32)`` hashes, similar for near-duplicates, also in other packs."""
        joined = b"".join(self._hashes.to_pylist())
        return np.frombuffer(joined, dtype=np.uint8).reshape(-1, HASH_BYTES)

    def read_thumbnails(self) -> NDArray[np.uint8]:
        """Return ``(N, 32, 32)`` grayscale thumbnails, which are computed from the crops.

        Raises:
            ArtifactError: a shard was truncated after it was opened.
        """

        def read_one(index: int) -> NDArray[np.uint8]:
            return thumbnail(decode_jpeg_gray(self.jpeg(index), min_side=2 * THUMBNAIL_SIDE))

        with ThreadPoolExecutor(usable_cpu_cores()) as pool:  # decoding releases the GIL
            return np.stack(list(pool.map(read_one, range(len(self)))))

    def jpeg(self, index: int) -> memoryview:
        """Return a face's JPEG file, without copying.

        Raises:
            IndexError: there is no such face.
            ArtifactError: the shard was truncated after it was opened.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"`index` must be from 0 to {len(self) - 1}, got {index}")
        chunk = int(np.searchsorted(self._starts, index, side="right")) - 1
        path, n_bytes = self._files[chunk]
        # Accessing mapped bytes of a truncated file would kill the process.
        with contextlib.suppress(OSError):  # a removed file stays mapped
            found = os.stat(path).st_size  # noqa: PTH116 - for every face; `Path.stat` takes twice as long
            if found != n_bytes:
                raise ArtifactError(
                    f"{path} changed while it was read: it had {n_bytes:,} bytes, now {found:,}. {PREPARE_AGAIN}"
                )
        return memoryview(self._chunks[chunk][int(index - self._starts[chunk])].as_buffer()).cast("B")

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return a face as ``(S, S, 3)`` uint8 RGB."""
        return decode_jpeg_rgb(self.jpeg(index))


def _reopen_split(path: Path, name: str, info_sha256: str) -> PackSplit:
    return Pack.reopen(path, info_sha256).split(name)


def _open_table(path: Path, schema: pa.Schema, *, n_rows: int) -> pa.Table:
    try:
        open_regular(path).close()
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise ArtifactError(f"{path} of the pack cannot be read: {error}. {PREPARE_AGAIN}") from None
    if table.schema != schema:
        raise ArtifactError(f"{path} of the pack has the wrong columns. {PREPARE_AGAIN}")
    if table.num_rows != n_rows:
        raise ArtifactError(
            f"{path} of the pack has {table.num_rows} faces, pack.json says {n_rows}. {PREPARE_AGAIN}"
        )
    return table


def _matrix(column: pa.ChunkedArray, width: int) -> NDArray[np.float32] | None:
    """Return a list column as ``(N, width)``, with NaN in null rows; None if all rows are null."""
    if column.null_count == len(column):
        return None
    rows = np.full((len(column), width), np.nan, np.float32)
    start = 0
    for chunk in column.chunks:
        present = chunk.is_valid().to_numpy(zero_copy_only=False)
        values = chunk.drop_null().flatten().to_numpy().reshape(-1, width)
        rows[start : start + len(chunk)][present] = values
        start += len(chunk)
    return rows
