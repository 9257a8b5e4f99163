"""What every raw set is read as: rows, records, and rows that cannot be used."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Row:
    """A row as the source lists it, unparsed, small enough to send to another process.

    Attributes:
        split: ``train``, ``val`` or ``test``.
        number: 1-based place among the rows of its list, as a person counts data rows.
        key: the picture's path as the source writes it.
        fields: the source's own columns that `Source.parse` needs, by name.
    """

    split: str
    number: int
    key: str
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class FaceRecord:
    """One labelled face, parsed.

    Attributes:
        image: where the picture is, or its pixels where the source holds them itself.
        label: index into the source's classes.
        distribution: the share of votes of each class, or None.
        box_xyxy: face box in pixels, or None.
        landmarks: ``(68, 2)`` in pixels, or None.
        valence: in [-1, 1], or None.
        arousal: in [-1, 1], or None.
        is_cropped: the picture is a cropped face, to be taken whole where no face is found in it.
        warnings: codes of things that were left out of this face, such as ``landmark_count``.
    """

    image: Path | NDArray[np.uint8]
    label: int
    distribution: tuple[float, ...] | None = None
    box_xyxy: NDArray[np.float64] | None = None
    landmarks: NDArray[np.float64] | None = None
    valence: float | None = None
    arousal: float | None = None
    is_cropped: bool = False
    warnings: tuple[str, ...] = ()


class RejectedRow(Exception):  # noqa: N818 - it becomes a row of rejects.csv
    """A row that cannot become a face.

    Attributes:
        reason: a key of `REMEDIES`.
        detail: what was found, for a person.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Source(Protocol):
    """A raw set. Immutable and picklable: it is sent to worker processes."""

    @property
    def name(self) -> str:
        """The set's kind, as recorded in the pack."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in label order."""

    @property
    def natural_crop(self) -> str:
        """The crop method that suits the set: it has landmarks, or is of cropped faces already."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the summary: what of the set was left aside, and what was taken for what."""

    def rows(self) -> Iterator[Row]:
        """Yield every row, split after split, without holding more than one at a time.

        Raises:
            DatasetError: a list is missing or cannot be read.
        """

    def class_of(self, row: Row) -> str:
        """Return the class that a row claims, for counting; ``"?"`` where it claims none.

        It may read the row's annotation file, so that it is best asked where `parse` is.
        """

    def parse(self, row: Row) -> FaceRecord:
        """Return the row as a record.

        Raises:
            RejectedRow: the row cannot be used.
        """


# Every reason a row can be rejected for, and what its owner can do.
REMEDIES = {
    "missing_file": "restore the file, or remove the row",
    "not_a_file": "put a copy of the image file there, or remove the row",
    "unreadable_file": "give yourself the right to read the file, or copy it again",
    "unclear_depth": "save the image with 8 bits a channel, from 0 black to 255 white",
    "empty_file": "copy the file again from the original set",
    "not_an_image": "the file is not a picture: fetch it again (a saved error page is common)",
    "truncated_image": "the picture is damaged: copy it again from the original set",
    "image_too_large": "scale the picture down, or remove it",
    "unknown_label": "write one of the set's class numbers or names",
    "path_outside": "write the path relative to the set's folder, without '..'",
    "box_outside": "the face box lies outside the picture: correct or remove it",
    "no_face": "no face was found: give a box or landmarks, or use --crop whole",
    "not_a_face": "the set's annotators say this is no face: nothing to do",
    "malformed_row": "correct the row in the list",
    "unknown_split": "write train, val or test",
    "missing_annotation": "the picture has no label: copy its annotation files again, or remove the picture",
    "broken_annotation": "the annotation file is damaged: copy it again from the original set",
    "no_majority": "the annotators do not agree: nothing to do, or use --votes plurality",
}


def resolve_inside(root: Path, relative: str) -> Path:
    """Return the real path of a file that a list names, if it lies under the set's folder.

    Raises:
        RejectedRow: ``path_outside`` where it does not.
    """
    try:
        path = (root / relative).resolve()
    except (OSError, ValueError) as error:
        raise RejectedRow("path_outside", f"{relative!r} is no usable path: {error}") from None
    if not path.is_relative_to(root):
        raise RejectedRow("path_outside", f"{relative!r} leads out of {root}")
    return path


def parse_landmarks(text: str) -> tuple[NDArray[np.float64] | None, tuple[str, ...]]:
    """Read 136 numbers separated by ``;`` and say what was wrong with them.

    Returns:
        ``(68, 2)`` points, or None where the text has none (empty, or all ``-1`` or ``-2``); and warning
        codes: ``landmark_count`` where there are not 136 numbers, ``landmark_value`` where one is none.
    """
    text = text.strip().strip("[]")
    if not text:
        return None, ()
    try:
        values = np.array(text.split(";"), dtype=np.float64)
    except ValueError:
        return None, ("landmark_value",)
    if not np.isfinite(values).all():
        return None, ("landmark_value",)
    if np.isin(values, (-1, -2)).all():
        return None, ()
    if len(values) != 136:
        return None, ("landmark_count",)
    return values.reshape(68, 2), ()


def parse_affect(text: str) -> float | None:
    """Read valence or arousal: a number in [-1, 1], or None (AffectNet writes -2 for "not annotated")."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if -1 <= value <= 1 else None
