"""The sources, and their order."""

import io
import os
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from mien.errors import SourceError
from mien.inference import media_sources
from mien.inference.media_sources import MediaSource, find_sources, read_list


def touch(folder: Path, *names: str) -> Path:
    """Make empty files."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_folders_are_walked_in_sorted_order(tmp_path: Path) -> None:
    """The files of a folder come before its subfolders, both by name."""
    touch(tmp_path, "b.jpg", "a/z.png", "a/deep/er/x.webp", "c.jpg", "A.JPG")
    found = [str(Path(image.name).relative_to(tmp_path)) for image in find_sources([tmp_path])]
    assert found == ["A.JPG", "b.jpg", "c.jpg", "a/z.png", "a/deep/er/x.webp"]


def test_files_of_a_folder_are_selected_by_suffix(tmp_path: Path) -> None:
    """In upper or lower case; hidden files and other suffixes are skipped."""
    touch(tmp_path, "a.JPeG", "b.TIF", "notes.txt", "c", "._a.jpg", ".cache/d.jpg")
    assert [Path(source.name).name for source in find_sources([tmp_path])] == ["a.JPeG", "b.TIF"]


def test_what_is_not_read_is_counted_by_kind(tmp_path: Path) -> None:
    """Also in subfolders; a link to a folder is one."""
    touch(tmp_path / "in", "a.jpg", "notes.txt", "x/b.TXT", "c", "._a.jpg", ".cache/d.jpg", "e.docx")
    touch(tmp_path, "elsewhere/b.jpg")
    (tmp_path / "in/link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    passed_over: Counter[str] = Counter()
    assert len(find_sources([tmp_path / "in"], passed_over=passed_over)) == 1
    assert +passed_over == {
        ".txt": 2,
        ".docx": 1,
        "file without a suffix": 1,
        "hidden file": 1,
        "hidden folder": 1,
        "link to a folder": 1,
    }


def test_a_named_file_counts_whatever_its_suffix(tmp_path: Path) -> None:
    """It was named explicitly."""
    touch(tmp_path, "photo.dat")
    assert [Path(source.name).name for source in find_sources([tmp_path / "photo.dat"])] == ["photo.dat"]


def test_duplicates_are_dropped(tmp_path: Path) -> None:
    """A folder and a file in it, in either order."""
    touch(tmp_path, "a.jpg", "b.jpg")
    assert len(find_sources([tmp_path / "b.jpg", tmp_path, tmp_path / "a.jpg"])) == 2


def test_paths_are_not_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative folder gives relative paths."""
    touch(tmp_path, "in/a.jpg")
    monkeypatch.chdir(tmp_path)
    assert [image.name for image in find_sources([Path("in")])] == ["in/a.jpg"]


def test_a_missing_source_is_an_error(tmp_path: Path) -> None:
    """The message names it."""
    touch(tmp_path, "a.jpg")
    with pytest.raises(SourceError, match=r"no\.jpg does not exist"):
        find_sources([tmp_path / "a.jpg", tmp_path / "no.jpg"])


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    """The message names it and the accepted suffixes."""
    touch(tmp_path, "notes.txt")
    with pytest.raises(SourceError, match=r"contains no image or video \(\.avif, \.bmp, "):
        find_sources([tmp_path])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_an_error(tmp_path: Path) -> None:
    """What is neither a file nor a folder is rejected before anything blocks on it."""
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(SourceError, match="neither a file nor a folder"):
        find_sources([tmp_path / "pipe.jpg"])


def test_the_output_folder_is_left_out(tmp_path: Path) -> None:
    """Annotated copies of an earlier run are not inputs."""
    touch(tmp_path, "a.jpg", "drawn/a.jpg")
    assert len(find_sources([tmp_path], leave_out=tmp_path / "drawn")) == 1


def test_relative_paths_keep_subfolders(tmp_path: Path) -> None:
    """Paths are relative to a single folder; with several folders, they start with the folder's name."""
    touch(tmp_path, "one/x/a.jpg", "two/a.jpg")
    assert [str(image.relative_path) for image in find_sources([tmp_path / "one"])] == ["x/a.jpg"]
    both = find_sources([tmp_path / "one", tmp_path / "two"])
    assert [str(image.relative_path) for image in both] == ["one/x/a.jpg", "two/a.jpg"]


