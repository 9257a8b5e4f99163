"""What the container and the decoder say: times, damage, length, orientation, shape of pixels, colors."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mien.faces.images import UnreadableImage
from mien.inference.video import capture
from mien.inference.video.capture import open_frames
from mien.inference.video.frames import Frame

av: Any = pytest.importorskip("av", reason="the extra video")

MILLISECONDS = Fraction(1, 1000)


def texture(seed: int = 0, size_wh: tuple[int, int] = (160, 120)) -> NDArray[np.uint8]:
    """Return a smooth random image, which codecs cannot leave out."""
    noise = np.random.default_rng(seed).integers(0, 255, (size_wh[1], size_wh[0], 3), np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 3), dtype=np.uint8)


def encode(
    path: Path,
    images: Sequence[NDArray[np.uint8]],
    *,
    codec: str = "libx264",
    times: Sequence[int] | None = None,
    pixel_format: str = "yuv420p",
    sound_s: float = 0.0,
    options: dict[str, str] | None = None,
    **settings: Any,
) -> Path:
    """Write images at times in ms (default: 25 a second), with that much silence before and during the video."""
    unit = Fraction(1, 25) if times is None else MILLISECONDS
    times = range(len(images)) if times is None else times
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pixel_format
        stream.codec_context.time_base = unit
        for name, value in settings.items():
            setattr(stream.codec_context, name, value)
        sound = container.add_stream("aac", rate=8000) if sound_s else None
        if sound is not None:
            for start in range(0, round(8000 * sound_s), 1024):
                silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
                silence.sample_rate, silence.pts = 8000, start
                container.mux(sound.encode(silence))
            container.mux(sound.encode(None))
        for image, time in zip(images, times, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = time, unit
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def moving(n_frames: int) -> list[NDArray[np.uint8]]:
    """Return a texture that moves."""
    return [np.roll(texture(), 3 * index, axis=1) for index in range(n_frames)]


def damage_packet(path: Path, index: int) -> Path:
    """Overwrite the middle of a packet."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        position, size = packets[index].pos, packets[index].size
    data = bytearray(path.read_bytes())
    start, n_bytes = position + size // 2, min(60, size // 3)
    data[start : start + n_bytes] = np.random.default_rng(0).integers(0, 256, n_bytes, np.uint8).tobytes()
    path.write_bytes(data)
    return path


def problems(frames: Sequence[Frame]) -> list[str]:
    """Return the statuses of the placeholders."""
    return [frame.problem[0] for frame in frames if frame.problem is not None]


def test_times_are_those_of_a_variable_rate_file(tmp_path: Path) -> None:
    times = [0, 40, 200, 201, 500, 900, 2500]
    frames = list(open_frames(encode(tmp_path / "a.mkv", moving(7), times=times)))
    assert [frame.seconds for frame in frames] == pytest.approx([time / 1000 for time in times])
    assert not problems(frames)


def test_a_video_that_starts_after_its_sound_starts_late(tmp_path: Path) -> None:
    """At the time at which a player shows its first frame."""
    path = encode(tmp_path / "a.mp4", moving(5), times=range(2000, 2200, 40), sound_s=2.2)
    assert next(iter(open_frames(path))).seconds == pytest.approx(2.0, abs=0.13)


def test_a_file_whose_clock_starts_late_starts_at_zero(tmp_path: Path) -> None:
    frames = list(open_frames(encode(tmp_path / "a.mkv", moving(5), times=range(5000, 5200, 40))))
    assert [frame.seconds for frame in frames] == pytest.approx([0, 0.04, 0.08, 0.12, 0.16])
    assert not problems(frames)


@pytest.mark.parametrize(("codec", "suffix"), [("libx264", "mp4"), ("libx264", "mkv"), ("mpeg4", "avi")])
def test_a_damaged_frame_has_no_pixels_and_the_frames_after_it_a_caveat(
    tmp_path: Path, codec: str, suffix: str
) -> None:
    """Until the next key frame, at frame 40; lost or made up by the decoder, it is reported at its own time."""
    options = {"g": "40", "bf": "0", "sc_threshold": "0"}
    path = encode(tmp_path / f"a.{suffix}", moving(60), codec=codec, options=options)
    frames = list(open_frames(damage_packet(path, 20)))
    assert [frame.number for frame in frames] == list(range(60))
    assert [frame.seconds for frame in frames] == pytest.approx([index / 25 for index in range(60)], abs=2e-3)
    damaged_numbers = [frame.number for frame in frames if frame.image_rgb is None]
    assert damaged_numbers[0] == 20
    assert set(problems(frames)) == {"damaged_frame"}
    caveats = [frame.number for frame in frames if frame.caveat]
    assert sorted({*damaged_numbers, *caveats}) == list(range(20, 40))


