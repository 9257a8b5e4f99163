"""Painting on pixels: crisp shapes with smooth edges, and soft light and shadow.

Convention: pixels are ``(H, W, 3)`` uint8 RGB; pixel coordinates are continuous, the image spans
``[0, w] x [0, h]`` (pixel centres at half-integers); a colour is three numbers in [0, 255].
"""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.sample.curves import Points

Color = NDArray[np.float64]
Pixels = NDArray[np.uint8]

_SHIFT = 4  # OpenCV draws with this many bits of fraction
_COARSE = 4  # soft shadows are made at a quarter of the size: they have no detail to lose


def color(red: float, green: float, blue: float) -> Color:
    """Return a colour."""
    return np.array([red, green, blue], dtype=np.float64)


def mix(first: Color, second: Color, share: float) -> Color:
    """Return a colour between two: ``share`` of the second."""
    return np.asarray(first * (1 - share) + second * share)


def fill(pixels: Pixels, outline: Points, paint: Color) -> None:
    """Fill an outline, in pixels, with one colour. `pixels` is changed in place."""
    _fill_fixed(pixels, _fixed(outline), paint)


def _fixed(outline: Points) -> NDArray[np.int32]:
    return np.rint((outline - 0.5) * (1 << _SHIFT)).astype(np.int32)


def _fill_fixed(pixels: Pixels, outline: NDArray[np.int32], paint: Color) -> None:
    cv2.fillPoly(pixels, [outline], paint.tolist(), cv2.LINE_AA, _SHIFT)


class _Shape(NamedTuple):
    """A shape to paint: what it is, how strong or which colour, and for shadows how soft."""

    kind: str  # "fill", "skin", "window", "layer", "shade", "blush" or "crease"
    paint: Color
    strength: float
    softness: int


class Sketch:
    """Shapes in one coordinate system, in the order of painting, put on pixels all at once.

    Placing all points together is what makes drawing fast: a face has some hundred small shapes.
    """

    def __init__(self) -> None:
        self._shapes: list[_Shape] = []
        self._outlines: list[Points] = []
        self._lifts: list[float] = []

    def fill(self, outline: Points, paint: Color, *, lift: float = 0.0) -> None:
        """Fill an outline with a colour; ``lift`` is how far it stands out of the surface."""
        self._add(_Shape("fill", paint, 0.0, 0), outline, lift)

    def fill_inside(self, window: Points, layers: list[tuple[Points, Color]]) -> None:
        """Fill outlines, one over the other, but only inside a window such as the opening of an eye."""
        self._add(_Shape("window", _NO_COLOR, 0.0, 0), window, 0.0)
        for outline, paint in layers:
            self._add(_Shape("layer", paint, 0.0, 0), outline, 0.0)

    def skin(self, outline: Points, paint: Color) -> None:
        """Fill an outline with a colour, and let shadows, redness and creases fall on nothing outside it."""
        self._add(_Shape("skin", paint, 0.0, 0), outline, 0.0)

    def shade(self, outline: Points, strength: float, *, softness: int, lift: float = 0.0) -> None:
        """Add a soft shadow; a negative strength gives light.

        Args:
            outline: its shape.
            strength: 1 takes all the light that a shadow can.
            softness: 0, 1 or 2: blurred over 3, 6 or 12 % of the unit.
            lift: how far it stands out of the surface.
        """
        self._add(_Shape("shade", _NO_COLOR, strength, softness), outline, lift)

    def blush(self, outline: Points, strength: float) -> None:
        """Add a soft redness."""
        self._add(_Shape("blush", _NO_COLOR, strength, 2), outline, 0.05)

    def crease(self, outline: Points, strength: float) -> None:
        """Add a thin dark line, given as the outline of its stroke."""
        self._add(_Shape("crease", _NO_COLOR, strength, 0), outline, 0.02)

    def _add(self, shape: _Shape, outline: Points, lift: float) -> None:
        self._shapes.append(shape)
        self._outlines.append(outline)
        self._lifts.append(lift)

    def paint(
        self, pixels: Pixels, place: Callable[[Points, NDArray[np.float64]], Points], *, unit: float
    ) -> None:
        """Put the shapes on pixels, which are changed in place.

        Shadows, redness and creases go over all that was filled before the first of them, together.

        Args:
            pixels: the image.
            place: gives the pixel coordinates of points, from these and their lifts.
            unit: pixels per unit of the sketch, for the softness of shadows.
        """
        if not self._shapes:
            return
        counts = [len(outline) for outline in self._outlines]
        placed = place(np.concatenate(self._outlines), np.repeat(self._lifts, counts))
        fixed, ends = _fixed(placed), np.cumsum(counts).tolist()
        spans = [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]
        relief = [k for k, shape in enumerate(self._shapes) if shape.kind in ("shade", "blush", "crease")]
        skin = fixed[:0]
        k = 0
        while k < len(spans):
            kind = self._shapes[k].kind
            if kind in ("fill", "skin"):
                _fill_fixed(pixels, fixed[spans[k]], self._shapes[k].paint)
                skin = fixed[spans[k]] if kind == "skin" else skin
            elif kind == "window":
                last = k + 1
                while last < len(spans) and self._shapes[last].kind == "layer":
                    last += 1
                layers = [(fixed[spans[n]], self._shapes[n].paint) for n in range(k + 1, last)]
                _fill_window(pixels, fixed[spans[k]], layers)
                k = last - 1
            elif k == relief[0]:
                shapes = [(self._shapes[n], placed[spans[n]]) for n in relief]
                _lay_relief(pixels, skin, shapes, unit)
            k += 1


