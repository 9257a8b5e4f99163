"""Drawn faces of which one trait is changed and nothing else: expression, pose, light, background and grain stay the same."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.faces.classes import EXPRESSIONS_8
from mien.sample.canvas import Color, color
from mien.sample.identity import HEADWEAR, SKIN_COLORS, Identity, with_skin
from mien.sample.image import draw_image

_Change = Callable[[Identity], Identity]


class DrawnFace(NamedTuple):
    """A drawn face at one level of one trait.

    Attributes:
        class_name: the expression that is drawn.
        number: index of the face, the same for all its variants.
        trait: a key of `TRAITS`.
        level: a key of its levels.
        image_rgb: ``(H, W, 3)`` uint8 RGB.
        box_xyxy: ``(4,)`` the face box in pixels.
        landmarks: ``(68, 2)`` in pixels.
    """

    class_name: str
    number: int
    trait: str
    level: str
    image_rgb: NDArray[np.uint8]
    box_xyxy: NDArray[np.float64]
    landmarks: NDArray[np.float64]


def _look(**values: object) -> _Change:
    return lambda person: person._replace(look=person.look._replace(**values))  # type: ignore[arg-type]


def _hair(hair: Color) -> _Change:
    brows = hair * 0.72
    return lambda person: person._replace(palette=person.palette._replace(hair=hair, brows=brows))


def _skin(tone: int) -> _Change:
    return lambda person: with_skin(person, SKIN_COLORS[tone])


# What changes in answer to next to nothing: the crop is moved by this fraction of the face's width.
CONTROL, CONTROL_SHIFT = "crop (control)", 0.01
# The levels of each trait; the first is what the others are compared with.
TRAITS: dict[str, dict[str, _Change]] = {
    "skin tone": {"light": _skin(1), "medium": _skin(3), "brown": _skin(5), "dark": _skin(7)},
    "hair color": {
        "brown": _hair(color(84, 54, 36)),
        "black": _hair(color(34, 28, 30)),
        "blond": _hair(color(204, 160, 96)),
        "gray": _hair(color(206, 204, 202)),
    },
    "hairstyle": {
        "short": _look(hair_style="short"),
        "long": _look(hair_style="long"),
        "bangs": _look(hair_style="bangs"),
        "bald": _look(hair_style="bald"),
    },
    "glasses": {
        "none": _look(glasses=0),
        "round": _look(glasses=1),
        "square": _look(glasses=2),
        "sunglasses": _look(glasses=3),
    },
    "headwear": {
        "none": _look(hair_style="short"),
        "beanie": _look(hair_style="beanie"),
        "headscarf": _look(hair_style="scarf"),
        "cap": _look(hair_style="cap"),
    },
    "age lines": {"none": _look(age=0.0), "some": _look(age=0.7), "deep": _look(age=1.0)},
}


@dataclass(frozen=True, slots=True)
class DrawnVariants:
    """Faces at every level of every trait, drawn one after the other as they are iterated over.

    Attributes:
        n_faces: number of faces, in turn of the eight expressions; each is drawn once for each level of each trait.
        seed: seed of the faces.
    """

    n_faces: int
    seed: int = 0

    def __len__(self) -> int:
        """Return the number of images; the two of the control are one that is drawn."""
        return self.n_faces * (sum(len(levels) for levels in TRAITS.values()) + 2)

    def __iter__(self) -> Iterator[DrawnFace]:
        """Draw the images."""
        for number in range(self.n_faces):
            class_name = EXPRESSIONS_8[number % len(EXPRESSIONS_8)]
            for trait, levels in TRAITS.items():
                for level, change in levels.items():
                    yield _draw(class_name, self.seed, number, (trait, level), change)
            plain = _draw(class_name, self.seed, number, (CONTROL, "as it is"), lambda person: person)
            yield plain
            by = np.array([CONTROL_SHIFT * (plain.box_xyxy[2] - plain.box_xyxy[0]), 0.0])
            moved = plain._replace(level="moved by 1%", landmarks=plain.landmarks + by)
            yield moved._replace(box_xyxy=plain.box_xyxy + np.tile(by, 2))


def _draw(class_name: str, seed: int, number: int, place: tuple[str, str], change: _Change) -> DrawnFace:
    def person(sampled: Identity) -> Identity:
        # A face in headwear has no hair, and no earrings, that the other traits may concern.
        is_covered = sampled.look.hair_style in HEADWEAR
        return change(_look(hair_style="short")(sampled) if is_covered else sampled)

    image = draw_image(class_name, seed=seed, index=number, change=person)
    if image.landmarks is None:
        raise ValueError(f"`class_name` must be an expression, got {class_name!r}")
    left, top, width, height = image.box_xywh
    box_xyxy = np.array([left, top, left + width, top + height], dtype=np.float64)
    return DrawnFace(class_name, number, *place, image.pixels, box_xyxy, image.landmarks)
