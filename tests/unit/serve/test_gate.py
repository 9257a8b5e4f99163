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


@pytest.mark.parametrize("path", ["/", "/healthz", "/nowhere", "/docs"])
def test_every_answer_has_the_security_headers(path: str, make_app: MakeApp) -> None:
    """Answers and refusals alike."""
    with TestClient(make_app()) as client:
        headers = client.get(path).headers
    assert {name: headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
