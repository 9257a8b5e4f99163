"""Turning rows of a raw dataset into cropped faces, in worker processes."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import mien
from mien.artifacts import file_sha256, new_file, read_json, write_json
from mien.datasets.base import FaceDataset, FaceRecord, RawRow, RejectedRow, annotations_of
from mien.errors import ArtifactError
from mien.faces.boxes import area_xyxy, intersection_xyxy
from mien.faces.crop import (
    CropContract,
    count_halvings,
    crop_image,
    crop_matrix,
    halved_matrix,
    transform_points,
)
from mien.faces.detector import CascadeDetector, DetectedFace, Detector, open_detector
from mien.faces.image_files import read_image_file
from mien.faces.images import EncodedImage, UnreadableImage, encode_jpeg, open_image, to_rgb
from mien.faces.landmarks import anchors_from_landmarks, are_in_order, box_of_points
from mien.faces.perceptual_hash import perceptual_hash
from mien.faces.thumbnail import THUMBNAIL_SIDE, thumbnail
from mien.formats.pack.schema import PackedFace, shard_name
from mien.formats.pack.writer import write_shard
from mien.formats.unfinished import PLAN, require_plan
from mien.prepare.landmark_placement import LandmarkModel, match_face, place_landmarks

# In an unfinished pack, this folder holds the plan and notes on each finished shard.
PROGRESS_FOLDER = ".prepare"
# A box of which less than this fraction of the area is in the image may be in another format than it is read in.
LEAST_VISIBLE = 0.6
# A box within the first 100 pixels of an image that is larger than this may be in percent.
LEAST_SIDE_FOR_PERCENT = 150
# Landmarks in less than this number of pixels may be in fractions of the image, from 0 to 1 or from -1 to 1.
LEAST_SPREAD = 4


@dataclass(frozen=True, slots=True)
class ShardTask:
    """The rows of one shard, and where to write it. A shard is the unit of work, and finished once its notes exist.

    `detector_path` is the result of `find_detector_file`; None is the cascade. `raw` is the path of the dataset, and
    `plan_sha256` the hash of the plan that the folder was begun with. `landmark_model` places landmarks where there are none.
    """

    split: str
    number: int
    rows: Sequence[RawRow]
    dataset: FaceDataset
    crop: CropContract
    detector_path: Path | None
    folder: Path
    raw: Path
    plan_sha256: str
    landmark_model: LandmarkModel | None = None

    @property
    def name(self) -> str:
        """The shard's file name."""
        return shard_name(self.split, self.number)

    @property
    def notes_path(self) -> Path:
        """The file with the shard's entry for pack.json, its rejected rows and its warnings."""
        return self.folder / PROGRESS_FOLDER / f"{self.split}-{self.number:05d}.json"

    @property
    def thumbnails_path(self) -> Path:
        """The file with the thumbnails of the shard's faces, by which copies are found at the end."""
        return self.notes_path.with_suffix(".thumbnails")

    def require_plan(self) -> None:
        """Refuse to work for a plan that cannot be carried out here, or is no longer the folder's.

        Raises:
            ArtifactError: as `mien.formats.unfinished.require_plan`.
        """
        require_plan(
            self.folder / PROGRESS_FOLDER / PLAN,
            self.plan_sha256,
            reads=self.raw,
            mien_version=mien.__version__,
        )


def make_shard(task: ShardTask) -> dict[str, object]:
    """Turn a task's rows into a shard file and, after it, the notes on it. Both exist when it is finished.

    Returns:
        The shard's entry for pack.json.

    Raises:
        ArtifactError: this worker does not see the folder and the raw dataset, or has other versions than the plan's.
    """
    task.require_plan()
    cv2.setNumThreads(1)
    rejects: list[dict[str, str | int]] = []
    warnings: Counter[str] = Counter()
    # All rows are parsed first: between two images parsing takes twice as long, with cold caches.
    parsed = []
    for row in task.rows:
        try:
            parsed.append((row, task.dataset.parse(row)))
        except RejectedRow as rejection:
            rejects.append(_reject_entry(row, task.dataset, rejection))
    faces, thumbnails = [], []
    for row, record in parsed:
        try:
            face, small, face_warnings = make_face(row, record, task)
        except RejectedRow as rejection:
            rejects.append(_reject_entry(row, task.dataset, rejection))
        else:
            faces.append(face)
            thumbnails.append(small.tobytes())
            warnings.update(face_warnings)
    rejects.sort(key=itemgetter("row"))
    # By now, the command that this worker belongs to may be dead, and the folder begun again with other options.
    task.require_plan()
    info = write_shard(
        task.folder / task.name,
        task.split,
        faces,
        len(task.dataset.classes),
        annotations_of(task.dataset),
    )
    with new_file(task.thumbnails_path) as partial:
        partial.write_bytes(b"".join(thumbnails))
    entry = {"name": info.name, "split": info.split, "n_faces": info.n_faces, "sha256": info.sha256}
    write_json(task.notes_path, {"shard": entry, "rejects": rejects, "warnings": dict(warnings)})
    return entry


