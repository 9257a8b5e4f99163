"""The stage: faces become a sheet, of a pack or of any rows of faces."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.artifacts import claim_output, one_writer
from mien.browse.sheet import GAP, Row, Sheet, measure_title, require_picture_ending
from mien.fonts import printable
from mien.pack import Pack

CELL = 112
TITLE_WIDTH = 130
# About as large as a face must be to be judged, where it is fed to a network in fewer pixels.
WANTED_SIDE = 144


@dataclass(frozen=True)
class _PackedFace:
    """A face as the pack holds it."""

    image_rgb: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    caption: str = ""


def browse(
    pack_path: Path,
    out: Path,
    *,
    per_class: int = 10,
    split: str = "train",
    seed: int = 0,
    force: bool = False,
) -> None:
    """Draw faces of every class in a row each, their landmarks on them.

    Args:
        pack_path: the pack.
        out: a PNG or JPEG file.
        per_class: faces in a row, at most.
        split: of the pack.
        seed: of the choice of faces.
        force: replace an existing file.

    Raises:
        ArtifactError: pack or split is missing, OUT exists or has no picture's ending, or the sheet is too large.
        SourceError: what ``MIEN_FONT`` names is no font.
    """
    require_picture_ending(out)
    pack = Pack.open(pack_path)
    faces = pack.split(split)
    names = pack.info.classes
    counts = np.bincount(faces.labels, minlength=len(names)).tolist()
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
            members = np.flatnonzero(faces.labels == row)
            sheet.write_title(row, title)
            for column, index in enumerate(np.sort(random.permutation(members)[:per_class]).tolist()):
                sheet.place_face(row, column, _PackedFace(faces.image(index), faces.landmarks[index]))
        sheet.write(out)


def draw_rows(rows: Sequence[Row], out: Path, *, input_size: int, force: bool = False) -> None:
    """Draw rows of faces, each pixel of a network's input as a square of whole pixels.

    Args:
        rows: from top to bottom.
        out: a PNG or JPEG file.
        input_size: side of the input in pixels.
        force: replace an existing file.

    Raises:
        ArtifactError: OUT exists or has no picture's ending, or the sheet is too large.
        SourceError: what ``MIEN_FONT`` names is no font.
    """
    require_picture_ending(out)
    captions = [max((len(face.caption.splitlines()) for face in row.faces), default=0) for row in rows]
    sheet = Sheet(
        captions,
        max(len(row.faces) for row in rows),
        side=input_size * max(1, round(WANTED_SIDE / input_size)),
        title_width=_title_width([row.title for row in rows]),
    )
    with one_writer(out):
        claim_output(out, force=force)
        for number, row in enumerate(rows):
            sheet.write_title(number, row.title)
            for column, face in enumerate(row.faces):
                sheet.place_face(number, column, face)
        sheet.write(out)


def _title_width(titles: Sequence[str]) -> int:
    return max(TITLE_WIDTH, 20 + max(measure_title(title) for title in titles))
