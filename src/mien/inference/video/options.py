"""How a video is predicted. Imports nothing heavy: the command line is built from it."""

from dataclasses import dataclass

from mien.runtime.options import option

DETECT_EVERY = 3
# After this time constant 63 % of a change has come through: single-frame flicker goes, an expression stays.
SMOOTHING_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoOptions:
    """How a video is predicted.

    Attributes:
        detect_every: faces are detected in every K-th frame, and tracked in between.
        smoothing_s: time constant of the smoothing in seconds; 0 for none.
        cropped: every frame already is one cropped face; the detector does not run.
        keep_images: return each frame's pixels with its prediction.
        max_frames: stop after this many frames.
        max_seconds: stop at this time of the video.
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
        if self.per_second is not None and not self.per_second > 0:
            raise ValueError(f"`per_second` must be more than 0, or None, got {self.per_second!r}")
        if self.detect_every < 1:
            raise ValueError(f"`detect_every` must be 1 or more, got {self.detect_every!r}")
        if not 0 <= self.smoothing_s < float("inf"):
            raise ValueError(f"`smoothing_s` must be 0 or more seconds, got {self.smoothing_s!r}")
        if self.max_frames is not None and self.max_frames < 1:
            raise ValueError(f"`max_frames` must be 1 or more, or None, got {self.max_frames!r}")
        if self.max_seconds is not None and not self.max_seconds > 0:
            raise ValueError(f"`max_seconds` must be more than 0, or None, got {self.max_seconds!r}")