def is_made(task: ShardTask) -> bool:
    """Return whether a shard and its notes exist and match. Those damaged by a power failure are to be made again."""
    try:
        entry = read_json(task.notes_path, what="unfinished pack")["shard"]
        n_bytes = task.thumbnails_path.stat().st_size
        is_complete = n_bytes == entry["n_faces"] * THUMBNAIL_SIDE**2
        return bool(is_complete and entry["sha256"] == file_sha256(task.folder / task.name))
    except (ArtifactError, OSError, KeyError, TypeError):
        return False


def _reject_entry(row: RawRow, dataset: FaceDataset, rejection: RejectedRow) -> dict[str, str | int]:
    return {
        "split": row.split,
        "row": row.number,
        "path": row.key,
        "label": dataset.class_of(row),
        "reason": rejection.reason,
        "detail": rejection.detail,
    }


def make_face(
    row: RawRow, record: FaceRecord, task: ShardTask
) -> tuple[PackedFace, NDArray[np.uint8], list[str]]:
    """Read, verify, orient, crop and encode one face of a task; a finished crop is only verified.

    Landmarks are placed in the full image, before it is cropped: an aligned crop is positioned by the detector's points, or by
    these landmarks if there is only a box.

    Returns:
        The face, its thumbnail, and warning codes of annotations that were dropped from it.

    Raises:
        RejectedRow: the row cannot become a face.
    """
    crop = task.crop
    try:
        image = record.image
        if isinstance(image, Path):
            image = read_image_file(image)
        if isinstance(image, bytes):
            encoded = open_image(image)
        else:
            encoded = EncodedImage((image.shape[1], image.shape[0]), image)
        if record.crop_method is not None:
            return _pack_crop(row, record, encoded, task)
        size_wh = encoded.size_wh
        landmarks, box_xyxy, warnings = _check_places(record, size_wh)
        anchors = record.anchors if landmarks is None else anchors_from_landmarks(landmarks)
        detected, landmarks_by = None, record.landmarks_by
        if box_xyxy is None and landmarks is not None:
            box_xyxy = box_of_points(landmarks)
        if crop.method != "whole" and box_xyxy is None and (anchors is None or crop.method == "box"):
            encoded = EncodedImage(size_wh, encoded.decode()[0])
            detected = _detect(encoded, record, task.detector_path, warnings)
            if detected is not None:
                anchors, box_xyxy = detected.anchors, detected.box_xyxy
        if landmarks is None and task.landmark_model is not None:
            image_rgb = to_rgb(encoded.decode()[0])
            landmarks, points = _place(image_rgb, detected or box_xyxy, task, warnings)
            landmarks_by = None if landmarks is None else task.landmark_model.label
            anchors = points if anchors is None else anchors
        matrix, method = crop_matrix(crop, size_wh, anchors=anchors, box_xyxy=box_xyxy)
        pixels, halvings = encoded.decode(count_halvings(matrix, crop.size))
    except UnreadableImage as error:
        raise RejectedRow(error.reason, error.detail) from None
    cropped = crop_image(pixels, halved_matrix(matrix, halvings), crop.size)
    if not cropped.any():
        raise RejectedRow("blank_image", "every pixel of the crop is black")
    jpeg = encode_jpeg(cropped)
    face = PackedFace(
        key=row.key,
        row=row.number,
        jpeg=jpeg,
        image_sha256=hashlib.sha256(jpeg).digest(),
        perceptual_hash=perceptual_hash(cropped),
        label=record.label,
        crop_method=method,
        distribution=record.distribution,
        landmarks=None if landmarks is None else transform_points(matrix, landmarks).astype(np.float32),
        valence=record.valence,
        arousal=record.arousal,
        person=record.person,
        clip=record.clip,
        attributes=record.attributes,
        landmarks_by=landmarks_by,
        annotations=record.annotations,
    )
    return face, thumbnail(cropped), warnings


