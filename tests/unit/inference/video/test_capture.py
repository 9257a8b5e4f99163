"""Frame sources: files, cameras, URLs."""

import contextlib
import functools
import struct
import threading
from collections.abc import Callable
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mien.errors import SourceError
from mien.faces.images import UnreadableImage, to_rgb
from mien.inference.image_input import read_input
from mien.inference.video import capture as capture_module
from mien.inference.video import demuxed
from mien.inference.video.capture import (
    LiveStream,
    VideoFile,
    is_camera_index,
    is_video_content,
    open_frames,
)
from mien.inference.video.frames import DEFAULT_FRAME_RATE

WAIT_S = 20.0


@pytest.fixture
def ten_frames(tools: Any) -> list[Any]:
    """Return ten frames, each of a different gray."""
    return [np.full((48, 64, 3), 20 * index, np.uint8) for index in range(10)]


def test_frames_of_a_file_are_in_order_with_number_and_seconds(
    tmp_path: Path, tools: Any, ten_frames: list[Any]
) -> None:
    path = tools.write_video(tmp_path / "a.avi", ten_frames, rate=20)
    source = open_frames(path)
    assert (source.n_frames, source.frame_rate, source.is_live, source.name) == (10, 20, False, str(path))
    received = list(source)
    assert [frame.number for frame in received] == list(range(10))
    assert [frame.seconds for frame in received] == pytest.approx([index / 20 for index in range(10)])
    assert [int(frame.image_rgb[0, 0, 0]) for frame in received] == [20 * index for index in range(10)]


def test_pixels_are_rgb(tmp_path: Path, tools: Any) -> None:
    path = tools.write_video(tmp_path / "a.avi", [tools.draw_frame(("Neutral", 0, 0, 160))] * 2)
    (frame, _) = open_frames(path)
    assert frame.image_rgb[60, 60].tolist() == [255, 0, 0]


def test_times_are_the_timestamps_of_a_variable_rate_file(tools: Any, ten_frames: list[Any]) -> None:
    """Ten frames with timestamps of 0, 40, 200 ms and so on after the camera's clock."""
    timestamps = [1000.0, 1040, 1200, 1201, 1500, 1600, 1700, 1800, 1900, 2500]
    capture = tools.FakeCapture(ten_frames, FPS=25, FRAME_COUNT=10)
    capture.get = lambda what: timestamps[capture.n_read - 1] if what == cv2.CAP_PROP_POS_MSEC else 25
    seconds = [frame.seconds for frame in VideoFile("a", capture)][:10]
    assert seconds == pytest.approx([(time - 1000) / 1000 for time in timestamps])


def test_times_follow_the_frame_rate_without_timestamps(tools: Any, ten_frames: list[Any]) -> None:
    capture = tools.FakeCapture(ten_frames, FPS=50, FRAME_COUNT=10)
    assert [frame.seconds for frame in VideoFile("a", capture)] == pytest.approx(
        [index / 50 for index in range(10)]
    )


@pytest.mark.parametrize("rate", [0.0, -1.0, 90000.0, float("nan")])
def test_an_impossible_frame_rate_is_replaced(tools: Any, ten_frames: list[Any], rate: float) -> None:
    assert VideoFile("a", tools.FakeCapture(ten_frames, FPS=rate)).frame_rate == DEFAULT_FRAME_RATE


def test_the_rotation_tag_is_applied(tmp_path: Path, tools: Any) -> None:
    """A phone held upright writes sideways frames and a matrix in the track header."""
    sideways = tools.draw_frame(("Neutral", 0, 0, 40))
    path = tmp_path / "a.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30, (160, 120))
    for _ in range(3):
        writer.write(np.ascontiguousarray(sideways[:, :, ::-1]))
    writer.release()
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    one = 1 << 16
    data[matrix : matrix + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 120 * one, 0, 1 << 30)
    path.write_bytes(data)
    frame = next(iter(open_frames(path)))
    assert frame.image_rgb.shape == (160, 120, 3)
    # rotated clockwise by 90 degrees, the upper left corner becomes the upper right one
    assert frame.image_rgb[10, 110, 0] > 200
    assert frame.image_rgb[10, 10, 0] < 150


