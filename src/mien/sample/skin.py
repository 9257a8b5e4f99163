"""Sketching the skin of a face: head and ears, beard, soft shadows, wrinkles. In head units."""

import numpy as np

from mien.sample.canvas import Sketch, color, mix
from mien.sample.curves import Points, band, ellipse, points, shift, smooth, taper
from mien.sample.geometry import Face

_EAR = smooth(
    points((0.97, -0.08), (1.06, -0.2), (1.15, -0.12), (1.15, 0.08), (1.09, 0.28), (1.03, 0.4), (0.95, 0.38)),
    closed=True,
    steps=4,
)
_EAR_INSIDE = smooth(
    points((1.02, -0.04), (1.07, -0.11), (1.1, -0.02), (1.07, 0.16), (1.02, 0.22)), closed=True, steps=3
)


def sketch_skin(sketch: Sketch, face: Face) -> None:
    """Add the ears and the bald head; the landmarks of the jaw are points of its outline."""
    skin = face.identity.palette.skin
    for side in (-1.0, 1.0):
        sketch.fill(_EAR * (side, 1), skin * 0.95, lift=-0.22)
        sketch.fill(_EAR_INSIDE * (side, 1), mix(skin, color(150, 60, 50), 0.26), lift=-0.22)
    sketch.skin(smooth(np.concatenate([face.outline, face.skull]), closed=True, steps=4), skin)


def sketch_beard(sketch: Sketch, face: Face) -> None:
    """Add stubble, a full beard, a mustache or a goatee."""
    kind, mouth, jaw = face.identity.look.beard, face.mouth, face.outline
    paint = mix(face.identity.palette.hair * 0.85, face.identity.palette.skin, 0.14)
    lip = float(mouth.outer(np.zeros(1), upper=True)[0, 1])
    if kind in ("stubble", "full"):
        rim = shift(jaw[2:15] * (1.015, 1.0), 0, 0.03 if kind == "full" else 0.0)
        cheek = points(
            (0.8, 0.5), (0.62, 0.66), (0.42, lip - 0.08), (0.16, lip - 0.12), (0, lip - 0.09),
            (-0.16, lip - 0.12), (-0.42, lip - 0.08), (-0.62, 0.66), (-0.8, 0.5),
        )  # fmt: skip
        outline = smooth(np.concatenate([rim, cheek]), closed=True, steps=4)
        if kind == "full":
            sketch.fill(outline, paint)
        else:
            sketch.shade(outline, 0.3, softness=1)
    if kind in ("mustache", "goatee"):
        wide = mouth.half_width * 1.05
        line = smooth(
            points(
                (-wide, lip + 0.07),
                (-wide * 0.5, lip - 0.035),
                (0, lip - 0.03),
                (wide * 0.5, lip - 0.035),
                (wide, lip + 0.07),
            )
        )
        sketch.fill(band(line, 0.13 * taper(len(line), start=0.2, end=0.2)), paint)
    if kind == "goatee":
        low, chin = float(mouth.outer(np.zeros(1), upper=False)[0, 1]), jaw[8, 1]
        tuft = points(
            (-0.22, low + 0.08),
            (0, low + 0.05),
            (0.22, low + 0.08),
            (0.24, chin - 0.04),
            (0, chin + 0.05),
            (-0.24, chin - 0.04),
        )
        sketch.fill(smooth(tuft, closed=True), paint)


def shade_skin(sketch: Sketch, face: Face, *, light_x: float) -> None:
    """Add shadows, highlights and the redness of the cheeks.

    Args:
        sketch: sketch of the face, in head units.
        face: its geometry.
        light_x: direction of the light, from -1 (left of the image) to 1 (right).
    """
    nose, mouth = face.nose, face.mouth
    smile = max(0.0, face.movement.smile)
    warm = 0.1 + 0.35 * face.identity.look.blush + 0.25 * smile
    for side in (-1.0, 1.0):
        is_dark = (side < 0) == (light_x > 0)
        sketch.shade(ellipse((side * 0.4, -0.1), (0.27, 0.16)), 0.22, softness=1)
        cheek_hollow = points(
            (side * 0.98, 0.1), (side * 0.75, 0.55), (side * 0.62, 1.15), (side * 0.95, 0.75)
        )
        sketch.shade(cheek_hollow, 0.32 if is_dark else 0.2, softness=2)
        glow = 0.06 if is_dark else 0.12
        sketch.shade(ellipse((side * 0.5, 0.3), (0.2, 0.12)), -glow - 0.1 * smile, softness=1)
        sketch.blush(ellipse((side * 0.56, 0.44 - 0.05 * smile), (0.22, 0.16)), warm)
    sketch.blush(ellipse((0, 0.44), (0.12, 0.1)), 0.5 * warm)

    dark = -1.0 if light_x > 0 else 1.0
    bridge = points((0.05, -0.1), (0.17, -0.02), (0.1, 0.2), (0.22, nose[4, 1]), (0.08, nose[3, 1]))
    sketch.shade(bridge * (dark, 1), 0.3, softness=0, lift=0.12)
    ridge = band(nose[:4], np.array([0.05, 0.06, 0.08, 0.13]))
    sketch.shade(ridge, -0.16, softness=0, lift=0.17)
    top, low = nose[4, 1], nose[6, 1] + 0.1
    sketch.shade(points((-0.18, top), (0.18, top), (0.12, low), (-0.12, low)), 0.36, softness=0, lift=0.06)
    sketch.shade(ellipse((0.25 * light_x, -0.72), (0.45, 0.2)), -0.1, softness=2)
    lip = float(mouth.outer(np.zeros(1), upper=False)[0, 1])
    chin_hollow = ellipse(
        (0, lip + 0.07), (mouth.half_width * 0.62, 0.045 + 0.02 * max(0.0, face.movement.pout))
    )
    sketch.shade(chin_hollow, 0.42, softness=0)
    chin = ellipse((0.06 * light_x, (lip + face.outline[8, 1]) / 2 + 0.06), (0.16, 0.09))
    sketch.shade(chin, -0.1, softness=1)