def _pack_crop(
    row: RawRow, record: FaceRecord, encoded: EncodedImage, task: ShardTask
) -> tuple[PackedFace, NDArray[np.uint8], list[str]]:
    """Return a finished crop as a face, with the JPEG file that it is; otherwise as `make_face`."""
    crop, warnings = task.crop, list(record.warnings)
    pixels, _ = encoded.decode()
    if record.crop_method is None or not encoded.jpeg or encoded.orientation != 1:
        raise RejectedRow("not_an_image", "the crop is not an upright JPEG file")
    if encoded.size_wh != (crop.size, crop.size):
        raise RejectedRow(
            "not_an_image", f"the crop has {encoded.size_wh} pixels, the pack's have {crop.size} a side"
        )
    landmarks, landmarks_by = record.landmarks, record.landmarks_by
    if landmarks is None and task.landmark_model is not None:
        margin = crop.margin
        box_xyxy = crop.size * np.array([margin, margin, 1 + margin, 1 + margin]) / (1 + 2 * margin)
        whole = record.crop_method == "whole"
        landmarks, _ = _place(to_rgb(pixels), None if whole else box_xyxy, task, warnings)
        if landmarks is not None:
            landmarks, landmarks_by = landmarks / crop.size, task.landmark_model.label
    face = PackedFace(
        key=row.key,
        row=row.number,
        jpeg=encoded.jpeg,
        image_sha256=hashlib.sha256(encoded.jpeg).digest(),
        perceptual_hash=perceptual_hash(pixels),
        label=record.label,
        crop_method=record.crop_method,
        distribution=record.distribution,
        landmarks=None if landmarks is None else landmarks.astype(np.float32),
        valence=record.valence,
        arousal=record.arousal,
        person=record.person,
        clip=record.clip,
        attributes=record.attributes,
        landmarks_by=landmarks_by,
        annotations=record.annotations,
    )
    return face, thumbnail(pixels), warnings


def _check_places(
    record: FaceRecord, size_wh: tuple[int, int]
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None, list[str]]:
    """Return the landmarks and the box of a record in pixels, and the codes of its warnings.

    Landmarks that cannot belong to the image are left out: farther from it than its own size, or all in one spot.

    Raises:
        RejectedRow: the box lies outside the image.
    """
    landmarks, box_xyxy, warnings = record.landmarks, record.box_xyxy, list(record.warnings)
    if landmarks is not None:
        low, high, side = landmarks.min(axis=0), landmarks.max(axis=0), max(size_wh)
        if not ((low > -side).all() and (high < 2 * side).all() and (high - low).max() > LEAST_SPREAD):
            landmarks = None
            warnings.append("landmark_place")
        elif not are_in_order(landmarks):
            warnings.append("landmark_order")
    if box_xyxy is not None:
        box_xyxy = box_xyxy * np.tile(size_wh, 2) if record.is_relative_box else box_xyxy
        visible = intersection_xyxy(box_xyxy, np.array([0.0, 0.0, *size_wh])) / area_xyxy(
            box_xyxy.clip(-1e9, 1e9)
        )
        if visible == 0:
            raise RejectedRow(
                "box_outside",
                f"box {box_xyxy.round(1).tolist()} (x0, y0, x1, y1) in a {size_wh[0]}x{size_wh[1]} image",
            )
        if visible < LEAST_VISIBLE:
            warnings.append("box_beyond_image")
        if not record.is_relative_box and box_xyxy.max() <= 100 and min(size_wh) > LEAST_SIDE_FOR_PERCENT:
            warnings.append("box_percent")
    return landmarks, box_xyxy, warnings


@cache
def _detector(file: Path | None) -> Detector:
    return open_detector(file)


def _detect(
    image: EncodedImage, record: FaceRecord, detector_path: Path | None, warnings: list[str]
) -> DetectedFace | None:
    """Return the largest face in an image that has no annotated box, or None if the full image is the face."""
    faces = _find_faces(image.decode()[0], detector_path, warnings)
    if not faces and record.is_cropped:
        warnings.append("taken_whole")
        return None
    if not faces:
        width, height = image.size_wh
        raise RejectedRow("no_face", f"the detector finds no face in {width}x{height} pixels")
    return faces[0]


def _place(
    image_rgb: NDArray[np.uint8],
    where: DetectedFace | NDArray[np.float64] | None,
    task: ShardTask,
    warnings: list[str],
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Return landmarks placed by the task's model and the anchors of the face; None for both if no face is found.

    Args:
        image_rgb: ``(H, W, 3)`` uint8.
        where: the detected face; its annotated box, which is matched to a detected face; or None for the largest face.
        task: the model and the detector.
        warnings: a code is added if no face is found.
    """
    if not isinstance(where, DetectedFace):
        where = match_face(_find_faces(image_rgb, task.detector_path, warnings), where)
    if where is None or task.landmark_model is None:
        warnings.append("landmarks_not_placed")
        return None, None
    landmarks = place_landmarks(image_rgb, where, task.landmark_model.load())
    return landmarks, anchors_from_landmarks(landmarks) if where.anchors is None else where.anchors


def _find_faces(
    pixels: NDArray[np.uint8], detector_path: Path | None, warnings: list[str]
) -> list[DetectedFace]:
    """Return the faces in an image, the largest first."""
    detector = _detector(detector_path)
    faces = detector.find_faces(pixels)
    if faces and isinstance(detector, CascadeDetector):
        warnings.append("found_without_yunet")
    return faces
