"""The HTTP interface as a contract: one error shape, a document that tells the truth, health, figures."""

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

from mien.bundle import Bundle, BundleInfo
from mien.reading.readings import FaceReading
from mien.serve.app import ServeApp
from mien.serve.bodies import Face, Model
from mien.serve.routes import REFERENCE

MakeApp = Callable[..., ServeApp]
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        pytest.param("GET", "/nowhere", 404, "not_found", id="404"),
        pytest.param("GET", "/assets/../../pyproject.toml", 404, "not_found", id="404 beside the page"),
        pytest.param(
            "GET", "/assets/%2e%2e/%2e%2e/app.py", 404, "not_found", id="404 beside the page, hidden"
        ),
        pytest.param("GET", "/docs/nothing.js", 404, "not_found", id="404 of the reference"),
        pytest.param("GET", "/v1/predict", 405, "method_not_allowed", id="405"),
        pytest.param("DELETE", "/v1/model", 405, "method_not_allowed", id="405 of another route"),
        pytest.param("POST", "/", 405, "method_not_allowed", id="405 of the page"),
    ],
)
def test_a_wrong_address_has_the_one_shape(
    method: str, path: str, status: int, code: str, make_app: MakeApp
) -> None:
    """What is no route is refused as everything else is. Other statuses: test_predict_route, test_many_clients."""
    with TestClient(make_app()) as client:
        answer = client.request(method, path)
    error = answer.json()["error"]
    assert answer.json().keys() == {"error"}
    assert error.keys() == {"code", "message", "status"}
    assert (answer.status_code, error["status"], error["code"]) == (status, status, code)


