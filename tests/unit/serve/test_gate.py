"""Who is let in, and what a browser may do."""

from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from mien.serve.app import ServeApp
from mien.serve.gate import SECURITY_HEADERS

MakeApp = Callable[..., ServeApp]
TOKEN = "s3cret; with spaces é"  # noqa: S105 - of the test alone
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
def test_a_token_guards_every_route(path: str, make_app: MakeApp) -> None:
    """Without the token nothing is told but that it is wanted."""
    with TestClient(make_app(token=TOKEN)) as client:
        answer = client.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_open(path: str, make_app: MakeApp) -> None:
    """Those who watch the server need no token."""
    with TestClient(make_app(token=TOKEN)) as client:
        assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    ("header", "status"),
    [
        pytest.param(f"Bearer {TOKEN}", 200, id="right"),
        pytest.param(f"bearer  {TOKEN} ", 200, id="in other letters"),
        pytest.param(f"Bearer {TOKEN}x", 401, id="longer"),
        pytest.param(f"Bearer {TOKEN[:-1]}", 401, id="shorter"),
        pytest.param("Bearer ", 401, id="empty"),
        pytest.param(TOKEN, 401, id="no scheme"),
        pytest.param(f"Basic {TOKEN}", 401, id="another scheme"),
    ],
)
def test_the_header_lets_in(header: str, status: int, make_app: MakeApp) -> None:
    """The whole token, and nothing else."""
    with TestClient(make_app(token=TOKEN)) as client:
        assert client.get("/v1/model", headers={"Authorization": header.encode()}).status_code == status


def test_a_browser_gets_a_cookie(make_app: MakeApp) -> None:
    """`/?token=` gives a cookie that scripts and other sites cannot use, and that does not hold the token."""
    with TestClient(make_app(token=TOKEN)) as client:
        assert client.get("/", params={"token": "wrong"}).status_code == 401
        assert client.get("/v1/model", params={"token": TOKEN}).status_code == 401
        answer = client.get("/", params={"token": TOKEN})
        cookie = answer.headers["set-cookie"].lower()
        assert 'content="0; url=./"' in answer.text
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert "s3cret" not in cookie
        assert client.get("/v1/model").status_code == 200
        client.cookies.clear()
        assert client.get("/v1/model", headers={"Cookie": "mien=s3cret"}).status_code == 401


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_cookie_goes_the_way_it_came(scheme: str, make_app: MakeApp) -> None:
    """One that was given over TLS, as a proxy says, is never sent without."""
    with TestClient(make_app(token=TOKEN), base_url=f"{scheme}://testserver") as client:
        cookie = client.get("/", params={"token": TOKEN}).headers["set-cookie"].lower()
    assert ("secure" in cookie) == (scheme == "https")


def test_an_empty_token_is_none(make_app: MakeApp) -> None:
    """A token that everybody has is a mistake."""
    with pytest.raises(ValueError, match="must not be empty"):
        make_app(token="")


def test_no_other_site_may_use_the_api_unless_named(make_app: MakeApp) -> None:
    """CORS is closed, and opened by name, also for answers that are refusals and with a token set."""
    origin = {"Origin": "https://example.org"}
    asked = {
        **origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    with TestClient(make_app()) as client:
        assert "access-control-allow-origin" not in client.get("/v1/model", headers=origin).headers
    with TestClient(make_app(allow_origins=("https://example.org",), token=TOKEN)) as client:
        assert client.options("/v1/predict", headers=asked).status_code == 200
        refused = client.get("/v1/model", headers=origin)
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "https://example.org"
        other = client.get("/v1/model", headers={"Origin": "https://example.com"})
        assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize(
    ("host", "status"),
    [
        pytest.param("localhost", 200, id="localhost"),
        pytest.param("LOCALHOST:8000", 200, id="with a port"),
        pytest.param("127.0.0.1:8000", 200, id="address"),
        pytest.param("[::1]:8000", 200, id="IPv6"),
        pytest.param("[::1]", 200, id="IPv6 without a port"),
        pytest.param("faces.example.org:80", 200, id="a name that is given"),
        pytest.param("evil.example.org", 421, id="a name that is not"),
        pytest.param("localhost.example.org", 421, id="a name that begins well"),
        pytest.param("127.0.0.1.example.org:8000", 421, id="an address that goes on"),
        pytest.param("example.org@localhost", 421, id="a user"),
        pytest.param("", 421, id="none"),
    ],
)
def test_a_foreign_name_is_refused(host: str, status: int, make_app: MakeApp) -> None:
    """A site that points its name at this machine gets nothing out of it, whatever it asks for; health is told."""
    with TestClient(make_app(known_hosts=("127.0.0.1", "Faces.example.org"))) as client:
        for path in ("/v1/model", "/metrics", "/openapi.json"):
            answer = client.get(path, headers={"Host": host})
            assert answer.status_code == status
            if status != 200:
                assert answer.json()["error"]["code"] == "wrong_host"
        assert client.get("/healthz", headers={"Host": host}).status_code == 200


def test_any_name_can_be_allowed(make_app: MakeApp) -> None:
    """``*`` turns the check off; a server whose clients have a token needs none."""
    with TestClient(make_app(known_hosts=("*",))) as client:
        assert client.get("/v1/model", headers={"Host": "evil.example.org"}).status_code == 200


def test_the_policy_lets_nothing_in_from_elsewhere() -> None:
    """No source is a wildcard or another host: each is this site, none, or what the page makes itself."""
    policy = SECURITY_HEADERS["Content-Security-Policy"]
    directives = {words[0]: set(words[1:]) for words in (part.split() for part in policy.split(";"))}
    made_here = {"blob:", "data:"}
    assert directives["default-src"] == {"'self'"}
    assert directives["script-src"] == {"'self'", "'wasm-unsafe-eval'"}
    for name in ("object-src", "base-uri", "form-action", "frame-ancestors"):
        assert directives[name] == {"'none'"}
    for name in ("worker-src", "img-src", "media-src"):
        assert directives[name] <= {"'self'", *made_here}
    assert "data:" not in directives["worker-src"]
    assert SECURITY_HEADERS["Cross-Origin-Opener-Policy"] == "same-origin"
    assert SECURITY_HEADERS["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert SECURITY_HEADERS["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/healthz", "/nowhere", "/docs"])
def test_every_answer_has_the_security_headers(path: str, make_app: MakeApp) -> None:
    """Answers and refusals alike."""
    with TestClient(make_app()) as client:
        headers = client.get(path).headers
    assert {name: headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