def test_a_damaged_last_frame_is_reported(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", moving(30), options={"bf": "0"})
    frames = list(open_frames(damage_packet(path, 29)))
    assert problems(frames) == ["damaged_frame"]
    assert [frame.number for frame in frames] == list(range(30))


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_a_file_that_was_cut_off_is_truncated(tmp_path: Path, suffix: str) -> None:
    """And a complete one is not."""
    options = {"bf": "0", "g": "10"}
    settings = {"codec": "mpeg4"} if suffix == "avi" else {}
    path = encode(tmp_path / f"a.{suffix}", moving(50), options=options, **settings)
    if suffix == "mp4":  # with its index first, otherwise nothing can be read
        with (
            av.open(str(path)) as given,
            av.open(str(tmp_path / "b.mp4"), "w", options={"movflags": "faststart"}) as other,
        ):
            stream = other.add_stream_from_template(given.streams.video[0])
            for packet in given.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    other.mux(packet)
        path = tmp_path / "b.mp4"
    assert not problems(list(open_frames(path)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    *frames, last = open_frames(path)
    assert last.problem is not None
    assert last.problem[0] == "truncated_video"
    assert 5 < sum(frame.image_rgb is not None for frame in frames) < 48


def test_a_video_trimmed_by_its_edit_list_is_complete(tmp_path: Path) -> None:
    """Frames before the first edit are in the file and are not shown."""
    path = encode(tmp_path / "a.mp4", moving(50), options={"bf": "0", "g": "50"})
    data = bytearray(path.read_bytes())
    entry = data.index(b"elst") + 12  # duration and start of the edit
    scale = int.from_bytes(data[data.index(b"mdhd") + 16 :][:4])
    data[entry : entry + 8] = (1000).to_bytes(4) + (scale * 1).to_bytes(4)
    path.write_bytes(data)
    frames = list(open_frames(path))
    assert not problems(frames)
    assert 24 <= len(frames) <= 26
    assert frames[0].number == 0
    assert frames[0].seconds == pytest.approx(0)


@pytest.mark.parametrize("has_av", [True, False])
def test_pixels_are_made_square(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_av: bool) -> None:
    """By enlarging the side that is too short, as browsers do; also when OpenCV decodes."""
    if not has_av:
        monkeypatch.setattr(capture, "import_av", lambda: None)
    for ratio, size in (
        (Fraction(16, 11), (233, 120)),
        (Fraction(1, 2), (160, 240)),
        (Fraction(1), (160, 120)),
    ):
        path = encode(tmp_path / "a.mp4", moving(2), sample_aspect_ratio=ratio)
        image_rgb = next(iter(open_frames(path))).image_rgb
        assert image_rgb is not None
        assert image_rgb.shape[1::-1] == size


@pytest.mark.parametrize(("degrees", "corner"), [(0, (0, 0)), (90, (2, 0)), (180, (2, 2)), (270, (0, 2))])
def test_the_display_matrix_is_applied(tmp_path: Path, degrees: int, corner: tuple[int, int]) -> None:
    """A bright corner goes where OpenCV and players show it."""
    image = np.full((120, 160, 3), 60, np.uint8)
    image[:40, :50] = 220
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.set_display_rotation(degrees)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    shown = next(iter(open_frames(path))).image_rgb
    is_there, expected_bgr = cv2.VideoCapture(str(path)).read()
    assert is_there
    assert shown is not None
    assert shown.shape == expected_bgr.shape
    assert np.abs(shown.astype(int) - expected_bgr[..., ::-1]).mean() < 3


def test_colors_that_cannot_be_converted_are_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """ICtCp, as some HDR videos have it: the light of each pixel is right, and its color is warned of once."""
    image = np.full((120, 160, 3), 60, np.uint8)
    image[:40, :50] = 220
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p10le"
        stream.codec_context.colorspace = 14
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p10le")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    frames = [frame.image_rgb for frame in open_frames(path)]
    assert len(frames) == 3
    for shown in frames:
        assert shown is not None
        assert np.abs(shown.astype(int) - image).mean() < 3
    assert sum("taken for BT.709" in message for message in caplog.messages) <= 1


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_a_photo_with_exif_data_is_a_video_of_one_upright_frame(
    tmp_path: Path, orientation: int, turns: int
) -> None:
    """Of some kinds of data beside a frame, PyAV knows only that it does not know them."""
    image = np.full((120, 160, 3), 60, np.uint8)
    image[:40, :50] = 220
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.jpg"
    Image.fromarray(image).save(path, exif=exif)
    frame, *others = open_frames(path)
    assert not others
    assert frame.image_rgb is not None
    assert frame.image_rgb.shape == np.rot90(image, turns).shape
    assert np.abs(frame.image_rgb.astype(int) - np.rot90(image, turns)).mean() < 3


@pytest.mark.parametrize("matrix", [1, 5])
def test_colors_follow_the_matrix_of_the_file(tmp_path: Path, matrix: int) -> None:
    """BT.709 or BT.601: a saturated color comes back as it was."""
    color = np.array([200, 40, 30])
    image = np.full((120, 160, 3), color, np.uint8)
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.codec_context.colorspace = matrix
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        names = {1: "ITU709", 5: "ITU601"}
        container.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace=names[matrix])))
        container.mux(stream.encode(None))
    shown = next(iter(open_frames(path))).image_rgb
    assert shown is not None
    assert np.abs(shown.reshape(-1, 3).mean(axis=0) - color).max() < 5


def test_a_file_without_a_video_stream(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.sample_rate = 8000
        container.mux(sound.encode(silence))
        container.mux(sound.encode(None))
    with pytest.raises(UnreadableImage) as error:
        open_frames(path)
    assert error.value.reason == "no_video_stream"


@pytest.mark.parametrize("start", [0.5, 1.23])
def test_a_start_keeps_numbers_and_times(tmp_path: Path, start: float) -> None:
    """Frames before it are skipped up to the last key frame before it, and have been counted."""
    path = encode(tmp_path / "a.mp4", moving(60), options={"g": "10"})
    every = [(frame.number, frame.seconds) for frame in open_frames(path) if frame.seconds >= start]
    assert [(frame.number, frame.seconds) for frame in open_frames(path, start_seconds=start)] == every


def test_a_local_playlist_opens_no_address(tmp_path: Path) -> None:
    """A file from outside may name one."""
    path = tmp_path / "a.mp4"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(UnreadableImage) as error:
        open_frames(path)
    assert error.value.reason == "not_a_video"
