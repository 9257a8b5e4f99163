"""The HTTP API as a contract: one error format, an accurate OpenAPI document, health checks, metrics."""

import hashlib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance
from starlette.testclient import TestClient

import mien
from mien.faces.detector import describe_detector
from mien.formats.onnx_model import ModelInfo, OnnxModel
from mien.inference.results import FacePrediction
from mien.serve.app import ServeApp
from mien.serve.routes import REFERENCE
from mien.serve.schemas import Face, ModelMetadata

MakeApp = Callable[..., ServeApp]
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        pytest.param("GET", "/nowhere", 404, "not_found", id="404"),
        pytest.param("GET", "/assets/../../pyproject.toml", 404, "not_found", id="404 outside the page"),
        pytest.param(
            "GET", "/assets/%2e%2e/%2e%2e/app.py", 404, "not_found", id="404 outside the page, encoded"
        ),
        pytest.param("GET", "/docs/nothing.js", 404, "not_found", id="404 of the reference"),
        pytest.param("GET", "/v1/predict", 405, "method_not_allowed", id="405"),
        pytest.param("DELETE", "/v1/model", 405, "method_not_allowed", id="405 of another route"),
        pytest.param("POST", "/", 405, "method_not_allowed", id="405 of the page"),
    ],
)
def test_unknown_routes_have_the_error_format(
    method: str, path: str, status: int, code: str, make_app: MakeApp
) -> None:
    """Routing errors look like all others. For other statuses see test_routes and test_service."""
    with TestClient(make_app()) as client:
        response = client.request(method, path)
    error = response.json()["error"]
    assert response.json().keys() == {"error"}
    assert error.keys() == {"code", "message", "status"}
    assert (response.status_code, error["status"], error["code"]) == (status, status, code)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/healthz",
        "/readyz",
        "/metrics",
        "/v1/model",
        "/model.json",
        "/openapi.json",
        "/docs",
        "/models/model.onnx",
    ],
)
def test_head_is_answered_wherever_get_is(path: str, make_app: MakeApp) -> None:
    """Monitors ask for health by HEAD; they get the headers of GET."""
    with TestClient(make_app()) as client:
        head, get = client.head(path), client.get(path)
    assert (head.status_code, head.headers["content-type"]) == (200, get.headers["content-type"])


