"""Opening files that others wrote: regular files alone, and no more of them than is wanted.

A pipe that nobody writes to blocks whoever opens it, and a device such as ``/dev/zero`` never ends, whatever its name is.
"""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


class NotAFileError(OSError):
    """A pipe, a socket or a device stands where a file is wanted."""


class TooLargeError(OSError):
    """A file has more bytes than any of its kind."""


_KINDS = {
    stat.S_IFIFO: "a pipe (FIFO)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read its bytes, following links, without waiting for anything.

    Raises:
        NotAFileError: it is no regular file.
        IsADirectoryError: it is a folder.
        OSError: it is not there, or may not be read.
    """
    # Looked at before it is opened too: a socket cannot be, and opening a device may set it going.
    _require_regular(path.stat(), path)
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _require_regular(os.fstat(descriptor), path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: Path, *, max_bytes: int) -> bytes:
    """Return a file's bytes.

    Raises:
        TooLargeError: there are more than ``max_bytes``.
        NotAFileError: as `open_regular`, and the others of it.
    """
    with open_regular(path) as file:
        n_bytes = os.fstat(file.fileno()).st_size
        if n_bytes <= max_bytes:
            # One more than there were: a file that grows meanwhile is not read for ever.
            data = file.read(n_bytes + 1)
            n_bytes = len(data)
        if n_bytes > max_bytes:
            raise TooLargeError(errno.EFBIG, f"{n_bytes:,} bytes, the limit is {max_bytes:,}", str(path))
        return data


def _require_regular(status: os.stat_result, path: Path) -> None:
    if stat.S_ISREG(status.st_mode):
        return
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
    raise NotAFileError(errno.EINVAL, f"it is {kind}, not a file", str(path))