def test_a_damaged_part_has_a_frame_without_pixels_and_the_rest_is_yielded(
    tools: Any, ten_frames: list[Any]
) -> None:
    capture = tools.FakeCapture([*ten_frames[:4], None, None, *ten_frames[6:]], FPS=10, FRAME_COUNT=10)
    capture.get = lambda what: {
        cv2.CAP_PROP_POS_MSEC: (capture.n_read - 1) * 100.0,
        cv2.CAP_PROP_FPS: 10.0,
        cv2.CAP_PROP_FRAME_COUNT: 10.0,
    }.get(what, 0.0)
    received = list(VideoFile("a", capture))
    assert [frame.number for frame in received] == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert received[4].image_rgb is None
    assert received[4].problem == ("damaged_frame", "frames 4 to 5 cannot be read")
    assert received[5].seconds == pytest.approx(0.6)
    assert capture.is_released


def test_lost_frames_are_counted_by_the_length_of_the_damage(tools: Any, ten_frames: list[Any]) -> None:
    """Slow frames before it do not count as lost."""
    timestamps = [0.0, 1000, 2000, 3000, 4000, 4040, 4080, 4120, 4160, 4200]
    capture = tools.FakeCapture([*ten_frames[:5], None, *ten_frames[6:]], FPS=25, FRAME_COUNT=10)
    capture.get = lambda what: timestamps[capture.n_read - 1] if what == cv2.CAP_PROP_POS_MSEC else 25
    received = list(VideoFile("a", capture))
    assert received[5].problem == ("damaged_frame", "frame 5 cannot be read")
    assert [frame.number for frame in received[:10]] == list(range(10))


def test_a_premature_end_is_reported(tmp_path: Path, tools: Any, ten_frames: list[Any]) -> None:
    path = tools.write_video(
        tmp_path / "a.avi", [np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)] * 30
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    received = list(open_frames(path))
    assert 5 < len(received) < 25
    assert received[-1].problem is not None
    assert received[-1].problem[0] == "truncated_video"
    assert "of 30" in received[-1].problem[1]
    assert all(frame.image_rgb is not None for frame in received[:-1])


def test_a_complete_file_ends_without_a_problem(tmp_path: Path, tools: Any, ten_frames: list[Any]) -> None:
    received = list(open_frames(tools.write_video(tmp_path / "a.mkv", ten_frames)))
    assert len(received) == 10
    assert received[-1].problem is None


def test_a_video_without_frames(tools: Any) -> None:
    (frame,) = VideoFile("a", tools.FakeCapture([]))
    assert frame.problem is not None
    assert frame.problem[0] == "no_frames"


def test_frames_above_the_pixel_limit(tools: Any, ten_frames: list[Any]) -> None:
    capture = tools.FakeCapture(ten_frames, FRAME_WIDTH=20_000, FRAME_HEIGHT=10_000)
    (frame,) = VideoFile("a", capture)
    assert frame.problem is not None
    assert frame.problem[0] == "image_too_large"
    assert (capture.n_read, capture.is_released) == (0, True)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(None, "missing_file", id="missing"),
        pytest.param(b"", "empty_file", id="empty"),
        pytest.param(b"a letter to the editor", "not_a_video", id="text"),
        pytest.param(b"\0\0\0\x18ftypisom" + bytes(200), "truncated_video", id="header only"),
    ],
)
def test_a_file_that_is_not_a_video(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "a.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadableImage) as error:
        open_frames(path)
    assert error.value.reason == reason


@pytest.mark.parametrize("suffix", ["avi", "mkv", "mp4", "mov", "webm"])
def test_videos_are_recognized_by_content(tmp_path: Path, ten_frames: list[Any], suffix: str) -> None:
    codec = "VP80" if suffix == "webm" else "mp4v"
    path = tmp_path / f"a.{suffix}"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), 30, (64, 48))
    if not writer.isOpened():
        pytest.skip(f"this OpenCV cannot write {suffix}")
    writer.write(ten_frames[3])
    writer.release()
    assert is_video_content(path.read_bytes()[: capture_module.HEADER_BYTES])


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\xff\xd8\xff\xe0",
        b"\x89PNG\r\n",
        b"RIFF\0\0\0\0WEBP",
        b"\0\0\0\x18ftypheic",
        b"\0\0\0\x18ftypavif",
        b"text of a file",
    ],
)
def test_images_and_text_are_not_videos(header: bytes) -> None:
    assert not is_video_content(header)


