"""ExpW, "Expression in-the-Wild": photographs from web searches with one or several labeled faces each.

Zhang, Luo, Loy, Tang 2018, IJCV, "From facial expression recognition to interpersonal relation prediction". A line of
``label/label.lst`` is ``name face_id top left right bottom confidence label``: the top comes first, and the right before
the bottom. The order and the numbers of the classes are those of the set's readme, as in meerkat's loader
(``meerkat/datasets/expw``). The images are in ``image/origin/``.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mien.datasets.base import FaceDataset, assumed
from mien.datasets.csv_cells import parse_box_xyxy, parse_integer
from mien.datasets.csv_files import read_lines
from mien.datasets.listed import ListedFace, ListedFaces, draw_val
from mien.datasets.registry import DATASETS
from mien.errors import DatasetError
from mien.faces.classes import EXPRESSIONS_7

LIST = "label/label.lst"
CLASSES = {0: "Anger", 1: "Disgust", 2: "Fear", 3: "Happy", 4: "Sad", 5: "Surprise", 6: "Neutral"}
# Some programs unpack the archive into a folder of its name.
IMAGE_FOLDERS = ("image/origin", "image/origin.7z/origin", "image/origin.7z", "image")


def open_expw(raw: Path, *, val_fraction: float = 0.1) -> FaceDataset:
    """Open ExpW. It has no splits; faces in one photograph are in the same one.

    Args:
        raw: the folder with ``label`` and ``image``, or one that holds it as ``data``.
        val_fraction: fraction of faces assigned to ``val``, by a hash of the image's path.

    Raises:
        DatasetError: the list or the images are missing, or the boxes are not in the set's order.
    """
    root = next((folder for folder in (raw, raw / "data") if (folder / LIST).is_file()), None)
    images = next((name for name in IMAGE_FOLDERS if root is not None and (root / name).is_dir()), None)
    if root is None or images is None:
        missing = LIST if root is None else IMAGE_FOLDERS[0]
        raise DatasetError(
            f"`{raw}` must hold {DATASETS['expw'].layout}, there is no `{missing}`: give the folder that does, or "
            "unpack the 7z archive there"
        )
    list_faces = partial(_list_faces, images=images)
    boxes = [face.box_xyxy for face in list_faces(root) if face.problem is None]
    n_wrong = sum(parse_box_xyxy(box)[0] is None for box in boxes)
    if 2 * n_wrong > len(boxes):
        raise DatasetError(
            f"`{root / LIST}` must have boxes as top, left, right, bottom, but {n_wrong:,} of {len(boxes):,} have no "
            "area in this order: copy the original list again, or write a CSV for `mien prepare csv`"
        )
    return draw_val(
        ListedFaces(
            root=root.resolve(),
            name="expw",
            classes=EXPRESSIONS_7,
            natural_crop="box",
            list_faces=list_faces,
            notes=(
                f"Column of `{LIST}` that is not used: the confidence of the face box.",
                assumed(f"a line of `{LIST}` is name, face, top, left, right, bottom, confidence and label"),
            ),
        ),
        val_fraction,
    )


def _list_faces(root: Path, *, images: str) -> Iterator[ListedFace]:
    for number, line in read_lines(root / LIST):
        name, *cells = line.rsplit(None, 7)
        if len(cells) != 7:
            problem = "malformed_row", f"line {number} has {len(cells) + 1} values, expected 8"
            yield ListedFace(f"{images}/{name}", "", problem)
            continue
        _, top, left, right, bottom, _, label = cells
        index = parse_integer(label)
        class_name = "" if index is None else CLASSES.get(index, "")
        yield ListedFace(
            f"{images}/{name}",
            class_name,
            None if class_name else ("unknown_label", f"label {label!r} is not an integer from 0 to 6"),
            box_xyxy=(left, top, right, bottom),
        )
