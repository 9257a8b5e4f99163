"""Atomic writes: nothing is overwritten unless asked, no partial output looks complete, a power failure loses nothing.

An output has one writer at a time (`one_writer`). It is written under a temporary name, synced and renamed; the output
that it replaces stays until then. Files go through `write_atomically` and folders through `new_folder`. A folder that is
written in place because others read it meanwhile, such as a run, goes through `set_aside`.
"""

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from mien.errors import ArtifactError
from mien.runtime.json_text import parse_json
from mien.runtime.lock import hold_lock
from mien.runtime.regular_files import open_regular, read_regular
from mien.runtime.suggestion import did_you_mean

LOCK_WITHIN = ".mien.lock"
# The index of a pack of a hundred million faces has a tenth of it.
MAX_JSON_BYTES = 512 * 1024 * 1024
# The file that marks a folder as complete, and what the folder then is.
INDEX_FILES = {
    "pack.json": "a pack",
    "run.json": "a run",
    "runs.json": "the folder of several runs, each of which has its own folder in it",
    "metrics.json": "a report",
    "audit.json": "an audit",
}
# What Python makes of bytes in a path that are not UTF-8.
_NOT_UTF_8 = re.compile("[\ud800-\udfff]")
_PARTIAL = re.compile(r"\.[0-9a-f]{8}\.partial")


@contextmanager
def one_writer(path: Path, *, within: bool = False) -> Iterator[None]:
    """Keep other mien processes from writing an output, and remove partial files left by killed writers of it.

    The lock is the file ``.<name>.lock`` next to the output; it exists only while it is held.

    Args:
        path: the output, a file or a folder. Its parent folders are created.
        within: the output is files inside this folder, which may hold other files too: the lock is `LOCK_WITHIN` in it.

    Raises:
        ArtifactError: the output lies inside a pack, another process is writing it, or its folder cannot be written.
    """
    if not within:
        _require_name(path)
    folder = path if within else path.parent
    for parent in (folder.absolute(), *folder.absolute().parents):
        if os.path.lexists(parent / "pack.json"):
            raise ArtifactError(
                f"{path} lies inside the pack {parent}, which holds nothing else and is replaced as a whole. Choose another path"
            )
    with ExitStack() as stack:
        with disk_errors(path):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                lock_path = folder.resolve() / (LOCK_WITHIN if within else f".{path.name}.lock")
                stack.enter_context(hold_lock(lock_path, path))
            except FileNotFoundError as error:  # of a file system that takes no files, such as /proc
                raise ArtifactError(
                    f"{path} cannot be written: the file system has no place for it at {error.filename}. Choose another path"
                ) from error
            if not within:
                remove_partials(folder, of=f"{path.name}.")
        yield


def claim_output(path: Path, *, force: bool, kind_mark: str | None = None) -> None:
    """Check that an output may be written, and create its parent folder. An output to be replaced stays for now.

    An output that was moved aside by `replace_folder` or `set_aside` before a kill gets its name back.

    Args:
        path: the output, a file or a folder.
        force: an existing output of the same kind may be replaced.
        kind_mark: a file that identifies a folder as this kind of output, such as ``pack.json``. A folder without it
            is never replaced unless it is empty.

    Raises:
        ArtifactError: the output exists and may not be replaced.
    """
    _require_name(path)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_symlink() and _holds_nothing(path):
            _remove(path)
        if kind_mark is not None and not os.path.lexists(path) and (_aside(path) / kind_mark).exists():
            _aside(path).rename(path)
        if not os.path.lexists(path):
            return
        if not force:
            raise _exists_already(path)
        if path.is_symlink():
            return
        if kind_mark is not None and path.is_dir() and (path / kind_mark).exists():
            _require_free_aside(path, kind_mark)
        elif kind_mark is not None or path.is_dir():
            found = f"it holds no {kind_mark}" if kind_mark else "it is a folder"
            if not path.is_dir():
                found = "it is a file"
            raise ArtifactError(
                f"{path} was not replaced: {found}, so mien did not make it. Remove it yourself"
            )


def require_suffix(path: Path, suffixes: Iterable[str], *, option: str) -> str:
    """Return the suffix of an output in lower case, after checking that it is one of those that select a format.

    Raises:
        ArtifactError: it is another.
    """
    suffix, known = path.suffix.lower(), list(suffixes)
    if suffix not in known:
        raise ArtifactError(
            f"{option} {path} must end in {' or '.join(known)}, which selects the format{did_you_mean(suffix, known)}"
        )
    return suffix


def _require_name(path: Path) -> None:
    if path.name in ("", ".."):
        raise ArtifactError(
            f"An output needs a name, and {path} has none. Give the folder's name, or another path"
        )
    if _NOT_UTF_8.search(str(path)):
        raise ArtifactError(
            f"The path of an output must be UTF-8 text, {str(path)!r} is not. Choose another path"
        )


