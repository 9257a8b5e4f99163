"""Encoders of annotated videos: codec, times, size and failures."""

import contextlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mien.predict import video_encoders
from mien.predict.video_encoders import MAX_STALL_S, OpenCvEncoder, TimedEncoder, open_encoder


def image(value: int = 90, size_wh: tuple[int, int] = (320, 240)) -> Any:
    """Return a gray image."""
    return np.full((size_wh[1], size_wh[0], 3), value, np.uint8)


def write(path: Path, times: list[float], *, rate: float = 10, is_live: bool = False) -> Path:
    """Write frames shown from these times on."""
    path.touch()
    encoder = open_encoder(path, (320, 240), frame_rate=rate, is_live=is_live)
    for seconds in times:
        encoder.write(image(), seconds)
    encoder.close()
    return path


def read_times(path: Path) -> list[float]:
    """Return the time of each frame, as FFmpeg reads it."""
    av = pytest.importorskip("av", reason="the extra video")
    with av.open(str(path)) as container:
        return [float(frame.time) for frame in container.decode(video=0)]


@pytest.fixture
def without_av(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have PyAV missing."""
    monkeypatch.setattr(video_encoders, "import_av", lambda: None)


def test_browsers_can_play_the_video_before_it_is_loaded_completely(tmp_path: Path) -> None:
    """H.264 with 4:2:0 chroma, and the index before the frames."""
    av = pytest.importorskip("av", reason="the extra video")
    path = write(tmp_path / "a.mp4", [0.0, 0.1])
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    data = path.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("is_live", [False, True])
def test_every_frame_is_shown_at_its_own_time(tmp_path: Path, is_live: bool) -> None:
    """Of a variable rate, counted from the first frame; one that is not later follows right away."""
    pytest.importorskip("av", reason="the extra video")
    times = read_times(write(tmp_path / "a.mp4", [2.0, 2.01, 2.5, 2.5, 7.0], is_live=is_live))
    assert times == pytest.approx([0, 0.01, 0.5, 0.5, 5.0], abs=1e-4)


def test_a_source_that_stalls_is_shortened(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="the extra video")
    times = read_times(write(tmp_path / "a.mp4", [0.0, 86_400.0, 86_400.5], is_live=True))
    assert times == pytest.approx([0, MAX_STALL_S, MAX_STALL_S + 0.5], abs=1e-4)


def test_pixels_survive(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.touch()
    encoder = open_encoder(path, (320, 240), frame_rate=10, is_live=False)
    encoder.write(image(180), 0.0)
    encoder.close()
    is_there, pixels = cv2.VideoCapture(str(path)).read()
    assert is_there
    assert np.abs(pixels.astype(int) - 180).mean() < 3


def test_a_name_that_is_not_valid_unicode(tmp_path: Path) -> None:
    try:
        path = write(tmp_path / "a\udcff.mp4", [0.0])
    except OSError:
        pytest.skip("this file system has no such names")
    assert path.stat().st_size > 500


@pytest.mark.parametrize("rate", [0.0004, 0.5, 23.976, 64.9994, 119.683, 655.371, 1000])
def test_any_frame_rate_can_be_written(tmp_path: Path, rate: float) -> None:
    """Irregular frames have a mean rate of many digits."""
    assert len(read_times(write(tmp_path / "a.mp4", [0.0, 1 / rate], rate=rate))) == 2


@pytest.mark.parametrize("rate", [0.0004, 0.5, 23.976, 64.9994, 119.683, 655.371, 1000])
def test_opencv_can_write_any_frame_rate(tmp_path: Path, without_av: None, rate: float) -> None:
    path = write(tmp_path / "a.mp4", [0.0, 0.1], rate=rate)
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 2
    if rate > 0.01:
        assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(rate, rel=1e-4)


@pytest.mark.parametrize(
    ("times", "rate", "is_live", "n_frames"),
    [
        pytest.param([0.0, 0.1, 1.0], 10, True, 11, id="a camera is shown in real time"),
        pytest.param([0.0, 86_400.0, 86_400.5, 86_401.5], 2, True, 2 + 2 * MAX_STALL_S + 3, id="stalls"),
        pytest.param([0.0, 0.01, 5.0], 10, False, 3, id="frames of a file are not repeated"),
    ],
)
def test_opencv_repeats_frames_of_a_live_source(
    tmp_path: Path, without_av: None, times: list[float], rate: float, is_live: bool, n_frames: int
) -> None:
    path = write(tmp_path / "a.mp4", times, rate=rate, is_live=is_live)
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT) == n_frames


@pytest.mark.parametrize("encoder_class", [TimedEncoder, OpenCvEncoder])
def test_a_full_disk_is_an_error(tmp_path: Path, encoder_class: type) -> None:
    """Files are limited to 20 kB: writes fail as on a full disk."""
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    if encoder_class is TimedEncoder:
        pytest.importorskip("av", reason="the extra video")
    path = tmp_path / "a.mp4"
    path.touch()
    noise = np.random.default_rng(0).integers(0, 255, (20, 240, 320, 3), dtype=np.uint8)

    def write_noise() -> None:
        for index, pixels in enumerate(noise):
            encoder.write(pixels, index / 10)
        encoder.close()

    arguments: dict[str, Any] = {"frame_rate": 10}
    if encoder_class is TimedEncoder:
        encoder: Any = TimedEncoder(path, "libx264", (320, 240), **arguments)
    else:
        encoder = OpenCvEncoder(path, (320, 240), is_live=False, **arguments)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(OSError):  # noqa: PT011 - its text is the system's
            write_noise()
        with contextlib.suppress(OSError):
            encoder.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
