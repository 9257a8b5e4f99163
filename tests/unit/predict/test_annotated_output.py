"""Annotated copies: names, images and videos."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mien.errors import ArtifactError
from mien.inference.media_sources import MediaSource
from mien.inference.results import FacePrediction, ImagePrediction
from mien.predict.annotated_output import (
    AnnotatedVideoWriter,
    assign_annotated_paths,
    claim_annotation_folder,
    write_annotated_image,
)


def image(location: Path, relative_path: str) -> MediaSource:
    """Return an image."""
    return MediaSource(location, Path(relative_path), is_video=False)


def video(location: Path | int, relative_path: str) -> MediaSource:
    """Return a video or camera."""
    return MediaSource(location, Path(relative_path), is_video=True)


def names(*paths: str) -> list[str]:
    """Return the names of the copies of images with these relative paths."""
    images = [image(Path(f"in{index}") / path, path) for index, path in enumerate(paths)]
    return [str(copy) for copy in assign_annotated_paths(images, Path("drawn")).values()]


def test_names_keep_subfolders() -> None:
    """A copy is in the same subfolder as its image."""
    assert names("a.jpg", "x/y/b.png") == ["drawn/a.jpg", "drawn/x/y/b.png"]


def test_copies_of_other_formats_are_jpeg() -> None:
    """The full name is kept, so that a.webp and a.bmp do not collide."""
    assert names("a.webp", "a.bmp", "a") == ["drawn/a.webp.jpg", "drawn/a.bmp.jpg", "drawn/a.jpg"]


def test_names_never_collide() -> None:
    """Not even on a file system that ignores case."""
    copies = names("a.jpg", "a.png", "A.JPG", "a.jpg", "a-2.jpg", "b.gif", "b.gif.jpg")
    assert len({name.casefold() for name in copies}) == 7


@pytest.mark.parametrize(("name", "format_name"), [("a.jpg", "JPEG"), ("a.PNG", "PNG"), ("x/a.JPeG", "JPEG")])
def test_the_format_of_a_copy_matches_its_name(tmp_path: Path, name: str, format_name: str) -> None:
    """Missing folders are created, and nothing else is left there."""
    pixels = np.full((20, 30, 3), 77, np.uint8)
    write_annotated_image(tmp_path / name, pixels)
    with Image.open(tmp_path / name) as copy:
        assert copy.format == format_name
        assert abs(np.asarray(copy).astype(int) - 77).max() <= 1
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


def test_a_folder_that_is_not_empty_is_rejected(tmp_path: Path) -> None:
    """Without --force; an empty or new one is accepted."""
    for folder in (tmp_path, tmp_path / "new"):
        with claim_annotation_folder(folder, force=False):
            assert folder.is_dir()
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ArtifactError, match="not empty"), claim_annotation_folder(tmp_path, force=False):
        pass
    with claim_annotation_folder(tmp_path, force=True):
        pass


def test_two_runs_cannot_write_to_one_folder(tmp_path: Path) -> None:
    """Not even with --force."""
    with (
        claim_annotation_folder(tmp_path, force=True),
        pytest.raises(ArtifactError, match="is being written"),
        claim_annotation_folder(tmp_path, force=True),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_file_instead_of_a_folder_is_rejected(tmp_path: Path) -> None:
    """Even with --force."""
    (tmp_path / "drawn").touch()
    with (
        pytest.raises(ArtifactError, match="is a file"),
        claim_annotation_folder(tmp_path / "drawn", force=True),
    ):
        pass


def test_copies_of_videos_are_mp4() -> None:
    """Those of cameras too; they never collide with each other or with those of images."""
    videos = [video(Path("in/a.mp4"), "a.mp4"), video(Path("b/a.MP4"), "a.MP4")]
    videos += [video(Path("a.avi"), "a.avi"), video(0, "camera-0")]
    copies = assign_annotated_paths([*videos, image(Path("a"), "a")], Path("d"))
    assert {name: str(copy) for name, copy in copies.items()} == {
        "in/a.mp4": "d/a.mp4",
        "b/a.MP4": "d/a-2.MP4",
        "a.avi": "d/a.avi.mp4",
        "camera 0": "d/camera-0.mp4",
        "a": "d/a.jpg",
    }


@pytest.mark.parametrize("name", ["a.jpg", "x/b.png"])
def test_a_copy_never_replaces_an_input(tmp_path: Path, name: str) -> None:
    """Nor through a link to the folder."""
    source = tmp_path / "in" / name
    source.parent.mkdir(parents=True)
    source.touch()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for folder in (tmp_path / "in", tmp_path / "link"):
        with pytest.raises(ArtifactError, match="would replace it"):
            assign_annotated_paths([image(source, name)], folder)
    assert len(assign_annotated_paths([image(source, name)], tmp_path)) == 1


def test_a_copy_that_is_too_large_for_jpeg_is_shrunk(tmp_path: Path) -> None:
    write_annotated_image(tmp_path / "a.jpg", np.zeros((20, 70_000, 3), np.uint8))
    with Image.open(tmp_path / "a.jpg") as copy:
        assert copy.size == (65_500, 18)


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


def test_odd_sides_and_a_change_of_size(tmp_path: Path) -> None:
    """The video has even sides, those of its first frame."""
    with AnnotatedVideoWriter(tmp_path / "a.mp4", frame_rate=10, is_live=False) as video_writer:
        for size in ((801, 601), (400, 1000), (1201, 901)):
            video_writer.add(frame(0.0, size))
    assert count_frames(tmp_path / "a.mp4") == (3, (800, 600))


def test_a_video_without_a_frame_has_no_copy(tmp_path: Path) -> None:
    with AnnotatedVideoWriter(tmp_path / "a.mp4", frame_rate=10, is_live=False) as video_writer:
        video_writer.add(ImagePrediction("a", (FacePrediction("a", status="empty_file"),)))
    assert not list(tmp_path.iterdir())


def test_a_video_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    video_writer = AnnotatedVideoWriter(tmp_path / "file" / "a.mp4", frame_rate=10, is_live=False)
    with pytest.raises(ArtifactError, match="cannot be written"):
        video_writer.add(frame(0.0))


@pytest.fixture
def small_files() -> Iterator[None]:
    """Limit files to 20 kB: writes fail as on a full disk."""
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_video_on_a_full_disk_is_an_error_and_keeps_its_partial_name(
    tmp_path: Path, small_files: None
) -> None:
    """An incomplete video must not look complete."""
    noise = np.random.default_rng(0)

    def write() -> None:
        with AnnotatedVideoWriter(tmp_path / "a.mp4", frame_rate=10, is_live=False) as video_writer:
            for index in range(5):
                image = noise.integers(0, 255, (240, 320, 3), dtype=np.uint8)
                row = FacePrediction("a", seconds=index / 10, status="no_face")
                video_writer.add(ImagePrediction("a", (row,), image))

    with pytest.raises(ArtifactError, match=r"a\.mp4 is incomplete: .* could not be written"):
        write()
    assert [path.name for path in tmp_path.iterdir()] == ["a.partial.mp4"]


@pytest.mark.parametrize("order", [1, -1])
def test_a_copy_never_has_the_name_of_an_unfinished_one(order: int) -> None:
    """Otherwise one video, while it is drawn, would replace the finished copy of another."""
    videos = [video(Path("clip.mp4"), "clip.mp4"), video(Path("clip.partial.mp4"), "clip.partial.mp4")]
    copies = {str(copy) for copy in assign_annotated_paths(videos[::order], Path("d")).values()}
    assert len(copies | {copy.replace(".mp4", ".partial.mp4") for copy in copies}) == 4
