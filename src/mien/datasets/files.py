"""The files of a raw data set: which names in a folder count, and where the paths in a list lead."""

import os
from collections.abc import Iterator
from pathlib import Path

from mien.datasets.base import RejectedRow
from mien.errors import DatasetError

# Files that operating systems leave next to images; names that begin with a dot are ignored as well.
SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


def list_names(folder: Path) -> list[str]:
    """Return the sorted names in a folder, without hidden files and files of the operating system.

    Raises:
        DatasetError: the folder cannot be read.
    """
    return sorted(iterate_names(folder))


def iterate_names(folder: Path) -> Iterator[str]:
    """Yield the names of `list_names` in the file system's order, one at a time."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and entry.name.lower() not in SYSTEM_FILES:
                    yield entry.name
    except OSError as error:
        raise DatasetError(f"`{folder}` must be a readable folder: {error.strerror}") from None


def printable(name: str) -> str:
    r"""Return a file name as text that can be written anywhere: bytes that are not UTF-8 are escaped.

    Example:
        >>> printable("\udce9.jpg")
        '\\xe9.jpg'
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def quote_names(names: list[str], limit: int = 8) -> str:
    """Return names in backticks, separated by commas; those beyond a limit become an ellipsis."""
    return ", ".join(f"`{name}`" for name in names[:limit]) + (", ..." if len(names) > limit else "")


def locate(root: Path, written: str) -> Path:
    r"""Return the real path of an image, given its path in a list relative to the data set's folder.

    Lists made on Windows may separate folders with ``\``, which is tried if the file is not found as written.

    Raises:
        RejectedRow: ``missing_file`` if the path is empty, ``path_outside`` if it leads out of ``root``.
    """
    if not written.strip():
        raise RejectedRow("missing_file", "the path is empty")
    path = _resolve_inside(root, written)
    # `Path.exists` raises if a name is too long for the file system.
    if "\\" in written and not os.path.exists(path):  # noqa: PTH110
        return _resolve_inside(root, written.replace("\\", "/"))
    return path


def _resolve_inside(root: Path, relative: str) -> Path:
    try:
        path = (root / relative).resolve()
    except (OSError, ValueError) as error:
        raise RejectedRow("path_outside", f"{relative!r} is not a usable path: {error}") from None
    if not path.is_relative_to(root):
        raise RejectedRow("path_outside", f"{relative!r} leads out of {root}")
    return path
