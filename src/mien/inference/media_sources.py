"""The sources of `mien predict` and `mien explain`: images, videos, cameras and URLs, in order."""

import codecs
import glob
import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from mien.errors import SourceError
from mien.faces.file_signatures import identify_format
from mien.faces.images import IMAGE_SUFFIXES, UnreadableImage
from mien.inference.urls import explain_name, is_image_url, is_url, redact_url
from mien.inference.video.capture import (
    HEADER_BYTES,
    VIDEO_SUFFIXES,
    is_camera_index,
    is_video_content,
    is_video_file,
    read_header,
)

_log = logging.getLogger(__name__)

# Images of these kinds may be animated.
_ANIMATED_SUFFIXES = (".gif", ".webp", ".png", ".avif")
STANDARD_INPUT = "-"
MAX_LIST_BYTES = 256 * 1024 * 1024
# So many servers are asked at once whether a URL is a photo.
_URL_THREADS = 8
_WILDCARDS = re.compile(r"[*?\[]")
# Characters of a name that an error shows.
MAX_SHOWN = 200


@dataclass(frozen=True, slots=True)
class MediaSource:
    """An image, a video, a camera or a stream.

    Attributes:
        location: a file, as named or as found under a named folder; a camera index; or a URL.
        relative_path: where its annotated copy goes, relative to the output folder, before a suffix is added.
        is_video: whether it has frames; otherwise it is an image.
        number: 1-based, among URLs that are shown alike because only what is hidden of them differs.
    """

    location: Path | int | str
    relative_path: Path
    is_video: bool
    number: int = 1

    @property
    def name(self) -> str:
        """The name in its rows; a URL's has no password or token."""
        if isinstance(self.location, int):
            return f"camera {self.location}"
        if isinstance(self.location, Path):
            return str(self.location)
        return redact_url(self.location) + (f" ({self.number})" if self.number > 1 else "")


def read_list(stream: TextIO | None) -> Iterator[str]:
    """Yield the names on standard input: one per line, or separated by null characters, as ``find -print0`` writes them.

    They are in UTF-8, or in UTF-16 with a byte order mark, as some shells of Windows write them.

    Raises:
        SourceError: standard input is closed, or holds a file instead of names.
    """
    if stream is None:
        raise SourceError("Standard input is closed, so there is no list for -")
    data = stream.buffer.read(MAX_LIST_BYTES + 1) if hasattr(stream, "buffer") else stream.read().encode()
    found = identify_format(data)
    if found is None and is_video_content(data[:HEADER_BYTES]):
        found = "video"
    if found is not None or len(data) > MAX_LIST_BYTES:
        what = f"{found} data" if found else f"more than {MAX_LIST_BYTES:,} bytes"
        raise SourceError(
            f"- reads a list of names, but standard input has {what}. Save it as a file, and name that"
        )
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = data.decode("utf-16", "replace") if is_utf16 else os.fsdecode(data.removeprefix(codecs.BOM_UTF8))
    yield from text.split("\0") if "\0" in text else text.splitlines()


def find_sources(
    names: Sequence[str | Path | int],
    *,
    lines: Iterable[str] = (),
    leave_out: Path | None = None,
    passed_over: Counter[str] | None = None,
) -> list[MediaSource]:
    """Return the sources behind the names, in order.

    A name is a file, a folder, a pattern such as ``'shots/**/*.jpg'``, a camera index (a number, or digits unless a file
    has that name), a URL of a photo, video or stream, or ``-`` for a list of these. Folders are walked recursively in sorted order; files without an
    image or video suffix and names that start with a dot are skipped, and links to folders are not followed. A file
    that is named counts whatever its suffix. Duplicates are dropped.

    Args:
        names: see above.
        lines: the list that ``-`` stands for, one name per line.
        leave_out: a folder that is not walked into, and whose files patterns do not match.
        passed_over: counts, by kind, what the folders hold besides the sources; it is updated.

    Raises:
        SourceError: a file does not exist or is not a regular file, a pattern matches nothing, or a folder or the list
            is empty.
    """
    excluded = None if leave_out is None else leave_out.resolve()
    expanded: list[str | Path | int] = []
    for name in names:
        if str(name) != STANDARD_INPUT:
            expanded += _expand_pattern(name, excluded)
            continue
        listed = [*filter(None, (line.strip() for line in lines))]
        if not listed:
            raise SourceError("The list on standard input is empty. Write one file, folder or URL per line")
        for line in listed:
            expanded += _expand_pattern(line, excluded)
    n_folders = sum(os.path.isdir(name) for name in expanded if not isinstance(name, int))  # noqa: PTH112
    sources: dict[str, MediaSource] = {}
    passed_over = Counter() if passed_over is None else passed_over
    for name in expanded:
        for source in _sources_of(name, excluded, passed_over, keep_folder_name=n_folders > 1):
            is_file = isinstance(source.location, Path)
            key = os.path.abspath(source.name) if is_file else str(source.location)  # noqa: PTH100 - follows no link
            sources.setdefault(key, source)
    return _examine_urls(list(sources.values()))


