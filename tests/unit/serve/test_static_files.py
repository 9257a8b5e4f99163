"""The page's files over HTTP: compression and caching."""

import gzip
import hashlib
import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from mien.formats.onnx_model import OnnxModel
from mien.serve.api_errors import add_error_handlers
from mien.serve.routes import page_routes
from mien.serve.site import STATIC

TEXT = b"export const values = [0, 0, 0, 0];\n" * 100


@pytest.fixture
def static(tmp_path: Path) -> Path:
    """A page with a script in all variants, a large file that exists only compressed, and an image."""
    assets = tmp_path / "assets"
    assets.mkdir()
    (tmp_path / "index.html").write_text("<!doctype html>")
    (assets / "app.js").write_bytes(TEXT)
    (assets / "app.js.gz").write_bytes(gzip.compress(TEXT))
    (assets / "app.js.br").write_bytes(b"stands for brotli")
    (assets / "ort.wasm.gz").write_bytes(gzip.compress(b"\0asm" + TEXT))
    (assets / "example.jpg").write_bytes(b"an image")
    return tmp_path


@pytest.fixture
def client(static: Path, model: OnnxModel) -> TestClient:
    """A client of an app with only the page's routes."""
    api = FastAPI()
    add_error_handlers(api)
    api.include_router(page_routes(model, None, static))
    return TestClient(api)


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("GZIP;q=0.5, br;q=0", "gzip"),
        ("br; q=0.0, *", "gzip"),
        ("identity", None),
        ("", None),
        ("gzip;q=0", None),
    ],
)
def test_the_client_chooses_the_encoding(
    accepted: str, encoding: str | None, client: TestClient, static: Path
) -> None:
    """Whatever is sent, caches learn that it depends on the request's header, and each variant has its own ETag."""
    with client.stream("GET", "/assets/app.js", headers={"Accept-Encoding": accepted}) as response:
        data = b"".join(response.iter_raw())
    suffix = {"br": ".br", "gzip": ".gz", None: ""}[encoding]
    assert data == (static / f"assets/app.js{suffix}").read_bytes()
    assert response.headers.get("content-encoding") == encoding
    assert response.headers["content-type"] == "text/javascript; charset=utf-8"
    assert response.headers["vary"] == "Accept-Encoding"
    headers = {"Accept-Encoding": accepted, "If-None-Match": response.headers["etag"]}
    again = client.get("/assets/app.js", headers=headers)
    assert (again.status_code, again.content, again.headers["vary"]) == (304, b"", "Accept-Encoding")
    other = {**headers, "Accept-Encoding": "identity" if encoding else "gzip"}
    assert client.get("/assets/app.js", headers=other).status_code == 200


@pytest.mark.parametrize(("accepted", "encoding"), [("gzip", "gzip"), ("", None)])
def test_a_file_that_exists_only_compressed_reaches_every_client(
    accepted: str, encoding: str | None, client: TestClient
) -> None:
    """It is decompressed for a client that accepts no compression."""
    response = client.get("/assets/ort.wasm", headers={"Accept-Encoding": accepted})
    assert (response.status_code, response.content) == (200, b"\0asm" + TEXT)
    assert response.headers["content-type"] == "application/wasm"
    assert response.headers.get("content-encoding") == encoding
    assert client.head("/assets/ort.wasm", headers={"Accept-Encoding": accepted}).status_code == 200


def test_a_file_without_variants_does_not_vary(client: TestClient) -> None:
    """An image is sent as it is."""
    response = client.get("/assets/example.jpg", headers={"Accept-Encoding": "br, gzip"})
    assert "content-encoding" not in response.headers
    assert "vary" not in response.headers


@pytest.mark.parametrize(
    ("path", "data"), [("app.js", TEXT), ("ort.wasm", b"\0asm" + TEXT), ("example.jpg", b"an image")]
)
def test_only_an_address_that_names_the_content_is_cached_for_good(
    path: str, data: bytes, client: TestClient
) -> None:
    """Otherwise a browser that asks during an update would keep the wrong file for a year."""
    version = hashlib.sha256(data).hexdigest()[:12]
    for query, expected in (
        (f"?v={version}", "max-age=31536000, immutable"),
        ("?v=0", "no-cache"),
        ("", "no-cache"),
    ):
        assert client.get(f"/assets/{path}{query}").headers["cache-control"] == expected
    assert client.get("/").headers["cache-control"] == "no-cache"


def test_what_the_built_page_names_is_served_and_cached_for_good(model: OnnxModel) -> None:
    """The versions in the committed build are those that the server computes."""
    api = FastAPI()
    api.include_router(page_routes(model, None))
    client = TestClient(api)
    page = client.get("/").text
    addresses = set(re.findall(r'"(assets/[^"#]+)', page))
    for script in ("app.js", "worker.js"):
        text = client.get(f"/assets/{script}").text
        versions = dict(re.findall(r'"([\w.]+)":"([0-9a-f]{12})"', text))
        addresses |= {f"assets/{name}?v={version}" for name, version in versions.items()}
    assert {address.partition("?")[0] for address in addresses} >= {
        f"assets/{name}" for name in ("app.js", "worker.js", "ort.js", "ort.wasm", "icons.svg", "example.jpg")
    }
    for address in addresses:
        response = client.head(f"/{address}", headers={"Accept-Encoding": "br"})
        assert (response.status_code, response.headers["cache-control"]) == (
            200,
            "max-age=31536000, immutable",
        ), address
    assert not (STATIC / "assets" / "ort.wasm").exists()


@pytest.mark.parametrize("path", ["none.js", "%00", "a" * 5000, "../index.html"])
def test_a_missing_file_is_404(path: str, client: TestClient) -> None:
    """With or without compressed variants."""
    assert client.get(f"/assets/{path}").status_code == 404
