"""Frame sources: a video file, an animated image, a camera, a network stream.

A video file yields every frame in order; a live source yields the newest frame and drops those that nobody had time for.
Files and addresses are decoded through PyAV (`demuxed`) or, without that extra, through OpenCV; cameras always through OpenCV.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.errors import SourceError
from mien.faces.file_signatures import N_SIGNATURE_BYTES, VIDEO_FORMATS, identify_format
from mien.faces.image_files import read_image_file
from mien.faces.images import UnreadableImage, decode_image, to_rgb
from mien.inference.urls import download_image, explain_name, is_url, redact_url
from mien.inference.video.animated_image import AnimatedImage, is_animated_image
from mien.inference.video.demuxed import (
    DemuxedVideo,
    LiveCapture,
    close_container,
    holds_image,
    import_av,
    open_container,
)
from mien.inference.video.frames import (
    DEFAULT_FRAME_RATE,
    Frame,
    FrameSource,
    damaged,
    plausible_frame_rate,
    square_size,
    too_large,
)
from mien.runtime.regular_files import NotAFileError, open_regular

_log = logging.getLogger(__name__)

# Consecutive failed reads after which a video file has ended; a damaged part may cost one or two.
MAX_FAILED_READS = 8
# A live source may miss frames for this long before it has ended.
LIVE_TIMEOUT_S = 1.0
NETWORK_TIMEOUT_MS = 10_000
# The frame count in a file's header is an estimate in some formats: this many frames, and this fraction, may be missing.
MAX_MISSING_FRAMES, MAX_MISSING_RATIO = 2, 0.02
# How much of a file identifies its format: a transport stream is recognized by its second packet.
HEADER_BYTES, PACKET_BYTES = N_SIGNATURE_BYTES, 188

VIDEO_SUFFIXES = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg"),
        *(".wmv", ".flv", ".ogv", ".3gp", ".3g2", ".mts", ".m2ts", ".ts", ".apng"),
        *(".vob", ".mxf", ".asf", ".f4v", ".m2v", ".mpe", ".qt", ".divx", ".y4m"),
        *(".mjpeg", ".mjpg", ".h264", ".264", ".h265", ".265", ".hevc"),
    )
)


class Capture(Protocol):
    """The part of `cv2.VideoCapture` that is used here."""

    def read(self) -> tuple[bool, Any]:
        """Return whether there is another frame, and its BGR pixels."""

    def get(self, what: int, /) -> float:
        """Return a property, 0 if unknown."""

    def release(self) -> None:
        """Close the device or file."""


class StillImage:
    """An image in place of a video, decoded as `Model.predict` decodes it: a single frame."""

    is_live = False
    frame_rate = DEFAULT_FRAME_RATE
    n_frames: int | None = 1

    def __init__(self, name: str, data: bytes) -> None:
        """Decode the bytes of an image file.

        Raises:
            UnreadableImage: it cannot be decoded.
        """
        self.name = name
        self._image_rgb = to_rgb(decode_image(data))

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frame."""
        yield Frame(0, 0.0, self._image_rgb)


