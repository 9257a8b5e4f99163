"""Where one shot ends."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mien.inference.video.cuts import CutDetector


def room(seed: int) -> NDArray[np.uint8]:
    """Return a room: large random areas."""
    areas = np.random.default_rng(seed).integers(20, 220, (6, 8, 3), np.uint8)
    return np.asarray(cv2.resize(areas, (320, 240), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def flags(*frames: NDArray[np.uint8]) -> list[bool]:
    """Return for each frame whether it starts a shot."""
    cuts = CutDetector()
    return [cuts.is_cut(frame) for frame in frames]


def test_another_room_is_a_cut() -> None:
    assert flags(room(0), room(0), room(1), room(1), room(0)) == [False, False, True, False, True]


def test_a_flash_is_none() -> None:
    """Brightness and contrast change all over the frame."""
    flash = np.clip(room(0).astype(int) // 2 + 120, 0, 255).astype(np.uint8)
    assert flags(room(0), flash, room(0)) == [False] * 3


def test_something_that_appears_is_none() -> None:
    """A person who fills a third of the frame steps in."""
    with_person = room(0)
    with_person[40:, 100:200] = 15
    assert flags(room(0), with_person, room(0)) == [False] * 3


@pytest.mark.parametrize("shift_px", [4, 12])
def test_a_moving_camera_is_none(shift_px: int) -> None:
    frames = [np.roll(room(0), shift_px * index, axis=1) for index in range(10)]
    assert not any(flags(*frames))


def test_a_change_of_size_and_a_tiny_frame_are_compared() -> None:
    small = np.asarray(cv2.resize(room(0), (160, 120), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    assert flags(room(0), small, np.zeros((1, 1, 3), np.uint8))[:2] == [False, False]
