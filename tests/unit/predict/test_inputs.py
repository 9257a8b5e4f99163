"""What is read, in which order."""

import os
from pathlib import Path

import pytest

from mien.errors import SourceError
from mien.predict.inputs import ImageFile, Source, Video, gather_inputs


def touch(folder: Path, *names: str) -> Path:
    """Make empty files."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_folders_are_walked_in_sorted_order(tmp_path: Path) -> None:
    """Files of a folder come before its sub-folders, both by name."""
    touch(tmp_path, "b.jpg", "a/z.png", "a/deep/er/x.webp", "c.jpg", "A.JPG")
    found = [str(Path(image.name).relative_to(tmp_path)) for image in gather_inputs([tmp_path])]
    assert found == ["A.JPG", "b.jpg", "c.jpg", "a/z.png", "a/deep/er/x.webp"]


def test_only_image_suffixes_count_within_a_folder(tmp_path: Path) -> None:
    """Any case counts; hidden files and other suffixes do not."""
    touch(tmp_path, "a.JPeG", "b.TIF", "notes.txt", "c", "._a.jpg", ".cache/d.jpg")
    assert [Path(source.name).name for source in gather_inputs([tmp_path])] == ["a.JPeG", "b.TIF"]


def test_a_named_file_counts_whatever_its_suffix(tmp_path: Path) -> None:
    """A person who names a file means it."""
    touch(tmp_path, "photo.dat")
    assert [Path(source.name).name for source in gather_inputs([tmp_path / "photo.dat"])] == ["photo.dat"]


def test_a_image_named_twice_is_read_once(tmp_path: Path) -> None:
    """A folder and a file in it, in either order."""
    touch(tmp_path, "a.jpg", "b.jpg")
    assert len(gather_inputs([tmp_path / "b.jpg", tmp_path, tmp_path / "a.jpg"])) == 2


def test_paths_stay_as_they_were_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative folder gives relative paths."""
    touch(tmp_path, "in/a.jpg")
    monkeypatch.chdir(tmp_path)
    assert [image.name for image in gather_inputs([Path("in")])] == ["in/a.jpg"]


def test_a_source_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    """The message names it."""
    touch(tmp_path, "a.jpg")
    with pytest.raises(SourceError, match=r"no\.jpg does not exist"):
        gather_inputs([tmp_path / "a.jpg", tmp_path / "no.jpg"])


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    """The message names it and the suffixes that count."""
    touch(tmp_path, "notes.txt")
    with pytest.raises(SourceError, match=r"holds no image or video \(\.bmp, "):
        gather_inputs([tmp_path])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_an_error(tmp_path: Path) -> None:
    """What is neither file nor folder is refused before anything waits for it."""
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(SourceError, match="neither a file nor a folder"):
        gather_inputs([tmp_path / "pipe.jpg"])


def test_the_folder_of_copies_is_left_out(tmp_path: Path) -> None:
    """Annotated copies of an earlier run are not read as images."""
    touch(tmp_path, "a.jpg", "drawn/a.jpg")
    assert len(gather_inputs([tmp_path], leave_out=tmp_path / "drawn")) == 1


def test_places_keep_the_folders(tmp_path: Path) -> None:
    """One folder's images keep the way down from it; of several folders, its name too."""
    touch(tmp_path, "one/x/a.jpg", "two/a.jpg")
    assert [str(image.place) for image in gather_inputs([tmp_path / "one"])] == ["x/a.jpg"]
    both = gather_inputs([tmp_path / "one", tmp_path / "two"])
    assert [str(image.place) for image in both] == ["one/x/a.jpg", "two/a.jpg"]


MP4 = b"\0\0\0\x18ftypisom" + bytes(100)


def kinds(sources: list[Source]) -> list[tuple[str, str]]:
    """Return the file names with what they are taken for."""
    return [(type(source).__name__, Path(source.name).name) for source in sources]


