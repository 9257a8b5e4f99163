"""A sheet: titled rows of faces with their landmarks, as one picture."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mien.artifacts import disk_errors, write_atomically
from mien.errors import ArtifactError
from mien.faces.landmarks import CONTOURS
from mien.fonts import draw_text, fit_text

GAP = 2
CAPTION_LINE = 18
LINE_RGB = (80, 255, 160)
# A JPEG can be no larger.
LARGEST_SIDE = 65_500

_PAPER_RGB, _TITLE_RGB, _CAPTION_RGB = (24, 24, 28), (235, 235, 235), (170, 170, 178)
_TITLE_SIZE, _CAPTION_SIZE = 15, 13
# Lines are drawn so many times larger, then made smaller, which smooths them.
_FINER = 4


class Face(Protocol):
    """What a sheet shows of a face.

    Attributes:
        image_rgb: ``(S, S, 3)`` uint8 RGB.
        landmarks: ``(68, 2)`` fractions of the picture; NaN where a point is missing or hidden.
        caption: lines below the picture, or none.
    """

    @property
    def image_rgb(self) -> NDArray[np.uint8]: ...  # noqa: D102
    @property
    def landmarks(self) -> NDArray[np.float32]: ...  # noqa: D102
    @property
    def caption(self) -> str: ...  # noqa: D102


class Row(Protocol):
    """A row of a sheet.

    Attributes:
        title: lines to the left.
        faces: from left to right.
    """

    @property
    def title(self) -> str: ...  # noqa: D102
    @property
    def faces(self) -> Sequence[Face]: ...  # noqa: D102


def require_picture_ending(path: Path) -> None:
    """Refuse a file that a sheet cannot be written to.

    Raises:
        ArtifactError: OUT has no picture's ending.
    """
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise ArtifactError(f"OUT must end in .png or .jpg, got {path.name!r}")


class Sheet:
    """A picture with room for titled rows of square cells.

    Attributes:
        image: so far.
        side: of a cell in pixels, without the gap and the caption.
    """

    def __init__(self, caption_lines: Sequence[int], columns: int, *, side: int, title_width: int) -> None:
        """Lay a sheet out.

        Args:
            caption_lines: for each row, the lines below its faces.
            columns: faces in the longest row.
            side: of a cell in pixels.
            title_width: of the column on the left.

        Raises:
            ArtifactError: no picture file could hold it.
        """
        heights = [side + GAP + lines * CAPTION_LINE for lines in caption_lines]
        size_wh = (title_width + columns * (side + GAP), sum(heights))
        if max(size_wh) > LARGEST_SIDE:
            raise ArtifactError(
                f"The sheet must be at most {LARGEST_SIDE:,} pixels wide and high, {columns:,} faces in each of "
                f"{len(heights)} rows need {size_wh[0]:,} x {size_wh[1]:,}. Give fewer --per-class"
            )
        self.side = side
        self.image = Image.new("RGB", size_wh, _PAPER_RGB)
        self._pen = ImageDraw.Draw(self.image)
        self._title_width = title_width
        self._tops = np.cumsum([0, *heights]).tolist()

    def write_title(self, row: int, text: str) -> None:
        """Write lines to the left of a row."""
        place = (10, self._tops[row] + self.side // 2)
        draw_text(self._pen, place, text, size_px=_TITLE_SIZE, fill=_TITLE_RGB, anchor="lm")

    def place_face(self, row: int, column: int, face: Face) -> None:
        """Draw a face with its landmarks and its caption."""
        left, top = self._title_width + column * (self.side + GAP), self._tops[row]
        self.image.paste(_draw_face(face, self.side), (left, top))
        if face.caption:
            place = (left + self.side // 2, top + self.side + 2)
            how = {"fill": _CAPTION_RGB, "anchor": "ma", "align": "center"}
            draw_text(self._pen, place, face.caption, size_px=_CAPTION_SIZE, **how)

    def write(self, path: Path) -> None:
        """Write the picture to a PNG or JPEG file."""
        kind = "PNG" if path.suffix.lower() == ".png" else "JPEG"
        with disk_errors(path):
            write_atomically(path, lambda partial: self.image.save(partial, format=kind))


def measure_title(text: str) -> int:
    """Return the width of a title's longest line in pixels."""
    return round(fit_text(text).width(_TITLE_SIZE))


def _draw_face(face: Face, side: int) -> Image.Image:
    """Return a face in a cell, with its landmarks. Where the cell is a multiple of it, every pixel stays a square."""
    picture = Image.fromarray(face.image_rgb)
    is_multiple = side % picture.width == 0
    picture = picture.resize(
        (side, side), Image.Resampling.NEAREST if is_multiple else Image.Resampling.LANCZOS
    )
    if np.isfinite(face.landmarks).any():
        mask = Image.new("L", (side * _FINER, side * _FINER))
        _draw_landmarks(
            ImageDraw.Draw(mask), face.landmarks * mask.width, width=max(_FINER, mask.width // 110)
        )
        picture.paste(LINE_RGB, mask=mask.resize((side, side), Image.Resampling.BOX))
    return picture


def _draw_landmarks(pen: ImageDraw.ImageDraw, points: NDArray[np.float32], *, width: int) -> None:
    """Draw lines between the points that can be seen, and a dot for one that stands alone."""
    for part, closed in CONTOURS:
        contour = points[part]
        for run in _visible_runs(np.concatenate([contour, contour[:1]]) if closed else contour):
            line = [tuple(point) for point in run.tolist()]
            if len(line) > 1:
                pen.line(line, fill=255, width=width, joint="curve")
            else:
                pen.circle(line[0], width, fill=255)


def _visible_runs(points: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Yield the stretches of a line between points that are missing."""
    is_visible = np.isfinite(points).all(axis=1)
    starts = np.flatnonzero(np.diff(np.concatenate([[False], is_visible, [False]]).astype(int)))
    for start, end in starts.reshape(-1, 2):
        yield points[start:end]
