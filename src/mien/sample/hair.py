"""Sketching hair behind the head and on it. In head units."""

import numpy as np
from numpy.typing import NDArray

from mien.sample.canvas import Sketch, color, mix
from mien.sample.curves import Points, band, ellipse, points, resample, smooth, taper
from mien.sample.geometry import Face

# Right half of each hairline, from the side of the head to the middle of the forehead.
_HAIRLINES = {
    "low": points((1.0, 0.02), (0.93, -0.3), (0.82, -0.6), (0.5, -0.8), (0, -0.84)),
    "crop": points((0.99, -0.1), (0.92, -0.42), (0.8, -0.66), (0.48, -0.82), (0, -0.86)),
    "receding": points((0.99, 0.02), (0.93, -0.35), (0.86, -0.68), (0.62, -1.02), (0, -0.9)),
    "bangs": points((1.0, 0.25), (0.95, -0.2), (0.86, -0.46), (0.5, -0.53), (0, -0.55)),
    "open": points((1.0, 0.3), (0.95, -0.15), (0.87, -0.5), (0.55, -0.8), (0, -0.92)),
}
# The hairline of each style, and its thickness above the skull at the side and on top.
_STYLES: dict[str, tuple[str, float, float]] = {
    "short": ("low", 0.05, 0.12), "side": ("low", 0.05, 0.17), "quiff": ("low", 0.04, 0.26),
    "spiky": ("low", 0.05, 0.2), "crop": ("crop", 0.015, 0.04), "receding": ("receding", 0.05, 0.06),
    "bangs": ("bangs", 0.12, 0.15), "long": ("open", 0.12, 0.15), "bob": ("open", 0.15, 0.16),
    "bun": ("low", 0.05, 0.09), "ponytail": ("low", 0.05, 0.1), "waves": ("open", 0.16, 0.18),
    "curly": ("low", 0.16, 0.22), "afro": ("low", 0.4, 0.42), "cap": ("low", 0.05, 0.05),
}  # fmt: skip
_SWEPT = ("side", "waves", "long", "bob", "quiff")
_SCALP_CENTER = np.array([0.0, -0.25])
_HIGHLIGHT = color(255, 236, 214)
# Fixed irregularities, so that painting itself uses no randomness.
_IRREGULARITIES = np.random.default_rng(11).uniform(0, 1, 256)


def sketch_back_hair(sketch: Sketch, face: Face) -> None:
    """Add the hair behind head and neck."""
    style, volume = face.identity.look.hair_style, face.identity.look.hair_volume
    shade = face.identity.palette.hair * 0.72
    if style == "ponytail":
        tail = points(
            (0.2, -0.4), (1.0, -0.35), (1.34, 0.2), (1.42, 0.9), (1.2, 1.7), (1.05, 1.0), (0.8, 0.3)
        )
        sketch.fill(smooth(tail * (_part_side(face), 1), closed=True), shade, lift=-0.5)
    elif style == "bun":
        sketch.fill(ellipse((0, -1.42), (0.42 * volume, 0.36 * volume)), shade, lift=-0.2)
    elif style in ("long", "waves", "bangs", "bob"):
        wide, low = 1.16 + 0.14 * volume, 1.75 + 0.4 * volume
        wave = 0.07 if style == "waves" else 0.0
        if style == "bob":
            side = points(
                (wide - 0.08, -0.5), (wide + 0.04, 0.2), (wide + 0.1, 0.7), (wide - 0.02, 1.12), (0.7, 1.2)
            )
        else:
            side = points(
                (wide - 0.06, -0.5), (wide + wave, 0.1), (wide - wave, 0.6), (wide + 0.05 + wave, 1.1),
                (wide - wave, 1.5), (wide - 0.08, low),
            )  # fmt: skip
        top = points((-0.8, -1.1), (0, -1.3), (0.8, -1.1))
        outline = np.concatenate([side, side[::-1] * (-1, 1), top])
        sketch.fill(smooth(outline, closed=True), shade, lift=-0.3)


