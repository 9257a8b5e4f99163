"""The faces behind each cell of the confusion matrix, as thumbnails on one sheet per class.

A sheet is one JPEG, of which the page shows parts: a thousand small images would take three times as much, and each face is
embedded once although the matrix and the list of mistakes both lead to it.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.evaluate.score import Evaluation
from mien.faces.images import encode_jpeg, image_uri
from mien.formats.pack import PackSplit
from mien.tasks import Values

# A multiple of JPEG's blocks of 16 pixels, so that neighbors on a sheet do not bleed into each other.
TILE = 64
QUALITY = 72
COLUMNS = 24
# About 2 kB each, so that a page stays below 5 MB.
MAX_FACES = 2000
# Of the faces that are right, those with the least confidence are shown.
MAX_CORRECT_PER_CLASS = 12


class ShownFace(NamedTuple):
    """A face on a sheet: its key, the confidence of the answer, and its column and row."""

    key: str
    confidence: float
    column: int
    row: int


class Cell(NamedTuple):
    """A cell of the confusion matrix: the answer, how many faces it counts, and those that are shown."""

    predicted: int
    n: int
    faces: tuple[ShownFace, ...]


class ClassFaces(NamedTuple):
    """The cells of one true class that have faces: the mistakes first, the most frequent first; then what is right.

    `sheet` is a JPEG of ``size_wh`` pixels as a data URI.
    """

    truth: int
    cells: tuple[Cell, ...]
    sheet: str
    size_wh: tuple[int, int]

    @property
    def n_mistakes(self) -> int:
        """The number of faces that are wrong."""
        return sum(cell.n for cell in self.cells if cell.predicted != self.truth)

    @property
    def n_shown(self) -> int:
        """The number of faces on the sheet."""
        return sum(len(cell.faces) for cell in self.cells)


def choose_cell_faces(
    faces: PackSplit, outputs: Values, evaluation: Evaluation, *, max_faces: int = MAX_FACES
) -> list[ClassFaces]:
    """Return the faces of each class by cell, under the protocol ``all``.

    If they are too many, all cells of mistakes are cut to the same length: the most confident ones stay.
    """
    main = evaluation.main
    if main is None:
        return []
    n_classes, protocol = len(evaluation.classes), main.protocol
    indices = np.flatnonzero(protocol.faces)
    confidence = outputs["expression"][indices, protocol.predicted]
    members: dict[tuple[int, int], NDArray[np.intp]] = {}
    for truth in range(n_classes):
        for predicted in range(n_classes):
            cell = np.flatnonzero((protocol.truth == truth) & (protocol.predicted == predicted))
            if len(cell):
                sign = 1 if truth == predicted else -1
                members[truth, predicted] = cell[np.argsort(sign * confidence[cell], kind="stable")]
    n_correct = sum(min(main.confusion[k, k], MAX_CORRECT_PER_CLASS) for k in range(n_classes))
    sizes = np.array([len(cell) for (truth, predicted), cell in members.items() if truth != predicted])
    limit = int(sizes.max(initial=0))
    while np.minimum(sizes, limit).sum() > max(0, max_faces - n_correct):
        limit -= 1

    def build_class(truth: int) -> ClassFaces:
        own = [predicted for row, predicted in members if row == truth]
        own.sort(key=lambda predicted: (predicted == truth, -len(members[truth, predicted])))
        rows: list[int] = []
        cells = []
        for predicted in own:
            cell = members[truth, predicted]
            shown = []
            for i in cell[: MAX_CORRECT_PER_CLASS if predicted == truth else limit].tolist():
                row, column = divmod(len(rows), COLUMNS)
                shown.append(ShownFace(faces.keys[indices[i]], float(confidence[i]), column, row))
                rows.append(int(indices[i]))
            cells.append(Cell(predicted, len(cell), tuple(shown)))
        sheet = draw_sheet([faces.image(row) for row in rows])
        uri = image_uri(encode_jpeg(sheet, QUALITY))
        return ClassFaces(truth, tuple(cells), uri, (sheet.shape[1], sheet.shape[0]))

    return [build_class(truth) for truth in range(n_classes) if any(row == truth for row, _ in members)]


def draw_sheet(images_rgb: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return faces ``(S, S, 3)`` as tiles of one image, row by row."""
    n_columns = max(1, min(COLUMNS, len(images_rgb)))
    n_rows = max(1, -(-len(images_rgb) // COLUMNS))
    sheet = np.zeros((n_rows * TILE, n_columns * TILE, 3), dtype=np.uint8)
    for number, image_rgb in enumerate(images_rgb):
        row, column = divmod(number, COLUMNS)
        shrinks = image_rgb.shape[0] > TILE
        resized = cv2.resize(
            image_rgb, (TILE, TILE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        )
        sheet[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE] = resized
    return sheet
