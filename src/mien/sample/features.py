"""Sketching nose, mouth, eyes and brows. In head units."""

import math

import numpy as np

from mien.sample.canvas import Color, Sketch, color, mix
from mien.sample.curves import Points, band, ellipse, points, shift, smooth, taper
from mien.sample.geometry import Eye, Face

_WHITE = color(250, 247, 242)
_DARK = color(34, 22, 24)
_ACROSS = np.linspace(-1, 1, 21)
_MIDDLE = 10
_INNER_EDGE = _ACROSS * 0.88
_CORNERS = np.array([-1.0, 1.0])
_CLOSED_GAP = 0.035  # an eye or mouth with a smaller gap is painted as closed


def sketch_nose(sketch: Sketch, face: Face) -> None:
    """Add nostrils and alar creases."""
    skin, nose = face.identity.palette.skin, face.nose
    deep = mix(skin * 0.35, color(90, 30, 30), 0.35)
    for side, wing, inner in ((-1.0, 4, 5), (1.0, 8, 7)):
        middle = shift(0.5 * (nose[wing] + nose[inner]), -side * 0.012, 0.008)
        hole = ellipse(middle, (0.058 * face.identity.shape.nose_width, 0.026), tilt=-side * 0.25, count=14)
        sketch.fill(hole, deep, lift=0.1)
        alar = smooth(nose[wing] + points((0, -0.11), (side * 0.035, -0.05), (side * 0.015, 0.01)))
        sketch.fill(band(alar, 0.024 * taper(len(alar))), skin * 0.72, lift=0.06)


def sketch_mouth(sketch: Sketch, face: Face) -> None:
    """Add the lips, with the teeth and the tongue if the mouth is open."""
    mouth, lips = face.mouth, face.identity.palette.lips
    top, bottom = mouth.inner(_INNER_EDGE, upper=True), mouth.inner(_INNER_EDGE, upper=False)
    corners = mouth.inner(_CORNERS, upper=True)
    upper = np.concatenate([mouth.outer(_ACROSS, upper=True), corners[1:], top[::-1], corners[:1]])
    lower = np.concatenate([mouth.outer(_ACROSS, upper=False), corners[1:], bottom[::-1], corners[:1]])
    gap = float((bottom - top)[:, 1].max())
    if gap > 0.02:
        _sketch_opening(sketch, face, top, bottom, gap)
    sketch.fill(lower, lips)
    sketch.fill(upper, lips * 0.86)
    shine = points((-0.3, 0), (0, 0.012), (0.3, 0)) * (mouth.half_width, 1)
    shine = smooth(shift(shine, 0, bottom[_MIDDLE, 1] + 0.42 * mouth.lower_lip))
    sketch.fill(band(shine, mouth.lower_lip * 0.3 * taper(len(shine))), mix(lips, _WHITE, 0.2))
    if gap <= _CLOSED_GAP:
        seam = np.concatenate([corners[:1], 0.5 * (top + bottom), corners[1:]])
        widths = 0.026 * taper(len(seam), start=0.5, end=0.5)
        sketch.fill(band(seam, widths), mix(lips * 0.42, _DARK, 0.3))
    if face.movement.tongue > 0.4:
        width = mouth.half_width * 0.5
        y = float(mouth.inner(np.zeros(1), upper=True)[0, 1]) + 0.4 * mouth.open_down
        reach = mouth.open_down + mouth.lower_lip + 0.08
        half = points((width, y), (width * 1.02, y + reach * 0.65), (width * 0.5, y + reach))
        tongue = smooth(np.concatenate([half, half[::-1] * (-1, 1)]), closed=True)
        sketch.fill(tongue, color(214, 104, 110), lift=0.04)
        groove = points((0, y + 0.06), (0, y + reach * 0.75))
        sketch.fill(band(groove, 0.02), color(176, 72, 82), lift=0.04)


def _sketch_opening(sketch: Sketch, face: Face, top: Points, bottom: Points, gap: float) -> None:
    """Add what is visible between the lips, given their inner edges: tongue and teeth."""
    mouth, m = face.mouth, face.movement
    opening = np.concatenate([top, bottom[::-1]])
    layers: list[tuple[Points, Color]] = [(opening, color(70, 20, 26))]
    if m.tongue <= 0.4:
        tongue = ellipse((0, bottom[_MIDDLE, 1] + 0.02), (mouth.half_width * 0.6, min(0.15, 0.45 * gap)))
        layers.append((tongue, color(196, 88, 92)))
    if m.pucker < 0.5:
        is_clenched = m.jaw < 0.3 and gap < 0.24
        height = 0.62 * gap if is_clenched else min(0.105, 0.5 * gap)
        if is_clenched or m.part > 0.3:
            low = shift(bottom, 0, -0.34 * gap if is_clenched else 0.05)
            layers.append((np.concatenate([shift(bottom, 0, 0.1), low[::-1]]), _WHITE * 0.86))
        middle = top[_MIDDLE, 1]
        edge = shift(top * (1, 0.8), 0, 0.2 * middle)
        layers.append((np.concatenate([shift(edge, 0, -0.1), shift(edge[::-1], 0, height)]), _WHITE))
        for position in (-0.6, -0.36, -0.12, 0.12, 0.36, 0.6):
            x = position * mouth.half_width * 0.8
            layers.append((band(points((x, middle - 0.05), (x, middle + height)), 0.008), _WHITE * 0.9))
    layers.append((np.concatenate([shift(top, 0, -0.1), shift(top[::-1], 0, 0.02)]), color(120, 70, 70)))
    sketch.fill_inside(opening, layers)


