"""From pixels to readings: find faces, cut them by the model's contract, read them in batches."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.faces.crop import crop_image, crop_matrix, invert_matrix, resize_crop, transform_points
from mien.faces.detector import DetectedFace, Detector
from mien.faces.image_files import read_image_file
from mien.faces.images import MAX_PIXELS, UnreadableImage, decode_image, to_rgb
from mien.formats.onnx_model import ModelInfo, OnnxModel, Outputs
from mien.inference.decision_rule import DecisionRule
from mien.inference.results import FacePrediction, ImagePrediction, row_without_face

BATCH_FACES = 32
# Images wait for their batch in memory: at most this many of them, and of their pixels.
MAX_WAITING_IMAGES = 64
MAX_WAITING_PIXELS = 40_000_000


@dataclass(frozen=True, slots=True, eq=False)
class CroppedFace:
    """A face on its way to the model.

    Attributes:
        crop: ``(S, S, 3)`` uint8 RGB, what the model sees.
        to_image: ``(2, 3)`` from fractions of the crop to pixels of the image.
        face: where it was found.
    """

    crop: NDArray[np.uint8]
    to_image: NDArray[np.float64]
    face: DetectedFace


@dataclass(frozen=True, slots=True, eq=False)
class CroppedImage:
    """An image whose faces wait for the model, or the reason why it has none.

    Attributes:
        source: as it was named.
        faces: those found.
        image_rgb: its pixels, where they are kept.
        problem: (reason, detail) of what cannot be read.
    """

    source: str
    faces: tuple[CroppedFace, ...]
    image_rgb: NDArray[np.uint8] | None = None
    problem: tuple[str, str] | None = None

    @property
    def n_pixels(self) -> int:
        """How many are kept."""
        return 0 if self.image_rgb is None else self.image_rgb.shape[0] * self.image_rgb.shape[1]


def predict_files(
    paths: Iterable[Path],
    bundle: OnnxModel,
    *,
    detector: Detector | None,
    rule: DecisionRule | None = None,
    keep_images: bool = False,
) -> Iterator[ImagePrediction]:
    """Read the faces of images, in order, holding no more than a batch of them.

    Args:
        paths: image files.
        bundle: the model.
        detector: finds the faces, or None where every image is a face.
        rule: how answers are given.
        keep_images: give each image's pixels with its reading.

    Raises:
        ModelError: the model gives values that are not finite, or lacks a class that the rule asks for.
    """
    waiting: list[CroppedImage] = []
    for path in paths:
        waiting.append(preprocess_file(path, bundle.info, detector=detector, keep_image=keep_images))
        if _is_batch(waiting):
            yield from predict_cropped(waiting, bundle, rule)
            waiting = []
    yield from predict_cropped(waiting, bundle, rule)


def _is_batch(waiting: list[CroppedImage]) -> bool:
    return (
        sum(len(image.faces) for image in waiting) >= BATCH_FACES
        or len(waiting) >= MAX_WAITING_IMAGES
        or sum(image.n_pixels for image in waiting) >= MAX_WAITING_PIXELS
    )


def preprocess_file(
    path: Path, info: ModelInfo, *, detector: Detector | None, keep_image: bool = False
) -> CroppedImage:
    """Read an image file and cut its faces; what cannot be read has a reason instead."""
    try:
        data = read_image_file(path)
    except UnreadableImage as error:
        return CroppedImage(str(path), (), problem=(error.reason, error.detail))
    return preprocess_bytes(str(path), data, info, detector=detector, keep_image=keep_image)


def preprocess_bytes(
    source: str,
    data: bytes,
    info: ModelInfo,
    *,
    detector: Detector | None,
    keep_image: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> CroppedImage:
    """Decode an image file's bytes and cut its faces; what cannot be read, or is too large, has a reason instead."""
    try:
        image_rgb = to_rgb(decode_image(data, max_pixels=max_pixels))
    except UnreadableImage as error:
        return CroppedImage(source, (), problem=(error.reason, error.detail))
    return preprocess_pixels(source, image_rgb, info, detector=detector, keep_image=keep_image)


