"""A 256-bit perceptual hash of a crop, to find pictures that are the same but for size and compression.

The signs of the lowest 16 x 16 cosine frequencies of a 64 x 64 grey version against their median (the pHash
of Zauner 2010, https://phash.org/docs/pubs/thesis_zauner.pdf, at 256 in place of 64 bits: aligned faces are
too alike for 64).
"""

import cv2
import numpy as np
from numpy.typing import NDArray


def perceptual_hash(pixels: NDArray[np.uint8]) -> bytes:
    """Return 32 bytes that differ in few bits for near-duplicates.

    Args:
        pixels: ``(H, W, 3)`` RGB or ``(H, W)`` grey uint8.
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) if pixels.ndim == 3 else pixels
    small = cv2.resize(grey, (64, 64), interpolation=cv2.INTER_AREA)
    frequencies = cv2.dct(small.astype(np.float32))[:16, :16].ravel()
    lower_median = np.partition(frequencies, 127)[127]
    return np.packbits(frequencies > lower_median).tobytes()