def test_videos_of_a_folder_stand_among_its_images(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.MP4", "c.png", "d.ts", "e.webm")
    assert kinds(gather_inputs([tmp_path])) == [
        ("ImageFile", "a.jpg"),
        ("Video", "b.MP4"),
        ("ImageFile", "c.png"),
        ("Video", "e.webm"),
    ]


def test_a_named_file_is_a_video_by_its_content_or_its_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "empty.mov", "photo.heic", "plain.dat")
    (tmp_path / "clip.dat").write_bytes(MP4)
    (tmp_path / "wrong.jpg").write_bytes(MP4)
    (tmp_path / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (tmp_path / "stream.ts").write_bytes((b"G" + bytes(187)) * 3)
    names = ["empty.mov", "photo.heic", "plain.dat", "clip.dat", "wrong.jpg", "stream.ts"]
    assert [kind for kind, _ in kinds(gather_inputs([tmp_path / name for name in names]))] == [
        "Video",
        "ImageFile",
        "ImageFile",
        "Video",
        "Video",
        "Video",
    ]


def test_patterns_are_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `**` to any depth; a file whose name is the pattern goes before it."""
    touch(tmp_path, "a/1.jpg", "a/b/2.jpg", "a/3.png", "x[1].jpg", "x1.jpg")
    monkeypatch.chdir(tmp_path)
    assert [source.name for source in gather_inputs(["a/**/*.jpg"])] == ["a/1.jpg", "a/b/2.jpg"]
    assert [source.name for source in gather_inputs(["x[1].jpg"])] == ["x[1].jpg"]
    assert [source.name for source in gather_inputs(["x?.jpg"])] == ["x1.jpg"]
    with pytest.raises(SourceError, match=r"No file matches the pattern \*\.bmp"):
        gather_inputs(["*.bmp"])


def test_a_list_stands_for_its_lines(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b c.jpg", "d.mp4")
    lines = [f"{tmp_path / 'b c.jpg'}\n", "\n", f"{tmp_path}/d*\n", f"{tmp_path / 'a.jpg'}"]
    found = gather_inputs([tmp_path / "a.jpg", "-"], lines=lines)
    assert kinds(found) == [("ImageFile", "a.jpg"), ("ImageFile", "b c.jpg"), ("Video", "d.mp4")]


def test_an_empty_list_is_an_error() -> None:
    with pytest.raises(SourceError, match="names nothing"):
        gather_inputs(["-"], lines=["\n", "  "])


def test_cameras_and_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Digits are a camera where no file is called so; passwords stand in no name and no place."""
    touch(tmp_path, "7")
    monkeypatch.chdir(tmp_path)
    found = gather_inputs(["0", 1, "7", "rtsp://me:secret@host:554/a b?x=1", 0])
    assert found == [
        Video(0, Path("camera-0")),
        Video(1, Path("camera-1")),
        ImageFile(Path("7"), Path("7")),
        Video("rtsp://me:secret@host:554/a b?x=1", Path("rtsp-host-554-a-b-x-1")),
    ]
    assert [source.name for source in found] == ["camera 0", "camera 1", "7", "rtsp://host:554/a b?x=1"]


def test_a_folder_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies beside it is read."""
    touch(tmp_path, "a.jpg", "secret/b.jpg")
    listed = os.scandir

    def scandir(path: str) -> object:
        if Path(path).name == "secret":
            raise PermissionError(13, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    told: list[str] = []
    assert len(gather_inputs([tmp_path], announce=told.append)) == 1
    assert told == [f"The folder {tmp_path / 'secret'} cannot be read and is left out: Permission denied"]


def test_a_pattern_matches_nothing_of_the_folder_of_copies(tmp_path: Path) -> None:
    """So a second run reads the same images; a pattern that matches copies alone means them."""
    touch(tmp_path, "x/a.jpg", "drawn/a.jpg")
    pattern, drawn = f"{tmp_path}/**/*.jpg", tmp_path / "drawn"
    assert [source.name for source in gather_inputs([pattern], leave_out=drawn)] == [
        str(tmp_path / "x" / "a.jpg")
    ]
    assert len(gather_inputs([f"{drawn}/*.jpg"], leave_out=drawn)) == 1
