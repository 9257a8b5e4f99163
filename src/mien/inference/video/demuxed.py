"""Videos decoded by FFmpeg through PyAV: what the container and the decoder themselves say about each frame.

From them come the timestamps, the number of frames, the orientation, the shape of the pixels, the color matrix, and which
frames are damaged. PyAV is the extra ``video``; without it `capture` reads videos through OpenCV, which hides most of this.
"""

import heapq
import logging
import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.faces.images import UnreadableImage
from mien.inference.video.declared_size import count_missing_bytes
from mien.inference.video.frames import DAMAGED, Frame, damaged, plausible_frame_rate, square_size, too_large
from mien.runtime.cpu import usable_cpu_cores

_log = logging.getLogger(__name__)

# For opening a network source, and for each of its packets.
NETWORK_TIMEOUT_S = 10.0
# A local file may not make FFmpeg open an address, and an address may not make it open a local file.
_LOCAL_PROTOCOLS = "file"
_NETWORK_PROTOCOLS = "http,https,httpproxy,tls,tcp,udp,crypto,rtp,srtp,rtsp,rtsps"
# Sound may start this much before 0, to fill the encoder's first block: the clock still starts at 0.
MAX_PRIMING_S = 0.2
# Without a tag, players assume the color matrix of high definition from this height on.
HD_HEIGHT = 720
# Codecs with packets that show nothing: a packet without a frame is no damage.
_CODECS_WITH_HIDDEN_FRAMES = ("vp8",)


@cache
def import_av() -> Any:
    """Return PyAV, or None if it is not installed."""
    try:
        import av  # noqa: PLC0415 - an extra, and only videos need it
        import av.video.reformatter  # noqa: PLC0415
    except ImportError:
        return None
    # PyAV is silent until it is given a log level. That stays so: messages may contain an address with its password, and
    # the decoder's threads would wait for the interpreter to log them, which can be for ever.
    return av


def open_container(location: str | Path) -> Any:
    """Return an open PyAV container for a local file, or for a URL given as text.

    Raises:
        OSError: it cannot be opened: PyAV's errors are all of that kind.
        ValueError: FFmpeg does not recognize it.
    """
    av = import_av()
    settings: dict[str, Any] = {"metadata_errors": "replace"}
    if isinstance(location, str):
        settings |= {
            "options": {"protocol_whitelist": _NETWORK_PROTOCOLS},
            "timeout": (NETWORK_TIMEOUT_S, NETWORK_TIMEOUT_S),
        }
        if location.lower().startswith("rtsp"):
            settings["options"]["rtsp_transport"] = "tcp"
        return av.open(location, **settings)
    # As an absolute path with its protocol, no name is mistaken for another protocol or a numbered image sequence.
    path = str(location.resolve())
    try:
        path.encode()
    except UnicodeEncodeError:
        # PyAV takes names in UTF-8 only.
        return av.open(location.open("rb"), **settings)
    return av.open(f"file:{path}", options={"protocol_whitelist": _LOCAL_PROTOCOLS}, **settings)


def close_container(container: Any) -> None:
    """Close a container, and the file object that it may read from."""
    container.close()
    if container.file is not None:
        container.file.file.close()


def holds_image(container: Any) -> bool:
    """Return whether a container is an image file, which FFmpeg opens as a video of one frame."""
    return container.format.name in ("image2", "ico") or container.format.name.endswith("_pipe")


def find_video_stream(container: Any) -> Any:
    """Return the stream with the moving images.

    Raises:
        UnreadableImage: there is none; the cover of a music file is not one.
    """
    av = import_av()
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & av.stream.Disposition.attached_pic and stream.codec_context is not None
    ]
    if not streams:
        kinds = sorted({stream.type for stream in container.streams}) or ["no"]
        raise UnreadableImage("no_video_stream", f"the file has {' and '.join(kinds)} streams, but no video")
    best = container.streams.best("video")
    return best if best in streams else streams[0]


