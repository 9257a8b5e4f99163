"""What has an address, such as ``s3://bucket/faces.csv``: its store, the cache on this machine, and outputs written to it.

fsspec's drivers know the protocols and find credentials where the tools of their store keep them. No message shows what an
address may hold of secrets: a password, or the query of a signed URL.

The copies are in the folder ``remote`` of the cache.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from mien.artifacts import remove_folder
from mien.errors import ArtifactError, MienError, MissingExtraError
from mien.runtime.addresses import split_userinfo
from mien.runtime.cache import cache_folder
from mien.runtime.progress import Progress

# Requests that are on their way at the same time.
THREADS = 16


def without_secrets(address: str) -> str:
    """Return an address without its user name, password, query and fragment, so that it can be shown."""
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{split_userinfo(re.split(r'[?#]', rest, maxsplit=1)[0])[1]}"


@contextmanager
def output_path(
    out: Path | str, *, index: str = "", force: bool = False, resume: bool = False
) -> Iterator[Path]:
    """Yield the path to write an output to: itself, or one in the cache whose content is copied to its address afterwards.

    The path in the cache stays the same for an address, so that the same command resumes, and goes when the copy is complete.

    Args:
        out: a path, or an address in a store.
        index: for a folder, the file that makes it complete, which is copied last; "" for a single file.
        force: replace what is at the address: a file, or a folder that has the index file.
        resume: for a single file: if it exists, yield a copy of it, which is only read.

    Raises:
        ArtifactError: it exists, or cannot be written.
        MissingExtraError: fsspec is not installed.
    """
    if isinstance(out, Path):
        yield out
        return
    shown = without_secrets(out)
    if out.lower().startswith("http"):
        raise ArtifactError(f"{shown} cannot be written over HTTP. Give a path, or the address of a store")
    place = f"{hashlib.sha256(out.encode()).hexdigest()[:16]}"
    path = copies_folder() / "out" / place / name_of(shown)
    with open_store(out, ArtifactError, verb="written") as (store, root):
        present = {name.removeprefix(root).lstrip("/") for name in store.find(root)}
        # What is in the cache then belongs to an interrupted run with `force`.
        is_read = resume and not force and bool(present) and not path.parent.exists()
        if present and not force and not is_read:
            raise ArtifactError(f"{shown} exists. Give another address, or add --force to replace it")
        if index and present and index not in present:
            raise ArtifactError(
                f"{shown} has files but no {index}, and is not replaced. Give another address"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        if is_read:
            store.get_file(root, str(path))
    if is_read:
        try:
            yield path
        finally:
            remove_folder(path.parent, last=path.name)
        return
    yield path
    upload(path, out, index=index, replaced=present)


def upload(path: Path, address: str, *, index: str, replaced: set[str]) -> None:
    """Copy a finished output to its address, and remove it here.

    Args:
        path: the output, in a folder of its own.
        address: where it goes.
        index: see `output_path`.
        replaced: names of the files that are at the address, which are replaced or removed.

    Raises:
        ArtifactError: it cannot be written.
    """
    shown = without_secrets(address)
    left = f"The finished output is at {path}: copy it from there, or remove it and run the command again"
    with open_store(address, ArtifactError, verb="written", advice=left) as (store, root):
        files = [file for file in path.rglob("*") if file.is_file()] if index else [path]
        names = {file: file.relative_to(path).as_posix() if index else "" for file in files}
        if index and index in replaced:  # without it, a copy that is interrupted is not complete
            store.rm_file(f"{root}/{index}".rstrip("/"))

        def put(name: str) -> None:
            source, target = path / name if index else path, f"{root}/{name}".rstrip("/")
            store.makedirs(target.rpartition("/")[0], exist_ok=True)
            store.put_file(str(source), target)
            if (size := store.size(target)) != source.stat().st_size:
                raise ArtifactError(
                    f"{shown}/{name} has {size} bytes at its address instead of {source.stat().st_size}. {left}"
                )

        others = [name for name in names.values() if name != index or not index]
        transfer_all(f"Copying to {name_of(shown)}", others, put)
        if index:
            put(index)
        for name in replaced.difference(names.values()) if index else ():
            store.rm_file(f"{root}/{name}")
    if index:
        remove_folder(path, last=index)
    else:
        path.unlink()
    path.parent.rmdir()


def transfer_all(title: str, names: list[str], transfer: Callable[[str], None]) -> None:
    """Call a function for each of some files, several at a time, with progress."""
    with Progress(title, total=len(names), unit="file") as progress, ThreadPoolExecutor(THREADS) as pool:
        try:
            for _ in pool.map(transfer, names):
                progress.advance()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def copies_folder() -> Path:
    """Return the folder of copies on this machine, whether it exists or not."""
    return cache_folder() / "remote"


def name_of(shown: str) -> str:
    """Return the last part of an address, as the name of a file."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", shown.rstrip("/").rpartition("/")[2]).strip("-.") or "unnamed"


@contextmanager
def open_store(
    address: str, kind: type[MienError], *, verb: Literal["read", "written"] = "read", advice: str = ""
) -> Iterator[tuple[Any, str]]:
    """Yield the store behind an address and the path in it; what its driver raises in the block becomes one line.

    Args:
        address: of a file or folder.
        kind: the error that is raised.
        verb: what is done there.
        advice: what to do about it, besides checking address, credentials and network.
    """
    try:
        import fsspec  # noqa: PLC0415 - only what is at an address needs it
    except ModuleNotFoundError as error:
        raise MissingExtraError("... ADDRESS", "remote") from error
    shown, scheme = without_secrets(address), address.partition("://")[0].lower()
    if "::" in address or scheme in ("file", "local"):
        raise kind(
            f"{shown} must be a path, or the address of a folder in a store, such as s3://bucket/folder"
        )
    try:
        store, root = fsspec.core.url_to_fs(address)
        yield store, str(root).rstrip("/")
    except (MienError, KeyboardInterrupt):
        raise
    except ImportError as error:
        raise kind(f"{shown} needs a driver: {error}. For example, s3:// needs `pip install s3fs`") from None
    except FileNotFoundError:
        raise kind(f"A file of {shown} does not exist. Check the address, or run the command again") from None
    except Exception as error:  # noqa: BLE001 - every driver has its own
        raise kind(
            f"{shown} cannot be {verb}: {_plain(error, address)}. Check the address, the credentials and the network"
            + (f". {advice}" if advice else "")
        ) from None


def _plain(error: Exception, address: str) -> str:
    """Return an error's text on one line without secrets of the address, which drivers repeat in their errors."""
    text = " ".join(str(error).split())
    _, _, rest = address.partition("://")
    rest, *query = re.split(r"[?#&]", rest)
    userinfo, _ = split_userinfo(rest)
    # An error may name a part of a password: what precedes or follows its slash.
    for secret in (userinfo, *re.split(r"[:/]", userinfo), *query):
        if secret:
            text = text.replace(secret, "...")
    return f"{type(error).__name__}: {text[:200]}"
