"""One writer of an output at a time: an advisory lock that dies with the process that holds it.

The lock is a record lock of the operating system on a small hidden file. The system lets go of it when the process
ends, kill -9 included, and processes that were forked meanwhile, as a loader's workers are, never hold it. The file
names its holder for the one who has to wait. It is removed at the end; what a kill leaves of it locks nothing.
"""

import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mien.errors import ArtifactError

# Paths that this process holds: a record lock does not keep out the process that has it.
_held: set[str] = set()
_guard = threading.Lock()

if sys.platform == "win32":
    import msvcrt

    # A locked byte cannot be read by others; the name of the holder, at the beginning, can.
    _LOCKED_BYTE = 1 << 20

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)

    def _remove_and_close(descriptor: int, lock_path: Path) -> None:
        # An open file cannot be removed here: whoever else has opened it meanwhile keeps it.
        os.close(descriptor)
        with suppress(OSError):
            lock_path.unlink()

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _remove_and_close(descriptor: int, lock_path: Path) -> None:
        # While it is still held: who opened it meanwhile finds in `_acquire` that it is not the file of that name.
        with suppress(OSError):
            lock_path.unlink()
        os.close(descriptor)


@contextmanager
def hold_lock(lock_path: Path, output: Path) -> Iterator[None]:
    """Hold a lock until the block's end, or the process's if that comes first.

    Where the file system has no locks, a line on standard error says so and the block goes on without.

    Args:
        lock_path: the file to lock, in a folder that exists.
        output: what is written meanwhile, for the message.

    Raises:
        ArtifactError: it is held by another process, or elsewhere in this one.
        OSError: the file cannot be made.
    """
    key = os.path.normcase(lock_path)
    with _guard:
        if key in _held:
            raise ArtifactError(f"{output} is being written by this process already. Choose another path")
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
    while True:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(lock_path, flags, 0o666)
        try:
            _lock(descriptor)
        except (BlockingIOError, PermissionError):
            holder = os.read(descriptor, 300).decode("utf-8", "replace")
            os.close(descriptor)
            raise _being_written(output, holder) from None
        except OSError as error:
            sys.stderr.write(
                f"mien: {lock_path.parent} cannot be locked ({error.strerror}): see to it that nothing else writes "
                f"{output} meanwhile\n"
            )
        if _is_at(descriptor, lock_path):
            break
        os.close(descriptor)  # its holder removed it in the moment before
    with suppress(OSError):  # a full disk is for the output's writer to tell
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
    return descriptor


def _is_at(descriptor: int, lock_path: Path) -> bool:
    try:
        return sys.platform == "win32" or os.path.samestat(os.fstat(descriptor), lock_path.lstat())
    except FileNotFoundError:
        return False


def _being_written(output: Path, holder: str) -> ArtifactError:
    here = f" on {socket.gethostname()}"
    return ArtifactError(
        f"{output} is being written by {holder.removesuffix(here) or 'another process'}. Wait until that has ended, "
        "or choose another path"
    )
