"""The files of a raw dataset: which names in a folder count, and where the paths in a list lead."""

import os
import re
import shlex
import unicodedata
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


def real_folders(folders: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return the real paths of folders that were named by --images.

    Raises:
        DatasetError: one is not a folder.
    """
    for folder in folders:
        if not folder.is_dir():
            raise DatasetError(
                f"--images must name folders, `{folder}` is not one: give the folder of the images"
            )
    return tuple(folder.resolve() for folder in folders)


def locate(root: Path, written: str, *, others: tuple[Path, ...] = ()) -> Path:
    r"""Return the real path of an image, given its path in a list relative to the dataset's folder.

    Lists made on Windows may separate folders with ``\``, others have blanks around a path, or compose letters with accents in
    another way than the names of files (macOS): these are tried if the file is not found as written.

    Args:
        root: the real path of the set's folder.
        written: the path in the list.
        others: real paths of further folders; a path is looked up in each of them if it is not in ``root``, and may lead
            from any of these folders to any other.

    Raises:
        RejectedRow: ``missing_file`` if the path is empty, ``path_outside`` if it leads out of all folders.
    """
    if not written.strip():
        raise RejectedRow("missing_file", "the path is empty")
    plain = written.replace("\\", "/").strip()
    spellings = [written, plain]
    if not plain.isascii():
        spellings += [unicodedata.normalize(form, plain) for form in ("NFC", "NFD")]
    spellings = list(dict.fromkeys(spellings))
    inside: list[Path] = []
    outside: list[RejectedRow] = []
    for folder in (root, *others):
        for spelling in spellings:
            try:
                path = _resolve_inside(folder, spelling, (root, *others))
            except RejectedRow as rejected:
                outside.append(rejected)
                continue
            # `Path.exists` raises if a name is too long for the file system.
            if (len(spellings) == 1 and not others) or os.path.exists(path):  # noqa: PTH110
                return path
            inside.append(path)
    if outside:
        raise outside[0]
    return inside[spellings.index(plain)]


def _resolve_inside(root: Path, relative: str, allowed: tuple[Path, ...]) -> Path:
    try:
        path = (root / relative).resolve()
    except (OSError, ValueError) as error:
        raise RejectedRow("path_outside", f"{relative!r} is not a usable path: {error}") from None
    if any(path.is_relative_to(folder) for folder in allowed):
        return path
    for place in [*reversed((root / relative).parents), root / relative]:
        if place.is_relative_to(root) and place != root and place.is_symlink():
            target = place.resolve()
            raise RejectedRow(
                "path_outside",
                f"{relative!r} leads out of the set's folder through the link {place.relative_to(root).as_posix()!r} to {target}: "
                f"add --images {shlex.quote(str(target if target.is_dir() else target.parent))}",
            )
    if Path(relative).is_absolute() and not os.path.lexists(path):
        raise RejectedRow(
            "missing_file", f"there is no {relative!r} on this machine: remove the beginning of the paths"
        )
    raise RejectedRow("path_outside", f"{relative!r} leads out of {root}")


# What may hold labels or boxes; README and LICENSE files do not count.
LIST_SUFFIXES = frozenset(
    (
        ".csv",
        ".tsv",
        ".txt",
        ".lst",
        ".json",
        ".jsonl",
        ".ndjson",
        ".xml",
        ".mat",
        ".npy",
        ".npz",
        ".pkl",
        ".parquet",
        ".xlsx",
        ".xls",
    )
)
_NOT_LISTS = re.compile(r"(readme|licen[cs]e|changelog|citation|requirements|terms|copying)", re.IGNORECASE)


def is_list_name(name: str) -> bool:
    """Return whether a file may hold annotations, by its name."""
    return Path(name).suffix.lower() in LIST_SUFFIXES and not _NOT_LISTS.match(name)
