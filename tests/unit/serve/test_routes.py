"""`POST /v1/predict`: the rows of `mien predict`, for one or many images, sent in any supported way."""

import asyncio
import base64
import copy
import io
import json
import logging
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from starlette.testclient import TestClient

from mien.faces.detector import CascadeDetector, DetectedFace, Detector
from mien.formats.onnx_model import OnnxModel
from mien.inference.decision_rule import DecisionRule, Prior
from mien.inference.label_sets import LabelSets
from mien.inference.pipeline import predict_files
from mien.serve.app import ServeApp
from mien.serve.uploads import MAX_OTHER_PARTS

MakeApp = Callable[..., ServeApp]
ROUTE = "/v1/predict"
OPENED: list[tuple[str, int]] = []
IS_RECORDING = [False]


def record_open(event: str, details: tuple[Any, ...]) -> None:
    if event == "open" and IS_RECORDING[0]:
        OPENED.append((str(details[0]), int(details[2] or 0)))


def form(*files: tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    return [("images", file) for file in files]


def encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, kind)
    return data.getvalue()


@pytest.mark.parametrize(
    ("query", "rule"),
    [
        pytest.param("", DecisionRule(), id="default"),
        pytest.param(
            "?top=1&min_confidence=1", DecisionRule(min_confidence=1.0, top=1), id="unsure, one class"
        ),
    ],
)
def test_the_response_has_the_rows_of_predict(
    query: str,
    rule: DecisionRule,
    make_app: MakeApp,
    make_image: Callable[..., Path],
    model: OnnxModel,
    detector: Detector,
) -> None:
    """Several images of a form come back in order, with the rows that `mien predict` writes."""
    paths = [
        make_image("two.png", ("Happy", 10, 10, 60), ("Sad", 100, 30, 40)),
        make_image("none.png"),
        make_image("one.png", ("Neutral", 50, 20, 50)),
    ]
    expected = [
        prediction.to_dict() for prediction in predict_files(paths, model, detector=detector, rule=rule)
    ]
    with TestClient(make_app()) as client:
        response = client.post(ROUTE + query, files=form(*((str(path), path.read_bytes()) for path in paths)))
    assert response.status_code == 200
    assert response.json() == {"results": expected}


@pytest.mark.parametrize("prior", ["as-trained", "half", "balanced"])
def test_the_prior_is_that_of_predict(
    prior: Prior, make_app: MakeApp, model: OnnxModel, detector: Detector, make_image: Callable[..., Path]
) -> None:
    """Server and `predict_files` divide by the class fractions of the model, which `/v1/model` shows."""
    info = replace(model.info, training={"pack": {"train_counts": [1, 98, 1]}})
    counted = copy.copy(model)
    counted.info = info
    path = make_image("two.png", ("Happy", 10, 10, 60), ("Sad", 100, 30, 40))
    [expected] = predict_files([path], counted, detector=detector, rule=DecisionRule(prior=prior))
    [plain] = predict_files([path], counted, detector=detector)
    assert (expected.to_dict() == plain.to_dict()) == (prior == "as-trained")
    with TestClient(make_app(app_model=counted)) as client:
        response = client.post(f"{ROUTE}?prior={prior}", files=form((str(path), path.read_bytes())))
        assert client.get("/v1/model").json()["class_fractions"] == [0.01, 0.98, 0.01]
    assert response.json() == {"results": [expected.to_dict()]}


def test_sets_of_classes_are_those_of_predict(
    make_app: MakeApp,
    label_sets: LabelSets,
    model: OnnxModel,
    detector: Detector,
    make_image: Callable[..., Path],
) -> None:
    """`/v1/model` says how they are made. What changes the probabilities is refused, as by the command line."""
    path = make_image("two.png", ("Happy", 10, 10, 60), ("Sad", 100, 30, 40))
    [expected] = predict_files([path], model, detector=detector, rule=DecisionRule(label_sets=label_sets))
    assert [face.label_set for face in expected] == [("Happy", "Sad"), ("Sad",)]
    counted = copy.copy(model)
    counted.info = replace(model.info, training={"pack": {"train_counts": [1, 98, 1]}})
    with TestClient(make_app(label_sets=label_sets, app_model=counted)) as client:
        files = form((str(path), path.read_bytes()))
        assert client.post(ROUTE, files=files).json() == {"results": [expected.to_dict()]}
        assert client.get("/v1/model").json()["label_sets"] == {
            "coverage": 0.9,
            "limits": {"Neutral": 0.6, "Happy": 0.5, "Sad": None},
            "n_faces": {"Neutral": 20, "Happy": 20, "Sad": 3},
        }
        for query in ("prior=balanced", "prior=half&top=1"):
            refused = client.post(f"{ROUTE}?{query}", files=files)
            assert refused.status_code == 422
            assert "adds a set of classes" in refused.json()["error"]["message"]
        assert client.post(f"{ROUTE}?min_confidence=0.9&top=1", files=files).status_code == 200
    with TestClient(make_app()) as client:
        rows = client.post(ROUTE, files=files).json()["results"][0]["rows"]
        assert {row["label_set"] for row in rows} == {None}
        assert client.get("/v1/model").json()["label_sets"] is None


