"""Opening image files: whole, and only their beginning."""

from pathlib import Path

from mien.faces.images import UnreadableImage
from mien.inputs import NotAFileError, TooLargeError, open_regular, read_regular

# The largest picture that is decoded takes 400 MB where its pixels have four channels of 16 bits.
MAX_FILE_BYTES = 512 * 1024 * 1024
# What the files that are read begin with, WebP apart.
_IMAGE_BEGINNINGS = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"BM"),
    *(b"II*\0", b"MM\0*"),
    *(b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"Pf"),
)


def read_image_file(path: Path) -> bytes:
    """Return the bytes of what may be an image file.

    Raises:
        UnreadableImage: there is no such file, it may not be read, it is a pipe, socket or device, or it is too large.
    """
    try:
        return read_regular(path, max_bytes=MAX_FILE_BYTES)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise UnreadableImage("missing_file", f"there is no file {path.name!r}") from None
    except NotAFileError as error:
        raise UnreadableImage("not_a_file", str(error.strerror)) from None
    except TooLargeError as error:
        raise UnreadableImage("image_too_large", str(error.strerror)) from None
    except OSError as error:
        raise UnreadableImage("unreadable_file", error.strerror or str(error)) from None


def looks_like_image(path: Path) -> bool:
    """Return whether a file begins as an image file does. What cannot be read does not."""
    try:
        with open_regular(path) as file:
            header = file.read(12)
    except OSError:
        return False
    return header.startswith(_IMAGE_BEGINNINGS) or (header[:4] == b"RIFF" and header[8:] == b"WEBP")
