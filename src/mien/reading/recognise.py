"""From pixels to readings: find faces, cut them by the model's contract, read them in batches."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.bundle import Bundle, BundleInfo, Outputs
from mien.faces.crop import crop_matrix, cut, invert_matrix, resize_crop, transform_points
from mien.faces.detector import DetectedFace, Detector
from mien.faces.image_files import read_image_file
from mien.faces.images import MAX_PIXELS, UnreadableImage, decode_image, to_rgb
from mien.reading.answers import AnswerRule
from mien.reading.readings import FaceReading, PictureReading, without_face

BATCH_FACES = 32
# Pictures wait for their batch in memory: at most this many of them, and of their pixels.
MAX_WAITING_PICTURES = 64
MAX_WAITING_PIXELS = 40_000_000


@dataclass(frozen=True, slots=True, eq=False)
class CutFace:
    """A face on its way to the model.

    Attributes:
        crop: ``(S, S, 3)`` uint8 RGB, what the model sees.
        to_picture: ``(2, 3)`` from fractions of the crop to pixels of the picture.
        face: where it was found.
    """

    crop: NDArray[np.uint8]
    to_picture: NDArray[np.float64]
    face: DetectedFace


@dataclass(frozen=True, slots=True, eq=False)
class CutPicture:
    """A picture whose faces wait for the model, or the reason why it has none.

    Attributes:
        source: as it was named.
        faces: those found.
        image_rgb: its pixels, where they are kept.
        problem: (reason, detail) of what cannot be read.
    """

    source: str
    faces: tuple[CutFace, ...]
    image_rgb: NDArray[np.uint8] | None = None
    problem: tuple[str, str] | None = None

    @property
    def n_pixels(self) -> int:
        """How many are kept."""
        return 0 if self.image_rgb is None else self.image_rgb.shape[0] * self.image_rgb.shape[1]


def read_pictures(
    paths: Iterable[Path],
    bundle: Bundle,
    *,
    detector: Detector | None,
    rule: AnswerRule | None = None,
    keep_images: bool = False,
) -> Iterator[PictureReading]:
    """Read the faces of pictures, in order, holding no more than a batch of them.

    Args:
        paths: picture files.
        bundle: the model.
        detector: finds the faces, or None where every picture is a face.
        rule: how answers are given.
        keep_images: give each picture's pixels with its reading.

    Raises:
        ModelError: the model gives values that are not finite, or lacks a class that the rule asks for.
    """
    waiting: list[CutPicture] = []
    for path in paths:
        waiting.append(cut_file(path, bundle.info, detector=detector, keep_image=keep_images))
        if _is_batch(waiting):
            yield from read_cut_pictures(waiting, bundle, rule)
            waiting = []
    yield from read_cut_pictures(waiting, bundle, rule)


def _is_batch(waiting: list[CutPicture]) -> bool:
    return (
        sum(len(picture.faces) for picture in waiting) >= BATCH_FACES
        or len(waiting) >= MAX_WAITING_PICTURES
        or sum(picture.n_pixels for picture in waiting) >= MAX_WAITING_PIXELS
    )


def cut_file(
    path: Path, info: BundleInfo, *, detector: Detector | None, keep_image: bool = False
) -> CutPicture:
    """Read a picture file and cut its faces; what cannot be read has a reason instead."""
    try:
        data = read_image_file(path)
    except UnreadableImage as error:
        return CutPicture(str(path), (), problem=(error.reason, error.detail))
    return cut_encoded(str(path), data, info, detector=detector, keep_image=keep_image)


def cut_encoded(
    source: str,
    data: bytes,
    info: BundleInfo,
    *,
    detector: Detector | None,
    keep_image: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> CutPicture:
    """Decode a picture file's bytes and cut its faces; what cannot be read, or is too large, has a reason instead."""
    try:
        image_rgb = to_rgb(decode_image(data, max_pixels=max_pixels))
    except UnreadableImage as error:
        return CutPicture(source, (), problem=(error.reason, error.detail))
    return cut_pixels(source, image_rgb, info, detector=detector, keep_image=keep_image)


