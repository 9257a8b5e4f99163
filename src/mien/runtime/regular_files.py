"""Open files from outside: only regular files, and only up to a size limit.

Opening a pipe without a writer blocks forever, and a device such as ``/dev/zero`` never ends.
"""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path


class NotAFileError(OSError):
    """The path is a pipe, a socket or a device instead of a file."""


class TooLargeError(OSError):
    """A file exceeds the size limit."""


_KINDS = {
    stat.S_IFIFO: "a pipe (FIFO)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: Path) -> BufferedReader:
    """Open a file for reading bytes, following links, without blocking.

    Raises:
        NotAFileError: it is not a regular file.
        IsADirectoryError: it is a folder.
        OSError: it does not exist or cannot be read.
    """
    # Also checked before opening: a socket cannot be opened, and opening a device may start it.
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
        TooLargeError: the file is larger than ``max_bytes``.
        OSError: as for `open_regular`.
    """
    with open_regular(path) as file:
        n_bytes = os.fstat(file.fileno()).st_size
        if n_bytes <= max_bytes:
            # One byte more than it had: a file that keeps growing is not read forever.
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
