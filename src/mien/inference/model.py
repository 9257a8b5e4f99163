"""The Python interface: `mien.load` returns a `Model`, which predicts images, videos and cameras."""

import logging
import os
import threading
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast, overload

import numpy as np
from numpy.typing import ArrayLike

from mien.assets.bundled_models import find_model
from mien.errors import SourceError
from mien.faces.detector import Detector, load_detector, require_min_face_px
from mien.faces.images import UnreadableImage, count_images, to_rgb
from mien.formats.onnx_model import ModelInfo, OnnxModel
from mien.inference.decision_rule import ClassCount, DecisionRule, Prior
from mien.inference.explanation import Explanation, explain_faces, require_class
from mien.inference.given_faces import GivenFaces
from mien.inference.image_input import AnyImage, ColorOrder, ImageInput, read_input, source_name, split_batch
from mien.inference.label_sets import load_label_sets
from mien.inference.pipeline import CroppedImage, predict_cropped, preprocess_pixels
from mien.inference.results import ImagePrediction
from mien.inference.video.capture import open_frames
from mien.inference.video.frames import DEFAULT_FRAME_RATE, FrameSource
from mien.inference.video.given_frames import GivenFrames
from mien.inference.video.options import DETECT_EVERY, SMOOTHING_S, VideoOptions
from mien.inference.video.stream import predict_frames, unreadable_prediction
from mien.runtime.cpu import threads_for_video
from mien.runtime.onnx_session import Provider, require_providers, resolve_device
from mien.runtime.options import require_number
from mien.runtime.progress import Progress

_log = logging.getLogger(__name__)

# Images of a list are processed in chunks of this size, to bound the pixels in memory.
CHUNK_IMAGES = 32


def load(  # noqa: PLR0913 - one keyword per option, as on the command line
    model: str | Path | None = None,
    *,
    classes: ClassCount | None = None,
    min_confidence: float = 0.0,
    top: int | None = None,
    prior: Prior = "as-trained",
    quality_rule: bool = True,
    coverage: float | None = None,
    coverage_from: str | Path | None = None,
    detector: str | Path | None = None,
    min_face_px: float = 0,
    threads: int | None = None,
    device: str = "cpu",
    providers: Sequence[Provider] | None = None,
) -> "Model":
    """Load a model. Neither torch nor a GPU is needed.

    Args:
        model: the name of a bundled model, a file written by `mien export`, its address on the Hugging Face Hub, such as
            ``hf://org/name`` or ``hf://org/name@revision``, or None for the default.
        classes: choose among AffectNet's first 7, 8 or 11 classes; None: among all of the model's classes.
        min_confidence: less probable predictions become ``"unsure"``, in [0, 1].
        top: report the probabilities of the K most probable classes only.
        prior: how common the classes are assumed to be: ``as-trained``; ``balanced``, equally common, so that rare classes
            are predicted more often; or ``half``, in between.
        quality_rule: predictions for a face that is too small, too dark, blurred or covered become ``"unsure"``.
        coverage: give each face the set of classes that contains the true one with this probability, for each class, in
            (0, 1); the coverage holds for images that are sampled and labeled like those of the report.
        coverage_from: folder of a report of `mien evaluate` on this model, which ``coverage`` needs.
        detector: YuNet's file; None: located, or downloaded once, when it is first needed.
        min_face_px: leave out faces with a shorter side of the box; the larger it is, the less time detection takes.
        threads: threads per model call; None: one per core, and half of that for a video, whose next frames are
            decoded and searched for faces at the same time.
        device: what runs the model: ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or another of `mien.runtime.onnx_session.DEVICES`
            that the installed onnxruntime supports. The detector stays on the CPU. Only the CPU is tested.
        providers: onnxruntime's execution providers, in order of preference, in place of ``device``: names, or pairs of a
            name and its options.

    Raises:
        ArtifactError: the model does not exist or cannot be used.
        ModelError: the model lacks a class that ``classes`` requires, or does not record the class fractions that ``prior``
            requires; or the device is unknown, not supported, or cannot be started.
        ValueError: a number is out of range, or an option does not go with another.

    Example:
        >>> import mien
        >>> model = mien.load()
        >>> model
        Model(mien-base.onnx: expression, landmarks; 8 classes; 48 px)
        >>> model.classes[:3]
        ('Neutral', 'Happy', 'Sad')
    """
    chosen = resolve_device(device) if providers is None else require_providers(providers)
    onnx_model = OnnxModel.load(find_model(model), threads=threads, providers=chosen)
    rule = DecisionRule(classes, min_confidence, top, prior, quality_rule)
    rule.require_supported_by(onnx_model.info)
    if (coverage is None) != (coverage_from is None):
        raise ValueError("`coverage` and `coverage_from` go together")
    if coverage is not None and coverage_from is not None:
        require_number("coverage", coverage)
        if not 0 < coverage < 1 or rule.changes_probabilities:
            raise ValueError("`coverage` must be in (0, 1), without `classes` and `prior`")
        rule = replace(rule, label_sets=load_label_sets(Path(coverage_from), coverage, onnx_model))
    require_min_face_px(min_face_px)
    finder = None if detector is None else load_detector(Path(detector), min_face_px=min_face_px)
    return Model(onnx_model, rule=rule, detector=finder, min_face_px=min_face_px)


