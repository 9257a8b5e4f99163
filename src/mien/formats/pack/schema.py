"""The rows of a pack and the content of pack.json, as specified in docs/formats.md."""

import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mien.artifacts import json_sha256
from mien.errors import ArtifactError
from mien.faces.classes import check_class_names, current_class
from mien.faces.crop import CropContract
from mien.tasks import NO_ANNOTATIONS, TASKS, Annotations, annotations_to_dict, parse_annotations

FORMAT_VERSION = 3
# Version 1 had only the hashes of the shards, version 2 neither `OPTIONAL_COLUMNS`, annotations nor terms.
READABLE_VERSIONS = (1, 2, FORMAT_VERSION)
SPLITS = ("train", "val", "test")
# The label of a face whose expression is not annotated.
NO_LABEL = -1
# With small batches, reading one face takes little I/O, on disk and over a network.
BATCH_ROWS = 256
HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class PackedFace:
    """A cropped face with its labels.

    Attributes:
        key: path of the image as its source writes it.
        row: 1-based row in the source's list of this split.
        jpeg: the crop.
        image_sha256: hash of ``jpeg``, equal for exact duplicates.
        perceptual_hash: 32 bytes, similar for near-duplicates.
        label: index into the pack's classes, or `NO_LABEL`.
        crop_method: the method used for this face after fallbacks.
        distribution: fraction of votes per class, or None.
        landmarks: ``(68, 2)`` fractions of the crop, or None.
        valence: in [-1, 1], or None.
        arousal: in [-1, 1], or None.
        person: who it is, as the source names the person, or None.
        clip: the video or sequence that it is from, as the source names it, or None.
        attributes: what the source states about the person, such as age, gender and race, by name.
        landmarks_by: the model that placed the landmarks, if no person did, or None.
        annotations: the values of optional tasks, ``(*shape)`` float32 with the task's mark where missing.
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
    person: str | None = None
    clip: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    landmarks_by: str | None = None
    annotations: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def values(self, column: str) -> list[float] | float | None:
        """Return the values of one of `Task.pack_columns`; None if the face has none."""
        if column in self.annotations:
            return self.annotations[column].reshape(-1).tolist()
        if column == "landmarks":
            return None if self.landmarks is None else self.landmarks.reshape(-1).tolist()
        number: float | None = getattr(self, column, None)
        return number


# A shard has these columns only if one of its faces has a value. Attributes are a JSON object of strings.
OPTIONAL_COLUMNS = {
    "person": pa.string(),
    "clip": pa.string(),
    "attributes": pa.string(),
    "landmarks_by": pa.string(),
}

# groups.arrow has one row per face of the pack, in the order of splits and shards.
GROUPS_SCHEMA = pa.schema([pa.field("group", pa.int64())])


def annotation_columns(annotations: Annotations = NO_ANNOTATIONS) -> dict[str, int | None]:
    """Return the columns of a shard that hold the tasks' values, and the width of each list, None for a number."""
    columns = [task.pack_columns(annotations) for task in TASKS.values()]
    return {name: width for one in columns for name, width in one.items()}


