"""Where frames come from: a video file, a camera, an address of the network.

A recording gives every frame in order; what is live gives the newest frame and drops those that nobody had time for.

Convention: ``(H, W, 3)`` uint8 RGB, turned upright by the file's rotation mark; seconds from the first frame on.
"""

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.errors import SourceError
from mien.faces.images import MAX_PIXELS, UnreadableImage
from mien.inputs import NotAFileError, open_regular

ADDRESSES = ("rtsp://", "rtsps://", "http://", "https://")
# Reads that fail in a row, until a recording counts as ended; a damaged part may cost one or two.
MAX_FAILED_READS = 8
# A camera is given this long to come back: it may miss a frame.
LIVE_PATIENCE_S = 1.0
NETWORK_TIMEOUT_MS = 10_000
# A rate that no camera has is a mistake of the file; then this one counts.
MAX_RATE, USUAL_RATE = 1000.0, 25.0
# The number of frames that a file tells is an estimate in some formats: so many may lack, and this share.
MISSING_FRAMES, MISSING_SHARE = 2, 0.02
# So much of a file tells what it is: a transport stream shows itself at its second packet.
HEADER_BYTES, PACKET_BYTES = 189, 188


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame, or the place of one that cannot be read.

    Attributes:
        number: 0-based; of a camera the number among all that it delivered, so that dropped ones show.
        seconds: from the first frame.
        image_rgb: ``(H, W, 3)`` uint8, or None.
        problem: (status, detail) of what cannot be read.
    """

    number: int
    seconds: float
    image_rgb: NDArray[np.uint8] | None
    problem: tuple[str, str] | None = None


class Capture(Protocol):
    """What is used of `cv2.VideoCapture`."""

    def read(self) -> tuple[bool, Any]:
        """Return whether there is another frame, and its BGR pixels."""

    def get(self, what: int, /) -> float:
        """Return a property, 0 where it is not known."""

    def release(self) -> None:
        """Let go of the device or file."""


class FrameSource(Protocol):
    """Gives frames once, and lets go of the device or file at the end.

    Attributes:
        name: as a person named it.
        is_live: frames that nobody takes in time are dropped.
        rate: frames a second, as the source tells.
        n_frames: how many there will be, as the file tells; None where nobody knows.
    """

    name: str
    is_live: bool
    rate: float
    n_frames: int | None

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames."""


class Recording:
    """A video with an end: every frame, in order."""

    is_live = False

    def __init__(self, name: str, capture: Capture) -> None:
        """Take over a capture that is open."""
        self.name = name
        self.rate = _rate(capture)
        n_frames = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.n_frames = int(n_frames) if 0 < n_frames < 2**40 else None
        self._capture = capture

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames; what is damaged has a frame without pixels, and so has an end that comes too early."""
        try:
            problem = _too_large(self._capture)
            if problem is not None:
                yield Frame(0, 0.0, None, problem)
            else:
                yield from self._frames()
        finally:
            self._capture.release()

    def _frames(self) -> Iterator[Frame]:
        number, failures = 0, 0
        times = _Times(self.rate)
        while failures <= MAX_FAILED_READS:
            image_rgb = _read(self._capture)
            if image_rgb is None:
                failures += 1
                continue
            seconds = times.of(number, self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
            if failures:
                n_lost = round((seconds - times.expected) * self.rate)
                lost, number = number, number + max(1, n_lost)
                yield Frame(lost, times.expected, None, ("damaged_frame", _lost_frames(lost, number - 1)))
            yield Frame(number, seconds, image_rgb)
            number, failures = number + 1, 0
        problem = self._problem_of_end(number)
        if problem is not None:
            yield Frame(number, times.next_after_last, None, problem)

    def _problem_of_end(self, n_read: int) -> tuple[str, str] | None:
        if n_read == 0:
            return "no_frames", "no frame of the video can be read"
        missing = (self.n_frames or 0) - n_read
        if missing > MISSING_FRAMES and missing > MISSING_SHARE * (self.n_frames or 0):
            return (
                "truncated_video",
                f"frame {n_read:,} and those behind it cannot be read, of {self.n_frames:,}",
            )
        return None


class _Times:
    """The seconds of a recording's frames: as the file tells, or by the rate where it tells nothing of use."""

    def __init__(self, rate: float) -> None:
        self._step = 1 / rate
        self._start: float | None = None
        self._last = -self._step
        self.expected = 0.0

    def of(self, number: int, told: float) -> float:
        """Return the seconds of the next frame that was read; they grow from frame to frame."""
        if self._start is None:
            self._start = told
        self.expected = self.next_after_last
        seconds = told - self._start
        if number > 0 and seconds <= self._last:
            seconds = self.expected
        self._last = seconds
        return seconds

    @property
    def next_after_last(self) -> float:
        """When a frame behind the last is expected."""
        return self._last + self._step