def test_a_slow_consumer_gets_the_newest_frame_of_a_camera(tools: Any, ten_frames: list[Any]) -> None:
    """While the consumer holds the first frame, the camera continues to the eighth."""
    is_first_taken, is_eighth_shown = threading.Event(), threading.Event()

    def before_read(index: int) -> None:
        if index == 1:
            is_first_taken.wait(WAIT_S)
        if index == 8:
            is_eighth_shown.set()
            is_consumer_back.wait(WAIT_S)

    is_consumer_back = threading.Event()
    capture = tools.FakeCapture(ten_frames, before_read=before_read, FPS=30)
    received = iter(LiveStream("camera 0", capture))
    assert next(received).number == 0
    is_first_taken.set()
    assert is_eighth_shown.wait(WAIT_S)
    newest = next(received)
    assert newest.number == 7
    assert newest.image_rgb is not None
    assert newest.image_rgb[0, 0, 0] == 140
    is_consumer_back.set()
    received.close()  # type: ignore[attr-defined]
    assert capture.is_released


def test_an_unplugged_camera_ends_with_a_reason(
    tools: Any, ten_frames: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture_module, "LIVE_TIMEOUT_S", 0.05)
    capture = tools.FakeCapture(ten_frames, FPS=30)
    *received, last = LiveStream("camera 0", capture)
    assert received[-1].number == 9
    assert last.problem == ("stream_ended", "no more frames from camera 0")
    assert last.number == 10
    assert capture.is_released


def test_a_camera_may_miss_a_frame(
    tools: Any, ten_frames: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture_module, "LIVE_TIMEOUT_S", 0.5)
    capture = tools.FakeCapture([ten_frames[0], None, ten_frames[2]], FPS=30)
    *received, _ = LiveStream("camera 0", capture)
    assert received[-1].number == 1
    assert received[-1].image_rgb[0, 0, 0] == 40


def test_a_camera_that_never_delivers_a_frame(tools: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_module, "LIVE_TIMEOUT_S", 0.05)
    (only,) = LiveStream("camera 0", tools.FakeCapture([]))
    assert only.problem is not None
    assert (only.number, only.problem[0]) == (0, "stream_ended")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_camera_is_released_when_its_thread_fails(tools: Any, ten_frames: list[Any]) -> None:
    """Whatever fails in the thread, the consumer learns that there are no more frames."""

    def before_read(index: int) -> None:
        if index == 3:
            raise MemoryError

    capture = tools.FakeCapture(ten_frames, before_read=before_read)
    *_, last = LiveStream("camera 0", capture)
    assert last.problem == ("stream_ended", "no more frames from camera 0")
    assert capture.is_released


