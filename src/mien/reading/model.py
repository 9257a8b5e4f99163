"""The Python interface: `mien.load` gives a `Model`, which reads pictures and watches videos."""

import warnings
from pathlib import Path
from typing import TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from mien.bundle import Bundle, BundleInfo
from mien.faces.detector import Detector, load_detector
from mien.faces.images import to_rgb
from mien.reading.answers import AnswerRule, ClassCount
from mien.reading.readings import PictureReading
from mien.reading.recognise import CutPicture, cut_encoded, cut_file, cut_pixels, read_cut_pictures
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
        threads: for one call of the model; None: one per core.

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
    """A model file, a face detector, and the rule by which answers are given."""

    def __init__(
        self, bundle: Bundle, *, rule: AnswerRule | None = None, detector: Detector | None = None
    ) -> None:
        """Put together what `load` loads; a detector that is None is looked for at its first use."""
        self.bundle = bundle
        self.rule = rule or AnswerRule()
        self._detector = detector

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

    def __repr__(self) -> str:
        info = self.info
        return (
            f"Model({self.bundle.path.name}: {', '.join(info.tasks)}; {len(self.classes)} classes; "
            f"{info.input_size} px)"
        )


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
