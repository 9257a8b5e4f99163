"""The interface of a raw data set: rows, face records, and rows that cannot be used."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mien.faces.crop_options import CropMethod


class RawRow(NamedTuple):
    """An unparsed row of a raw data set, small enough to send to another process.

    Attributes:
        split: ``train``, ``val`` or ``test``.
        number: 1-based index among the data rows of its list.
        key: the image's path as written in the data set.
        fields: the data set's own columns that `FaceDataset.parse` needs, by name.
    """

    split: str
    number: int
    key: str
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class FaceRecord:
    """One labeled face, parsed.

    Attributes:
        image: path of the image, or its pixels if the data set stores them in a table.
        label: index into the classes of the data set.
        distribution: fraction of votes for each class, or None.
        box_xyxy: face box in pixels, or None.
        landmarks: ``(68, 2)`` in pixels, or None.
        valence: in [-1, 1], or None.
        arousal: in [-1, 1], or None.
        is_cropped: the image is a cropped face, and is used in full if no face is detected in it.
        warnings: codes of annotations that were dropped from this face, such as ``landmark_count``.
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
        detail: what was found, as text for people.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class FaceDataset(Protocol):
    """A raw data set. Immutable and picklable: it is sent to worker processes."""

    @property
    def name(self) -> str:
        """The kind of data set, as recorded in the pack."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in label order."""

    @property
    def natural_crop(self) -> CropMethod:
        """The crop method that suits the set, given its landmarks, boxes or pre-cropped faces."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the summary: what was ignored, and how ambiguous names were understood."""

    def rows(self) -> Iterator[RawRow]:
        """Yield every row, split by split, holding one at a time.

        Raises:
            DatasetError: a list is missing or cannot be read.
        """

    def class_of(self, row: RawRow) -> str:
        """Return the class that a row claims, for counting; ``"?"`` if it claims none.

        It may read the row's annotation file, so call it in the process that calls `parse`.
        """

    def parse(self, row: RawRow) -> FaceRecord:
        """Return the row as a record.

        Raises:
            RejectedRow: the row cannot be used.
        """


# Every reason for rejecting a row, and what the data set's owner can do.
REMEDIES = {
    "missing_file": "restore the file, or remove the row",
    "not_a_file": "replace it with a copy of the image file, or remove the row",
    "unreadable_file": "give yourself permission to read the file, or copy it again",
    "unclear_depth": "save the image with 8 bits per channel, from 0 black to 255 white",
    "empty_file": "copy the file again from the original set",
    "not_an_image": "the file is not an image: download it again (saved error pages are common)",
    "truncated_image": "the image is damaged: copy it again from the original set",
    "image_too_large": "scale the image down, or remove it",
    "unknown_label": "write one of the set's class numbers or names",
    "path_outside": "write the path relative to the set's folder, without '..'",
    "box_outside": "the face box lies outside the image: correct or remove it",
    "no_face": "no face was detected: add a box or landmarks, or use --crop whole",
    "not_a_face": "the set's annotators say this is not a face: nothing to do",
    "malformed_row": "correct the row in the list",
    "unknown_split": "write train, val or test",
    "missing_annotation": "the image has no label: copy its annotation files again, or remove the image",
    "broken_annotation": "the annotation file is damaged: copy it again from the original set",
    "dropped_by_correction": "--corrections drops this row: nothing to do",
    "no_majority": "the annotators disagree: nothing to do, or use --votes plurality",
}
