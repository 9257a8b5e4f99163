"""The prediction pipeline, in reading order: decode, detect, crop, infer, postprocess.

`predict_files` runs all of it over image files. `preprocess_*` go from a file, its bytes or its pixels to the crops of its
faces; `infer` runs the model on crops in batches; `postprocess_*` turn the model's outputs into rows.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.faces.classes import UNSURE
from mien.faces.crop import crop_image, crop_matrix, invert_matrix, resize_crop, turn_crop
from mien.faces.detector import CloseUpDetector, DetectedFace, Detector
from mien.faces.image_files import read_image_file
from mien.faces.images import MAX_PIXELS, UnreadableImage, count_images, decode_image, to_rgb
from mien.faces.landmarks import five_from_landmarks
from mien.faces.quality import CROP, QUALITY, FaceQuality, measure_quality
from mien.formats.onnx_model import ModelInfo, OnnxModel
from mien.inference.decision_rule import LOW_CONFIDENCE, DecisionRule
from mien.inference.given_faces import OUTSIDE_IMAGE, FaceOutsideImageError, GivenFaces
from mien.inference.results import FacePrediction, ImagePrediction, row_without_face
from mien.inference.urls import download_image
from mien.tasks import TASKS, Values

_log = logging.getLogger(__name__)

BATCH_FACES = 32
# Limits on the images, and on their pixels, that wait in memory until a batch of faces is full.
MAX_WAITING_IMAGES = 64
MAX_WAITING_PIXELS = 40_000_000


class CroppedFace(NamedTuple):
    """A face ready for the model.

    Attributes:
        crop: ``(S, S, 3)`` uint8 RGB, the model's input.
        to_image: ``(2, 3)`` affine matrix from fractions of the crop to pixels of the image.
        detection: box and score of the face in the image.
        quality: how well the face can be seen.
    """

    crop: NDArray[np.uint8]
    to_image: NDArray[np.float64]
    detection: DetectedFace
    quality: FaceQuality


@dataclass(frozen=True, slots=True, eq=False)
class CroppedImage:
    """A preprocessed image: the crops of its faces, or the reason why it cannot be read.

    Attributes:
        source: name of the image as given.
        faces: the detected faces, the largest first.
        image_rgb: its pixels, if they are kept.
        problem: (status, detail) of an unreadable image.
        size_wh: width and height of the upright image; None if it is unreadable.
        n_more_images: further images in the file, which are left out.
    """

    source: str
    faces: tuple[CroppedFace, ...]
    image_rgb: NDArray[np.uint8] | None = None
    problem: tuple[str, str] | None = None
    size_wh: tuple[int, int] | None = None
    n_more_images: int = 0

    @property
    def n_pixels(self) -> int:
        """The number of pixels that are kept."""
        return 0 if self.image_rgb is None else self.image_rgb.shape[0] * self.image_rgb.shape[1]


def whole_face(image_rgb: NDArray[np.uint8]) -> DetectedFace:
    """Return a full image as a face."""
    height, width = image_rgb.shape[:2]
    return DetectedFace(np.array([0, 0, width, height], dtype=np.float64), None, None, "whole")


def predict_files(  # noqa: PLR0913 - one keyword per option
    paths: Iterable[Path],
    model: OnnxModel,
    *,
    detector: Detector | None,
    rule: DecisionRule | None = None,
    keep_images: bool = False,
    max_pixels: int = MAX_PIXELS,
    given: Mapping[str, GivenFaces] | None = None,
) -> Iterator[ImagePrediction]:
    """Yield the predictions for image files, in order, holding at most a batch of images in memory.

    Args:
        paths: image files.
        model: the ONNX model.
        detector: finds the faces; None if every image already is one cropped face.
        rule: how probabilities become an expression.
        keep_images: return each image's pixels with its prediction.
        max_pixels: larger images have a problem instead.
        given: the faces of each image, by path as text, which are not detected; an image without an entry has none.

    Raises:
        ModelError: the model's output is not finite, or it lacks a class that the rule requires.
    """
    waiting: list[CroppedImage] = []
    for path in paths:
        finder = detector
        if given is not None:
            finder = take_given(given.get(str(path), GivenFaces(())), model.info, detector)
        waiting.append(
            preprocess_file(path, model.info, detector=finder, keep_image=keep_images, max_pixels=max_pixels)
        )
        if (
            sum(len(image.faces) for image in waiting) >= BATCH_FACES
            or len(waiting) >= MAX_WAITING_IMAGES
            or sum(image.n_pixels for image in waiting) >= MAX_WAITING_PIXELS
        ):
            yield from predict_cropped(waiting, model, rule)
            waiting = []
    yield from predict_cropped(waiting, model, rule)


def take_given(faces: GivenFaces, info: ModelInfo, detector: Detector | None) -> GivenFaces:
    """Let a detector find the points of given faces, if the model's crops are aligned by them."""
    faces.detector = detector if info.crop.method == "aligned" else None
    return faces