_NO_COLOR = color(0, 0, 0)
# How much of red, green and blue a full shadow and a full redness take: skin in shadow turns warm.
_SHADOW_TINT = np.array([0.42, 0.62, 0.68], dtype=np.float32)
_BLUSH_TINT = np.array([0.02, 0.34, 0.30], dtype=np.float32)
_SOFTNESS = (0.03, 0.06, 0.12)


def _window_of(outline: NDArray[np.int32], shape: tuple[int, ...]) -> tuple[slice, slice] | None:
    """Return the rows and columns that an outline in fixed point touches, or None where it touches none."""
    low = np.maximum((outline.min(axis=0) >> _SHIFT) - 2, 0)
    high = np.minimum((outline.max(axis=0) >> _SHIFT) + 4, (shape[1], shape[0]))
    if (high <= low).any():
        return None
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def _fill_window(
    pixels: Pixels, outline: NDArray[np.int32], layers: list[tuple[NDArray[np.int32], Color]]
) -> None:
    window = _window_of(outline, pixels.shape)
    if window is None:
        return
    region = pixels[window]
    corner = np.array([window[1].start, window[0].start], dtype=np.int32) << _SHIFT
    inner = region.copy()
    for layer, paint in layers:
        _fill_fixed(inner, layer - corner, paint)
    mask = np.zeros(region.shape[:2], dtype=np.uint8)
    cv2.fillPoly(mask, [outline - corner], 255, cv2.LINE_AA, _SHIFT)
    share = cv2.merge([mask, mask, mask])
    region[:] = cv2.add(
        cv2.multiply(region, cv2.bitwise_not(share), scale=1 / 255), cv2.multiply(inner, share, scale=1 / 255)
    )


def _lay_relief(
    pixels: Pixels, skin: NDArray[np.int32], shapes: list[tuple[_Shape, Points]], unit: float
) -> None:
    """Darken and redden skin, given as its outline in fixed point."""
    window = _window_of(skin, pixels.shape)
    if window is None:
        return
    region = pixels[window]
    low = np.array([window[1].start, window[0].start])
    height, width = region.shape[:2]
    coarse = (-(-height // _COARSE), -(-width // _COARSE))
    shadow, redness = (_soft_map(shapes, kind, coarse, low, unit) for kind in ("shade", "blush"))
    factor = 1 - shadow[:, :, None] * _SHADOW_TINT - redness[:, :, None] * _BLUSH_TINT
    factor = cv2.resize(factor, (width, height), interpolation=cv2.INTER_LINEAR)
    shaded = cv2.multiply(region, factor, dtype=cv2.CV_8U)
    for shape, outline in shapes:
        if shape.kind == "crease":
            _lay_crease(shaded, _fixed(outline - low), shape.strength)
    mask = np.zeros((height, width), dtype=np.uint8)
    cv2.fillPoly(mask, [skin - (low << _SHIFT).astype(np.int32)], 255, cv2.LINE_8, _SHIFT)
    cv2.copyTo(shaded, mask, region)


def _soft_map(
    shapes: list[tuple[_Shape, Points]], kind: str, size: tuple[int, int], low: NDArray[np.int_], unit: float
) -> NDArray[np.float32]:
    total = np.zeros(size, dtype=np.float32)
    for softness, spread in enumerate(_SOFTNESS):
        level = np.zeros(size, dtype=np.float32)
        for shape, outline in shapes:
            if shape.kind == kind and shape.softness == softness:
                _stamp(level, _fixed((outline - low) / _COARSE), shape.strength)
        sigma = max(0.4, spread * unit / _COARSE)
        total += cv2.GaussianBlur(level, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return total


def _stamp(level: NDArray[np.float32], outline: NDArray[np.int32], strength: float) -> None:
    mask = np.zeros(level.shape, dtype=np.uint8)
    cv2.fillPoly(mask, [outline], 255, cv2.LINE_AA, _SHIFT)
    level += mask * np.float32(strength / 255)


def _lay_crease(pixels: Pixels, outline: NDArray[np.int32], strength: float) -> None:
    window = _window_of(outline, pixels.shape)
    if window is None:
        return
    region = pixels[window]
    mask = np.zeros(region.shape[:2], dtype=np.uint8)
    corner = np.array([window[1].start, window[0].start], dtype=np.int32) << _SHIFT
    cv2.fillPoly(mask, [outline - corner], min(255.0, 255 * strength), cv2.LINE_AA, _SHIFT)
    factor = 255 - mask[:, :, None] * _SHADOW_TINT
    region[:] = cv2.multiply(region, factor, scale=1 / 255, dtype=cv2.CV_8U)
