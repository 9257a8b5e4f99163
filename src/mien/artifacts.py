"""Writing artifacts: nothing is overwritten unasked, nothing half-written looks whole, a power cut takes nothing.

An output has one writer at a time (`one_writer`). It is written under a name of its own, synced, and renamed; an
output that it replaces stays until then. Files go through `write_atomically`, folders through `new_folder`; a folder
that is written in place and looked at meanwhile, as a run is, goes through `set_aside`.
"""

import errno
import hashlib
import json
import math
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from mien.errors import ArtifactError
from mien.runtime.lock import hold_lock
from mien.runtime.regular_files import open_regular, read_regular

LOCK_WITHIN = ".mien.lock"
# The index of a pack of a hundred million faces has a tenth of it.
MAX_JSON_BYTES = 512 * 1024 * 1024
_PARTIAL = re.compile(r"\.[0-9a-f]{8}\.partial")


@contextmanager
def one_writer(path: Path, *, within: bool = False) -> Iterator[None]:
    """Keep every other mien from writing an output meanwhile, and clear up what killed writers of it left.

    The lock is the file ``.<name>.lock`` beside the output, which is there only while it is held.

    Args:
        path: the output, a file or a folder. The folders above it are made.
        within: it is a folder into which files are put, which may be somebody's: the lock is `LOCK_WITHIN` in it.

    Raises:
        ArtifactError: somebody else writes it, or its folder cannot be written.
    """
    if not within:
        _require_name(path)
    folder = path if within else path.parent
    with ExitStack() as stack:
        with disk_errors(path):
            folder.mkdir(parents=True, exist_ok=True)
            lock_path = folder.resolve() / (LOCK_WITHIN if within else f".{path.name}.lock")
            stack.enter_context(hold_lock(lock_path, path))
            if not within:
                remove_partials(folder, of=f"{path.name}.")
        yield


def claim_output(path: Path, *, force: bool, kind_mark: str | None = None) -> None:
    """Make sure that an output may be written, and that its parent exists. What is to be replaced stays for now.

    An output that `replace_folder` or `set_aside` had moved when it was killed gets its name back.

    Args:
        path: the output, a file or a folder.
        force: what is there may be replaced, if it is such an output.
        kind_mark: a file whose presence shows that a folder is such an output, as ``pack.json`` does. A
            folder without it is never replaced, empty ones apart.

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
                f"{path} is not replaced: {found}, so mien did not make it. Remove it yourself"
            )


def _require_name(path: Path) -> None:
    if path.name in ("", ".."):
        raise ArtifactError(
            f"An output needs a name, {path} has none. Give the folder's own name, or another path"
        )


def _exists_already(path: Path) -> ArtifactError:
    return ArtifactError(f"{path} exists already. Choose another path, or add --force to replace it")


def remove_folder(path: Path, *, last: str) -> None:
    """Remove a folder, one entry of it last, so that a removal which was cut short can be told and repeated."""
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
    """Give a fresh folder to write into; it takes its name only when all went well.

    Raises:
        ArtifactError: as `one_writer` and `claim_output`, or the disk is full.
    """
    with one_writer(path), disk_errors(path):
        claim_output(path, force=force, kind_mark=kind_mark)
        partial = _partial_name(path)
        try:
            partial.mkdir()
            yield partial
            _sync_tree(partial)
            claim_output(path, force=force, kind_mark=kind_mark)
            replace_folder(path, partial, kind_mark=kind_mark)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def make_folder(path: Path) -> None:
    """Make a folder that is written in place, and the folders above it, so that a power cut does not take it back."""
    path.mkdir(parents=True, exist_ok=True)
    _sync_folder(path.parent)


def replace_folder(path: Path, new: Path, *, kind_mark: str) -> None:
    """Give a whole folder its name. What had the name before is moved aside first and removed last.

    A kill in between leaves the earlier one as ``<name>.replaced``, which `claim_output` puts back.
    """
    _move_aside(path, kind_mark)
    new.rename(path)
    _sync_folder(path.parent)
    drop_aside(path, kind_mark=kind_mark)


def set_aside(path: Path, *, kind_mark: str, whole_mark: str) -> Path | None:
    """Move an output out of the way of a new one that is written in place and looked at meanwhile.

    It stays as ``<name>.replaced`` until `drop_aside`, since only then there is a new one, or comes back by
    `restore_aside`. What was set aside earlier is the last whole one as long as nothing was finished after it: then it
    stays, and the unfinished one goes.

    Args:
        path: the folder.
        kind_mark: as of `claim_output`.
        whole_mark: a file whose presence shows that such an output is finished.

    Returns:
        Where the earlier one is; None where the path was a link, which is removed.
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
    """Remove what was set aside for an output, now that this is whole."""
    aside = _aside(path)
    if (aside / kind_mark).exists():
        remove_folder(aside, last=kind_mark)
    elif aside.is_dir() and _holds_nothing(aside):
        aside.rmdir()