def preprocess_file(
    path: Path,
    info: ModelInfo,
    *,
    detector: Detector | None,
    keep_image: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> CroppedImage:
    """Read an image file, decode it, detect its faces and crop them; an unreadable one has a problem instead."""
    try:
        data = read_image_file(path)
    except UnreadableImage as error:
        return CroppedImage(str(path), (), problem=(error.reason, error.detail))
    return preprocess_bytes(
        str(path), data, info, detector=detector, keep_image=keep_image, max_pixels=max_pixels
    )


def preprocess_url(
    source: str,
    url: str,
    info: ModelInfo,
    *,
    detector: Detector | None,
    keep_image: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> CroppedImage:
    """Download a photo, detect its faces and crop them; one that cannot be downloaded or read has a problem instead.

    Args:
        source: the name in its rows, without secrets.
        url: ``http://`` or ``https://``.
        info: crop contract and input size of the model.
        detector: finds the faces; None if the photo already is one cropped face.
        keep_image: keep its pixels.
        max_pixels: a larger photo has a problem instead.
    """
    try:
        data = download_image(url)
    except UnreadableImage as error:
        return CroppedImage(source, (), problem=(error.reason, error.detail))
    return preprocess_bytes(
        source, data, info, detector=detector, keep_image=keep_image, max_pixels=max_pixels
    )


def preprocess_bytes(
    source: str,
    data: bytes,
    info: ModelInfo,
    *,
    detector: Detector | None,
    keep_image: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> CroppedImage:
    """Decode the bytes of an image file, detect its faces and crop them; an unreadable or too large one has a problem."""
    try:
        image_rgb = to_rgb(decode_image(data, max_pixels=max_pixels))
        image = preprocess_pixels(source, image_rgb, info, detector=detector, keep_image=keep_image)
        return replace(image, n_more_images=count_images(data) - 1)
    except UnreadableImage as error:
        return CroppedImage(source, (), problem=(error.reason, error.detail))
    except FaceOutsideImageError as error:
        return CroppedImage(source, (), problem=(OUTSIDE_IMAGE, str(error)))


def preprocess_pixels(
    source: str,
    image_rgb: NDArray[np.uint8],
    info: ModelInfo,
    *,
    detector: Detector | None,
    keep_image: bool = False,
) -> CroppedImage:
    """Detect the faces of an image ``(H, W, 3)`` uint8 RGB and crop them.

    An image in which none is found, but which looks like a close-up, is one face. So is any without a detector.
    """
    detections = [whole_face(image_rgb)] if detector is None else detector.find_faces(image_rgb)
    if not detections and isinstance(detector, CloseUpDetector) and detector.fills_image(image_rgb):
        detections = [whole_face(image_rgb)]
    return crop_faces(source, image_rgb, detections, info, keep_image=keep_image)


def crop_faces(
    source: str,
    image_rgb: NDArray[np.uint8],
    detections: Iterable[DetectedFace | None],
    info: ModelInfo,
    *,
    keep_image: bool = False,
) -> CroppedImage:
    """Crop the faces of an image ``(H, W, 3)`` uint8 RGB, see `crop_face`."""
    faces = tuple(crop_face(image_rgb, detection, info) for detection in detections)
    size_wh = image_rgb.shape[1], image_rgb.shape[0]
    return CroppedImage(source, faces, image_rgb if keep_image else None, size_wh=size_wh)


def crop_face(image_rgb: NDArray[np.uint8], detection: DetectedFace | None, info: ModelInfo) -> CroppedFace:
    """Crop a face exactly as packs are made and evaluated: at the contract's size, then resized to the model's.

    Args:
        image_rgb: ``(H, W, 3)`` uint8.
        detection: the face, or None if the image already is one cropped face.
        info: crop contract and input size of the model.
    """
    height, width = image_rgb.shape[:2]
    detection = whole_face(image_rgb) if detection is None else detection
    if detection.found_by == "whole":
        # without a box every method falls back to the full image
        matrix, method = crop_matrix(info.crop, (width, height))
    else:
        matrix, method = crop_matrix(
            info.crop.for_detected_faces(),
            (width, height),
            anchors=detection.anchors,
            box_xyxy=detection.box_xyxy,
        )
        if method == "box":
            # The box stays upright whatever the face's roll: its content is turned by the nearest quarter turn.
            matrix = turn_crop(matrix, round(detection.roll_deg / 90))
    crop = crop_image(image_rgb, matrix, info.crop.size)
    # Most models see the very crop on which the quality is measured.
    aligned_rgb = crop if method == "aligned" and info.crop == CROP else None
    quality = measure_quality(image_rgb, detection, aligned_rgb=aligned_rgb)
    return CroppedFace(resize_crop(crop, info.input_size), invert_matrix(matrix), detection, quality)


def predict_cropped(
    images: Sequence[CroppedImage], model: OnnxModel, rule: DecisionRule | None = None
) -> Iterator[ImagePrediction]:
    """Yield the predictions for preprocessed images, batching their faces: infer, then postprocess.

    Raises:
        ModelError: as in `predict_files`.
    """
    outputs = infer([face.crop for image in images for face in image.faces], model)
    for image in images:
        yield postprocess_image(image, outputs, model.info, rule or DecisionRule())


def infer(crops: list[NDArray[np.uint8]], model: OnnxModel) -> Iterator[Values]:
    """Run the model in batches of `BATCH_FACES` crops, and yield the outputs of each face by task, ``(*shape)``."""
    for start in range(0, len(crops), BATCH_FACES):
        outputs = model.run(np.stack(crops[start : start + BATCH_FACES]))
        for index in range(len(outputs["expression"])):
            yield {task: values[index] for task, values in outputs.items()}


def postprocess_image(
    image: CroppedImage, outputs: Iterator[Values], info: ModelInfo, rule: DecisionRule
) -> ImagePrediction:
    """Return the prediction for an image, consuming one output of `infer` for each of its faces."""
    rows = tuple(
        postprocess_face(image.source, index, face, next(outputs), info, rule)
        for index, face in enumerate(image.faces)
    )
    return ImagePrediction(
        image.source,
        rows or (row_without_face(image.source, image.problem),),
        image.image_rgb,
        image.size_wh,
        image.n_more_images,
    )


def postprocess_face(
    source: str, index: int, face: CroppedFace, output: Values, info: ModelInfo, rule: DecisionRule
) -> FacePrediction:
    """Return the row of a face: the decision, and landmarks in pixels of the image.

    Args:
        source: name of the image.
        index: index of the face in the image.
        face: the cropped face.
        output: the model's output for it, ``(*shape)`` by task.
        info: the model's metadata.
        rule: how probabilities become an expression.
    """
    expression, confidence, probabilities = rule.decide(
        output["expression"], info.classes, rule.class_fractions(info)
    )
    fields: dict[str, Any] = {}
    for task, values in output.items():
        if TASKS[task].row is not None:
            fields |= TASKS[task].resolve("row")(values, face.to_image, info.annotations)
    quality = face.quality
    if quality.yaw_deg is None and fields.get("landmarks") is not None:
        quality = quality.with_pose(five_from_landmarks(fields["landmarks"]))
    reason = LOW_CONFIDENCE if expression == UNSURE else ""
    if rule.quality_rule and (problem := quality.find_reason(info.quality_rule)):
        expression, reason = UNSURE, problem
        confidence = min(confidence, (info.quality_rule or QUALITY)["right_answers"][problem])
    return FacePrediction(
        source,
        face=index,
        box_xyxy=face.detection.box_xyxy,
        score=face.detection.score,
        found_by=face.detection.found_by,
        expression=expression,
        confidence=confidence,
        probabilities=probabilities,
        reason=reason,
        label_set=None if rule.label_sets is None else rule.label_sets.choose(output["expression"]),
        quality=quality.to_dict(),
        **fields,
    )


def warn_if_trained_on_crops(info: ModelInfo) -> None:
    """Log a warning if faces are to be detected for a model that was trained on pre-cropped images."""
    if info.crop.method == "whole":
        _log.warning(
            "This model was trained on pre-cropped faces: detected faces are cropped to their bounding boxes. "
            "Set crop to `whole` for images that are cropped already; `mien prepare --crop aligned` makes a pack for "
            "photographs"
        )