@pytest.mark.parametrize("kind", ["image/png", "IMAGE/JPEG; q=1", "application/octet-stream"])
def test_a_single_image_as_the_body(kind: str, make_app: MakeApp, png: bytes) -> None:
    """An image sent as the body has no name; its content decides, not its media type."""
    with TestClient(make_app()) as client:
        response = client.post(ROUTE, content=png, headers={"Content-Type": kind})
    [result] = response.json()["results"]
    assert (result["source"], result["rows"][0]["expression"]) == ("", "Happy")


def test_images_in_json_are_those_of_a_form(make_app: MakeApp, png: bytes) -> None:
    """Base64 in the variants that encoders write, as text, as data URL, with a name, gives the rows of a form."""
    text = base64.b64encode(png).decode()
    assert text.endswith("=")
    bodies = [
        {"image": text},
        {"image": f"data:image/png;base64,{text}"},
        {"images": [base64.encodebytes(png).decode(), base64.urlsafe_b64encode(png).decode().rstrip("=")]},
        {"images": [{"source": "a.png", "data": text}]},
    ]
    with TestClient(make_app()) as client:
        [expected] = client.post(ROUTE, files=form(("a.png", png))).json()["results"]
        found = [one for body in bodies for one in client.post(ROUTE, json=body).json()["results"]]
    assert [one["source"] for one in found] == ["", "", "", "", "a.png"]
    assert found[-1] == expected
    assert [one["rows"][0]["box_xyxy"] for one in found] == [expected["rows"][0]["box_xyxy"]] * 5


def test_faces_that_the_client_has_are_not_detected(make_app: MakeApp, png: bytes) -> None:
    """They keep their order; one outside the image is the problem of that image."""
    text = base64.b64encode(png).decode()
    given = [
        {"data": text, "boxes_xyxy": boxes}
        for boxes in ([[80, 20, 160, 100], [5, 5, 45, 45]], [], [[900, 5, 940, 45]])
    ]
    with TestClient(make_app()) as client:
        results = client.post(ROUTE, json={"images": given}).json()["results"]
    assert [row["box_xyxy"] for row in results[0]["rows"]] == given[0]["boxes_xyxy"]
    assert {row["found_by"] for row in results[0]["rows"]} == {"given"}
    assert [result["rows"][0]["status"] for result in results] == ["ok", "no_face", "face_outside_image"]


@pytest.mark.parametrize(
    ("given", "query", "message"),
    [
        ({"boxes_xyxy": [[50, 5, 5, 45]]}, "", "images[0]`: box 0 must be left < right"),
        ({"boxes_xyxy": [[1, 2, 3]]}, "", "must be (N, 4)"),
        ({"boxes_xyxy": "all"}, "", "must be an array of numbers"),
        ({"boxes_xyxy": [[0, 0, 9, 9]] * 101}, "", "101 faces, the limit is 100"),
        ({"landmarks": [[[1, 2]] * 7]}, "", "must be (N, 68, 2) or (N, 5, 2)"),
        ({"boxes": [[0, 0, 9, 9]]}, "", "with `source`, `boxes_xyxy` or `landmarks`"),
        ({"boxes_xyxy": [[0, 0, 9, 9]]}, "?crop=whole", "Leave one of them out"),
        ({"boxes_xyxy": [[0, 0, 9, 9]]}, "?min_face_px=1", "`min_face_px` is for faces that are detected"),
        (
            {"landmarks": [[[4, 4], [7, 4], [5, 5], [4, 7], [7, 7]]]},
            "?min_face_px=1",
            "leave it out with `boxes_xyxy`, `landmarks`",
        ),
    ],
)
def test_malformed_faces_are_refused(
    make_app: MakeApp, png: bytes, given: dict[str, object], query: str, message: str
) -> None:
    """The request fails, with what was required."""
    body = {"images": [{"data": base64.b64encode(png).decode(), **given}]}
    with TestClient(make_app()) as client:
        response = client.post(ROUTE + query, json=body)
    assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid_parameter")
    assert message in response.json()["error"]["message"]