def cut_pixels(
    source: str,
    image_rgb: NDArray[np.uint8],
    info: BundleInfo,
    *,
    detector: Detector | None,
    keep_image: bool = False,
) -> CutPicture:
    """Find and cut the faces of a picture ``(H, W, 3)`` uint8 RGB."""
    faces = [None] if detector is None else detector.find_faces(image_rgb)
    cut_faces = tuple(cut_face(image_rgb, face, info) for face in faces)
    return CutPicture(source, cut_faces, image_rgb if keep_image else None)


def say_how_faces_are_cut(info: BundleInfo, announce: Callable[[str], None]) -> None:
    """Tell a person whose model is to find faces, and learnt pictures that were faces already."""
    if info.crop.method == "whole":
        announce(
            "This model learnt pictures that were cut to a face already: faces that are found are cut by their boxes. "
            "Name crop `whole` for pictures of that kind; `mien prepare --crop aligned` makes a pack for photographs"
        )


def cut_face(image_rgb: NDArray[np.uint8], face: DetectedFace | None, info: BundleInfo) -> CutFace:
    """Cut a face exactly as a pack is made and evaluated: at the contract's size, then to the model's.

    Args:
        image_rgb: ``(H, W, 3)`` uint8.
        face: where it is, or None where the picture is a face itself.
        info: of the model.
    """
    height, width = image_rgb.shape[:2]
    if face is None:
        # without a box every method falls back to the whole picture
        matrix, _ = crop_matrix(info.crop, (width, height))
    else:
        contract = info.crop.for_found_faces()
        matrix, _ = crop_matrix(contract, (width, height), anchors=face.anchors, box_xyxy=face.box_xyxy)
    crop = resize_crop(cut(image_rgb, matrix, info.crop.size), info.input_size)
    whole = DetectedFace(np.array([0, 0, width, height], dtype=np.float64), None, None)
    return CutFace(crop, invert_matrix(matrix), face or whole)


def read_cut_pictures(
    pictures: Sequence[CutPicture], bundle: Bundle, rule: AnswerRule | None = None
) -> Iterator[PictureReading]:
    """Read pictures whose faces are cut, in few calls of the model.

    Raises:
        ModelError: as `read_pictures`.
    """
    outputs = run_in_batches([face.crop for picture in pictures for face in picture.faces], bundle)
    for picture in pictures:
        yield reading_of(picture, outputs, bundle.info, rule or AnswerRule())


def reading_of(
    picture: CutPicture, outputs: Iterator[Outputs], info: BundleInfo, rule: AnswerRule
) -> PictureReading:
    """Return a picture's reading, taking an output of `run_in_batches` for each of its faces."""
    rows = tuple(
        row_of_face(picture.source, number, face, next(outputs), info, rule)
        for number, face in enumerate(picture.faces)
    )
    return PictureReading(
        picture.source, rows or (without_face(picture.source, picture.problem),), picture.image_rgb
    )


def run_in_batches(crops: list[NDArray[np.uint8]], bundle: Bundle) -> Iterator[Outputs]:
    """Yield the model's outputs face by face, each with N = 1; a crowd in one picture takes several calls."""
    for start in range(0, len(crops), BATCH_FACES):
        outputs = bundle.run(np.stack(crops[start : start + BATCH_FACES]))
        for index in range(len(outputs.probabilities)):
            one = slice(index, index + 1)
            yield Outputs(
                outputs.probabilities[one],
                None if outputs.landmarks is None else outputs.landmarks[one],
                None if outputs.valence_arousal is None else outputs.valence_arousal[one],
            )


def row_of_face(
    source: str, number: int, face: CutFace, output: Outputs, info: BundleInfo, rule: AnswerRule
) -> FaceReading:
    """Return the row of a face from the model's outputs, N = 1."""
    expression, confidence, probabilities = rule.answer(output.probabilities[0], info.classes)
    landmarks, affect = output.landmarks, output.valence_arousal
    return FaceReading(
        source,
        face=number,
        box_xyxy=face.face.box_xyxy,
        score=face.face.score,
        expression=expression,
        confidence=confidence,
        probabilities=probabilities,
        landmarks=None
        if landmarks is None
        else transform_points(face.to_picture, landmarks[0].astype(np.float64)),
        valence=None if affect is None else float(affect[0, 0]),
        arousal=None if affect is None else float(affect[0, 1]),
    )
