"""The page's files: as the server sends them, and as `mien page` writes them."""

import errno
import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from mien.artifacts import file_sha256
from mien.cli import main
from mien.errors import ArtifactError
from mien.faces import detector_file
from mien.formats.onnx_model import OnnxModel
from mien.serve import site
from mien.serve.api_errors import add_error_handlers
from mien.serve.app import ServeApp
from mien.serve.routes import page_routes
from mien.serve.site import write_page

MakeApp = Callable[..., ServeApp]


@pytest.fixture
def static(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page of two files, in place of the real one."""
    folder = tmp_path / "static"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>page</title>")
    (folder / "assets" / "app.js").write_text("export {};")
    (tmp_path / "private.txt").write_text("not served")
    monkeypatch.setattr(site, "STATIC", folder)
    return folder


@pytest.fixture
def yunet(tmp_path: Path) -> Path:
    """A stand-in for YuNet's file, which only the page reads."""
    path = tmp_path / "yunet.onnx"
    path.write_bytes(b"a network")
    return path


@pytest.fixture
def client(static: Path, model: OnnxModel, yunet: Path) -> TestClient:
    """A client of an app with only the page's routes."""
    api = FastAPI()
    add_error_handlers(api)
    api.include_router(page_routes(model, yunet, static))
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
def test_an_unchanged_file_is_not_sent_again(path: str, kind: str, client: TestClient) -> None:
    """Files have an ETag, and a matching If-None-Match gets 304."""
    first = client.get(path)
    assert (first.status_code, first.headers["content-type"]) == (200, kind)
    assert first.headers["cache-control"] == "no-cache"
    again = client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.head(path).status_code == 200


def test_the_models_are_served_byte_for_byte(client: TestClient, model: OnnxModel) -> None:
    """The browser gets exactly the model's and the detector's file."""
    assert client.get("/models/model.onnx").content == model.path.read_bytes()
    assert client.get("/models/detector.onnx").content == b"a network"


@pytest.mark.parametrize(
    "path", ["/assets/../../private.txt", "/assets/%2e%2e/%2e%2e/private.txt", "/assets/none"]
)
def test_files_outside_the_page_are_not_served(path: str, client: TestClient) -> None:
    """A path that leaves the page's folder is not found."""
    assert client.get(path).status_code == 404


def test_missing_files_are_reported(model: OnnxModel, tmp_path: Path) -> None:
    """Without the page's files, or YuNet's, the error says what to do."""
    api = FastAPI()
    add_error_handlers(api)
    api.include_router(page_routes(model, None, tmp_path / "nothing"))
    client = TestClient(api)
    codes = [
        client.get(path).json()["error"]["code"] for path in ("/", "/models/detector.onnx", "/assets/app.js")
    ]
    assert codes == ["page_missing", "detector_missing", "not_found"]
    message = client.get("/models/detector.onnx").json()["error"]["message"]
    assert detector_file.YUNET_NAME in message
    assert str(detector_file.cached_detector_file().parent) not in message


def test_page_writes_all_files_for_a_static_web_server(
    static: Path, model_path: Path, yunet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`mien page` writes the page, both networks and the model's metadata; it overwrites only with --force."""
    out = tmp_path / "site"
    args = ["page", str(out), "--model", str(model_path), "--detector", str(yunet)]
    assert main(args) == 0
    assert "5 files" in capsys.readouterr().out
    assert (out / "index.html").read_bytes() == (static / "index.html").read_bytes()
    assert (out / "assets" / "app.js").is_file()
    assert (out / "models" / "model.onnx").read_bytes() == model_path.read_bytes()
    assert (out / "models" / "detector.onnx").read_bytes() == b"a network"
    assert json.loads((out / "model.json").read_text())["name"] == "colors"
    assert main(args) == 1
    assert main([*args, "--force"]) == 0


def test_a_page_with_sets_of_classes(
    static: Path, hashed_model: Path, yunet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its model.json has the limits, by which the page makes them; a report on another model is refused."""
    report = tmp_path / "report"
    report.mkdir()
    rows = [f"{number},{name},{name},1,1,1" for number in range(9) for name in ("Neutral", "Happy")]
    lines = "\n".join(["key,true,predicted,p_Neutral,p_Happy,p_Sad", *rows])
    (report / "predictions.csv").write_text(f"{lines}\n")
    (report / "metrics.json").write_text(json.dumps({"model": {"sha256": file_sha256(hashed_model)}}))
    out = tmp_path / "site"
    args = ["page", str(out), "--model", str(hashed_model), "--detector", str(yunet)]
    args += ["--coverage", "0.9", "--coverage-from", str(report)]
    assert main(args) == 0
    assert "too few faces of Sad for a coverage of 0.9" in capsys.readouterr().err
    label_sets = json.loads((out / "model.json").read_text())["label_sets"]
    assert label_sets["limits"] == {"Neutral": 0.0, "Happy": 0.0, "Sad": None}
    (report / "metrics.json").write_text(json.dumps({"model": {"sha256": "0"}}))
    assert main([*args, "--force"]) == 1
    assert "is a report on another model file" in capsys.readouterr().err
    assert main(["page", str(out), "--coverage", "0.9"]) == 1
    assert "go together" in capsys.readouterr().err


def test_page_writes_out_what_exists_only_compressed(
    static: Path, model_path: Path, yunet: Path, tmp_path: Path
) -> None:
    """Not every web server can send the compressed copy."""
    (static / "assets" / "ort.wasm.gz").write_bytes(gzip.compress(b"the runtime"))
    out = tmp_path / "site"
    write_page(out, model_path, detector=yunet)
    assert (out / "assets" / "ort.wasm").read_bytes() == b"the runtime"
    assert (out / "assets" / "ort.wasm.gz").is_file()


def test_page_without_a_detector_reports_what_is_missing(
    static: Path,
    model_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """If YuNet cannot be fetched, the page is still written, and one line says where its file belongs."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(detector_file.urllib.request, "urlopen", refuse)
    monkeypatch.delenv(detector_file.PATH_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    out = tmp_path / "site"
    assert main(["page", str(out), "--model", str(model_path)]) == 0
    printed = capsys.readouterr()
    assert "4 files" in printed.out
    assert not (out / "models" / "detector.onnx").exists()
    notice = printed.err.splitlines()[-1]
    wanted = (
        "no network",
        detector_file.YUNET_NAME,
        str(out / "models" / "detector.onnx"),
        detector_file.PATH_VARIABLE,
    )
    assert [part for part in wanted if part not in notice] == []
    assert "cascade" not in notice


def test_page_replaces_no_other_folder(
    static: Path, model_path: Path, yunet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that is not a page is left alone, even with --force."""
    args = ["page", str(tmp_path), "--model", str(model_path), "--detector", str(yunet), "--force"]
    assert main(args) == 1
    assert "was not replaced" in capsys.readouterr().err
    assert static.is_dir()


def test_page_without_its_files_fails_in_one_line(
    model_path: Path,
    yunet: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An installation without the page reports it."""
    monkeypatch.setattr(site, "STATIC", tmp_path / "nothing")
    assert main(["page", str(tmp_path / "site"), "--model", str(model_path), "--detector", str(yunet)]) == 1
    assert capsys.readouterr().err == f"mien: {site.NO_PAGE}\n"
    assert not (tmp_path / "site").exists()


def test_a_page_that_vanishes_while_being_written_is_reported(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A partial page must not be recreated under its name."""
    copyfile, out = shutil.copyfile, tmp_path / "sites" / "page"

    def copy_and_remove(source: Path, target: Path) -> None:
        copyfile(source, target)
        monkeypatch.setattr(shutil, "copyfile", copyfile)
        shutil.rmtree(out.parent)

    monkeypatch.setattr(shutil, "copyfile", copy_and_remove)
    with pytest.raises(ArtifactError, match="page vanished while it was written"):
        write_page(out, model_path, detector=model_path)
    assert not out.parent.exists()


def test_a_full_disk_is_reported(model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copying any of the page's files may fail."""

    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source), None, str(target))

    monkeypatch.setattr(shutil, "copyfile", refuse)
    with pytest.raises(ArtifactError, match="The disk is full while writing"):
        write_page(tmp_path / "page", model_path, detector=model_path)
    assert list(tmp_path.iterdir()) == []
