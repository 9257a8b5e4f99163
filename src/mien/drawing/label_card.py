"""The label of a face: a small dark card with the predicted expression, the most probable classes, affect and action units."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mien.drawing.fonts import draw_text, printable, text_width
from mien.inference.results import FacePrediction
from mien.tasks import TASKS

Rgb = tuple[int, int, int]
Rgba = tuple[int, int, int, int]

# Bright enough for the dark card, and distinct in lightness as well as hue.
_CLASS_COLORS: dict[str, Rgb] = {
    "Neutral": (186, 200, 214),
    "Happy": (255, 200, 61),
    "Sad": (96, 165, 250),
    "Surprise": (45, 212, 214),
    "Fear": (186, 140, 255),
    "Disgust": (132, 204, 78),
    "Anger": (255, 99, 92),
    "Contempt": (255, 146, 60),
}
OTHER_COLOR: Rgb = (214, 188, 220)
_BACKGROUND: Rgba = (17, 20, 26, 208)
_TRACK: Rgba = (66, 70, 80, 228)
_TEXT: Rgba = (255, 255, 255, 255)
_MUTED_TEXT: Rgba = (208, 214, 222, 255)

N_BARS = 3
# Shapes are drawn this many times larger and then downsampled, since Pillow does not antialias them.
_OVERSAMPLING = 4


def class_color(name: str | None) -> Rgb:
    """Return the accent color of a class."""
    return OTHER_COLOR if name is None else _CLASS_COLORS.get(name, OTHER_COLOR)


def build_pill(text: str, font_px: float, *, color: Rgb, value: str = "") -> NDArray[np.uint8]:
    """Return a one-line label with a colored dot, as RGBA ``(H, W, 4)``."""
    height = font_px * 1.7
    tile = _Tile(_header_width(text, value, font_px), height, radius=height / 2)
    _write_header(tile, text, value, font_px=font_px, color=color)
    return tile.render()


def build_card(face: FacePrediction, font_px: float) -> NDArray[np.uint8]:
    """Return the full label of a face, as RGBA ``(H, W, 4)``: header, probability bars, and a line for each further task."""
    small_px = font_px * 0.78
    row_height, header_height, margin = font_px * 1.08, font_px * 1.7, font_px * 0.62
    title, percent = str(face.expression), f"{face.confidence or 0:.0%}"
    bars = sorted((face.probabilities or {}).items(), key=lambda item: -item[1])[:N_BARS]
    parts = (task.resolve("label")(face) for task in TASKS.values() if task.label is not None)
    lines = ["   ".join(line) for line in parts if line]
    names_width = max((_text_width(name, small_px) for name, _ in bars), default=0.0)
    width = max(
        _header_width(title, percent, font_px),
        2 * margin + names_width + font_px * 7.2,
        *(2 * margin + _text_width(line, small_px) for line in lines),
    )
    height = header_height + row_height * (len(bars) + len(lines)) + font_px * 0.45
    tile = _Tile(width, height, radius=font_px * 0.6)
    _write_header(tile, title, percent, font_px=font_px, color=class_color(title))
    y, thickness = header_height + row_height * 0.4, font_px * 0.36
    for name, probability in bars:
        tile.text(margin, y, name, font_px=small_px, fill=_MUTED_TEXT)
        left, right = margin + names_width + font_px * 0.5, width - margin - font_px * 2.2
        # A bar is never shorter than its round ends.
        end = left + max(thickness, probability * (right - left))
        tile.bar(left, right, y, thickness, _TRACK)
        tile.bar(left, end, y, thickness, (*class_color(name), 255))
        tile.text(width - margin, y, f"{probability:.0%}", font_px=small_px, fill=_TEXT, anchor="rm")
        y += row_height
    for line in lines:
        tile.text(margin, y, line, font_px=small_px, fill=_MUTED_TEXT)
        y += row_height
    return tile.render()


def _size_px(font_px: float) -> int:
    return max(8, round(font_px))


def _text_width(text: str, font_px: float) -> float:
    return text_width(printable(text), _size_px(font_px))


def _header_width(text: str, value: str, font_px: float) -> float:
    value_width = font_px * 0.7 + _text_width(value, font_px) if value else 0
    return font_px * 2.1 + _text_width(text, font_px) + value_width


def _write_header(tile: "_Tile", text: str, value: str, *, font_px: float, color: Rgb) -> None:
    margin, radius, y = font_px * 0.62, font_px * 0.3, font_px * 0.85
    tile.dot(margin + radius, y, radius, (*color, 255))
    tile.text(margin + 2 * radius + font_px * 0.42, y, text, font_px=font_px, fill=_TEXT)
    tile.text(tile.width - margin, y, value, font_px=font_px, fill=(*color, 255), anchor="rm")


class _Tile:
    """A dark tile with round corners. Shapes are drawn oversampled; text is drawn on top after downsampling."""

    def __init__(self, width: float, height: float, *, radius: float) -> None:
        self.width, self.height = round(width), round(height)
        size = self.width * _OVERSAMPLING, self.height * _OVERSAMPLING
        self._canvas = Image.new("RGBA", size, (*_BACKGROUND[:3], 0))
        self._shapes = ImageDraw.Draw(self._canvas)
        self._rounded((0, 0, self.width, self.height), radius, _BACKGROUND)
        self._texts: list[tuple[float, float, str, float, Rgba, str]] = []

    def dot(self, x: float, y: float, radius: float, fill: Rgba) -> None:
        self._rounded((x - radius, y - radius, x + radius, y + radius), radius, fill)

    def bar(self, left: float, right: float, y: float, thickness: float, fill: Rgba) -> None:
        self._rounded((left, y - thickness / 2, right, y + thickness / 2), thickness / 2, fill)

    def text(self, x: float, y: float, text: str, *, font_px: float, fill: Rgba, anchor: str = "lm") -> None:
        self._texts.append((x, y, text, font_px, fill, anchor))

    def render(self) -> NDArray[np.uint8]:
        tile = self._canvas.reduce(_OVERSAMPLING)
        pen = ImageDraw.Draw(tile)
        for x, y, text, font_px, fill, anchor in self._texts:
            draw_text(pen, (x, y), printable(text), size_px=_size_px(font_px), fill=fill, anchor=anchor)
        return np.asarray(tile)

    def _rounded(self, box: tuple[float, float, float, float], radius: float, fill: Rgba) -> None:
        x0, y0, x1, y1 = (round(value * _OVERSAMPLING) for value in box)
        self._shapes.rounded_rectangle((x0, y0, x1 - 1, y1 - 1), radius * _OVERSAMPLING, fill=fill)
