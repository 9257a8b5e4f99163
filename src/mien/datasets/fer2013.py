"""FER2013 with its own labels: grayscale faces of 48x48 pixels, one label each.

Goodfellow et al. 2013, https://arxiv.org/abs/1307.0414. ``fer2013.csv`` (or ``icml_face_data.csv``) has the columns
``emotion``, ``pixels`` and ``Usage``; its numbers are 0 Angry, 1 Disgust, 2 Fear, 3 Happy, 4 Sad, 5 Surprise, 6 Neutral,
as in the paper. `mien.datasets.ferplus` reads the same images with the votes of ten annotators, under the same keys.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.datasets.base import FaceRecord, RawRow, RejectedRow
from mien.datasets.csv_cells import parse_integer, require_readable
from mien.datasets.csv_files import CsvFile, open_csv_file
from mien.datasets.registry import DATASETS
from mien.errors import DatasetError
from mien.faces.classes import EXPRESSIONS_7
from mien.faces.crop_options import CropMethod

PIXEL_LISTS = ("fer2013.csv", "icml_face_data.csv")
VOTES_LIST = "fer2013new.csv"
# FER+'s name of each split, with mien's name and the folder of its images.
USAGES = {
    "Training": ("train", "FER2013Train"),
    "PublicTest": ("val", "FER2013Valid"),
    "PrivateTest": ("test", "FER2013Test"),
}
EMOTION, PIXELS, USAGE = "emotion", "pixels", "Usage"
SIDE = 48
CLASSES = {0: "Anger", 1: "Disgust", 2: "Fear", 3: "Happy", 4: "Sad", 5: "Surprise", 6: "Neutral"}


@dataclass(frozen=True, slots=True)
class Fer2013:
    """FER2013. The key of a row is the path that FER+ gives its image, ``FER2013Train/fer0000000.png``.

    Attributes:
        table: the list of pixels.
        notes: see `FaceDataset`.
    """

    table: CsvFile
    notes: tuple[str, ...] = ()
    name: str = field(default="fer2013", init=False)
    classes: tuple[str, ...] = field(default=EXPRESSIONS_7, init=False)
    natural_crop: CropMethod = field(default="whole", init=False)

    def rows(self) -> Iterator[RawRow]:
        """Yield the rows of each split; rows of an unknown split come with the first, to be rejected."""
        for usage, (split, folder) in USAGES.items():
            for number, fields in self.table.rows():
                stated = fields.get(USAGE, "").strip()
                if stated == usage or (stated not in USAGES and split == "train"):
                    yield RawRow(split, number, f"{folder}/fer{number - 1:07d}.png", fields)

    def class_of(self, row: RawRow) -> str:
        """Return the class of the row's number, or ``"?"``."""
        number = parse_integer(row.fields.get(EMOTION, ""))
        return "?" if number is None else CLASSES.get(number, "?")

    def parse(self, row: RawRow) -> FaceRecord:
        """Return the row's face."""
        require_readable(row.fields)
        if row.fields[USAGE].strip() not in USAGES:
            raise RejectedRow("unknown_split", f"Usage {row.fields[USAGE]!r} is none of {', '.join(USAGES)}")
        class_name = self.class_of(row)
        if class_name == "?":
            raise RejectedRow(
                "unknown_label", f"emotion {row.fields[EMOTION]!r} is not an integer from 0 to {max(CLASSES)}"
            )
        return FaceRecord(
            image=parse_pixels(row.fields[PIXELS]), label=EXPRESSIONS_7.index(class_name), is_cropped=True
        )


def open_fer2013(raw: Path) -> Fer2013:
    """Open FER2013's list of pixels.

    Args:
        raw: the list, or the folder that holds it.

    Raises:
        DatasetError: the list is missing or cannot be read.
    """
    path = (
        raw if raw.is_file() else next((raw / name for name in PIXEL_LISTS if (raw / name).is_file()), None)
    )
    if path is None:
        raise DatasetError(
            f"`{raw}` must hold {DATASETS['fer2013'].layout}, there is no such file: give the folder that does, or use "
            "`mien prepare folder` for folders of images by class"
        )
    columns = (EMOTION, PIXELS, USAGE)
    table = open_csv_file(path, {name: (name,) for name in columns}, required=columns)
    notes = [*table.note_ignored_columns()]
    if (path.parent / VOTES_LIST).is_file():
        notes.append(
            f"`{VOTES_LIST}` is not read: `mien prepare ferplus` uses its votes instead of these labels."
        )
    return Fer2013(table, tuple(notes))


def parse_pixels(text: str) -> NDArray[np.uint8]:
    """Return the ``(48, 48)`` image of a cell of a pixel list.

    Raises:
        RejectedRow: ``truncated_image``.
    """
    try:
        values = np.array(text.split(), dtype=np.int64)
    except (ValueError, OverflowError):
        raise RejectedRow("truncated_image", "the pixels are not all integers") from None
    if len(values) != SIDE * SIDE or values.min() < 0 or values.max() > 255:
        raise RejectedRow(
            "truncated_image", f"{len(values)} pixels, expected {SIDE * SIDE} values from 0 to 255"
        )
    return values.astype(np.uint8).reshape(SIDE, SIDE)
