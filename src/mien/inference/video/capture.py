"""Frame sources: a video file, a camera, a network stream.

A video file yields every frame in order; a live source yields the newest frame and drops those that nobody had time for.

Convention: ``(H, W, 3)`` uint8 RGB, upright by the file's rotation tag; seconds since the first frame.
"""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.errors import SourceError
from mien.faces.images import MAX_PIXELS, UnreadableImage
from mien.runtime.regular_files import NotAFileError, open_regular

URL_SCHEMES = ("rtsp://", "rtsps://", "http://", "https://")
# Consecutive failed reads after which a video file has ended; a damaged part may cost one or two.
MAX_FAILED_READS = 8
# A live source may miss frames for this long before it has ended.
LIVE_TIMEOUT_S = 1.0
NETWORK_TIMEOUT_MS = 10_000
# A higher frame rate is an error in the file; the default is assumed instead.
MAX_FRAME_RATE, DEFAULT_FRAME_RATE = 1000.0, 25.0
# The frame count in a file's header is an estimate in some formats: this many frames, and this fraction, may be missing.
MAX_MISSING_FRAMES, MAX_MISSING_RATIO = 2, 0.02
# How much of a file identifies its format: a transport stream is recognized by its second packet.
HEADER_BYTES, PACKET_BYTES = 189, 188


class Frame(NamedTuple):
    """A frame, or a placeholder for frames that cannot be read.

    Attributes:
        number: 0-based; for a live source it counts all frames delivered, so that dropped ones leave gaps.
        seconds: since the first frame.
        image_rgb: ``(H, W, 3)`` uint8, or None.
        problem: (status, detail) if it cannot be read.
    """

    number: int
    seconds: float
    image_rgb: NDArray[np.uint8] | None
    problem: tuple[str, str] | None = None


class Capture(Protocol):
    """The part of `cv2.VideoCapture` that is used here."""

    def read(self) -> tuple[bool, Any]:
        """Return whether there is another frame, and its BGR pixels."""

    def get(self, what: int, /) -> float:
        """Return a property, 0 if unknown."""

    def release(self) -> None:
        """Close the device or file."""


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


class VideoFile:
    """A video of finite length: every frame, in order."""

    is_live = False

    def __init__(self, name: str, capture: Capture) -> None:
        """Take ownership of an open capture."""
        self.name = name
        self.frame_rate = _frame_rate(capture)
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
            if width * height > MAX_PIXELS:
                detail = f"frames of {width}x{height} pixels, the limit is {MAX_PIXELS:,}"
                yield Frame(0, 0.0, None, ("image_too_large", detail))
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
                    first, n_lost = number, max(1, round((seconds - expected_s) * self.frame_rate))
                    number += n_lost
                    which = f"frame {first:,}" if n_lost == 1 else f"frames {first:,} to {number - 1:,}"
                    yield Frame(first, expected_s, None, ("damaged_frame", f"{which} cannot be read"))
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
        self.frame_rate = _frame_rate(capture)
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


def _frame_rate(capture: Capture) -> float:
    frame_rate = capture.get(cv2.CAP_PROP_FPS)
    return frame_rate if 0 < frame_rate <= MAX_FRAME_RATE else DEFAULT_FRAME_RATE


def open_frames(source: str | Path | int) -> FrameSource:
    """Open a video file, a camera by its index, or a URL.

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
        url = str(source)
        timeouts = [
            *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, NETWORK_TIMEOUT_MS),
            *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, NETWORK_TIMEOUT_MS),
        ]
        capture = _open_quietly(url, cv2.CAP_FFMPEG, timeouts)
        name = strip_credentials(url)
        if not capture.isOpened():
            raise SourceError(f"{name} provides no video. Check the URL, the password and the network")
        video = VideoFile(name, capture)
        return LiveStream(name, capture) if video.n_frames is None else video
    return _open_file(Path(source))


def _open_file(path: Path) -> VideoFile:
    header = read_header(path)
    if not header:
        raise UnreadableImage("empty_file", "the file has 0 bytes")
    # As an absolute path, no name is mistaken for a URL or a numbered image sequence.
    name = opencv_path(path.resolve())
    capture = _open_quietly(name, cv2.CAP_FFMPEG)
    if not capture.isOpened():
        capture = _open_quietly(name)
    if not capture.isOpened():
        if is_video_content(header):
            raise UnreadableImage("truncated_video", "the file ends early, or its header is damaged")
        raise UnreadableImage("not_a_video", f"begins with {header[:16]!r}")
    return VideoFile(str(path), capture)


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


def is_camera_index(source: str) -> bool:
    """Return whether a name is a camera index: digits, unless a file has that name."""
    return source.isascii() and source.isdigit() and not Path(source).exists()


def is_url(source: str) -> bool:
    """Return whether a name is the URL of a stream."""
    return source.lower().startswith(URL_SCHEMES)


def strip_credentials(url: str) -> str:
    """Return a URL without its user name and password, so that it can be shown and written."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def read_header(path: Path) -> bytes:
    """Return the first `HEADER_BYTES` of a file, which identify its format.

    Raises:
        UnreadableImage: it does not exist or cannot be read.
    """
    try:
        with open_regular(path) as file:
            return file.read(HEADER_BYTES)
    except FileNotFoundError:
        raise UnreadableImage("missing_file", "the file does not exist") from None
    except NotAFileError as error:
        raise UnreadableImage("not_a_file", str(error.strerror)) from None
    except OSError as error:
        raise UnreadableImage("unreadable_file", error.strerror or str(error)) from None


# Matroska and WebM, Flash, Windows Media, Ogg, MPEG program and video streams.
_MAGIC_NUMBERS = (b"\x1aE\xdf\xa3", b"FLV\x01", b"0&\xb2u", b"OggS", b"\0\0\x01\xba", b"\0\0\x01\xb3")
# ISO base media files (ISO/IEC 14496-12): those that are images, and the types of a first box.
_IMAGE_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif", b"avis")
_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


def is_video_content(header: bytes) -> bool:
    """Return whether the first `HEADER_BYTES` of a file are those of a video, whatever its name."""
    if header.startswith(_MAGIC_NUMBERS) or (header[:1] == b"G" and header[PACKET_BYTES:] == b"G"):
        return True
    if header[:4] == b"RIFF":
        return header[8:12] == b"AVI "
    return header[4:8] in _FIRST_BOXES and header[8:12] not in _IMAGE_BRANDS