class VideoFile:
    """A video of finite length, decoded through OpenCV: every frame, in order.

    OpenCV does not report which frames are damaged, and only an estimate of the number of frames.
    """

    is_live = False

    def __init__(self, name: str, capture: Capture) -> None:
        """Take ownership of an open capture."""
        self.name = name
        self.frame_rate = plausible_frame_rate(capture.get(cv2.CAP_PROP_FPS))
        n_frames = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.n_frames = int(n_frames) if 0 < n_frames < 2**40 else None
        self._capture = capture

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames; a damaged part and a premature end have one without pixels.

        A frame's time is the file's timestamp or, where timestamps do not increase, follows from the frame rate.
        """
        try:
            width = int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH))
            height = int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
            sar = [self._capture.get(what) for what in (cv2.CAP_PROP_SAR_NUM, cv2.CAP_PROP_SAR_DEN)]
            stretch = sar[0] / sar[1] if min(sar) > 0 else 1.0
            # OpenCV turns frames upright, with their pixels.
            if self._capture.get(cv2.CAP_PROP_ORIENTATION_META) % 180:
                stretch = 1 / stretch
            refused = too_large(*square_size(width, height, stretch))
            if refused is not None:
                yield refused
                return
            number, n_failed = 0, 0
            first_timestamp: float | None = None
            last_s = -1 / self.frame_rate
            while n_failed <= MAX_FAILED_READS:
                image_rgb = _read_rgb(self._capture)
                if image_rgb is None:
                    n_failed += 1
                    continue
                timestamp = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                if first_timestamp is None:
                    first_timestamp = timestamp
                expected_s = last_s + 1 / self.frame_rate
                seconds = timestamp - first_timestamp
                if number > 0 and seconds <= last_s:
                    seconds = expected_s
                if n_failed:
                    n_lost = max(1, round((seconds - expected_s) * self.frame_rate))
                    yield damaged(number, n_lost, expected_s)
                    number += n_lost
                size_wh = square_size(image_rgb.shape[1], image_rgb.shape[0], stretch)
                if size_wh != image_rgb.shape[1::-1]:
                    image_rgb = np.asarray(cv2.resize(image_rgb, size_wh), dtype=np.uint8)
                yield Frame(number, seconds, image_rgb)
                number, n_failed, last_s = number + 1, 0, seconds
            problem = self._problem_at_end(number)
            if problem is not None:
                yield Frame(number, last_s + 1 / self.frame_rate, None, problem)
        finally:
            self._capture.release()

    def _problem_at_end(self, n_read: int) -> tuple[str, str] | None:
        if n_read == 0:
            return "no_frames", "no frame of the video can be read"
        expected = self.n_frames or 0
        if expected - n_read > max(MAX_MISSING_FRAMES, MAX_MISSING_RATIO * expected):
            return "truncated_video", f"frames from {n_read:,} on cannot be read, of {expected:,}"
        return None


class LiveStream:
    """A camera or network stream: a thread reads every frame and keeps only the newest."""

    is_live = True

    def __init__(self, name: str, capture: Capture) -> None:
        """Take ownership of an open capture."""
        self.name = name
        self.frame_rate = plausible_frame_rate(capture.get(cv2.CAP_PROP_FPS))
        self.n_frames: int | None = None
        self._capture = capture
        self._changed = threading.Condition()
        self._newest: Frame | None = None
        self._has_ended = self._is_stopped = False

    def __iter__(self) -> Iterator[Frame]:
        """Yield the newest frame each time one is requested; at the end, a frame without pixels gives the reason."""
        thread = threading.Thread(target=self._keep_newest, name=f"frames of {self.name}", daemon=True)
        thread.start()
        last: Frame | None = None
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._newest is not None or self._has_ended)
                    frame, self._newest = self._newest, None
                if frame is None:
                    break
                last = frame
                yield frame
            number, seconds = (
                (0, 0.0) if last is None else (last.number + 1, last.seconds + 1 / self.frame_rate)
            )
            yield Frame(number, seconds, None, ("stream_ended", f"no more frames from {self.name}"))
        finally:
            self._is_stopped = True
            thread.join()

    def _keep_newest(self) -> None:
        """Read frames until the source ends or the reader stops. Runs in the thread."""
        number, start, last = 0, 0.0, time.monotonic()
        try:
            while not self._is_stopped and time.monotonic() - last <= LIVE_TIMEOUT_S:
                image_rgb = _read_rgb(self._capture)
                now = time.monotonic()
                if image_rgb is None:
                    time.sleep(0.01)
                    continue
                start = start if number else now
                with self._changed:
                    self._newest = Frame(number, now - start, image_rgb)
                    self._changed.notify()
                number, last = number + 1, now
        finally:
            self._capture.release()
            with self._changed:
                self._has_ended = True
                self._changed.notify()


def _read_rgb(capture: Capture) -> NDArray[np.uint8] | None:
    """Return the next frame, None if it cannot be read."""
    try:
        is_there, image_bgr = capture.read()
        if not is_there or image_bgr is None or image_bgr.size == 0:
            return None
        order = cv2.COLOR_GRAY2RGB if image_bgr.ndim == 2 else cv2.COLOR_BGR2RGB
        return np.asarray(cv2.cvtColor(image_bgr, order), dtype=np.uint8)
    except cv2.error:
        return None


def open_frames(source: str | Path | int, *, start_seconds: float = 0.0) -> FrameSource:
    """Open a video file, an animated image, a camera by its index, or a URL.

    Args:
        source: see above.
        start_seconds: frames before this time are not needed; those of some sources are skipped without decoding them.

    Raises:
        UnreadableImage: the file is not a video, or cannot be read.
        SourceError: the camera does not exist, or the URL provides no video.
        ValueError: the camera index is negative.
    """
    if isinstance(source, int) and source < 0:
        raise ValueError(f"a camera index must be 0 or more, got {source}")
    if isinstance(source, int) or is_camera_index(str(source)):
        index = int(str(source))
        capture = _open_quietly(index)
        if not capture.isOpened():
            raise SourceError(
                f"Camera {index} cannot be opened. Connect it, close other programs that use it, or use another index"
            )
        return LiveStream(f"camera {index}", capture)
    if is_url(str(source)):
        return _open_url(str(source), start_seconds)
    if not str(source):
        raise UnreadableImage("missing_file", "the path is empty")
    return _open_file(Path(source), start_seconds)


def _open_url(url: str, start_seconds: float) -> FrameSource:
    name = redact_url(url)
    av = import_av()
    if av is None:
        timeouts = [
            *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, NETWORK_TIMEOUT_MS),
            *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, NETWORK_TIMEOUT_MS),
        ]
        capture = _open_quietly(url, cv2.CAP_FFMPEG, timeouts)
        if not capture.isOpened():
            raise SourceError(f"{name} provides no video. Check the URL, the password and the network")
        video = VideoFile(name, capture)
        return LiveStream(name, capture) if video.n_frames is None else video
    try:
        container = open_container(url)
    except av.FFmpegError as error:
        why = error.strerror or type(error).__name__
        raise SourceError(
            f"{name} provides no video ({why}). Check the URL, the password and the network"
        ) from None
    try:
        if holds_image(container):
            close_container(container)
            return StillImage(name, download_image(url))
        # What has neither a duration nor a size never ends.
        if container.duration is None and container.size <= 0:
            return LiveStream(name, LiveCapture(container))
        return DemuxedVideo(name, container, start_seconds=start_seconds)
    except UnreadableImage as error:
        close_container(container)
        raise SourceError(f"{name} provides no video: {error.detail}. Use another URL") from None


def _open_file(path: Path, start_seconds: float) -> FrameSource:
    header = read_header(path)
    if not header:
        raise UnreadableImage("empty_file", "the file has 0 bytes")
    if is_animated_image(path, header):
        return AnimatedImage(str(path), path)
    if not _is_video(path, header) and identify_format(header) not in (None, *VIDEO_FORMATS):
        return StillImage(str(path), read_image_file(path))
    av = import_av()
    if av is not None:
        try:
            container = open_container(path)
        except (av.FFmpegError, OSError):
            raise _not_a_video(header) from None
        try:
            if holds_image(container):
                close_container(container)
                return StillImage(str(path), read_image_file(path))
            return DemuxedVideo(str(path), container, path=path, start_seconds=start_seconds)
        except UnreadableImage:
            close_container(container)
            raise
    _warn_without_av()
    # As an absolute path, no name is mistaken for a URL or a numbered image sequence.
    name = opencv_path(path.resolve())
    capture = _open_quietly(name, cv2.CAP_FFMPEG)
    if not capture.isOpened():
        capture = _open_quietly(name)
    if not capture.isOpened():
        raise _not_a_video(header)
    return VideoFile(str(path), capture)


def _not_a_video(header: bytes) -> UnreadableImage:
    """Return why a file that nothing can open is none."""
    if is_video_content(header):
        return UnreadableImage(
            "truncated_video", "the file ends early, its header is damaged, or it holds no video stream"
        )
    return UnreadableImage("not_a_video", f"begins with {header[:16]!r}")


@cache
def _warn_without_av() -> None:
    _log.warning(
        "Videos are decoded by OpenCV, which does not report damaged frames, and may count frames wrongly: pip install "
        "'mien[video]' for a decoder that does"
    )


def _open_quietly(source: str | int, *options: Any) -> Any:
    """Return a capture; OpenCV and FFmpeg print nothing about errors that mien reports itself."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        return cv2.VideoCapture(source, *options)
    finally:
        cv2.utils.logging.setLogLevel(level)


