"""The label of a drawn face: a small dark card with the expression, the likeliest classes and the affect."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mien.fonts import draw_text, fit_text, printable
from mien.reading.readings import FaceReading

Rgb = tuple[int, int, int]
Rgba = tuple[int, int, int, int]

# Bright enough for the dark card, and told apart by lightness as well as hue.
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
_QUIET_TEXT: Rgba = (208, 214, 222, 255)

N_BARS = 3
# Shapes are drawn this many times larger and averaged down, since Pillow's are not smooth.
_SMOOTHING = 4


def class_color(name: str | None) -> Rgb:
    """Return the accent color of a class."""
    return OTHER_COLOR if name is None else _CLASS_COLORS.get(name, OTHER_COLOR)


def build_pill(text: str, font_px: float, *, color: Rgb, value: str = "") -> NDArray[np.uint8]:
    """Return a one-line label with a dot of color, as RGBA ``(H, W, 4)``."""
    height = font_px * 1.7
    tile = _Tile(_header_width(text, value, font_px), height, radius=height / 2)
    _write_header(tile, text, value, font_px=font_px, color=color)
    return tile.pixels()


def build_card(reading: FaceReading, font_px: float) -> NDArray[np.uint8]:
    """Return the whole label of a face that was read, as RGBA ``(H, W, 4)``: header, bars, affect."""
    small_px = font_px * 0.78
    row_height, header_height, edge = font_px * 1.08, font_px * 1.7, font_px * 0.62
    title, percent = str(reading.expression), f"{reading.confidence or 0:.0%}"
    bars = sorted((reading.probabilities or {}).items(), key=lambda item: -item[1])[:N_BARS]
    affect = _affect_text(reading)
    names_width = max((_text_width(name, small_px) for name, _ in bars), default=0.0)
    width = max(
        _header_width(title, percent, font_px),
        2 * edge + names_width + font_px * 7.2,
        2 * edge + _text_width(affect, small_px),
    )
    height = header_height + row_height * (len(bars) + bool(affect)) + font_px * 0.45
    tile = _Tile(width, height, radius=font_px * 0.6)
    _write_header(tile, title, percent, font_px=font_px, color=class_color(title))
    y = header_height + row_height * 0.4
    for name, probability in bars:
        tile.text(edge, y, name, font_px=small_px, fill=_QUIET_TEXT)
        track = _Bar(edge + names_width + font_px * 0.5, width - edge - font_px * 2.2, y, font_px * 0.36)
        tile.bar(track, probability, color=class_color(name))
        tile.text(width - edge, y, f"{probability:.0%}", font_px=small_px, fill=_TEXT, anchor="rm")
        y += row_height
    if affect:
        tile.text(edge, y, affect, font_px=small_px, fill=_QUIET_TEXT)
    return tile.pixels()


def _whole_size(font_px: float) -> int:
    return max(8, round(font_px))


def _text_width(text: str, font_px: float) -> float:
    return fit_text(printable(text)).width(_whole_size(font_px))


def _affect_text(reading: FaceReading) -> str:
    if reading.valence is None or reading.arousal is None:
        return ""
    return f"valence {reading.valence:+.2f}   arousal {reading.arousal:+.2f}"


def _header_width(text: str, value: str, font_px: float) -> float:
    value_width = font_px * 0.7 + _text_width(value, font_px) if value else 0
    return font_px * 2.1 + _text_width(text, font_px) + value_width


def _write_header(tile: "_Tile", text: str, value: str, *, font_px: float, color: Rgb) -> None:
    edge, radius, y = font_px * 0.62, font_px * 0.3, font_px * 0.85
    tile.dot(edge + radius, y, radius, color)
    tile.text(edge + 2 * radius + font_px * 0.42, y, text, font_px=font_px, fill=_TEXT)
    tile.text(tile.width - edge, y, value, font_px=font_px, fill=(*color, 255), anchor="rm")


@dataclass(frozen=True, slots=True)
class _Bar:
    left: float
    right: float
    middle_y: float
    thickness: float


class _Tile:
    """A rounded dark tile. Shapes go on a larger sheet that is averaged down, writing on top of the result."""

    def __init__(self, width: float, height: float, *, radius: float) -> None:
        self.width, self.height = round(width), round(height)
        size = self.width * _SMOOTHING, self.height * _SMOOTHING
        self._sheet = Image.new("RGBA", size, (*_BACKGROUND[:3], 0))
        self._shapes = ImageDraw.Draw(self._sheet)
        self._rounded((0, 0, self.width, self.height), radius, _BACKGROUND)
        self._texts: list[tuple[float, float, str, float, Rgba, str]] = []

    def dot(self, x: float, y: float, radius: float, color: Rgb) -> None:
        self._rounded((x - radius, y - radius, x + radius, y + radius), radius, (*color, 255))

    def bar(self, bar: _Bar, share: float, *, color: Rgb) -> None:
        top, bottom = bar.middle_y - bar.thickness / 2, bar.middle_y + bar.thickness / 2
        self._rounded((bar.left, top, bar.right, bottom), bar.thickness / 2, _TRACK)
        # A bar is never narrower than its round ends.
        end = bar.left + max(bar.thickness, share * (bar.right - bar.left))
        self._rounded((bar.left, top, end, bottom), bar.thickness / 2, (*color, 255))

    def text(self, x: float, y: float, text: str, *, font_px: float, fill: Rgba, anchor: str = "lm") -> None:
        self._texts.append((x, y, text, font_px, fill, anchor))

    def pixels(self) -> NDArray[np.uint8]:
        tile = self._sheet.reduce(_SMOOTHING)
        writing = ImageDraw.Draw(tile)
        for x, y, text, font_px, fill, anchor in self._texts:
            draw_text(
                writing, (x, y), printable(text), size_px=_whole_size(font_px), fill=fill, anchor=anchor
            )
        return np.asarray(tile)

    def _rounded(self, box: tuple[float, float, float, float], radius: float, fill: Rgba) -> None:
        x0, y0, x1, y1 = (round(value * _SMOOTHING) for value in box)
        self._shapes.rounded_rectangle((x0, y0, x1 - 1, y1 - 1), radius * _SMOOTHING, fill=fill)
