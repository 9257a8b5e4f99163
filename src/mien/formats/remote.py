"""Packs and raw datasets at an address, such as ``s3://bucket/affectnet.pack``: copied to a cache, then read as any other.

A pack is verified by the hashes in its pack.json as it arrives. Of a raw dataset, which has none, a file is copied again if the
store reports another size or version of it.
"""

import hashlib
import secrets
from pathlib import Path, PurePosixPath

from mien.artifacts import disk_errors, file_sha256, new_file, one_writer, read_json, write_json
from mien.errors import ArtifactError, DatasetError
from mien.formats.pack.reader import GROUPS
from mien.formats.pack.schema import PREPARE_AGAIN, PackInfo
from mien.formats.stores import copies_folder, name_of, open_store, transfer_all, without_secrets

# What fsspec's drivers call the version of a file, in their listings.
_VERSION_KEYS = ("ETag", "etag", "LastModified", "last_modified", "mtime", "updated", "md5Hash", "created")


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
    with open_store(pack, ArtifactError) as (store, root), disk_errors(copies_folder()):

        def get(name: str, path: Path) -> None:
            # The query of a signed URL follows the name of a file; in other stores, a name may hold a question mark.
            base, mark, query = root.partition("?") if pack.lower().startswith("http") else (root, "", "")
            try:
                store.get_file(f"{base.rstrip('/')}/{name}{mark}{query}", str(path))
            except FileNotFoundError:
                raise ArtifactError(
                    f"{shown} has no {name}. Check the address, and that the pack was copied there completely"
                ) from None

        copies_folder().mkdir(parents=True, exist_ok=True)
        # Packs that replace one another at an address do not share a folder.
        arriving = copies_folder() / f"{secrets.token_hex(8)}.json"
        try:
            get("pack.json", arriving)
            index = read_json(arriving, what="pack")
            folder = copies_folder() / f"{name_of(shown)}-{file_sha256(arriving)[:16]}"
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
        transfer_all(f"Fetching {name_of(shown)}", list(hashes), fetch)
        write_json(folder / "pack.json", index)
    return folder


def fetch_raw_set(raw: Path | str) -> Path:
    """Return the path of a raw dataset: itself, or that of a complete copy if it has an address.

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
            f"A raw dataset needs a store that lists its files, and {shown} has none over HTTP. Download it, and give its path"
        )
    folder = copies_folder() / f"{name_of(shown)}-{hashlib.sha256(raw.encode()).hexdigest()[:16]}"
    notes_path = folder.with_name(folder.name + ".json")
    with disk_errors(folder), one_writer(folder), open_store(raw, DatasetError) as (store, root):
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
        known = read_json(notes_path, what="copy of a raw dataset") if notes_path.exists() else {}
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

        transfer_all(f"Fetching {name_of(shown)}", list(versions), fetch)
    return folder
