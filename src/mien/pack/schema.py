"""The rows of a pack and the content of pack.json. docs/formats.md is their specification."""

import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mien.artifacts import json_sha256
from mien.errors import ArtifactError
from mien.faces.classes import current_class, problem_of_names
from mien.faces.crop import CropContract

FORMAT_VERSION = 2
# Version 1 held hashes of the shards alone.
READABLE_VERSIONS = (1, FORMAT_VERSION)
SPLITS = ("train", "val", "test")
# Small batches keep a read of one face small, on disk and over a network.
BATCH_ROWS = 256
HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class PackedFace:
    """A cropped face with its labels.

    Attributes:
        key: the picture's path as its source writes it.
        row: 1-based row in the source's list of this split.
        jpeg: the crop.
        image_sha256: of ``jpeg``: equal for exact duplicates.
        perceptual_hash: 32 bytes, alike for near-duplicates.
        label: index into the pack's classes.
        crop_method: the method used for this face after fall-backs.
        distribution: share of votes of each class, or None.
        landmarks: ``(68, 2)`` fractions of the crop, or None.
        valence: in [-1, 1], or None.
        arousal: in [-1, 1], or None.
    """

    key: str
    row: int
    jpeg: bytes
    image_sha256: bytes
    perceptual_hash: bytes
    label: int
    crop_method: str
    distribution: tuple[float, ...] | None
    landmarks: NDArray[np.float32] | None
    valence: float | None
    arousal: float | None


# groups.arrow holds one row for each face of the pack, in the order of splits and shards.
GROUPS_SCHEMA = pa.schema([pa.field("group", pa.int64())])


def shard_schema(n_classes: int) -> pa.Schema:
    """Return the Arrow schema of a shard."""
    return pa.schema(
        [
            pa.field("key", pa.string(), nullable=False),
            pa.field("row", pa.int64(), nullable=False),
            pa.field("image", pa.binary(), nullable=False),
            pa.field("image_sha256", pa.binary(HASH_BYTES), nullable=False),
            pa.field("perceptual_hash", pa.binary(HASH_BYTES), nullable=False),
            pa.field("label", pa.int16(), nullable=False),
            pa.field("crop_method", pa.string(), nullable=False),
            pa.field("distribution", pa.list_(pa.float32(), n_classes)),
            pa.field("landmarks", pa.list_(pa.float32(), 136)),
            pa.field("valence", pa.float32()),
            pa.field("arousal", pa.float32()),
        ]
    )


@dataclass(frozen=True, slots=True)
class ShardInfo:
    """A shard's entry in pack.json."""

    name: str
    split: str
    n_faces: int
    sha256: str


