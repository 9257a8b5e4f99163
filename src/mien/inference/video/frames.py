"""Frames: what every source of a video yields, whatever decodes it.

Convention: ``(H, W, 3)`` uint8 RGB, upright, with square pixels; seconds on the source's own clock.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mien.faces.images import MAX_PIXELS

# A higher frame rate is an error in the file; the default is assumed instead.
MAX_FRAME_RATE, DEFAULT_FRAME_RATE = 1000.0, 25.0
# The status of frames that cannot be decoded correctly.
DAMAGED = "damaged_frame"
# Pixels that are stretched by more than this, or by less, have a wrong tag or need no correction.
MAX_STRETCH, MIN_STRETCH = 8.0, 1.005


class Frame(NamedTuple):
    """A frame, or a placeholder for frames that cannot be read.

    Attributes:
        number: 0-based; for a live source it counts all frames delivered, so that dropped ones leave gaps.
        seconds: since the start of the file, as players count, so that sound and image agree: a video that starts after its
            sound has a first frame after 0. For a live source, since its first frame; for frames of a program, as it states them.
        image_rgb: ``(H, W, 3)`` uint8, or None.
        problem: (status, detail) if it cannot be read.
        caveat: why its pixels may be wrong, for a person; empty if nothing is known against them.
        is_cut: whether it belongs to another shot than the frame before it.
    """

    number: int
    seconds: float
    image_rgb: NDArray[np.uint8] | None
    problem: tuple[str, str] | None = None
    caveat: str = ""
    is_cut: bool = False


class FrameSource(Protocol):
    """Yields frames once, and closes the device or file at the end.

    Attributes:
        name: as shown to a person.
        is_live: frames that are not consumed in time are dropped.
        frame_rate: frames per second, as reported by the source.
        n_frames: the expected number, as reported by the file; None if unknown.
    """

    name: str
    is_live: bool
    frame_rate: float
    n_frames: int | None

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames."""


def plausible_frame_rate(frame_rate: float) -> float:
    """Return a frame rate, or the default in place of an impossible one."""
    return frame_rate if 0 < frame_rate <= MAX_FRAME_RATE else DEFAULT_FRAME_RATE


def square_size(width: int, height: int, stretch: float) -> tuple[int, int]:
    """Return the size of a frame with square pixels: as browsers do, by enlarging the side that is too short.

    Args:
        width: in the file's pixels.
        height: in the file's pixels.
        stretch: width of a pixel divided by its height.
    """
    if not MIN_STRETCH < max(stretch, 1 / stretch) <= MAX_STRETCH:
        return width, height
    if stretch > 1:
        return max(1, round(width * stretch)), height
    return width, max(1, round(height / stretch))


def too_large(width: int, height: int) -> Frame | None:
    """Return the only frame of a video whose frames exceed the limit on pixels, None if they do not."""
    if width * height <= MAX_PIXELS:
        return None
    detail = f"frames of {width}x{height} pixels, the limit is {MAX_PIXELS:,}"
    return Frame(0, 0.0, None, ("image_too_large", detail))


def damaged(first: int, n_frames: int, seconds: float) -> Frame:
    """Return the placeholder for frames that cannot be decoded."""
    last = first + n_frames - 1
    which = f"frame {first:,}" if n_frames == 1 else f"frames {first:,} to {last:,}"
    return Frame(first, seconds, None, (DAMAGED, f"{which} cannot be read"))
