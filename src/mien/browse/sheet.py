"""A contact sheet: titled rows of faces with their landmarks, as one image."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mien.artifacts import disk_errors, write_atomically
from mien.drawing.contours import visible_contours
from mien.drawing.fonts import draw_text, text_width
from mien.errors import ArtifactError

GAP = 2
CAPTION_LINE = 18
LINE_RGB = (80, 255, 160)
# The limit of JPEG.
LARGEST_SIDE = 65_500

_BACKGROUND_RGB, _TITLE_RGB, _CAPTION_RGB = (24, 24, 28), (235, 235, 235), (170, 170, 178)
_TITLE_SIZE, _CAPTION_SIZE = 15, 13
# Lines are drawn this many times larger and then downsampled, which antialiases them.
_OVERSAMPLING = 4


class Face(Protocol):
    """A face on a sheet.

    Attributes:
        image_rgb: ``(S, S, 3)`` uint8 RGB.
        landmarks: ``(68, 2)`` fractions of the image; NaN where a point is missing or hidden.
        caption: lines below the image; may be empty.
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
        title: lines to the left of the faces.
        faces: from left to right.
    """

    @property
    def title(self) -> str: ...  # noqa: D102
    @property
    def faces(self) -> Sequence[Face]: ...  # noqa: D102


def require_image_suffix(path: Path) -> None:
    """Require a file name that a sheet can be written to.

    Raises:
        ArtifactError: the suffix is not .png, .jpg or .jpeg.
    """
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise ArtifactError(f"OUT must end in .png or .jpg, got {path.name!r}")


class Sheet:
    """An image with titled rows of square cells.

    Attributes:
        image: what has been drawn so far.
        side: side of a cell in pixels, without gap and caption.
    """

    def __init__(self, caption_lines: Sequence[int], columns: int, *, side: int, title_width: int) -> None:
        """Lay out an empty sheet.

        Args:
            caption_lines: for each row, the number of lines below its faces.
            columns: faces in the longest row.
            side: side of a cell in pixels.
            title_width: width of the left column in pixels.

        Raises:
            ArtifactError: it is too large for an image file.
        """
        heights = [side + GAP + lines * CAPTION_LINE for lines in caption_lines]
        size_wh = (title_width + columns * (side + GAP), sum(heights))
        if max(size_wh) > LARGEST_SIDE:
            raise ArtifactError(
                f"The sheet must be at most {LARGEST_SIDE:,} pixels wide and high, but {len(heights)} rows of "
                f"{columns:,} faces need {size_wh[0]:,} x {size_wh[1]:,}. Use a smaller --per-class"
            )
        self.side = side
        self.image = Image.new("RGB", size_wh, _BACKGROUND_RGB)
        self._pen = ImageDraw.Draw(self.image)
        self._title_width = title_width
        self._tops = np.cumsum([0, *heights]).tolist()

    def write_title(self, row: int, text: str) -> None:
        """Write lines to the left of a row."""
        xy = (10, self._tops[row] + self.side // 2)
        draw_text(self._pen, xy, text, size_px=_TITLE_SIZE, fill=_TITLE_RGB, anchor="lm")

    def draw_face(self, row: int, column: int, face: Face) -> None:
        """Draw a face with its landmarks and caption. In a cell of a multiple of its size, pixels become squares."""
        left, top, side = self._title_width + column * (self.side + GAP), self._tops[row], self.side
        cell = Image.fromarray(face.image_rgb)
        is_multiple = side % cell.width == 0
        cell = cell.resize(
            (side, side), Image.Resampling.NEAREST if is_multiple else Image.Resampling.LANCZOS
        )
        mask = Image.new("L", (side * _OVERSAMPLING, side * _OVERSAMPLING))
        pen = ImageDraw.Draw(mask)
        line_width = max(_OVERSAMPLING, mask.width // 110)
        for contour, is_closed in visible_contours(face.landmarks * mask.width):
            line = [tuple(point) for point in contour.tolist()]
            if len(line) > 1:
                pen.line([*line, line[0]] if is_closed else line, fill=255, width=line_width, joint="curve")
            else:
                pen.circle(line[0], line_width, fill=255)
        cell.paste(LINE_RGB, mask=mask.resize((side, side), Image.Resampling.BOX))
        self.image.paste(cell, (left, top))
        if face.caption:
            xy = (left + side // 2, top + side + 2)
            style = {"fill": _CAPTION_RGB, "anchor": "ma", "align": "center"}
            draw_text(self._pen, xy, face.caption, size_px=_CAPTION_SIZE, **style)

    def write(self, path: Path) -> None:
        """Write the image to a PNG or JPEG file."""
        kind = "PNG" if path.suffix.lower() == ".png" else "JPEG"
        with disk_errors(path):
            write_atomically(path, lambda partial: self.image.save(partial, format=kind))


def measure_title(text: str) -> int:
    """Return the width of a title's longest line in pixels."""
    return round(text_width(text, _TITLE_SIZE))