def _exists_already(path: Path) -> ArtifactError:
    return ArtifactError(f"{path} already exists. Choose another path, or add --force to replace it")


def remove_folder(path: Path, *, last: str) -> None:
    """Remove a folder and one of its entries last, so that an interrupted removal can be recognized and repeated."""
    for entry in path.iterdir():
        if entry.name != last:
            _remove(entry)
    _remove(path / last)
    path.rmdir()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path, *, force: bool, kind_mark: str) -> Iterator[Path]:
    """Yield a new folder to write to; it gets its name only if the block succeeds.

    Raises:
        ArtifactError: as for `one_writer` and `claim_output`, or the disk is full.
    """
    with one_writer(path), disk_errors(path):
        claim_output(path, force=force, kind_mark=kind_mark)
        partial = _partial_name(path)
        try:
            partial.mkdir()
            yield partial
            for root, _, names in os.walk(partial, topdown=False):
                for name in names:
                    _sync_file(Path(root, name))
                _sync_folder(Path(root))
            claim_output(path, force=force, kind_mark=kind_mark)
            replace_folder(path, partial, kind_mark=kind_mark)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def make_folder(path: Path) -> None:
    """Create a folder that is written in place, with its parents, so that it survives a power failure."""
    path.mkdir(parents=True, exist_ok=True)
    _sync_folder(path.parent)


def replace_folder(path: Path, new: Path, *, kind_mark: str) -> None:
    """Give a complete folder its name. The folder it replaces is moved aside first and removed last.

    After a kill in between, the old folder is ``<name>.replaced``, and `claim_output` restores it.
    """
    _move_aside(path, kind_mark)
    new.rename(path)
    _sync_folder(path.parent)
    drop_aside(path, kind_mark=kind_mark)


def set_aside(path: Path, *, kind_mark: str, whole_mark: str) -> Path | None:
    """Move an output aside before a new one is written in its place.

    It stays as ``<name>.replaced`` until the new one is complete (`drop_aside`), or until `restore_aside` puts it back. If
    an output was set aside before and the current one is incomplete, the current one is removed instead: the last
    complete output is always kept.

    Args:
        path: the folder.
        kind_mark: as for `claim_output`.
        whole_mark: a file that exists only in a complete output.

    Returns:
        The path of the output set aside; None if ``path`` was a link, which is removed.
    """
    if _aside(path).exists() and not (path / whole_mark).exists():
        remove_folder(path, last=kind_mark)
    else:
        _move_aside(path, kind_mark)
    return _aside(path) if _aside(path).exists() else None


def _move_aside(path: Path, kind_mark: str) -> None:
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        _require_free_aside(path, kind_mark)
        drop_aside(path, kind_mark=kind_mark)
        path.rename(_aside(path))
        _sync_folder(path.parent)


def drop_aside(path: Path, *, kind_mark: str) -> None:
    """Remove the output that was set aside, now that the new one is complete."""
    aside = _aside(path)
    if (aside / kind_mark).exists():
        remove_folder(aside, last=kind_mark)
    elif aside.is_dir() and _holds_nothing(aside):
        aside.rmdir()


def restore_aside(path: Path, *, kind_mark: str) -> None:
    """Restore the output that was set aside, in place of a new one that failed."""
    if (_aside(path) / kind_mark).exists():
        shutil.rmtree(path, ignore_errors=True)
        _aside(path).rename(path)
        _sync_folder(path.parent)


def _require_free_aside(path: Path, kind_mark: str) -> None:
    aside = _aside(path)
    if os.path.lexists(aside) and not (aside / kind_mark).exists() and not _holds_nothing(aside):
        raise ArtifactError(
            f"{aside} is in the way: {path} is moved there until the new one is complete. Remove or rename it"
        )


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name}.replaced")


def _holds_nothing(path: Path) -> bool:
    """Return whether a path is a folder that is empty except for partial files of a killed writer."""
    return path.is_dir() and all(_is_partial(entry.name) for entry in path.iterdir())


def remove_partials(folder: Path, *, of: str = "") -> None:
    """Remove partial files that killed writers left in a folder. Only the writer that holds the lock may call this.

    Args:
        folder: the folder.
        of: only partial files of outputs whose names begin with this.
    """
    for path in folder.iterdir():
        if _is_partial(path.name) and path.name.startswith(of):
            _remove(path)


def _is_partial(name: str) -> bool:
    return _PARTIAL.fullmatch(name[-17:]) is not None


def _partial_name(path: Path) -> Path:
    return path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")


_REFUSALS = frozenset(
    {
        errno.EACCES,
        errno.EBUSY,
        errno.EEXIST,
        errno.EFBIG,
        errno.EIO,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOTDIR,
        errno.ENOTEMPTY,
        errno.EPERM,
        errno.EROFS,
        errno.ESTALE,
    }
)


