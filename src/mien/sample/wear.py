"""Sketching neck, clothes, headwear, glasses and earrings. In head units."""

import numpy as np

from mien.sample.canvas import Sketch, color, mix
from mien.sample.curves import band, ellipse, points, shift, smooth, taper
from mien.sample.geometry import Face

_WHITE = color(255, 255, 255)
_DARK_LENS = color(30, 30, 36)


def sketch_body(sketch: Sketch, face: Face) -> None:
    """Add neck and shoulders, to a sketch that is projected by `View.project_body`."""
    identity, chin = face.identity, float(face.outline[8, 1])
    broad = 0.3 + 0.26 * identity.shape.jaw + 0.06 * identity.shape.brow_weight
    half = points((broad, 0.6), (broad * 0.98, chin + 0.3), (broad + 0.3, chin + 0.62))
    sketch.fill(np.concatenate([half, half[::-1] * (-1, 1)]), identity.palette.skin * 0.86)
    shadow = ellipse((0, chin - 0.14), (0.72, 0.4))
    sketch.fill(np.clip(shadow, (-broad, -9), (broad, 9)), identity.palette.skin * 0.72)
    side = points((broad + 0.14, chin + 0.3), (1.75, chin + 0.52), (2.5, chin + 0.95), (3.2, 5))
    collar = points((broad + 0.14, chin + 0.3), (0.42, chin + 0.5), (0, chin + 0.6))
    collar = np.concatenate([collar[:-1] * (-1, 1), collar[::-1]])
    edge = smooth(np.concatenate([side[:0:-1] * (-1, 1), collar, side[1:]]))
    sketch.fill(edge, identity.palette.cloth)
    sketch.fill(band(smooth(collar), 0.09), identity.palette.cloth * 0.8)


def sketch_beanie(sketch: Sketch, face: Face) -> None:
    """Add a beanie with a pompom, which hides all hair."""
    paint = face.identity.palette.accent
    dome = np.concatenate([points((1.06, -0.5)), face.skull[1:-1] * (1.12, 1.17), points((-1.06, -0.5))])
    brim = smooth(points((-1.06, -0.52), (-0.6, -0.64), (0, -0.68), (0.6, -0.64), (1.06, -0.52)))
    sketch.fill(ellipse((0, -1.5), (0.2, 0.19)), mix(paint, _WHITE, 0.5), lift=0.1)
    sketch.fill(np.concatenate([smooth(dome), brim]), paint)
    sketch.fill(band(shift(brim, 0, -0.1), 0.26), paint * 0.8, lift=0.05)
    for x in np.linspace(-0.9, 0.9, 13):
        top = -0.68 + 0.16 * x * x
        sketch.fill(band(points((x, top - 0.22), (x, top + 0.02)), 0.02), paint * 0.68, lift=0.06)


def sketch_cap(sketch: Sketch, face: Face) -> None:
    """Add a baseball cap: a dome over the hair, and a visor above the brows."""
    paint = face.identity.palette.accent
    dome = np.concatenate([points((1.05, -0.55)), face.skull[1:-1] * (1.1, 1.12), points((-1.05, -0.55))])
    edge = smooth(points((-1.05, -0.57), (-0.6, -0.72), (0, -0.77), (0.6, -0.72), (1.05, -0.57)))
    sketch.fill(np.concatenate([smooth(dome), edge]), paint, lift=0.03)
    for x in (-0.45, 0.0, 0.45):
        seam = smooth(points((x * 0.3, -1.36), (x * 0.8, -1.1), (x, -0.76)))
        sketch.fill(band(seam, 0.02), paint * 0.75, lift=0.04)
    sketch.fill(ellipse((0, -1.38), (0.07, 0.045), count=14), paint * 0.7, lift=0.05)
    low = smooth(points((0.86, -0.66), (0.6, -0.6), (0, -0.56), (-0.6, -0.6), (-0.86, -0.66)))
    sketch.fill(np.concatenate([edge[6:-6], low]), paint * 0.7, lift=0.22)


def sketch_scarf(sketch: Sketch, face: Face) -> None:
    """Add a headscarf, which hides all hair."""
    paint, chin = face.identity.palette.accent, float(face.outline[8, 1])
    outer = smooth(
        points((-0.1, -1.35), (0.3, -1.33), (0.78, -1.1), (1.12, -0.5), (1.18, 0.2), (1.08, 0.9), (0.9, chin + 0.2),
               (1.0, chin + 0.8), (-0.03, chin + 1.0))
    )  # fmt: skip
    inner = smooth(
        np.concatenate(
            [points((-0.03, -0.92), (0.55, -0.82), (0.93, -0.45)), face.outline[:7:-1] * (0.985, 1)]
        )
    )
    # Two halves that overlap in the middle: a single outline around a hole would show a seam.
    half = np.concatenate([outer, inner[::-1]])
    sketch.fill(half, paint)
    sketch.fill(half * (-1, 1), paint)
    for drop in (0.12, 0.34):
        fold = smooth(
            points(
                (-0.8, chin - 0.1 + drop),
                (-0.4, chin + 0.1 + drop),
                (0.1, chin + 0.2 + drop),
                (0.6, chin + drop),
            )
        )
        sketch.fill(band(fold, 0.05 * taper(len(fold), start=0, end=0)), paint * 0.82)


def sketch_earrings(sketch: Sketch, face: Face) -> None:
    """Add a stud in each ear."""
    for side in (-1.0, 1.0):
        stud = ellipse((side * 1.07, 0.46), (0.04, 0.06), count=12)
        sketch.fill(stud, mix(face.identity.palette.accent, color(255, 226, 150), 0.6), lift=-0.2)


def sketch_glasses(sketch: Sketch, face: Face) -> None:
    """Add round or square glasses, or sunglasses with square lenses."""
    identity = face.identity
    paint, width = mix(identity.palette.accent * 0.4, color(20, 20, 24), 0.4), 0.036
    for eye in face.eyes:
        center = (eye.center[0] * 1.04, 0.04)
        if identity.look.glasses == 1:
            rim = ellipse(center, (0.32, 0.29), count=32)
        else:
            box = points((-0.33, -0.2), (0, -0.23), (0.33, -0.2), (0.31, 0.18), (0, 0.22), (-0.31, 0.18))
            rim = smooth(box + center, closed=True)
        if identity.look.glasses == 3:
            sketch.fill(rim, _DARK_LENS, lift=0.13)
        sketch.fill(band(np.concatenate([rim, rim[:2]]), width), paint, lift=0.14)
        temple = points((center[0] + eye.side * 0.32, -0.02), (eye.side * 1.04, -0.06))
        sketch.fill(band(temple, width), paint, lift=0.02)
    bridge = smooth(points((-0.13, 0.0), (0, -0.035), (0.13, 0.0)))
    sketch.fill(band(bridge, width), paint, lift=0.16)
