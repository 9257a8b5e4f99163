"""What `mien predict` says: one `FaceReading` a face, and one for a picture that has none or cannot be read."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

OK = "ok"
NO_FACE = "no_face"


@dataclass(frozen=True, slots=True, eq=False)
class FaceReading:
    """One row of predictions.

    Attributes:
        source: the picture, as it was named.
        face: 0-based place among the picture's faces, the largest first; None where there is none.
        status: ``ok``, ``no_face``, or the reason why the picture cannot be read, such as ``truncated_image``.
        detail: about an unreadable picture, for a person; otherwise empty.
        box_xyxy: ``(4,)`` face box in pixels of the upright picture.
        score: of the detector, in [0, 1]; None where it gives none or was not asked.
        expression: the most probable class.
        confidence: its probability.
        probabilities: of every class, in the model's order; they sum to 1.
        landmarks: ``(68, 2)`` in pixels of the upright picture; None where the model has no such task.
        valence: in [-1, 1]; None where the model has no such task.
        arousal: as valence.
    """

    source: Path
    face: int | None = None
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


@dataclass(frozen=True, slots=True, eq=False)
class PictureReading:
    """All rows of one picture.

    Attributes:
        source: the picture, as it was named.
        rows: at least one.
        image_rgb: the upright picture ``(H, W, 3)``, where it was asked for and could be read.
    """

    source: Path
    rows: tuple[FaceReading, ...]
    image_rgb: NDArray[np.uint8] | None = None