@pytest.mark.parametrize("faces", [100, 1])
def test_small_faces_are_left_out_of_a_request(faces: int, make_app: MakeApp, two_faces: bytes) -> None:
    """As by `mien predict --min-face-px`, before the largest are counted; the next request has its own limit."""
    with TestClient(make_app(app_detector=CascadeDetector(), faces=faces, threads=1)) as client:

        def sides(query: str) -> list[float]:
            [result] = client.post(f"{ROUTE}?{query}", files=form(("a.png", two_faces))).json()["results"]
            found = [row["box_xyxy"] for row in result["rows"] if row["status"] == "ok"]
            assert {row["status"] for row in result["rows"][len(found) :]} <= {"too_many_faces", "no_face"}
            n_rows.append(len(result["rows"]))
            return [min(x1 - x0, y1 - y0) for x0, y0, x1, y1 in found]

        n_rows: list[int] = []
        both = sides("")
        assert len(both) == min(2, faces)
        limit = int(both[0])
        assert sides(f"min_face_px={limit}") == both[:1]
        assert sides(f"min_face_px={limit + 1}") == sides(f"min_face_px={10**400}") == []
        assert sides("min_face_px=0") == both
    assert n_rows == [2, 1, 1, 1, 2]


def test_crop_whole_uses_the_full_image(make_app: MakeApp, png: bytes) -> None:
    """With `crop=whole` the bounding box is the full image."""
    with TestClient(make_app()) as client:
        response = client.post(ROUTE + "?crop=whole&min_face_px=0", files=form(("a.png", png)))
    assert response.json()["results"][0]["rows"][0]["box_xyxy"] == [0, 0, 200, 120]