def shard_schema(
    n_classes: int, annotations: Annotations = NO_ANNOTATIONS, optional: Iterable[str] = ()
) -> pa.Schema:
    """Return the Arrow schema of a shard.

    Args:
        n_classes: number of classes of the pack.
        annotations: the columns of optional tasks.
        optional: the `OPTIONAL_COLUMNS` that the shard has, in their order.
    """
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
            *(
                pa.field(name, pa.float32() if width is None else pa.list_(pa.float32(), width))
                for name, width in annotation_columns(annotations).items()
            ),
            *(pa.field(name, OPTIONAL_COLUMNS[name]) for name in optional),
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
    """The content of pack.json.

    Attributes:
        format_version: version of the pack format.
        mien_version: release that wrote the pack.
        source: kind of dataset.
        classes: names, in label order.
        crop: how the faces were cropped.
        counts: number of faces by split and class.
        rejected: number of rejected rows by split and labeled class.
        rejected_by_reason: number of rejected rows by reason code.
        warnings: number of faces with dropped labels, by code.
        crop_methods: number of faces by the method used after fallbacks.
        duplicates: see `mien.faces.near_duplicates`.
        n_rows: rows read.
        n_kept: faces in the pack.
        n_rejected: rows in rejects.csv.
        content_sha256: hash of only the faces and labels.
        shards: the shard files.
        groups_sha256: hash of groups.arrow; None in format version 1.
        rejects_sha256: hash of rejects.csv; None in format version 1 and if there is no such file.
        terms: the terms of use, as the authors of the source state them; None if unknown.
        unlabeled: number of faces without an expression label by split, for splits that have any.
        annotations: the columns of optional tasks; the key is left out if there are none.
        corrections: number of corrected rows (``n_rows``) and hash of their file (``sha256``); None without any.
        landmarks_by: number of faces by split and by the model that placed their landmarks; the key is left out if people
            placed all of them.
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
    terms: str | None = None
    unlabeled: dict[str, int] = field(default_factory=dict)
    annotations: Annotations = field(default_factory=dict)
    corrections: dict[str, Any] | None = None
    landmarks_by: dict[str, dict[str, int]] = field(default_factory=dict)

    def n_faces(self, split: str) -> int:
        """Return the number of faces in a split."""
        return sum(shard.n_faces for shard in self.shards if shard.split == split)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, including their hash under `INFO_SHA256`."""
        return {**self._values(), INFO_SHA256: self.sha256()}

    def sha256(self) -> str:
        """Return the hex hash of all values."""
        return json_sha256(self._values())

    def _values(self) -> dict[str, Any]:
        values = asdict(replace(self, annotations={}))
        del values["annotations"]
        if not self.landmarks_by:  # so that pack.json of other packs stays as it was
            del values["landmarks_by"]
        return values | ({"annotations": annotations_to_dict(self.annotations)} if self.annotations else {})

    @classmethod
    def from_dict(cls, value: dict[str, Any], *, where: str) -> "PackInfo":
        """Parse the content of pack.json.

        Raises:
            ArtifactError: another format version, an invalid value, values that contradict each other, or a hash that
                does not match.
        """
        version = value.get("format_version")
        if type(version) is not int or version not in READABLE_VERSIONS:
            raise ArtifactError(
                f"{where} has pack format version {version!r:.40}, this release reads "
                f"{min(READABLE_VERSIONS)} to {max(READABLE_VERSIONS)}. {PREPARE_AGAIN}"
            )
        value = dict(value)
        try:
            if version > 1:
                expected_sha256 = value.pop(INFO_SHA256)
                if expected_sha256 != json_sha256(value):
                    raise ValueError(f"its `{INFO_SHA256}` does not match its values")
            names = value["classes"]
            if not isinstance(names, list) or not (names or value.get("unlabeled")):
                raise ValueError(f"`classes` must be a list of names, got {names!r:.80}")
            classes = tuple(map(current_class, names))
            if problem := check_class_names(classes):
                raise ValueError(f"`classes`: {problem}")
            for name in ("counts", "rejected"):
                value[name] = {
                    split: {current_class(label): count for label, count in counts.items()}
                    for split, counts in value[name].items()
                }
            crop = CropContract.from_dict(value["crop"])
            shards = tuple(ShardInfo(**shard) for shard in value["shards"])
            annotations = parse_annotations(value.get("annotations", {}))
            parsed = {"classes": classes, "crop": crop, "shards": shards, "annotations": annotations}
            info = cls(**{**value, **parsed})
            info._require_types()
            info._require_sums()
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else error
            raise ArtifactError(f"{where} is damaged: {reason}. {PREPARE_AGAIN}") from None
        return info

    def _require_types(self) -> None:
        names_by_kind = {
            "text": ["mien_version", "source", *["terms"] * (self.terms is not None)],
            "a count": ["n_rows", "n_kept", "n_rejected"],
            "counts by name": ["rejected_by_reason", "warnings", "crop_methods", "duplicates"],
            "counts by split": ["unlabeled"],
            "counts by split and name": ["counts", "rejected", "landmarks_by"],
            "64 hexadecimal digits": [
                "content_sha256",
                *["groups_sha256"] * (self.format_version > 1),
                *["rejects_sha256"] * (self.rejects_sha256 is not None),
            ],
        }
        entries = [
            (name, getattr(self, name), kind) for kind, names in names_by_kind.items() for name in names
        ]
        for number, shard in enumerate(self.shards):
            where = f"shards[{number}]"
            entries += [
                (f"{where}.split", shard.split, "a split"),
                (f"{where}.n_faces", shard.n_faces, "a count"),
                (f"{where}.sha256", shard.sha256, "64 hexadecimal digits"),
            ]
        if self.corrections is not None:
            entries += [
                ("corrections.n_rows", self.corrections["n_rows"], "a count"),
                ("corrections.sha256", self.corrections["sha256"], "64 hexadecimal digits"),
            ]
        for name, value, kind in entries:
            if not _KINDS[kind](value):
                raise ValueError(f"`{name}` must be {kind}, got {value!r:.80}")

    def _require_sums(self) -> None:
        """Reject counts that contradict each other, and shards that are missing, repeated or out of order."""
        by_split = {
            split: list(shards) for split, shards in groupby(self.shards, key=lambda shard: shard.split)
        }
        names = [
            shard_name(split, number) for split in SPLITS for number in range(len(by_split.get(split, ())))
        ]
        if [shard.name for shard in self.shards] != names:
            raise ValueError(
                "`shards` must name every shard once, by split and number: "
                f"{shard_name('train', 0)}, {shard_name('train', 1)}, ..."
            )
        sums: list[tuple[str, Iterable[int], int]] = []
        for split in SPLITS:
            counts = self.counts.get(split, {})
            if counts and tuple(counts) != self.classes:
                raise ValueError(f"`counts.{split}` must have each of `classes`, in their order")
            n_unlabeled = self.unlabeled.get(split, 0)
            what = f"`counts.{split}`" + f" and `unlabeled.{split}`" * bool(n_unlabeled)
            sums.append((what, [*counts.values(), n_unlabeled], self.n_faces(split)))
        rejected = [count for by_class in self.rejected.values() for count in by_class.values()]
        sums += [
            ("`n_faces` of `shards`", [shard.n_faces for shard in self.shards], self.n_kept),
            ("`crop_methods`", self.crop_methods.values(), self.n_kept),
            ("`rejected_by_reason`", self.rejected_by_reason.values(), self.n_rejected),
            ("`rejected`", rejected, self.n_rejected),
            ("`n_kept` and `n_rejected`", [self.n_kept, self.n_rejected], self.n_rows),
        ]
        for name, values, total in sums:
            if sum(values) != total:
                raise ValueError(f"{name} must sum to {total}, got {sum(values)}")


INFO_SHA256 = "info_sha256"
PREPARE_AGAIN = "Copy the pack again, or prepare it again with `mien prepare ... --force`"
_SHA256 = re.compile("[0-9a-f]{64}")


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _are_counts(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_count, value.values()))


def _is_split(value: object) -> bool:
    return isinstance(value, str) and value in SPLITS


_KINDS: dict[str, Callable[[object], bool]] = {
    "text": lambda value: isinstance(value, str),
    "a split": _is_split,
    "a count": _is_count,
    "counts by name": _are_counts,
    "counts by split": lambda value: (
        isinstance(value, dict) and _are_counts(value) and all(map(_is_split, value))
    ),
    "counts by split and name": lambda value: (
        isinstance(value, dict) and all(map(_is_split, value)) and all(map(_are_counts, value.values()))
    ),
    "64 hexadecimal digits": lambda value: isinstance(value, str) and bool(_SHA256.fullmatch(value)),
}


def shard_name(split: str, number: int) -> str:
    """Return the file name of a split's shard; numbers start at 0."""
    return f"{split}-{number:05d}.arrow"
