"""Behind a proxy that publishes the server under a path."""

from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from mien.serve.app import ServeApp

MakeApp = Callable[..., ServeApp]
PROXY = ("127.0.0.1", 1)
PREFIX = {"X-Forwarded-Prefix": "/faces"}


@pytest.mark.parametrize("path", ["/v1/model", "/faces/v1/model"])
@pytest.mark.parametrize("root_path", ["", "/faces"])
def test_a_prefix_may_be_removed_or_kept(path: str, root_path: str, make_app: MakeApp) -> None:
    """Both kinds of proxy work, with the prefix as an option or as a header."""
    app = make_app(root_path=root_path, allowed_hosts=("testserver",), token="t")  # noqa: S106
    with TestClient(app, client=PROXY) as client:
        headers = {} if root_path else PREFIX
        assert client.get(path, headers=headers).status_code == 401
        assert client.get(path, headers={**headers, "Authorization": "Bearer t"}).status_code == 200
        health = client.get(path.replace("v1/model", "healthz"), headers=headers)
        assert health.status_code == 200
        cookie = client.get(path.replace("v1/model", "?token=t"), headers=headers).headers["set-cookie"]
        assert "Path=/faces;" in cookie


def test_redirects_and_the_document_have_the_prefix(make_app: MakeApp) -> None:
    """And no host: that of the request is often not the one that the client used."""
    with TestClient(make_app(), client=PROXY, follow_redirects=False) as client:
        assert client.get("/v1/model/", headers=PREFIX).headers["location"] == "/faces/v1/model"
        assert client.get("/v1/model/").headers["location"] == "/v1/model"
        assert client.get("/faces?token=t", headers=PREFIX).headers["location"] == "/faces/?token=t"
        assert client.get("/docs/", headers=PREFIX).headers["location"] == "../docs"
        assert client.get("/openapi.json", headers=PREFIX).json()["servers"] == [{"url": "/faces"}]
        assert "servers" not in client.get("/openapi.json").json()


@pytest.mark.parametrize(
    ("client_address", "trusted", "is_trusted"),
    [
        ("127.0.0.1", (), True),
        ("::1", (), True),
        ("::ffff:127.0.0.1", (), True),
        ("10.1.2.3", (), False),
        ("10.1.2.3", ("10.0.0.0/8",), True),
        ("127.0.0.1", ("10.0.0.0/8",), False),
        ("203.0.113.1", ("*",), True),
        ("not an address", (), False),
    ],
)
def test_only_trusted_proxies_are_believed(
    client_address: str, trusted: tuple[str, ...], *, is_trusted: bool, make_app: MakeApp
) -> None:
    """Anyone else could redirect a browser to a path of their choice, or get a cookie marked as secure."""
    app = make_app(trusted_proxies=trusted, token="t")  # noqa: S106
    with TestClient(app, client=(client_address, 1), follow_redirects=False) as client:
        headers = {**PREFIX, "X-Forwarded-Proto": "https"}
        cookie = client.get("/?token=t", headers=headers).headers["set-cookie"]
    assert ("Path=/faces;" in cookie, "Secure" in cookie) == (is_trusted, is_trusted)


def test_a_prefix_that_names_another_host_is_ignored(make_app: MakeApp) -> None:
    """As is anything else that is no path."""
    with TestClient(make_app(), client=PROXY, follow_redirects=False) as client:
        for value in ("//evil.example", "https://evil.example", "/a/../b"):
            assert (
                client.get("/v1/model/", headers={"X-Forwarded-Prefix": value}).headers["location"]
                == "/v1/model"
            )


def test_a_chain_of_proxies_adds_its_prefixes(make_app: MakeApp) -> None:
    """In the order in which they are listed."""
    with TestClient(make_app(), client=PROXY) as client:
        document = client.get("/openapi.json", headers={"X-Forwarded-Prefix": "/a, /b/"}).json()
    assert document["servers"] == [{"url": "/a/b"}]


@pytest.mark.parametrize("path", ["/v1/model", "/v1/v1/model"])
def test_a_prefix_named_like_a_folder_of_the_server(path: str, make_app: MakeApp) -> None:
    """Then the proxy must remove it, because /v1/model would be ambiguous."""
    with TestClient(make_app(root_path="/v1"), client=PROXY) as client:
        assert client.get(path).status_code == (200 if path == "/v1/model" else 404)
