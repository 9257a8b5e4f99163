"""The stage: draw a contact sheet of a pack, or of any rows of faces."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.artifacts import claim_output, one_writer
from mien.browse.options import BrowseOptions
from mien.browse.sheet import GAP, Row, Sheet, measure_title, require_image_suffix
from mien.drawing.fonts import printable
from mien.formats.pack import Pack
from mien.formats.pack.schema import NO_LABEL

CELL = 112
TITLE_WIDTH = 130
# About the size at which a face can be judged, for network inputs with fewer pixels.
TARGET_SIDE = 144


class _PackedFace(NamedTuple):
    """A face as it is in the pack."""

    image_rgb: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    caption: str = ""


def browse(
    pack_path: Path,
    out: Path,
    *,
    per_class: int = BrowseOptions.per_class,
    split: str = BrowseOptions.split,
    seed: int = BrowseOptions.seed,
    force: bool = False,
) -> None:
    """Draw one row of faces per class, with their landmarks.

    Args:
        pack_path: the pack.
        out: a PNG or JPEG file.
        per_class: maximum number of faces in a row.
        split: which split of the pack to show.
        seed: seed for choosing the faces.
        force: replace an existing file.

    Raises:
        ArtifactError: pack or split is missing, ``out`` exists or has another suffix, or the sheet is too large.
        SourceError: ``MIEN_FONT`` is not a font.
    """
    require_image_suffix(out)
    pack = Pack.open(pack_path)
    faces = pack.split(split)
    names = pack.info.classes
    labels = faces.labels
    if pack.info.unlabeled.get(split):
        labels = np.where(labels == NO_LABEL, len(names), labels)
        names = (*names, "(no label)")
    counts = np.bincount(labels, minlength=len(names)).tolist()
    titles = [f"{printable(name)}\n{count:,}" for name, count in zip(names, counts, strict=True)]
    sheet = Sheet(
        [0] * len(names),
        min(per_class, max(counts)),
        side=CELL - GAP,
        title_width=_title_width(titles),
    )
    random = np.random.default_rng(seed)
    with one_writer(out):
        claim_output(out, force=force)
        for row, title in enumerate(titles):
            members = np.flatnonzero(labels == row)
            sheet.write_title(row, title)
            for column, index in enumerate(np.sort(random.permutation(members)[:per_class]).tolist()):
                sheet.draw_face(row, column, _PackedFace(faces.image(index), faces.landmarks[index]))
        sheet.write(out)


def draw_rows(rows: Sequence[Row], out: Path, *, input_size: int, force: bool = False) -> None:
    """Draw rows of faces, with every pixel of a network input enlarged to a square by an integer factor.

    Args:
        rows: from top to bottom.
        out: a PNG or JPEG file.
        input_size: side of the network input in pixels.
        force: replace an existing file.

    Raises:
        ArtifactError: ``out`` exists or has another suffix, or the sheet is too large.
        SourceError: ``MIEN_FONT`` is not a font.
    """
    require_image_suffix(out)
    captions = [max((len(face.caption.splitlines()) for face in row.faces), default=0) for row in rows]
    sheet = Sheet(
        captions,
        max(len(row.faces) for row in rows),
        side=input_size * max(1, round(TARGET_SIDE / input_size)),
        title_width=_title_width([row.title for row in rows]),
    )
    with one_writer(out):
        claim_output(out, force=force)
        for number, row in enumerate(rows):
            sheet.write_title(number, row.title)
            for column, face in enumerate(row.faces):
                sheet.draw_face(number, column, face)
        sheet.write(out)


def _title_width(titles: Sequence[str]) -> int:
    return max(TITLE_WIDTH, 20 + max(measure_title(title) for title in titles))
