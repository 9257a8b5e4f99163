"""Videos of colored squares, written losslessly, and a fake camera."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mien.faces.detector import DetectedFace

COLORS = {"Neutral": (255, 0, 0), "Happy": (0, 255, 0), "Sad": (0, 0, 255)}
# (expression, x, y, side)
Square = tuple[str, int, int, int]


class FakeCapture:
    """An OpenCV capture with predefined frames; None is a failed read."""

    def __init__(
        self,
        frames: Sequence[NDArray[np.uint8] | None],
        *,
        before_read: Callable[[int], None] = lambda _index: None,
        **properties: float,
    ) -> None:
        self.frames = frames
        self.before_read = before_read
        self.n_read = 0
        self.is_released = False
        self._properties = {getattr(cv2, f"CAP_PROP_{name}"): value for name, value in properties.items()}

    def read(self) -> tuple[bool, NDArray[np.uint8] | None]:
        """Return the next frame; after the last, every read fails."""
        self.before_read(self.n_read)
        frame = self.frames[self.n_read] if self.n_read < len(self.frames) else None
        self.n_read += 1
        return frame is not None, frame

    def get(self, what: int) -> float:
        """Return a predefined property, else 0."""
        return self._properties.get(what, 0.0)

    def release(self) -> None:
        """Record the call."""
        self.is_released = True


class CountingDetector:
    """A detector that counts its calls."""

    def __init__(self, detector: object) -> None:
        self.detector = detector
        self.n_calls = 0

    def find_faces(self, image_rgb: NDArray[np.uint8]) -> list[DetectedFace]:
        """Call the wrapped detector."""
        self.n_calls += 1
        return self.detector.find_faces(image_rgb)  # type: ignore[attr-defined,no-any-return]


def draw_frame(*squares: Square, size_wh: tuple[int, int] = (160, 120)) -> NDArray[np.uint8]:
    """Return a gray RGB frame with squares; later ones cover earlier ones."""
    frame = np.full((size_wh[1], size_wh[0], 3), 100, np.uint8)
    for expression, x, y, side in squares:
        frame[max(0, y) : y + side, max(0, x) : x + side] = COLORS[expression]
    return frame


def write_video(path: Path, frames: Sequence[NDArray[np.uint8]], *, rate: float = 30.0) -> Path:
    """Write RGB frames to a lossless video file."""
    height, width = frames[0].shape[:2]
    fourcc = cv2.VideoWriter.fourcc(*"FFV1")
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, rate, (width, height))
    if not writer.isOpened():
        pytest.skip("this OpenCV cannot write lossless video")
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[:, :, ::-1]))
    writer.release()
    return path


@pytest.fixture
def tools() -> SimpleNamespace:
    """Return the helpers of the video tests."""
    return SimpleNamespace(
        FakeCapture=FakeCapture,
        CountingDetector=CountingDetector,
        draw_frame=draw_frame,
        write_video=write_video,
    )
