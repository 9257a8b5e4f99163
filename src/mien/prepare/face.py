"""One row of a raw set becomes one cropped face. Runs in worker processes."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from operator import itemgetter
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.artifacts import file_sha256, read_json, write_json
from mien.errors import ArtifactError
from mien.faces.crop import (
    CropContract,
    CropMethod,
    count_halvings,
    crop_matrix,
    cut,
    halved_matrix,
    transform_points,
)
from mien.faces.detector import CascadeDetector, Detector, open_detector
from mien.faces.image_files import read_image_file
from mien.faces.images import Picture, UnreadableImage, encode_jpeg, open_picture
from mien.faces.landmarks import anchors_from_landmarks
from mien.faces.perceptual_hash import perceptual_hash
from mien.pack.schema import PackedFace, shard_name
from mien.pack.writer import write_shard
from mien.sources.record import FaceRecord, RejectedRow, Row, Source

Pixels = NDArray[np.uint8]

# In an unfinished pack: the plan, and notes on each finished shard.
PROGRESS_FOLDER = ".prepare"


@dataclass(frozen=True, slots=True)
class ShardTask:
    """The rows of one shard, and where it goes. A shard is the unit of work: done when its file is there.

    `detector_path` is what `find_detector_path` found: None is the cascade.
    """

    split: str
    number: int
    rows: Sequence[Row]
    source: Source
    crop: CropContract
    detector_path: Path | None
    folder: Path

    @property
    def name(self) -> str:
        """The shard's file name."""
        return shard_name(self.split, self.number)

    @property
    def notes_path(self) -> Path:
        """The file beside the shard that says what was rejected."""
        return self.folder / PROGRESS_FOLDER / f"{self.split}-{self.number:05d}.json"


@dataclass(slots=True)
class ShardNotes:
    """What happened to the rows of a shard that is not in the shard itself."""

    rejects: list[dict[str, str | int]] = field(default_factory=list)
    warnings: Counter[str] = field(default_factory=Counter)


def make_shard(task: ShardTask) -> dict[str, object]:
    """Turn a task's rows into a shard file and, after it, the notes on it. Both are there when it is done.

    Returns:
        The shard's entry for pack.json.
    """
    cv2.setNumThreads(1)
    notes = ShardNotes()
    faces = []
    for row, record in _parse_rows(task, notes):
        try:
            face, warnings = make_face(row, record, task.crop, task.detector_path)
        except RejectedRow as rejection:
            notes.rejects.append(_reject_entry(row, task.source, rejection))
        else:
            faces.append(face)
            notes.warnings.update(warnings)
    notes.rejects.sort(key=itemgetter("row"))
    info = write_shard(task.folder / task.name, task.split, faces, len(task.source.classes))
    entry = {"name": info.name, "split": info.split, "n_faces": info.n_faces, "sha256": info.sha256}
    write_json(task.notes_path, {"shard": entry, "rejects": notes.rejects, "warnings": dict(notes.warnings)})
    return entry


def is_made(task: ShardTask) -> bool:
    """Whether a shard and its notes are there and belong together. What a power cut spoiled is to be made again."""
    try:
        entry = read_json(task.notes_path, what="unfinished pack")["shard"]
        return bool(entry["sha256"] == file_sha256(task.folder / task.name))
    except (ArtifactError, OSError, KeyError, TypeError):
        return False


def _parse_rows(task: ShardTask, notes: ShardNotes) -> list[tuple[Row, FaceRecord]]:
    """Parse a task's rows, all at once: between two pictures it would take twice as long, with cold caches."""
    parsed = []
    for row in task.rows:
        try:
            parsed.append((row, task.source.parse(row)))
        except RejectedRow as rejection:
            notes.rejects.append(_reject_entry(row, task.source, rejection))
    return parsed


def _reject_entry(row: Row, source: Source, rejection: RejectedRow) -> dict[str, str | int]:
    return {
        "split": row.split,
        "row": row.number,
        "path": row.key,
        "label": source.class_of(row),
        "reason": rejection.reason,
        "detail": rejection.detail,
    }


