"""Names and files of annotated copies."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.errors import ArtifactError
from mien.predict.copies import claim_copies_folder, name_copies, write_copy
from mien.predict.gather import Picture, Video


def names(*places: str) -> list[str]:
    """Return the copies' names of pictures at these places."""
    pictures = [Picture(Path(f"in{index}") / place, Path(place)) for index, place in enumerate(places)]
    return [str(copy) for copy in name_copies(pictures, Path("drawn")).values()]


def test_names_keep_the_folders() -> None:
    """A copy lies where its picture lay."""
    assert names("a.jpg", "x/y/b.png") == ["drawn/a.jpg", "drawn/x/y/b.png"]


def test_copies_of_other_formats_are_jpeg() -> None:
    """The whole name is kept, so that a.webp and a.bmp do not meet."""
    assert names("a.webp", "a.bmp", "a") == ["drawn/a.webp.jpg", "drawn/a.bmp.jpg", "drawn/a.jpg"]


def test_names_never_meet() -> None:
    """Not even on a file system that ignores case."""
    copies = names("a.jpg", "a.png", "A.JPG", "a.jpg", "a-2.jpg", "b.gif", "b.gif.jpg")
    assert len({name.casefold() for name in copies}) == 7


@pytest.mark.parametrize(("name", "format_name"), [("a.jpg", "JPEG"), ("a.PNG", "PNG"), ("x/a.JPeG", "JPEG")])
def test_a_copy_is_what_its_name_says(tmp_path: Path, name: str, format_name: str) -> None:
    """Folders are made on the way, and nothing else is left there."""
    pixels = np.full((20, 30, 3), 77, np.uint8)
    write_copy(tmp_path / name, pixels)
    with Image.open(tmp_path / name) as image:
        assert image.format == format_name
        assert abs(np.asarray(image).astype(int) - 77).max() <= 1
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    """Unless it is forced; an empty or new one is fine."""
    for folder in (tmp_path, tmp_path / "new"):
        with claim_copies_folder(folder, force=False):
            assert folder.is_dir()
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ArtifactError, match="not empty"), claim_copies_folder(tmp_path, force=False):
        pass
    with claim_copies_folder(tmp_path, force=True):
        pass


def test_copies_of_two_runs_do_not_mix(tmp_path: Path) -> None:
    """Not even with --force."""
    with (
        claim_copies_folder(tmp_path, force=True),
        pytest.raises(ArtifactError, match="is being written"),
        claim_copies_folder(tmp_path, force=True),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    """Even when forced."""
    (tmp_path / "drawn").touch()
    with (
        pytest.raises(ArtifactError, match="is a file"),
        claim_copies_folder(tmp_path / "drawn", force=True),
    ):
        pass


def test_copies_of_videos_are_mp4() -> None:
    """A camera's too; they never meet those of pictures or of each other."""
    videos = [Video(Path("in/a.mp4"), Path("a.mp4")), Video(Path("b/a.MP4"), Path("a.MP4"))]
    videos += [Video(Path("a.avi"), Path("a.avi")), Video(0, Path("camera-0"))]
    copies = name_copies([*videos, Picture(Path("a"), Path("a"))], Path("d"))
    assert {name: str(copy) for name, copy in copies.items()} == {
        "in/a.mp4": "d/a.mp4",
        "b/a.MP4": "d/a-2.MP4",
        "a.avi": "d/a.avi.mp4",
        "camera 0": "d/camera-0.mp4",
        "a": "d/a.jpg",
    }


@pytest.mark.parametrize("name", ["a.jpg", "x/b.png"])
def test_a_copy_never_takes_the_place_of_what_is_read(tmp_path: Path, name: str) -> None:
    """Not by another name of the folder either."""
    source = tmp_path / "in" / name
    source.parent.mkdir(parents=True)
    source.touch()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for folder in (tmp_path / "in", tmp_path / "link"):
        with pytest.raises(ArtifactError, match="would replace it"):
            name_copies([Picture(source, Path(name))], folder)
    assert len(name_copies([Picture(source, Path(name))], tmp_path)) == 1


def test_a_copy_too_long_for_a_jpeg_is_shrunk(tmp_path: Path) -> None:
    write_copy(tmp_path / "a.jpg", np.zeros((20, 70_000, 3), np.uint8))
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.size == (65_500, 18)
