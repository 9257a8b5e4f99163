"""Reading a pack: labels as arrays in memory, images one by one from memory-mapped shards.

Every file is verified against its hash in pack.json before it is used: once per opened `Pack`, and not again when a
split is sent to a data loader's process.
"""

import contextlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mien.artifacts import read_json, require_sha256
from mien.errors import ArtifactError
from mien.faces.crop import IDENTITY, CropContract, compose, crop_image, crop_matrix, invert_matrix
from mien.faces.images import decode_jpeg_gray, decode_jpeg_rgb
from mien.faces.landmarks import anchors_from_landmarks
from mien.faces.thumbnail import THUMBNAIL_SIDE, thumbnail
from mien.formats.pack.schema import (
    GROUPS_SCHEMA,
    HASH_BYTES,
    NO_LABEL,
    OPTIONAL_COLUMNS,
    PREPARE_AGAIN,
    SPLITS,
    PackInfo,
    shard_schema,
)
from mien.runtime.cpu import usable_cpu_cores
from mien.runtime.regular_files import open_regular
from mien.tasks import TASKS, Values

GROUPS = "groups.arrow"
# The crop of `AlignedSplit`.
ALIGNED = CropContract("aligned", margin=0.0)


class Pack:
    """A pack on disk. Cheap to open; `split` verifies the hashes of its shards."""

    def __init__(self, path: Path, info: PackInfo) -> None:
        self.path = path
        self.info = info
        self._verified: set[str] = set()

    @classmethod
    def open(cls, path: str | Path) -> "Pack":
        """Open a pack.

        Raises:
            ArtifactError: it is missing, unfinished, damaged or has another format version.
        """
        pack = cls._open(Path(path))
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
        return tuple(split for split in SPLITS if self.info.n_faces(split))

    def split(self, name: str, *, crop: Literal["stored", "aligned"] = "stored") -> "PackSplit":
        """Return the faces of one split.

        Args:
            name: ``train``, ``val`` or ``test``.
            crop: ``aligned`` crops the stored faces again, see `AlignedSplit`.

        Raises:
            ArtifactError: there is no such split, or a shard is missing or damaged.
        """
        if name not in self.splits:
            raise ArtifactError(
                f"Pack {self.path} has no split {name!r}, it has: {', '.join(self.splits)}. `mien browse`, `mien evaluate` and "
                f"`mien audit` read another with --split {next(iter(self.splits), 'SPLIT')}; training needs train"
            )
        return AlignedSplit(self, name) if crop == "aligned" else PackSplit(self, name)