def test_an_unreadable_image_is_a_row_among_others(make_app: MakeApp, png: bytes) -> None:
    """An image that cannot be decoded has a row with its status, as in `mien predict`; the others are predicted."""
    files = form(
        ("good.png", png), ("truncated.png", png[:60]), ("text.png", b"not an image"), ("empty.png", b"")
    )
    with TestClient(make_app()) as client:
        response = client.post(ROUTE, files=files)
    statuses = {one["source"]: one["rows"][0]["status"] for one in response.json()["results"]}
    assert statuses == {
        "good.png": "ok",
        "truncated.png": "truncated_image",
        "text.png": "not_an_image",
        "empty.png": "empty_file",
    }


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        pytest.param(
            {"files": form(("a", b"text"), ("b", b""))}, 422, "not_an_image", id="no image among the files"
        ),
        pytest.param({"files": [("other", ("a.png", b"x"))]}, 422, "invalid_parameter", id="another field"),
        pytest.param({"content": b"", "headers": {"Content-Type": "image/png"}}, 422, "no_image", id="empty"),
        pytest.param(
            {"content": b"x", "headers": {"Content-Type": "text/plain"}},
            415,
            "unsupported_media_type",
            id="text",
        ),
        pytest.param(
            {"content": b"{", "headers": {"Content-Type": "application/json"}},
            400,
            "invalid_json",
            id="not JSON",
        ),
        pytest.param(
            {"content": b"[" * 100_000, "headers": {"Content-Type": "application/json"}},
            400,
            "invalid_json",
            id="deep JSON",
        ),
        pytest.param(
            {
                "content": b'{"image": "AAAA", "image": "BBBB"}',
                "headers": {"Content-Type": "application/json"},
            },
            400,
            "invalid_json",
            id="a key twice",
        ),
        pytest.param(
            {"json": {"images": [{"data": "AAAA", "boxes_xyxy": [[1, 2, 10**400, 4]]}]}},
            400,
            "invalid_json",
            id="a number beyond 64 bits",
        ),
        pytest.param({"json": {"image": "..."}}, 422, "invalid_base64", id="not base64"),
        pytest.param(
            {"json": {"image": "https://example.org/a.jpg"}}, 422, "invalid_base64", id="an address"
        ),
        pytest.param(
            {"json": {"image": "data:image/png,abc"}}, 422, "invalid_base64", id="data URL without base64"
        ),
        pytest.param({"json": {"images": "AAAA"}}, 422, "invalid_parameter", id="no list"),
        pytest.param({"json": {"image": 1}}, 422, "invalid_parameter", id="no text"),
        pytest.param(
            {"json": {"image": "AAAA", "top": 3}}, 422, "invalid_parameter", id="an option in the JSON"
        ),
        pytest.param({"json": []}, 422, "invalid_parameter", id="no object"),
        pytest.param({"json": {"images": []}}, 422, "no_image", id="empty list"),
        pytest.param({"json": {"image": "AAAA"}}, 422, "not_an_image", id="base64 of no image"),
        pytest.param({"content": b"x"}, 415, "unsupported_media_type", id="no type"),
        pytest.param(
            {"content": b"x", "headers": {"Content-Type": "image/png", "Content-Encoding": "gzip"}},
            415,
            "unsupported_media_type",
            id="compressed",
        ),
        pytest.param(
            {"content": b"--a\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=a"}},
            400,
            "invalid_form",
            id="truncated form",
        ),
        pytest.param(
            {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}},
            400,
            "invalid_form",
            id="no boundary",
        ),
        pytest.param(
            {"files": {"images": ("a.png", b"x")}, "data": {"top": "3"}},
            422,
            "invalid_parameter",
            id="option as field",
        ),
        pytest.param({"params": {"classes": "9"}}, 422, "invalid_parameter", id="classes"),
        pytest.param(
            {"params": {"classes": "7"}}, 422, "invalid_parameter", id="classes missing from the model"
        ),
        pytest.param({"params": {"top": ["1", "2"]}}, 422, "invalid_parameter", id="a parameter twice"),
        pytest.param({"params": {"top": "0"}}, 422, "invalid_parameter", id="top"),
        pytest.param({"params": {"min_confidence": "nan"}}, 422, "invalid_parameter", id="min_confidence"),
        pytest.param({"params": {"prior": "uniform"}}, 422, "invalid_parameter", id="prior"),
        pytest.param(
            {"params": {"prior": "half"}}, 422, "invalid_parameter", id="prior of a model without counts"
        ),
        pytest.param({"params": {"crop": "face"}}, 422, "invalid_parameter", id="crop"),
        pytest.param({"params": {"min_face_px": "-1"}}, 422, "invalid_parameter", id="min_face_px"),
        pytest.param({"params": {"min_face_px": "9.5"}}, 422, "invalid_parameter", id="part of a pixel"),
        pytest.param(
            {"params": {"min_face_px": "9", "crop": "whole"}},
            422,
            "invalid_parameter",
            id="min_face_px of what is not detected",
        ),
        pytest.param({"params": {"confidence": "0.5"}}, 422, "invalid_parameter", id="unknown parameter"),
    ],
)
def test_invalid_requests_have_error_codes(
    arguments: dict[str, Any], status: int, code: str, make_app: MakeApp, png: bytes
) -> None:
    """Every invalid request gets the common error format."""
    with TestClient(make_app()) as client:
        response = client.post(
            ROUTE, **({"files": form(("a.png", png))} if "params" in arguments else {}), **arguments
        )
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["status"]) == (status, code, status)
    assert "\n" not in error["message"]


