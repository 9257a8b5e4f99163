"""JAFFE: 213 grayscale images of seven posed expressions by ten Japanese women.

Lyons, Kamachi, Gyoba 1998, https://zenodo.org/record/3451524. Everything is in the file name: ``KA.AN1.39.tiff`` is person
KA, angry, the first such image, number 39. The ratings by 60 viewers in its readme are not read.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from mien.datasets.base import FaceDataset
from mien.datasets.listed import ListedFace, ListedFaces, draw_val, files_below
from mien.faces.classes import EXPRESSIONS_7
from mien.faces.images import IMAGE_SUFFIXES

CLASSES = {
    "AN": "Anger", "DI": "Disgust", "FE": "Fear", "HA": "Happy", "NE": "Neutral", "SA": "Sad", "SU": "Surprise",
}  # fmt: skip
_NAME = re.compile(r"^([A-Z]{2})\.(AN|DI|FE|HA|NE|SA|SU)\d*\.\d+\.", re.IGNORECASE)


def open_jaffe(raw: Path, *, val_fraction: float = 0.1) -> FaceDataset:
    """Open JAFFE. It has no splits: ``val`` is drawn by person.

    Args:
        raw: a folder with the images, at any depth.
        val_fraction: fraction of faces assigned to ``val``.

    Raises:
        DatasetError: it holds no image.
    """
    dataset = ListedFaces(raw.resolve(), "jaffe", EXPRESSIONS_7, "aligned", _list_faces, is_cropped=True)
    return draw_val(dataset, val_fraction)


def _list_faces(root: Path) -> Iterator[ListedFace]:
    for file in files_below(root, IMAGE_SUFFIXES):
        name = _NAME.match(Path(file).name)
        if name is None:
            yield ListedFace(file, "", ("unknown_label", "the name is not like KA.AN1.39.tiff"))
        else:
            person, expression = (part.upper() for part in name.groups())
            yield ListedFace(file, CLASSES[expression], person=person)
