"""The page's files: as the server gives them, and as `mien page` writes them."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from mien.bundle import Bundle
from mien.cli import main
from mien.errors import ArtifactError
from mien.faces import detector
from mien.serve import site
from mien.serve.app import ServeApp
from mien.serve.refusals import add_refusals
from mien.serve.routes import page_routes
from mien.serve.site import write_page

MakeApp = Callable[..., ServeApp]


@pytest.fixture
def static(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page of two files, in the place of the real one."""
    folder = tmp_path / "static"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>page</title>")
    (folder / "assets" / "app.js").write_text("export {};")
    (tmp_path / "beside.txt").write_text("not for others")
    monkeypatch.setattr(site, "STATIC", folder)
    return folder


@pytest.fixture
def yunet(tmp_path: Path) -> Path:
    """Stands in for YuNet's file, which the page alone reads."""
    path = tmp_path / "yunet.onnx"
    path.write_bytes(b"a network")
    return path


@pytest.fixture
def client(static: Path, bundle: Bundle, yunet: Path) -> TestClient:
    """A client of the page's routes alone."""
    api = FastAPI()
    add_refusals(api)
    api.include_router(page_routes(bundle, yunet, static))
    return TestClient(api)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/assets/app.js", "text/javascript; charset=utf-8"),
        ("/models/model.onnx", "application/octet-stream"),
        ("/models/detector.onnx", "application/octet-stream"),
    ],
)
def test_a_file_is_sent_once(path: str, kind: str, client: TestClient) -> None:
    """A file has an ETag, and is not sent again to who has it."""
    first = client.get(path)
    assert (first.status_code, first.headers["content-type"]) == (200, kind)
    assert first.headers["cache-control"] == "no-cache"
    again = client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.head(path).status_code == 200


def test_the_models_are_the_files(client: TestClient, bundle: Bundle) -> None:
    """The browser gets the served file, byte for byte."""
    assert client.get("/models/model.onnx").content == bundle.path.read_bytes()
    assert client.get("/models/detector.onnx").content == b"a network"


@pytest.mark.parametrize(
    "path", ["/assets/../../beside.txt", "/assets/%2e%2e/%2e%2e/beside.txt", "/assets/none"]
)
def test_nothing_beside_the_page_is_given(path: str, client: TestClient) -> None:
    """A path that leads out of the page's folder leads nowhere."""
    assert client.get(path).status_code == 404


def test_missing_files_are_told(bundle: Bundle, tmp_path: Path) -> None:
    """Without the page's files, or YuNet's, the answer says what to do."""
    api = FastAPI()
    add_refusals(api)
    api.include_router(page_routes(bundle, None, tmp_path / "nothing"))
    client = TestClient(api)
    codes = [
        client.get(path).json()["error"]["code"] for path in ("/", "/models/detector.onnx", "/assets/app.js")
    ]
    assert codes == ["page_missing", "detector_missing", "not_found"]
    message = client.get("/models/detector.onnx").json()["error"]["message"]
    assert detector.YUNET_NAME in message
    assert str(detector.cached_detector_file().parent) not in message


def test_page_writes_all_that_a_web_server_needs(
    static: Path, model_path: Path, yunet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`mien page` writes the page, both networks, and what the model says of itself; again only with --force."""
    out = tmp_path / "site"
    words = ["page", str(out), "--model", str(model_path), "--detector", str(yunet)]
    assert main(words) == 0
    assert "5 files" in capsys.readouterr().out
    assert (out / "index.html").read_bytes() == (static / "index.html").read_bytes()
    assert (out / "assets" / "app.js").is_file()
    assert (out / "models" / "model.onnx").read_bytes() == model_path.read_bytes()
    assert (out / "models" / "detector.onnx").read_bytes() == b"a network"
    assert json.loads((out / "model.json").read_text())["name"] == "colors"
    assert main(words) == 1
    assert main([*words, "--force"]) == 0


def test_page_without_a_detector_says_what_is_missing(
    static: Path,
    model_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Where YuNet cannot be fetched the page is written all the same, and one line says where its file belongs."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(detector.urllib.request, "urlopen", refuse)
    monkeypatch.delenv(detector.PATH_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    out = tmp_path / "site"
    assert main(["page", str(out), "--model", str(model_path)]) == 0
    printed = capsys.readouterr()
    assert "4 files" in printed.out
    assert not (out / "models" / "detector.onnx").exists()
    told = printed.err.splitlines()[-1]
    wanted = (
        "no network",
        detector.YUNET_NAME,
        str(out / "models" / "detector.onnx"),
        detector.PATH_VARIABLE,
    )
    assert [part for part in wanted if part not in told] == []
    assert "cascade" not in told


def test_page_replaces_no_other_folder(
    static: Path, model_path: Path, yunet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that is no page is left alone, even with --force."""
    words = ["page", str(tmp_path), "--model", str(model_path), "--detector", str(yunet), "--force"]
    assert main(words) == 1
    assert "is not replaced" in capsys.readouterr().err
    assert static.is_dir()


def test_page_without_its_files_is_one_line(
    model_path: Path,
    yunet: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An installation without the page says so."""
    monkeypatch.setattr(site, "STATIC", tmp_path / "nothing")
    assert main(["page", str(tmp_path / "site"), "--model", str(model_path), "--detector", str(yunet)]) == 1
    assert capsys.readouterr().err == f"mien: {site.NO_PAGE}\n"
    assert not (tmp_path / "site").exists()


def test_a_page_that_vanishes_while_it_is_written_is_told(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of one must not be made again under its name."""
    copyfile, out = shutil.copyfile, tmp_path / "sites" / "page"

    def copy_and_remove(source: Path, target: Path) -> None:
        copyfile(source, target)
        monkeypatch.setattr(shutil, "copyfile", copyfile)
        shutil.rmtree(out.parent)

    monkeypatch.setattr(shutil, "copyfile", copy_and_remove)
    with pytest.raises(ArtifactError, match="page vanished while it was written"):
        write_page(out, model_path, detector=model_path)
    assert not out.parent.exists()


def test_a_page_on_a_full_disk_is_told(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of its files finds no room."""

    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source), None, str(target))

    monkeypatch.setattr(shutil, "copyfile", refuse)
    with pytest.raises(ArtifactError, match="The disk is full while writing"):
        write_page(tmp_path / "page", model_path, detector=model_path)
    assert list(tmp_path.iterdir()) == []
