"""Authentication, Host validation, CORS and security headers."""

from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from mien.cli import main
from mien.serve.app import ServeApp
from mien.serve.authentication import SECURITY_HEADERS

MakeApp = Callable[..., ServeApp]
TOKEN = "s3cret; with spaces é"  # noqa: S105 - only for the test
ROUTES = (
    "/",
    "/v1/model",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/model.json",
    "/models/model.onnx",
    "/nowhere",
)


@pytest.mark.parametrize("path", ROUTES)
def test_every_route_requires_the_token(path: str, make_app: MakeApp) -> None:
    """Without the token, the only response is 401."""
    with TestClient(make_app(token=TOKEN)) as client:
        response = client.get(path)
    assert (response.status_code, response.json()["error"]["code"]) == (401, "unauthorized")
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_checks_are_public(path: str, make_app: MakeApp) -> None:
    """Health checks need no token."""
    with TestClient(make_app(token=TOKEN)) as client:
        assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    ("header", "status"),
    [
        pytest.param(f"Bearer {TOKEN}", 200, id="valid"),
        pytest.param(f"bearer  {TOKEN} ", 200, id="lowercase scheme, extra spaces"),
        pytest.param(f"Bearer {TOKEN}x", 401, id="longer"),
        pytest.param(f"Bearer {TOKEN[:-1]}", 401, id="shorter"),
        pytest.param("Bearer ", 401, id="empty"),
        pytest.param(TOKEN, 401, id="no scheme"),
        pytest.param(f"Basic {TOKEN}", 401, id="other scheme"),
    ],
)
def test_the_authorization_header(header: str, status: int, make_app: MakeApp) -> None:
    """Only the exact token is accepted."""
    with TestClient(make_app(token=TOKEN)) as client:
        assert client.get("/v1/model", headers={"Authorization": header.encode()}).status_code == status


def test_a_browser_gets_a_cookie(make_app: MakeApp) -> None:
    """`/?token=` sets a cookie that scripts and other sites cannot use, and that does not contain the token."""
    with TestClient(make_app(token=TOKEN)) as client:
        assert client.get("/", params={"token": "wrong"}).status_code == 401
        assert client.get("/v1/model", params={"token": TOKEN}).status_code == 401
        response = client.get("/", params={"token": TOKEN})
        cookie = response.headers["set-cookie"].lower()
        assert 'content="0; url=./"' in response.text
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert "s3cret" not in cookie
        assert client.get("/v1/model").status_code == 200
        own = client.cookies["mien"]
        client.cookies.clear()
        for others in ('prefs={"a":1}; ', "seen=a b; ", "a[0]=1; ", "flag; ", "mien=of-another-path; "):
            sent = {"Cookie": f"{others}mien={own}"}
            assert client.get("/v1/model", headers=sent).status_code == 200, others
        assert client.get("/v1/model", headers={"Cookie": "mien=s3cret"}).status_code == 401


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_cookie_is_secure_over_https(scheme: str, make_app: MakeApp) -> None:
    """A cookie set over TLS, as reported by a proxy, is never sent without it."""
    with TestClient(make_app(token=TOKEN), base_url=f"{scheme}://testserver") as client:
        cookie = client.get("/", params={"token": TOKEN}).headers["set-cookie"].lower()
    assert ("secure" in cookie) == (scheme == "https")


def test_an_empty_token_is_rejected(make_app: MakeApp) -> None:
    """It would look like authentication without being any."""
    with pytest.raises(ValueError, match="must not be empty"):
        make_app(token="")


