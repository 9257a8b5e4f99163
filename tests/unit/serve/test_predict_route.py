"""`POST /v1/predict`: the rows of `mien predict`, one or many pictures, in any of the ways to send them."""

import asyncio
import io
import json
import logging
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from starlette.testclient import TestClient

from mien.bundle import Bundle
from mien.faces.detector import DetectedFace, Detector
from mien.reading.answers import AnswerRule
from mien.reading.recognise import read_pictures
from mien.serve.app import ServeApp
from mien.serve.uploads import MAX_OTHER_PARTS

MakeApp = Callable[..., ServeApp]
ROUTE = "/v1/predict"
OPENED: list[tuple[str, int]] = []
IS_WATCHING = [False]


def note_opening(event: str, details: tuple[Any, ...]) -> None:
    if event == "open" and IS_WATCHING[0]:
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
        pytest.param("", AnswerRule(), id="as it is"),
        pytest.param(
            "?top=1&min_confidence=1", AnswerRule(min_confidence=1.0, top=1), id="unsure, one class"
        ),
    ],
)
def test_the_answer_is_that_of_predict(
    query: str,
    rule: AnswerRule,
    make_app: MakeApp,
    make_picture: Callable[..., Path],
    bundle: Bundle,
    detector: Detector,
) -> None:
    """Several pictures of a form come back in order, as the rows that `mien predict` writes."""
    paths = [
        make_picture("two.png", ("Happy", 10, 10, 60), ("Sad", 100, 30, 40)),
        make_picture("none.png"),
        make_picture("one.png", ("Neutral", 50, 20, 50)),
    ]
    expected = [reading.to_dict() for reading in read_pictures(paths, bundle, detector=detector, rule=rule)]
    with TestClient(make_app()) as client:
        answer = client.post(ROUTE + query, files=form(*((str(path), path.read_bytes()) for path in paths)))
    assert answer.status_code == 200
    assert answer.json() == {"results": expected}


@pytest.mark.parametrize("kind", ["image/png", "IMAGE/JPEG; q=1", "application/octet-stream"])
def test_a_picture_is_the_body(kind: str, make_app: MakeApp, png: bytes) -> None:
    """A picture sent as it is has no name; its content decides, not its type."""
    with TestClient(make_app()) as client:
        answer = client.post(ROUTE, content=png, headers={"Content-Type": kind})
    [result] = answer.json()["results"]
    assert (result["source"], result["rows"][0]["expression"]) == ("", "Happy")


def test_crop_whole_takes_the_picture_for_the_face(make_app: MakeApp, png: bytes) -> None:
    """With `crop=whole` the box is the picture."""
    with TestClient(make_app()) as client:
        answer = client.post(ROUTE + "?crop=whole", files=form(("a.png", png)))
    assert answer.json()["results"][0]["rows"][0]["box_xyxy"] == [0, 0, 200, 120]


def test_an_unreadable_picture_is_a_row_among_others(make_app: MakeApp, png: bytes) -> None:
    """What cannot be read has its status, as in `mien predict`; the rest is read."""
    files = form(("good.png", png), ("cut.png", png[:60]), ("text.png", b"not a picture"), ("empty.png", b""))
    with TestClient(make_app()) as client:
        answer = client.post(ROUTE, files=files)
    statuses = {one["source"]: one["rows"][0]["status"] for one in answer.json()["results"]}
    assert statuses == {
        "good.png": "ok",
        "cut.png": "truncated_image",
        "text.png": "not_an_image",
        "empty.png": "empty_file",
    }


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        pytest.param(
            {"files": form(("a", b"text"), ("b", b""))}, 422, "not_an_image", id="no picture at all"
        ),
        pytest.param({"files": [("other", ("a.png", b"x"))]}, 422, "no_picture", id="another field"),
        pytest.param(
            {"content": b"", "headers": {"Content-Type": "image/png"}}, 422, "no_picture", id="empty"
        ),
        pytest.param({"json": {"image": "..."}}, 415, "unsupported_media_type", id="JSON"),
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
            "bad_form",
            id="form that ends early",
        ),
        pytest.param(
            {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}},
            400,
            "bad_form",
            id="no boundary",
        ),
        pytest.param({"params": {"classes": "9"}}, 422, "bad_value", id="classes"),
        pytest.param({"params": {"classes": "7"}}, 422, "bad_value", id="classes that the model lacks"),
        pytest.param({"params": {"top": "0"}}, 422, "bad_value", id="top"),
        pytest.param({"params": {"min_confidence": "nan"}}, 422, "bad_value", id="min_confidence"),
        pytest.param({"params": {"crop": "face"}}, 422, "bad_value", id="crop"),
        pytest.param({"params": {"confidence": "0.5"}}, 422, "bad_value", id="unknown parameter"),
    ],
)
def test_what_cannot_be_answered_has_a_code(
    asked: dict[str, Any], status: int, code: str, make_app: MakeApp, png: bytes
) -> None:
    """Each wrong request is refused in the one shape."""
    with TestClient(make_app()) as client:
        answer = client.post(ROUTE, **({"files": form(("a.png", png))} if "params" in asked else {}), **asked)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["status"]) == (status, code, status)
    assert "\n" not in error["message"]


