"""The person in a drawing: proportions, colors, hair and accessories, independent of the expression."""

from typing import NamedTuple

import numpy as np

from mien.sample.canvas import Color, color, mix

SKIN_COLORS = (
    color(255, 222, 200), color(247, 208, 180), color(238, 190, 155), color(224, 172, 132),
    color(198, 142, 102), color(166, 114, 78), color(132, 88, 60), color(98, 64, 45),
)  # fmt: skip
_HAIR_COLORS = (
    color(34, 28, 30), color(52, 36, 30), color(84, 54, 36), color(122, 80, 48), color(150, 72, 40),
    color(204, 160, 96), color(232, 200, 140),
)  # fmt: skip
_GRAY_HAIR_COLORS = (color(150, 148, 148), color(206, 204, 202), color(238, 236, 232))
_DYE_COLORS = (color(214, 96, 130), color(64, 120, 160), color(110, 84, 160), color(70, 140, 120))
_IRIS_COLORS = (
    color(74, 46, 30), color(98, 62, 36), color(126, 92, 50), color(96, 118, 78), color(84, 122, 156),
    color(110, 128, 138),
)  # fmt: skip

LONG_STYLES = ("long", "bob", "bun", "ponytail", "bangs", "curly", "waves")
SHORT_STYLES = ("short", "side", "crop", "quiff", "spiky", "receding", "bald", "curly", "afro")
HEADWEAR = ("beanie", "scarf")
BEARDS = ("none", "stubble", "full", "mustache", "goatee")


class Palette(NamedTuple):
    """A person's colors; ``accent`` is for headwear, jewelry and glasses."""

    skin: Color
    lips: Color
    hair: Color
    brows: Color
    iris: Color
    cloth: Color
    accent: Color


class Shape(NamedTuple):
    """A person's proportions at rest: factors around 1, except for those listed.

    Attributes:
        eye_tilt: how far the outer corners of the eyes are raised, in head units.
        brow_height: height of the brows above the eyes, in head units.
        brow_rest: how far the inner ends of the brows are raised, in head units.
        mouth_rest: how far the corners of the mouth are raised, as a fraction of a smile.
        lid_rest: how far the upper lids are raised, as a fraction of wide open.
    """

    jaw: float
    chin: float
    length: float
    forehead: float
    eye_width: float
    eye_height: float
    eye_tilt: float
    eye_gap: float
    brow_height: float
    brow_weight: float
    brow_arch: float
    brow_rest: float
    nose_width: float
    nose_length: float
    mouth_width: float
    lip_fullness: float
    mouth_rest: float
    lid_rest: float


class Look(NamedTuple):
    """A person's hair, age and accessories.

    Attributes:
        hair_style: one of `LONG_STYLES`, `SHORT_STYLES` or `HEADWEAR`, or ``cap``.
        hair_volume: factor around 1.
        beard: one of `BEARDS`.
        glasses: 0 none, 1 round, 2 square, 3 sunglasses.
        earrings: whether earrings are worn.
        freckles: whether there are freckles.
        blush: redness of the cheeks, 0 to 1.
        lashes: length of the lashes, 0 to 1.
        age: 0 is young, 1 is old: wrinkles and gray hair.
    """

    hair_style: str
    hair_volume: float
    beard: str
    glasses: int
    earrings: bool
    freckles: bool
    blush: float
    lashes: float
    age: float


class Identity(NamedTuple):
    """A person."""

    palette: Palette
    shape: Shape
    look: Look


def with_skin(person: Identity, skin: Color) -> Identity:
    """Return a person with another skin tone, which also shows in lips without lipstick and in the brows.

    Args:
        person: whom to change.
        skin: one of `SKIN_COLORS`.
    """
    darkness = next(i for i, tone in enumerate(SKIN_COLORS) if tone is skin) / (len(SKIN_COLORS) - 1)
    brows = person.palette.brows + 0.25 * 0.45 * (skin - person.palette.skin)
    lips = _natural_lips(skin) * (1 - 0.12 * darkness)
    return person._replace(
        palette=person.palette._replace(skin=skin, lips=lips, brows=np.clip(brows, 5, 250))
    )


def _natural_lips(skin: Color) -> Color:
    return mix(skin, color(176, 62, 66), 0.42)