def test_cors_is_closed_unless_opened(make_app: MakeApp) -> None:
    """CORS is opened per origin, also for error responses and with a token set."""
    origin = {"Origin": "https://example.org"}
    preflight = {
        **origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    with TestClient(make_app()) as client:
        assert "access-control-allow-origin" not in client.get("/v1/model", headers=origin).headers
    with TestClient(make_app(allow_origins=("https://example.org",), token=TOKEN)) as client:
        assert client.options("/v1/predict", headers=preflight).status_code == 200
        rejected = client.get("/v1/model", headers=origin)
        assert rejected.status_code == 401
        assert rejected.headers["access-control-allow-origin"] == "https://example.org"
        other = client.get("/v1/model", headers={"Origin": "https://example.com"})
        assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize(
    ("host", "status"),
    [
        pytest.param("localhost", 200, id="localhost"),
        pytest.param("LOCALHOST:8000", 200, id="with a port"),
        pytest.param("127.0.0.1:8000", 200, id="IP address"),
        pytest.param("[::1]:8000", 200, id="IPv6"),
        pytest.param("[::1]", 200, id="IPv6 without a port"),
        pytest.param("faces.example.org:80", 200, id="allowed name"),
        pytest.param("evil.example.org", 421, id="other name"),
        pytest.param("localhost.example.org", 421, id="other name with an allowed prefix"),
        pytest.param("127.0.0.1.example.org:8000", 421, id="other name that begins with an IP address"),
        pytest.param("example.org@localhost", 421, id="user info"),
        pytest.param("", 421, id="empty"),
    ],
)
def test_other_hosts_are_rejected(host: str, status: int, make_app: MakeApp) -> None:
    """A site that points its name at this machine gets 421 on every route except the health checks."""
    with TestClient(make_app(allowed_hosts=("127.0.0.1", "Faces.example.org"))) as client:
        for path in ("/v1/model", "/metrics", "/openapi.json"):
            response = client.get(path, headers={"Host": host})
            assert response.status_code == status
            if status != 200:
                assert response.json()["error"]["code"] == "host_not_allowed"
        assert client.get("/healthz", headers={"Host": host}).status_code == 200


def test_any_host_can_be_allowed(make_app: MakeApp) -> None:
    """``*`` turns the check off."""
    with TestClient(make_app(allowed_hosts=("*",))) as client:
        assert client.get("/v1/model", headers={"Host": "evil.example.org"}).status_code == 200


def test_the_content_security_policy_allows_no_other_origin() -> None:
    """No source is a wildcard or another host: only this site, none, or what the page creates itself."""
    policy = SECURITY_HEADERS["Content-Security-Policy"]
    directives = {words[0]: set(words[1:]) for words in (part.split() for part in policy.split(";"))}
    in_memory = {"blob:", "data:"}
    assert directives["default-src"] == {"'self'"}
    assert directives["script-src"] == {"'self'", "'wasm-unsafe-eval'"}
    for name in ("object-src", "base-uri", "form-action", "frame-ancestors"):
        assert directives[name] == {"'none'"}
    for name in ("worker-src", "img-src", "media-src"):
        assert directives[name] <= {"'self'", *in_memory}
    assert "data:" not in directives["worker-src"]
    assert SECURITY_HEADERS["Cross-Origin-Opener-Policy"] == "same-origin"
    assert SECURITY_HEADERS["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert SECURITY_HEADERS["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/healthz", "/nowhere", "/docs"])
def test_every_response_has_the_security_headers(path: str, make_app: MakeApp) -> None:
    """Successes and errors alike."""
    with TestClient(make_app()) as client:
        headers = client.get(path).headers
    assert {name: headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS


@pytest.mark.parametrize("value", ["", "  "])
def test_a_variable_without_a_token_is_no_open_server(
    value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is refused like an empty `--token`: the variable is set to require one."""
    monkeypatch.setenv("MIEN_TOKEN", value)
    with pytest.raises(SystemExit, match="2"):
        main(["serve", "--port", "0"])
    assert "MIEN_TOKEN must not be empty: set a token, or unset the variable" in capsys.readouterr().err


def test_the_api_description_names_the_token(make_app: MakeApp) -> None:
    """Generated clients then have a parameter for it."""
    for token, schemes in ((TOKEN, {"HTTPBearer": {"type": "http", "scheme": "bearer"}}), (None, None)):
        found = make_app(token=token).api.openapi()
        assert found["components"].get("securitySchemes") == schemes
        assert ("security" in found["paths"]["/v1/predict"]["post"]) == (token is not None)
