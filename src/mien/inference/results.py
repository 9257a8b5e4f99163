"""Results: one `FacePrediction` per face, or a single one for an image or frame without a face or unreadable.

`FacePrediction.to_dict` is the only schema of rows: JSON Lines, the server's responses and Python share it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.faces.crop import transform_points
from mien.runtime.terminal import on_one_line
from mien.tasks import Annotations

OK = "ok"
NO_FACE = "no_face"

PIXEL_DECIMALS = 2
VALUE_DECIMALS = 6


@dataclass(frozen=True, slots=True, eq=False)
class FacePrediction:
    """One row of predictions.

    Attributes:
        source: name of the image or video as given; empty for pixels.
        frame: 0-based frame number; None for an image.
        seconds: time of the frame since the start of the video or camera; None for an image.
        face: 0-based index among the faces of the image, the largest first; None without a face.
        track: number of the person tracked through a video; None for an image.
        status: ``ok``, ``no_face``, or the reason why it cannot be read, such as ``truncated_image``.
        detail: explanation of an unreadable source for a person; otherwise empty.
        box_xyxy: ``(4,)`` face box in pixels of the upright image.
        score: detector score in [0, 1]; None if the detector has none or did not run.
        found_by: ``detector``; ``whole`` if the image was taken as one face; ``given`` if the box came with the image; None
            without a face.
        expression: the most probable class, or ``unsure``.
        confidence: probability of the most probable class; for a face with a `reason` of quality, at most the share of
            right answers for such faces (quality.json).
        probabilities: by class, in the model's order; they sum to 1 unless limited to the top K classes.
        reason: why the expression is ``unsure``, such as ``too small``; otherwise empty.
        quality: how well the face can be seen, by the names of `mien.faces.quality.FaceQuality`; None without a face.
        landmarks: ``(68, 2)`` in pixels of the upright image; None if the model has no landmarks task.
        valence: in [-1, 1]; None if the model has no valence and arousal task.
        arousal: in [-1, 1]; None like valence.
        action_units: by name, such as ``AU06``: the probability that the unit is present, or its intensity from 0 to 5,
            whichever `ModelInfo.annotations` says; None if the model has no action units.
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
    found_by: str | None = None
    expression: str | None = None
    confidence: float | None = None
    probabilities: dict[str, float] | None = None
    reason: str = ""
    quality: dict[str, float | None] | None = None
    landmarks: NDArray[np.float64] | None = None
    valence: float | None = None
    arousal: float | None = None
    action_units: dict[str, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return every field as a plain value for JSON, None where there is none; `action_units` is left out if None.

        Pixels are rounded to hundredths, other numbers to millionths.
        """
        row: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                value = np.round(value, PIXEL_DECIMALS).tolist()
            elif isinstance(value, float):
                value = round(value, VALUE_DECIMALS)
            elif isinstance(value, dict):
                value = {
                    name: None if number is None else round(number, VALUE_DECIMALS)
                    for name, number in value.items()
                }
            if field.name != "action_units" or value is not None:
                row[field.name] = value
        return row

    def to_numpy(self) -> dict[str, NDArray[np.float64]]:
        """Return the numeric fields as float64 arrays.

        Returns:
            ``box_xyxy`` ``(4,)``, ``probabilities`` ``(C,)``, ``landmarks`` ``(68, 2)``, ``valence_arousal`` ``(2,)`` and
            ``action_units`` ``(K,)``, those of them that the row has.
        """
        values = {
            "box_xyxy": self.box_xyxy,
            "probabilities": None if self.probabilities is None else [*self.probabilities.values()],
            "landmarks": self.landmarks,
            "valence_arousal": None if self.valence is None else [self.valence, self.arousal],
            "action_units": None if self.action_units is None else [*self.action_units.values()],
        }
        return {
            name: np.asarray(value, dtype=np.float64) for name, value in values.items() if value is not None
        }

    def __str__(self) -> str:
        if self.status != OK:
            return self.status if not self.detail else f"{self.status}: {on_one_line(self.detail)}"
        parts = [
            f"{self.expression} {self.confidence or 0:.0%}" + (f" ({self.reason})" if self.reason else "")
        ]
        if self.valence is not None and self.arousal is not None:
            parts.append(f"valence {self.valence:+.2f}, arousal {self.arousal:+.2f}")
        if self.box_xyxy is not None:
            x0, y0, x1, y1 = self.box_xyxy.round().astype(int).tolist()
            parts.append(f"at {x0},{y0} to {x1},{y1}")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True, eq=False)
class ImagePrediction:
    """The predictions for one image or one frame of a video.

    Iterating yields the faces; `rows` also has a row for "no face" and "unreadable".

    Attributes:
        source: name of the image or video as given; empty for pixels.
        rows: at least one.
        image_rgb: the upright image ``(H, W, 3)``, if it was requested and could be read.
    """

    source: str
    rows: tuple[FacePrediction, ...]
    image_rgb: NDArray[np.uint8] | None = None

    @property
    def faces(self) -> tuple[FacePrediction, ...]:
        """The faces with a prediction, the largest first."""
        return tuple(row for row in self.rows if row.status == OK)

    def __iter__(self) -> Iterator[FacePrediction]:
        return iter(self.faces)

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, index: int) -> FacePrediction:
        return self.faces[index]

    def __bool__(self) -> bool:
        """Always true, even without a face: `len` would make it false."""
        return True

    def to_dict(self) -> dict[str, Any]:
        """Return source and rows as plain values for JSON."""
        return {"source": self.source, "rows": [row.to_dict() for row in self.rows]}

    def draw(self) -> NDArray[np.uint8]:
        """Return a copy of the image with the predictions drawn on it, ``(H, W, 3)`` uint8 RGB.

        Raises:
            ValueError: the image was not kept, or could not be read.
        """
        from mien.drawing.annotate import annotate  # noqa: PLC0415 - drawing loads Pillow's fonts, predicting does not

        if self.image_rgb is None:
            raise ValueError("the image was not kept or could not be read, so nothing can be drawn on it")
        return annotate(self.image_rgb, self.rows)

    def __str__(self) -> str:
        return "\n".join(f"{on_one_line(self.source) or 'image'}: {row}" for row in self.rows)


def row_without_face(source: str, problem: tuple[str, str] | None = None) -> FacePrediction:
    """Return the row of an image without a face or, given a problem (status, detail), of an unreadable one."""
    if problem is None:
        return FacePrediction(source, status=NO_FACE)
    return FacePrediction(source, status=problem[0], detail=problem[1])


# The functions that `Task.row` names.


def landmark_fields(
    landmarks: NDArray[np.float32], to_image: NDArray[np.float64], _annotations: Annotations
) -> dict[str, Any]:
    """Return the landmarks in pixels of the image."""
    return {"landmarks": transform_points(to_image, landmarks.astype(np.float64))}


def affect_fields(
    values: NDArray[np.float32], _to_image: NDArray[np.float64], _annotations: Annotations
) -> dict[str, Any]:
    """Return valence and arousal."""
    return {"valence": float(values[0]), "arousal": float(values[1])}


def action_unit_fields(
    values: NDArray[np.float32], _to_image: NDArray[np.float64], annotations: Annotations
) -> dict[str, Any]:
    """Return the probability or intensity of each unit by name."""
    return {"action_units": dict(zip(annotations["action_units"].names, values.tolist(), strict=True))}
