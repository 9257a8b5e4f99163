"""The geometry of a face: the 68 landmarks and the curves through them.

Head units: half the width of a face is 1, the origin is between the eyes, x points right, y down and z to the
viewer. `View` rotates a head and projects it into an image. Faces are painted along these curves and the landmarks
are points on them, so the landmarks are exact.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.sample.curves import Points, join, resample, smooth
from mien.sample.expressions import Movement
from mien.sample.identity import Identity, Shape

# Right half of the outline, from eye level to the chin.
_OUTLINE = np.array(
    [[1.0, -0.06], [0.995, 0.22], [0.955, 0.5], [0.86, 0.8], [0.68, 1.08], [0.42, 1.3], [0.2, 1.38], [0, 1.4]]
)
_SKULL = np.array(
    [[1.0, -0.35], [0.93, -0.68], [0.74, -0.98], [0.4, -1.17], [0, -1.23],
     [-0.4, -1.17], [-0.74, -0.98], [-0.93, -0.68], [-1.0, -0.35]]
)  # fmt: skip

# The head has the depth of an egg around (0, 0.12) with radii 1.02 and 1.42.
_EGG_SCALE = np.array([1 / 1.02, 1 / 1.42])
_EGG_SHIFT = np.array([0.0, 0.12 / 1.42])

# Positions along the mouth, from -1 to 1 at its corners, of points 48-59 and 60-67.
_LIP_POSITIONS = np.array([-1, -0.6, -0.22, 0, 0.22, 0.6, 1, 0.58, 0.25, 0, -0.25, -0.58])
_INNER_POSITIONS = np.array([-0.88, -0.28, 0, 0.28, 0.88, 0.28, 0, -0.28])
_INNER_CORNER = 0.88


@dataclass(frozen=True, slots=True)
class View:
    """How a head is seen.

    Attributes:
        center: ``(2,)`` pixels of the head's origin before it is turned.
        scale: pixels per head unit.
        yaw: rotation toward the right of the image in radians.
        pitch: rotation down in radians.
        roll: clockwise rotation in radians.
    """

    center: Points
    scale: float
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0

    def project(self, flat: Points, lift: float | NDArray[np.float64] = 0.0) -> Points:
        """Return the pixels of points on the head.

        Args:
            flat: ``(N, 2)`` head units, as seen from the front.
            lift: height above the surface of the head, one number or ``(N,)``.
        """
        squares = (flat * _EGG_SCALE - _EGG_SHIFT) ** 2
        z = 0.75 * np.sqrt(np.maximum(0.0, 1 - squares[:, 0] - squares[:, 1])) + lift
        turned = flat * (math.cos(self.yaw), math.cos(self.pitch))
        turned += z[:, None] * (math.sin(self.yaw), math.sin(self.pitch))
        return self._rotate(turned, self.roll)

    def project_body(self, flat: Points, _lift: float | NDArray[np.float64] = 0.0) -> Points:
        """Return the pixels of points on neck and shoulders, which tilt slightly with the head but do not turn."""
        return self._rotate(flat, 0.4 * self.roll)

    def _rotate(self, turned: Points, angle: float) -> Points:
        cos, sin = self.scale * math.cos(angle), self.scale * math.sin(angle)
        return np.asarray(turned @ np.array([[cos, sin], [-sin, cos]]) + self.center)


@dataclass(frozen=True, slots=True)
class Eye:
    """One eye in head units.

    Attributes:
        side: -1 for the eye on the left of the image, 1 for the one on the right.
        center: midpoint between the corners.
        half_width: half the width of the opening.
        upper: height of the upper lid above the line between the corners.
        lower: depth of the lower lid below that line.
        tilt: how far the outer corner is raised.
    """

    side: float
    center: tuple[float, float]
    half_width: float
    upper: float
    lower: float
    tilt: float

    def lid(self, positions: NDArray[np.float64], *, upper: bool) -> Points:
        """Return points of a lid.

        Args:
            positions: from -1 at the left corner to 1 at the right one.
            upper: which lid.
        """
        height = -self.upper if upper else self.lower
        # The upper lid is highest toward the nose, the lower one lowest toward the temple.
        lean = (-0.14 if upper else 0.18) * self.side
        bent = positions - lean * (1 - positions**2)
        y = height * (1 - np.abs(bent) ** 2.3) ** 0.85 - self.tilt * self.side * positions
        return join(self.center[0] + self.half_width * positions, self.center[1] + y)

    def landmarks(self) -> Points:
        """Return its six landmarks in head units, ``(6, 2)``."""
        upper = self.lid(np.array([-1, -0.38, 0.38, 1]), upper=True)
        return np.concatenate([upper, self.lid(np.array([0.38, -0.38]), upper=False)])


@dataclass(frozen=True, slots=True)
class Mouth:
    """The mouth in head units, as the parameters of its four curves.

    Attributes:
        center_y: where the closed lips meet.
        half_width: distance from the middle to a corner.
        lift_left: how far the left corner is raised.
        lift_right: how far the right corner is raised.
        sag: how far the middle is lowered, as in a smile.
        open_up: height of the inner upper lip above the closed line.
        open_down: depth of the inner lower lip below the closed line.
        roundness: 0 for a slit with pointed corners, 1 for an oval.
        upper_lip: thickness of the upper lip.
        lower_lip: thickness of the lower lip.
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

    def inner(self, positions: NDArray[np.float64], *, upper: bool) -> Points:
        """Return points of the inner edge of a lip; positions from -1 to 1 between the outer corners."""
        return join(positions * self.half_width, self._inner_y(positions, upper=upper))

    def outer(self, positions: NDArray[np.float64], *, upper: bool) -> Points:
        """Return points of the outer edge of a lip; positions from -1 to 1 between the outer corners."""
        far = np.abs(positions)
        if upper:
            bow = 1 - 0.2 * np.exp(-((positions / 0.13) ** 2))
            thickness = -self.upper_lip * np.maximum(0, 1 - far**2.0) ** 0.85 * bow
        else:
            thickness = self.lower_lip * np.maximum(0, 1 - far**2.4) ** 0.9
        return join(positions * self.half_width, self._inner_y(positions, upper=upper) + thickness)

    def _inner_y(self, positions: NDArray[np.float64], *, upper: bool) -> NDArray[np.float64]:
        lift = np.where(positions < 0, self.lift_left, self.lift_right)
        line = self.center_y + self.sag - (lift + self.sag) * np.abs(positions) ** 1.7
        opened = np.maximum(0, 1 - np.abs(positions / _INNER_CORNER) ** 2.2) ** (1 - 0.5 * self.roundness)
        return np.asarray(line + (-self.open_up if upper else self.open_down) * opened)


