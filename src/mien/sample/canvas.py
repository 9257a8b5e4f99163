"""Painting on pixels: sharp shapes with antialiased edges, and soft light and shadow.

Convention: pixels are ``(H, W, 3)`` uint8 RGB; pixel coordinates are continuous, the image spans
``[0, w] x [0, h]`` (pixel centers at half-integers); a color is three numbers in [0, 255].
"""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.sample.curves import Points

Color = NDArray[np.float64]
Pixels = NDArray[np.uint8]

_SHIFT = 4  # fractional bits of the coordinates passed to OpenCV
_COARSE = 4  # soft shadows are computed at a quarter of the size: they have no detail to lose


def color(red: float, green: float, blue: float) -> Color:
    """Return a color."""
    return np.array([red, green, blue], dtype=np.float64)


def mix(first: Color, second: Color, fraction: float) -> Color:
    """Return a mixture of two colors, with a given fraction of the second."""
    return np.asarray(first * (1 - fraction) + second * fraction)


def fill(pixels: Pixels, outline: Points, paint: Color) -> None:
    """Fill an outline, in pixels, with one color. `pixels` is changed in place."""
    _fill_fixed(pixels, _fixed_point(outline), paint)


def _fixed_point(outline: Points) -> NDArray[np.int32]:
    return np.rint((outline - 0.5) * (1 << _SHIFT)).astype(np.int32)


def _fill_fixed(pixels: Pixels, outline: NDArray[np.int32], paint: Color) -> None:
    cv2.fillPoly(pixels, [outline], paint.tolist(), cv2.LINE_AA, _SHIFT)


class _Shape(NamedTuple):
    """A shape to paint, with its color or its strength, and for shadows their softness."""

    kind: str  # "fill", "skin", "window", "layer", "shade", "blush" or "crease"
    paint: Color
    strength: float
    softness: int


class Sketch:
    """Shapes in one coordinate system, in painting order, to be painted all at once.

    Projecting all points together makes drawing fast: a face has about a hundred small shapes.
    """

    def __init__(self) -> None:
        self._shapes: list[_Shape] = []
        self._outlines: list[Points] = []
        self._lifts: list[float] = []

    def fill(self, outline: Points, paint: Color, *, lift: float = 0.0) -> None:
        """Fill an outline with a color; ``lift`` is its height above the surface."""
        self._add(_Shape("fill", paint, 0.0, 0), outline, lift)

    def fill_inside(self, window: Points, layers: list[tuple[Points, Color]]) -> None:
        """Fill outlines, one over the other, clipped to a window such as the opening of an eye."""
        self._add(_Shape("window", _NO_COLOR, 0.0, 0), window, 0.0)
        for outline, paint in layers:
            self._add(_Shape("layer", paint, 0.0, 0), outline, 0.0)

    def skin(self, outline: Points, paint: Color) -> None:
        """Fill an outline with a color, and clip all shadows, redness and creases to it."""
        self._add(_Shape("skin", paint, 0.0, 0), outline, 0.0)

    def shade(self, outline: Points, strength: float, *, softness: int, lift: float = 0.0) -> None:
        """Add a soft shadow; a negative strength gives light.

        Args:
            outline: shape of the shadow.
            strength: 1 is the darkest shadow.
            softness: 0, 1 or 2 for a blur of 3, 6 or 12% of the unit.
            lift: height above the surface.
        """
        self._add(_Shape("shade", _NO_COLOR, strength, softness), outline, lift)

    def blush(self, outline: Points, strength: float) -> None:
        """Add soft redness."""
        self._add(_Shape("blush", _NO_COLOR, strength, 2), outline, 0.05)

    def crease(self, outline: Points, strength: float) -> None:
        """Add a thin dark line, given as the outline of its stroke."""
        self._add(_Shape("crease", _NO_COLOR, strength, 0), outline, 0.02)

    def _add(self, shape: _Shape, outline: Points, lift: float) -> None:
        self._shapes.append(shape)
        self._outlines.append(outline)
        self._lifts.append(lift)

    def paint(
        self, pixels: Pixels, project: Callable[[Points, NDArray[np.float64]], Points], *, unit: float
    ) -> None:
        """Paint the shapes on pixels, which are changed in place.

        Shadows, redness and creases are applied together, over everything filled before the first of them.

        Args:
            pixels: the image.
            project: maps points and their lifts to pixel coordinates.
            unit: pixels per unit of the sketch, for the softness of shadows.
        """
        if not self._shapes:
            return
        counts = [len(outline) for outline in self._outlines]
        projected = project(np.concatenate(self._outlines), np.repeat(self._lifts, counts))
        fixed, ends = _fixed_point(projected), np.cumsum(counts).tolist()
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
                shapes = [(self._shapes[n], projected[spans[n]]) for n in relief]
                _apply_relief(pixels, skin, shapes, unit)
            k += 1


