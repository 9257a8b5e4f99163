"""How a video is predicted. Imports nothing heavy: the command line is built from it."""

import math
from dataclasses import dataclass

from mien.runtime.options import option, require_number

DETECT_EVERY = 3
# After this time constant 63% of a change has come through: single-frame flicker goes, an expression stays.
SMOOTHING_S = 0.25


def parse_time(text: str) -> float:
    """Return a time in seconds, given as seconds, ``MM:SS`` or ``H:MM:SS``.

    Raises:
        ValueError: it is none.

    Example:
        >>> parse_time("90.5"), parse_time("1:30"), parse_time("1:00:00")
        (90.5, 90.0, 3600.0)
    """
    parts = text.split(":")
    try:
        values = [float(part) for part in parts]
    except ValueError:
        values = [math.nan]
    has_range = len(values) <= 3 and all(0 <= value < math.inf for value in values)
    if not has_range or any(value >= 60 for value in values[1:]):
        raise ValueError(f"must be seconds, MM:SS or H:MM:SS, got {text!r}")
    return math.fsum(value * 60**power for power, value in enumerate(reversed(values)))


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoOptions:
    """How a video is predicted.

    Attributes:
        detect_every: faces are detected in every K-th frame, and tracked in between.
        smoothing_s: time constant of the smoothing in seconds; 0 for none.
        cropped: every frame already is one cropped face; the detector does not run.
        keep_images: return each frame's pixels with its prediction.
        start_seconds: frames before this time of the video are left out.
        end_seconds: stop at this time of the video.
        max_seconds: stop after this many seconds of the video, counted from the first frame predicted.
        max_frames: stop after this many frames.
        per_second: predict at most this many frames per second and skip the others; None for all.
    """

    detect_every: int = option(
        DETECT_EVERY,
        "run the face detector on every K-th frame of a video and track faces in between",
        flag="--every",
        metavar="K",
        least=1,
    )
    smoothing_s: float = option(
        SMOOTHING_S,
        "predict each frame of a video by itself, without smoothing over time",
        flag="--no-smoothing",
        const=0.0,
    )
    cropped: bool = False
    keep_images: bool = False
    start_seconds: float = option(
        0.0,
        "start at this time of a video, in seconds or as MM:SS or H:MM:SS (default: its beginning)",
        flag="--from",
        metavar="TIME",
        parse=parse_time,
    )
    end_seconds: float | None = option(
        None, "stop at this time of a video", flag="--to", metavar="TIME", parse=parse_time
    )
    max_seconds: float | None = option(
        None, "stop after the first S seconds of a video or camera", metavar="S", above=0
    )
    max_frames: int | None = option(
        None, "stop after the first N frames of a video or camera", flag="--frames", metavar="N", least=1
    )
    per_second: float | None = option(
        None,
        "predict at most N frames per second of a video or camera and skip the others (default: all)",
        metavar="N",
        above=0,
    )

    def __post_init__(self) -> None:
        for name in ("detect_every", "smoothing_s", "start_seconds"):
            require_number(name, getattr(self, name))
        for name in ("end_seconds", "max_seconds", "max_frames", "per_second"):
            if getattr(self, name) is not None:
                require_number(name, getattr(self, name))
        if self.per_second is not None and not 0 < self.per_second < math.inf:
            raise ValueError(f"`per_second` must be more than 0, or None, got {self.per_second!r}")
        if self.detect_every < 1 or self.detect_every != int(self.detect_every):
            raise ValueError(f"`detect_every` must be an integer from 1 on, got {self.detect_every!r}")
        if not 0 <= self.smoothing_s < math.inf:
            raise ValueError(f"`smoothing_s` must be 0 or more seconds, got {self.smoothing_s!r}")
        if not 0 <= self.start_seconds < math.inf:
            raise ValueError(f"`start_seconds` must be 0 or more, got {self.start_seconds!r}")
        if self.end_seconds is not None and not self.end_seconds > self.start_seconds:
            raise ValueError(
                f"`end_seconds` must be later than `start_seconds`, got {self.end_seconds!r} and "
                f"{self.start_seconds!r}"
            )
        if self.max_frames is not None and (self.max_frames < 1 or self.max_frames != int(self.max_frames)):
            raise ValueError(f"`max_frames` must be an integer from 1 on, or None, got {self.max_frames!r}")
        if self.max_seconds is not None and not self.max_seconds > 0:
            raise ValueError(f"`max_seconds` must be more than 0, or None, got {self.max_seconds!r}")
