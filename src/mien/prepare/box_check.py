"""Whether the boxes of a list lie on faces: a format that was concluded from the names of columns may be another one.

Boxes in another format often still look like boxes, above all in close-ups: only the image says what they are.
"""

from collections.abc import Iterator
from itertools import islice
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from mien.datasets.base import FaceDataset, RejectedRow, WrappedDataset
from mien.datasets.column_names import BOX
from mien.datasets.csv_cells import parse_box
from mien.datasets.csv_table import CsvDataset
from mien.datasets.dataset_file import MergedDataset
from mien.datasets.list_options import BoxFormat
from mien.errors import DatasetError
from mien.faces.boxes import iou_xyxy
from mien.faces.detector import Detector
from mien.faces.image_files import read_image_file
from mien.faces.images import UnreadableImage, decode_image, to_rgb

# So many faces are compared, of the first rows; fewer than the least say nothing.
MAX_COMPARED, LEAST_COMPARED = 20, 8
MAX_ROWS = 200
# Another format is right if it suits at least this fraction of the faces better, and its boxes overlap with what the detector finds by
# this much on average. Boxes of heads and of inner faces overlap by about a third.
LEAST_BETTER, LEAST_OVERLAP, LEAST_GAIN = 0.8, 0.5, 0.1
SWAPPED = "y, x"


def find_concluded_boxes(dataset: FaceDataset) -> Iterator[tuple[CsvDataset, BoxFormat]]:
    """Yield the lists in a dataset, with the format of their boxes, if only the names of the columns say it."""
    if isinstance(dataset, WrappedDataset):
        yield from find_concluded_boxes(dataset.dataset)
    elif isinstance(dataset, MergedDataset):
        for source in dataset.sources:
            yield from find_concluded_boxes(source)
    elif isinstance(dataset, CsvDataset) and dataset.box_format is not None and not dataset.is_box_stated:
        yield dataset, dataset.box_format


def require_boxes_on_faces(dataset: CsvDataset, box_format: BoxFormat, detector: Detector) -> None:
    """Compare the boxes of the first faces with those that a detector finds, as they are read and in each other way.

    Raises:
        DatasetError: they are better in another way, with the option that states it.
    """
    overlaps = np.array(list(islice(_measure(dataset, box_format, detector), MAX_COMPARED)))
    if len(overlaps) < LEAST_COMPARED:
        return
    ways = _ways(box_format)
    for index, way in enumerate(ways[1:], 1):
        n_better = int((overlaps[:, index] > overlaps[:, 0] + LEAST_GAIN).sum())
        if n_better < LEAST_BETTER * len(overlaps) or overlaps[:, index].mean() < LEAST_OVERLAP:
            continue
        advice = (
            "the columns are in another order: name them with --box-columns"
            if way == SWAPPED
            else f"add --box-format {way} if that is what they are"
        )
        raise DatasetError(
            f"The boxes of `{dataset.tables[0][1].path}` are read as {box_format} by the names of their columns, but for "
            f"{n_better} of {len(overlaps)} faces the detector agrees better with them as {way}: {advice}, otherwise --box-format {box_format}"
        )


def _ways(box_format: BoxFormat) -> tuple[str, ...]:
    """Return the format, and others with the same unit; and the format with its axes swapped."""
    unit = box_format.rpartition("-")[0]
    others = [name for name in get_args(BoxFormat) if name.rpartition("-")[0] == unit and name != box_format]
    return (box_format, *others, SWAPPED)


def _measure(dataset: CsvDataset, box_format: BoxFormat, detector: Detector) -> Iterator[list[float]]:
    """Yield, for each face with a box and a detected face, how well its box in each way overlaps with one that is detected."""
    for row in islice(dataset.rows(), MAX_ROWS):
        cells = tuple(row.fields[name] for name in BOX if name in row.fields)
        try:
            record = dataset.parse(row)
            if len(cells) != 4 or not any(map(str.strip, cells)):
                continue
            image_rgb = to_rgb(decode_image(read_image_file(record.image)))  # type: ignore[arg-type]
        except (RejectedRow, UnreadableImage):
            continue
        detected = detector.find_faces(image_rgb)
        if not detected:
            continue
        scale = np.tile(image_rgb.shape[1::-1], 2) if "-" in box_format else np.ones(4)
        found = np.array([face.box_xyxy for face in detected])
        yield [_overlap(cells, way, box_format, scale, found) for way in _ways(box_format)]


def _overlap(
    cells: tuple[str, ...],
    way: str,
    box_format: BoxFormat,
    scale: NDArray[np.floating],
    found: NDArray[np.float64],
) -> float:
    if way == SWAPPED:
        first, second, third, fourth = cells
        box_xyxy, _ = parse_box((second, first, fourth, third), box_format)
    else:
        box_xyxy, _ = parse_box(cells, way)  # type: ignore[arg-type]
    return 0.0 if box_xyxy is None else float(iou_xyxy((box_xyxy * scale)[None], found).max())
