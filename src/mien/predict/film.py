"""An annotated video: every frame with its readings drawn on it, as an MP4 file."""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.artifacts import disk_errors, publish
from mien.errors import ArtifactError
from mien.reading.annotate import annotate
from mien.reading.frames import name_for_opencv
from mien.reading.readings import PictureReading

# Every OpenCV that can write videos writes this.
CODEC = "mp4v"
# A camera that stood still is shown standing still for so long at most.
MAX_REPEATS_S = 10.0


def _written_rate(rate: float) -> float:
    """Return the nearest rate that the codec can tell: a fraction whose parts are below 2**16."""
    decimals = 3 if rate < 65 else 2 if rate < 650 else 1
    return max(round(rate, decimals), 0.002)


class Film:
    """Takes the readings of a video one by one; the file takes its name when it is whole."""

    def __init__(self, path: Path, *, rate: float, is_live: bool) -> None:
        """Prepare a film.

        Args:
            path: of the ``.mp4`` file.
            rate: frames a second.
            is_live: frames come unevenly: each is shown until the next, so that the film runs as time ran.
        """
        self._path, self._rate, self._is_live = path, _written_rate(rate), is_live
        self._partial = path.with_name(f"{path.stem}.partial{path.suffix}")
        self._writer: Any = None
        self._size_wh = (0, 0)
        self._n_written = 0
        self._left_out_s = 0.0
        self._sides: dict[int, int] = {}
        self._last: NDArray[np.uint8] | None = None

    def take(self, reading: PictureReading) -> None:
        """Draw a frame and write it; what cannot be read has none.

        Raises:
            ArtifactError: the file cannot be written.
        """
        if reading.image_rgb is None:
            return
        self._repeat_last(reading.rows[0].seconds or 0.0)
        drawing = annotate(reading.image_rgb, reading.rows, sides=self._sides)
        if self._writer is None:
            self._open(drawing.shape[1] // 2 * 2, drawing.shape[0] // 2 * 2)
        width, height = self._size_wh
        drawing = drawing[:height, :width]
        if drawing.shape[:2] != (height, width):
            drawing = np.asarray(cv2.resize(drawing, self._size_wh), dtype=np.uint8)
        self._last = cv2.cvtColor(drawing, cv2.COLOR_RGB2BGR)
        self._write()

    def _repeat_last(self, seconds: float) -> None:
        if not self._is_live or self._last is None:
            return
        missing = round((seconds - self._left_out_s) * self._rate) - self._n_written
        too_many = missing - round(MAX_REPEATS_S * self._rate)
        if too_many > 0:
            self._left_out_s += too_many / self._rate
            missing -= too_many
        for _ in range(missing):
            self._write()

    def _write(self) -> None:
        self._writer.write(self._last)
        self._n_written += 1

    def _open(self, width: int, height: int) -> None:
        with disk_errors(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # OpenCV tells no reason where a file cannot be made; Python does.
            self._partial.unlink(missing_ok=True)
            self._partial.touch(exist_ok=False)  # which follows no link
        fourcc = cv2.VideoWriter.fourcc(*CODEC)
        self._writer = cv2.VideoWriter(
            name_for_opencv(self._partial), cv2.CAP_FFMPEG, fourcc, self._rate, (width, height)
        )
        if not self._writer.isOpened():
            raise ArtifactError(f"{self._path} cannot be written: this OpenCV writes no {CODEC} video")
        self._size_wh = (width, height)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the file; after an error it keeps its name of a partial one. Of a video without a frame none is left."""
        if self._writer is None:
            return
        self._writer.release()
        if kind is None:
            self._require_whole()
            with disk_errors(self._path):
                publish(self._partial, self._path)

    def _require_whole(self) -> None:
        """OpenCV's writer says nothing of a full disk: a film is whole if it opens and has its frames."""
        capture = cv2.VideoCapture(name_for_opencv(self._partial), cv2.CAP_FFMPEG)
        n_frames = round(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        capture.release()
        if n_frames != self._n_written:
            raise ArtifactError(
                f"{self._path} is not whole: {self._partial} holds {max(0, n_frames):,} of {self._n_written:,} frames. "
                "Most often the disk is full; free some space and run the same command again"
            )