def opencv_path(path: Path) -> Any:
    """Return a path for OpenCV: as bytes if it is not valid Unicode, since such a `str` crashes the process."""
    name = str(path)
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return os.fsencode(path)
    return name


def is_video_file(path: Path) -> bool:
    """Return whether a file is a video or an animated image: by its content, and by its suffix if that is inconclusive."""
    try:
        header = read_header(path)
    except UnreadableImage:
        header = b""
    return _is_video(path, header) or is_animated_image(path, header)


def _is_video(path: Path, header: bytes) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES or is_video_content(header)


def is_camera_index(source: str) -> bool:
    """Return whether a name is a camera index: digits, unless a file has that name."""
    return source.isascii() and source.isdigit() and not Path(source).exists()


def read_header(path: Path) -> bytes:
    """Return the first `HEADER_BYTES` of a file, which identify its format.

    Raises:
        UnreadableImage: it does not exist or cannot be read.
    """
    try:
        with open_regular(path) as file:
            return file.read(HEADER_BYTES)
    except FileNotFoundError:
        hint = explain_name(str(path))
        raise UnreadableImage("missing_file", f"the file does not exist{hint and f': {hint}'}") from None
    except NotAFileError as error:
        raise UnreadableImage("not_a_file", str(error.strerror)) from None
    except (OSError, ValueError) as error:  # a name may contain a null character
        raise UnreadableImage("unreadable_file", getattr(error, "strerror", None) or str(error)) from None


# Matroska and WebM, Flash, Windows Media, Ogg, MPEG program and video streams.
_MAGIC_NUMBERS = (b"\x1aE\xdf\xa3", b"FLV\x01", b"0&\xb2u", b"OggS", b"\0\0\x01\xba", b"\0\0\x01\xb3")
# ISO base media files (ISO/IEC 14496-12): those that are images, and the types of a first box.
_IMAGE_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif", b"avis")
_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


def is_video_content(header: bytes) -> bool:
    """Return whether the first `HEADER_BYTES` of a file are those of a video, whatever its name."""
    if header.startswith(_MAGIC_NUMBERS) or (
        header[:1] == b"G" and header[PACKET_BYTES : PACKET_BYTES + 1] == b"G"
    ):
        return True
    if header[:4] == b"RIFF":
        return header[8:12] == b"AVI "
    return header[4:8] in _FIRST_BOXES and header[8:12] not in _IMAGE_BRANDS
