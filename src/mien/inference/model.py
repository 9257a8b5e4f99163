"""The Python interface: `mien.load` gives a `Model`, which reads images and watches videos."""

import threading
import warnings
from collections.abc import Generator
from functools import cached_property
from pathlib import Path
from typing import TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from mien.assets.bundled_models import find_model
from mien.faces.detector import Detector, load_detector
from mien.faces.images import UnreadableImage, to_rgb
from mien.formats.onnx_model import ModelInfo, OnnxModel
from mien.inference.decision_rule import ClassCount, DecisionRule
from mien.inference.pipeline import (
    CroppedImage,
    predict_cropped,
    preprocess_bytes,
    preprocess_file,
    preprocess_pixels,
)
from mien.inference.results import ImagePrediction
from mien.inference.video.capture import open_frames
from mien.inference.video.options import DETECT_EVERY, SMOOTHING_S, VideoOptions
from mien.inference.video.stream import unreadable_prediction, watch
from mien.runtime.cpu import usable_cpu_cores

# A path, an image file's bytes, or RGB or grey pixels.
ImageInput: TypeAlias = str | Path | bytes | NDArray[np.uint8]

# Images of a list are read so many at a time, so that their pixels need not all be held.
IMAGES_AT_ONCE = 32


def load(
    model: str | Path | None = None,
    *,
    classes: ClassCount | None = None,
    min_confidence: float = 0.0,
    top: int | None = None,
    detector: str | Path | None = None,
    threads: int | None = None,
) -> "Model":
    """Load a model that reads faces. Neither torch nor a GPU is needed.

    Args:
        model: the name of a model in the box, a file that `mien export` wrote, or None for the default.
        classes: answer among AffectNet's first 7, 8 or 11 classes; None: among all the model's.
        min_confidence: less probable answers become ``"unsure"``, in [0, 1].
        top: give the probabilities of so many of the top_class classes alone.
        detector: YuNet's file; None: looked for, or fetched once, when the first face is to be found.
        threads: for one call of the model; None: one per core, and half as many for a video, whose next frames
            are decoded and searched for faces meanwhile.

    Raises:
        ArtifactError: there is no such model, or it cannot be used.
        ModelError: the model lacks a class that ``classes`` asks for.

    Example:
        >>> model = mien.load()
        >>> for face in model.predict("photo.jpg"):
        ...     print(face.expression, face.confidence)
    """
    bundle = OnnxModel.load(find_model(model), threads=threads)
    rule = DecisionRule(classes, min_confidence, top)
    rule.classes(bundle.info.classes)
    return Model(bundle, rule=rule, detector=None if detector is None else load_detector(Path(detector)))