class Live:
    """A camera or stream: a thread takes every frame from it and keeps the newest alone."""

    is_live = True

    def __init__(self, name: str, capture: Capture) -> None:
        """Take over a capture that is open."""
        self.name = name
        self.rate = _rate(capture)
        self.n_frames: int | None = None
        self._capture = capture
        self._changed = threading.Condition()
        self._newest: Frame | None = None
        self._is_over = self._is_stopped = False

    def __iter__(self) -> Iterator[Frame]:
        """Yield the newest frame whenever one is asked for; at the end a frame without pixels says so."""
        thread = threading.Thread(target=self._keep_newest, name=f"frames of {self.name}", daemon=True)
        thread.start()
        last: Frame | None = None
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._newest is not None or self._is_over)
                    frame, self._newest = self._newest, None
                if frame is None:
                    break
                last = frame
                yield frame
            number, seconds = (0, 0.0) if last is None else (last.number + 1, last.seconds + 1 / self.rate)
            yield Frame(number, seconds, None, ("stream_ended", f"{self.name} gives no more frames"))
        finally:
            self._is_stopped = True
            thread.join()

    def _keep_newest(self) -> None:
        try:
            self._read_until_over()
        finally:
            self._capture.release()
            with self._changed:
                self._is_over = True
                self._changed.notify()

    def _read_until_over(self) -> None:
        number, start, last = 0, 0.0, time.monotonic()
        while not self._is_stopped and time.monotonic() - last <= LIVE_PATIENCE_S:
            image_rgb = _read(self._capture)
            now = time.monotonic()
            if image_rgb is None:
                time.sleep(0.01)
                continue
            start = start if number else now
            with self._changed:
                self._newest = Frame(number, now - start, image_rgb)
                self._changed.notify()
            number, last = number + 1, now


def _read(capture: Capture) -> NDArray[np.uint8] | None:
    try:
        is_there, image_bgr = capture.read()
        if not is_there or image_bgr is None or image_bgr.size == 0:
            return None
        order = cv2.COLOR_GRAY2RGB if image_bgr.ndim == 2 else cv2.COLOR_BGR2RGB
        return np.asarray(cv2.cvtColor(image_bgr, order), dtype=np.uint8)
    except cv2.error:
        return None


def _rate(capture: Capture) -> float:
    rate = capture.get(cv2.CAP_PROP_FPS)
    return rate if 0 < rate <= MAX_RATE else USUAL_RATE