def sketch_eye(sketch: Sketch, face: Face, eye: Eye) -> None:
    """Add an eye with its lids and lashes."""
    identity = face.identity
    upper, lower = eye.lid(_ACROSS, upper=True), eye.lid(_ACROSS, upper=False)
    is_open = eye.upper + eye.lower > _CLOSED_GAP
    if is_open:
        sketch.fill_inside(np.concatenate([upper, lower[::-1]]), _eyeball(face, eye, upper))
        sketch.fill(band(lower[3:-3], 0.014), identity.palette.skin * 0.68)
        fold = shift(upper[1:-1], 0, -0.05)
        sketch.fill(band(fold, 0.018 * taper(len(fold), start=0.1, end=0.1)), identity.palette.skin * 0.66)
    rim = mix(identity.palette.skin * 0.3, _DARK, 0.6)
    widths = (0.03 + 0.022 * identity.look.lashes) * taper(len(upper), start=0.3, end=0.6)[:: int(eye.side)]
    sketch.fill(band(upper, widths), rim)
    if identity.look.lashes > 0.35:
        length = 0.075 * identity.look.lashes
        roots = eye.lid(eye.side * np.array([0.62, 0.8, 0.96]), upper=True)
        down = -1.0 if is_open else 1.0  # the lashes of a closed eye point down
        for root, lean in zip(roots, (0.4, 0.7, 1.0), strict=True):
            tip = shift(root, length * eye.side * lean, length * down * 0.75)
            lash = np.array([root, shift(0.5 * (root + tip), eye.side * 0.008, 0.006), tip])
            sketch.fill(band(lash, np.array([0.03, 0.02, 0.006])), rim)


def _eyeball(face: Face, eye: Eye, upper: Points) -> list[tuple[Points, Color]]:
    """Return the layers of an eyeball, given the edge of its upper lid."""
    iris, radius = face.identity.palette.iris, 0.104
    x = eye.center[0] + 0.075 * float(np.clip(face.movement.gaze_x, -1, 1))
    y = eye.center[1] - 0.018 + 0.045 * float(np.clip(face.movement.gaze_y, -1, 1))

    def disc(dx: float, dy: float, size: float) -> Points:
        return ellipse((x + dx, y + dy), (size, size), count=18)

    shade = np.concatenate([shift(upper, 0, -0.1), shift(upper[::-1], 0, 0.035)])
    around = points((-0.4, -0.5), (0.4, -0.5), (0.4, 0.5), (-0.4, 0.5)) + eye.center
    return [
        (around, _WHITE),
        (disc(0, 0, radius), iris * 0.5),
        (disc(0, 0, radius * 0.88), iris),
        (disc(0, 0.035, radius * 0.5), mix(iris, _WHITE, 0.25)),
        (shade, mix(iris * 0.4, color(150, 130, 130), 0.6)),
        (disc(0, 0, radius * 0.48), _DARK * 0.6),
        (disc(-0.034, -0.036, 0.03), _WHITE),
        (disc(0.04, 0.04, 0.014), mix(iris, _WHITE, 0.7)),
    ]


def sketch_brow(sketch: Sketch, face: Face, brow: Points) -> None:
    """Add a brow along its five landmarks."""
    line = smooth(brow, steps=5)
    side = math.copysign(1.0, brow[2, 0])
    from_inner = np.linspace(0, 1, len(line))[:: int(side)]
    widths = np.interp(from_inner, [0, 0.12, 0.4, 0.75, 1], [0.55, 0.95, 1.0, 0.75, 0.15])
    sketch.fill(band(line, widths * 0.095 * face.identity.shape.brow_weight), face.identity.palette.brows)


def sketch_tear(sketch: Sketch, face: Face) -> None:
    """Add a tear below the left eye, if there is one."""
    if face.movement.tear <= 0.3:
        return
    eye = face.eyes[0]
    x, y = eye.center[0] - 0.05, eye.center[1] + eye.lower + 0.16
    half = points((0.04, 0), (0.035, 0.05))
    drop = np.concatenate([points((0, -0.11)), half, points((0, 0.075)), half[::-1] * (-1, 1)])
    sketch.fill(shift(smooth(drop, closed=True), x, y), color(168, 208, 236), lift=0.02)
    sketch.fill(ellipse((x - 0.012, y + 0.025), (0.012, 0.018), count=8), _WHITE, lift=0.02)
