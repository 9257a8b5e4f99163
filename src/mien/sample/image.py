"""One image of the sample set: a drawn face in its surroundings, or a scene without one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.faces.images import encode_jpeg
from mien.sample.canvas import Pixels, Sketch
from mien.sample.expressions import Movement, sample_expression
from mien.sample.features import sketch_features
from mien.sample.geometry import Face, View, build_face
from mien.sample.hair import sketch_back_hair, sketch_hair
from mien.sample.identity import HEADWEAR, sample_identity
from mien.sample.light import apply_light, sample_light
from mien.sample.scenes import paint_background, paint_scene
from mien.sample.skin import sketch_skin
from mien.sample.wear import sketch_body, sketch_wear


@dataclass(frozen=True, slots=True)
class Image:
    """A drawn image and what is known of it.

    Attributes:
        class_name: one of AffectNet's classes.
        jpeg: the file.
        pixels: ``(H, W, 3)`` uint8 RGB, as before JPEG.
        box_xywh: face box in whole pixels, inside the image.
        landmarks: ``(68, 2)`` in pixels, or None where there is no face.
        valence: in [-1, 1], or None where AffectNet has none for the class.
        arousal: likewise.
    """

    class_name: str
    jpeg: bytes
    pixels: NDArray[np.uint8]
    box_xywh: tuple[int, int, int, int]
    landmarks: NDArray[np.float64] | None
    valence: float | None
    arousal: float | None


def draw_image(class_name: str, *, seed: int, index: int) -> Image:
    """Draw an image. The same class, seed and index give the same bytes, in any order and process.

    Args:
        class_name: one of AffectNet's classes.
        seed: of the set.
        index: of the image in the set, 0 or more.
    """
    rng = np.random.default_rng([seed, index])
    size = rng.integers(200, 421, 2) if rng.random() < 0.5 else np.repeat(rng.integers(200, 421), 2)
    size_wh = (int(size[0]), int(size[1]))
    if class_name == "NonFace":
        return _draw_scene(size_wh, rng)
    expression = sample_expression(class_name, rng)
    face = build_face(sample_identity(rng), expression.movement)
    view = _sample_view(face, size_wh, expression.movement, rng)
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
        _box_of(landmarks, size_wh, rng),
        landmarks,
        expression.valence,
        expression.arousal,
    )


def paint_head(pixels: Pixels, face: Face, view: View, *, light_x: float) -> None:
    """Paint a head with all that belongs to it, evenly lit, on pixels, which are changed in place.

    Args:
        pixels: ``(H, W, 3)`` uint8 RGB.
        face: its geometry.
        view: how it is seen.
        light_x: where light comes from, -1 from the image's left to 1 from its right.
    """
    back, body, head = Sketch(), Sketch(), Sketch()
    sketch_back_hair(back, face)
    sketch_body(body, face)
    sketch_skin(head, face, light_x=light_x)
    sketch_features(head, face)
    if face.identity.look.hair_style not in HEADWEAR:
        sketch_hair(head, face)
    sketch_wear(head, face)
    back.paint(pixels, view.place, unit=view.scale)
    body.paint(pixels, view.place_body, unit=view.scale)
    head.paint(pixels, view.place, unit=view.scale)


def _draw_scene(size_wh: tuple[int, int], rng: np.random.Generator) -> Image:
    light = sample_light(rng)
    pixels = apply_light(paint_scene(size_wh, rng), light, None, background=None, rng=rng)
    side = int(min(size_wh) * rng.uniform(0.5, 0.95))
    left, top = (int(rng.integers(0, length - side + 1)) for length in size_wh)
    jpeg = encode_jpeg(pixels, light.quality)
    return Image("NonFace", jpeg, pixels, (left, top, side, side), None, None, None)


def _sample_view(face: Face, size_wh: tuple[int, int], movement: Movement, rng: np.random.Generator) -> View:
    """Draw how a head is seen, so that its landmarks are inside the image."""
    yaw = float(np.clip(rng.normal(0, 0.2), -0.45, 0.45))
    pitch = float(np.clip(rng.normal(0.02 + 0.06 * movement.gaze_y, 0.1), -0.25, 0.3))
    roll = float(np.radians(np.clip(rng.normal(0, 7), -20, 20)))
    width, height = size_wh
    scale = float(min(width, height) * rng.uniform(0.24, 0.335))
    view = View(np.zeros(2), scale, yaw, pitch, roll)
    landmarks = face.landmarks(view)
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    middle = np.array([width, 1.14 * height]) / 2 - 0.5 * (low + high)
    wander = rng.normal(0, 0.07, 2) * size_wh
    center = np.clip(middle + wander, 2 - low, np.array(size_wh) - 2 - high)
    return View(center, scale, yaw, pitch, roll)


def _box_of(
    landmarks: NDArray[np.float64], size_wh: tuple[int, int], rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """Return a box as a face detector gives it: around the landmarks and some forehead, not quite exact."""
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    extent = high - low
    low = low - extent * (0.04, 0.22) + rng.normal(0, 0.02, 2) * extent
    high = high + extent * (0.04, 0.03) + rng.normal(0, 0.02, 2) * extent
    left, top = np.maximum(0, np.floor(low)).astype(int).tolist()
    right, bottom = np.minimum(size_wh, np.ceil(high)).astype(int).tolist()
    return left, top, right - left, bottom - top
