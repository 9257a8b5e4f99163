"""Packs and raw datasets at addresses: an in-memory store and an HTTP server on this machine."""

import functools
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from mien.errors import ArtifactError, DatasetError, MissingExtraError
from mien.formats.pack import Pack
from mien.formats.remote import fetch_pack, fetch_raw_set
from mien.formats.stores import output_path, without_secrets


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mien" / "remote"


@pytest.fixture
def store() -> Iterator[Any]:
    """The in-memory store, empty."""
    store = fsspec.filesystem("memory")
    store.store.clear()
    store.pseudo_dirs[:] = [""]
    yield store
    store.store.clear()


@pytest.fixture
def address(store: Any, training_pack: Path) -> str:
    store.put(str(training_pack), "/bucket/my.pack", recursive=True)
    return "memory://bucket/my.pack"


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that the in-memory store sends."""
    names: list[str] = []
    kind = type(fsspec.filesystem("memory"))
    get_file = kind.get_file

    def get(self: Any, source: str, *rest: Any, **options: Any) -> None:
        names.append(source.rpartition("/")[2])
        get_file(self, source, *rest, **options)

    monkeypatch.setattr(kind, "get_file", get)
    return names


def test_a_local_pack_stays_where_it_is(training_pack: Path, cache: Path) -> None:
    assert fetch_pack(training_pack) == training_pack
    assert fetch_raw_set(training_pack) == training_pack
    assert not cache.exists()


def test_a_copy_is_the_pack(address: str, training_pack: Path, fetched: list[str]) -> None:
    """The second time, nothing but the index is fetched."""
    copy = fetch_pack(address)
    assert {path.name: path.read_bytes() for path in copy.iterdir() if path.name != "pack.json"} == {
        path.name: path.read_bytes() for path in training_pack.iterdir() if path.name != "pack.json"
    }
    assert Pack.open(copy).info == Pack.open(training_pack).info
    assert len(Pack.open(copy).split("train")) == 192
    assert sorted(fetched) == ["groups.arrow", "pack.json", "train-00000.arrow", "val-00000.arrow"]
    fetched.clear()
    assert fetch_pack(address) == copy
    assert fetched == ["pack.json"]


def test_one_split_is_enough_to_evaluate(address: str) -> None:
    copy = fetch_pack(address, split="val")
    assert sorted(path.name for path in copy.glob("*.arrow")) == ["groups.arrow", "val-00000.arrow"]
    assert len(Pack.open(copy).split("val")) == 24
    assert fetch_pack(address) == copy
    assert len(Pack.open(copy).split("train")) == 192


def test_a_damaged_file_is_not_accepted(address: str, store: Any, cache: Path) -> None:
    data = bytearray(store.cat("/bucket/my.pack/val-00000.arrow"))
    data[len(data) // 2] ^= 1
    store.pipe("/bucket/my.pack/val-00000.arrow", bytes(data))
    with pytest.raises(ArtifactError, match=r"memory://bucket/my\.pack/val-00000\.arrow has changed since"):
        fetch_pack(address)
    assert not list(cache.rglob("val*"))
    assert not list(cache.rglob("pack.json"))


def test_a_pack_that_is_not_there_completely_is_not_accepted(address: str, store: Any, cache: Path) -> None:
    store.rm("/bucket/my.pack/train-00000.arrow")
    with pytest.raises(ArtifactError, match=r"memory://bucket/my\.pack has no train-00000\.arrow"):
        fetch_pack(address)
    assert not list(cache.rglob("pack.json"))


def test_a_damaged_copy_is_fetched_again(address: str, fetched: list[str]) -> None:
    copy = fetch_pack(address)
    (copy / "val-00000.arrow").write_bytes(b"damaged")
    fetched.clear()
    fetch_pack(address)
    assert fetched == ["pack.json", "val-00000.arrow"]
    Pack.open(copy).split("val")


def test_a_pack_that_was_replaced_is_another_copy(
    address: str, store: Any, make_training_pack: Callable[..., Path], tmp_path: Path
) -> None:
    first = fetch_pack(address)
    store.rm("/bucket/my.pack", recursive=True)
    other = make_training_pack(tmp_path / "other.pack", n_train=30)
    store.put(str(other), "/bucket/my.pack", recursive=True)
    second = fetch_pack(address)
    assert second != first
    assert len(Pack.open(second).split("train")) == 30
    assert len(Pack.open(first).split("train")) == 192


def test_an_index_cannot_name_files_elsewhere(address: str, store: Any, tmp_path: Path) -> None:
    index = json.loads(store.cat("/bucket/my.pack/pack.json"))
    index["shards"][0]["name"] = "../../../evil.arrow"
    store.pipe("/bucket/my.pack/pack.json", json.dumps(index).encode())
    with pytest.raises(ArtifactError, match=r"memory://bucket/my\.pack/pack\.json"):
        fetch_pack(address)
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (
            "memory://bucket/none.pack",
            r"memory://bucket/none\.pack has no pack\.json\. Check the address, and",
        ),
        ("file:///etc", "file:///etc must be a path, or the address of a folder in a store"),
        ("simplecache::memory://a", "must be a path, or the address"),
        ("nothing://user:word@a/b?key=1", r"nothing://a/b cannot be read: ValueError: Protocol not known"),
    ],
)
def test_what_cannot_be_fetched(address: str, message: str, store: Any) -> None:
    with pytest.raises(ArtifactError, match=message) as error:
        fetch_pack(address)
    assert "word" not in str(error.value)
    assert "key" not in str(error.value)


def test_a_missing_driver_is_named() -> None:
    """Its package is named by fsspec."""
    missing = [name for name in ("s3", "gcs", "adl") if not has_driver(name)]
    if not missing:
        pytest.skip("all drivers are installed")
    with pytest.raises(ArtifactError, match=f"{missing[0]}://bucket/a needs a driver: .*fs"):
        fetch_pack(f"{missing[0]}://bucket/a")


def has_driver(protocol: str) -> bool:
    try:
        fsspec.get_filesystem_class(protocol)
    except ImportError:
        return False
    return True


def test_without_fsspec_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'mien\[remote\]'"):
        fetch_pack("memory://a/b")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("s3://bucket/a/b.pack", "s3://bucket/a/b.pack"),
        ("https://me:pass@host:80/a?X-Amz-Signature=abc#part", "https://host:80/a"),
        ("https://host?sig=abc@x", "https://host"),
        ("sftp://me@host/a@b", "sftp://host/a@b"),
        ("s3://AKIA:wJalr/K7MD@bucket/faces.csv", "s3://bucket/faces.csv"),
    ],
)
def test_secrets_are_not_shown(address: str, shown: str) -> None:
    assert without_secrets(address) == shown


class _Server(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def http_address(training_pack: Path) -> Iterator[str]:
    """The address of a server of files on this machine, without ranges and listings of use."""
    pytest.importorskip("aiohttp")
    handler = functools.partial(_Server, directory=str(training_pack.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_pack_is_read_over_http(http_address: str, training_pack: Path, cache: Path) -> None:
    copy = fetch_pack(f"{http_address}/{training_pack.name}/?sig=verysecret")
    assert len(Pack.open(copy).split("train")) == 192
    with pytest.raises(ArtifactError, match=r"has no pack\.json") as error:
        fetch_pack(http_address.replace("://", "://me:pass@") + "/none.pack?sig=verysecret")
    assert not any(secret in str(error.value) for secret in ("me:", "pass@", "verysecret"))
    assert not [path for path in cache.rglob("*") if "secret" in path.name]


def test_an_error_of_a_server_shows_no_secret() -> None:
    """The driver repeats the address in its error."""
    pytest.importorskip("aiohttp")
    with pytest.raises(ArtifactError, match=r"http://127\.0\.0\.1:9/a\.pack cannot be read") as error:
        fetch_pack("http://me:word@127.0.0.1:9/a.pack?sig=verysecret")
    assert "word" not in str(error.value)
    assert "verysecret" not in str(error.value)


def test_a_raw_set_is_copied_and_kept_up_to_date(store: Any, cache: Path, fetched: list[str]) -> None:
    """Only what is new or has changed is fetched again; what was removed is removed."""
    files = {"happy/a.jpg": b"a", "happy/b.jpg": b"b", "sad/c d.jpg": b"c", "faces.csv": b"path,label\n"}
    for name, data in files.items():
        store.pipe(f"/bucket/set/{name}", data)
    store.pipe("/bucket/set2/other.jpg", b"other")
    copy = fetch_raw_set("memory://bucket/set/")

    def found() -> dict[str, bytes]:
        return {p.relative_to(copy).as_posix(): p.read_bytes() for p in copy.rglob("*") if p.is_file()}

    assert found() == files
    fetched.clear()
    (copy / "happy" / "a.jpg").unlink()
    store.pipe("/bucket/set/happy/b.jpg", b"B")
    store.rm("/bucket/set/sad/c d.jpg")
    assert fetch_raw_set("memory://bucket/set/") == copy
    assert found() == {"happy/a.jpg": b"a", "happy/b.jpg": b"B", "faces.csv": b"path,label\n"}
    assert sorted(fetched) == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("name", ["../evil.jpg", "a/../../evil.jpg", "..\\evil.jpg"])
def test_a_raw_set_cannot_write_elsewhere(store: Any, cache: Path, name: str, tmp_path: Path) -> None:
    store.store[f"/bucket/set/{name}"] = fsspec.implementations.memory.MemoryFile(
        store, f"/bucket/set/{name}", b"x"
    )
    with pytest.raises(DatasetError, match="leads out of the set"):
        fetch_raw_set("memory://bucket/set")
    assert not list(tmp_path.rglob("*evil*"))


def test_a_raw_set_must_be_listed(store: Any) -> None:
    with pytest.raises(DatasetError, match="There are no files at memory://bucket/set"):
        fetch_raw_set("memory://bucket/set")
    with pytest.raises(
        DatasetError, match="needs a store that lists its files, and https://host/set has none"
    ):
        fetch_raw_set("https://host/set?key=1")


def test_an_output_that_cannot_be_copied_leaves_what_is_at_its_address(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old file is replaced by the new one, never removed before."""
    store.pipe("/bucket/rows.csv", b"old")

    def put_file(*_: object, **__: object) -> None:
        raise OSError("no connection")

    monkeypatch.setattr(type(store), "put_file", put_file)
    with (
        pytest.raises(ArtifactError, match="no connection"),
        output_path("memory://bucket/rows.csv", force=True) as path,
    ):
        path.write_text("new")
    assert store.cat("/bucket/rows.csv") == b"old"


def test_an_error_shows_no_part_of_a_password_with_a_slash() -> None:
    """Keys of S3 often have one, which should be escaped; a driver may take what precedes it for a port."""
    with (
        pytest.raises(ArtifactError) as told,
        output_path("ftp://me:sec/ret@host.invalid/a.csv") as path,
    ):
        path.write_text("")
    assert "sec" not in str(told.value)
    assert "ret" not in str(told.value)