class DemuxedVideo:
    """A video of finite length: every frame, in order."""

    is_live = False

    def __init__(
        self, name: str, container: Any, *, path: Path | None = None, start_seconds: float = 0.0
    ) -> None:
        """Take ownership of an open container.

        Args:
            name: as shown to a person.
            container: from `open_container`.
            path: of a local file, whose size is checked at the end.
            start_seconds: frames before this time are skipped, and not decoded where the file allows that.

        Raises:
            UnreadableImage: it has no video stream.
        """
        self.name = name
        self._container, self._path, self._start_seconds = container, path, start_seconds
        self._stream = find_video_stream(container)
        context = self._stream.codec_context
        context.thread_type, context.thread_count = "AUTO", usable_cpu_cores()
        self.frame_rate = plausible_frame_rate(
            float(self._stream.average_rate or self._stream.guessed_rate or 0)
        )
        start_s = (container.start_time or 0) / 1e6
        # Matroska's duration is the time of the end, in a file that was cut too.
        duration_s = (container.duration or 0) / 1e6
        if container.format.name.startswith("matroska"):
            duration_s -= max(0.0, start_s)
        self.n_frames: int | None = self._stream.frames or max(0, round(duration_s * self.frame_rate)) or None
        self._clock_start_s = 0.0 if -MAX_PRIMING_S < start_s < 0 else start_s
        self._to_rgb = RgbConverter(self._stream)
        # The state of the iteration: packets read, the timestamps of those that have not become a frame, decoding errors.
        self._n_packets = 0
        self._due: list[int] = []
        self._damaged_packets: set[int] = set()
        self._n_errors = 0
        self._read_error = ""
        self._number, self._last_s = 0, -1 / self.frame_rate
        self._is_first = True
        self._damaged_reference: int | None = None

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames; a damaged frame and a premature end have one without pixels.

        A frame's time is its timestamp or, where there is none or it does not increase, follows from the frame rate.
        """
        try:
            refused = too_large(*self._to_rgb.size_wh)
            if refused is not None:
                yield refused
                return
            for decoded in self._decode():
                yield from self._frames_of(decoded)
            problem = self._problem_at_end()
            if problem is not None:
                yield Frame(self._number, self._last_s + 1 / self.frame_rate, None, problem)
        finally:
            close_container(self._container)

    def _decode(self) -> Iterator[Any]:
        """Yield the decoder's frames, and count what it cannot decode."""
        av = import_av()
        for packet in self._packets():
            if packet.pts is not None and packet.size and not packet.is_discard:
                heapq.heappush(self._due, packet.pts)
                if packet.is_corrupt:
                    self._damaged_packets.add(packet.pts)
            # The last packet is empty and drains the decoder, which may stop at an error before it is empty.
            for _attempt in range(1 if packet.size else self._stream.codec_context.thread_count + 1):
                try:
                    yield from packet.decode()
                    break
                except (av.FFmpegError, EOFError) as error:
                    if isinstance(error, EOFError):
                        break
                    self._n_errors += 1

    def _packets(self) -> Iterator[Any]:
        """Yield the packets from the last key frame before the start on, and count those before it as frames."""
        av = import_av()
        waiting: list[Any] | None = [] if self._start_seconds > 0 else None
        try:
            for packet in self._container.demux(self._stream):
                self._n_packets += bool(packet.size)
                if waiting is None:
                    yield packet
                    continue
                seconds = self._seconds(packet.pts)
                if packet.is_keyframe and seconds is not None and seconds <= self._start_seconds:
                    self._number += sum(1 for other in waiting if other.size and not other.is_discard)
                    waiting.clear()
                waiting.append(packet)
                if not packet.size or (seconds is not None and seconds > self._start_seconds + 1):
                    yield from waiting
                    waiting = None
        except av.FFmpegError as error:
            self._read_error = error.strerror or type(error).__name__

    def _seconds(self, pts: int | None) -> float | None:
        """Return a timestamp in seconds since the start of the file."""
        return None if pts is None else float(pts * self._stream.time_base) - self._clock_start_s

    def _frames_of(self, decoded: Any) -> Iterator[Frame]:
        """Yield the frame for a decoded one, after a placeholder for the frames lost before it."""
        expected_s = self._last_s + 1 / self.frame_rate
        seconds = self._seconds(decoded.pts)
        n_lost = self._count_lost(decoded.pts)
        if seconds is None or (seconds <= self._last_s and not self._is_first):
            seconds = expected_s
        if n_lost:
            yield damaged(self._number, n_lost, max(0.0, expected_s))
            self._damaged_reference = self._number
            self._number += n_lost
        number, self._is_first = self._number, False
        self._number, self._last_s = number + 1, seconds
        if decoded.is_corrupt or decoded.pts in self._damaged_packets:
            self._damaged_packets.discard(decoded.pts)
            self._damaged_reference = number
            detail = f"frame {number:,} is damaged, and the decoder filled in what it could not read"
            yield Frame(number, seconds, None, (DAMAGED, detail))
            return
        if decoded.key_frame:
            self._damaged_reference = None
        if seconds < self._start_seconds:
            return
        caveat = ""
        if self._damaged_reference is not None:
            caveat = f"frame {self._damaged_reference:,} is damaged, and this one is derived from it"
        yield Frame(number, seconds, self._to_rgb(decoded), caveat=caveat)

    def _count_lost(self, pts: int | None) -> int:
        """Return how many frames are missing before one with this timestamp: packets that became none, or errors."""
        n_errors, self._n_errors = self._n_errors, 0
        if pts is None or not self._due:
            return n_errors
        n_skipped = 0
        while self._due and self._due[0] < pts:
            heapq.heappop(self._due)
            n_skipped += 1
        if self._due and self._due[0] == pts:
            heapq.heappop(self._due)
        # Frames before the first one depend on what is not in the file, and are not shown by any player.
        may_be_hidden = self._is_first or self._stream.codec_context.name in _CODECS_WITH_HIDDEN_FRAMES
        return min(n_skipped, n_errors) if may_be_hidden else n_skipped

    def _problem_at_end(self) -> tuple[str, str] | None:
        if self._is_first:
            why = f": {self._read_error}" if self._read_error else ""
            if self._path is None and self._read_error:
                why += "; its server may not send parts of a file, as the format needs: download it, and pass its path"
            return "no_frames", f"no frame of the video can be read{why}"
        declared: int = self._stream.frames
        n_missing = declared - self._n_packets
        # Only ISO files count exactly; others are cut off if they are shorter than they state.
        is_short = "mov" in self._container.format.name and n_missing > 0
        n_missing_bytes = count_missing_bytes(self._path) if self._path is not None else 0
        rest = f"frames from {self._number:,} on cannot be read"
        if is_short or (n_missing_bytes and n_missing > 0):
            return "truncated_video", f"{rest}, of {declared:,}"
        if n_missing_bytes or self._read_error:
            why = self._read_error or f"the file ends {n_missing_bytes:,} bytes early"
            return "truncated_video", f"{rest}: {why}"
        if self._due and self._n_errors:
            return damaged(self._number, len(self._due), 0.0).problem
        return None