def test_nothing_of_a_damaged_form_is_logged(make_app: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    """The answer says what is wrong, and a client cannot fill the log."""
    headers = {"Content-Type": "multipart/form-data; boundary=a"}
    with TestClient(make_app()) as client:
        assert client.post(ROUTE, content=b"secret", headers=headers).status_code == 400
    assert not [record for record in caplog.records if "multipart" in record.name]


def test_a_damaged_file_alone_is_a_row(make_app: MakeApp, png: bytes) -> None:
    """A file that begins as a picture may be one: that is a reading, not an error."""
    with TestClient(make_app()) as client:
        answer = client.post(ROUTE, content=png[:60], headers={"Content-Type": "image/png"})
    assert answer.status_code == 200
    assert answer.json()["results"][0]["rows"][0]["status"] == "truncated_image"


def test_a_large_picture_is_not_decoded(
    make_app: MakeApp, png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture beyond the limit is told by its header."""
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("it was decoded"))
    with TestClient(make_app(image_pixels=200 * 120 - 1)) as client:
        answer = client.post(ROUTE, files=form(("a.png", png)))
    [row] = answer.json()["results"][0]["rows"]
    assert (row["status"], row["detail"]) == ("image_too_large", "200x120 pixels, the limit is 23,999")


def test_a_crowd_counts_as_the_calls_that_it_takes(make_app: MakeApp, detector: Detector, png: bytes) -> None:
    """One picture of 40 faces is read in two calls of the model."""

    class Crowd:
        def find_faces(self, image_rgb: NDArray[np.uint8]) -> list[DetectedFace]:
            return detector.find_faces(image_rgb) * 40

    with TestClient(make_app(finder=Crowd())) as client:
        client.post(ROUTE, files=form(("crowd.png", png)))
        figures = client.get("/metrics").text
    assert "mien_faces_read_total 40.0" in figures
    assert "mien_batch_faces_count 2.0" in figures
    assert 'mien_batch_faces_bucket{le="32.0"} 2.0' in figures


def test_faces_beyond_the_limit_are_told(make_app: MakeApp, make_picture: Callable[..., Path]) -> None:
    """The largest faces are read, and one more row says how many are not."""
    path = make_picture("three.png", ("Happy", 0, 0, 60), ("Sad", 70, 0, 40), ("Neutral", 120, 0, 30))
    with TestClient(make_app(faces=2)) as client:
        answer = client.post(ROUTE, files=form(("three.png", path.read_bytes())))
    rows = answer.json()["results"][0]["rows"]
    assert [row["expression"] for row in rows] == ["Happy", "Sad", None]
    assert (rows[2]["status"], rows[2]["detail"]) == ("too_many_faces", "1 more faces, the limit is 2")
    assert rows[2].keys() == rows[0].keys()


@pytest.mark.parametrize(
    ("kind", "is_read"),
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
def test_formats_of_photographs_are_read(
    kind: str, is_read: bool, make_app: MakeApp, make_picture: Callable[..., Path]
) -> None:
    """What decodes slowly or noisily is refused before a decoder sees it, and what is read is told."""
    with Image.open(make_picture("one.png", ("Happy", 50, 20, 50))) as picture:
        data = encoded(np.asarray(picture.convert("RGB")), kind)
    files = form(("a", data), ("b.png", encoded(np.zeros((9, 9, 3), np.uint8))))
    with TestClient(make_app()) as client:
        [row, *_] = client.post(ROUTE, files=files).json()["results"][0]["rows"]
    assert row["status"] == ("ok" if is_read else "not_an_image")
    assert ("JPEG, PNG, WebP, GIF are read here" in row["detail"]) != is_read


def test_a_hostile_tiff_prints_nothing(make_app: MakeApp, capfd: pytest.CaptureFixture[str]) -> None:
    """Libtiff writes to standard error itself, from C: a client could fill the log."""
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    with io.BytesIO() as file:
        Image.fromarray(pixels).save(file, "TIFF", compression="tiff_lzw")
        data = file.getvalue()
    data = data[:1000] + b"\xff" * 1000 + data[2000:]
    with TestClient(make_app()) as client:
        client.post(ROUTE, files=form(("a.tif", bytes(data))))
    assert capfd.readouterr().err == ""


def test_a_few_other_parts_are_skipped_and_many_refused(make_app: MakeApp, png: bytes) -> None:
    """A form may have parts that are no pictures, as many as the guide's readers would send."""
    others = [(f"field{number}", ("", b"x")) for number in range(MAX_OTHER_PARTS + 1)]
    assert MAX_OTHER_PARTS == 16
    with TestClient(make_app()) as client:
        assert client.post(ROUTE, files=[*form(("a.png", png)), *others[:-1]]).status_code == 200
        answer = client.post(ROUTE, files=[*form(("a.png", png)), *others])
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_form")


def test_a_body_gives_its_bytes_back_however_it_ends(make_app: MakeApp, running: Any, png: bytes) -> None:
    """Bodies that fail in any way leave the memory of the next ones alone."""

    async def broken() -> AsyncIterator[bytes]:
        yield png[:-1]
        await asyncio.sleep(30)

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield png

    async def ask() -> list[int]:
        app = make_app(queue_bytes=len(png) + 300, body_bytes=len(png) + 300, body_seconds=0.2, images=1)
        async with running(app) as client:
            kind = {"Content-Type": "image/png"}
            two = form(("a", b"x"), ("b", b"x"))
            asked = (
                {"content": broken(), "headers": kind},
                {"content": endless(), "headers": kind},
                {"files": two},
                {"content": b"x" * len(png), "headers": {"Content-Type": "multipart/form-data; boundary=a"}},
                {"content": b"x" * len(png), "headers": kind},
                {"content": png, "headers": kind},
                {"content": png, "headers": kind},
            )
            statuses = [(await client.post(ROUTE, **one)).status_code for one in asked]
            assert app.api.state.service._bytes.held == 0
            return statuses

    assert asyncio.run(ask()) == [408, 413, 413, 400, 422, 200, 200]


def test_too_many_pictures_are_refused(make_app: MakeApp, png: bytes) -> None:
    """One picture more than the limit is 413."""
    with TestClient(make_app(images=2)) as client:
        assert client.post(ROUTE, files=form(*[("a.png", png)] * 2)).status_code == 200
        answer = client.post(ROUTE, files=form(*[("a.png", png)] * 3))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_many_pictures")


def test_a_large_body_is_refused_announced_or_not(make_app: MakeApp, running: Any) -> None:
    """The limit holds by Content-Length, before a byte is read, and while a body of unknown length comes."""
    n_sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal n_sent
        while n_sent < 100_000_000:
            n_sent += 1000
            yield b"x" * 1000

    async def ask() -> list[int]:
        async with running(make_app(body_bytes=10_000)) as client:
            kind = {"Content-Type": "image/png"}
            announced = await client.post(ROUTE, content=b"x" * 10_001, headers=kind)
            streamed = await client.post(ROUTE, content=endless(), headers=kind)
            return [announced.status_code, streamed.status_code]

    assert asyncio.run(ask()) == [413, 413]
    assert n_sent < 50_000


def test_a_slow_body_is_refused(make_app: MakeApp, running: Any) -> None:
    """A body that does not come in time is 408, and its place in the queue is free again."""

    async def slow() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(30)
        yield b"x"

    async def ask() -> list[int]:
        async with running(make_app(body_seconds=0.05, queue=1)) as client:
            kind = {"Content-Type": "image/png"}
            return [(await client.post(ROUTE, content=slow(), headers=kind)).status_code for _ in range(2)]

    assert asyncio.run(ask()) == [408, 408]


def test_uploads_reach_no_disk_and_no_log(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture, bundle: Bundle
) -> None:
    """Megabytes of pictures are read without a file being opened for writing, and no name of theirs is logged."""
    large = encoded(np.random.default_rng(0).integers(0, 255, (900, 900, 3), dtype=np.uint8))
    assert len(large) > 2_000_000
    sys.addaudithook(note_opening)
    caplog.set_level(logging.DEBUG)
    with TestClient(make_app()) as client:
        IS_WATCHING[0] = True
        try:
            answer = client.post(ROUTE, files=form(("secret-one.png", large), ("secret-two.png", large)))
            wrong = client.post(ROUTE, files=form(("secret-three.png", b"secret-four")))
        finally:
            IS_WATCHING[0] = False
    assert (answer.status_code, wrong.status_code) == (200, 422)
    written = [name for name, flags in OPENED if flags & 3]
    assert written == []
    server_lines = [record.getMessage() for record in caplog.records if not record.name.startswith("httpx")]
    assert "secret" not in " ".join(server_lines)


def test_the_watch_for_written_files_sees_one(tmp_path: Path) -> None:
    """The test above would see a file that is written."""
    sys.addaudithook(note_opening)
    IS_WATCHING[0] = True
    try:
        (tmp_path / "written").write_text("x")
    finally:
        IS_WATCHING[0] = False
    assert any(name.endswith("written") and flags & 3 for name, flags in OPENED)
    OPENED.clear()


def test_a_name_in_another_encoding_is_kept_readable(make_app: MakeApp, png: bytes) -> None:
    """A file's name that is no UTF-8 has marks in it; one that is comes back as it was."""
    head = b'--b\r\nContent-Disposition: form-data; name="images"; filename="%s"\r\n\r\n'
    body = (
        b"".join(head % name + png + b"\r\n" for name in (b"\xff\xfe.png", "微笑.png".encode()))
        + b"--b--\r\n"
    )
    with TestClient(make_app()) as client:
        kind = {"Content-Type": "multipart/form-data; boundary=b"}
        answer = client.post(ROUTE, content=body, headers=kind)
    assert [one["source"] for one in json.loads(answer.content)["results"]] == ["��.png", "微笑.png"]
