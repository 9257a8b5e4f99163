"""Packs and raw sets at an address, such as ``s3://bucket/affectnet.pack``: copied to a cache, then read as any other.

What has an address is read through fsspec, whose drivers know the protocols and find credentials where the tools of
their store keep them. A pack is verified by the hashes in its pack.json as it arrives. Of a raw set, which has none, a
file is copied again if the store reports another size or version of it. No message shows what an address may hold of
secrets: a password, or the query of a signed URL.

The cache is ``mien/remote`` in ``XDG_CACHE_HOME`` or ``~/.cache``.
"""

import hashlib
import os
import re
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from mien.artifacts import disk_errors, file_sha256, new_file, one_writer, read_json, write_json
from mien.errors import ArtifactError, DatasetError, MienError, MissingExtraError
from mien.formats.pack.reader import GROUPS
from mien.formats.pack.schema import PREPARE_AGAIN, PackInfo
from mien.runtime.progress import Progress

# What fsspec's drivers call the version of a file, in their listings.
_VERSION_KEYS = ("ETag", "etag", "LastModified", "last_modified", "mtime", "updated", "md5Hash", "created")
# Requests that are on their way at the same time.
THREADS = 16


def without_secrets(address: str) -> str:
    """Return an address without its user name, password, query and fragment, so that it can be shown."""
    scheme, _, rest = address.partition("://")
    host, slash, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def fetch_pack(pack: Path | str, *, split: str | None = None) -> Path:
    """Return the path of a pack: itself, or that of a verified copy if it has an address.

    Args:
        pack: a path, or the address of a folder written by `mien prepare`.
        split: copy only the shards of this split; None for all.

    Raises:
        ArtifactError: it cannot be read, or a file differs from its hash in pack.json.
        MissingExtraError: fsspec is not installed.
    """
    if isinstance(pack, Path):
        return pack
    shown = without_secrets(pack)
    with _open(pack, ArtifactError) as (store, root), disk_errors(_cache_folder()):

        def get(name: str, path: Path) -> None:
            # The query of a signed URL follows the name of a file; in other stores, a name may hold a question mark.
            base, mark, query = root.partition("?") if pack.lower().startswith("http") else (root, "", "")
            try:
                store.get_file(f"{base.rstrip('/')}/{name}{mark}{query}", str(path))
            except FileNotFoundError:
                raise ArtifactError(
                    f"{shown} has no {name}. Check the address, and that the pack was copied there completely"
                ) from None

        _cache_folder().mkdir(parents=True, exist_ok=True)
        # Packs that replace one another at an address do not share a folder.
        arriving = _cache_folder() / f"{secrets.token_hex(8)}.json"
        try:
            get("pack.json", arriving)
            index = read_json(arriving, what="pack")
            folder = _cache_folder() / f"{_name_of(shown)}-{file_sha256(arriving)[:16]}"
        finally:
            arriving.unlink(missing_ok=True)
        info = PackInfo.from_dict(index, where=f"{shown}/pack.json")
        hashes = {shard.name: shard.sha256 for shard in info.shards if split in (None, shard.split)}
        hashes[GROUPS] = info.groups_sha256 or ""  # format 1 has no hash of it
        if info.rejects_sha256 is not None:
            hashes["rejects.csv"] = info.rejects_sha256

        def fetch(name: str) -> None:
            path, expected = folder / name, hashes[name]
            if path.exists() and file_sha256(path) == expected:
                return
            with new_file(path) as partial:
                get(name, partial)
                if expected not in ("", file_sha256(partial)):
                    raise ArtifactError(
                        f"{shown}/{name} has changed since it was written, or was damaged on the way: its SHA-256 is not "
                        f"that of pack.json. {PREPARE_AGAIN}"
                    )

        folder.mkdir(exist_ok=True)
        _fetch_all(f"Fetching {_name_of(shown)}", list(hashes), fetch)
        write_json(folder / "pack.json", index)
    return folder


def fetch_raw_set(raw: Path | str) -> Path:
    """Return the path of a raw set: itself, or that of a complete copy if it has an address.

    Args:
        raw: a path, or the address of a folder.

    Raises:
        DatasetError: it cannot be read or listed, is not a folder, or a name leads out of it.
        MissingExtraError: fsspec is not installed.
    """
    if isinstance(raw, Path):
        return raw
    shown = without_secrets(raw)
    if raw.lower().startswith("http"):
        raise DatasetError(
            f"A raw set needs a store that lists its files, and {shown} has none over HTTP. Download it, and give its path"
        )
    folder = _cache_folder() / f"{_name_of(shown)}-{hashlib.sha256(raw.encode()).hexdigest()[:16]}"
    notes_path = folder.with_name(folder.name + ".json")
    with disk_errors(folder), one_writer(folder), _open(raw, DatasetError) as (store, root):
        listing = {
            name.removeprefix(root).lstrip("/"): entry
            for name, entry in store.find(root, detail=True).items()
            if not name.endswith("/") and name != root
        }
        if not listing:
            raise DatasetError(f"There are no files at {shown}, expected a folder. Check the address")
        for name in listing:
            if ".." in PurePosixPath(name).parts or "\\" in name or "\0" in name:
                raise DatasetError(
                    f"{name!r} at {shown} leads out of the set, or cannot be a file's name. Rename it"
                )
        # What the store reports of each file's size and version.
        versions = {
            name: " ".join(str(entry[key]) for key in ("size", *_VERSION_KEYS) if entry.get(key) is not None)
            for name, entry in listing.items()
        }
        known = read_json(notes_path, what="copy of a raw set") if notes_path.exists() else {}
        folder.mkdir(exist_ok=True)
        for path in [path for path in folder.rglob("*") if not path.is_dir()]:
            name = path.relative_to(folder).as_posix()
            if name not in versions or known.get(name) != versions[name]:
                path.unlink()
        # Before the files arrive: one of an earlier version that is still there was removed above.
        write_json(notes_path, versions)

        def fetch(name: str) -> None:
            path = folder / name
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                with new_file(path) as partial:
                    store.get_file(f"{root}/{name}", str(partial))

        _fetch_all(f"Fetching {_name_of(shown)}", list(versions), fetch)
    return folder


def _fetch_all(title: str, names: list[str], fetch: Callable[[str], None]) -> None:
    with Progress(title, total=len(names), unit="file") as progress, ThreadPoolExecutor(THREADS) as pool:
        try:
            for _ in pool.map(fetch, names):
                progress.advance()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _cache_folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(cache) if cache else Path.home() / ".cache") / "mien" / "remote"


def _name_of(shown: str) -> str:
    """Return the last part of an address, as the name of a file."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", shown.rstrip("/").rpartition("/")[2]).strip("-.") or "unnamed"


@contextmanager
def _open(address: str, kind: type[MienError]) -> Iterator[tuple[Any, str]]:
    """Yield the store behind an address and the path in it; what its driver raises in the block becomes one line."""
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
            f"{shown} cannot be read: {_plain(error, address)}. Check the address, the credentials and the network"
        ) from None


def _plain(error: Exception, address: str) -> str:
    """Return an error's text on one line without secrets of the address, which drivers repeat in their errors."""
    text = " ".join(str(error).split())
    _, _, rest = address.partition("://")
    userinfo = rest.partition("/")[0].rpartition("@")[0]
    for secret in (userinfo, *userinfo.split(":"), *re.split(r"[?#&]", rest)[1:]):
        if secret:
            text = text.replace(secret, "...")
    return f"{type(error).__name__}: {text[:200]}"