@pytest.mark.parametrize(
    ("wanted", "status", "code"),
    [
        pytest.param("bytes=9999999999-", 416, "range_not_satisfiable", id="beyond the end"),
        pytest.param("bytes=5-2", 400, "bad_request", id="backwards"),
        pytest.param("lines=1-2", 400, "bad_request", id="no bytes"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_wrong_range_has_the_one_shape(
    method: str, wanted: str, status: int, code: str, make_app: MakeApp
) -> None:
    """What the library of files answers in plain text is put into words like the rest, with its headers."""
    with TestClient(make_app()) as client:
        answer = client.request(method, "/models/model.onnx", headers={"Range": wanted})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    assert answer.headers["content-security-policy"]
    assert ("content-range" in answer.headers) == (status == 416)
    if method == "GET":
        assert answer.json()["error"]["code"] == code
        assert answer.json()["error"]["message"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/healthz", "/v1/model", "/nowhere"])
def test_a_body_that_is_not_due_is_refused(method: str, path: str, make_app: MakeApp) -> None:
    """On every route, announced or in chunks; an empty one is none."""
    with TestClient(make_app()) as client:
        for body in (b"x", iter([b"x"])):
            answer = client.request(method, path, content=body)
            assert (answer.status_code, answer.headers["connection"]) == (400, "close")
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
def test_a_message_repeats_little_of_what_was_sent(path: str, make_app: MakeApp, png: bytes) -> None:
    """An endless address or value is told by its beginning."""
    with TestClient(make_app()) as client:
        answer = client.post(path, files={"images": png})
    assert answer.status_code in (404, 422)
    assert "aaa" in answer.json()["error"]["message"]
    assert len(answer.content) < 1_500


def test_before_the_model_is_there_the_server_is_not_ready(make_app: MakeApp, png: bytes) -> None:
    """Without its lifespan, readiness and readings are 503, and health is not."""
    client = TestClient(make_app())
    assert client.get("/readyz").status_code == 503
    assert client.post("/v1/predict", files={"images": png}).status_code == 503
    assert client.get("/healthz").status_code == 200


def test_the_model_describes_itself(make_app: MakeApp, bundle: Bundle) -> None:
    """`/v1/model` and the page's `model.json` are the file's metadata with its name and card."""
    with TestClient(make_app()) as client:
        told, for_page = client.get("/v1/model").json(), client.get("/model.json").json()
    assert told == for_page
    assert (told["name"], told["card"], told["classes"]) == ("colors", "", ["Neutral", "Happy", "Sad"])
    assert told["crop"]["method"] == bundle.info.crop.method
    assert told.keys() == {"name", "card"} | {one.name for one in fields(BundleInfo)}
    assert told.keys() == Model.model_fields.keys()


def test_the_document_has_every_field_of_a_row() -> None:
    """The described row is the row, in its order."""
    assert list(Face.model_fields) == [one.name for one in fields(FaceReading)]


def test_the_document_describes_every_failure_and_has_examples(make_app: MakeApp) -> None:
    """Failures are documented in the one shape, and no framework's own shape is left."""
    with TestClient(make_app()) as client:
        document = client.get("/openapi.json").json()
    assert document["paths"].keys() == {"/v1/predict", "/v1/model", "/healthz", "/readyz", "/metrics"}
    responses = document["paths"]["/v1/predict"]["post"]["responses"]
    failures = {status for status in responses if status != "200"}
    assert failures == {"400", "401", "408", "413", "415", "421", "422", "429", "500", "503", "504"}
    for status in failures:
        schema = responses[status]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/Failure"}
    schemas = document["components"]["schemas"]
    assert "HTTPValidationError" not in schemas
    assert schemas["Face"]["examples"]
    assert schemas["Failure"]["examples"]


def test_the_reference_asks_no_other_host(make_app: MakeApp) -> None:
    """The page of the interface is whole without a network."""
    with TestClient(make_app()) as client:
        for path in ("/docs", *(f"/docs/{file.name}" for file in REFERENCE.iterdir())):
            answer = client.get(path)
            assert answer.status_code == 200
            assert "http://" not in answer.text
            assert "https://" not in answer.text


def test_figures_know_routes_by_name_alone(make_app: MakeApp, png: bytes) -> None:
    """Requests are counted by route and status; addresses that are none are one."""
    with TestClient(make_app()) as client:
        client.post("/v1/predict", files={"images": png})
        client.post("/v1/predict?top=0", files={"images": png})
        for number in range(3):
            client.get(f"/nowhere/{number}")
        answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    for line in (
        'mien_requests_total{route="/v1/predict",status="200"} 1.0',
        'mien_requests_total{route="/v1/predict",status="422"} 1.0',
        'mien_requests_total{route="other",status="404"} 3.0',
        'mien_request_seconds_count{route="/v1/predict"} 2.0',
        "mien_queue_length 0.0",
    ):
        assert line in answer.text


class NoFaces:
    """A detector that finds none."""

    def find_faces(self, image_rgb: object) -> list[object]:
        """Find none."""
        return []


@pytest.fixture(scope="session")
def api_document(model_path: Path) -> Any:
    """The document of an app, and the app behind it."""
    app = ServeApp(Bundle.load(model_path, threads=1), make_detector=NoFaces)
    return schemathesis.openapi.from_asgi("/openapi.json", app)


@pytest.mark.parametrize(
    ("method", "path", "mode"),
    [
        pytest.param("POST", "/v1/predict", GenerationMode.POSITIVE, id="predict, as documented"),
        pytest.param("POST", "/v1/predict", GenerationMode.NEGATIVE, id="predict, not as documented"),
        pytest.param("GET", "/v1/model", GenerationMode.POSITIVE, id="model"),
        pytest.param("GET", "/healthz", GenerationMode.POSITIVE, id="healthz"),
        pytest.param("GET", "/readyz", GenerationMode.POSITIVE, id="readyz"),
        pytest.param("GET", "/metrics", GenerationMode.POSITIVE, id="metrics"),
    ],
)
def test_what_the_document_allows_is_answered_as_it_says(
    method: str, path: str, mode: GenerationMode, api_document: Any
) -> None:
    """Requests made from the document, right and wrong ones, get answers that the document describes."""
    n_answers = 0

    @given(case=api_document[path][method].as_strategy(generation_mode=mode))
    @settings(max_examples=30, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def check(case: schemathesis.Case) -> None:
        nonlocal n_answers
        n_answers += 1
        # No schema says which bytes are a picture, so that some bodies it allows are refused.
        case.call_and_validate(excluded_checks=[positive_data_acceptance])

    check()
    assert n_answers > 0
