"""URLs: what is shown of them, and photographs at them."""

import base64
import contextlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

import mien
from mien.faces.detector import Detector
from mien.faces.images import UnreadableImage, encode_jpeg
from mien.inference import urls
from mien.inference.model import Model
from mien.inference.urls import download_image, is_image_url, is_url, redact_url

PHOTO = encode_jpeg(np.full((90, 120, 3), 120, np.uint8))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://a:b@host:554/x?y=@", "rtsp://host:554/x?y=***"),
        ("rtsp://a:p/w@host/x", "rtsp://host/x"),
        ("HTTP://host/x", "HTTP://host/x"),
        ("http://host", "http://host"),
        ("https://token@host/a.jpg?token=f00&id=7#f00", "https://host/a.jpg?token=***&id=***"),
        ("https://host/a.jpg?f00", "https://host/a.jpg?***"),
        ("rtsp://host/user=me_password=f00_channel=1.sdp", "rtsp://host/user=***_password=***_channel=1.sdp"),
    ],
)
def test_secrets_are_not_shown(url: str, shown: str) -> None:
    assert is_url(url)
    assert redact_url(url) == shown


Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], str]]:
    """Return a function that serves an answer to every request, and returns the server's host and port."""
    servers = []

    def start(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with contextlib.suppress(ConnectionError):
                    answer(self)

            def log_message(self, *_args: Any) -> None:
                """Log nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def send(handler: BaseHTTPRequestHandler, data: bytes = PHOTO, *, n_bytes: int | None = None) -> None:
    """Send data, with this length or its own."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(data) if n_bytes is None else n_bytes))
    handler.end_headers()
    handler.wfile.write(data)


def test_a_photo_is_recognized_by_its_content(serve: Callable[[Answer], str]) -> None:
    """Whatever its name."""
    assert is_image_url(f"http://{serve(send)}/clip.mp4?id=1")
    assert not is_image_url(f"http://{serve(lambda handler: send(handler, b'<html>'))}/photo.jpg")
    assert not is_image_url("http://127.0.0.1:9/photo.jpg")


def test_a_photo_at_a_url_is_predicted(
    serve: Callable[[Answer], str], model_path: Any, detector: Detector
) -> None:
    """Like its bytes, under a name without secrets."""
    model = Model(mien.load(model_path).onnx_model, detector=detector)
    prediction = model.predict(f"http://me:pw@{serve(send)}/a?token=f00", cropped=True)
    assert prediction.rows[0].probabilities == model.predict(PHOTO, cropped=True).rows[0].probabilities
    assert prediction.source.startswith("http://127.0.0.1:")
    assert not any(secret in str(prediction.to_dict()) for secret in ("pw@", "f00"))


def test_user_and_password_are_sent(serve: Callable[[Answer], str]) -> None:
    """As HTTP basic authentication (RFC 7617), and not to another server that a redirect names."""
    received: list[str | None] = []

    def remember(handler: BaseHTTPRequestHandler) -> None:
        received.append(handler.headers["Authorization"])
        send(handler)

    other = serve(remember)

    def redirect(handler: BaseHTTPRequestHandler) -> None:
        received.append(handler.headers["Authorization"])
        handler.send_response(302)
        handler.send_header("Location", f"http://{other}/")
        handler.end_headers()

    assert download_image(f"http://me:p%40w@{serve(redirect)}/a b") == PHOTO
    assert received == ["Basic " + base64.b64encode(b"me:p@w").decode(), None]


def refuse(handler: BaseHTTPRequestHandler) -> None:
    """Answer that there is no such file."""
    handler.send_error(404, "Not Found")


@pytest.mark.parametrize(
    ("answer", "reason", "detail"),
    [
        pytest.param(refuse, "unreadable_url", "404 Not Found", id="missing"),
        pytest.param(
            lambda handler: send(handler, n_bytes=9999), "truncated_image", "bytes early", id="cut off"
        ),
        pytest.param(lambda handler: send(handler, bytes(5000)), "image_too_large", "more than", id="large"),
        pytest.param(lambda handler: threading.Event().wait(1.5), "unreadable_url", "no answer", id="silent"),
    ],
)
def test_why_there_is_no_photo(
    serve: Callable[[Answer], str],
    monkeypatch: pytest.MonkeyPatch,
    answer: Answer,
    reason: str,
    detail: str,
) -> None:
    monkeypatch.setattr(urls, "MAX_IMAGE_BYTES", 4000)
    monkeypatch.setattr(urls, "TIMEOUT_S", 0.5)
    with pytest.raises(UnreadableImage, match=detail) as error:
        download_image(f"http://{serve(answer)}/a?token=f00")
    assert error.value.reason == reason
    assert "f00" not in error.value.detail


def test_a_server_that_drips_is_left(serve: Callable[[Answer], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then never times out by itself."""
    monkeypatch.setattr(urls, "MAX_DOWNLOAD_S", 0.3)
    is_done = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not is_done.wait(0.05):
            handler.wfile.write(b"\xff")

    with pytest.raises(UnreadableImage, match=r"not received within 0\.3 s"):
        download_image(f"http://{serve(drip)}/a")
    is_done.set()


def test_nobody_listens() -> None:
    with pytest.raises(UnreadableImage, match="no connection: Connection refused"):
        download_image("http://127.0.0.1:9/a")
