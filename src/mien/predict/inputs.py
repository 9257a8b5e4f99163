"""What `mien predict` was asked to read: images, videos, cameras and addresses, in order."""

import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from mien.errors import SourceError
from mien.faces.images import IMAGE_SUFFIXES, UnreadableImage
from mien.inference.video.capture import (
    is_camera_index,
    is_url,
    is_video_content,
    read_header,
    strip_credentials,
)

VIDEO_SUFFIXES = frozenset(
    (
        ".mp4",
        ".m4v",
        ".mov",
        ".avi",
        ".mkv",
        ".webm",
        ".mpg",
        ".mpeg",
        ".wmv",
        ".flv",
        ".ogv",
        ".3gp",
        ".mts",
        ".m2ts",
    )
)
STANDARD_INPUT = "-"
_WILDCARDS = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file to read.

    Attributes:
        path: as it was named, or the named folder joined with the way down from it.
        place: where its annotated copy belongs, relative to the folder of copies.
    """

    path: Path
    place: Path

    @property
    def name(self) -> str:
        """What its rows call it."""
        return str(self.path)


@dataclass(frozen=True, slots=True)
class Video:
    """A video file, camera or address to read.

    Attributes:
        source: as `mien.inference.video.capture.open_frames` takes it.
        place: as of a `ImageFile`.
    """

    source: Path | int | str
    place: Path

    @property
    def name(self) -> str:
        """What its rows call it."""
        if isinstance(self.source, int):
            return f"camera {self.source}"
        return strip_credentials(self.source) if isinstance(self.source, str) else str(self.source)


Source: TypeAlias = ImageFile | Video


def gather_inputs(
    names: Sequence[str | Path | int],
    *,
    lines: Iterable[str] = (),
    leave_out: Path | None = None,
    announce: Callable[[str], None] = lambda _line: None,
) -> list[Source]:
    """Return what the names stand for, in order.

    A name is a file, a folder, a pattern such as ``'shots/**/*.jpg'``, a camera's index (a number, or digits where no
    file is called so), an address, or ``-`` for
    a list of these. Folders are walked to the bottom in sorted order; files whose name has neither an image's nor a
    video's suffix, or begins with a dot, are passed over, and links to folders are not followed. A file that is
    named counts whatever its suffix. What is named twice is read once.

    Args:
        names: see above.
        lines: the list that ``-`` stands for, a name a line.
        leave_out: a folder that is not walked into, and whose files patterns do not match.
        announce: is told in one line of a folder that may not be read.

    Raises:
        SourceError: a file does not exist or is none, a pattern matches nothing, a folder or the list holds nothing
            to read.
    """
    left_out = None if leave_out is None else leave_out.resolve()
    listed = list(_listed(names, lines, left_out))
    n_folders = sum(os.path.isdir(name) for name in listed if not isinstance(name, int))  # noqa: PTH112
    walk = _Walk(left_out, announce)
    sources: dict[str, Source] = {}
    for name in listed:
        for source in _sources_of(name, walk, name_folder=n_folders > 1):
            sources.setdefault(_identity(source), source)
    return list(sources.values())


def _identity(source: Source) -> str:
    if isinstance(source, Video) and not isinstance(source.source, Path):
        return str(source.source)
    return os.path.abspath(source.name)  # noqa: PTH100 - links stay as named


def _listed(
    names: Sequence[str | Path | int], lines: Iterable[str], left_out: Path | None
) -> Iterator[str | Path | int]:
    """Yield the names, those of the list in the place of ``-``, and the files of patterns in theirs."""
    for name in names:
        if str(name) != STANDARD_INPUT:
            yield from _expanded(name, left_out)
            continue
        listed = [line.strip() for line in lines]
        if not any(listed):
            raise SourceError(
                "The list on standard input names nothing. Write a file, folder or address a line"
            )
        for line in filter(None, listed):
            yield from _expanded(line, left_out)


def _expanded(name: str | Path | int, left_out: Path | None) -> Iterator[str | Path | int]:
    text = str(name)
    if not _WILDCARDS.search(text) or is_url(text) or os.path.lexists(text):
        yield name
        return
    found = sorted(glob.glob(text, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute patterns
    if not found:
        raise SourceError(f"No file matches the pattern {text}")
    yield from _beside(left_out, found) or found


def _beside(left_out: Path | None, found: list[str]) -> list[str]:
    """Return those of a pattern's files that do not lie in a folder."""
    if left_out is None:
        return found
    return [name for name in found if not Path(name).resolve().is_relative_to(left_out)]


def _sources_of(name: str | Path | int, walk: "_Walk", *, name_folder: bool) -> Iterator[Source]:
    text = str(name)
    if isinstance(name, int) or is_camera_index(text):
        yield Video(int(text), Path(f"camera-{int(text)}"))
        return
    if is_url(text):
        yield Video(text, Path(re.sub(r"[^A-Za-z0-9._-]+", "-", strip_credentials(text)).strip("-.")))
        return
    path = Path(name)
    if path.is_file():
        yield _file_source(path, Path(path.name))
        return
    if not path.is_dir():
        what = "is neither a file nor a folder" if path.exists() else "does not exist"
        raise SourceError(
            f"{path} {what}. Name images, videos, folders of them, a camera's index or an address"
        )
    yield from _sources_of_folder(path, walk, name_folder=name_folder)


def _sources_of_folder(folder: Path, walk: "_Walk", *, name_folder: bool) -> Iterator[Source]:
    top = Path(folder.resolve().name) if name_folder else Path()
    found = False
    for path in walk.files(folder):
        found = True
        place = top / path.relative_to(folder)
        yield ImageFile(path, place) if path.suffix.lower() in IMAGE_SUFFIXES else Video(path, place)
    if not found:
        suffixes = ", ".join((*sorted(IMAGE_SUFFIXES), *sorted(VIDEO_SUFFIXES)))
        raise SourceError(f"The folder {folder} holds no image or video ({suffixes}). Name another one")


def _file_source(path: Path, place: Path) -> Source:
    """Tell a video by its content, and by its suffix where the content says nothing."""
    try:
        is_video = is_video_content(read_header(path))
    except UnreadableImage:
        is_video = False
    return Video(path, place) if is_video or path.suffix.lower() in VIDEO_SUFFIXES else ImageFile(path, place)


@dataclass(frozen=True, slots=True)
class _Walk:
    """How folders are walked.

    Attributes:
        leave_out: a folder that is not walked into, as a whole path, or None.
        announce: is told of a folder that may not be read.
    """

    leave_out: Path | None
    announce: Callable[[str], None]

    def files(self, folder: Path) -> Iterator[Path]:
        """Yield the images and videos of a folder, down to the bottom."""
        for parent, folders, files in os.walk(folder, onerror=self._tell):
            # os.walk goes on into what is left in `folders`, in that order.
            folders[:] = sorted(
                name for name in folders
                if not name.startswith(".")
                and (self.leave_out is None or Path(parent, name).resolve() != self.leave_out)
            )  # fmt: skip
            for name in sorted(files):
                if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES:
                    yield Path(parent, name)

    def _tell(self, error: OSError) -> None:
        self.announce(f"The folder {error.filename} cannot be read and is left out: {error.strerror}")