class Model:
    """A model file, a face detector, and the rule by which answers are given.

    One model can be used from several threads at once.
    """

    def __init__(
        self, bundle: OnnxModel, *, rule: DecisionRule | None = None, detector: Detector | None = None
    ) -> None:
        """Put together what `load` loads; a detector that is None is looked for at its first use."""
        self.onnx_model = bundle
        self.rule = rule or DecisionRule()
        self._detector = detector
        self._detector_lock = threading.Lock()

    @property
    def info(self) -> ModelInfo:
        """What the model file says of itself."""
        return self.onnx_model.info

    @property
    def classes(self) -> tuple[str, ...]:
        """The expressions that are answered, in the model's order."""
        return self.rule.classes(self.info.classes)

    @property
    def detector(self) -> Detector:
        """The face detector.

        Raises:
            SourceError: a file that was named does not exist.
            ModelError: it is not YuNet.
        """
        with self._detector_lock:
            if self._detector is None:
                self._detector = load_detector(announce=lambda line: warnings.warn(line, stacklevel=2))
        return self._detector

    @overload
    def predict(self, image: ImageInput, *, cropped: bool = False) -> ImagePrediction: ...
    @overload
    def predict(self, image: list[ImageInput], *, cropped: bool = False) -> list[ImagePrediction]: ...

    def predict(
        self, image: ImageInput | list[ImageInput], *, cropped: bool = False
    ) -> ImagePrediction | list[ImagePrediction]:
        """Read the faces of an image, or of a list of images in few calls of the model.

        An image that cannot be read has a row that says why; it is no error.

        Args:
            image: a path, an image file's bytes, ``(H, W, 3)`` RGB or ``(H, W)`` grey uint8 pixels, or a list
                of these.
            cropped: every image is one cropped face; none is looked for.

        Returns:
            A reading, with the pixels, that iterates over its faces and draws itself; of a list a list, without
            the pixels.

        Raises:
            TypeError: it is something else.
            ModelError: the model gives values that are not finite.
        """
        if not isinstance(image, list | tuple):
            cut = self.preprocess(image, cropped=cropped, keep_image=True)
            return next(predict_cropped([cut], self.onnx_model, self.rule))
        readings: list[ImagePrediction] = []
        for start in range(0, len(image), IMAGES_AT_ONCE):
            cuts = [self.preprocess(one, cropped=cropped) for one in image[start : start + IMAGES_AT_ONCE]]
            readings.extend(predict_cropped(cuts, self.onnx_model, self.rule))
        return readings

    def preprocess(
        self, image: ImageInput, *, cropped: bool = False, keep_image: bool = False
    ) -> CroppedImage:
        """Find and cut the faces of an image, so that several images' faces can be read together.

        Raises:
            TypeError: it is no image, see `predict`.
        """
        detector = None if cropped else self.detector
        if isinstance(image, str | Path):
            return preprocess_file(Path(image), self.info, detector=detector, keep_image=keep_image)
        if isinstance(image, bytes):
            return preprocess_bytes("", image, self.info, detector=detector, keep_image=keep_image)
        return preprocess_pixels(
            "", _require_pixels(image), self.info, detector=detector, keep_image=keep_image
        )

    def watch(  # noqa: PLR0913 - one keyword an option, as in the command
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
        """Read a video or camera, frame by frame.

        Each row has ``frame``, ``seconds`` and ``track``; a frame without a face, a damaged one, and an end that comes
        too early have a row that says so. A file that is no video gives one reading with one row. Of a camera the
        newest frame is read; those that came meanwhile are dropped. Closing the generator lets go of the camera.

        Args:
            source: a video file, a camera's index, or an ``rtsp://`` or ``http(s)://`` address.
            detect_every: faces are looked for in one frame of so many, and followed in those between.
            smoothing: time constant, in seconds, of the smoothing of a person's probabilities, affect and
                landmarks; 0 for none.
            cropped: every frame is one cropped face; none is looked for.
            keep_images: give each frame's pixels with its reading, to draw on.
            max_frames: read so many frames at most.
            max_seconds: read the frames of the first so many seconds.

        Raises:
            SourceError: there is no such camera, or the address gives no video.
            ValueError: an option makes no sense.
            ModelError: the model gives values that are not finite.

        Example:
            >>> for reading in model.watch("talk.mp4"):
            ...     for face in reading:
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
        return self._watch(source, options)

    def _watch(
        self, source: str | Path | int, options: VideoOptions
    ) -> Generator[ImagePrediction, None, None]:
        detector = None if options.cropped else self.detector
        try:
            frames = open_frames(source)
        except UnreadableImage as error:
            yield unreadable_prediction(str(source), error)
            return
        yield from watch(frames, self._video_model, detector=detector, rule=self.rule, options=options)

    @cached_property
    def _video_model(self) -> OnnxModel:
        """The model with the threads that a video leaves it; onnxruntime's spinning ones would take all cores."""
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
    """Return how many threads a call of the model gets while other threads decode and look for faces: half the cores."""
    return max(1, usable_cpu_cores() // 2)


def _require_pixels(image: object) -> NDArray[np.uint8]:
    """Return RGB pixels.

    Raises:
        TypeError: they are no image.
    """
    if not isinstance(image, np.ndarray):
        raise TypeError(f"an image must be a path, bytes or uint8 pixels, got {type(image).__name__}")
    is_image = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    if image.dtype != np.uint8 or not is_image or image.size == 0:
        raise TypeError(f"pixels must be uint8 (H, W, 3) RGB or (H, W) grey, got {image.dtype} {image.shape}")
    return to_rgb(image)