def sample_identity(rng: np.random.Generator) -> Identity:
    """Sample a person. Traits that are correlated in people are mostly correlated here."""
    rugged = float(np.clip(rng.normal(0.5, 0.4), 0, 1))
    age = float(rng.beta(1.2, 2.2))
    palette = _sample_palette(age, rugged, rng)
    shape = _sample_shape(rugged, rng)
    styles: tuple[str, ...] = SHORT_STYLES if rng.random() < 2.5 * rugged - 0.75 else LONG_STYLES
    if rng.random() < 0.06:
        styles = HEADWEAR
    bearded = rng.random() < 1.3 * (rugged - 0.55)
    look = Look(
        hair_style=str(rng.choice(styles)),
        hair_volume=float(rng.uniform(0.75, 1.25)),
        beard=str(rng.choice(BEARDS[1:])) if bearded and styles is SHORT_STYLES else "none",
        glasses=int(rng.integers(1, 3)) if rng.random() < 0.13 + 0.12 * age else 0,
        earrings=bool(rng.random() < 0.35 * (1 - rugged)),
        freckles=bool(rng.random() < 0.08),
        blush=float(rng.uniform(0.1, 0.8)),
        lashes=float(np.clip(1.1 - rugged * 1.1 + rng.normal(0, 0.15), 0, 1)),
        age=age,
    )
    return Identity(palette, shape, look)


def _sample_palette(age: float, rugged: float, rng: np.random.Generator) -> Palette:
    tone = rng.beta(1.1, 1.5) * (len(SKIN_COLORS) - 1)
    below = min(int(tone), len(SKIN_COLORS) - 2)
    skin = mix(SKIN_COLORS[below], SKIN_COLORS[below + 1], tone - below) + rng.normal(0, 4, 3)
    darkness = tone / (len(SKIN_COLORS) - 1)
    hair = _HAIR_COLORS[
        min(len(_HAIR_COLORS) - 1, int(rng.beta(1.1, 1.2 + 5 * darkness) * len(_HAIR_COLORS)))
    ]
    if rng.random() < age * 1.3 - 0.45:
        hair = _GRAY_HAIR_COLORS[rng.integers(len(_GRAY_HAIR_COLORS))]
    natural = hair
    if rng.random() < 0.05:
        hair = _DYE_COLORS[rng.integers(len(_DYE_COLORS))]
    hair = np.clip(hair + rng.normal(0, 6, 3), 10, 245)
    painted = rng.random() < 0.45 * (1 - rugged)
    rose = mix(color(190, 40, 60), color(200, 80, 110), rng.random())
    lips = mix(_natural_lips(skin), rose, 0.65 if painted else 0.0)
    eye = _IRIS_COLORS[min(len(_IRIS_COLORS) - 1, int(rng.beta(1.0, 1.1 + 5 * darkness) * len(_IRIS_COLORS)))]
    return Palette(
        skin=np.clip(skin, 30, 255),
        lips=lips * (1 - 0.12 * darkness),
        hair=hair,
        brows=mix(natural * 0.72, skin * 0.45, 0.25),
        iris=eye,
        cloth=_sample_muted_color(rng),
        accent=_sample_muted_color(rng),
    )


def _sample_muted_color(rng: np.random.Generator) -> Color:
    hue = rng.uniform(0, 2 * np.pi)
    wheel = 0.5 + 0.5 * np.cos(hue + np.array([0, 2.1, 4.2]))
    return np.asarray(rng.uniform(50, 210) * (0.55 + 0.45 * wheel) + 20)


def _sample_shape(rugged: float, rng: np.random.Generator) -> Shape:
    def around(mean: float, std: float) -> float:
        return float(mean + std * np.clip(rng.normal(), -2, 2))

    return Shape(
        jaw=around(0.94 + 0.12 * rugged, 0.05),
        chin=around(0.85 + 0.3 * rugged, 0.12),
        length=around(1.0, 0.05),
        forehead=around(1.0, 0.05),
        eye_width=around(1.04 - 0.06 * rugged, 0.05),
        eye_height=around(1.08 - 0.16 * rugged, 0.12),
        eye_tilt=around(0.02, 0.025),
        eye_gap=around(1.0, 0.04),
        brow_height=around(0.37 - 0.05 * rugged, 0.022),
        brow_weight=around(0.7 + 0.55 * rugged, 0.16),
        brow_arch=around(1.1 - 0.5 * rugged, 0.25),
        brow_rest=around(0.0, 0.02),
        nose_width=around(0.94 + 0.12 * rugged, 0.13),
        nose_length=around(1.0, 0.08),
        mouth_width=around(1.0, 0.08),
        lip_fullness=around(1.1 - 0.3 * rugged, 0.16),
        mouth_rest=around(0.03, 0.09),
        lid_rest=around(0.0, 0.08),
    )