def require_readable(n_read: int, n_unreadable: int, n_sources: int) -> None:
    """Refuse to end well if nothing of the sources could be read, so that a script notices.

    Args:
        n_read: images and frames that were read, with or without a face.
        n_unreadable: images, and parts of videos, that could not be read.
        n_sources: images and videos that were given.

    Raises:
        SourceError: none was read, although one was given.
    """
    if n_unreadable and not n_read:
        raise SourceError(
            f"0 of {n_sources:,} {'source' if n_sources == 1 else 'sources'} could be read: the `status` and `detail` of each "
            "say why. Pass images or videos that can be decoded"
        )


def _examine_urls(sources: list[MediaSource]) -> list[MediaSource]:
    """Return the sources with what can be known of URLs: which are photos, and a number for those shown alike."""
    urls = [source.location for source in sources if isinstance(source.location, str)]
    if not urls:
        return sources
    with ThreadPoolExecutor(_URL_THREADS) as threads:
        is_image = dict(zip(urls, threads.map(is_image_url, urls), strict=True))
    counts: dict[str, int] = {}
    examined = []
    for source in sources:
        if isinstance(source.location, str):
            counts[source.name] = counts.get(source.name, 0) + 1
            examined.append(
                replace(source, is_video=not is_image[source.location], number=counts[source.name])
            )
        else:
            examined.append(source)
    return examined


def _expand_pattern(name: str | Path | int, excluded: Path | None) -> list[str | Path | int]:
    """Return the files that match a pattern, or the name itself if it is none."""
    text = str(name)
    if not _WILDCARDS.search(text) or is_url(text) or os.path.lexists(text):
        return [name]
    found = sorted(glob.glob(text, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute patterns
    if not found:
        raise SourceError(f"No file matches the pattern {text}")
    kept = [path for path in found if excluded is None or not Path(path).resolve().is_relative_to(excluded)]
    return [*(kept or found)]


def _sources_of(
    name: str | Path | int,
    excluded: Path | None,
    passed_over: Counter[str],
    *,
    keep_folder_name: bool,
) -> Iterator[MediaSource]:
    """Yield the sources behind a name that is not a pattern."""
    text = str(name)
    if not text.strip():
        raise SourceError(
            "A source has an empty name, perhaps from an empty variable: pass . for the current folder"
        )
    if isinstance(name, int) or is_camera_index(text):
        yield MediaSource(int(text), Path(f"camera-{int(text)}"), is_video=True)
        return
    if is_url(text):
        relative_path = Path(re.sub(r"[^A-Za-z0-9._-]+", "-", redact_url(text)).strip("-."))
        yield MediaSource(text, relative_path, is_video=True)
        return
    path = Path(name)
    # Not `Path.is_file`, which raises for names that are too long.
    if os.path.isfile(path):  # noqa: PTH113
        yield MediaSource(path, Path(path.name), is_video_file(path))
        return
    if not os.path.isdir(path):  # noqa: PTH112
        what = "is neither a file nor a folder" if os.path.exists(path) else "does not exist"  # noqa: PTH110
        shown = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}... ({len(text):,} characters)"
        if hint := explain_name(text):
            raise SourceError(f"{shown} cannot be read: {hint}")
        raise SourceError(f"{shown} {what}. Pass images, videos, folders of them, a camera index or a URL")
    prefix = Path(path.resolve().name) if keep_folder_name else Path()
    is_empty = True
    for file in _walk(path, excluded, passed_over):
        is_empty = False
        suffix = file.suffix.lower()
        is_video = is_video_file(file) if suffix in _ANIMATED_SUFFIXES else suffix not in IMAGE_SUFFIXES
        yield MediaSource(file, prefix / file.relative_to(path), is_video)
    if is_empty:
        suffixes = ", ".join((*sorted(IMAGE_SUFFIXES), *sorted(VIDEO_SUFFIXES)))
        raise SourceError(f"The folder {path} contains no image or video ({suffixes}). Pass another folder")


def _is_transport_stream(path: Path) -> bool:
    """Return whether a file is MPEG's transport stream: programs in TypeScript have the same suffix."""
    try:
        return is_video_content(read_header(path))
    except UnreadableImage:
        return True


def _walk(folder: Path, excluded: Path | None, passed_over: Counter[str]) -> Iterator[Path]:
    """Yield the images and videos of a folder, recursively, in sorted order, and count the rest."""

    def report(error: OSError) -> None:
        passed_over["unreadable folder"] += 1
        _log.warning("The folder %s cannot be read and is skipped: %s", error.filename, error.strerror)

    for parent, folders, files in os.walk(folder, onerror=report):
        passed_over["link to a folder"] += sum(Path(parent, name).is_symlink() for name in folders)
        passed_over["hidden folder"] += sum(
            name.startswith(".") and not Path(parent, name).is_symlink() for name in folders
        )
        # os.walk continues with what is left in `folders`, in that order.
        folders[:] = sorted(
            name for name in folders
            if not name.startswith(".") and (excluded is None or Path(parent, name).resolve() != excluded)
        )  # fmt: skip
        for name in sorted(files):
            suffix = Path(name).suffix.lower()
            if name.startswith("."):
                passed_over["hidden file"] += 1
            elif suffix not in IMAGE_SUFFIXES | VIDEO_SUFFIXES or (
                suffix == ".ts" and not _is_transport_stream(Path(parent, name))
            ):
                passed_over[suffix or "file without a suffix"] += 1
            else:
                yield Path(parent, name)
