"""The source of the face detector's file."""

import http.server
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mien.errors import SourceError
from mien.faces import detector_file
from mien.faces.detector_file import find_detector_file


@pytest.fixture
def download_server(monkeypatch: pytest.MonkeyPatch, official_file: bytes) -> Iterator[list[bytes]]:
    """Serve the content of a list over HTTP where the detector's file is fetched from."""
    content = [official_file]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content[0])

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        monkeypatch.setattr(detector_file, "YUNET_URL", f"http://127.0.0.1:{server.server_port}/yunet.onnx")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield content
        server.shutdown()
        thread.join()


def test_a_named_file_is_taken_as_it_is(tmp_path: Path) -> None:
    """A path given by the caller is not compared with the official file."""
    path = tmp_path / "own.onnx"
    path.write_bytes(b"another build")
    assert find_detector_file(path) == path


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    """The message names the file and how to get it."""
    with pytest.raises(SourceError, match=r"no\.onnx does not exist\. Download http"):
        find_detector_file(tmp_path / "no.onnx")


def test_the_environment_names_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MIEN_DETECTOR is used if no path is given."""
    path = tmp_path / "own.onnx"
    path.write_bytes(b"another build")
    monkeypatch.setenv("MIEN_DETECTOR", str(path))
    assert find_detector_file() == path


def test_an_environment_that_names_nothing_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says where the name came from."""
    monkeypatch.setenv("MIEN_DETECTOR", str(tmp_path / "no.onnx"))
    with pytest.raises(SourceError, match="from MIEN_DETECTOR"):
        find_detector_file()


def test_the_cached_official_file_is_used_silently(
    official_file: bytes, own_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is downloaded or announced if the cache holds the official file."""
    own_cache.parent.mkdir(parents=True)
    own_cache.write_bytes(official_file)
    caplog.set_level(logging.INFO)
    assert find_detector_file() == own_cache
    assert caplog.messages == []


@pytest.mark.parametrize("before", [None, b"damaged"], ids=["empty cache", "wrong file in the cache"])
def test_the_file_is_fetched_once(
    official_file: bytes,
    own_cache: Path,
    download_server: list[bytes],
    before: bytes | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The download is announced with its size, checked, and found in the cache the next time."""
    if before is not None:
        own_cache.parent.mkdir(parents=True)
        own_cache.write_bytes(before)
    caplog.set_level(logging.INFO)
    assert find_detector_file() == own_cache
    download_server[0] = b"changed"
    assert find_detector_file() == own_cache
    assert own_cache.read_bytes() == official_file
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "233 kB" in caplog.text


@pytest.mark.parametrize("answer", [b"<html>log in</html>", b"x" * 10_000_000], ids=["a page", "too large"])
def test_another_file_than_the_official_is_not_kept(
    own_cache: Path, download_server: list[bytes], answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """What the server returns instead of the file leaves nothing in the cache."""
    download_server[0] = answer
    caplog.set_level(logging.INFO)
    assert find_detector_file() is None
    assert "not the official file" in caplog.messages[-1]
    assert not own_cache.parent.exists()


@pytest.mark.parametrize("part", ["body", "head"])
def test_a_slow_download_is_given_up(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One byte at a time keeps each read within its timeout, but not the download within its deadline."""
    monkeypatch.setattr(detector_file, "FETCH_DEADLINE_S", 0.3)
    given_up = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if part == "body":
                self.send_response(200)
                self.end_headers()
            else:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
            # A client that waits for the end gets it at last, and with it a different outcome than the test wants.
            for _ in range(400):
                self.wfile.write(b"x")
                if given_up.wait(0.02):
                    break

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        monkeypatch.setattr(detector_file, "YUNET_URL", f"http://127.0.0.1:{server.server_port}/yunet.onnx")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        caplog.set_level(logging.INFO)
        assert find_detector_file() is None
        given_up.set()
        server.shutdown()
        thread.join()
    assert "took longer than 0.3 s" in caplog.messages[-1]
    assert not own_cache.parent.exists()


def test_nothing_is_fetched_unless_wanted(
    official_file: bytes, own_cache: Path, download_server: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """A set that hardly needs the detector does not trigger a download, but uses a file that exists."""
    caplog.set_level(logging.INFO)
    assert find_detector_file(fetch=False) is None
    assert caplog.messages == []
    own_cache.parent.mkdir(parents=True)
    own_cache.write_bytes(official_file)
    assert find_detector_file(fetch=False) == own_cache


@pytest.mark.parametrize("kind", ["no home folder", "read-only cache"])
def test_a_cache_that_cannot_be_used(
    kind: str,
    tmp_path: Path,
    own_cache: Path,
    official_file: bytes,
    download_server: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The file is kept with the temporary files instead, and found there the next time."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    if kind == "no home folder":
        monkeypatch.delenv("XDG_CACHE_HOME")

        def no_home() -> Path:
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.setattr(Path, "home", no_home)
    else:
        own_cache.parent.parent.mkdir(parents=True, exist_ok=True)
        own_cache.parent.touch()  # a file in place of the folder stops root too
    found = find_detector_file()
    assert found is not None
    assert found.is_relative_to(tmp_path / "tmp")
    assert found.read_bytes() == official_file
    download_server[0] = b"changed"
    assert find_detector_file() == found
