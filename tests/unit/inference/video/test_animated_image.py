"""Animated images as videos."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from mien.inference.video.capture import open_frames
from mien.inference.video.frames import Frame


def write(path: Path, *, durations_ms: list[int]) -> Path:
    """Write an animation whose square moves right, on a transparent ground."""
    frames = []
    for index in range(len(durations_ms)):
        frame = Image.new("RGBA", (64, 48), (0, 0, 0, 0))
        ImageDraw.Draw(frame).rectangle((10 * index, 10, 10 * index + 8, 20), fill=(250, 0, 0, 255))
        frames.append(frame)
    how: dict[str, Any] = {"lossless": True} if path.suffix == ".webp" else {"disposal": 2}
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations_ms, loop=0, **how)
    return path


def frames_of(path: Path) -> list[Frame]:
    """Return all frames."""
    return list(open_frames(path))


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_frames_have_their_own_times(tmp_path: Path, suffix: str) -> None:
    frames = frames_of(write(tmp_path / f"a{suffix}", durations_ms=[100, 300, 50, 50]))
    assert [frame.seconds for frame in frames] == pytest.approx([0, 0.1, 0.4, 0.45])
    for index, frame in enumerate(frames):
        assert frame.image_rgb is not None
        assert frame.image_rgb.shape == (48, 64, 3)
        assert frame.image_rgb[15, 10 * index + 4].tolist() == [250, 0, 0]
        assert frame.image_rgb[40, 60].tolist() == [0, 0, 0]


def test_an_animation_without_durations_plays_as_in_a_browser(tmp_path: Path) -> None:
    frames = frames_of(write(tmp_path / "a.gif", durations_ms=[0, 0, 0]))
    assert [frame.seconds for frame in frames] == pytest.approx([0, 0.1, 0.2])


def test_an_animation_that_ends_early_is_reported(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", durations_ms=[100] * 6)
    path.write_bytes(path.read_bytes()[:-300])
    *frames, last = frames_of(path)
    assert frames
    assert last.problem is not None
    assert last.problem[0] == "truncated_video"


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_the_rate_is_that_of_the_first_frame(tmp_path: Path, suffix: str) -> None:
    """For so long the last frame is counted."""
    path = write(tmp_path / f"a{suffix}", durations_ms=[500, 500])
    animation = open_frames(path)
    assert animation.frame_rate == pytest.approx(2)
    assert [frame.seconds for frame in animation] == [0, 0.5]
