"""`mien browse`: a sheet of a pack's faces, for people who would rather look than count."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mien.artifacts import claim_output, disk_errors, write_atomically
from mien.errors import ArtifactError
from mien.faces.landmarks import CONTOURS
from mien.pack import Pack, PackSplit

CELL = 112
TITLE_WIDTH = 130
LINE_RGB = (80, 255, 160)
# A JPEG can be no larger.
LARGEST_SIDE = 65_500


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
    """
    if out.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise ArtifactError(f"OUT must end in .png or .jpg, got {out.name!r}")
    pack = Pack.open(pack_path)
    faces = pack.split(split)
    n_classes = len(pack.info.classes)
    columns = min(per_class, int(np.bincount(faces.labels).max()))
    size_wh = (TITLE_WIDTH + columns * CELL, n_classes * CELL)
    if max(size_wh) > LARGEST_SIDE:
        raise ArtifactError(
            f"The sheet must be at most {LARGEST_SIDE:,} pixels wide and high, {columns:,} faces of {n_classes} "
            f"classes need {size_wh[0]:,} x {size_wh[1]:,}. Give fewer --per-class"
        )
    claim_output(out, force=force)
    sheet = Image.new("RGB", size_wh, (24, 24, 28))
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(15)
    random = np.random.default_rng(seed)
    for row, name in enumerate(pack.info.classes):
        members = np.flatnonzero(faces.labels == row)
        pen.text((10, row * CELL + 36), f"{name}\n{len(members):,}", fill=(235, 235, 235), font=font)
        for column, index in enumerate(np.sort(random.permutation(members)[:per_class])):
            sheet.paste(_draw_face(faces, int(index)), (TITLE_WIDTH + column * CELL, row * CELL))
    with disk_errors(out):
        kind = "PNG" if out.suffix.lower() == ".png" else "JPEG"
        write_atomically(out, lambda partial: sheet.save(partial, format=kind))


def _draw_face(faces: PackSplit, index: int) -> Image.Image:
    """Return a face with its landmarks, drawn at twice the size for smooth lines."""
    side = 2 * CELL
    picture = Image.fromarray(faces.image(index)).resize((side, side), Image.Resampling.BICUBIC)
    points: NDArray[np.float32] = faces.landmarks[index] * side
    if np.isfinite(points).all():
        pen = ImageDraw.Draw(picture)
        for part, closed in CONTOURS:
            line = [tuple(point) for point in points[part].tolist()]
            pen.line(line + line[:1] if closed else line, fill=LINE_RGB, width=2)
    return picture.resize((CELL - 2, CELL - 2), Image.Resampling.LANCZOS)
