"""Where everything of a face is: the 68 landmarks and the curves through them.

Head units: half of a face's width is 1, the origin lies between the eyes, x to the right, y down, z to the
viewer. `View` turns a head and puts it into an image. What is painted is painted along these curves, and the
landmarks are points of them: there is nothing to agree or disagree.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.sample.curves import Points, join, resample, smooth
from mien.sample.expressions import Movement
from mien.sample.identity import Identity

# Right half of the outline from eye level to the chin; widths in column 0.
_OUTLINE = np.array(
    [[1.0, -0.06], [0.995, 0.22], [0.955, 0.5], [0.86, 0.8], [0.68, 1.08], [0.42, 1.3], [0.2, 1.38], [0, 1.4]]
)
_SKULL = np.array(
    [[1.0, -0.35], [0.93, -0.68], [0.74, -0.98], [0.4, -1.17], [0, -1.23],
     [-0.4, -1.17], [-0.74, -0.98], [-0.93, -0.68], [-1.0, -0.35]]
)  # fmt: skip

# The head's depth is that of an egg around (0, 0.12) with these radii.
_EGG_SCALE = np.array([1 / 1.02, 1 / 1.42])
_EGG_SHIFT = np.array([0.0, 0.12 / 1.42])

# Places along the mouth, -1 and 1 being its corners, of points 48-59 and 60-67.
_LIP_PLACES = np.array([-1, -0.6, -0.22, 0, 0.22, 0.6, 1, 0.58, 0.25, 0, -0.25, -0.58])
_INNER_PLACES = np.array([-0.88, -0.28, 0, 0.28, 0.88, 0.28, 0, -0.28])
_INNER_CORNER = 0.88
_LID_PLACES = np.array([-1, -0.38, 0.38, 1, 0.38, -0.38])


@dataclass(frozen=True, slots=True)
class View:
    """How a head is seen.

    Attributes:
        center: ``(2,)`` pixels where the head's origin would be, were it not turned.
        scale: pixels per head unit.
        yaw: turn to the image's right, radians.
        pitch: turn down, radians.
        roll: tilt clockwise, radians.
    """

    center: Points
    scale: float
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0

    def place(self, flat: Points, lift: float | NDArray[np.float64] = 0.0) -> Points:
        """Return pixels of points on the head.

        Args:
            flat: ``(N, 2)`` head units, as seen from the front.
            lift: how far they stand out of the head's surface, one number or ``(N,)``.
        """
        squares = (flat * _EGG_SCALE - _EGG_SHIFT) ** 2
        z = 0.75 * np.sqrt(np.maximum(0.0, 1 - squares[:, 0] - squares[:, 1])) + lift
        turned = flat * (math.cos(self.yaw), math.cos(self.pitch))
        turned += z[:, None] * (math.sin(self.yaw), math.sin(self.pitch))
        return self._tilt(turned, self.roll)

    def place_body(self, flat: Points, _lift: float | NDArray[np.float64] = 0.0) -> Points:
        """Return pixels of points on neck and shoulders, which tilt with the head a little and do not turn."""
        return self._tilt(flat, 0.4 * self.roll)

    def _tilt(self, turned: Points, angle: float) -> Points:
        cos, sin = self.scale * math.cos(angle), self.scale * math.sin(angle)
        return np.asarray(turned @ np.array([[cos, sin], [-sin, cos]]) + self.center)


@dataclass(frozen=True, slots=True)
class Eye:
    """One eye in head units; ``side`` is -1 for the image's left one.

    Attributes:
        side: -1 or 1.
        center: middle between the corners.
        half_width: of the opening.
        upper: height of the upper lid above the corners' line.
        lower: depth of the lower lid below it.
        tilt: outer corner up.
    """

    side: float
    center: tuple[float, float]
    half_width: float
    upper: float
    lower: float
    tilt: float

    def lid(self, places: NDArray[np.float64], *, upper: bool) -> Points:
        """Return points of a lid.

        Args:
            places: -1 at the left corner to 1 at the right one.
            upper: which lid.
        """
        height = -self.upper if upper else self.lower
        # the upper lid is highest toward the nose, the lower one lowest toward the temple
        lean = (-0.14 if upper else 0.18) * self.side
        bent = places - lean * (1 - places**2)
        y = height * (1 - np.abs(bent) ** 2.3) ** 0.85 - self.tilt * self.side * places
        return join(self.center[0] + self.half_width * places, self.center[1] + y)


@dataclass(frozen=True, slots=True)
class Mouth:
    """The mouth in head units, as numbers that its four lines are computed from.

    Attributes:
        center_y: where the closed lips meet.
        half_width: from the middle to a corner.
        lift_left: left corner up.
        lift_right: right corner up.
        sag: the middle down, as in a smile.
        open_up: inner upper lip above the closed line.
        open_down: inner lower lip below it.
        roundness: 0 for a slit with pointed corners, 1 for an oval.
        upper_lip: thickness.
        lower_lip: thickness.
    """

    center_y: float
    half_width: float
    lift_left: float
    lift_right: float
    sag: float
    open_up: float
    open_down: float
    roundness: float
    upper_lip: float
    lower_lip: float

    def inner(self, places: NDArray[np.float64], *, upper: bool) -> Points:
        """Return points of the inner edge of a lip; places from -1 to 1 between the outer corners."""
        return self._at(places, self._inner_y(places, upper=upper))

    def outer(self, places: NDArray[np.float64], *, upper: bool) -> Points:
        """Return points of the outer edge of a lip; places from -1 to 1 between the outer corners."""
        far = np.abs(places)
        if upper:
            bow = 1 - 0.2 * np.exp(-((places / 0.13) ** 2))
            thickness = -self.upper_lip * np.maximum(0, 1 - far**2.0) ** 0.85 * bow
        else:
            thickness = self.lower_lip * np.maximum(0, 1 - far**2.4) ** 0.9
        return self._at(places, self._inner_y(places, upper=upper) + thickness)

    def _at(self, places: NDArray[np.float64], y: NDArray[np.float64]) -> Points:
        return join(places * self.half_width, y)

    def _inner_y(self, places: NDArray[np.float64], *, upper: bool) -> NDArray[np.float64]:
        lift = np.where(places < 0, self.lift_left, self.lift_right)
        line = self.center_y + self.sag - (lift + self.sag) * np.abs(places) ** 1.7
        opened = np.maximum(0, 1 - np.abs(places / _INNER_CORNER) ** 2.2) ** (1 - 0.5 * self.roundness)
        return np.asarray(line + (-self.open_up if upper else self.open_down) * opened)


@dataclass(frozen=True, slots=True)
class Face:
    """A person's face in an expression, in head units.

    Attributes:
        identity: the person.
        movement: the expression's movement.
        outline: ``(17, 2)`` the jaw, landmarks 0-16.
        skull: ``(9, 2)`` the bald top of the head, from the right temple to the left one.
        brows: two of ``(5, 2)``, landmarks 17-21 and 22-26.
        eyes: the two.
        nose: ``(9, 2)`` landmarks 27-35.
        nose_lift: ``(9,)`` how far these stand out.
        mouth: its lines.
    """

    identity: Identity
    movement: Movement
    outline: Points
    skull: Points
    brows: tuple[Points, Points]
    eyes: tuple[Eye, Eye]
    nose: Points
    nose_lift: NDArray[np.float64]
    mouth: Mouth

    def landmarks(self, view: View) -> Points:
        """Return the 68 landmarks in pixels, ``(68, 2)``."""
        upper, lower = _LIP_PLACES[:7], _LIP_PLACES[7:]
        flat = [
            self.outline,
            *self.brows,
            self.nose,
            *(_eye_landmarks(eye) for eye in self.eyes),
            self.mouth.outer(upper, upper=True),
            self.mouth.outer(lower, upper=False),
            self.mouth.inner(_INNER_PLACES[:5], upper=True),
            self.mouth.inner(_INNER_PLACES[5:], upper=False),
        ]
        lift = np.zeros(68)
        lift[27:36] = self.nose_lift
        return view.place(np.concatenate(flat), lift)


def _eye_landmarks(eye: Eye) -> Points:
    return np.concatenate([eye.lid(_LID_PLACES[:4], upper=True), eye.lid(_LID_PLACES[4:], upper=False)])


def build_face(identity: Identity, movement: Movement) -> Face:
    """Return the geometry of a person's face in an expression."""
    nose, nose_lift = _nose(identity, movement)
    return Face(
        identity,
        movement,
        outline=_outline(identity, movement),
        skull=_SKULL * (1.0, identity.shape.forehead),
        brows=(_brow(-1.0, identity, movement), _brow(1.0, identity, movement)),
        eyes=(_eye(-1.0, identity, movement), _eye(1.0, identity, movement)),
        nose=nose,
        nose_lift=nose_lift,
        mouth=_mouth(identity, movement),
    )


