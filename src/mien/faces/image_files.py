"""Reading image files from disk: the bytes of a file, or just its signature."""

import os
from pathlib import Path

from mien.faces.file_signatures import (
    OTHER_IMAGE_FORMATS,
    READABLE_FORMATS,
    identify_format,
    read_signature,
)
from mien.faces.images import UnreadableImage
from mien.runtime.regular_files import NotAFileError, TooLargeError, read_regular

# The largest image that is decoded takes 400 MB with four channels of 16 bits.
MAX_FILE_BYTES = 512 * 1024 * 1024


def read_image_file(path: Path) -> bytes:
    """Return the bytes of a file that should be an image.

    Raises:
        UnreadableImage: the file does not exist or cannot be read, is a pipe, socket or device, or is too large.
    """
    try:
        return read_regular(path, max_bytes=MAX_FILE_BYTES)
    except IsADirectoryError:
        raise UnreadableImage("missing_file", "it is a folder, not a file") from None
    except (FileNotFoundError, NotADirectoryError):
        raise UnreadableImage("missing_file", explain_missing(path)) from None
    except NotAFileError as error:
        raise UnreadableImage("not_a_file", str(error.strerror)) from None
    except TooLargeError as error:
        raise UnreadableImage("image_too_large", str(error.strerror)) from None
    except OSError as error:
        raise UnreadableImage("unreadable_file", error.strerror or str(error)) from None
    except ValueError as error:  # a null character
        raise UnreadableImage("missing_file", f"no path is like this: {error}") from None


def looks_like_image(path: Path) -> bool:
    """Return whether a file starts with the signature of an image format; False if it cannot be read."""
    return identify_format(read_signature(path)) in READABLE_FORMATS | OTHER_IMAGE_FORMATS


# Suffixes that an image may have in place of the one that a list states, as sets are converted or renamed.
_COMMON_SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".png",
    ".JPG",
    ".JPEG",
    ".PNG",
    ".webp",
    ".bmp",
    ".tif",
    ".tiff",
    ".heic",
    ".HEIC",
)
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar")


def explain_missing(path: Path) -> str:
    """Return where a file was looked for, and what is there in its place: another case or suffix, or a packed folder.

    Nothing is listed, only a few likely names are tried: a folder may hold a million files. The folder is named without its
    parents, because packs keep the text and travel.
    """
    parent, name = path.parent, path.name
    if not parent.is_dir():
        while not parent.parent.is_dir() and parent.parent != parent:
            parent = parent.parent
        text = f"there is no folder {parent.name!r} in {_shown(parent.parent)}"
        packed = next(
            (parent.name + end for end in _ARCHIVES if parent.with_name(parent.name + end).exists()), None
        )
        if packed:
            return f"{text}, but there is {packed!r}: unpack it"
        found = _other_case(parent)
        return text if found is None else f"{text}, but there is {found!r}, in another case"
    text = f"there is no file {name!r} in {_shown(parent)}"
    found = _other_case(path)
    if found is not None:
        return f"{text}, but there is {found!r}, in another case"
    stems = dict.fromkeys((name, path.stem))
    for found in (stem + suffix for stem in stems for suffix in _COMMON_SUFFIXES):
        if found != name and os.path.exists(parent / found):  # noqa: PTH110 - `Path.exists` raises for long names
            return f"{text}, but there is {found!r}, with another suffix"
    return text


def _shown(folder: Path) -> str:
    return repr(folder.name) if folder.name else "the current folder" if not folder.is_absolute() else "/"


def _other_case(path: Path) -> str | None:
    """Return the name of what is found at a path in lower, upper or title case, or with a suffix in the other case."""
    names = (path.name.lower(), path.name.upper(), path.name.capitalize(), path.stem + path.suffix.swapcase())
    return next(
        (name for name in names if name != path.name and os.path.exists(path.with_name(name))),  # noqa: PTH110
        None,
    )