_NO_COLOR = color(0, 0, 0)
# Fractions of red, green and blue that a full shadow and full redness absorb: skin in shadow turns warm.
_SHADOW_TINT = np.array([0.42, 0.62, 0.68], dtype=np.float32)
_BLUSH_TINT = np.array([0.02, 0.34, 0.30], dtype=np.float32)
_SOFTNESS = (0.03, 0.06, 0.12)


def _window_of(outline: NDArray[np.int32], shape: tuple[int, ...]) -> tuple[slice, slice] | None:
    """Return the rows and columns that a fixed-point outline touches, or None if it lies outside."""
    low = np.maximum((outline.min(axis=0) >> _SHIFT) - 2, 0)
    high = np.minimum((outline.max(axis=0) >> _SHIFT) + 4, (shape[1], shape[0]))
    if (high <= low).any():
        return None
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def _corner_of(window: tuple[slice, slice]) -> NDArray[np.int32]:
    """Return the fixed-point x, y of a window's top left corner."""
    return np.array([window[1].start, window[0].start], dtype=np.int32) << _SHIFT


def _mask(shape: tuple[int, ...], outline: NDArray[np.int32], *, value: float = 255) -> NDArray[np.uint8]:
    """Return an antialiased mask of a fixed-point outline."""
    mask = np.zeros(shape[:2], dtype=np.uint8)
    cv2.fillPoly(mask, [outline], value, cv2.LINE_AA, _SHIFT)
    return mask


def _fill_window(
    pixels: Pixels, outline: NDArray[np.int32], layers: list[tuple[NDArray[np.int32], Color]]
) -> None:
    """Fill outlines in fixed point, clipped to another one."""
    window = _window_of(outline, pixels.shape)
    if window is None:
        return
    region, corner = pixels[window], _corner_of(window)
    inside = region.copy()
    for layer, paint in layers:
        _fill_fixed(inside, layer - corner, paint)
    opacity = cv2.merge([_mask(region.shape, outline - corner)] * 3)
    region[:] = cv2.add(
        cv2.multiply(region, cv2.bitwise_not(opacity), scale=1 / 255),
        cv2.multiply(inside, opacity, scale=1 / 255),
    )


def _apply_relief(
    pixels: Pixels, skin: NDArray[np.int32], shapes: list[tuple[_Shape, Points]], unit: float
) -> None:
    """Apply shadows, redness and creases to skin, given as its outline in fixed point."""
    window = _window_of(skin, pixels.shape)
    if window is None:
        return
    region = pixels[window]
    low = np.array([window[1].start, window[0].start])
    height, width = region.shape[:2]
    coarse = (-(-height // _COARSE), -(-width // _COARSE))
    shadow = _soft_map(shapes, "shade", coarse, low, unit)
    redness = _soft_map(shapes, "blush", coarse, low, unit)
    factor = 1 - shadow[:, :, None] * _SHADOW_TINT - redness[:, :, None] * _BLUSH_TINT
    factor = cv2.resize(factor, (width, height), interpolation=cv2.INTER_LINEAR)
    shaded = cv2.multiply(region, factor, dtype=cv2.CV_8U)
    for shape, outline in shapes:
        if shape.kind != "crease":
            continue
        crease = _fixed_point(outline - low)
        crease_window = _window_of(crease, shaded.shape)
        if crease_window is None:
            continue
        part = shaded[crease_window]
        depth = _mask(part.shape, crease - _corner_of(crease_window), value=min(255.0, 255 * shape.strength))
        part[:] = cv2.multiply(part, 255 - depth[:, :, None] * _SHADOW_TINT, scale=1 / 255, dtype=cv2.CV_8U)
    mask = np.zeros((height, width), dtype=np.uint8)
    cv2.fillPoly(mask, [skin - _corner_of(window)], 255, cv2.LINE_8, _SHIFT)
    cv2.copyTo(shaded, mask, region)


def _soft_map(
    shapes: list[tuple[_Shape, Points]], kind: str, size: tuple[int, int], low: NDArray[np.int_], unit: float
) -> NDArray[np.float32]:
    """Return the sum of all shapes of a kind at the coarse size, each blurred by its softness."""
    total = np.zeros(size, dtype=np.float32)
    for softness, blur in enumerate(_SOFTNESS):
        level = np.zeros(size, dtype=np.float32)
        for shape, outline in shapes:
            if shape.kind == kind and shape.softness == softness:
                mask = _mask(size, _fixed_point((outline - low) / _COARSE))
                level += mask * np.float32(shape.strength / 255)
        sigma = max(0.4, blur * unit / _COARSE)
        total += cv2.GaussianBlur(level, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return total
