"""Annotated videos of uneven frames, and films that cannot be written."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.errors import ArtifactError
from mien.inference.results import FacePrediction, ImagePrediction
from mien.predict.video_writer import MAX_REPEATS_S, VideoWriter


def frame(seconds: float, size_wh: tuple[int, int] = (800, 600)) -> ImagePrediction:
    """Return a frame without a face."""
    image = np.full((size_wh[1], size_wh[0], 3), 90, np.uint8)
    return ImagePrediction("a", (FacePrediction("a", seconds=seconds, status="no_face"),), image)


def count_frames(path: Path) -> tuple[int, tuple[int, int]]:
    """Return the number of frames and their size."""
    capture = cv2.VideoCapture(str(path))
    count, size = 0, (0, 0)
    while True:
        is_there, image = capture.read()
        if not is_there:
            return count, size
        count, size = count + 1, image.shape[1::-1]


def test_a_camera_is_shown_as_time_ran(tmp_path: Path) -> None:
    """Frames at 0, 0.1 and 1 s make a film of 11 frames at 10 a second."""
    with VideoWriter(tmp_path / "a.mp4", rate=10, is_live=True) as film:
        for seconds in (0.0, 0.1, 1.0):
            film.take(frame(seconds))
    assert count_frames(tmp_path / "a.mp4")[0] == 11


def test_a_camera_that_stood_still_for_long_does_not_fill_the_disk(tmp_path: Path) -> None:
    """What was left out is not made up for by the frames that follow."""
    with VideoWriter(tmp_path / "a.mp4", rate=2, is_live=True) as film:
        film.take(frame(0.0, (720, 40)))
        for seconds in (86_400.0, 86_400.5, 86_401.5):
            film.take(frame(seconds, (720, 40)))
    assert count_frames(tmp_path / "a.mp4")[0] == 2 + 2 * MAX_REPEATS_S + 3


def test_a_recordings_frames_are_neither_repeated_nor_left_out(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", rate=10, is_live=False) as film:
        for seconds in (0.0, 0.01, 5.0):
            film.take(frame(seconds))
    assert count_frames(tmp_path / "a.mp4")[0] == 3


def test_odd_sides_and_a_change_of_size(tmp_path: Path) -> None:
    """The film has even sides, those of its first frame."""
    with VideoWriter(tmp_path / "a.mp4", rate=10, is_live=False) as film:
        for size in ((801, 601), (400, 1000), (1201, 901)):
            film.take(frame(0.0, size))
    assert count_frames(tmp_path / "a.mp4") == (3, (800, 600))


def test_a_video_without_a_frame_leaves_no_film(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", rate=10, is_live=False) as film:
        film.take(ImagePrediction("a", (FacePrediction("a", status="empty_file"),)))
    assert not list(tmp_path.iterdir())


def test_a_film_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    film = VideoWriter(tmp_path / "file" / "a.mp4", rate=10, is_live=False)
    with pytest.raises(ArtifactError, match="cannot be written"):
        film.take(frame(0.0))


@pytest.fixture
def small_files() -> Iterator[None]:
    """Let no file grow beyond 20 kB: a full disk refuses writes just so."""
    resource = pytest.importorskip("resource", reason="Windows knows no such limit")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_film_on_a_full_disk_is_an_error_and_keeps_its_partial_name(
    tmp_path: Path, small_files: None
) -> None:
    """OpenCV writes on without a word; a broken film must not look whole."""
    noise = np.random.default_rng(0)

    def write() -> None:
        with VideoWriter(tmp_path / "a.mp4", rate=10, is_live=False) as film:
            for index in range(5):
                image = noise.integers(0, 255, (240, 320, 3), dtype=np.uint8)
                row = FacePrediction("a", seconds=index / 10, status="no_face")
                film.take(ImagePrediction("a", (row,), image))

    with pytest.raises(ArtifactError, match=r"a\.mp4 is not whole: .* holds 0 of 5 frames"):
        write()
    assert [path.name for path in tmp_path.iterdir()] == ["a.partial.mp4"]


@pytest.mark.parametrize("rate", [0.0004, 0.5, 23.976, 64.9994, 119.683, 655.371, 1000])
def test_any_rate_can_be_written(tmp_path: Path, rate: float) -> None:
    """Uneven frames have a mean rate of many digits."""
    with VideoWriter(tmp_path / "a.mp4", rate=rate, is_live=False) as film:
        film.take(frame(0.0))
        film.take(frame(0.1))
    assert count_frames(tmp_path / "a.mp4")[0] == 2
    if rate > 0.01:
        written = cv2.VideoCapture(str(tmp_path / "a.mp4")).get(cv2.CAP_PROP_FPS)
        assert written == pytest.approx(rate, rel=1e-4)