class LiveCapture:
    """A network stream without an end, as a `capture.Capture`: the next frame each time it is read."""

    def __init__(self, container: Any) -> None:
        """Take ownership of an open container.

        Raises:
            UnreadableImage: it has no video stream.
        """
        self._container = container
        self._stream = find_video_stream(container)
        # Decoding several frames at once would delay each of them.
        self._stream.codec_context.thread_type = "SLICE"
        self._to_rgb = RgbConverter(self._stream)
        self._decoded: Iterator[Any] = container.decode(self._stream)

    def read(self) -> tuple[bool, Any]:
        """Return whether there is another frame, and its BGR pixels."""
        av = import_av()
        try:
            decoded = next(self._decoded, None)
        except av.FFmpegError:
            return False, None
        if decoded is None or decoded.is_corrupt:
            return False, None
        return True, cv2.cvtColor(self._to_rgb(decoded), cv2.COLOR_RGB2BGR)

    def get(self, what: int, /) -> float:
        """Return the frame rate, else 0."""
        return float(self._stream.average_rate or 0) if what == cv2.CAP_PROP_FPS else 0.0

    def release(self) -> None:
        """Close the connection."""
        close_container(self._container)


class RgbConverter:
    """Converts decoded frames to RGB with square pixels, upright.

    Attributes:
        size_wh: of the frames with square pixels, before they are turned.
    """

    def __init__(self, stream: Any) -> None:
        """Read the shape of the pixels from a stream."""
        context = stream.codec_context
        # One for all frames: it takes a third of the time of converting each by itself.
        self._reformatter = import_av().video.reformatter.VideoReformatter()
        self._stretch = float(stream.sample_aspect_ratio or 1)
        # What replaces a color matrix that FFmpeg does not know.
        self._matrix: str | None = None
        self.size_wh = square_size(context.width, context.height, self._stretch)

    def __call__(self, decoded: Any) -> NDArray[np.uint8]:
        """Return ``(H, W, 3)`` uint8 RGB."""
        width, height = square_size(decoded.width, decoded.height, self._stretch)
        matrix = self._matrix
        if decoded.height >= HD_HEIGHT and decoded.colorspace == 2:  # unspecified
            matrix = "ITU709"
        try:
            converted = self._reformatter.reformat(
                decoded, width, height, "rgb24", src_colorspace=matrix, threads=1
            )
        except import_av().FFmpegError as error:
            if self._matrix is not None:
                raise
            self._matrix = "ITU709"
            _log.warning(
                "The colors of a video cannot be converted as it states (matrix %s: %s) and are taken for BT.709, which may "
                "change predictions: convert it to BT.709 first",
                decoded.colorspace,
                error.strerror,
            )
            return self(decoded)
        try:
            display = decoded.side_data.get("DISPLAYMATRIX")
        except ValueError:
            # PyAV lists none of the side data if it does not know the kind of one, such as EXIF (of a JPEG, or of a camera that
            # sends JPEGs). It still has the angle, in degrees counterclockwise, but not whether the frame is mirrored.
            angle = math.radians(getattr(decoded, "rotation", 0))
            sine, cosine = math.sin(angle), math.cos(angle)
            return turn_upright(converted.to_ndarray(), np.array([[cosine, -sine], [sine, cosine]]))
        if display is None:
            return turn_upright(converted.to_ndarray(), None)
        display_matrix = np.frombuffer(bytes(display), dtype=np.int32)[:9].reshape(3, 3).astype(np.float64)
        return turn_upright(converted.to_ndarray(), display_matrix)


def turn_upright(image_rgb: NDArray[np.uint8], matrix: NDArray[np.float64] | None) -> NDArray[np.uint8]:
    """Return an image turned and mirrored as a container's display matrix says, to the nearest quarter turn.

    Args:
        image_rgb: ``(H, W, 3)``.
        matrix: ``(3, 3)``: a point ``(x, y, 1)`` of the frame, times it, is where it is shown; None for upright.
    """
    if matrix is None:
        return image_rgb
    (a, b), (c, d) = matrix[:2, :2]
    if abs(b) > abs(a):
        image_rgb = image_rgb.transpose(1, 0, 2)
        a, d = c, b
    if a < 0:
        image_rgb = image_rgb[:, ::-1]
    if d < 0:
        image_rgb = image_rgb[::-1]
    return np.ascontiguousarray(image_rgb)