def _too_large(capture: Capture) -> tuple[str, str] | None:
    width, height = (int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height <= MAX_PIXELS:
        return None
    return "image_too_large", f"frames of {width}x{height} pixels, the limit is {MAX_PIXELS:,}"


def _lost_frames(first: int, last: int) -> str:
    which = f"frame {first:,}" if first == last else f"frames {first:,} to {last:,}"
    return f"{which} cannot be read"


def is_camera(source: str) -> bool:
    """Return whether a name is that of a camera: digits, where no file is called so."""
    return source.isascii() and source.isdigit() and not Path(source).exists()


def is_address(source: str) -> bool:
    """Return whether a name is an address of the network."""
    return source.lower().startswith(ADDRESSES)


def open_frames(source: str | Path | int) -> FrameSource:
    """Open a video file, a camera by its index, or an address.

    Raises:
        UnreadableImage: the file is no video, or cannot be read.
        SourceError: there is no such camera, or the address gives no video.
        ValueError: the camera's index is negative.
    """
    if isinstance(source, int) and source < 0:
        raise ValueError(f"a camera's index must be 0 or more, got {source}")
    if isinstance(source, int) or is_camera(str(source)):
        return _open_camera(int(str(source)))
    if is_address(str(source)):
        return _open_address(str(source))
    return _open_file(Path(source))


def _open_camera(index: int) -> Live:
    capture = _quiet_capture(index)
    if not capture.isOpened():
        raise SourceError(
            f"Camera {index} cannot be opened. Connect it, close other programs that use it, or name another index"
        )
    return Live(f"camera {index}", capture)


def _open_address(address: str) -> FrameSource:
    limits = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
        NETWORK_TIMEOUT_MS,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC,
        NETWORK_TIMEOUT_MS,
    ]
    capture = _quiet_capture(address, cv2.CAP_FFMPEG, limits)
    name = without_password(address)
    if not capture.isOpened():
        raise SourceError(f"{name} gives no video. Check the address, the password and the network")
    recording = Recording(name, capture)
    return Live(name, capture) if recording.n_frames is None else recording


def without_password(address: str) -> str:
    """Return an address without the name and password that may stand in it, so that it can be shown and written."""
    scheme, _, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def _open_file(path: Path) -> Recording:
    header = read_header(path)
    if not header:
        raise UnreadableImage("empty_file", "the file has 0 bytes")
    # As a whole path no name is taken for an address or a numbered series.
    name = name_for_opencv(path.resolve())
    capture = _quiet_capture(name, cv2.CAP_FFMPEG)
    if not capture.isOpened():
        capture = _quiet_capture(name)
    if not capture.isOpened():
        if is_video_content(header):
            raise UnreadableImage(
                "truncated_video", "the file ends early or is damaged where it tells what it holds"
            )
        raise UnreadableImage("not_a_video", f"begins with {header[:16]!r}")
    return Recording(str(path), capture)


def name_for_opencv(path: Path) -> Any:
    """Return a path as OpenCV takes it: as bytes where it is no Unicode, since such a `str` crashes the process."""
    name = str(path)
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return os.fsencode(path)
    return name


def read_header(path: Path) -> bytes:
    """Return the first bytes of a file, which tell what it is.

    Raises:
        UnreadableImage: it is not there or may not be read.
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


# Matroska and WebM, Flash, Windows Media, Ogg, MPEG programme and video streams.
_BEGINNINGS = (b"\x1aE\xdf\xa3", b"FLV\x01", b"0&\xb2u", b"OggS", b"\0\0\x01\xba", b"\0\0\x01\xb3")
# Of the files of boxes (ISO 14496-12) those that are pictures.
_PICTURE_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif", b"avis")
_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


def is_video_content(header: bytes) -> bool:
    """Return whether a file's first `HEADER_BYTES` bytes are those of a video, whatever its name says."""
    if header.startswith(_BEGINNINGS) or (header[:1] == b"G" and header[PACKET_BYTES:] == b"G"):
        return True
    if header[:4] == b"RIFF":
        return header[8:12] == b"AVI "
    return header[4:8] in _FIRST_BOXES and header[8:12] not in _PICTURE_BRANDS


def _quiet_capture(source: str | int, *options: Any) -> Any:
    """Return a capture; OpenCV and FFmpeg do not print what mien tells in one line of its own."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        return cv2.VideoCapture(source, *options)
    finally:
        cv2.utils.logging.setLogLevel(level)
