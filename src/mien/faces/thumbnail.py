"""A small grayscale version of a crop, by which turned, cut and shifted copies are found."""

import cv2
import numpy as np
from numpy.typing import NDArray

THUMBNAIL_SIDE = 32


def thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a ``(32, 32)`` uint8 block mean of a ``(H, W, 3)`` RGB or ``(H, W)`` grayscale uint8 crop."""
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) if pixels.ndim == 3 else pixels
    small = cv2.resize(gray, (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)
