"""The files of a raw set: which of a folder's names count, and where a list's name leads."""

import os
from collections.abc import Iterator
from pathlib import Path

from mien.datasets.base import RejectedRow, resolve_inside
from mien.errors import DatasetError

# What systems leave beside images; names that begin with a dot are left aside as well.
LEFTOVERS = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


def list_names(folder: Path) -> list[str]:
    """Return the names in a folder in order, without hidden ones and what systems leave there.

    Raises:
        DatasetError: the folder cannot be read.
    """
    return sorted(iterate_names(folder))


def iterate_names(folder: Path) -> Iterator[str]:
    """Yield what `list_names` returns, in the file system's order, without holding it."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and entry.name.lower() not in LEFTOVERS:
                    yield entry.name
    except OSError as error:
        raise DatasetError(f"`{folder}` must be a folder that can be read: {error.strerror}") from None


def printable(name: str) -> str:
    r"""Return a file's name as text that can be written anywhere: bytes that are no UTF-8 become escapes.

    Example:
        >>> printable("\udce9.jpg")
        '\\xe9.jpg'
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def locate(root: Path, written: str) -> Path:
    r"""Return where an image is that a list names, under the folder that its names start from.

    A list made on Windows may write ``\`` between folders: such a name is understood where the file is not
    found as written.

    Raises:
        RejectedRow: ``missing_file`` where the name is empty, ``path_outside`` where it leads out of ``root``.
    """
    if not written.strip():
        raise RejectedRow("missing_file", "the path is empty")
    path = resolve_inside(root, written)
    # `Path.exists` raises where a name is too long for the disk.
    if "\\" in written and not os.path.exists(path):  # noqa: PTH110
        return resolve_inside(root, written.replace("\\", "/"))
    return path
