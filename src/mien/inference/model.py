"""The Python interface: `mien.load` returns a `Model`, which predicts images, videos and cameras."""

import threading
from collections.abc import Generator
from functools import cached_property
from pathlib import Path
from typing import TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.assets.bundled_models import find_model
from mien.faces.detector import Detector, load_detector
from mien.faces.images import UnreadableImage, to_rgb
from mien.formats.onnx_model import ModelInfo, OnnxModel
from mien.inference.decision_rule import ClassCount, DecisionRule
from mien.inference.given_faces import GivenFaces
from mien.inference.pipeline import (
    CroppedImage,
    detector_for_crops,
    predict_cropped,
    preprocess_bytes,
    preprocess_file,
    preprocess_pixels,
)
from mien.inference.results import ImagePrediction
from mien.inference.video.capture import open_frames
from mien.inference.video.options import DETECT_EVERY, SMOOTHING_S, VideoOptions
from mien.inference.video.stream import predict_frames, unreadable_prediction
from mien.runtime.cpu import usable_cpu_cores

# A path, the bytes of an image file, or RGB or grayscale pixels.
ImageInput: TypeAlias = str | Path | bytes | NDArray[np.uint8]

# Images of a list are processed in chunks of this size, to bound the pixels in memory.
CHUNK_IMAGES = 32


def load(  # noqa: PLR0913 - one keyword per option, as on the command line
    model: str | Path | None = None,
    *,
    classes: ClassCount | None = None,
    min_confidence: float = 0.0,
    top: int | None = None,
    quality_rule: bool = True,
    detector: str | Path | None = None,
    threads: int | None = None,
) -> "Model":
    """Load a model. Neither torch nor a GPU is needed.

    Args:
        model: the name of a bundled model, a file written by `mien export`, or None for the default.
        classes: choose among AffectNet's first 7, 8 or 11 classes; None: among all of the model's classes.
        min_confidence: less probable predictions become ``"unsure"``, in [0, 1].
        top: report the probabilities of the K most probable classes only.
        quality_rule: predictions for a face that is too small, too dark, blurred or covered become ``"unsure"``.
        detector: YuNet's file; None: located, or downloaded once, when it is first needed.
        threads: threads per model call; None: one per core, and half of that for a video, whose next frames are
            decoded and searched for faces at the same time.

    Raises:
        ArtifactError: the model does not exist or cannot be used.
        ModelError: the model lacks a class that ``classes`` requires.

    Example:
        >>> import mien
        >>> model = mien.load()
        >>> model
        Model(ferplus-resnet10-int8.onnx: expression, landmarks; 8 classes; 48 px)
        >>> model.classes[:3]
        ('Neutral', 'Happy', 'Sad')
    """
    onnx_model = OnnxModel.load(find_model(model), threads=threads)
    rule = DecisionRule(classes, min_confidence, top, quality_rule)
    rule.classes(onnx_model.info.classes)
    return Model(onnx_model, rule=rule, detector=None if detector is None else load_detector(Path(detector)))


