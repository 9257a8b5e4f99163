"""One image of the sample set: a drawn face with a background, or a scene without a face."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.faces.images import encode_jpeg
from mien.sample.action_units import action_unit_levels
from mien.sample.canvas import Pixels, Sketch
from mien.sample.expressions import sample_expression
from mien.sample.features import sketch_brow, sketch_eye, sketch_mouth, sketch_nose, sketch_tear
from mien.sample.geometry import Face, View, build_face, sample_view
from mien.sample.hair import sketch_back_hair, sketch_hair
from mien.sample.identity import Identity, sample_identity
from mien.sample.light import apply_light, sample_light
from mien.sample.scenes import paint_background, paint_scene
from mien.sample.skin import (
    shade_folds,
    shade_skin,
    sketch_beard,
    sketch_freckles,
    sketch_skin,
    sketch_wrinkles,
)
from mien.sample.wear import (
    sketch_beanie,
    sketch_body,
    sketch_cap,
    sketch_earrings,
    sketch_glasses,
    sketch_scarf,
)


@dataclass(frozen=True, slots=True)
class Image:
    """A drawn image and its ground truth.

    Attributes:
        class_name: one of AffectNet's classes.
        jpeg: contents of the file.
        pixels: ``(H, W, 3)`` uint8 RGB, before JPEG compression.
        box_xywh: face box in integer pixels, inside the image.
        landmarks: ``(68, 2)`` in pixels, or None if there is no face.
        valence: in [-1, 1], or None if AffectNet has none for the class.
        arousal: as valence.
        action_units: intensity of each of `action_units.UNIT_NAMES`, or None if there is no face.
    """

    class_name: str
    jpeg: bytes
    pixels: NDArray[np.uint8]
    box_xywh: tuple[int, int, int, int]
    landmarks: NDArray[np.float64] | None
    valence: float | None
    arousal: float | None
    action_units: tuple[int, ...] | None = None


def draw_image(
    class_name: str, *, seed: int, index: int, change: Callable[[Identity], Identity] = lambda person: person
) -> Image:
    """Draw an image. The same class, seed and index give the same bytes, in any order and process.

    Args:
        class_name: one of AffectNet's classes.
        seed: seed of the set.
        index: index of the image in the set, 0 or more.
        change: returns the person to draw in place of the sampled one. It may change colors and `Look`, on which nothing else
            in the image depends; other proportions would give other landmarks.
    """
    rng = np.random.default_rng([seed, index])
    size = rng.integers(200, 421, 2) if rng.random() < 0.5 else np.repeat(rng.integers(200, 421), 2)
    size_wh = (int(size[0]), int(size[1]))
    if class_name == "NonFace":
        light = sample_light(rng)
        pixels = apply_light(paint_scene(size_wh, rng), light, None, background=None, rng=rng)
        side = int(min(size_wh) * rng.uniform(0.5, 0.95))
        left, top = (int(rng.integers(0, length - side + 1)) for length in size_wh)
        jpeg = encode_jpeg(pixels, light.quality)
        return Image("NonFace", jpeg, pixels, (left, top, side, side), None, None, None)
    expression = sample_expression(class_name, rng)
    face = build_face(change(sample_identity(rng)), expression.movement)
    view = sample_view(face, size_wh, rng)
    light = sample_light(rng)
    background = paint_background(size_wh, rng)
    painted = background.copy()
    paint_head(painted, face, view, light_x=light.x)
    pixels = apply_light(painted, light, view, background=background, rng=rng)
    landmarks = face.landmarks(view)
    return Image(
        class_name,
        encode_jpeg(pixels, light.quality),
        pixels,
        _sample_box(landmarks, size_wh, rng),
        landmarks,
        expression.valence,
        expression.arousal,
        action_unit_levels(expression.movement),
    )


def paint_head(pixels: Pixels, face: Face, view: View, *, light_x: float) -> None:
    """Paint a head with hair and accessories, evenly lit, on pixels, which are changed in place.

    Args:
        pixels: ``(H, W, 3)`` uint8 RGB.
        face: its geometry.
        view: how it is seen.
        light_x: direction of the light, from -1 (left of the image) to 1 (right).
    """
    back, body, head = Sketch(), Sketch(), Sketch()
    look = face.identity.look
    sketch_back_hair(back, face)
    sketch_body(body, face)
    sketch_skin(head, face)
    if look.beard != "none":
        sketch_beard(head, face)
    shade_skin(head, face, light_x=light_x)
    shade_folds(head, face)
    sketch_wrinkles(head, face)
    if look.freckles:
        sketch_freckles(head, face)
    sketch_nose(head, face)
    sketch_mouth(head, face)
    for eye in face.eyes:
        sketch_eye(head, face, eye)
    for brow in face.brows:
        sketch_brow(head, face, brow)
    sketch_tear(head, face)
    if look.hair_style == "beanie":
        sketch_beanie(head, face)
    elif look.hair_style == "scarf":
        sketch_scarf(head, face)
    else:
        sketch_hair(head, face)
        if look.earrings:
            sketch_earrings(head, face)
    if look.hair_style == "cap":
        sketch_cap(head, face)
    if look.glasses:
        sketch_glasses(head, face)
    back.paint(pixels, view.project, unit=view.scale)
    body.paint(pixels, view.project_body, unit=view.scale)
    head.paint(pixels, view.project, unit=view.scale)


def _sample_box(
    landmarks: NDArray[np.float64], size_wh: tuple[int, int], rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """Sample a box like a face detector's: around the landmarks and part of the forehead, slightly inexact."""
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    extent = high - low
    low = low - extent * (0.04, 0.22) + rng.normal(0, 0.02, 2) * extent
    high = high + extent * (0.04, 0.03) + rng.normal(0, 0.02, 2) * extent
    left, top = np.maximum(0, np.floor(low)).astype(int).tolist()
    right, bottom = np.minimum(size_wh, np.ceil(high)).astype(int).tolist()
    return left, top, right - left, bottom - top
