"""Which pictures are read, in which order."""

import os
from pathlib import Path

import pytest

from mien.errors import SourceError
from mien.predict.gather import gather_pictures


def touch(folder: Path, *names: str) -> Path:
    """Make empty files."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_folders_are_walked_in_sorted_order(tmp_path: Path) -> None:
    """Files of a folder come before its sub-folders, both by name."""
    touch(tmp_path, "b.jpg", "a/z.png", "a/deep/er/x.webp", "c.jpg", "A.JPG")
    found = [str(picture.path.relative_to(tmp_path)) for picture in gather_pictures([tmp_path])]
    assert found == ["A.JPG", "b.jpg", "c.jpg", "a/z.png", "a/deep/er/x.webp"]


def test_only_image_suffixes_count_within_a_folder(tmp_path: Path) -> None:
    """Any case counts; hidden files and other suffixes do not."""
    touch(tmp_path, "a.JPeG", "b.TIF", "notes.txt", "c", "._a.jpg", ".cache/d.jpg")
    assert [picture.path.name for picture in gather_pictures([tmp_path])] == ["a.JPeG", "b.TIF"]


def test_a_named_file_counts_whatever_its_suffix(tmp_path: Path) -> None:
    """A person who names a file means it."""
    touch(tmp_path, "photo.dat")
    assert [picture.path.name for picture in gather_pictures([tmp_path / "photo.dat"])] == ["photo.dat"]


def test_a_picture_named_twice_is_read_once(tmp_path: Path) -> None:
    """A folder and a file in it, in either order."""
    touch(tmp_path, "a.jpg", "b.jpg")
    assert len(gather_pictures([tmp_path / "b.jpg", tmp_path, tmp_path / "a.jpg"])) == 2


def test_paths_stay_as_they_were_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative folder gives relative paths."""
    touch(tmp_path, "in/a.jpg")
    monkeypatch.chdir(tmp_path)
    assert [picture.path for picture in gather_pictures([Path("in")])] == [Path("in/a.jpg")]


def test_a_source_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    """The message names it."""
    touch(tmp_path, "a.jpg")
    with pytest.raises(SourceError, match=r"no\.jpg does not exist"):
        gather_pictures([tmp_path / "a.jpg", tmp_path / "no.jpg"])


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    """The message names it and the suffixes that count."""
    touch(tmp_path, "notes.txt")
    with pytest.raises(SourceError, match=r"holds no image file \(\.bmp, "):
        gather_pictures([tmp_path])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_an_error(tmp_path: Path) -> None:
    """What is neither file nor folder is refused before anything waits for it."""
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(SourceError, match="neither a file nor a folder"):
        gather_pictures([tmp_path / "pipe.jpg"])


def test_the_folder_of_copies_is_left_out(tmp_path: Path) -> None:
    """Annotated copies of an earlier run are not read as pictures."""
    touch(tmp_path, "a.jpg", "drawn/a.jpg")
    assert len(gather_pictures([tmp_path], leave_out=tmp_path / "drawn")) == 1


def test_places_keep_the_folders(tmp_path: Path) -> None:
    """One folder's pictures keep the way down from it; of several folders, its name too."""
    touch(tmp_path, "one/x/a.jpg", "two/a.jpg")
    assert [str(picture.place) for picture in gather_pictures([tmp_path / "one"])] == ["x/a.jpg"]
    both = gather_pictures([tmp_path / "one", tmp_path / "two"])
    assert [str(picture.place) for picture in both] == ["one/x/a.jpg", "two/a.jpg"]
