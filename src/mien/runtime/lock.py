"""One writer per output: an advisory lock that is released when its process ends.

It is an operating-system record lock on a small hidden file. The system releases it when the process ends, kill -9
included, and forked processes such as data-loader workers never hold it. The file names its holder for a process that
finds it locked. It is removed on release; a file left by a killed process locks nothing.
"""

import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mien.errors import ArtifactError

_log = logging.getLogger(__name__)

# Paths locked by this process: a record lock does not keep out the process that holds it.
_held: set[str] = set()
_guard = threading.Lock()

if sys.platform == "win32":
    import msvcrt

    # Other processes cannot read a locked byte, but they can read the holder's name at the beginning.
    _LOCKED_BYTE = 1 << 20

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)

    def _remove_and_close(descriptor: int, lock_path: Path) -> None:
        # Windows cannot remove an open file: it stays if another process has opened it.
        os.close(descriptor)
        with suppress(OSError):
            lock_path.unlink()

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _remove_and_close(descriptor: int, lock_path: Path) -> None:
        # Removed while still locked: a process that has opened it finds in `_acquire` that the path is another file.
        with suppress(OSError):
            lock_path.unlink()
        os.close(descriptor)


@contextmanager
def hold_lock(lock_path: Path, output: Path) -> Iterator[None]:
    """Hold a lock until the block or the process ends.

    On a file system without locks, a warning is logged and the block runs without one.

    Args:
        lock_path: file to lock, in an existing folder.
        output: what is written during the block, for the message.

    Raises:
        ArtifactError: another process holds the lock, or another thread of this one.
        OSError: the file cannot be created.
    """
    key = os.path.normcase(lock_path)
    with _guard:
        if key in _held:
            raise ArtifactError(f"{output} is being written by this process. Choose another path")
        descriptor = _acquire(lock_path, output)
        _held.add(key)
    try:
        yield
    finally:
        with _guard:
            _held.discard(key)
            _remove_and_close(descriptor, lock_path)


def _acquire(lock_path: Path, output: Path) -> int:
    """Return the descriptor of the locked file, which must stay open."""
    here = f" on {socket.gethostname()}"
    while True:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(lock_path, flags, 0o666)
        try:
            _lock(descriptor)
        except (BlockingIOError, PermissionError):
            holder = os.read(descriptor, 300).decode("utf-8", "replace").removesuffix(here)
            os.close(descriptor)
            raise ArtifactError(
                f"{output} is being written by {holder or 'another process'}. Wait until it ends, or choose another path"
            ) from None
        except OSError as error:
            _log.warning(
                "%s cannot be locked (%s): make sure that nothing else writes %s at the same time",
                lock_path.parent,
                error.strerror,
                output,
            )
        if _is_at(descriptor, lock_path):
            break
        os.close(descriptor)  # its holder removed it just before
    with suppress(OSError):  # a full disk is reported by the writer of the output
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()}{here}".encode())
    return descriptor


def _is_at(descriptor: int, lock_path: Path) -> bool:
    """Return whether the path still names the open file."""
    try:
        return sys.platform == "win32" or os.path.samestat(os.fstat(descriptor), lock_path.lstat())
    except FileNotFoundError:
        return False
