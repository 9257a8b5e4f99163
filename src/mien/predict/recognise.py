"""From picture files to readings: decode, find faces, cut them by the model's contract, read them in batches."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.bundle import Bundle, BundleInfo, Outputs
from mien.errors import ModelError
from mien.faces.crop import crop_matrix, cut, invert_matrix, resize_crop, transform_points
from mien.faces.detector import DetectedFace, Detector
from mien.faces.images import UnreadableImage, decode_image, to_rgb
from mien.predict.reading import NO_FACE, FaceReading, PictureReading

BATCH_FACES = 32
# Pictures wait for their batch in memory: at most this many of them, and of their pixels.
MAX_WAITING_PICTURES = 64
MAX_WAITING_PIXELS = 40_000_000
MAX_FILE_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True, eq=False)
class _CutFace:
    """A face on its way to the model: its crop, and the way back to the picture."""

    crop: NDArray[np.uint8]
    to_picture: NDArray[np.float64]
    box_xyxy: NDArray[np.float64]
    score: float | None


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """A picture whose faces wait for the model, or the reason why it has none."""

    source: Path
    faces: tuple[_CutFace, ...]
    image_rgb: NDArray[np.uint8] | None
    problem: tuple[str, str] | None = None

    @property
    def n_pixels(self) -> int:
        return 0 if self.image_rgb is None else self.image_rgb.shape[0] * self.image_rgb.shape[1]


def read_pictures(
    paths: Iterable[Path], bundle: Bundle, *, detector: Detector | None, keep_images: bool = False
) -> Iterator[PictureReading]:
    """Read the faces of pictures, in order, holding no more than a batch of them.

    Args:
        paths: picture files.
        bundle: the model.
        detector: finds the faces, or None where every picture is a face.
        keep_images: give each picture's pixels with its reading.

    Raises:
        ModelError: the model gives values that are not finite.
    """
    waiting: list[_Waiting] = []
    for path in paths:
        waiting.append(_prepare(path, bundle.info, detector=detector, keep_image=keep_images))
        if _is_batch(waiting):
            yield from _read_waiting(waiting, bundle)
            waiting = []
    yield from _read_waiting(waiting, bundle)


def _is_batch(waiting: list[_Waiting]) -> bool:
    return (
        sum(len(picture.faces) for picture in waiting) >= BATCH_FACES
        or len(waiting) >= MAX_WAITING_PICTURES
        or sum(picture.n_pixels for picture in waiting) >= MAX_WAITING_PIXELS
    )


def _prepare(path: Path, info: BundleInfo, *, detector: Detector | None, keep_image: bool) -> _Waiting:
    try:
        image_rgb = to_rgb(decode_image(_read_file(path)))
    except UnreadableImage as error:
        return _Waiting(path, (), None, (error.reason, error.detail))
    faces = [_whole(image_rgb)] if detector is None else detector.find_faces(image_rgb)
    cut_faces = tuple(_cut_face(image_rgb, face, info=info, whole=detector is None) for face in faces)
    return _Waiting(path, cut_faces, image_rgb if keep_image else None)


def _read_file(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        UnreadableImage: it vanished, may not be read, or is too large to be a picture.
    """
    try:
        n_bytes = path.stat().st_size
        if n_bytes > MAX_FILE_BYTES:
            raise UnreadableImage("image_too_large", f"{n_bytes:,} bytes, the limit is {MAX_FILE_BYTES:,}")
        return path.read_bytes()
    except FileNotFoundError:
        raise UnreadableImage("missing_file", "the file does not exist") from None
    except OSError as error:
        raise UnreadableImage("unreadable_file", error.strerror or str(error)) from None


def _whole(image_rgb: NDArray[np.uint8]) -> DetectedFace:
    height, width = image_rgb.shape[:2]
    return DetectedFace(np.array([0, 0, width, height], dtype=np.float64), None, None)


def _cut_face(image_rgb: NDArray[np.uint8], face: DetectedFace, *, info: BundleInfo, whole: bool) -> _CutFace:
    """Cut a face exactly as a pack is made and evaluated: at the contract's size, then to the model's."""
    height, width = image_rgb.shape[:2]
    matrix, _ = crop_matrix(
        info.crop,
        (width, height),
        anchors=face.anchors,
        # Without a box every method falls back to the whole picture.
        box_xyxy=None if whole else face.box_xyxy,
    )
    crop = resize_crop(cut(image_rgb, matrix, info.crop.size), info.input_size)
    return _CutFace(crop, invert_matrix(matrix), face.box_xyxy, face.score)


def _read_waiting(waiting: list[_Waiting], bundle: Bundle) -> Iterator[PictureReading]:
    outputs = _run_in_batches([face.crop for picture in waiting for face in picture.faces], bundle)
    for picture in waiting:
        rows = tuple(
            _row_of_face(
                picture.source, face, number=number, output=next(outputs), classes=bundle.info.classes
            )
            for number, face in enumerate(picture.faces)
        )
        yield PictureReading(picture.source, rows or (_row_without_face(picture),), picture.image_rgb)


def _run_in_batches(crops: list[NDArray[np.uint8]], bundle: Bundle) -> Iterator[Outputs]:
    """Yield the model's outputs face by face, each with N = 1; a crowd in one picture takes several calls."""
    for start in range(0, len(crops), BATCH_FACES):
        outputs = bundle.run(np.stack(crops[start : start + BATCH_FACES]))
        _require_finite(outputs, bundle)
        for index in range(len(outputs.probabilities)):
            one = slice(index, index + 1)
            yield Outputs(
                outputs.probabilities[one],
                None if outputs.landmarks is None else outputs.landmarks[one],
                None if outputs.valence_arousal is None else outputs.valence_arousal[one],
            )


def _require_finite(outputs: Outputs, bundle: Bundle) -> None:
    for values in (outputs.probabilities, outputs.landmarks, outputs.valence_arousal):
        if values is not None and not np.isfinite(values).all():
            raise ModelError(
                f"The model {bundle.path} gives values that are not finite. Train and export it again"
            )


def _row_of_face(
    source: Path, face: _CutFace, *, number: int, output: Outputs, classes: tuple[str, ...]
) -> FaceReading:
    probabilities = dict(zip(classes, output.probabilities[0].tolist(), strict=True))
    expression = max(probabilities, key=probabilities.__getitem__)
    landmarks, affect = output.landmarks, output.valence_arousal
    return FaceReading(
        source,
        face=number,
        box_xyxy=face.box_xyxy,
        score=face.score,
        expression=expression,
        confidence=probabilities[expression],
        probabilities=probabilities,
        landmarks=None
        if landmarks is None
        else transform_points(face.to_picture, landmarks[0].astype(np.float64)),
        valence=None if affect is None else float(affect[0, 0]),
        arousal=None if affect is None else float(affect[0, 1]),
    )


def _row_without_face(picture: _Waiting) -> FaceReading:
    if picture.problem is None:
        return FaceReading(picture.source, status=NO_FACE)
    reason, detail = picture.problem
    return FaceReading(picture.source, status=reason, detail=detail)
