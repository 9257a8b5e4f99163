"""Backgrounds: soft gradients, bokeh, patterns and objects; also images without a face."""

from collections.abc import Callable

import cv2
import numpy as np

from mien.sample.canvas import Color, Pixels, fill, mix
from mien.sample.curves import Points, band, ellipse, points, shift, smooth


def paint_background(size_wh: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """Return a background for a face, often out of focus."""
    pixels = _paint_clouds(size_wh, rng)
    kind = rng.choice(5, p=[0.3, 0.2, 0.15, 0.2, 0.15])
    if kind == 1:
        _paint_bokeh(pixels, rng)
    elif kind == 2:
        _paint_pattern(pixels, rng)
    elif kind in (3, 4):
        for _ in range(rng.integers(2, 5)):
            _OBJECTS[rng.integers(len(_OBJECTS))](pixels, rng)
    if kind in (2, 3):
        pixels = np.asarray(cv2.blur(pixels, (7, 7)), dtype=np.uint8)
    return pixels


def paint_scene(size_wh: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """Return an image of objects, without a face."""
    pixels = _paint_clouds(size_wh, rng)
    if rng.random() < 0.35:
        _paint_pattern(pixels, rng)
    if rng.random() < 0.25:
        _paint_bokeh(pixels, rng)
    for _ in range(rng.integers(1, 6)):
        _OBJECTS[rng.integers(len(_OBJECTS))](pixels, rng)
    return pixels


def _sample_color(rng: np.random.Generator) -> Color:
    gray = rng.uniform(40, 225)
    return np.asarray(np.clip(gray + rng.normal(0, 20, 3), 5, 250))


def _paint_clouds(size_wh: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """Return soft clouds of similar colors."""
    rows, columns = rng.integers(2, 6, 2)
    base = _sample_color(rng)
    cells = (
        base + rng.normal(0, rng.uniform(4, 26), (rows, columns, 1)) + rng.normal(0, 5, (rows, columns, 3))
    )
    cells = np.clip(cells, 0, 255).astype(np.uint8)
    clouds = cv2.resize(cells, (48, 48), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.resize(clouds, size_wh, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _sample_spot(pixels: Pixels, rng: np.random.Generator) -> tuple[Points, float]:
    """Sample the position of an object and its size in pixels."""
    size = np.array([pixels.shape[1], pixels.shape[0]])
    return rng.uniform(0.05, 0.95, 2) * size, float(rng.uniform(0.1, 0.34) * size.min())


def _paint_bokeh(pixels: Pixels, rng: np.random.Generator) -> None:
    paint = _sample_color(rng)
    for _ in range(rng.integers(5, 14)):
        center, size = _sample_spot(pixels, rng)
        glow = mix(paint, np.full(3, 255.0), rng.uniform(0, 0.5))
        here = pixels[
            min(int(center[1]), pixels.shape[0] - 1), min(int(center[0]), pixels.shape[1] - 1)
        ].astype(np.float64)
        fill(pixels, ellipse(center, (size * 0.4, size * 0.4)), mix(here, glow, 0.45))


def _paint_pattern(pixels: Pixels, rng: np.random.Generator) -> None:
    """Paint stripes, bricks or dots."""
    height, width = pixels.shape[:2]
    paint = _sample_color(rng)
    step = float(rng.uniform(18, 48))
    kind = rng.integers(3)
    rows, columns = int(height / step) + 2, int(width / step) + 2
    if kind == 0:
        slant = rng.uniform(-0.6, 0.6) * height
        for column in range(-columns // 2, columns + columns // 2):
            x = column * step
            stripe = points(
                (x, 0), (x + step * 0.4, 0), (x + step * 0.4 + slant, height), (x + slant, height)
            )
            fill(pixels, stripe, paint)
        return
    for row in range(rows):
        for column in range(columns):
            x, y = (column - 0.5 * (row % 2)) * step, row * step
            if kind == 1:
                tile = points(
                    (x, y), (x + step * 0.94, y), (x + step * 0.94, y + step * 0.9), (x, y + step * 0.9)
                )
                fill(pixels, tile, paint * (0.92 + 0.08 * ((row * 7 + column * 5) % 3)))
            else:
                fill(pixels, ellipse((x, y), (step * 0.24, step * 0.24), count=12), paint)


def _box(center: Points, half_wh: tuple[float, float], tilt: float = 0.0) -> Points:
    corners = points((-1, -1), (1, -1), (1, 1), (-1, 1)) * half_wh
    cos, sin = np.cos(tilt), np.sin(tilt)
    return np.asarray(corners @ np.array([[cos, sin], [-sin, cos]]) + center)


def _plant(pixels: Pixels, rng: np.random.Generator) -> None:
    at, size = _sample_spot(pixels, rng)
    green = np.array([rng.uniform(40, 110), rng.uniform(95, 165), rng.uniform(50, 110)])
    for angle in np.linspace(-1.25, 1.25, rng.integers(5, 10)):
        reach = size * rng.uniform(0.8, 1.3)
        tip = at + reach * np.array([np.sin(angle), -np.cos(angle)])
        bend = shift(0.5 * (at + tip), 0.12 * reach * np.sign(angle), -0.1 * reach)
        leaf = smooth(np.stack([at, bend, tip]))
        widths = size * 0.24 * np.sin(np.pi * np.linspace(0.05, 1, len(leaf)))
        fill(pixels, band(leaf, widths), green * rng.uniform(0.75, 1.15))
    pot = points((-0.34, 0), (0.34, 0), (0.25, 0.55), (-0.25, 0.55)) * size + at
    fill(pixels, pot, np.array([186, 104, 72]) * rng.uniform(0.7, 1.2))
    fill(pixels, _box(at, (size * 0.38, size * 0.07)), np.array([170, 92, 62.0]))


def _mug(pixels: Pixels, rng: np.random.Generator) -> None:
    at, size = _sample_spot(pixels, rng)
    paint, side = _sample_color(rng), rng.choice([-1.0, 1.0])
    ring = ellipse(shift(at, side * size * 0.42, 0), (size * 0.24, size * 0.26))
    fill(pixels, band(np.concatenate([ring, ring[:2]]), size * 0.09), paint * 0.85)
    fill(pixels, _box(at, (size * 0.4, size * 0.48)), paint)
    fill(pixels, ellipse(shift(at, 0, size * 0.48), (size * 0.4, size * 0.1)), paint)
    fill(pixels, ellipse(shift(at, 0, -size * 0.48), (size * 0.4, size * 0.11)), paint * 0.8)
    fill(pixels, ellipse(shift(at, 0, -size * 0.46), (size * 0.34, size * 0.08)), np.array([70, 44, 30.0]))


def _clock(pixels: Pixels, rng: np.random.Generator) -> None:
    at, size = _sample_spot(pixels, rng)
    paint = _sample_color(rng)
    fill(pixels, ellipse(at, (size * 0.6, size * 0.6), count=40), paint * 0.6)
    fill(pixels, ellipse(at, (size * 0.52, size * 0.52), count=40), mix(paint, np.full(3, 250.0), 0.8))
    for hour in range(12):
        turn = hour * np.pi / 6
        mark = at + size * 0.44 * np.array([np.sin(turn), np.cos(turn)])
        fill(pixels, ellipse(mark, (size * 0.03, size * 0.03), count=8), paint * 0.4)
    for length in (0.24, 0.38):
        turn = rng.uniform(0, 2 * np.pi)
        hand = np.stack([at, at + size * length * np.array([np.sin(turn), np.cos(turn)])])
        fill(pixels, band(hand, size * 0.05), paint * 0.3)


def _window(pixels: Pixels, rng: np.random.Generator) -> None:
    at, size = _sample_spot(pixels, rng)
    size *= 1.5
    frame = _sample_color(rng)
    sky = np.array([170, 205, 232]) * rng.uniform(0.6, 1.08)
    fill(pixels, _box(at, (size * 0.5, size * 0.62)), frame)
    for dx in (-0.22, 0.22):
        for dy in (-0.28, 0.28):
            fill(
                pixels,
                _box(shift(at, dx * size, dy * size), (size * 0.18, size * 0.24)),
                np.clip(sky, 0, 255),
            )


def _books(pixels: Pixels, rng: np.random.Generator) -> None:
    at, size = _sample_spot(pixels, rng)
    x = at[0] - size
    for _ in range(rng.integers(4, 9)):
        half, tall = size * rng.uniform(0.06, 0.13), size * rng.uniform(0.4, 0.7)
        x += 2.1 * half
        paint = _sample_color(rng)
        fill(pixels, _box(np.array([x, at[1] - tall]), (half, tall)), paint)
        fill(
            pixels,
            _box(np.array([x, at[1] - 1.6 * tall]), (half, size * 0.03)),
            mix(paint, np.full(3, 255.0), 0.6),
        )
    fill(pixels, _box(at, (size * 1.2, size * 0.05)), np.array([120, 84, 56.0]))


def _ball(pixels: Pixels, rng: np.random.Generator) -> None:
    at, size = _sample_spot(pixels, rng)
    paint = _sample_color(rng)
    for step in range(6):
        radius = size * (0.6 - 0.09 * step)
        disc = ellipse(at - size * 0.035 * step, (radius, radius), count=32)
        fill(pixels, disc, np.clip(paint * (0.7 + 0.1 * step), 0, 255))


def _house(pixels: Pixels, rng: np.random.Generator) -> None:
    at, size = _sample_spot(pixels, rng)
    wall, roof = _sample_color(rng), _sample_color(rng)
    fill(pixels, _box(at, (size * 0.6, size * 0.45)), wall)
    fill(pixels, points((-0.75, -0.4), (0.75, -0.4), (0, -1.0)) * size + at, roof)
    fill(pixels, _box(shift(at, 0, size * 0.22), (size * 0.12, size * 0.23)), roof * 0.7)
    for dx in (-0.36, 0.36):
        fill(
            pixels,
            _box(shift(at, dx * size, -0.08 * size), (size * 0.12, size * 0.13)),
            np.array([200, 220, 235.0]),
        )


def _flower(pixels: Pixels, rng: np.random.Generator) -> None:
    at, size = _sample_spot(pixels, rng)
    stem = smooth(np.stack([at, shift(at, 0.08 * size, 0.6 * size), shift(at, 0, 1.3 * size)]))
    fill(pixels, band(stem, size * 0.07), np.array([78, 130, 70.0]))
    petals, paint = rng.integers(5, 9), np.clip(_sample_color(rng) * (1.3, 0.8, 1.0), 0, 255)
    for turn in np.arange(petals) * 2 * np.pi / petals:
        center = at + 0.3 * size * np.array([np.cos(turn), np.sin(turn)])
        fill(pixels, ellipse(center, (size * 0.24, size * 0.15), tilt=float(turn)), paint)
    fill(pixels, ellipse(at, (size * 0.17, size * 0.17)), np.array([226, 176, 60.0]))


def _blob(pixels: Pixels, rng: np.random.Generator) -> None:
    at, size = _sample_spot(pixels, rng)
    turns = np.arange(7) * 2 * np.pi / 7
    rim = np.stack([np.cos(turns), np.sin(turns)], axis=1) * rng.uniform(0.4, 1.1, (7, 1)) * size
    fill(pixels, smooth(rim + at, closed=True), _sample_color(rng))


_OBJECTS: tuple[Callable[[Pixels, np.random.Generator], None], ...] = (
    _plant, _mug, _clock, _window, _books, _ball, _house, _flower, _blob, _blob,
)  # fmt: skip