def restore_aside(path: Path, *, kind_mark: str) -> None:
    """Put back what was set aside, in place of an output that came to nothing."""
    if (_aside(path) / kind_mark).exists():
        shutil.rmtree(path, ignore_errors=True)
        _aside(path).rename(path)
        _sync_folder(path.parent)


def _require_free_aside(path: Path, kind_mark: str) -> None:
    aside = _aside(path)
    if os.path.lexists(aside) and not (aside / kind_mark).exists() and not _holds_nothing(aside):
        raise ArtifactError(
            f"{aside} is in the way: {path} is moved there until the new one is whole. Remove it, or give it another name"
        )


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name}.replaced")


def _holds_nothing(path: Path) -> bool:
    """Whether a path is a folder with nothing in it but what a killed writer left of a file."""
    return path.is_dir() and all(_is_partial(entry.name) for entry in path.iterdir())


def remove_partials(folder: Path, *, of: str = "") -> None:
    """Remove what killed writers left in a folder, of files whose name begins so. Only the one writer of them may."""
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
    """Turn a full disk, missing permission, a path that cannot be or one that vanished into one clear error."""
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
        ):  # pyarrow: in its text alone
            gone = os.fsdecode(error.filename or "a file of it")
            raise ArtifactError(
                f"{path} vanished while it was written: {gone} is not there any more. "
                "Run the same command again"
            ) from error
        raise


def write_atomically(path: Path, write: Callable[[Path], None], *, replace: bool = True) -> None:
    """Let ``write`` fill a new file under a name of its own, then sync it and give it its name, as `new_file`."""
    with new_file(path, replace=replace) as partial:
        write(partial)


@contextmanager
def new_file(path: Path, *, replace: bool = True) -> Iterator[Path]:
    """Give an empty file to write to; it is synced and takes its name only when all went well.

    Args:
        path: the file.
        replace: take the place of a file that is there by then.

    Raises:
        ArtifactError: there is one, and it may not be replaced.
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
        ) from error  # of pyarrow
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def publish(partial: Path, path: Path, *, replace: bool = True) -> None:
    """Give a whole file its name, so that a power cut afterwards finds it whole, and one before finds the old one.

    Raises:
        ArtifactError: a file has that name, and it may not be replaced.
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
    """Make the names in a folder last, where the system can: Windows opens no folder, some file systems sync none."""
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


def _sync_tree(folder: Path) -> None:
    for root, _, names in os.walk(folder, topdown=False):
        for name in names:
            _sync_file(Path(root, name))
        _sync_folder(Path(root))


def write_json(path: Path, value: Any, *, replace: bool = True) -> None:
    """Write JSON as `write_atomically`; NaN and infinity are refused.

    Raises:
        ValueError: a number is not finite.
        ArtifactError: there is a file, and `replace` is not set.
    """
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", replace=replace)


def write_text(path: Path, text: str, *, replace: bool = True) -> None:
    """Write UTF-8 text as `write_atomically`."""
    with new_file(path, replace=replace) as partial:
        partial.write_text(text, encoding="utf-8")


def read_json(path: Path, *, what: str) -> dict[str, Any]:
    """Read a JSON object of an artifact.

    Raises:
        ArtifactError: it is missing or broken.
    """
    try:
        value = parse_json(read_regular(path, max_bytes=MAX_JSON_BYTES).decode("utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{path.parent} is no {what}: it has no {path.name}") from None
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} of the {what} cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise ArtifactError(f"{path} of the {what} must hold a JSON object, got {type(value).__name__}")
    return value


def parse_json(text: str) -> Any:
    """Return what a JSON text says.

    Raises:
        ValueError: it is no JSON, is nested too deeply, or holds a number that is not finite or beyond 64 bits.
    """
    try:
        return json.loads(
            text, parse_constant=_finite_float, parse_float=_finite_float, parse_int=_int_of_64_bits
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is not finite")
    return value


def _int_of_64_bits(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= (value := int(text)) < 2**63:
        raise ValueError(f"the number {text[:20]} has more than 64 bits")
    return value


def json_sha256(value: Any) -> str:
    """Return the SHA-256 in hex of a JSON value, written with sorted keys, without blanks and in ASCII."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Return a file's SHA-256 in hex."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_sha256(path: Path, expected: str, *, record: str, advice: str) -> None:
    """Refuse a file that is not the one of which a hash was recorded.

    Args:
        path: the file.
        expected: its SHA-256 in hex, as recorded.
        record: the file that says so, for the message.
        advice: what to do, for the message.

    Raises:
        ArtifactError: the file has another hash, or cannot be read.
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
