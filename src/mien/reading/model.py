"""The Python interface: `mien.load` gives a `Model`, which reads pictures and watches videos."""

import threading
import warnings
from collections.abc import Generator
from functools import cached_property
from pathlib import Path
from typing import TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from mien.bundle import Bundle, BundleInfo
from mien.cores import usable_cores
from mien.faces.detector import Detector, load_detector
from mien.faces.images import UnreadableImage, to_rgb
from mien.reading.answers import AnswerRule, ClassCount
from mien.reading.frames import open_frames
from mien.reading.readings import PictureReading
from mien.reading.recognise import CutPicture, cut_encoded, cut_file, cut_pixels, read_cut_pictures
from mien.reading.smoothing import SMOOTHING_S
from mien.reading.watch import DETECT_EVERY, WatchOptions, reading_of_unreadable, watch
from mien.zoo import find_model

# A path, a picture file's bytes, or RGB or grey pixels.
Picture: TypeAlias = str | Path | bytes | NDArray[np.uint8]

# Pictures of a list are read so many at a time, so that their pixels need not all be held.
PICTURES_AT_ONCE = 32


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
        top: give the probabilities of so many of the likeliest classes alone.
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
    bundle = Bundle.load(find_model(model), threads=threads)
    rule = AnswerRule(classes, min_confidence, top)
    rule.classes(bundle.info.classes)
    return Model(bundle, rule=rule, detector=None if detector is None else load_detector(Path(detector)))


class Model:
    """A model file, a face detector, and the rule by which answers are given.

    One model can be used from several threads at once.
    """

    def __init__(
        self, bundle: Bundle, *, rule: AnswerRule | None = None, detector: Detector | None = None
    ) -> None:
        """Put together what `load` loads; a detector that is None is looked for at its first use."""
        self.bundle = bundle
        self.rule = rule or AnswerRule()
        self._detector = detector
        self._detector_lock = threading.Lock()

    @property
    def info(self) -> BundleInfo:
        """What the model file says of itself."""
        return self.bundle.info

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
    def predict(self, picture: Picture, *, whole: bool = False) -> PictureReading: ...
    @overload
    def predict(self, picture: list[Picture], *, whole: bool = False) -> list[PictureReading]: ...

    def predict(
        self, picture: Picture | list[Picture], *, whole: bool = False
    ) -> PictureReading | list[PictureReading]:
        """Read the faces of a picture, or of a list of pictures in few calls of the model.

        A picture that cannot be read has a row that says why; it is no error.

        Args:
            picture: a path, a picture file's bytes, ``(H, W, 3)`` RGB or ``(H, W)`` grey uint8 pixels, or a list
                of these.
            whole: every picture is one cropped face; none is looked for.

        Returns:
            A reading, with the pixels, that iterates over its faces and draws itself; of a list a list, without
            the pixels.

        Raises:
            TypeError: it is something else.
            ModelError: the model gives values that are not finite.
        """
        if not isinstance(picture, list | tuple):
            cut = self.cut(picture, whole=whole, keep_image=True)
            return next(read_cut_pictures([cut], self.bundle, self.rule))
        readings: list[PictureReading] = []
        for start in range(0, len(picture), PICTURES_AT_ONCE):
            cuts = [self.cut(one, whole=whole) for one in picture[start : start + PICTURES_AT_ONCE]]
            readings.extend(read_cut_pictures(cuts, self.bundle, self.rule))
        return readings

    def cut(self, picture: Picture, *, whole: bool = False, keep_image: bool = False) -> CutPicture:
        """Find and cut the faces of a picture, so that several pictures' faces can be read together.

        Raises:
            TypeError: it is no picture, see `predict`.
        """
        detector = None if whole else self.detector
        if isinstance(picture, str | Path):
            return cut_file(Path(picture), self.info, detector=detector, keep_image=keep_image)
        if isinstance(picture, bytes):
            return cut_encoded("", picture, self.info, detector=detector, keep_image=keep_image)
        return cut_pixels("", _require_pixels(picture), self.info, detector=detector, keep_image=keep_image)

    def watch(  # noqa: PLR0913 - one keyword an option, as in the command
        self,
        source: str | Path | int,
        *,
        detect_every: int = DETECT_EVERY,
        smoothing: float = SMOOTHING_S,
        whole: bool = False,
        keep_images: bool = False,
        max_frames: int | None = None,
        max_seconds: float | None = None,
    ) -> Generator[PictureReading, None, None]:
        """Read a video or camera, frame by frame.

        Each row has ``frame``, ``seconds`` and ``track``; a frame without a face, a damaged one, and an end that comes
        too early have a row that says so. A file that is no video gives one reading with one row. Of a camera the
        newest frame is read; those that came meanwhile are dropped. Closing the generator lets go of the camera.

        Args:
            source: a video file, a camera's index, or an ``rtsp://`` or ``http(s)://`` address.
            detect_every: faces are looked for in one frame of so many, and followed in those between.
            smoothing: time constant, in seconds, of the smoothing of a person's probabilities, affect and
                landmarks; 0 for none.
            whole: every frame is one cropped face; none is looked for.
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
        options = WatchOptions(
            detect_every=detect_every,
            smoothing_s=smoothing,
            whole=whole,
            keep_images=keep_images,
            max_frames=max_frames,
            max_seconds=max_seconds,
        )
        return self._watch(source, options)

    def _watch(
        self, source: str | Path | int, options: WatchOptions
    ) -> Generator[PictureReading, None, None]:
        detector = None if options.whole else self.detector
        try:
            frames = open_frames(source)
        except UnreadableImage as error:
            yield reading_of_unreadable(str(source), error)
            return
        yield from watch(frames, self._video_bundle, detector=detector, rule=self.rule, options=options)

    @cached_property
    def _video_bundle(self) -> Bundle:
        """The model with the threads that a video leaves it; onnxruntime's spinning ones would take all cores."""
        if self.bundle.threads is not None:
            return self.bundle
        return Bundle.load(self.bundle.path, threads=threads_for_video())

    def __repr__(self) -> str:
        info = self.info
        return (
            f"Model({self.bundle.path.name}: {', '.join(info.tasks)}; {len(self.classes)} classes; "
            f"{info.input_size} px)"
        )


def threads_for_video() -> int:
    """Return how many threads a call of the model gets while other threads decode and look for faces: half the cores."""
    return max(1, usable_cores() // 2)


def _require_pixels(picture: object) -> NDArray[np.uint8]:
    """Return RGB pixels.

    Raises:
        TypeError: they are no picture.
    """
    if not isinstance(picture, np.ndarray):
        raise TypeError(f"a picture must be a path, bytes or uint8 pixels, got {type(picture).__name__}")
    is_picture = picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] == 3)
    if picture.dtype != np.uint8 or not is_picture or picture.size == 0:
        raise TypeError(
            f"pixels must be uint8 (H, W, 3) RGB or (H, W) grey, got {picture.dtype} {picture.shape}"
        )
    return to_rgb(picture)