def _outline(identity: Identity, movement: Movement) -> Points:
    right = _OUTLINE.copy()
    depth = right[:, 1].clip(0) / 1.4
    right[:, 0] *= 1 + (identity.shape.jaw - 1) * depth * 1.6
    right[4:, 0] *= np.array([1.0, 1.0, identity.shape.chin, 1.0]) * (1 + 0.04 * max(0.0, movement.smile))
    right[:, 1] *= identity.shape.length
    right[:, 1] += depth**3 * (0.24 * max(0.0, movement.jaw) - 0.04 * max(0.0, movement.pout))
    half = resample(smooth(right), 9)
    return np.concatenate([half[:-1] * (-1, 1), half[::-1]])


def _brow(side: float, identity: Identity, movement: Movement) -> Points:
    """Return five points of a brow, from the image's left to its right."""
    t = np.linspace(0, 1, 5)  # from the inner end to the outer one
    knit = movement.brow_knit
    asym = movement.brow_asym * side
    inner = 0.13 * movement.brow_inner - 0.13 * knit + identity.shape.brow_rest
    outer = 0.13 * movement.brow_outer - 0.03 * knit - 0.6 * identity.shape.brow_rest
    up = inner * (1 - t) ** 1.3 + outer * t**0.8 + 0.09 * asym * np.sin(math.pi * (0.2 + 0.7 * t))
    up = up + 0.06 * identity.shape.brow_arch * np.sin(math.pi * t**1.2) - 0.03 * t**3
    x = (0.17 - 0.05 * max(0.0, knit)) + 0.57 * identity.shape.eye_width * t
    brow = join(side * (x + 0.42 * (identity.shape.eye_gap - 1)), -identity.shape.brow_height - up)
    return brow if side > 0 else brow[::-1]