@contextmanager
def disk_errors(path: Path, advice: str = "free some space and run the same command again") -> Iterator[None]:
    """Turn a full disk, a missing permission, an impossible path or one that vanished into one clear error."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ArtifactError(f"The disk is full while writing {path}: {advice}") from error
        if error.errno in _REFUSALS:
            raise ArtifactError(
                f"{error.filename2 or error.filename or path} cannot be written: {error.strerror}"
            ) from error
        if error.errno == errno.ENOENT and str(path) in str(
            error.filename or error
        ):  # pyarrow names the file only in its text
            gone = os.fsdecode(error.filename or "one of its files")
            raise ArtifactError(
                f"{path} vanished while it was written: {gone} no longer exists. Run the same command again"
            ) from error
        raise


def write_atomically(path: Path, write: Callable[[Path], None], *, replace: bool = True) -> None:
    """Let ``write`` fill a new file under a temporary name, then sync and rename it, as `new_file` does."""
    with new_file(path, replace=replace) as partial:
        write(partial)


@contextmanager
def new_file(path: Path, *, replace: bool = True) -> Iterator[Path]:
    """Yield an empty file to write to; it is synced and gets its name only if the block succeeds.

    Args:
        path: the file.
        replace: replace a file that exists by then.

    Raises:
        ArtifactError: the file exists and may not be replaced.
    """
    partial = _partial_name(path)
    try:
        partial.touch(exist_ok=False)
        yield partial
        publish(partial, path, replace=replace)
    except FileNotFoundError as error:
        if error.filename is not None:
            raise
        raise FileNotFoundError(
            errno.ENOENT, os.strerror(errno.ENOENT), str(partial)
        ) from error  # pyarrow sets no file name
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def publish(partial: Path, path: Path, *, replace: bool = True) -> None:
    """Sync a complete file and give it its name: after a power failure, either the old file or the new one is there.

    Raises:
        ArtifactError: the file exists and may not be replaced.
    """
    if not replace and os.path.lexists(path):
        raise _exists_already(path)
    _sync_file(partial)
    partial.replace(path)
    _sync_folder(path.parent)


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(path: Path) -> None:
    """Sync the names in a folder if possible: Windows cannot open folders, and some file systems cannot sync them."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Any, *, replace: bool = True) -> None:
    """Write JSON atomically; NaN and infinity are rejected.

    Raises:
        ValueError: a number is not finite.
        ArtifactError: the file exists, and `replace` is false.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    if _NOT_UTF_8.search(text):
        text = json.dumps(value, indent=2, allow_nan=False)
    write_text(path, f"{text}\n", replace=replace)


def write_text(path: Path, text: str, *, replace: bool = True) -> None:
    """Write UTF-8 text atomically."""
    with new_file(path, replace=replace) as partial:
        partial.write_text(text, encoding="utf-8")


def read_json(path: Path, *, what: str, advice: str = "") -> dict[str, Any]:
    """Read a JSON object of an artifact.

    Args:
        path: the file.
        what: the artifact, for the message.
        advice: what to do about a damaged one, for the message.

    Raises:
        ArtifactError: it is missing or damaged.
    """
    try:
        value = parse_json(read_regular(path, max_bytes=MAX_JSON_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        kind = f"an {what}" if what[0] in "aeiou" else f"a {what}"
        if not path.parent.is_dir():
            problem = "is a file" if path.parent.exists() else "does not exist"
            raise ArtifactError(f"{path.parent} {problem}, {kind} is a folder") from None
        found = [name for mark, name in INDEX_FILES.items() if (path.parent / mark).is_file()]
        instead = f", but is {found[0]}" if found else ""
        raise ArtifactError(f"{path.parent} is not {kind}: it has no {path.name}{instead}") from None
    except (OSError, ValueError) as error:
        raise ArtifactError(
            ". ".join(filter(None, (f"{path} of the {what} cannot be read: {error}", advice)))
        ) from None
    if not isinstance(value, dict):
        raise ArtifactError(f"{path} of the {what} must hold a JSON object, got {type(value).__name__}")
    return value


def json_sha256(value: Any) -> str:
    """Return the hex SHA-256 of a JSON value, serialized in ASCII with sorted keys and without spaces."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Return the hex SHA-256 of a regular file."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_sha256(path: Path, expected: str, *, record: str, advice: str) -> None:
    """Reject a file whose hash differs from the recorded one.

    Args:
        path: the file.
        expected: its recorded SHA-256 in hex.
        record: the file with the record, for the message.
        advice: what to do, for the message.

    Raises:
        ArtifactError: the hash differs, or the file cannot be read.
    """
    try:
        found = file_sha256(path)
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}. {advice}") from None
    if found != expected:
        raise ArtifactError(
            f"{path} has changed since it was written: its SHA-256 is {found[:12]}..., {record} says "
            f"{expected[:12]}.... {advice}"
        )
