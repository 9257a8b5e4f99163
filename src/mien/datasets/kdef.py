"""KDEF, the Karolinska Directed Emotional Faces: 70 actors, seven expressions, five views, photographed twice.

Lundqvist, Flykt, Öhman 1998, ISBN 91-630-7164-9. Everything is in the file name (codes as on the set's website, kdef.se):
``AF01ANS.JPG`` is session A, female, number 01, angry, straight. The files are in a folder for each actor and session,
``KDEF/AF01/``. The averaged faces of AKDEF (``FAFFL.JPG``) are not photographs of people; they are rejected.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from mien.datasets.base import FaceDataset
from mien.datasets.listed import ListedFace, ListedFaces, draw_val, files_below
from mien.faces.classes import EXPRESSIONS_7
from mien.faces.images import IMAGE_SUFFIXES

CLASSES = {
    "AF": "Fear", "AN": "Anger", "DI": "Disgust", "HA": "Happy", "NE": "Neutral", "SA": "Sad", "SU": "Surprise",
}  # fmt: skip
VIEWS = {
    "FL": "full left profile", "HL": "half left profile", "S": "straight", "HR": "half right profile",
    "FR": "full right profile",
}  # fmt: skip
GENDERS = {"F": "female", "M": "male"}
_NAME = re.compile(r"^[AB]([FM])(\d\d)(AF|AN|DI|HA|NE|SA|SU)(FL|HL|S|HR|FR)$", re.IGNORECASE)


def open_kdef(raw: Path, *, val_fraction: float = 0.1) -> FaceDataset:
    """Open KDEF. It has no splits: ``val`` is drawn by person.

    Args:
        raw: a folder with the photographs, at any depth.
        val_fraction: fraction of faces assigned to ``val``.

    Raises:
        DatasetError: it holds no image.
    """
    dataset = ListedFaces(raw.resolve(), "kdef", EXPRESSIONS_7, "aligned", _list_faces)
    return draw_val(dataset, val_fraction)


def _list_faces(root: Path) -> Iterator[ListedFace]:
    for file in files_below(root, IMAGE_SUFFIXES):
        name = _NAME.match(Path(file).stem)
        if name is None:
            yield ListedFace(file, "", ("unknown_label", "the name is not like AF01ANS.JPG"))
            continue
        gender, number, expression, view = (part.upper() for part in name.groups())
        yield ListedFace(
            file,
            CLASSES[expression],
            person=gender + number,
            attributes=(("gender", GENDERS[gender]), ("view", VIEWS[view])),
        )
