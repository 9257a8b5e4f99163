"""What each class does to a face: movements of brows, eyes, mouth and jaw, with valence and arousal.

The movements follow the action units of FACS (Ekman & Friesen 1978): happiness is cheek raiser + lip corner
puller, fear is all brow units + lid raiser + lip stretcher, and so on. A class has several variants.
"""

from dataclasses import astuple, dataclass, field

import numpy as np

from mien.faces.classes import AFFECTNET_CLASSES, EXPRESSIONS_8


@dataclass(frozen=True, slots=True)
class Movement:
    """How far each part of a face is moved from rest; 0 is rest, 1 is strong.

    Attributes:
        brow_inner: inner ends of the brows up.
        brow_outer: outer ends of the brows up.
        brow_knit: brows drawn down and together.
        brow_asym: one brow up, the other down; positive raises the picture's right one.
        lid: upper lids: positive wide, -1 closed.
        squint: lower lids and cheeks up.
        wink: positive closes the picture's right eye, negative the left.
        gaze_x: eyes to the picture's right.
        gaze_y: eyes down.
        nose: wrinkled nose.
        smile: lip corners up, negative down.
        corner_asym: one corner up and tight; positive is the picture's right.
        stretch: mouth wide.
        pucker: mouth narrow and round.
        part: lips apart, teeth closed.
        jaw: jaw dropped.
        lip_up: upper lip raised.
        press: lips pressed thin.
        pout: lower lip and chin pushed up.
        tongue: tongue out.
        tear: a tear on a cheek.
    """

    brow_inner: float = 0.0
    brow_outer: float = 0.0
    brow_knit: float = 0.0
    brow_asym: float = 0.0
    lid: float = 0.0
    squint: float = 0.0
    wink: float = 0.0
    gaze_x: float = 0.0
    gaze_y: float = 0.0
    nose: float = 0.0
    smile: float = 0.0
    corner_asym: float = 0.0
    stretch: float = 0.0
    pucker: float = 0.0
    part: float = 0.0
    jaw: float = 0.0
    lip_up: float = 0.0
    press: float = 0.0
    pout: float = 0.0
    tongue: float = 0.0
    tear: float = 0.0


def blend(parts: list[tuple[float, Movement]]) -> Movement:
    """Return the weighted sum of movements."""
    total = sum(weight * np.array(astuple(movement)) for weight, movement in parts)
    return Movement(*np.asarray(total).tolist())


@dataclass(frozen=True, slots=True)
class _Variant:
    """One way to show a class: its share within the class, its movement, its valence and arousal."""

    share: float
    movement: Movement = field(default_factory=Movement)
    valence: float = 0.0
    arousal: float = 0.0


_M = Movement
_VARIANTS: dict[str, tuple[_Variant, ...]] = {
    "Neutral": (_Variant(1.0),),
    "Happy": (
        _Variant(0.35, _M(smile=0.85, squint=0.45, brow_outer=0.1), 0.60, 0.02),
        _Variant(0.45, _M(smile=1.0, squint=0.6, part=0.75, lip_up=0.2, stretch=0.3), 0.78, 0.22),
        _Variant(
            0.2,
            _M(smile=1.0, squint=0.9, lid=-0.75, jaw=0.55, part=0.5, stretch=0.35, brow_outer=0.3),
            0.86,
            0.55,
        ),
    ),
    "Sad": (
        _Variant(0.5, _M(brow_inner=0.95, brow_knit=0.25, lid=-0.3, smile=-0.8, gaze_y=0.3), -0.62, -0.32),
        _Variant(
            0.3,
            _M(brow_inner=0.8, brow_outer=-0.2, lid=-0.4, smile=-0.9, pout=0.8, gaze_y=0.6),
            -0.68,
            -0.25,
        ),
        _Variant(
            0.2,
            _M(brow_inner=1.0, brow_knit=0.4, squint=0.5, lid=-0.45, smile=-1.0, part=0.5, stretch=0.2, tear=1.0),
            -0.82,
            0.12,
        ),
    ),
    "Surprise": (
        _Variant(0.6, _M(brow_inner=0.9, brow_outer=1.0, lid=0.8, jaw=0.85, pucker=0.3), 0.12, 0.72),
        _Variant(
            0.25, _M(brow_inner=0.9, brow_outer=1.0, lid=0.9, jaw=0.4, pucker=0.65, part=0.2), 0.06, 0.62
        ),
        _Variant(0.15, _M(brow_inner=0.8, brow_outer=1.0, lid=0.8, jaw=0.8, smile=0.45), 0.42, 0.75),
    ),
    "Fear": (
        _Variant(
            0.6,
            _M(brow_inner=1.1, brow_outer=0.35, brow_knit=0.5, lid=0.95, stretch=0.8, part=0.75, smile=-0.5),
            -0.42,
            0.80,
        ),
        _Variant(
            0.4,
            _M(brow_inner=1.15, brow_outer=0.3, brow_knit=0.6, lid=1.0, stretch=0.6, jaw=0.6, part=0.2, smile=-0.55),
            -0.48,
            0.86,
        ),
    ),
    "Disgust": (
        _Variant(
            0.5,
            _M(nose=1.0, brow_knit=0.6, squint=0.75, lid=-0.3, lip_up=0.95, smile=-0.45, part=0.2),
            -0.66,
            0.32,
        ),
        _Variant(
            0.25,
            _M(nose=0.9, brow_knit=0.55, squint=0.8, lid=-0.4, jaw=0.4, tongue=1.0, lip_up=0.6, smile=-0.3),
            -0.72,
            0.42,
        ),
        _Variant(
            0.25,
            _M(nose=1.0, brow_knit=0.5, squint=0.7, lip_up=0.55, pout=0.7, smile=-0.7, gaze_x=0.4),
            -0.6,
            0.25,
        ),
    ),
    "Anger": (
        _Variant(0.45, _M(brow_knit=1.1, lid=0.25, squint=0.35, press=1.0, smile=-0.3), -0.58, 0.50),
        _Variant(
            0.3,
            _M(brow_knit=1.15, brow_outer=0.2, lid=0.4, squint=0.3, part=1.0, lip_up=0.5, stretch=0.4, nose=0.35),
            -0.66,
            0.72,
        ),
        _Variant(
            0.25,
            _M(brow_knit=1.2, brow_outer=0.2, lid=0.5, jaw=0.75, part=0.4, lip_up=0.4, nose=0.3, smile=-0.2),
            -0.70,
            0.88,
        ),
    ),
    "Contempt": (
        _Variant(0.6, _M(corner_asym=1.0, lid=-0.25, brow_asym=0.25, gaze_x=0.2), -0.52, 0.25),
        _Variant(0.4, _M(corner_asym=0.9, lid=-0.3, brow_asym=0.75, press=0.3, gaze_x=-0.5), -0.56, 0.35),
    ),
    "NoneOfEight": (
        _Variant(0.2, _M(jaw=0.45, part=0.3, tongue=0.0, brow_asym=0.3)),
        _Variant(0.15, _M(jaw=1.05, lid=-1.0, squint=0.5, brow_inner=0.4)),
        _Variant(0.2, _M(pucker=1.0, lid=-0.1, brow_outer=0.3)),
        _Variant(0.15, _M(wink=1.0, smile=0.25, corner_asym=0.3, tongue=0.0)),
        _Variant(0.15, _M(lid=-1.0)),
        _Variant(0.15, _M(tongue=1.0, jaw=0.45, smile=0.3)),
    ),
}  # fmt: skip