def sketch_hair(sketch: Sketch, face: Face) -> None:
    """Add the hair on the head, over the face."""
    style, paint = face.identity.look.hair_style, face.identity.palette.hair
    if style == "bald":
        return
    crown, hairline = _crown(face), _hairline(face)
    if style == "crop":
        paint = mix(paint, face.identity.palette.skin * 0.7, 0.35)
    sketch.fill(np.concatenate([crown, hairline]), paint, lift=0.01)
    if style in ("curly", "afro"):
        radius = 0.13 if style == "curly" else 0.1
        for row, fraction in enumerate((0.0, 0.36, 0.72)):
            count = 15 - 2 * row
            centers = resample(crown, count) * (1 - fraction) + resample(hairline[::-1], count) * fraction
            for center, chance in zip(centers, _irregularities(face, count), strict=True):
                size = radius * (0.85 + 0.35 * chance)
                shade = np.clip(paint * (0.84 + 0.1 * row + 0.14 * chance), 0, 255)
                sketch.fill(ellipse(center, (size, size * 0.92), count=14), shade, lift=0.02)
    elif style != "crop":
        _sketch_strands(sketch, face, crown, hairline[::-1])


def _crown(face: Face) -> Points:
    """Return the outer edge of the hair, from the right side of the head over the top to the left."""
    style = face.identity.look.hair_style
    _, side, top = _STYLES[style]
    base = np.concatenate([points((1.01, 0.05)), face.skull, points((-1.01, 0.05))])
    spokes = base - _SCALP_CENTER
    height = np.clip((-base[:, 1] - 0.1) / 1.1, 0, 1)
    thickness = face.identity.look.hair_volume * (side + (top - side) * height)
    out = base + spokes * (thickness / np.hypot(spokes[:, 0], spokes[:, 1]))[:, None]
    if style in _SWEPT:  # higher on the side that it is combed from
        out[:, 1] -= 0.08 * np.exp(-(((out[:, 0] - 0.35 * _part_side(face)) / 0.45) ** 2))
    curve = smooth(out, steps=5)
    if style == "spiky":
        curve[2:-2:2] += (curve[2:-2:2] - _SCALP_CENTER) * 0.1
    return curve


def _part_side(face: Face) -> float:
    """Return 1 or -1 for the side of the part, which is the same for a person in all expressions."""
    return 1.0 if face.identity.look.hair_volume > 1 else -1.0


def _hairline(face: Face) -> Points:
    """Return the inner edge of the hair, from the left side of the head to the right."""
    style = face.identity.look.hair_style
    half = _HAIRLINES[_STYLES[style][0]].copy()
    half[:, 1] *= np.where(half[:, 1] < -0.4, face.identity.shape.forehead, 1.0)
    line = np.concatenate([half * (-1, 1), half[-2::-1]])
    if style in _SWEPT:
        x = line[:, 0] * _part_side(face)
        pull = 0.17 * np.exp(-(((x + 0.4) / 0.5) ** 2)) - 0.13 * np.exp(-(((x - 0.4) / 0.35) ** 2))
        line[:, 1] += pull * (np.abs(x) < 0.9)
    curve = smooth(line, steps=5)
    if style == "bangs":
        curve[5:-5, 1] += 0.035 * np.sin(np.arange(len(curve) - 10) * 2.1)
    return curve


def _irregularities(face: Face, count: int) -> NDArray[np.float64]:
    """Return numbers in [0, 1) that are always the same for a person."""
    start = int(face.identity.look.hair_volume * 1e6) % (256 - count)
    return _IRREGULARITIES[start : start + count]


def _sketch_strands(sketch: Sketch, face: Face, crown: Points, hairline: Points) -> None:
    """Add lighter and darker strands, combed from the part to both sides."""
    rim, foot = resample(crown, 33, even=False), resample(hairline, 33, even=False)
    middle = 16 - int(4 * _part_side(face)) * (face.identity.look.hair_style in _SWEPT)
    for index, chance in enumerate(_irregularities(face, 10).reshape(5, 2)):
        for side in (-1, 1):
            reach = 6 + int(6 * chance[0])
            steps = middle + side * np.arange(1, reach)
            steps = steps[(steps > 0) & (steps < 32)]
            if len(steps) < 4:
                continue
            fraction = 0.14 + 0.16 * index + 0.1 * chance[1] * np.linspace(-1, 1, len(steps))
            fraction = fraction[:, None].clip(0.06, 0.94)
            line = rim[steps] * (1 - fraction) + foot[steps] * fraction
            lighter = (index + (side > 0)) % 2 == 0
            shade = (
                mix(face.identity.palette.hair, _HIGHLIGHT, 0.1)
                if lighter
                else face.identity.palette.hair * 0.84
            )
            widths = 0.035 * (0.6 + chance[1]) * taper(len(line), start=0.05, end=0.05)
            sketch.fill(band(line, widths), shade, lift=0.03)
