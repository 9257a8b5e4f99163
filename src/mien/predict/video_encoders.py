"""Encoders of annotated videos: H.264 through PyAV, which browsers play, or MPEG-4 Visual through OpenCV without that extra."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.errors import ArtifactError
from mien.inference.video.capture import opencv_path
from mien.inference.video.demuxed import import_av

_log = logging.getLogger(__name__)

# The first of these that FFmpeg was built with: H.264, VP9 and AV1, all of which play in browsers from an MP4.
CODECS = {
    "libx264": {"preset": "veryfast", "crf": "20"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "30", "b": "0", "row-mt": "1"},
    "libsvtav1": {"preset": "10", "crf": "32"},
}
# Every OpenCV that can encode video has this codec; browsers do not play it.
OPENCV_CODEC = "mp4v"
# Timestamps are in units that 24, 25, 30 and 60 frames per second, and NTSC's rates, fit into.
TIME_BASE = Fraction(1, 90_000)
# While a source delivers no frame, its last one is shown for this long at most.
MAX_STALL_S = 10.0


class VideoEncoder(Protocol):
    """Writes a video file frame by frame."""

    def write(self, image_rgb: NDArray[np.uint8], seconds: float) -> None:
        """Add a frame of the video's size, shown from this time on."""

    def close(self) -> None:
        """Finish the file.

        Raises:
            OSError: it is incomplete, and this is the reason.
        """


def open_encoder(path: Path, size_wh: tuple[int, int], *, frame_rate: float, is_live: bool) -> VideoEncoder:
    """Open the best encoder there is.

    Args:
        path: of the MP4 file, which exists and is empty.
        size_wh: width and height, both even.
        frame_rate: frames per second, of which the true times may differ.
        is_live: frames are irregular: each is shown until the next.

    Raises:
        ArtifactError: there is none.
        OSError: the file cannot be written.
    """
    av = import_av()
    codec = None if av is None else next(filter(av.codecs_available.__contains__, CODECS), None)
    if codec is not None:
        return TimedEncoder(path, codec, size_wh, frame_rate=frame_rate)
    _warn_of_codec()
    return OpenCvEncoder(path, size_wh, frame_rate=frame_rate, is_live=is_live)


@cache
def _warn_of_codec() -> None:
    _log.warning(
        "Annotated videos are written as MPEG-4 Visual, which browsers do not play: pip install 'mien[video]' for H.264"
    )


class TimedEncoder:
    """Encodes with PyAV: every frame at its own time, in a file that starts to play before it is loaded completely."""

    def __init__(self, path: Path, codec: str, size_wh: tuple[int, int], *, frame_rate: float) -> None:
        """Open the file; see `open_encoder`."""
        self._av = import_av()
        # PyAV takes names in UTF-8 only, and a file object serves all.
        self._file = path.open("r+b")
        self._container = self._av.open(
            self._file, "w", format="mp4", options={"movflags": "+faststart", "brand": "mp42"}
        )
        rate = Fraction(frame_rate).limit_denominator(1001)
        self._stream = self._container.add_stream(codec, rate=rate or 1, options=CODECS[codec])
        self._stream.width, self._stream.height = size_wh
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = TIME_BASE
        self._last_pts = -1
        self._last_s, self._shift_s = 0.0, 0.0

    def write(self, image_rgb: NDArray[np.uint8], seconds: float) -> None:
        """Add a frame; one that is not later than the last comes right after it."""
        if self._last_pts < 0:
            self._shift_s = seconds
        elif seconds - self._last_s > MAX_STALL_S:
            self._shift_s += seconds - self._last_s - MAX_STALL_S
        self._last_s = seconds
        self._last_pts = max(self._last_pts + 1, round((seconds - self._shift_s) / TIME_BASE))
        frame = self._av.VideoFrame.from_ndarray(image_rgb, format="rgb24")
        frame.pts, frame.time_base = self._last_pts, TIME_BASE
        with self._os_errors():
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Finish the file."""
        try:
            with self._os_errors():
                self._container.mux(self._stream.encode(None))
                self._container.close()
        finally:
            self._file.close()

    @contextmanager
    def _os_errors(self) -> Iterator[None]:
        """Raise every error of FFmpeg as an `OSError`: some are none, such as a second one after a full disk."""
        try:
            yield
        except self._av.FFmpegError as error:
            if isinstance(error, OSError):
                raise
            raise OSError(error.errno, error.strerror) from error


class OpenCvEncoder:
    """Encodes with OpenCV, at a constant frame rate: while a live source delivers nothing, its last frame is repeated."""

    def __init__(self, path: Path, size_wh: tuple[int, int], *, frame_rate: float, is_live: bool) -> None:
        """Open the file; see `open_encoder`."""
        # The codec stores the rate as a fraction with parts below 2**16.
        decimals = 3 if frame_rate < 65 else 2 if frame_rate < 650 else 1
        self._frame_rate = max(round(frame_rate, decimals), 0.002)
        self._path, self._is_live = path, is_live
        self._n_written, self._skipped_s = 0, 0.0
        self._last_bgr: NDArray[np.uint8] | None = None
        fourcc = cv2.VideoWriter.fourcc(*OPENCV_CODEC)
        self._writer = cv2.VideoWriter(opencv_path(path), cv2.CAP_FFMPEG, fourcc, self._frame_rate, size_wh)
        if not self._writer.isOpened():
            raise ArtifactError(f"{path} cannot be written: this OpenCV cannot encode {OPENCV_CODEC} video")

    def write(self, image_rgb: NDArray[np.uint8], seconds: float) -> None:
        """Add a frame, after repeats of the last one up to its time if the source is live."""
        if self._is_live and self._last_bgr is not None:
            n_repeats = round((seconds - self._skipped_s) * self._frame_rate) - self._n_written
            n_excess = n_repeats - round(MAX_STALL_S * self._frame_rate)
            if n_excess > 0:
                self._skipped_s += n_excess / self._frame_rate
                n_repeats -= n_excess
            for _ in range(n_repeats):
                self._write(self._last_bgr)
        self._last_bgr = np.asarray(cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR), dtype=np.uint8)
        self._write(self._last_bgr)

    def _write(self, image_bgr: NDArray[np.uint8]) -> None:
        self._writer.write(image_bgr)
        self._n_written += 1

    def close(self) -> None:
        """Finish the file, and count its frames: OpenCV's writer does not report a full disk."""
        self._writer.release()
        capture = cv2.VideoCapture(opencv_path(self._path), cv2.CAP_FFMPEG)
        n_frames = max(0, round(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        capture.release()
        if n_frames != self._n_written:
            raise OSError(f"{n_frames:,} of {self._n_written:,} frames")