# An expression and its mirror image are the same.
_SIDED = ("brow_asym", "wink", "gaze_x", "corner_asym")

MEANS_NO_AFFECT = ("NoneOfEight", "Uncertain", "NonFace")


@dataclass(frozen=True, slots=True)
class Expression:
    """A movement as one face shows it, with its affect.

    Attributes:
        movement: of the face.
        valence: in [-1, 1], or None where AffectNet has none for the class.
        arousal: likewise.
    """

    movement: Movement
    valence: float | None
    arousal: float | None


def sample_expression(class_name: str, rng: np.random.Generator) -> Expression:
    """Draw one of the ways to show a class, at some intensity, with a person's own deviations.

    Args:
        class_name: one of AffectNet's classes but ``NonFace``.
        rng: source of randomness.

    Raises:
        ValueError: no face shows this class.
    """
    if class_name not in AFFECTNET_CLASSES or class_name == "NonFace":
        raise ValueError(f"`class_name` must be an AffectNet class with a face, got {class_name!r}")
    if class_name == "Uncertain":
        first, second = rng.choice(EXPRESSIONS_8[1:], 2, replace=False)
        parts = [_sample_variant(str(name), rng).movement for name in (first, second)]
        movement = blend([(rng.uniform(0.25, 0.55), part) for part in parts])
        return Expression(_deviate(movement, rng), None, None)
    variant = _sample_variant(class_name, rng)
    intensity = 0.4 + 0.7 * rng.beta(2.4, 1.6)
    movement = _deviate(blend([(intensity, variant.movement)]), rng)
    if class_name in MEANS_NO_AFFECT:
        return Expression(movement, None, None)
    affect = np.array([variant.valence, variant.arousal]) * min(1.0, 0.25 + 0.8 * intensity)
    affect += rng.normal(0, 0.06, 2)
    affect /= max(1.0, float(np.hypot(*affect)))
    return Expression(movement, round(float(affect[0]), 4), round(float(affect[1]), 4))


def _sample_variant(class_name: str, rng: np.random.Generator) -> _Variant:
    variants = _VARIANTS[class_name]
    return variants[rng.choice(len(variants), p=[variant.share for variant in variants])]


def _deviate(movement: Movement, rng: np.random.Generator) -> Movement:
    """Add what differs from person to person, and mirror half of the faces."""
    names = Movement.__slots__
    values = np.array(astuple(movement))
    loose = ~np.isin(names, ("tongue", "tear", "wink", "nose", "corner_asym"))
    values = values * rng.normal(1, 0.12, len(values)) + loose * rng.normal(0, 0.05, len(values))
    if rng.random() < 0.5:
        values[np.isin(names, _SIDED)] *= -1
    values[names.index("gaze_x")] += rng.normal(0, 0.25)
    values[names.index("gaze_y")] += rng.normal(0, 0.12)
    return Movement(*values.tolist())