def test_malformed_forms_are_not_logged(make_app: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    """The response says what is wrong, and a client cannot fill the log."""
    headers = {"Content-Type": "multipart/form-data; boundary=a"}
    with TestClient(make_app()) as client:
        assert client.post(ROUTE, content=b"secret", headers=headers).status_code == 400
    assert not [record for record in caplog.records if "multipart" in record.name]


def test_a_truncated_image_is_not_a_request_error(make_app: MakeApp, png: bytes) -> None:
    """A file that begins like an image gets a row, even if it is the only one."""
    with TestClient(make_app()) as client:
        response = client.post(ROUTE, content=png[:60], headers={"Content-Type": "image/png"})
    assert response.status_code == 200
    assert response.json()["results"][0]["rows"][0]["status"] == "truncated_image"


def test_a_large_image_is_not_decoded(make_app: MakeApp, png: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image beyond the limit is recognized by its header."""
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("it was decoded"))
    with TestClient(make_app(image_pixels=200 * 120 - 1)) as client:
        response = client.post(ROUTE, files=form(("a.png", png)))
    [row] = response.json()["results"][0]["rows"]
    assert (row["status"], row["detail"]) == ("image_too_large", "200x120 pixels, the limit is 23,999")


def test_many_faces_are_counted_in_batches(make_app: MakeApp, detector: Detector, png: bytes) -> None:
    """One image with 40 faces takes two model calls."""

    class ManyFaces:
        def find_faces(self, image_rgb: NDArray[np.uint8]) -> list[DetectedFace]:
            return detector.find_faces(image_rgb) * 40

    with TestClient(make_app(app_detector=ManyFaces())) as client:
        client.post(ROUTE, files=form(("group.png", png)))
        metrics = client.get("/metrics").text
    assert "mien_faces_read_total 40.0" in metrics
    assert "mien_batch_faces_count 2.0" in metrics
    assert 'mien_batch_faces_bucket{le="32.0"} 2.0' in metrics


def test_faces_beyond_the_limit_are_reported(make_app: MakeApp, make_image: Callable[..., Path]) -> None:
    """The largest faces are predicted, and one more row says how many were skipped."""
    path = make_image("three.png", ("Happy", 0, 0, 60), ("Sad", 70, 0, 40), ("Neutral", 120, 0, 30))
    with TestClient(make_app(faces=2)) as client:
        response = client.post(ROUTE, files=form(("three.png", path.read_bytes())))
    rows = response.json()["results"][0]["rows"]
    assert [row["expression"] for row in rows] == ["Happy", "Sad", None]
    assert (rows[2]["status"], rows[2]["detail"]) == ("too_many_faces", "1 more faces, the limit is 2")
    assert rows[2].keys() == rows[0].keys()


@pytest.mark.parametrize(
    ("kind", "is_supported"),
    [
        ("JPEG", True),
        ("PNG", True),
        ("WEBP", True),
        ("GIF", True),
        ("TIFF", False),
        ("PPM", False),
        ("BMP", False),
    ],
)
def test_only_photo_formats_are_decoded(
    kind: str, is_supported: bool, make_app: MakeApp, make_image: Callable[..., Path]
) -> None:
    """Formats with slow or noisy decoders are rejected before decoding, and the message lists the supported ones."""
    with Image.open(make_image("one.png", ("Happy", 50, 20, 50))) as image:
        data = encoded(np.asarray(image.convert("RGB")), kind)
    files = form(("a", data), ("b.png", encoded(np.zeros((9, 9, 3), np.uint8))))
    with TestClient(make_app()) as client:
        [row, *_] = client.post(ROUTE, files=files).json()["results"][0]["rows"]
    assert row["status"] == ("ok" if is_supported else "not_an_image")
    assert ("supported formats: JPEG, PNG, WebP, GIF" in row["detail"]) != is_supported


def test_a_hostile_tiff_prints_nothing(make_app: MakeApp, capfd: pytest.CaptureFixture[str]) -> None:
    """Libtiff writes to standard error from C, so that a client could fill the log."""
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    with io.BytesIO() as file:
        Image.fromarray(pixels).save(file, "TIFF", compression="tiff_lzw")
        data = file.getvalue()
    data = data[:1000] + b"\xff" * 1000 + data[2000:]
    with TestClient(make_app()) as client:
        client.post(ROUTE, files=form(("a.tif", bytes(data))))
    assert capfd.readouterr().err == ""


def test_a_few_other_form_parts_are_skipped_and_many_rejected(make_app: MakeApp, png: bytes) -> None:
    """A form may have up to 16 parts that are not images."""
    others = [(f"field{number}", ("", b"x")) for number in range(MAX_OTHER_PARTS + 1)]
    assert MAX_OTHER_PARTS == 16
    with TestClient(make_app()) as client:
        assert client.post(ROUTE, files=[*form(("a.png", png)), *others[:-1]]).status_code == 200
        response = client.post(ROUTE, files=[*form(("a.png", png)), *others])
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_form")


def test_a_body_releases_its_memory_however_it_ends(make_app: MakeApp, running: Any, png: bytes) -> None:
    """Failed bodies do not use up the memory budget of later ones."""

    async def stalled() -> AsyncIterator[bytes]:
        yield png[:-1]
        await asyncio.sleep(30)

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield png

    async def send() -> list[int]:
        app = make_app(queue_bytes=len(png) + 300, body_bytes=len(png) + 300, body_seconds=0.2, images=1)
        async with running(app) as client:
            kind = {"Content-Type": "image/png"}
            two = form(("a", b"x"), ("b", b"x"))
            requests = (
                {"content": stalled(), "headers": kind},
                {"content": endless(), "headers": kind},
                {"files": two},
                {"content": b"x" * len(png), "headers": {"Content-Type": "multipart/form-data; boundary=a"}},
                {"content": b"x" * len(png), "headers": kind},
                {"content": png, "headers": kind},
                {"content": png, "headers": kind},
            )
            statuses = [(await client.post(ROUTE, **one)).status_code for one in requests]
            assert app.api.state.service.budget.used == 0
            return statuses

    assert asyncio.run(send()) == [408, 413, 413, 400, 422, 200, 200]


def test_too_many_images_are_413(make_app: MakeApp, png: bytes) -> None:
    """One image beyond the limit fails the request."""
    with TestClient(make_app(images=2)) as client:
        assert client.post(ROUTE, files=form(*[("a.png", png)] * 2)).status_code == 200
        response = client.post(ROUTE, files=form(*[("a.png", png)] * 3))
        # Counted before any of them is decoded.
        assert client.post(ROUTE, json={"images": ["not base64"] * 3}).json() == response.json()
    assert (response.status_code, response.json()["error"]["code"]) == (413, "too_many_images")


def test_a_large_body_is_413_with_or_without_content_length(make_app: MakeApp, running: Any) -> None:
    """The limit applies to Content-Length, before a byte is read, and while a body of unknown length arrives."""
    n_sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal n_sent
        while n_sent < 100_000_000:
            n_sent += 1000
            yield b"x" * 1000

    async def send() -> list[int]:
        async with running(make_app(body_bytes=10_000)) as client:
            kind = {"Content-Type": "image/png"}
            declared = await client.post(ROUTE, content=b"x" * 10_001, headers=kind)
            streamed = await client.post(ROUTE, content=endless(), headers=kind)
            return [declared.status_code, streamed.status_code]

    assert asyncio.run(send()) == [413, 413]
    assert n_sent < 50_000


def test_a_slow_body_is_408(make_app: MakeApp, running: Any) -> None:
    """The slot of a body that did not arrive in time is free again."""

    async def slow() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(30)
        yield b"x"

    async def send() -> list[int]:
        async with running(make_app(body_seconds=0.05, queue=1)) as client:
            kind = {"Content-Type": "image/png"}
            return [(await client.post(ROUTE, content=slow(), headers=kind)).status_code for _ in range(2)]

    assert asyncio.run(send()) == [408, 408]


def test_uploads_are_never_written_or_logged(make_app: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    """Megabytes of images are processed without opening a file for writing, and their names are not logged."""
    large = encoded(np.random.default_rng(0).integers(0, 255, (900, 900, 3), dtype=np.uint8))
    assert len(large) > 2_000_000
    sys.addaudithook(record_open)
    caplog.set_level(logging.DEBUG)
    with TestClient(make_app()) as client:
        IS_RECORDING[0] = True
        try:
            response = client.post(ROUTE, files=form(("secret-one.png", large), ("secret-two.png", large)))
            invalid = client.post(ROUTE, files=form(("secret-three.png", b"secret-four")))
        finally:
            IS_RECORDING[0] = False
    assert (response.status_code, invalid.status_code) == (200, 422)
    written = [name for name, flags in OPENED if flags & 3]
    assert written == []
    log_lines = [record.getMessage() for record in caplog.records if not record.name.startswith("httpx")]
    assert "secret" not in " ".join(log_lines)


def test_the_audit_hook_sees_written_files(tmp_path: Path) -> None:
    """The test above would notice a written file."""
    sys.addaudithook(record_open)
    IS_RECORDING[0] = True
    try:
        (tmp_path / "written").write_text("x")
    finally:
        IS_RECORDING[0] = False
    assert any(name.endswith("written") and flags & 3 for name, flags in OPENED)
    OPENED.clear()


def test_file_names_in_other_encodings_stay_readable(make_app: MakeApp, png: bytes) -> None:
    """Bytes that are not UTF-8 are replaced in file names; UTF-8 names come back unchanged."""
    head = b'--b\r\nContent-Disposition: form-data; name="images"; filename="%s"\r\n\r\n'
    body = (
        b"".join(head % name + png + b"\r\n" for name in (b"\xff\xfe.png", "微笑.png".encode()))
        + b"--b--\r\n"
    )
    with TestClient(make_app()) as client:
        kind = {"Content-Type": "multipart/form-data; boundary=b"}
        response = client.post(ROUTE, content=body, headers=kind)
    assert [one["source"] for one in json.loads(response.content)["results"]] == ["��.png", "微笑.png"]