def preprocess_pixels(
    source: str,
    image_rgb: NDArray[np.uint8],
    info: ModelInfo,
    *,
    detector: Detector | None,
    keep_image: bool = False,
) -> CroppedImage:
    """Find and cut the faces of an image ``(H, W, 3)`` uint8 RGB."""
    faces = [None] if detector is None else detector.find_faces(image_rgb)
    crop_faces = tuple(crop_face(image_rgb, face, info) for face in faces)
    return CroppedImage(source, crop_faces, image_rgb if keep_image else None)


def warn_if_trained_on_crops(info: ModelInfo, announce: Callable[[str], None]) -> None:
    """Tell a person whose model is to find faces, and learnt images that were faces already."""
    if info.crop.method == "whole":
        announce(
            "This model learnt images that were cut to a face already: faces that are found are cut by their boxes. "
            "Name crop `whole` for images of that kind; `mien prepare --crop aligned` makes a pack for photographs"
        )


def crop_face(image_rgb: NDArray[np.uint8], face: DetectedFace | None, info: ModelInfo) -> CroppedFace:
    """Cut a face exactly as a pack is made and evaluated: at the contract's size, then to the model's.

    Args:
        image_rgb: ``(H, W, 3)`` uint8.
        face: where it is, or None where the image is a face itself.
        info: of the model.
    """
    height, width = image_rgb.shape[:2]
    if face is None:
        # without a box every method falls back to the whole image
        matrix, _ = crop_matrix(info.crop, (width, height))
    else:
        contract = info.crop.for_detected_faces()
        matrix, _ = crop_matrix(contract, (width, height), anchors=face.anchors, box_xyxy=face.box_xyxy)
    crop = resize_crop(crop_image(image_rgb, matrix, info.crop.size), info.input_size)
    whole = DetectedFace(np.array([0, 0, width, height], dtype=np.float64), None, None)
    return CroppedFace(crop, invert_matrix(matrix), face or whole)


def predict_cropped(
    images: Sequence[CroppedImage], bundle: OnnxModel, rule: DecisionRule | None = None
) -> Iterator[ImagePrediction]:
    """Read images whose faces are cut, in few calls of the model.

    Raises:
        ModelError: as `predict_files`.
    """
    outputs = infer([face.crop for image in images for face in image.faces], bundle)
    for image in images:
        yield postprocess_image(image, outputs, bundle.info, rule or DecisionRule())


def postprocess_image(
    image: CroppedImage, outputs: Iterator[Outputs], info: ModelInfo, rule: DecisionRule
) -> ImagePrediction:
    """Return an image's reading, taking an output of `infer` for each of its faces."""
    rows = tuple(
        postprocess_face(image.source, number, face, next(outputs), info, rule)
        for number, face in enumerate(image.faces)
    )
    return ImagePrediction(
        image.source, rows or (row_without_face(image.source, image.problem),), image.image_rgb
    )


def infer(crops: list[NDArray[np.uint8]], bundle: OnnxModel) -> Iterator[Outputs]:
    """Yield the model's outputs face by face, each with N = 1; a crowd in one image takes several calls."""
    for start in range(0, len(crops), BATCH_FACES):
        outputs = bundle.run(np.stack(crops[start : start + BATCH_FACES]))
        for index in range(len(outputs.probabilities)):
            one = slice(index, index + 1)
            yield Outputs(
                outputs.probabilities[one],
                None if outputs.landmarks is None else outputs.landmarks[one],
                None if outputs.valence_arousal is None else outputs.valence_arousal[one],
            )


def postprocess_face(
    source: str, number: int, face: CroppedFace, output: Outputs, info: ModelInfo, rule: DecisionRule
) -> FacePrediction:
    """Return the row of a face from the model's outputs, N = 1."""
    expression, confidence, probabilities = rule.answer(output.probabilities[0], info.classes)
    landmarks, affect = output.landmarks, output.valence_arousal
    return FacePrediction(
        source,
        face=number,
        box_xyxy=face.face.box_xyxy,
        score=face.face.score,
        expression=expression,
        confidence=confidence,
        probabilities=probabilities,
        landmarks=None
        if landmarks is None
        else transform_points(face.to_image, landmarks[0].astype(np.float64)),
        valence=None if affect is None else float(affect[0, 0]),
        arousal=None if affect is None else float(affect[0, 1]),
    )
