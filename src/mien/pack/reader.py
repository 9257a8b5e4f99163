"""Reading a pack: labels as arrays in memory, pictures one by one from the memory-mapped shards."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mien.artifacts import read_json
from mien.errors import ArtifactError
from mien.faces.images import decode_jpeg_rgb
from mien.inputs import open_regular
from mien.pack.schema import GROUPS_SCHEMA, HASH_BYTES, SPLITS, PackInfo, shard_schema


class Pack:
    """A pack on disk. Cheap to open; `split` gives the faces."""

    def __init__(self, path: Path, info: PackInfo) -> None:
        self.path = path
        self.info = info

    @classmethod
    def open(cls, path: Path) -> "Pack":
        """Open a pack.

        Raises:
            ArtifactError: it is missing, unfinished, damaged or of another format version.
        """
        if not path.exists():
            raise ArtifactError(f"Pack {path} does not exist. Make one with `mien prepare ... --out {path}`")
        if not path.is_dir():
            raise ArtifactError(
                f"Pack {path} is a file, a pack is a folder. Give the one `mien prepare` made"
            )
        if (path / ".prepare").exists() and not (path / "pack.json").exists():
            raise ArtifactError(
                f"Pack {path} is unfinished. Run the same `mien prepare` again, it goes on where it stopped"
            )
        info = PackInfo.from_dict(read_json(path / "pack.json", what="pack"), where=str(path / "pack.json"))
        return cls(path, info)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that hold faces."""
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
        keys: picture paths as the source writes them, ``(N,)`` strings.
        labels: ``(N,)`` int64 indices into the pack's classes.
        distributions: ``(N, C)`` float32 shares of votes, or None.
        landmarks: ``(N, 68, 2)`` float32 fractions of the crop, NaN where a face has none.
        valence_arousal: ``(N, 2)`` float32 in [-1, 1], NaN where a face has none.
        groups: ``(N,)`` int64; faces with one number are near-duplicates, also across splits.
    """

    def __init__(self, pack: Pack, name: str) -> None:
        self.pack = pack
        self.name = name
        schema = shard_schema(len(pack.info.classes))
        table = pa.concat_tables(
            _open_table(pack.path / shard.name, schema, n_rows=shard.n_faces)
            for shard in pack.info.shards
            if shard.split == name
        )
        self.keys: list[str] = table["key"].to_pylist()
        self.labels = table["label"].to_numpy().astype(np.int64)
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
        self.groups = self._read_groups()
        self._hashes = table["perceptual_hash"]
        self._chunks = table["image"].chunks
        self._starts = np.cumsum([0, *(len(chunk) for chunk in self._chunks)])

    def __len__(self) -> int:
        return len(self.labels)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.pack.path, self.name)

    def _read_groups(self) -> NDArray[np.int64]:
        start = sum(
            sum(self.pack.info.counts[split].values())
            for split in self.pack.splits[: self.pack.splits.index(self.name)]
        )
        table = _open_table(self.pack.path / "groups.arrow", GROUPS_SCHEMA, n_rows=self.pack.info.n_kept)
        groups = table["group"].to_numpy()
        return np.asarray(groups[start : start + len(self)], dtype=np.int64)

    def read_perceptual_hashes(self) -> NDArray[np.uint8]:
        """Return ``(N, 32)`` hashes, alike for near-duplicates also of another pack."""
        joined = b"".join(self._hashes.to_pylist())
        return np.frombuffer(joined, dtype=np.uint8).reshape(-1, HASH_BYTES)

    def jpeg(self, index: int) -> memoryview:
        """Return a face's JPEG file, without a copy.

        Raises:
            IndexError: there is no such face.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"`index` must be from 0 to {len(self) - 1}, got {index}")
        chunk = int(np.searchsorted(self._starts, index, side="right")) - 1
        return memoryview(self._chunks[chunk][int(index - self._starts[chunk])].as_buffer()).cast("B")

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return a face as ``(S, S, 3)`` uint8 RGB."""
        return decode_jpeg_rgb(self.jpeg(index))


def _reopen(path: Path, name: str) -> PackSplit:
    return Pack.open(path).split(name)


def _open_table(path: Path, schema: pa.Schema, *, n_rows: int) -> pa.Table:
    try:
        open_regular(path).close()
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise ArtifactError(f"{path} of the pack cannot be read: {error}. Run `mien prepare` again") from None
    if table.schema != schema:
        raise ArtifactError(f"{path} of the pack has other columns than it should. Run `mien prepare` again")
    if table.num_rows != n_rows:
        raise ArtifactError(
            f"{path} of the pack has {table.num_rows} faces, pack.json says {n_rows}. Run `mien prepare` again"
        )
    return table


def _matrix(column: pa.ChunkedArray, width: int) -> NDArray[np.float32] | None:
    """Return a list column as ``(N, width)``, NaN in rows that are null; None where all are."""
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