def test_frames_of_an_unknown_pixel_format_are_skipped(
    tools: Any, ten_frames: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some cameras deliver two raw channels."""
    monkeypatch.setattr(capture_module, "LIVE_TIMEOUT_S", 0.5)
    capture = tools.FakeCapture([np.zeros((4, 4, 2), np.uint8), ten_frames[1]])
    first, _ = LiveStream("camera 0", capture)
    assert first.image_rgb is not None
    assert first.image_rgb[0, 0, 0] == 20


def test_a_missing_camera() -> None:
    with pytest.raises(SourceError, match="Camera 93 cannot be opened"):
        open_frames(93)


def test_a_negative_camera_index() -> None:
    with pytest.raises(ValueError, match="0 or more, got -1"):
        open_frames(-1)


def test_a_url_without_a_video(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match=r"http://127\.0\.0\.1:9/x provides no video"):
        open_frames("http://me:secret@127.0.0.1:9/x")


def test_a_video_at_a_url_is_read_completely(tmp_path: Path, tools: Any, ten_frames: list[Any]) -> None:
    """From a local server; the file has a known length, so no frame is dropped."""
    tools.write_video(tmp_path / "a.avi", ten_frames)
    handler = functools.partial(QuietHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        received = list(open_frames(f"http://127.0.0.1:{server.server_port}/a.avi"))
        server.shutdown()
    assert [frame.number for frame in received] == list(range(10))
    assert [frame.problem for frame in received] == [None] * 10


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files without logging."""

    def log_message(self, *_args: Any) -> None:
        """Log nothing."""

    def copyfile(self, source: Any, outputfile: Any) -> None:
        """Tolerate clients that disconnect early."""
        with contextlib.suppress(ConnectionError):
            super().copyfile(source, outputfile)


def test_a_url_is_a_video_or_a_live_stream(
    tools: Any, ten_frames: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By whether its length is known, read through OpenCV."""
    monkeypatch.setattr(capture_module, "import_av", lambda: None)
    for count, is_live in ((10, False), (-9e15, True)):
        capture = tools.FakeCapture(ten_frames, FPS=30, FRAME_COUNT=count)
        capture.isOpened = lambda: True
        monkeypatch.setattr(capture_module, "_open_quietly", lambda *_, capture=capture: capture)
        source = open_frames("rtsp://me:secret@camera.local/stream?token=f00")
        assert (source.is_live, source.name) == (is_live, "rtsp://camera.local/stream?token=***")


def test_a_server_that_falls_silent_ends_the_stream(
    tmp_path: Path, tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream without an end sends some frames, and nothing more."""
    pytest.importorskip("av", reason="the extra video")
    monkeypatch.setattr(demuxed, "NETWORK_TIMEOUT_S", 0.5)
    monkeypatch.setattr(capture_module, "LIVE_TIMEOUT_S", 0.2)
    frames = [np.full((48, 64, 3), value, np.uint8) for value in range(0, 250, 5)]
    data = tools.write_video(tmp_path / "a.mkv", frames).read_bytes()
    # The duration of the file's header, as a stream that is recorded now has none.
    data = data.replace(b"\x44\x89\x88", b"\xec\x89\x88")
    is_done = threading.Event()

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(data[: len(data) * 3 // 4])
                self.wfile.flush()
                is_done.wait(WAIT_S)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = open_frames(f"http://127.0.0.1:{server.server_port}/live?token=f00")
        *received, last = source
        is_done.set()
        server.shutdown()
    assert source.is_live
    assert received
    assert last.problem == ("stream_ended", f"no more frames from {source.name}")
    assert "f00" not in source.name


def test_digits_are_a_camera_unless_a_file_has_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_camera_index("0")
    assert not is_camera_index("0a")
    (tmp_path / "0").touch()
    assert not is_camera_index("0")


def odd_images(folder: Path) -> list[Path]:
    """Write images that FFmpeg decodes otherwise than `Model.predict`, or that only FFmpeg decodes."""
    pixels = np.zeros((40, 60, 4), np.uint8)
    pixels[:, :30] = 200
    image = Image.fromarray(pixels, "RGBA")
    names = ["clear.png", "turned.jpg", "deep.png", "video.mp4", "a.pcx", "a.tga", "a.pdf"]
    paths = [folder / name for name in names]
    image.save(paths[0])
    exif = Image.Exif()
    exif[0x0112] = 6
    image.convert("RGB").save(paths[1], exif=exif)
    Image.fromarray(np.full((40, 60), 4000, np.uint16)).save(paths[2])
    paths[3].write_bytes(paths[1].read_bytes())
    for path in paths[4:]:
        image.convert("RGB").save(path)
    return paths


@pytest.mark.parametrize("index", range(7))
def test_an_image_in_place_of_a_video_is_read_as_an_image(tmp_path: Path, index: int) -> None:
    """The same pixels, or the same reason, as for `Model.predict`."""
    pytest.importorskip("av")
    path = odd_images(tmp_path)[index]

    def read(how: Callable[[Path], NDArray[np.uint8]]) -> Any:
        try:
            return how(path).tolist()
        except UnreadableImage as error:
            return error.reason, error.detail

    assert read(lambda path: next(iter(open_frames(path))).image_rgb) == read(
        lambda path: to_rgb(read_input(path)[0])
    )


def test_an_image_at_a_url_is_read_as_an_image(tmp_path: Path) -> None:
    """Not by FFmpeg, which ignores how it is to be turned."""
    pytest.importorskip("av")
    path = odd_images(tmp_path)[1]
    handler = functools.partial(QuietHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (frame,) = open_frames(f"http://127.0.0.1:{server.server_address[1]}/{path.name}")
        server.shutdown()
    assert frame.image_rgb.shape == (60, 40, 3)
    np.testing.assert_array_equal(frame.image_rgb, to_rgb(read_input(path)[0]))


@pytest.mark.parametrize(
    ("name", "reason", "hint"),
    [
        ("", "missing_file", "path is empty"),
        ("~/a.mp4", "missing_file", "only a shell"),
        ("a\0b", "unreadable_file", "null"),
    ],
)
def test_a_name_that_cannot_be_a_file_is_explained(name: str, reason: str, hint: str) -> None:
    with pytest.raises(UnreadableImage, match=hint) as error:
        open_frames(name)
    assert error.value.reason == reason