@dataclass(frozen=True, slots=True)
class Face:
    """A person's face in an expression, in head units.

    Attributes:
        identity: the person.
        movement: movement of the expression.
        outline: ``(17, 2)`` jaw, landmarks 0-16.
        skull: ``(9, 2)`` top of the bald head, from the right temple to the left one.
        brows: two of ``(5, 2)``, landmarks 17-21 and 22-26.
        eyes: left and right.
        nose: ``(9, 2)`` landmarks 27-35.
        nose_lift: ``(9,)`` height of the nose points above the surface of the head.
        mouth: curves of the lips.
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
        flat = [
            self.outline,
            *self.brows,
            self.nose,
            *(eye.landmarks() for eye in self.eyes),
            self.mouth.outer(_LIP_POSITIONS[:7], upper=True),
            self.mouth.outer(_LIP_POSITIONS[7:], upper=False),
            self.mouth.inner(_INNER_POSITIONS[:5], upper=True),
            self.mouth.inner(_INNER_POSITIONS[5:], upper=False),
        ]
        lift = np.zeros(68)
        lift[27:36] = self.nose_lift
        return view.project(np.concatenate(flat), lift)


def build_face(identity: Identity, movement: Movement) -> Face:
    """Return the geometry of a person's face in an expression."""
    shape = identity.shape
    right = _OUTLINE.copy()
    depth = right[:, 1].clip(0) / 1.4
    right[:, 0] *= 1 + (shape.jaw - 1) * depth * 1.6
    right[4:, 0] *= np.array([1.0, 1.0, shape.chin, 1.0]) * (1 + 0.04 * max(0.0, movement.smile))
    right[:, 1] *= shape.length
    right[:, 1] += depth**3 * (0.24 * max(0.0, movement.jaw) - 0.04 * max(0.0, movement.pout))
    half = resample(smooth(right), 9)

    tip = 0.43 * shape.nose_length * shape.length - 0.045 * max(0.0, movement.nose)
    width = 0.21 * shape.nose_width * (1 + 0.14 * max(0.0, movement.nose) + 0.08 * max(0.0, movement.smile))
    base = tip + 0.105 - 0.02 * max(0.0, movement.nose)
    bridge = [[0, y] for y in np.linspace(0.0, tip, 4)]
    wings = [
        [-width, base - 0.015], [-width * 0.52, base + 0.018], [0, base + 0.038],
        [width * 0.52, base + 0.018], [width, base - 0.015],
    ]  # fmt: skip
    return Face(
        identity,
        movement,
        outline=np.concatenate([half[:-1] * (-1, 1), half[::-1]]),
        skull=_SKULL * (1.0, shape.forehead),
        brows=(_brow(-1.0, shape, movement), _brow(1.0, shape, movement)),
        eyes=(_eye(-1.0, shape, movement), _eye(1.0, shape, movement)),
        nose=np.array(bridge + wings, dtype=np.float64),
        nose_lift=np.array([0.03, 0.1, 0.18, 0.26, 0.06, 0.13, 0.17, 0.13, 0.06]),
        mouth=_mouth(shape, movement),
    )


