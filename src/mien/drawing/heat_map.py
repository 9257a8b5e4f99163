"""Maps of what an answer depends on, drawn on a face: orange speaks for the answer, blue against it."""

import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.faces.images import image_uri

FOR_RGB = (255, 122, 0)
AGAINST_RGB = (40, 120, 255)
# The largest value is drawn with this opacity, so that the face stays visible.
MAX_OPACITY = 0.72
DRAWN_SIDE = 384
ENCODED_SIDE = 32


def color_heat(heat: NDArray[np.floating], *, limit: float | None = None) -> NDArray[np.uint8]:
    """Return a map as colors ``(S, S, 4)`` RGBA, transparent where it is 0.

    Args:
        heat: ``(S, S)``.
        limit: the absolute value with the full opacity; None for the largest one.
    """
    largest = float(np.abs(heat).max()) if limit is None else limit
    strength = np.clip(np.abs(heat) / largest, 0, 1) if largest > 0 else np.zeros(heat.shape)
    colors = np.where((heat >= 0)[..., None], np.array(FOR_RGB), np.array(AGAINST_RGB))
    opacity = np.rint(255 * MAX_OPACITY * strength)[..., None]
    return np.concatenate([colors, opacity], axis=2).astype(np.uint8)


def draw_heat(
    image_rgb: NDArray[np.uint8], heat: NDArray[np.floating], *, side: int = DRAWN_SIDE
) -> NDArray[np.uint8]:
    """Return a face with a map on it, ``(side, side, 3)`` uint8 RGB.

    Args:
        image_rgb: ``(S, S, 3)`` uint8.
        heat: ``(T, T)``, of the same part of the image.
        side: side of the drawing in pixels.
    """
    face = cv2.resize(image_rgb, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    smooth = cv2.resize(heat.astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    colors = color_heat(smooth).astype(np.float32)
    opacity = colors[..., 3:] / 255
    drawing = face * (1 - opacity) + colors[..., :3] * opacity
    return np.asarray(np.clip(np.rint(drawing), 0, 255), dtype=np.uint8)


def encode_heat(heat: NDArray[np.floating]) -> str:
    """Return a map ``(S, S)`` as a data URI of a small transparent image for a page, which enlarges it smoothly."""
    small = cv2.resize(heat, (ENCODED_SIDE, ENCODED_SIDE), interpolation=cv2.INTER_AREA)
    buffer = io.BytesIO()
    Image.fromarray(color_heat(small)).save(buffer, "PNG", optimize=True)
    return image_uri(buffer.getvalue(), "png")
