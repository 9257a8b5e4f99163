"""The interface of a raw dataset: rows, face records, and rows that cannot be used."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mien.faces.crop import CropContract
from mien.faces.crop_options import CropMethod
from mien.tasks import NO_ANNOTATIONS, Annotations


class RawRow(NamedTuple):
    """An unparsed row of a raw dataset, small enough to send to another process.

    Attributes:
        split: ``train``, ``val`` or ``test``.
        number: 1-based index among the data rows of its list.
        key: the image's path as written in the dataset.
        fields: the dataset's own columns that `FaceDataset.parse` needs, by name.
    """

    split: str
    number: int
    key: str
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class FaceRecord:
    """One labeled face, parsed.

    Attributes:
        image: path of the image; or its pixels, or the bytes of its file, if the dataset stores them in a table.
        label: index into the classes of the dataset, or `NO_LABEL` if the expression is not annotated.
        distribution: fraction of votes for each class, or None.
        box_xyxy: face box in pixels, or None.
        is_relative_box: the box is in fractions of the image's width and height instead.
        landmarks: ``(68, 2)`` in pixels, or None.
        landmarks_by: the model that placed the landmarks, if no person did, or None.
        anchors: ``(4, 2)`` left eye center, right eye center, left and right mouth corner in pixels, or None; they
            position an aligned crop if there are no landmarks.
        valence: in [-1, 1], or None.
        arousal: in [-1, 1], or None.
        annotations: the values of optional tasks of `mien.tasks`, ``(*shape)`` float32 with the task's mark where missing.
        is_cropped: the image is a cropped face, and is used in full if no face is detected in it.
        warnings: codes of annotations that were dropped from this face, such as ``landmark_count``.
        person: who it is, as the dataset names the person, or None.
        clip: the video or sequence that the image is from, as the dataset names it, or None.
        attributes: what the dataset states about the person, such as age, gender and race, by name.
        crop_method: how the crop was made if ``image`` is the JPEG file of a finished crop, which is packed as it is;
            `landmarks` are then fractions of it. None for an image that is yet to be cropped.
    """

    image: Path | bytes | NDArray[np.uint8]
    label: int
    distribution: tuple[float, ...] | None = None
    box_xyxy: NDArray[np.float64] | None = None
    landmarks: NDArray[np.float64] | None = None
    valence: float | None = None
    arousal: float | None = None
    annotations: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    is_cropped: bool = False
    is_relative_box: bool = False
    warnings: tuple[str, ...] = ()
    person: str | None = None
    clip: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    crop_method: CropMethod | None = None
    anchors: NDArray[np.float64] | None = None
    landmarks_by: str | None = None


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
    """A raw dataset. Immutable and picklable: it is sent to worker processes."""

    @property
    def name(self) -> str:
        """The kind of dataset, as recorded in the pack."""

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


@dataclass(frozen=True, slots=True)
class WrappedDataset:
    """A dataset that passes on what another one reads. Its subclasses change some of it. See `FaceDataset`."""

    dataset: FaceDataset

    @property
    def name(self) -> str:
        """See `FaceDataset`."""
        return self.dataset.name

    @property
    def classes(self) -> tuple[str, ...]:
        """See `FaceDataset`."""
        return self.dataset.classes

    @property
    def natural_crop(self) -> CropMethod:
        """See `FaceDataset`."""
        return self.dataset.natural_crop

    @property
    def notes(self) -> tuple[str, ...]:
        """See `FaceDataset`."""
        return self.dataset.notes

    @property
    def annotations(self) -> Annotations:
        """See `annotations_of`."""
        return annotations_of(self.dataset)

    def rows(self) -> Iterator[RawRow]:
        """See `FaceDataset`."""
        return self.dataset.rows()

    def class_of(self, row: RawRow) -> str:
        """See `FaceDataset`."""
        return self.dataset.class_of(row)

    def parse(self, row: RawRow) -> FaceRecord:
        """See `FaceDataset`."""
        return self.dataset.parse(row)


@runtime_checkable
class CroppedDataset(Protocol):
    """A dataset of finished crops from another pack, all of whose records have a `crop_method`."""

    @property
    def crop(self) -> CropContract:
        """How they were cropped."""

    @property
    def terms(self) -> str | None:
        """The terms of use of the set that they were cropped from."""


def annotations_of(dataset: FaceDataset) -> Annotations:
    """Return the columns of a dataset's optional tasks: its attribute ``annotations``, which most sets lack."""
    annotations: Annotations = getattr(dataset, "annotations", NO_ANNOTATIONS)
    return annotations


def assumed(what: str) -> str:
    """Return a note on what a reader assumes about a set that is in no document of its authors.

    Example:
        >>> assumed("the mouth comes last")
        'Assumed, please check a few faces with `mien browse`: the mouth comes last.'
    """
    return f"Assumed, please check a few faces with `mien browse`: {what}."


# Every reason for rejecting a row, and what the dataset's owner can do.
REMEDIES = {
    "missing_file": "restore the file, remove the row, or name the folder of the images with --images, what to remove from the "
    "paths with --path-prefix, or what to add to them with --path-column '{COLUMN}.jpg'",
    "not_a_file": "replace it with a copy of the image file, or remove the row",
    "unreadable_file": "give yourself permission to read the file, or copy it again",
    "unclear_depth": "save the image with 8 bits per channel, from 0 black to 255 white",
    "empty_file": "copy the file again from the original set",
    "not_an_image": "the file is not an image: download it again (saved error pages are common)",
    "unsupported_format": "save the image as JPEG or PNG, or install what reads it",
    "truncated_image": "the image is damaged: copy it again from the original set",
    "blank_image": "the face is black all over, as what is transparent becomes: export the image again, or remove it",
    "image_too_large": "scale the image down, or remove it",
    "unknown_label": "write one of the set's class numbers or names",
    "path_outside": "name the folder that the path or the link leads to with --images, or move the file into the set",
    "box_outside": "the face box lies outside the image: correct or remove it",
    "no_face": "no face was detected: add a box or landmarks, or use --crop whole",
    "not_a_face": "the set's annotators say this is not a face: nothing to do",
    "malformed_row": "correct the row in the list",
    "conflicting_label": "the folder and the list disagree: correct one of them, or remove the image",
    "unknown_split": "write train, val or test, or explain the value with --split-names",
    "duplicate_row": "an earlier row is the same face with the same label: nothing to do, or remove the row",
    "contradicting_labels": "decide on one label for the face and remove the other rows, or give each face of the image its box",
    "missing_annotation": "the image has no label: copy its annotation files again, or remove the image",
    "broken_annotation": "the annotation file is damaged: copy it again from the original set",
    "dropped_by_correction": "--corrections drops this row: nothing to do",
    "no_majority": "the annotators disagree: nothing to do, or use --votes plurality",
}