def make_face(
    row: Row, record: FaceRecord, crop: CropContract, detector_path: Path | None
) -> tuple[PackedFace, list[str]]:
    """Read, verify, orient, crop and encode one face.

    Returns:
        The face, and warning codes of what was left out of it.

    Raises:
        RejectedRow: the row cannot become a face.
    """
    try:
        return _make_face(row, record, _open(record), crop, detector_path=detector_path)
    except UnreadableImage as refusal:
        raise RejectedRow(refusal.reason, refusal.detail) from None


def _make_face(
    row: Row, record: FaceRecord, picture: Picture, crop: CropContract, *, detector_path: Path | None
) -> tuple[PackedFace, list[str]]:
    warnings = list(record.warnings)
    size_wh, box_xyxy = picture.size_wh, record.box_xyxy
    if record.landmarks is not None and not _belong(record.landmarks, size_wh):
        record = replace(record, landmarks=None)
        warnings.append("landmark_place")
    anchors = None if record.landmarks is None else anchors_from_landmarks(record.landmarks)
    if crop.method != "whole" and anchors is None and box_xyxy is None:
        picture = Picture(size_wh, picture.decode()[0])
        anchors, box_xyxy = _detect(picture, record, detector_path, warnings)
    matrix, method = crop_matrix(crop, size_wh, anchors=anchors, box_xyxy=box_xyxy)
    pixels, halvings = picture.decode(count_halvings(matrix, crop.size))
    if box_xyxy is not None and not _touches(box_xyxy, size_wh):
        raise RejectedRow(
            "box_outside",
            f"box {box_xyxy.round(1).tolist()} (x0, y0, x1, y1) in a {size_wh[0]}x{size_wh[1]} picture",
        )
    cropped = cut(pixels, halved_matrix(matrix, halvings), crop.size)
    return _packed(row, record, cropped, matrix, method), warnings


def _packed(
    row: Row, record: FaceRecord, cropped: Pixels, matrix: NDArray[np.float64], method: CropMethod
) -> PackedFace:
    jpeg = encode_jpeg(cropped)
    return PackedFace(
        key=row.key,
        row=row.number,
        jpeg=jpeg,
        image_sha256=hashlib.sha256(jpeg).digest(),
        perceptual_hash=perceptual_hash(cropped),
        label=record.label,
        crop_method=method,
        distribution=record.distribution,
        landmarks=None
        if record.landmarks is None
        else transform_points(matrix, record.landmarks).astype(np.float32),
        valence=record.valence,
        arousal=record.arousal,
    )


def _open(record: FaceRecord) -> Picture:
    if not isinstance(record.image, Path):
        return Picture((record.image.shape[1], record.image.shape[0]), record.image)
    return open_picture(read_image_file(record.image))


def _touches(box_xyxy: NDArray[np.float64], size_wh: tuple[int, int]) -> bool:
    """Whether a box and the picture share any area."""
    x0, y0, x1, y1 = box_xyxy
    return bool(x0 < size_wh[0] and y0 < size_wh[1] and x1 > 0 and y1 > 0)


def _belong(landmarks: NDArray[np.float64], size_wh: tuple[int, int]) -> bool:
    """Whether landmarks can be of a picture: no further from it than its own size, and not all on one spot."""
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    side = max(size_wh)
    return bool((low > -side).all() and (high < 2 * side).all() and (high - low).max() > 1)


@cache
def _detector(file: Path | None) -> Detector:
    return open_detector(file)


def _detect(
    picture: Picture, record: FaceRecord, detector_path: Path | None, warnings: list[str]
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Find the largest face of a picture that came without a box."""
    detector = _detector(detector_path)
    faces = detector.find_faces(picture.decode()[0])
    if not faces and record.is_cropped:
        warnings.append("taken_whole")
        return None, None
    if not faces:
        width, height = picture.size_wh
        raise RejectedRow("no_face", f"the detector finds none in {width}x{height} pixels")
    if isinstance(detector, CascadeDetector):
        warnings.append("found_without_yunet")
    return faces[0].anchors, faces[0].box_xyxy
