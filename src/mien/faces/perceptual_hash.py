"""A 256-bit perceptual hash of a crop, to find images that are the same but for size, compression and mirroring.

The signs of the lowest 16 x 16 cosine frequencies of a 64 x 64 grey version against a threshold (the pHash
of Zauner 2010, https://phash.org/docs/pubs/thesis_zauner.pdf, at 256 in place of 64 bits: aligned faces are
too alike for 64). Mirroring changes the sign of the odd horizontal frequencies and nothing else. Their threshold
is therefore 0, and that of the even ones their own median, so that the hash of the mirrored image is this hash with
half of its bits inverted.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

_ODD = np.arange(16) % 2 == 1
_ODD_BITS = np.packbits(np.tile(_ODD, 16))


def perceptual_hash(pixels: NDArray[np.uint8]) -> bytes:
    """Return 32 bytes that differ in few bits for near-duplicates.

    Args:
        pixels: ``(H, W, 3)`` RGB or ``(H, W)`` grey uint8.
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) if pixels.ndim == 3 else pixels
    small = cv2.resize(grey, (64, 64), interpolation=cv2.INTER_AREA)
    frequencies = cv2.dct(small.astype(np.float32))[:16, :16]
    lower_median = np.partition(frequencies[:, ~_ODD].ravel(), 63)[63]
    return np.packbits(frequencies > np.where(_ODD, 0, lower_median)).tobytes()


def mirrored_hashes(hashes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the hashes ``(N, 32)`` that the mirrored images have."""
    return hashes ^ _ODD_BITS