class Model:
    """An ONNX model, a face detector and a decision rule. Thread-safe."""

    def __init__(
        self, onnx_model: OnnxModel, *, rule: DecisionRule | None = None, detector: Detector | None = None
    ) -> None:
        """Combine what `load` loads; without a detector the default one is loaded at its first use."""
        self.onnx_model = onnx_model
        self.rule = rule or DecisionRule()
        self._detector = detector
        self._detector_lock = threading.Lock()

    @property
    def info(self) -> ModelInfo:
        """The metadata of the model file."""
        return self.onnx_model.info

    @property
    def classes(self) -> tuple[str, ...]:
        """The expressions that can be predicted, in the model's order."""
        return self.rule.classes(self.info.classes)

    @property
    def detector(self) -> Detector:
        """The face detector.

        Raises:
            SourceError: its file does not exist.
            ModelError: its file is not YuNet.
        """
        with self._detector_lock:
            if self._detector is None:
                self._detector = load_detector()
        return self._detector

    @overload
    def predict(
        self,
        image: ImageInput,
        *,
        cropped: bool = False,
        boxes_xyxy: ArrayLike | None = None,
        landmarks: ArrayLike | None = None,
    ) -> ImagePrediction: ...
    @overload
    def predict(self, image: list[ImageInput], *, cropped: bool = False) -> list[ImagePrediction]: ...

    def predict(
        self,
        image: ImageInput | list[ImageInput],
        *,
        cropped: bool = False,
        boxes_xyxy: ArrayLike | None = None,
        landmarks: ArrayLike | None = None,
    ) -> ImagePrediction | list[ImagePrediction]:
        """Predict the faces of an image, or of a list of images in batches.

        An unreadable image is not an error: its row gives the reason.

        Args:
            image: a path, the bytes of an image file, ``(H, W, 3)`` RGB or ``(H, W)`` grayscale uint8 pixels, or a
                list of these.
            cropped: every image already is one cropped face; for a model of aligned crops, the detector looks only for
                the points to align it by.
            boxes_xyxy: ``(N, 4)`` boxes of the faces of an image in pixels, instead of detecting them; the faces keep
                their order. For a model of aligned crops, the detector looks for the points of the face in each.
            landmarks: ``(N, 68, 2)`` or ``(N, 5, 2)`` points of these faces in pixels, to align them by; enough without
                boxes. See `GivenFaces`.

        Returns:
            For an image, a prediction that iterates over its faces and keeps the pixels, to draw on; for a list, a
            list of predictions without pixels.

        Raises:
            TypeError: the image is something else.
            ValueError: boxes or landmarks are malformed, outside the image, or given for a list of images or with ``cropped``.
            ModelError: the model's output is not finite.
        """
        given: GivenFaces | None = None
        if boxes_xyxy is not None or landmarks is not None:
            if cropped or isinstance(image, list | tuple):
                raise ValueError("`boxes_xyxy` and `landmarks` are for one image that is not `cropped`")
            needs_points = landmarks is None and self.info.crop.method == "aligned"
            given = GivenFaces(boxes_xyxy, landmarks, detector=self.detector if needs_points else None)
        if not isinstance(image, list | tuple):
            preprocessed = self.preprocess(image, cropped=cropped, keep_image=True, given=given)
            return next(predict_cropped([preprocessed], self.onnx_model, self.rule))
        predictions: list[ImagePrediction] = []
        for start in range(0, len(image), CHUNK_IMAGES):
            chunk = [self.preprocess(one, cropped=cropped) for one in image[start : start + CHUNK_IMAGES]]
            predictions.extend(predict_cropped(chunk, self.onnx_model, self.rule))
        return predictions

    def preprocess(
        self,
        image: ImageInput,
        *,
        cropped: bool = False,
        keep_image: bool = False,
        given: GivenFaces | None = None,
    ) -> CroppedImage:
        """Decode an image, detect its faces, unless they are given, and crop them, without running the model.

        Raises:
            TypeError: it is not an image, see `predict`.
        """
        detector: Detector | None = given
        if given is None:
            detector = detector_for_crops(self.info, lambda: self.detector) if cropped else self.detector
        if isinstance(image, str | Path):
            return preprocess_file(Path(image), self.info, detector=detector, keep_image=keep_image)
        if isinstance(image, bytes):
            return preprocess_bytes("", image, self.info, detector=detector, keep_image=keep_image)
        if not isinstance(image, np.ndarray):
            raise TypeError(f"an image must be a path, bytes or uint8 pixels, got {type(image).__name__}")
        has_image_shape = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
        if image.dtype != np.uint8 or not has_image_shape or image.size == 0:
            raise TypeError(
                f"pixels must be uint8 (H, W, 3) RGB or (H, W) grayscale, got {image.dtype} {image.shape}"
            )
        return preprocess_pixels("", to_rgb(image), self.info, detector=detector, keep_image=keep_image)

    def watch(  # noqa: PLR0913 - one keyword per option, as on the command line
        self,
        source: str | Path | int,
        *,
        detect_every: int = DETECT_EVERY,
        smoothing: float = SMOOTHING_S,
        cropped: bool = False,
        keep_images: bool = False,
        max_frames: int | None = None,
        max_seconds: float | None = None,
    ) -> Generator[ImagePrediction, None, None]:
        """Predict a video or camera, frame by frame.

        Each row has ``frame``, ``seconds`` and ``track``; a frame without a face, a damaged frame and a premature end
        have a row with that status. A file that is not a video yields one prediction with one row. For a camera, the
        newest frame is predicted and those that arrived in the meantime are dropped. Closing the generator releases
        the camera.

        Args:
            source: a video file, a camera index, or an ``rtsp://`` or ``http(s)://`` URL.
            detect_every: faces are detected in every K-th frame, and tracked in between.
            smoothing: time constant, in seconds, for smoothing each person's probabilities, valence, arousal and
                landmarks; 0 for none.
            cropped: every frame already is one cropped face; the detector does not run.
            keep_images: return each frame's pixels with its prediction, to draw on.
            max_frames: stop after this many frames.
            max_seconds: stop at this time of the video.

        Raises:
            SourceError: the camera does not exist, or the URL provides no video.
            ValueError: an option is out of range.
            ModelError: the model's output is not finite.

        Example:
            >>> import mien
            >>> model = mien.load()
            >>> for prediction in model.watch("talk.mp4"):
            ...     for face in prediction:
            ...         print(face.seconds, face.track, face.expression)
        """
        options = VideoOptions(
            detect_every=detect_every,
            smoothing_s=smoothing,
            cropped=cropped,
            keep_images=keep_images,
            max_frames=max_frames,
            max_seconds=max_seconds,
        )

        def predictions() -> Generator[ImagePrediction, None, None]:
            detector = None if cropped else self.detector
            try:
                frames = open_frames(source)
            except UnreadableImage as error:
                yield unreadable_prediction(str(source), error)
                return
            yield from predict_frames(
                frames, self._video_model, detector=detector, rule=self.rule, options=options
            )

        # Options are checked above, at the call; the source is opened when the first frame is requested.
        return predictions()

    @cached_property
    def _video_model(self) -> OnnxModel:
        """The model with fewer threads; otherwise onnxruntime's spinning threads would occupy all cores."""
        if self.onnx_model.threads is not None:
            return self.onnx_model
        return OnnxModel.load(self.onnx_model.path, threads=threads_for_video())

    def __repr__(self) -> str:
        info = self.info
        return (
            f"Model({self.onnx_model.path.name}: {', '.join(info.tasks)}; {len(self.classes)} classes; "
            f"{info.input_size} px)"
        )


def threads_for_video() -> int:
    """Return the threads per model call while other threads decode and detect faces: half of the cores."""
    return max(1, usable_cpu_cores() // 2)
