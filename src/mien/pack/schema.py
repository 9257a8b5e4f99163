"""The rows of a pack and the content of pack.json. docs/formats.md is their specification."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mien.errors import ArtifactError
from mien.faces.classes import current_class
from mien.faces.crop import CropContract

FORMAT_VERSION = 1
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

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: dict[str, Any], *, where: str) -> "PackInfo":
        """Read pack.json's content.

        Raises:
            ArtifactError: another format version, or fields are missing.
        """
        version = value.get("format_version")
        if version != FORMAT_VERSION:
            raise ArtifactError(
                f"{where} has pack format version {version!r}, this release reads {FORMAT_VERSION}. "
                "Run `mien prepare` again"
            )
        try:
            return cls(
                **{
                    **value,
                    "classes": tuple(map(current_class, value["classes"])),
                    **{
                        name: {
                            split: {current_class(each): count for each, count in of_split.items()}
                            for split, of_split in value[name].items()
                        }
                        for name in ("counts", "rejected")
                    },
                    "crop": CropContract(**value["crop"]),
                    "shards": tuple(ShardInfo(**shard) for shard in value["shards"]),
                }
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{where} is damaged: {error}. Run `mien prepare` again") from None