MP4 = b"\0\0\0\x18ftypisom" + bytes(100)


def kinds(sources: list[MediaSource]) -> list[tuple[str, str]]:
    """Return the file names with what they are recognized as."""
    return [("video" if source.is_video else "image", Path(source.name).name) for source in sources]


def test_videos_and_images_of_a_folder_are_interleaved(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.MP4", "c.png", "d.ts", "e.webm")
    assert kinds(find_sources([tmp_path])) == [
        ("image", "a.jpg"),
        ("video", "b.MP4"),
        ("image", "c.png"),
        ("video", "e.webm"),
    ]


def test_a_video_is_recognized_by_content_or_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "empty.mov", "photo.heic", "plain.dat")
    (tmp_path / "clip.dat").write_bytes(MP4)
    (tmp_path / "wrong.jpg").write_bytes(MP4)
    (tmp_path / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (tmp_path / "stream.ts").write_bytes((b"G" + bytes(187)) * 3)
    names = ["empty.mov", "photo.heic", "plain.dat", "clip.dat", "wrong.jpg", "stream.ts"]
    assert [kind for kind, _ in kinds(find_sources([tmp_path / name for name in names]))] == [
        "video",
        "image",
        "image",
        "video",
        "video",
        "video",
    ]


def test_patterns_are_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recursively with `**`; a file whose name equals the pattern takes precedence."""
    touch(tmp_path, "a/1.jpg", "a/b/2.jpg", "a/3.png", "x[1].jpg", "x1.jpg")
    monkeypatch.chdir(tmp_path)
    assert [source.name for source in find_sources(["a/**/*.jpg"])] == ["a/1.jpg", "a/b/2.jpg"]
    assert [source.name for source in find_sources(["x[1].jpg"])] == ["x[1].jpg"]
    assert [source.name for source in find_sources(["x?.jpg"])] == ["x1.jpg"]
    with pytest.raises(SourceError, match=r"No file matches the pattern \*\.bmp"):
        find_sources(["*.bmp"])


def test_a_list_is_replaced_by_its_lines(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b c.jpg", "d.mp4")
    lines = [f"{tmp_path / 'b c.jpg'}\n", "\n", f"{tmp_path}/d*\n", f"{tmp_path / 'a.jpg'}"]
    found = find_sources([tmp_path / "a.jpg", "-"], lines=lines)
    assert kinds(found) == [("image", "a.jpg"), ("image", "b c.jpg"), ("video", "d.mp4")]


def test_an_empty_list_is_an_error() -> None:
    with pytest.raises(SourceError, match="list on standard input is empty"):
        find_sources(["-"], lines=["\n", "  "])


def test_cameras_and_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Digits are a camera unless a file has that name; passwords and tokens appear in no name and no path."""
    touch(tmp_path, "7")
    monkeypatch.chdir(tmp_path)
    found = find_sources(["0", 1, "7", "rtsp://me:secret@host:554/a b?x=f00", "rtsp://host:554/a b?x=f01", 0])
    assert found == [
        MediaSource(0, Path("camera-0"), is_video=True),
        MediaSource(1, Path("camera-1"), is_video=True),
        MediaSource(Path("7"), Path("7"), is_video=False),
        MediaSource("rtsp://me:secret@host:554/a b?x=f00", Path("rtsp-host-554-a-b-x"), is_video=True),
        MediaSource("rtsp://host:554/a b?x=f01", Path("rtsp-host-554-a-b-x"), is_video=True, number=2),
    ]
    shown = "rtsp://host:554/a b?x=***"
    assert [source.name for source in found] == ["camera 0", "camera 1", "7", shown, f"{shown} (2)"]


def test_an_animated_image_is_a_video(tmp_path: Path) -> None:
    """Named or in a folder; one that does not move is an image."""
    still, moving = Image.new("RGB", (8, 8)), [Image.new("RGB", (8, 8), (value, 0, 0)) for value in (90, 200)]
    for name in ("a.gif", "a.png", "a.webp"):
        still.save(tmp_path / f"still-{name}")
        moving[0].save(tmp_path / f"moving-{name}", save_all=True, append_images=moving[1:])
    for found in (find_sources([tmp_path]), find_sources([*tmp_path.iterdir()])):
        assert len(found) == 6
        assert all(source.is_video == source.relative_path.name.startswith("moving") for source in found)


def test_a_photo_at_a_url_is_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what the server sends, not by the name."""
    monkeypatch.setattr(media_sources, "is_image_url", lambda url: "photo" in url)
    urls = ["http://host/photo", "http://host/clip.jpg"]
    assert [source.is_video for source in find_sources(urls)] == [False, True]


def test_an_unreadable_folder_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its siblings are still found."""
    touch(tmp_path, "a.jpg", "secret/b.jpg")
    listed = os.scandir

    def scandir(path: str) -> object:
        if Path(path).name == "secret":
            raise PermissionError(13, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert len(find_sources([tmp_path])) == 1
    assert caplog.messages == [
        f"The folder {tmp_path / 'secret'} cannot be read and is skipped: Permission denied"
    ]


def test_patterns_do_not_match_the_output_folder(tmp_path: Path) -> None:
    """So a second run finds the same images; a pattern that matches only copies selects them."""
    touch(tmp_path, "x/a.jpg", "drawn/a.jpg")
    pattern, drawn = f"{tmp_path}/**/*.jpg", tmp_path / "drawn"
    assert [source.name for source in find_sources([pattern], leave_out=drawn)] == [
        str(tmp_path / "x" / "a.jpg")
    ]
    assert len(find_sources([f"{drawn}/*.jpg"], leave_out=drawn)) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"a.jpg\nb c.jpg\n",
        b"a.jpg\r\nb c.jpg",
        b"\xef\xbb\xbfa.jpg\nb c.jpg\n",
        b"a.jpg\0b c.jpg\0",
        "a.jpg\r\nb c.jpg\r\n".encode("utf-16"),
    ],
    ids=["lines", "Windows", "byte order mark", "null characters", "UTF-16"],
)
def test_lists_as_programs_write_them(data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(touch(tmp_path, "a.jpg", "b c.jpg"))
    stream = io.TextIOWrapper(io.BytesIO(data), encoding="ascii")
    assert [source.name for source in find_sources(["-"], lines=read_list(stream))] == ["a.jpg", "b c.jpg"]


def test_names_that_are_not_unicode_are_found(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.jpg")).touch()
    stream = io.TextIOWrapper(io.BytesIO(os.fsencode(tmp_path) + b"/\xff.jpg"))
    assert len(find_sources(["-"], lines=read_list(stream))) == 1


@pytest.mark.parametrize(
    ("data", "message"), [(b"\xff\xd8\xff\n", "JPEG"), (b"\0\0\x01\xba", "video"), (None, "closed")]
)
def test_standard_input_that_is_no_list(data: bytes | None, message: str) -> None:
    stream = None if data is None else io.TextIOWrapper(io.BytesIO(data))
    with pytest.raises(SourceError, match=message):
        find_sources(["-"], lines=read_list(stream))


def test_an_empty_name_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As from an empty variable of a shell."""
    monkeypatch.chdir(touch(tmp_path, "a.jpg"))
    with pytest.raises(SourceError, match=r"empty name.*pass \. for the current folder"):
        find_sources([""])
    assert len(find_sources(["."])) == 1


def test_a_transport_stream_is_a_video_and_typescript_is_not(tmp_path: Path) -> None:
    (tmp_path / "tv.ts").write_bytes(b"G" + bytes(187) + b"G" + bytes(187))
    (tmp_path / "code.ts").write_text("export const a = 1;")
    passed_over: Counter[str] = Counter()
    found = find_sources([tmp_path], passed_over=passed_over)
    assert [(Path(source.name).name, source.is_video) for source in found] == [("tv.ts", True)]
    assert passed_over[".ts"] == 1


def test_an_address_of_another_kind_is_explained() -> None:
    with pytest.raises(SourceError, match=r"file:///a\.jpg cannot be read: pass the path alone"):
        find_sources(["file:///a.jpg"])
