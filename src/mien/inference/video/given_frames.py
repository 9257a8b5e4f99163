"""Frames that a program has itself: from WebRTC, PyAV, Gradio, or a camera that OpenCV cannot open."""

import math
from collections.abc import Iterable, Iterator, Mapping
from numbers import Real
from typing import Any

import numpy as np

from mien.faces.images import UnreadableImage, to_rgb
from mien.inference.image_input import ColorOrder, read_input
from mien.inference.video.frames import Frame


class GivenFrames:
    """An iterable of frames as a `FrameSource`. None of them is dropped, and none is requested ahead of time."""

    # Such as those of a camera, they are not requested before they are needed.
    is_live = True
    n_frames: int | None = None

    def __init__(self, frames: Iterable[Any], *, frame_rate: float, color: ColorOrder) -> None:
        """Take frames, or pairs (seconds, frame); see `Model.watch`.

        Raises:
            TypeError: it is not an iterable.
            ValueError: the frame rate is not positive.
        """
        is_other = isinstance(frames, bool | bytes | bytearray | memoryview | Mapping) or hasattr(
            frames, "read"
        )
        if is_other or not isinstance(frames, Iterable):
            raise TypeError(
                "a source must be a file's path, a camera index, a URL or an iterable of frames, got "
                f"{type(frames).__name__}"
            )
        shape = getattr(frames, "shape", None)
        if shape is not None and (len(shape) < 3 or (len(shape) == 3 and (shape[-1] in (1, 3, 4)))):
            raise TypeError(
                f"frames in one array must be (N, H, W, 3), got {tuple(shape)}: for a single image use `predict`"
            )
        if not 0 < frame_rate < float("inf"):
            raise ValueError(f"`frame_rate` must be more than 0, got {frame_rate!r}")
        self.name = ""
        self.frame_rate = frame_rate
        self._frames, self._color = frames, color

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames with their times, or with those of the frame rate.

        Raises:
            TypeError: a frame is not an image, or its time not a number.
            ValueError: a frame's time is not finite, or before that of the one before it.
        """
        last_s = None
        for number, given in enumerate(self._frames):
            seconds, image = _time_and_image(given)
            seconds = number / self.frame_rate if seconds is None else seconds
            if not math.isfinite(seconds):
                raise ValueError(f"frame {number:,} has no time: it is {seconds!r}, in place of seconds")
            if last_s is not None and seconds < last_s:
                raise ValueError(f"frame {number:,} is at {seconds:g} s, before the last one at {last_s:g} s")
            last_s = seconds
            try:
                yield Frame(number, seconds, to_rgb(read_input(image, color=self._color)[0]))
            except UnreadableImage as error:
                yield Frame(number, seconds, None, (error.reason, error.detail))


def _time_and_image(given: Any) -> tuple[float | None, Any]:
    """Return a frame's time in seconds, None if it has none, and its image.

    Raises:
        TypeError: a pair does not begin with a number.
    """
    if isinstance(given, tuple) and len(given) == 2:
        seconds, image = given
        if isinstance(seconds, bool | np.bool_):  # of a capture's `read`
            raise TypeError(
                "a pair must be (seconds, image), got a truth value in place of seconds, as `cv2.VideoCapture.read` returns: pass "
                'the image alone, with color="bgr"'
            )
        if not isinstance(seconds, Real):
            raise TypeError(
                f"a pair must be (seconds, image), got {type(seconds).__name__} in place of seconds: pass the image alone if "
                "it has no time"
            )
        return float(seconds), image
    if hasattr(given, "to_ndarray"):  # PyAV's
        return given.time, given
    return None, given