def _eye(side: float, identity: Identity, movement: Movement) -> Eye:
    closing = np.clip(movement.wink * side, 0, 1)
    lid = movement.lid + identity.shape.lid_rest
    open_share = 1 + (0.42 * lid if lid > 0 else lid) - 0.3 * max(0.0, movement.brow_knit) * 0.35
    open_share = max(0.0, open_share) * (1 - closing)
    squint = np.clip(movement.squint + 0.5 * closing, -0.3, 1.2)
    height = 0.118 * identity.shape.eye_height
    lower = 0.072 * identity.shape.eye_height * (1 - 0.75 * squint + 0.1 * max(0.0, movement.lid))
    upper = height * open_share * (1 - 0.18 * max(0.0, squint))
    if open_share < 0.18:  # a closed eye: the upper lid lies on the lower one, bent up when it laughs
        lower = 0.05 * (1 - 2.2 * max(0.0, squint)) * identity.shape.eye_height
        upper = -lower + 0.004
    return Eye(
        side,
        center=(side * 0.42 * identity.shape.eye_gap, 0.0),
        half_width=0.205 * identity.shape.eye_width,
        upper=float(upper),
        lower=float(lower),
        tilt=identity.shape.eye_tilt,
    )


def _nose(identity: Identity, movement: Movement) -> tuple[Points, NDArray[np.float64]]:
    tip = 0.43 * identity.shape.nose_length * identity.shape.length - 0.045 * max(0.0, movement.nose)
    width = (
        0.21
        * identity.shape.nose_width
        * (1 + 0.14 * max(0.0, movement.nose) + 0.08 * max(0.0, movement.smile))
    )
    base = tip + 0.105 - 0.02 * max(0.0, movement.nose)
    bridge = [[0, y] for y in np.linspace(0.0, tip, 4)]
    wings = [
        [-width, base - 0.015], [-width * 0.52, base + 0.018], [0, base + 0.038],
        [width * 0.52, base + 0.018], [width, base - 0.015],
    ]  # fmt: skip
    lift = np.array([0.03, 0.1, 0.18, 0.26, 0.06, 0.13, 0.17, 0.13, 0.06])
    return np.array(bridge + wings, dtype=np.float64), lift


def _mouth(identity: Identity, movement: Movement) -> Mouth:
    m = movement
    smile = m.smile + identity.shape.mouth_rest
    grin, jaw, pucker = max(0.0, smile), max(0.0, m.jaw), np.clip(m.pucker, 0, 1.2)
    part, press, pout = max(0.0, m.part), np.clip(m.press, 0, 1.1), max(0.0, m.pout)
    width = (
        0.36 * identity.shape.mouth_width * (1 + 0.2 * grin + 0.22 * m.stretch - 0.42 * pucker - 0.16 * jaw)
    )
    full = identity.shape.lip_fullness * (1 - 0.62 * press) * (1 + 0.3 * pucker)
    lift = 0.12 * smile if smile > 0 else 0.105 * smile
    side_left, side_right = max(0.0, -m.corner_asym), max(0.0, m.corner_asym)
    return Mouth(
        center_y=0.83 * identity.shape.length - 0.05 * max(0.0, m.lip_up) - 0.035 * pout + 0.02 * jaw,
        half_width=float(width),
        lift_left=lift + 0.13 * side_left - 0.015 * side_right,
        lift_right=lift + 0.13 * side_right - 0.015 * side_left,
        sag=0.045 * grin - 0.03 * max(0.0, -smile) - 0.03 * pout,
        open_up=0.055 * part + 0.035 * jaw + 0.05 * max(0.0, m.lip_up) * min(1.0, part + jaw),
        open_down=0.075 * part + 0.3 * jaw + 0.035 * pucker,
        roundness=float(np.clip(0.9 * pucker + 0.8 * jaw + 0.6 * part, 0, 1)),
        upper_lip=0.085 * full * (1 - 0.2 * grin) * (1 - 0.25 * max(0.0, m.lip_up)),
        lower_lip=0.115 * full * (1 - 0.2 * grin) * (1 + 0.35 * pout),
    )