class Model:
    """An ONNX model, a face detector and a decision rule.

    Thread-safe, usable in a forked process, and can be copied and pickled: a pickle holds the content of the model file and
    of the detector's, if it is loaded.
    """

    def __init__(
        self,
        onnx_model: OnnxModel,
        *,
        rule: DecisionRule | None = None,
        detector: Detector | None = None,
        min_face_px: float = 0,
    ) -> None:
        """Combine what `load` loads; without a detector the default one is loaded at its first use, with `min_face_px`."""
        self.onnx_model = onnx_model
        self.rule = rule or DecisionRule()
        self._detector = detector
        self._min_face_px = min_face_px
        self._detector_lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy what the model was made of."""
        make = partial(Model, rule=self.rule, detector=self._detector, min_face_px=self._min_face_px)
        return make, (self.onnx_model,)

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
                self._detector = load_detector(min_face_px=self._min_face_px)
        return self._detector

    @overload
    def predict(
        self,
        image: list[AnyImage] | tuple[AnyImage, ...],
        *,
        cropped: bool = ...,
        color: ColorOrder = ...,
        keep_images: bool = ...,
    ) -> list[ImagePrediction]: ...
    @overload
    def predict(
        self,
        image: ImageInput,
        *,
        cropped: bool = ...,
        color: ColorOrder = ...,
        keep_images: bool = ...,
        boxes_xyxy: ArrayLike | None = ...,
        landmarks: ArrayLike | None = ...,
    ) -> ImagePrediction: ...

    def predict(
        self,
        image: ImageInput | list[AnyImage] | tuple[AnyImage, ...],
        *,
        cropped: bool = False,
        color: ColorOrder = "rgb",
        keep_images: bool = False,
        boxes_xyxy: ArrayLike | None = None,
        landmarks: ArrayLike | None = None,
    ) -> ImagePrediction | list[ImagePrediction]:
        """Predict the faces of an image, or of several images in batches.

        An unreadable image is not an error: its row gives the reason.

        Args:
            image: a path, an http(s) address, the bytes of an image file, a file object opened in binary mode, a Pillow
                image, or pixels: ``(H, W, 3)`` RGB, ``(H, W, 4)`` RGBA or ``(H, W)`` grayscale, uint8 or floating point from
                0 to 1; a torch tensor may have its channels first. A list of these, or pixels ``(N, H, W, 3)``, for several.
            cropped: every image already is one cropped face; the detector does not run.
            color: order of the channels of pixels: ``"bgr"`` for those of OpenCV. In the wrong order faces are still found,
                but predicted worse, and mien cannot notice it. Files and Pillow images state their own order.
            keep_images: keep each image's pixels with its prediction, to draw on.
            boxes_xyxy: ``(N, 4)`` boxes of the faces of an image in pixels, instead of detecting them; the faces keep
                their order. For a model of aligned crops, the detector finds the eyes and mouth in each.
            landmarks: ``(N, 68, 2)`` or ``(N, 5, 2)`` points of these faces in pixels, to align them by; enough without
                boxes. See `GivenFaces`.

        Returns:
            For an image, a prediction that iterates over its faces; for several, a list of predictions.

        Raises:
            TypeError: the image is something else, or the order of its axes or the range of its values is unclear.
            ValueError: boxes or landmarks are malformed, outside the image, or given for several images or with ``cropped``.
            ModelError: the model's output is not finite.
        """
        images = split_batch(image)
        given: GivenFaces | None = None
        if boxes_xyxy is not None or landmarks is not None:
            if cropped or images is not None or self._min_face_px:
                raise ValueError(
                    "`boxes_xyxy` and `landmarks` are for one image that is not `cropped`, without `min_face_px`"
                )
            needs_points = landmarks is None and self.info.crop.method == "aligned"
            given = GivenFaces(boxes_xyxy, landmarks, detector=self.detector if needs_points else None)
        if images is not None:
            predictions: list[ImagePrediction] = []
            for start in range(0, len(images), CHUNK_IMAGES):
                chunk = [
                    self.preprocess(one, cropped=cropped, color=color, keep_image=keep_images)
                    for one in images[start : start + CHUNK_IMAGES]
                ]
                predictions.extend(predict_cropped(chunk, self.onnx_model, self.rule))
            return predictions
        preprocessed = self.preprocess(
            cast("ImageInput", image), cropped=cropped, color=color, keep_image=keep_images, given=given
        )
        return next(predict_cropped([preprocessed], self.onnx_model, self.rule))

    def preprocess(
        self,
        image: ImageInput,
        *,
        cropped: bool = False,
        color: ColorOrder = "rgb",
        keep_image: bool = False,
        given: GivenFaces | None = None,
    ) -> CroppedImage:
        """Read an image, detect its faces, unless they are given, and crop them, without running the model.

        Raises:
            TypeError: it is not an image, see `predict`.
        """
        self._check_cropped(cropped)
        source = source_name(image)
        try:
            pixels, encoded = read_input(image, color=color)
        except UnreadableImage as error:
            return CroppedImage(source, (), problem=(error.reason, error.detail))
        detector: Detector | None = given
        if given is None:
            detector = None if cropped else self.detector
        crops = preprocess_pixels(source, to_rgb(pixels), self.info, detector=detector, keep_image=keep_image)
        return replace(crops, n_more_images=0 if encoded is None else count_images(encoded) - 1)

    def _check_cropped(self, cropped: bool) -> None:
        if cropped and self._min_face_px:
            raise ValueError("`min_face_px` is for faces that are detected, not for `cropped` ones")

    def explain(
        self,
        image: ImageInput,
        *,
        target: str | None = None,
        cropped: bool = False,
        color: ColorOrder = "rgb",
    ) -> list[Explanation]:
        """Return what the prediction of each face of an image depends on, found by hiding parts of the face.

        The model runs 144 times for each face.

        Args:
            image: in any form that `predict` takes; a single one.
            target: the class to explain; None: the most probable one.
            cropped: the image already is one cropped face; the detector does not run.
            color: order of the channels of pixels, see `predict`.

        Returns:
            An explanation for each face, the largest first; none without a face.

        Raises:
            TypeError: the image is something else, see `predict`.
            SourceError: the image cannot be read.
            ModelError: the model does not know the class, or its output is not finite.

        Example:
            >>> import mien
            >>> model = mien.load()
            >>> face_rgb = np.full((48, 48, 3), 128, np.uint8)
            >>> [explanation] = model.explain(face_rgb, cropped=True)
            >>> explanation.occlusion.shape, list(explanation.regions)[:3]
            ((48, 48), ['eyes and brows', 'nose', 'mouth'])
        """
        require_class(target, self.onnx_model)
        image_cropped = self.preprocess(image, cropped=cropped, color=color)
        if image_cropped.problem is not None:
            status, detail = image_cropped.problem
            raise SourceError(
                f"{image_cropped.source or 'The image'} cannot be explained: {status}, {detail}"
            )
        return list(explain_faces(image_cropped, self.onnx_model, rule=self.rule, target=target))

    def watch(  # noqa: PLR0913 - one keyword per option, as on the command line
        self,
        source: str | Path | int | Iterable[Any],
        *,
        detect_every: int = DETECT_EVERY,
        smoothing: float = SMOOTHING_S,
        cropped: bool = False,
        keep_images: bool = False,
        start_seconds: float = 0.0,
        end_seconds: float | None = None,
        max_frames: int | None = None,
        max_seconds: float | None = None,
        per_second: float | None = None,
        frame_rate: float = DEFAULT_FRAME_RATE,
        color: ColorOrder = "rgb",
    ) -> Generator[ImagePrediction, None, None]:
        """Predict a video or camera, frame by frame.

        Each row has ``frame``, ``seconds`` and ``track``; a frame without a face, a damaged frame and a premature end
        have a row with that status. A file that is not a video yields one prediction with one row. For a camera, the
        newest frame is predicted and those that arrived in the meantime are dropped. Closing the generator releases
        the camera.

        Args:
            source: a video file, an animated image, a camera index, an ``rtsp://`` or ``http(s)://`` URL, or an iterable of
                frames in any form that `predict` takes as an image, or of pairs (seconds, frame), whose rows have these
                seconds; PyAV's frames bring their own. Each is predicted before the next one is requested.
            detect_every: faces are detected in every K-th frame, and tracked in between.
            smoothing: time constant, in seconds, for smoothing each person's probabilities, valence, arousal and
                landmarks; 0 for none.
            cropped: every frame already is one cropped face; the detector does not run.
            keep_images: return each frame's pixels with its prediction, to draw on.
            start_seconds: frames before this time of the video are left out.
            end_seconds: stop at this time of the video.
            max_frames: stop after this many frames.
            max_seconds: stop after this many seconds of the video, counted from the first frame predicted.
            per_second: predict at most this many frames per second, and skip the others.
            frame_rate: of an iterable without times, in frames per second. Smoothing depends on it.
            color: order of the channels of an iterable's pixels, see `predict`.

        Raises:
            TypeError: a frame is not an image.
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
            start_seconds=start_seconds,
            end_seconds=end_seconds,
            max_frames=max_frames,
            max_seconds=max_seconds,
            per_second=per_second,
        )

        self._check_cropped(cropped)
        if self.rule.label_sets is not None:
            raise ValueError(
                "`coverage` is for images: the frames of a video repeat each other, so the coverage would not hold"
            )
        given = None
        if isinstance(source, bool) or not isinstance(source, str | os.PathLike | int):
            given = GivenFrames(source, frame_rate=frame_rate, color=color)  # type: ignore[arg-type]

        def predictions() -> Generator[ImagePrediction, None, None]:
            detector = None if cropped else self.detector
            try:
                if given is None:
                    frames: FrameSource = open_frames(source, start_seconds=start_seconds)  # type: ignore[arg-type]
                else:
                    frames = given
            except UnreadableImage as error:
                yield unreadable_prediction(str(source), error)
                return
            yield from predict_frames(
                frames, self._video_model, detector=detector, rule=self.rule, options=options
            )

        return predictions()  # options were checked above; the source is opened for the first frame

    def teach(  # noqa: PLR0913 - one keyword per option, as on the command line
        self,
        images: Sequence[ImageInput],
        labels: Sequence[str],
        *,
        persons: Sequence[str | None] | None = None,
        keep_classes: bool = False,
        merge: Mapping[str, Sequence[str]] | None = None,
        cropped: bool = False,
        color: ColorOrder = "rgb",
    ) -> "Model":
        """Return a model with your own classes, taught on a few labeled images in seconds; `save` writes it.

        The network stays as it is: a linear layer on its features is fitted, with a penalty chosen by cross-validation, and
        measured by it (``info.training["taught"]``). In each image the largest face is used; images without one, or that
        cannot be read, are left out with a warning.

        Args:
            images: each as `predict` takes it; at least five of each class, of different faces.
            labels: the class of each image.
            persons: who is in each image, or None where that is not known. Cross-validation then measures accuracy on
                people who were not used to fit the layer.
            keep_classes: keep the model's classes in addition to the new ones. Images of the model's classes are then needed
                too, as counterexamples.
            merge: classes to combine to one, by the name of the new one: ``{"Negative": ["Anger", "Disgust"]}``.
            cropped: every image already is one cropped face; the detector does not run.
            color: order of the channels of pixels.

        Raises:
            DatasetError: there are too few faces or classes, or a class has a name that it cannot have.
            ModelError: cross-validation gives no evidence that the classes can be told apart.

        Example:
            >>> model = mien.load().teach(["a.jpg", "b.jpg", ...], ["yawn", "calm", ...])  # doctest: +SKIP
            >>> model.save("yawn.onnx")  # doctest: +SKIP
        """
        from mien.inference.teaching.lesson import Shots, teach  # noqa: PLC0415 - few models are taught

        if isinstance(labels, str):
            raise TypeError(f"`labels` must be a list with the class of each image, got {labels!r}")
        if isinstance(images, str | bytes | os.PathLike) or not hasattr(images, "__len__"):
            raise TypeError(f"`images` must be a list, got {type(images).__name__}")
        people: Sequence[str | None] = [None] * len(images) if persons is None else persons
        if not len(images) == len(labels) == len(people):
            raise ValueError(
                f"`images`, `labels` and `persons` must be as many, got {len(images)}, {len(labels)} and {len(people)}"
            )
        crops, kept, problems = [], [], []
        with Progress("Finding faces", total=len(images), unit="image") as progress:
            for index, image in enumerate(images):
                found = self.preprocess(image, cropped=cropped, color=color)
                if found.faces:
                    crops.append(found.faces[0].crop)
                    kept.append(index)
                else:
                    problem = found.problem[0] if found.problem else "no face"
                    problems.append(f"{found.source or f'image {index}'} ({problem})")
                progress.advance()
        if problems:
            shown = ", ".join(problems[:5])
            _log.warning("%d of %d images are left out: %s", len(problems), len(images), shown)
        size = self.info.input_size
        shots = Shots(
            np.stack(crops) if crops else np.zeros((0, size, size, 3), np.uint8),
            tuple(labels[index] for index in kept),
            tuple(people[index] for index in kept),
        )
        taught = teach(self.onnx_model, shots, keep_classes=keep_classes, merge=merge)
        rule = replace(self.rule, n_classes=None, prior="as-trained", label_sets=None)
        return Model(taught, rule=rule, detector=self._detector, min_face_px=self._min_face_px)

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the model file, and a model card next to it; return the file's path.

        Args:
            path: ends in ``.onnx``.
            force: replace existing files.

        Raises:
            ArtifactError: a file exists already, or cannot be written.
        """
        from mien.inference.teaching.saving import save_model  # noqa: PLC0415 - few models are saved

        return save_model(self.onnx_model, Path(path), force=force)

    @cached_property
    def _video_model(self) -> OnnxModel:
        """The model with fewer threads, since others decode and detect faces at the same time."""
        if self.onnx_model.threads is not None:
            return self.onnx_model
        return self.onnx_model.with_threads(threads_for_video())

    def __repr__(self) -> str:
        info = self.info
        tasks, n_classes = ", ".join(info.tasks), len(self.classes)
        return f"Model({self.onnx_model.path.name}: {tasks}; {n_classes} classes; {info.input_size} px)"
