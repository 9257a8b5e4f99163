"""Writing artifacts: nothing is overwritten without being asked, and nothing half-written looks whole."""

import errno
import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mien.errors import ArtifactError


def claim_output(path: Path, *, force: bool, kind_mark: str | None = None) -> None:
    """Make sure that nothing stands where an output will be written, and that its parent exists.

    Args:
        path: the output, a file or a folder.
        force: remove what is there, if it is such an output.
        kind_mark: a file whose presence shows that a folder is such an output, as ``pack.json`` does. A
            folder without it is never removed, empty ones apart.

    Raises:
        ArtifactError: the output exists and may not be removed.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() and not path.is_symlink():
            return
        is_folder = path.is_dir() and not path.is_symlink()
        if is_folder and not any(path.iterdir()):
            path.rmdir()
            return
        if not force:
            raise ArtifactError(f"{path} exists already. Choose another path, or add --force to replace it")
        if not is_folder:
            path.unlink()
            return
        if kind_mark is None or not (path / kind_mark).exists():
            wanted = f"it holds no {kind_mark}" if kind_mark else "it is a folder"
            raise ArtifactError(
                f"{path} is not replaced: {wanted}, so mien did not make it. Remove it yourself"
            )
        remove_folder(path, last=kind_mark)


def remove_folder(path: Path, *, last: str) -> None:
    """Remove a folder, one entry of it last, so that a removal which was cut short can be told and repeated."""
    for entry in path.iterdir():
        if entry.name == last:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    mark = path / last
    if mark.is_dir():
        shutil.rmtree(mark)
    else:
        mark.unlink(missing_ok=True)
    path.rmdir()


@contextmanager
def new_folder(path: Path, *, force: bool, kind_mark: str) -> Iterator[Path]:
    """Give a fresh folder to write into; it takes its name only when all went well.

    Raises:
        ArtifactError: as `claim_output`, or the disk is full.
    """
    if not force:
        claim_output(path, force=False)
    partial = path.with_name(path.name + ".partial")
    try:
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            yield partial
            claim_output(path, force=force, kind_mark=kind_mark)
            partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


_REFUSALS = frozenset(
    {
        errno.EACCES,
        errno.EROFS,
        errno.EPERM,
        errno.ENOTDIR,
        errno.EEXIST,
        errno.EISDIR,
        errno.ENAMETOOLONG,
        errno.EIO,
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
            raise ArtifactError(f"{error.filename or path} cannot be written: {error.strerror}") from error
        if error.errno == errno.ENOENT and str(error.filename).startswith(str(path)):
            raise ArtifactError(
                f"{path} vanished while it was written: {error.filename} is not there any more. "
                "Run the same command again"
            ) from error
        raise


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary file, then give it its name."""
    partial = path.with_name(path.name + ".partial")
    try:
        write(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; NaN and infinity are refused.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(path, lambda partial: _write_text(partial, text))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def read_json(path: Path, *, what: str) -> dict[str, Any]:
    """Read a JSON object of an artifact.

    Raises:
        ArtifactError: it is missing or broken.
    """
    try:
        value = parse_json(path.read_text(encoding="utf-8"))
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
    with path.open("rb") as file:
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