def test_head_where_only_post_is_possible(make_app: MakeApp) -> None:
    """A route's allowed methods include HEAD exactly if they include GET."""
    with TestClient(make_app()) as client:
        assert client.head("/v1/predict").headers["allow"] == "POST"
        assert client.post("/v1/model").headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("range_header", "status", "code"),
    [
        pytest.param("bytes=9999999999-", 416, "range_not_satisfiable", id="beyond the end"),
        pytest.param("bytes=5-2", 400, "bad_request", id="backwards"),
        pytest.param("lines=1-2", 400, "bad_request", id="not bytes"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_invalid_ranges_have_the_error_format(
    method: str, range_header: str, status: int, code: str, make_app: MakeApp
) -> None:
    """Plain-text errors of the static file library are rewritten, keeping their headers."""
    with TestClient(make_app()) as client:
        response = client.request(method, "/models/model.onnx", headers={"Range": range_header})
    assert (response.status_code, response.headers["content-type"]) == (status, "application/json")
    assert response.headers["content-security-policy"]
    assert ("content-range" in response.headers) == (status == 416)
    if method == "GET":
        assert response.json()["error"]["code"] == code
        assert response.json()["error"]["message"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/healthz", "/v1/model", "/nowhere"])
def test_an_unexpected_body_is_rejected(method: str, path: str, make_app: MakeApp) -> None:
    """On every route, with Content-Length or chunked; an empty body is allowed."""
    with TestClient(make_app()) as client:
        for body in (b"x", iter([b"x"])):
            response = client.request(method, path, content=body)
            assert (response.status_code, response.headers["connection"]) == (400, "close")
        assert client.request(method, path, headers={"Content-Length": "0"}).status_code != 400


@pytest.mark.parametrize(
    "path",
    [
        "/" + "a" * 5_000,
        "/v1/predict?top=" + "a" * 5_000,
        f"/v1/predict?{'a' * 5_000}",
        "/v1/predict?" + "&".join(f"aaa{n}=1" for n in range(900)),
    ],
)
def test_error_messages_echo_little_client_input(path: str, make_app: MakeApp, png: bytes) -> None:
    """Long paths and values are truncated."""
    with TestClient(make_app()) as client:
        response = client.post(path, files={"images": png})
    assert response.status_code in (404, 422)
    assert "aaa" in response.json()["error"]["message"]
    assert len(response.content) < 1_500


def test_the_server_is_not_ready_before_startup(make_app: MakeApp, png: bytes) -> None:
    """Before the lifespan starts, readiness and predictions are 503, and liveness is 200."""
    client = TestClient(make_app())
    assert client.get("/readyz").status_code == 503
    assert client.post("/v1/predict", files={"images": png}).status_code == 503
    assert client.get("/healthz").status_code == 200


def test_the_model_metadata(make_app: MakeApp, model: OnnxModel) -> None:
    """`/v1/model` and the page's `model.json` are the file's metadata with its name, card and class fractions.

    The former also says which file and which version of mien the results are of.
    """
    with TestClient(make_app()) as client:
        metadata, for_page = client.get("/v1/model").json(), client.get("/model.json").json()
    assert metadata.pop("detector") == describe_detector(None)
    assert metadata == for_page | {"sha256": model.sha256, "mien_version": mien.__version__}
    assert (metadata["name"], metadata["card"], metadata["classes"]) == (
        "colors",
        "",
        ["Neutral", "Happy", "Sad"],
    )
    assert metadata["class_fractions"] is None
    assert metadata["crop"]["method"] == model.info.crop.method
    # `annotations` are there only with action units, `quality_rule` only if the model has its own.
    names = {"name", "sha256", "mien_version", "card", "class_fractions", "label_sets"}
    names |= {one.name for one in fields(ModelInfo)}
    assert metadata.keys() == names - {"annotations", "quality_rule"}
    assert names | {"detector"} == ModelMetadata.model_fields.keys()


def test_the_model_metadata_says_what_finds_the_faces(make_app: MakeApp, tmp_path: Path) -> None:
    """Clients can see that the weaker fallback is in use: the server's log is not the only place that says so."""
    with TestClient(make_app()) as client:
        assert client.get("/v1/model").json()["detector"]["name"] == "cascade"
    file = tmp_path / "yunet.onnx"
    file.write_bytes(b"a network")
    with TestClient(make_app(detector_file=file)) as client:
        detector = client.get("/v1/model").json()["detector"]
    assert detector["name"] == "yunet"
    assert detector["sha256"] == hashlib.sha256(b"a network").hexdigest()


def test_the_row_schema_matches_the_predictions() -> None:
    """The documented fields are the actual ones, in order; the server has no baseline to change from."""
    names = [one.name for one in fields(FacePrediction) if one.name != "change"]
    assert list(Face.model_fields) == names


def test_the_document_describes_every_error_and_has_examples(make_app: MakeApp) -> None:
    """Errors are documented in the common format, and none of the framework's own formats is left."""
    with TestClient(make_app()) as client:
        document = client.get("/openapi.json").json()
    assert document["paths"].keys() == {
        "/v1/predict",
        "/v1/stream",
        "/v1/model",
        "/healthz",
        "/readyz",
        "/metrics",
    }
    responses = document["paths"]["/v1/predict"]["post"]["responses"]
    errors = {status for status in responses if status != "200"}
    assert errors == {"400", "401", "408", "413", "415", "421", "422", "429", "500", "503", "504"}
    for status in errors:
        schema = responses[status]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/ErrorResponse"}
    schemas = document["components"]["schemas"]
    assert "HTTPValidationError" not in schemas
    assert schemas["Face"]["examples"]
    assert schemas["ErrorResponse"]["examples"]


def test_the_document_says_where_a_token_is_needed(make_app: MakeApp) -> None:
    """Every documented route but the health checks, for generated clients; none without a token."""
    for token, protected in ((None, set()), ("t", {"/v1/predict", "/v1/stream", "/v1/model", "/metrics"})):
        with TestClient(make_app(token=token)) as client:
            paths = client.get("/openapi.json", headers={"Authorization": "Bearer t"}).json()["paths"]
        assert {
            path for path, routes in paths.items() if any("security" in route for route in routes.values())
        } == protected


def test_the_reference_loads_nothing_from_other_hosts(make_app: MakeApp) -> None:
    """The API reference works without a network."""
    with TestClient(make_app()) as client:
        for path in ("/docs", *(f"/docs/{file.name}" for file in REFERENCE.iterdir())):
            response = client.get(path)
            assert response.status_code == 200
            assert "http://" not in response.text
            assert "https://" not in response.text


def test_metrics_by_route(make_app: MakeApp, png: bytes) -> None:
    """Requests are counted by route and status; all unknown paths share one label."""
    with TestClient(make_app()) as client:
        client.post("/v1/predict", files={"images": png})
        client.post("/v1/predict?top=0", files={"images": png})
        for number in range(3):
            client.get(f"/nowhere/{number}")
        response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    for line in (
        'mien_requests_total{route="/v1/predict",status="200"} 1.0',
        'mien_requests_total{route="/v1/predict",status="422"} 1.0',
        'mien_requests_total{route="other",status="404"} 3.0',
        'mien_request_duration_seconds_count{route="/v1/predict"} 2.0',
        "mien_requests_in_flight 0.0",
    ):
        assert line in response.text


class NoFaces:
    """A detector that finds no faces."""

    def find_faces(self, image_rgb: object) -> list[object]:
        """Return no faces."""
        return []

    def with_min_face_px(self, _min_face_px: float) -> "NoFaces":
        """Return no faces either."""
        return self


@pytest.fixture(scope="session")
def api_document(model_path: Path) -> Any:
    """The OpenAPI document, bound to an app."""
    app = ServeApp(OnnxModel.load(model_path, threads=1), make_detector=NoFaces)
    return schemathesis.openapi.from_asgi("/openapi.json", app)


@pytest.mark.parametrize(
    ("method", "path", "mode"),
    [
        pytest.param("POST", "/v1/predict", GenerationMode.POSITIVE, id="predict, valid"),
        pytest.param("POST", "/v1/predict", GenerationMode.NEGATIVE, id="predict, invalid"),
        pytest.param("GET", "/v1/model", GenerationMode.POSITIVE, id="model"),
        pytest.param("GET", "/healthz", GenerationMode.POSITIVE, id="healthz"),
        pytest.param("GET", "/readyz", GenerationMode.POSITIVE, id="readyz"),
        pytest.param("GET", "/metrics", GenerationMode.POSITIVE, id="metrics"),
    ],
)
def test_responses_conform_to_the_document(
    method: str, path: str, mode: GenerationMode, api_document: Any
) -> None:
    """Valid and invalid requests generated from the document get responses that the document describes."""
    n_cases = 0

    @given(case=api_document[path][method].as_strategy(generation_mode=mode))
    @settings(max_examples=30, database=None, suppress_health_check=list(HealthCheck))
    def check(case: schemathesis.Case) -> None:
        nonlocal n_cases
        n_cases += 1
        # No schema can say which bytes are an image: some bodies that it allows are rejected.
        case.call_and_validate(excluded_checks=[positive_data_acceptance])

    check()
    assert n_cases > 0