@dataclass(frozen=True, slots=True)
class PackInfo:
    """What pack.json says.

    Attributes:
        format_version: of the pack.
        mien_version: that wrote it.
        source: kind of raw set.
        classes: names, in label order.
        crop: how the faces were cut.
        counts: kept faces by split and class.
        rejected: rejected rows by split and the class that they claim.
        rejected_by_reason: rejected rows by reason code.
        warnings: what was left out of kept faces, by code.
        crop_methods: faces by the method used after fall-backs.
        duplicates: see `mien.faces.near_duplicates`.
        n_rows: rows read.
        n_kept: faces in the pack.
        n_rejected: rows in rejects.csv.
        content_sha256: of the kept faces and labels alone.
        shards: the files.
        groups_sha256: of groups.arrow; None in format version 1.
        rejects_sha256: of rejects.csv; None in format version 1, and where there is no such file.
    """

    format_version: int
    mien_version: str
    source: str
    classes: tuple[str, ...]
    crop: CropContract
    counts: dict[str, dict[str, int]]
    rejected: dict[str, dict[str, int]]
    rejected_by_reason: dict[str, int]
    warnings: dict[str, int]
    crop_methods: dict[str, int]
    duplicates: dict[str, int]
    n_rows: int
    n_kept: int
    n_rejected: int
    content_sha256: str
    shards: tuple[ShardInfo, ...]
    groups_sha256: str | None = None
    rejects_sha256: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, with the hash of all others under `INFO_SHA256`."""
        return {**asdict(self), INFO_SHA256: self.sha256()}

    def sha256(self) -> str:
        """Return the hash of all values, in hex."""
        return json_sha256(asdict(self))

    @classmethod
    def from_dict(cls, value: dict[str, Any], *, where: str) -> "PackInfo":
        """Read pack.json's content.

        Raises:
            ArtifactError: another format version, a value that cannot be, values that contradict each other, or a hash
                that is not theirs.
        """
        version = value.get("format_version")
        if type(version) is not int or version not in READABLE_VERSIONS:
            raise ArtifactError(
                f"{where} has pack format version {version!r:.40}, this release reads "
                f"{' and '.join(map(str, READABLE_VERSIONS))}. {PREPARE_AGAIN}"
            )
        try:
            if version > 1:
                value = _without_hash(value)
            info = cls(
                **{
                    **value,
                    "classes": _class_names(value["classes"]),
                    **{name: _with_current_names(value[name]) for name in ("counts", "rejected")},
                    "crop": CropContract.from_dict(value["crop"]),
                    "shards": tuple(ShardInfo(**shard) for shard in value["shards"]),
                }
            )
            _require_types(info)
            _require_sums(info)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else error
            raise ArtifactError(f"{where} is damaged: {reason}. {PREPARE_AGAIN}") from None
        return info


INFO_SHA256 = "info_sha256"
PREPARE_AGAIN = "Copy the pack again, or make it anew with `mien prepare ... --force`"
_SHA256 = re.compile("[0-9a-f]{64}")


def _without_hash(value: dict[str, Any]) -> dict[str, Any]:
    """Return the values that the hash in pack.json covers, after comparing it."""
    covered = {name: entry for name, entry in value.items() if name != INFO_SHA256}
    if value[INFO_SHA256] != json_sha256(covered):
        raise ValueError(f"its `{INFO_SHA256}` is not that of its values")
    return covered


def _class_names(names: Any) -> tuple[str, ...]:
    classes = tuple(map(current_class, names)) if isinstance(names, list) else ()
    if not classes:
        raise ValueError(f"`classes` must be a list of names, got {names!r:.80}")
    if problem := problem_of_names(classes):
        raise ValueError(f"`classes`: {problem}")
    return classes


def _with_current_names(counts: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    return {
        split: {current_class(name): count for name, count in of_split.items()}
        for split, of_split in counts.items()
    }


def _require_types(info: PackInfo) -> None:
    """Refuse a value of another type than the writer writes.

    Raises:
        ValueError: there is one.
    """
    hashes = ["content_sha256"] + ["groups_sha256"] * (info.format_version > 1)
    hashes += ["rejects_sha256"] * (info.rejects_sha256 is not None)
    by_name = ("rejected_by_reason", "warnings", "crop_methods", "duplicates")
    entries = [
        *((name, getattr(info, name), "text") for name in ("mien_version", "source")),
        *((name, getattr(info, name), "a number of faces") for name in ("n_rows", "n_kept", "n_rejected")),
        *((name, getattr(info, name), "numbers of faces by name") for name in by_name),
        *(
            (name, getattr(info, name), "numbers of faces by split and name")
            for name in ("counts", "rejected")
        ),
        *((name, getattr(info, name), "64 hexadecimal digits") for name in hashes),
    ]
    for number, shard in enumerate(info.shards):
        where = f"shards[{number}]"
        entries += [
            (f"{where}.split", shard.split, "a split"),
            (f"{where}.n_faces", shard.n_faces, "a number of faces"),
            (f"{where}.sha256", shard.sha256, "64 hexadecimal digits"),
        ]
    for name, value, kind in entries:
        if not _KINDS[kind](value):
            raise ValueError(f"`{name}` must be {kind}, got {value!r:.80}")


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _are_counts(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_count, value.values()))


def _is_split(value: object) -> bool:
    return isinstance(value, str) and value in SPLITS


_KINDS: dict[str, Callable[[object], bool]] = {
    "text": lambda value: isinstance(value, str),
    "a split": _is_split,
    "a number of faces": _is_count,
    "numbers of faces by name": _are_counts,
    "numbers of faces by split and name": lambda value: (
        isinstance(value, dict) and all(map(_is_split, value)) and all(map(_are_counts, value.values()))
    ),
    "64 hexadecimal digits": lambda value: isinstance(value, str) and bool(_SHA256.fullmatch(value)),
}


def _require_sums(info: PackInfo) -> None:
    """Refuse values that contradict each other: counts, sums, and which shards there are, in which order.

    Raises:
        ValueError: some do.
    """
    by_split = {split: list(shards) for split, shards in groupby(info.shards, key=lambda shard: shard.split)}
    names = [shard_name(split, number) for split in SPLITS for number in range(len(by_split.get(split, ())))]
    if [shard.name for shard in info.shards] != names:
        raise ValueError(
            "`shards` must name every shard once, by split and number: "
            f"{shard_name('train', 0)}, {shard_name('train', 1)}, ..."
        )
    for split in SPLITS:
        counts = info.counts.get(split, {})
        if counts and tuple(counts) != info.classes:
            raise ValueError(f"`counts.{split}` must have each of `classes`, in their order")
        _require_equal(
            f"`counts.{split}`", counts.values(), sum(shard.n_faces for shard in by_split.get(split, ()))
        )
    _require_equal("`n_faces` of `shards`", (shard.n_faces for shard in info.shards), info.n_kept)
    _require_equal("`crop_methods`", info.crop_methods.values(), info.n_kept)
    _require_equal("`rejected_by_reason`", info.rejected_by_reason.values(), info.n_rejected)
    _require_equal(
        "`rejected`", (count for part in info.rejected.values() for count in part.values()), info.n_rejected
    )
    _require_equal("`n_kept` and `n_rejected`", (info.n_kept, info.n_rejected), info.n_rows)


def _require_equal(what: str, counts: Iterable[int], total: int) -> None:
    found = sum(counts)
    if found != total:
        raise ValueError(f"{what} must sum to {total}, got {found}")


def shard_name(split: str, number: int) -> str:
    """Return the file name of a split's shard, counted from 0."""
    return f"{split}-{number:05d}.arrow"