def shade_folds(sketch: Sketch, face: Face) -> None:
    """Add the folds from the nose to the mouth, dimples, and the bulge of a frown."""
    m = face.movement
    for side, corner in zip((-1.0, 1.0), face.mouth.inner(np.array([-1.0, 1.0]), upper=True), strict=True):
        raised = max(0.0, m.smile) + 0.9 * max(0.0, m.lip_up) + 1.1 * max(0.0, m.corner_asym * side)
        fold = smooth(
            points(
                (side * (abs(face.nose[4, 0]) + 0.03), face.nose[4, 1] - 0.07),
                (side * 0.36, face.nose[4, 1] + 0.1),
                (corner[0] + side * 0.1, corner[1] - 0.03),
                (corner[0] + side * 0.09, corner[1] + 0.08),
            )
        )
        strength = 0.08 + 0.16 * face.identity.look.age + 0.36 * min(1.3, raised)
        sketch.shade(band(fold, 0.07 * taper(len(fold))), min(0.6, strength), softness=0)
        dimple = 0.2 + 0.3 * max(0.0, -m.smile) + 0.2 * m.press + 0.15 * max(0.0, m.corner_asym * side)
        sketch.shade(
            ellipse((corner[0] + side * 0.035, corner[1] + 0.01), (0.035, 0.045)), dimple, softness=0
        )
    if m.brow_knit > 0.2:
        sketch.shade(ellipse((0, -0.24), (0.2, 0.13)), 0.3 * m.brow_knit, softness=1, lift=0.05)


def sketch_wrinkles(sketch: Sketch, face: Face) -> None:
    """Add the creases of age and expression."""
    m, age = face.movement, face.identity.look.age
    height = max(0.0, 0.5 * (m.brow_inner + m.brow_outer))
    strength = max(0.0, height - 0.3) + 0.35 * max(0.0, age - 0.5)
    if strength > 0.15:
        for row in range(3):
            y = -0.62 - 0.1 * height - 0.1 * row
            line = smooth(
                points(
                    (-0.42, y + 0.02), (-0.2, y - 0.015), (0, y + 0.01), (0.2, y - 0.015), (0.42, y + 0.02)
                )
            )
            _crease(sketch, line, 0.022, 0.3 * min(1.0, strength))
    if m.brow_knit > 0.35:
        for side in (-1.0, 1.0):
            line = smooth(points((side * 0.075, -0.42), (side * 0.055, -0.3), (side * 0.085, -0.2)))
            _crease(sketch, line, 0.026, 0.5 * min(1.0, m.brow_knit))

    if m.nose > 0.3:
        for row in range(3):
            y = 0.02 + 0.075 * row
            line = smooth(points((-0.13, y + 0.03), (-0.05, y - 0.015), (0.05, y - 0.015), (0.13, y + 0.03)))
            _crease(sketch, line, 0.022, 0.4 * m.nose)
    crow = 0.35 * max(0.0, m.squint) * (0.3 + age) + 0.25 * max(0.0, age - 0.55)
    if crow > 0.1:
        x = 0.7 * face.identity.shape.eye_gap
        for side in (-1.0, 1.0):
            for slope in (-0.06, 0.0, 0.06):
                line = smooth(points((side * x, 0.01 + slope * 0.5), (side * (x + 0.11), slope * 1.4)))
                _crease(sketch, line, 0.018, min(0.4, crow))


def _crease(sketch: Sketch, line: Points, width: float, strength: float) -> None:
    sketch.crease(band(line, width * taper(len(line))), strength)


def sketch_freckles(sketch: Sketch, face: Face) -> None:
    """Add freckles on nose and cheeks."""
    # A fixed pattern that depends on the proportions: painting itself uses no randomness.
    angles = np.arange(22) * 2.39996 + face.identity.shape.eye_gap * 40
    radii = np.sqrt((np.arange(22) + 0.5) / 22)
    for x, y in zip(0.62 * radii * np.cos(angles), 0.36 + 0.2 * radii * np.sin(angles), strict=True):
        sketch.crease(ellipse((x, y), (0.018, 0.015), count=8), 0.3)