def _brow(side: float, shape: Shape, movement: Movement) -> Points:
    """Return five points of a brow, from left to right in the image."""
    t = np.linspace(0, 1, 5)  # from the inner end to the outer one
    knit = movement.brow_knit
    asym = movement.brow_asym * side
    inner = 0.13 * movement.brow_inner - 0.13 * knit + shape.brow_rest
    outer = 0.13 * movement.brow_outer - 0.03 * knit - 0.6 * shape.brow_rest
    up = inner * (1 - t) ** 1.3 + outer * t**0.8 + 0.09 * asym * np.sin(math.pi * (0.2 + 0.7 * t))
    up = up + 0.06 * shape.brow_arch * np.sin(math.pi * t**1.2) - 0.03 * t**3
    x = (0.17 - 0.05 * max(0.0, knit)) + 0.57 * shape.eye_width * t
    brow = join(side * (x + 0.42 * (shape.eye_gap - 1)), -shape.brow_height - up)
    return brow if side > 0 else brow[::-1]


def _eye(side: float, shape: Shape, movement: Movement) -> Eye:
    closing = np.clip(movement.wink * side, 0, 1)
    lid = movement.lid + shape.lid_rest
    openness = 1 + (0.42 * lid if lid > 0 else lid) - 0.3 * max(0.0, movement.brow_knit) * 0.35
    openness = max(0.0, openness) * (1 - closing)
    squint = np.clip(movement.squint + 0.5 * closing, -0.3, 1.2)
    height = 0.118 * shape.eye_height
    lower = 0.072 * shape.eye_height * (1 - 0.75 * squint + 0.1 * max(0.0, movement.lid))
    upper = height * openness * (1 - 0.18 * max(0.0, squint))
    if openness < 0.18:  # a closed eye: the upper lid rests on the lower one, curved up in laughter
        lower = 0.05 * (1 - 2.2 * max(0.0, squint)) * shape.eye_height
        upper = -lower + 0.004
    return Eye(
        side,
        center=(side * 0.42 * shape.eye_gap, 0.0),
        half_width=0.205 * shape.eye_width,
        upper=float(upper),
        lower=float(lower),
        tilt=shape.eye_tilt,
    )


def _mouth(shape: Shape, movement: Movement) -> Mouth:
    m = movement
    smile = m.smile + shape.mouth_rest
    grin, jaw, pucker = max(0.0, smile), max(0.0, m.jaw), np.clip(m.pucker, 0, 1.2)
    part, press, pout = max(0.0, m.part), np.clip(m.press, 0, 1.1), max(0.0, m.pout)
    width = 0.36 * shape.mouth_width * (1 + 0.2 * grin + 0.22 * m.stretch - 0.42 * pucker - 0.16 * jaw)
    full = shape.lip_fullness * (1 - 0.62 * press) * (1 + 0.3 * pucker)
    lift = 0.12 * smile if smile > 0 else 0.105 * smile
    side_left, side_right = max(0.0, -m.corner_asym), max(0.0, m.corner_asym)
    return Mouth(
        center_y=0.83 * shape.length - 0.05 * max(0.0, m.lip_up) - 0.035 * pout + 0.02 * jaw,
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


def sample_view(face: Face, size_wh: tuple[int, int], rng: np.random.Generator) -> View:
    """Sample a view of a head with all of its landmarks inside the image."""
    yaw = float(np.clip(rng.normal(0, 0.2), -0.45, 0.45))
    pitch = float(np.clip(rng.normal(0.02 + 0.06 * face.movement.gaze_y, 0.1), -0.25, 0.3))
    roll = float(np.radians(np.clip(rng.normal(0, 7), -20, 20)))
    width, height = size_wh
    scale = float(min(width, height) * rng.uniform(0.24, 0.335))
    view = View(np.zeros(2), scale, yaw, pitch, roll)
    landmarks = face.landmarks(view)
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    middle = np.array([width, 1.14 * height]) / 2 - 0.5 * (low + high)
    offset = rng.normal(0, 0.07, 2) * size_wh
    center = np.clip(middle + offset, 2 - low, np.array(size_wh) - 2 - high)
    return View(center, scale, yaw, pitch, roll)
