"""Cross-origin requests."""

from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from mien.serve.app import ServeApp

MakeApp = Callable[..., ServeApp]


def preflight(origin: str, method: str = "POST", headers: str = "content-type") -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers,
    }


@pytest.mark.parametrize("allowed", ["https://Example.org", "https://example.org:443/", "*"])
def test_an_origin_is_allowed_however_it_was_written(allowed: str, make_app: MakeApp) -> None:
    """The browser sends it in lower case, without the default port and without a slash."""
    with TestClient(make_app(allow_origins=(allowed,))) as client:
        response = client.options("/v1/predict", headers=preflight("https://example.org"))
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == (
        "*" if allowed == "*" else "https://example.org"
    )


def test_files_opened_in_a_browser_have_the_origin_null(make_app: MakeApp) -> None:
    """It is allowed only if it was named."""
    with TestClient(make_app(allow_origins=("null",))) as client:
        assert client.options("/v1/predict", headers=preflight("null")).status_code == 200
    with TestClient(make_app(allow_origins=("https://example.org",))) as client:
        assert client.options("/v1/predict", headers=preflight("null")).status_code == 400


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        pytest.param(preflight("https://example.com"), "origin_not_allowed", id="origin"),
        pytest.param(
            preflight("https://example.org", "DELETE"), "cross_origin_request_not_allowed", id="method"
        ),
        pytest.param(
            preflight("https://example.org", headers="x-other"),
            "cross_origin_request_not_allowed",
            id="header",
        ),
    ],
)
def test_a_refused_preflight_has_the_error_format(
    headers: dict[str, str], code: str, make_app: MakeApp
) -> None:
    """And says what to do."""
    with TestClient(make_app(allow_origins=("https://example.org",))) as client:
        response = client.options("/v1/predict", headers=headers)
    assert (response.status_code, response.headers["content-type"]) == (400, "application/json")
    assert response.json()["error"]["code"] == code
    assert ("access-control-allow-origin" in response.headers) == (code != "origin_not_allowed")


def test_without_cors_a_preflight_is_an_ordinary_405(make_app: MakeApp) -> None:
    """In the common format."""
    with TestClient(make_app()) as client:
        response = client.options("/v1/predict", headers=preflight("https://example.org"))
    assert response.json()["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ({"headers": {"Host": "evil.example"}}, 421),
        ({"content": b"x"}, 400),
        ({"headers": {"Range": "x"}}, 200),
    ],
)
def test_other_sites_can_read_every_error(
    arguments: dict[str, object], status: int, make_app: MakeApp
) -> None:
    """Without the header, a browser hides the response, and the page cannot say why it failed."""
    app = make_app(allow_origins=("https://example.org",), allowed_hosts=("localhost",))
    with TestClient(app, base_url="http://localhost") as client:
        headers = {**dict(arguments.pop("headers", {})), "Origin": "https://example.org"}  # type: ignore[call-overload]
        response = client.request("GET", "/v1/model", headers=headers, **arguments)
    assert (response.status_code, response.headers["access-control-allow-origin"]) == (
        status,
        "https://example.org",
    )
