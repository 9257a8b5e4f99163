"""`--faces` of `mien predict`: boxes and landmarks that the user already has, from a CSV with a face per row."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.datasets.column_names import BOX, BOX_COLUMNS, LANDMARKS, PATH, SPELLINGS
from mien.datasets.csv_cells import parse_box, parse_landmarks
from mien.datasets.csv_files import PROBLEM, CsvFile, read_first_rows
from mien.datasets.list_options import BoxFormat
from mien.errors import SourceError
from mien.faces.landmarks import N_LANDMARKS, N_POINTS, box_of_points
from mien.inference.given_faces import GivenFaces
from mien.inference.results import BOX_COLUMNS as OWN_BOX

_PATHS = ("source", *(name.lower() for name in SPELLINGS[PATH]))
_BOXES: dict[tuple[str, ...], BoxFormat] = {OWN_BOX: "xyxy", **BOX_COLUMNS}


def read_faces(path: Path, names: Sequence[str]) -> tuple[dict[str, GivenFaces], int]:
    """Return the faces of each image that a list has, and how many of its rows name none of the images.

    Nothing is opened but the list: its paths, relative to the working folder or to the list's, are only compared with names.

    Args:
        path: a CSV; its columns have the names that `mien prepare csv` knows, or those of a prediction file.
        names: of the images.

    Returns:
        The faces by name, in the order of the list; none for a row with neither box nor landmarks.

    Raises:
        SourceError: the list lacks a column, a row cannot be read, or none names an image.
        DatasetError: the list is not text, or has no lines.
    """
    table, box_format = _open_list(path)
    images = {os.path.abspath(name): name for name in names}  # noqa: PTH100 - follows no link
    boxes: dict[str, list[NDArray[np.float64]]] = {}
    landmarks: dict[str, list[NDArray[np.float64] | None]] = {}
    n_others = 0
    for number, cells in table.rows():
        where = f"row {number} of {path}"
        if PROBLEM in cells:
            raise SourceError(f"{where} cannot be read: {cells[PROBLEM]}")
        written = cells[PATH].strip()
        found = {images.get(os.path.abspath(base / written)) for base in (Path(), path.parent)} - {None}  # noqa: PTH100
        if len(found) > 1:
            raise SourceError(
                f"{where}: {written} is one image in the working folder, another one next to the list"
            )
        if not found:
            n_others += 1
            continue
        name = str(found.pop())
        written_points = cells.get(LANDMARKS, "")
        points, problems = parse_landmarks(written_points, counts=(N_LANDMARKS, N_POINTS))
        if problems:
            raise SourceError(
                f"{where}: landmarks must be 136 or 10 numbers x;y;x;y;..., got {written_points[:60]!r}"
            )
        box_xyxy, problems = parse_box(
            tuple(cells[cell] for cell in BOX if cell in cells), box_format or "xyxy"
        )
        if problems:
            raise SourceError(
                f"{where}: the box must be four numbers, {box_format}, with an area; got "
                f"{', '.join(cells[cell] or 'nothing' for cell in BOX)}"
            )
        boxes.setdefault(name, [])
        landmarks.setdefault(name, [])
        if box_xyxy is None and points is not None:
            box_xyxy = box_of_points(points)
        if box_xyxy is not None:
            boxes[name].append(box_xyxy)
            landmarks[name].append(points)
    if not boxes:
        raise SourceError(
            f"{path} names none of the {len(names):,} images: its paths must be relative to the working folder or to its own"
        )
    given = {}
    for name, boxes_xyxy in boxes.items():
        try:
            given[name] = GivenFaces(boxes_xyxy, landmarks[name])
        except ValueError as error:
            raise SourceError(f"{path}, faces of {name}: {error}") from None
    return given, n_others


def _open_list(path: Path) -> tuple[CsvFile, BoxFormat | None]:
    """Find the columns of a list by their names.

    Raises:
        SourceError: it does not exist, or a column is missing or not unique.
    """
    if not path.is_file():
        raise SourceError(f"--faces {path} is not a file: name a CSV with a face per row")
    delimiter, rows = read_first_rows(path, 1)
    header = tuple(cell.strip() for cell in rows[0])
    lowered = [name.lower() for name in header]
    paths = [name for name in lowered if name in _PATHS]
    found = [form for form in _BOXES if set(form) <= set(lowered)]
    landmarks = [name for name in lowered if name in SPELLINGS[LANDMARKS]]
    if len(paths) != 1 or len(found) > 1 or len(landmarks) > 1 or not (found or landmarks):
        raise SourceError(
            f"{path} must have one column `source` or `path`, and `{', '.join(OWN_BOX)}`, `x, y, width, height` or "
            f"`landmarks`; it begins with {', '.join(map(repr, header[:12]))}. Rename or remove columns"
        )
    used = [*paths, *landmarks, *(name for form in found for name in form)]
    if repeated := sorted({name for name in used if lowered.count(name) > 1}):
        raise SourceError(
            f"{path} has more than one column {' and '.join(map(repr, repeated))}. Remove the wrong one"
        )
    columns = {PATH: lowered.index(paths[0])}
    columns |= {name: lowered.index(landmarks[0]) for name in (LANDMARKS,) if landmarks}
    columns |= dict(zip(BOX, (lowered.index(name) for form in found for name in form), strict=False))
    table = CsvFile(path=path, columns=columns, width=len(header), header=header, delimiter=delimiter)
    return table, _BOXES[found[0]] if found else None