class PackSplit:
    """The faces of one split.

    Attributes:
        keys: image paths as the source writes them, ``(N,)`` strings.
        row_numbers: ``(N,)`` int64 rows in the source's list of this split, from 1.
        labels: ``(N,)`` int64 indices into the pack's classes, `NO_LABEL` for a face without an expression label.
        distributions: ``(N, C)`` float32 label distributions from votes, or None.
        annotations: ``(N, *shape)`` float32 for each task with columns in the pack, NaN where a face has none.
        groups: ``(N,)`` int64; faces with the same number are near-duplicates, also across splits.
        crop_matrices: ``(N, 2, 3)`` from fractions of the stored image to fractions of the crop that `image` returns.
        box_matrices: ``(N, 2, 3)`` from fractions of that crop to fractions of the face box.
        persons: ``(N,)`` names of the persons or None, as the source gives them; None if it names nobody.
        clips: ``(N,)`` names of the videos or sequences or None, in the same way.
    """

    def __init__(self, pack: Pack, name: str) -> None:
        self.pack = pack
        self.name = name
        shards = [shard for shard in pack.info.shards if shard.split == name]
        hashes = {shard.name: shard.sha256 for shard in shards}
        if pack.info.groups_sha256 is not None:
            hashes[GROUPS] = pack.info.groups_sha256
        pack.verify(hashes)
        paths = [pack.path / shard.name for shard in shards]
        tables = [
            _open_table(path, n_rows=shard.n_faces, info=pack.info)
            for path, shard in zip(paths, shards, strict=True)
        ]
        table = pa.concat_tables(tables, promote_options="default")
        self.keys: list[str] = table["key"].to_pylist()
        self.row_numbers: NDArray[np.int64] = table["row"].to_numpy()
        self.labels = self._read_labels(table["label"])
        self.distributions = _matrix(table["distribution"], len(pack.info.classes))
        self.annotations = self._read_annotations(table)
        n_before = sum(pack.info.n_faces(split) for split in pack.splits[: pack.splits.index(name)])
        groups = _open_table(pack.path / GROUPS, n_rows=pack.info.n_kept)["group"]
        self.groups = np.asarray(groups.to_numpy()[n_before : n_before + len(self)], dtype=np.int64)
        self.crop_matrices = self.box_matrices = np.broadcast_to(IDENTITY, (len(self), 2, 3))
        self.persons = _strings(table, "person")
        self.clips = _strings(table, "clip")
        self._attributes = _strings(table, "attributes")
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

    @property
    def landmarks(self) -> NDArray[np.float32]:
        """The annotations of this task: ``(N, 68, 2)`` fractions of the crop."""
        return self.annotations["landmarks"]

    @property
    def valence_arousal(self) -> NDArray[np.float32]:
        """The annotations of this task: ``(N, 2)`` in [-1, 1]."""
        return self.annotations["valence_arousal"]

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen_split, (self.pack.path, self.name, self.pack.info.sha256())

    def _read_labels(self, column: pa.ChunkedArray) -> NDArray[np.int64]:
        labels: NDArray[np.int64] = column.to_numpy().astype(np.int64)
        info = self.pack.info
        n_unlabeled = info.unlabeled.get(self.name, 0)
        expected = [n_unlabeled, *info.counts.get(self.name, {}).values()]
        # With the faces without a label first.
        if (
            column.null_count
            or labels.min() < NO_LABEL
            or np.bincount(labels - NO_LABEL, minlength=len(expected)).tolist() != expected
        ):
            raise ArtifactError(
                f"The labels of split {self.name!r} of pack {self.pack.path} do not match the counts in pack.json. "
                f"{PREPARE_AGAIN}"
            )
        return labels

    def _read_annotations(self, table: pa.Table) -> Values:
        info, values = self.pack.info, {}
        for name, task in TASKS.items():
            shape, columns = (
                task.shape(len(info.classes), info.annotations),
                task.pack_columns(info.annotations),
            )
            if shape is None or not columns:
                continue
            parts = [
                table[column].to_numpy().astype(np.float32)[:, None]
                if width is None
                else _matrix(table[column], width)
                for column, width in columns.items()
            ]
            known = [part for part in parts if part is not None]
            joined = np.hstack(known) if known else np.full((len(self), *shape), task.missing, np.float32)
            values[name] = joined.reshape(-1, *shape)
        return values

    def read_perceptual_hashes(self) -> NDArray[np.uint8]:
        """Return ``(N, 32)`` hashes, similar for near-duplicates, also in other packs."""
        joined = b"".join(self._hashes.to_pylist())
        return np.frombuffer(joined, dtype=np.uint8).reshape(-1, HASH_BYTES)

    def read_attributes(self) -> list[dict[str, str]]:
        """Return what the source states about each face's person, by name; empty where it states nothing.

        Raises:
            ArtifactError: a face's attributes are not a JSON object of strings.
        """
        attributes: list[dict[str, str]] = []
        for text in self._attributes or [None] * len(self):
            try:
                value = json.loads(text or "{}")
                if not isinstance(value, dict) or not all(isinstance(part, str) for part in value.values()):
                    raise ValueError
            except ValueError:
                raise ArtifactError(
                    f"The `attributes` of split {self.name!r} of pack {self.pack.path} must be JSON objects of strings, got "
                    f"{text!r:.80}. {PREPARE_AGAIN}"
                ) from None
            attributes.append(value)
        return attributes

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

    def stored_image(self, index: int) -> NDArray[np.uint8]:
        """Return a face as the pack stores it, ``(S, S, 3)`` uint8 RGB."""
        return decode_jpeg_rgb(self.jpeg(index))

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return a face as ``(S, S, 3)`` uint8 RGB."""
        return self.stored_image(index)


class AlignedSplit(PackSplit):
    """The faces of one split, cropped again: aligned by the eyes and mouth of their landmarks, without a margin.

    A face without landmarks is shown by its box. `landmarks` are fractions of these crops.
    """

    def __init__(self, pack: Pack, name: str) -> None:
        super().__init__(pack, name)
        crop = pack.info.crop
        margin = 0.0 if crop.method == "whole" else crop.margin
        unit_wh = (1, 1)
        box_xyxy = np.array([margin, margin, 1 + margin, 1 + margin]) / (1 + 2 * margin)
        to_box, _ = crop_matrix(replace(ALIGNED, method="box"), unit_wh, box_xyxy=box_xyxy)
        to_crops = []
        for points in self.landmarks:
            anchors = anchors_from_landmarks(points) if np.isfinite(points).all() else None
            to_crops.append(crop_matrix(ALIGNED, unit_wh, anchors=anchors, box_xyxy=box_xyxy)[0])
        self.crop_matrices = np.stack(to_crops)
        self.box_matrices = compose(to_box, np.stack([invert_matrix(matrix) for matrix in to_crops]))
        moved = (
            self.landmarks @ self.crop_matrices[:, :, :2].swapaxes(1, 2) + self.crop_matrices[:, None, :, 2]
        )
        self.annotations["landmarks"] = moved.astype(np.float32)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen_split, (self.pack.path, self.name, self.pack.info.sha256(), "aligned")

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return a face as ``(S, S, 3)`` uint8 RGB, with the side of the stored image."""
        stored = self.stored_image(index)
        side = stored.shape[0]
        return crop_image(stored, self.crop_matrices[index] / (side, side, 1.0), side)


def _reopen_split(
    path: Path, name: str, info_sha256: str, crop: Literal["stored", "aligned"] = "stored"
) -> PackSplit:
    return Pack.reopen(path, info_sha256).split(name, crop=crop)


def _open_table(path: Path, *, n_rows: int, info: PackInfo | None = None) -> pa.Table:
    """Open a shard of the pack that ``info`` describes, or the groups."""
    try:
        open_regular(path).close()
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise ArtifactError(f"{path} of the pack cannot be read: {error}. {PREPARE_AGAIN}") from None
    if info is None:
        schema = GROUPS_SCHEMA
    else:
        optional = [name for name in OPTIONAL_COLUMNS if name in table.schema.names]
        schema = shard_schema(len(info.classes), info.annotations, optional)
    if table.schema != schema:
        raise ArtifactError(f"{path} of the pack has the wrong columns. {PREPARE_AGAIN}")
    if table.num_rows != n_rows:
        raise ArtifactError(
            f"{path} of the pack has {table.num_rows} faces, pack.json says {n_rows}. {PREPARE_AGAIN}"
        )
    return table


def _strings(table: pa.Table, name: str) -> list[str | None] | None:
    """Return an optional column, or None if no shard has it."""
    strings: list[str | None] | None = table[name].to_pylist() if name in table.schema.names else None
    return strings


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
