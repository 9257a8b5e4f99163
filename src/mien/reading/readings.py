"""What is said of faces: one `FaceReading` a face, and one for a picture or frame that has none or cannot be read.

`FaceReading.to_dict` is the one schema of rows: JSON Lines, the answers of the server and Python have it in common.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.terminal import on_one_line

OK = "ok"
NO_FACE = "no_face"
# The expression of a face whose likeliest class is less probable than was asked for.
UNSURE = "unsure"

PIXEL_DECIMALS = 2
VALUE_DECIMALS = 6


@dataclass(frozen=True, slots=True, eq=False)
class FaceReading:
    """One row of predictions.

    Attributes:
        source: the picture or video, as it was named; empty for pixels.
        frame: 0-based number of the video's frame; None for a picture.
        seconds: of the frame, from the video's beginning or the camera's start; None for a picture.
        face: 0-based place among the faces of the picture, the largest first; None where there is none.
        track: number of the person followed through a video; None for a picture.
        status: ``ok``, ``no_face``, or the reason why it cannot be read, such as ``truncated_image``.
        detail: about what is unreadable, for a person; otherwise empty.
        box_xyxy: ``(4,)`` face box in pixels of the upright picture.
        score: of the detector, in [0, 1]; None where it gives none or was not asked.
        expression: the most probable class, or ``unsure``.
        confidence: the probability of the most probable class.
        probabilities: of the classes, in the model's order; they sum to 1, unless only the likeliest were asked for.
        landmarks: ``(68, 2)`` in pixels of the upright picture; None where the model has no such task.
        valence: in [-1, 1]; None where the model has no such task.
        arousal: as valence.
    """

    source: str
    frame: int | None = None
    seconds: float | None = None
    face: int | None = None
    track: int | None = None
    status: str = OK
    detail: str = ""
    box_xyxy: NDArray[np.float64] | None = None
    score: float | None = None
    expression: str | None = None
    confidence: float | None = None
    probabilities: dict[str, float] | None = None
    landmarks: NDArray[np.float64] | None = None
    valence: float | None = None
    arousal: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the row as plain values for JSON: every field, None where there is nothing.

        Pixels are rounded to hundredths, other numbers to millionths.
        """
        return {field.name: _plain(field.name, getattr(self, field.name)) for field in fields(self)}

    def to_numpy(self) -> dict[str, NDArray[np.float64]]:
        """Return the numbers that are there as float64 arrays.

        Returns:
            Of ``box_xyxy`` ``(4,)``, ``probabilities`` ``(C,)``, ``landmarks`` ``(68, 2)`` and
            ``valence_arousal`` ``(2,)`` those that the row has.
        """
        values = {
            "box_xyxy": self.box_xyxy,
            "probabilities": None if self.probabilities is None else [*self.probabilities.values()],
            "landmarks": self.landmarks,
            "valence_arousal": None if self.valence is None else [self.valence, self.arousal],
        }
        return {
            name: np.asarray(value, dtype=np.float64) for name, value in values.items() if value is not None
        }

    def __str__(self) -> str:
        if self.status != OK:
            return self.status if not self.detail else f"{self.status}: {on_one_line(self.detail)}"
        parts = [f"{self.expression} {self.confidence or 0:.0%}"]
        if self.valence is not None and self.arousal is not None:
            parts.append(f"valence {self.valence:+.2f}, arousal {self.arousal:+.2f}")
        if self.box_xyxy is not None:
            x0, y0, x1, y1 = self.box_xyxy.round().astype(int).tolist()
            parts.append(f"at {x0},{y0} to {x1},{y1}")
        return ", ".join(parts)


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return np.round(value, PIXEL_DECIMALS).tolist()
    if isinstance(value, float):
        return round(value, VALUE_DECIMALS)
    if name == "probabilities" and value is not None:
        return {key: round(probability, VALUE_DECIMALS) for key, probability in value.items()}
    return value


@dataclass(frozen=True, slots=True, eq=False)
class PictureReading:
    """All that is read from one picture or one frame of a video.

    Iterating gives the faces that were read; `rows` has a row for "no face" and "unreadable" too.

    Attributes:
        source: the picture or video, as it was named; empty for pixels.
        rows: at least one.
        image_rgb: the upright picture ``(H, W, 3)``, where it was asked for and could be read.
    """

    source: str
    rows: tuple[FaceReading, ...]
    image_rgb: NDArray[np.uint8] | None = None

    @property
    def faces(self) -> tuple[FaceReading, ...]:
        """The faces that were read, the largest first."""
        return tuple(row for row in self.rows if row.status == OK)

    def __iter__(self) -> Iterator[FaceReading]:
        return iter(self.faces)

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, index: int) -> FaceReading:
        return self.faces[index]

    def __bool__(self) -> bool:
        """A reading is there, even of a picture without a face."""
        return True

    def to_dict(self) -> dict[str, Any]:
        """Return source and rows as plain values for JSON."""
        return {"source": self.source, "rows": [row.to_dict() for row in self.rows]}

    def draw(self) -> NDArray[np.uint8]:
        """Return a copy of the picture with the readings drawn on it, ``(H, W, 3)`` uint8 RGB.

        Raises:
            ValueError: the picture was not kept, or could not be read.
        """
        from mien.reading.annotate import annotate  # noqa: PLC0415 - drawing needs Pillow's fonts, reading does not

        if self.image_rgb is None:
            raise ValueError("the picture was not kept, so that nothing can be drawn on it")
        return annotate(self.image_rgb, self.rows)

    def __str__(self) -> str:
        return "\n".join(f"{on_one_line(self.source) or 'picture'}: {row}" for row in self.rows)


def without_face(source: str, problem: tuple[str, str] | None = None) -> FaceReading:
    """Return the row of a picture in which no face was found, or that cannot be read: (reason, detail)."""
    if problem is None:
        return FaceReading(source, status=NO_FACE)
    return FaceReading(source, status=problem[0], detail=problem[1])


def in_order_of_probability(probabilities: dict[str, float]) -> Sequence[tuple[str, float]]:
    """Return classes and their probabilities, the likeliest first."""
    return sorted(probabilities.items(), key=lambda item: -item[1])
