"""The stream over a real server on loopback: the newest frame wins, and no client holds up another or fills the memory."""

import io
import json
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import numpy as np
import pytest
from PIL import Image
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)

from mien.faces.detector import CascadeDetector
from mien.inference.label_sets import LabelSets
from mien.serve.app import ServeApp
from mien.serve.connection_limits import ConnectionLimits
from mien.serve.server import Server, bind_socket
from mien.serve.settings import ServeSettings
from mien.serve.stream_connection import FREE_PIECES

MakeApp = Callable[..., ServeApp]
TIMEOUT = 15.0


class Client:
    """A WebSocket client on a blocking socket."""

    def __init__(self, port: int, target: str = "/v1/stream", *, window: int = 0, **headers: str) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(TIMEOUT)
        if window:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self.socket.connect(("127.0.0.1", port))
        self.protocol = WSConnection(ConnectionType.CLIENT)
        named = [
            (name.replace("_", "-").encode(), value.encode())
            for name, value in headers.items()
            if name != "host"
        ]
        host = headers.get("host", f"127.0.0.1:{port}")
        self.socket.sendall(self.protocol.send(Request(host=host, target=target, extra_headers=named)))
        self.events: list[Event] = []
        self.status = 101
        self.body = b""
        first = self.next()
        if isinstance(first, RejectConnection):
            self.status = first.status_code
            while isinstance(part := self.next(), RejectData):
                self.body += part.data
                if part.body_finished:
                    break
        else:
            assert isinstance(first, AcceptConnection), first
            self.extensions = first.extensions

    @property
    def error(self) -> dict[str, Any]:
        """The error of a rejected connection."""
        return dict(json.loads(self.body)["error"])

    def next(self) -> Event:
        """Return the next event."""
        while not self.events:
            data = self.socket.recv(65536)
            self.protocol.receive_data(data or None)
            self.events += self.protocol.events()
        return self.events.pop(0)

    def send(self, data: bytes | str) -> None:
        """Send a message."""
        event = TextMessage(data=data) if isinstance(data, str) else BytesMessage(data=data)
        self.socket.sendall(self.protocol.send(event))

    def answer(self) -> dict[str, Any]:
        """Return the next answer."""
        text = ""
        while True:
            event = self.next()
            assert isinstance(event, TextMessage), event
            text += event.data
            if event.message_finished:
                return dict(json.loads(text))

    def closing(self) -> tuple[int, str]:
        """Return why the server closes the stream, leaving out its answers."""
        while not isinstance(event := self.next(), CloseConnection):
            pass
        return event.code, event.reason or ""


class Running:
    """A server in a thread of this process, and its clients."""

    def __init__(self, app: ServeApp, stack: ExitStack, **settings: float) -> None:
        self.app, has_started = app, threading.Event()
        listener = bind_socket("127.0.0.1", 0)
        self.port = listener.getsockname()[1]
        limits = ConnectionLimits(total=20, per_client=20)
        self.server = Server(app, ServeSettings(**settings), limits, on_start=has_started.set)
        self.thread = threading.Thread(target=self.server.run, args=([listener],))
        self.thread.start()
        self._stack = stack
        assert has_started.wait(TIMEOUT)

    def connect(self, target: str = "/v1/stream", *, window: int = 0, **headers: str) -> Client:
        """Return a client."""
        client = Client(self.port, target, window=window, **headers)
        self._stack.callback(client.socket.close)
        return client

    def get(self, path: str) -> bytes:
        """Return the response to a plain request."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT) as connection:
            connection.sendall(
                f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
            )
            response = b""
            while part := connection.recv(65536):
                response += part
        return response

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds."""
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            assert time.monotonic() < deadline, "it never happened"
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop the server."""
        if self.thread.is_alive():
            self.server.handle_exit(signal.SIGTERM, None)
            self.thread.join(TIMEOUT)


@pytest.fixture
def serve(make_app: MakeApp) -> Iterator[Callable[..., Running]]:
    """Return a function that starts a server."""
    with ExitStack() as stack:

        def start(app: ServeApp | None = None, **settings: float) -> Running:
            settings = {"stop_seconds": 1, **settings}
            running = Running(app or make_app(**settings), stack, **settings)
            stack.callback(running.stop)
            return running

        yield start


def test_frames_in_rows_out(serve: Callable[..., Running], png: bytes) -> None:
    client = serve().connect("/v1/stream?top=1")
    for number in range(3):
        client.send(png)
        answer = client.answer()
        assert (answer["frame"], answer["skipped"]) == (number, 0)
        (row,) = answer["rows"]
        assert (row["expression"], row["frame"], row["face"], row["track"]) == ("Happy", number, 0, 0)
        assert list(row["probabilities"]) == ["Happy"]
        assert row["seconds"] == pytest.approx(answer["seconds"], abs=0.01)
    client.socket.sendall(client.protocol.send(Ping(b"x")))
    assert isinstance(client.next(), Pong)
    client.socket.sendall(client.protocol.send(CloseConnection(code=1000)))
    assert client.closing()[0] == 1000


def test_frames_have_no_sets_of_classes(
    serve: Callable[..., Running], make_app: MakeApp, label_sets: LabelSets, png: bytes
) -> None:
    """They repeat each other, so that a set would promise nothing."""
    client = serve(make_app(label_sets=label_sets)).connect()
    client.send(png)
    (row,) = client.answer()["rows"]
    assert (row["expression"], row["label_set"]) == ("Happy", None)


def test_a_face_keeps_its_track_while_another_comes(serve: Callable[..., Running], png: bytes) -> None:
    client = serve().connect()
    pixels = np.asarray(Image.open(io.BytesIO(png))).copy()
    pixels[30:100, 120:190] = (0, 0, 255)
    two = io.BytesIO()
    Image.fromarray(pixels).save(two, "PNG")
    client.send(png)
    client.answer()
    client.send(two.getvalue())
    tracks = {row["expression"]: row["track"] for row in client.answer()["rows"]}
    assert tracks == {"Happy": 0, "Sad": 1}


def test_small_faces_are_left_out_of_a_stream(
    serve: Callable[..., Running], make_app: MakeApp, two_faces: bytes
) -> None:
    running = serve(make_app(app_detector=CascadeDetector()))
    n_faces = {}
    for query in ("", "?min_face_px=100"):
        client = running.connect(f"/v1/stream{query}")
        client.send(two_faces)
        n_faces[query] = len(client.answer()["rows"])
    assert n_faces == {"": 2, "?min_face_px=100": 1}
    refused = running.connect("/v1/stream?min_face_px=100&crop=whole")
    assert (refused.status, refused.error["code"]) == (422, "invalid_parameter")
    assert "is for faces that are detected" in refused.error["message"]


def test_what_is_no_image_fails_its_frame_alone(serve: Callable[..., Running], png: bytes) -> None:
    client = serve().connect()
    client.send(b"no image")
    answer = client.answer()
    assert (answer["error"]["code"], answer["error"]["status"]) == ("not_an_image", 422)
    assert "rows" not in answer
    client.send(png[: len(png) // 2])
    assert client.answer()["rows"][0]["status"] == "truncated_image"
    client.send(png)
    assert client.answer()["rows"][0]["status"] == "ok"


def test_the_newest_frame_wins(
    serve: Callable[..., Running], make_app: MakeApp, png: bytes, blocking_detector: Any
) -> None:
    app = make_app(app_detector=blocking_detector)
    running = serve(app)
    client = running.connect()
    client.send(png)
    assert blocking_detector.is_running.wait(TIMEOUT)
    for _ in range(40):
        client.send(png)
    running.wait_for(lambda: b'mien_stream_frames_total{outcome="skipped"} 39' in app.metrics.to_text())
    assert app.service is not None
    # The one that is predicted and the one that waits.
    assert app.service.budget.used == 2 * len(png)
    blocking_detector.release.set()
    assert client.answer()["frame"] == 0
    last = client.answer()
    assert (last["frame"], last["skipped"]) == (40, 39)
    running.wait_for(lambda: app.service.budget.used == 0)


def test_a_client_that_reads_nothing_holds_up_nobody(
    serve: Callable[..., Running], make_app: MakeApp
) -> None:
    """Its answers stay in one buffer, its frames in one place, and after `answer_seconds` it is cut off."""
    app = make_app(answer_seconds=1.0)
    running = serve(app, answer_seconds=1.0)
    slow = running.connect(window=4096)
    three = np.full((120, 200, 3), 100, np.uint8)
    for index, color in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255)]):
        three[20:80, 5 + 65 * index : 65 + 65 * index] = color
    data = io.BytesIO()
    Image.fromarray(three).save(data, "PNG")
    frame, quick = data.getvalue(), running.connect()
    is_cut_off = threading.Event()

    def flood() -> None:
        with suppress(OSError):
            while True:
                slow.send(frame)
                time.sleep(0.002)
        is_cut_off.set()

    flooding = threading.Thread(target=flood)
    flooding.start()
    delays = []
    deadline = time.monotonic() + TIMEOUT
    while not is_cut_off.is_set() and time.monotonic() < deadline:
        start = time.monotonic()
        quick.send(frame)
        assert quick.answer()["rows"][0]["status"] == "ok"
        delays.append(time.monotonic() - start)
        assert app.service is not None
        assert app.service.budget.used <= 4 * len(frame)
        assert all(
            one.transport.get_write_buffer_size() < 256 * 1024 for one in running.server._connections()
        )
    flooding.join(TIMEOUT)
    assert is_cut_off.is_set()
    assert len(delays) > 3
    assert b'mien_connections_ended_total{reason="response"} 1' in app.metrics.to_text()
    running.wait_for(lambda: b"mien_streams_open 1" in app.metrics.to_text())


def test_a_stream_without_frames_is_closed(serve: Callable[..., Running]) -> None:
    running = serve(stream_seconds=0.3)
    assert running.connect().closing() == (1000, "No frame for 0.3 seconds")
    # Bytes of a frame that never ends are no frame.
    client = running.connect()
    client.socket.sendall(client.protocol.send(BytesMessage(data=b"x" * 1000, message_finished=False)))
    assert client.closing()[1] == "No frame for 0.3 seconds"


def test_text_ends_the_stream(serve: Callable[..., Running]) -> None:
    client = serve().connect()
    client.send("hello")
    code, reason = client.closing()
    assert code == 1003
    assert reason.startswith("Send each frame as one binary message")


def test_a_frame_that_is_too_large_ends_the_stream(serve: Callable[..., Running]) -> None:
    client = serve(stream_bytes=1000).connect()
    client.send(b"x" * 1001)
    assert client.closing()[0] == 1009


@pytest.mark.parametrize("kind", ["pieces", "pings"])
def test_tiny_pieces_are_cut_off(serve: Callable[..., Running], kind: str) -> None:
    running = serve()
    client = running.connect()
    # A continuation of one byte, or an empty ping, with a mask of zeros.
    one = b"\x00\x81\0\0\0\0x" if kind == "pieces" else b"\x89\x80\0\0\0\0"
    begin = b"\x02\x81\0\0\0\0x" if kind == "pieces" else b""
    with suppress(OSError):
        client.socket.sendall(begin + one * 100 * FREE_PIECES)
    with suppress(ConnectionError):
        while client.socket.recv(65536):
            pass
    assert b'mien_connections_ended_total{reason="bad_request"} 1' in running.app.metrics.to_text()


def test_compression_is_not_negotiated(serve: Callable[..., Running]) -> None:
    client = serve().connect(sec_websocket_extensions="permessage-deflate")
    assert client.extensions == []


def test_streams_are_limited(serve: Callable[..., Running], png: bytes) -> None:
    running = serve(streams=1)
    first = running.connect()
    second = running.connect()
    assert (second.status, second.error["code"]) == (429, "too_many_streams")
    first.socket.close()
    running.wait_for(lambda: b"mien_streams_open 0" in running.app.metrics.to_text())
    third = running.connect()
    third.send(png)
    assert third.answer()["rows"]


def test_streams_count_as_connections(serve: Callable[..., Running], png: bytes) -> None:
    """A connection that becomes a stream keeps its place, and gives it back when it ends."""
    running = serve(streams=100)
    clients = [running.connect() for _ in range(20)]
    assert b"too_many_connections" in running.get("/v1/model")
    for client in clients:
        client.socket.close()
    running.wait_for(lambda: b"mien_streams_open 0" in running.app.metrics.to_text())
    running.wait_for(lambda: running.get("/v1/model").startswith(b"HTTP/1.1 200"))


def test_the_token_is_needed(serve: Callable[..., Running], make_app: MakeApp) -> None:
    running = serve(make_app(token="secret"))  # noqa: S106 - of this test only
    assert (running.connect().status, running.connect().error["code"]) == (401, "unauthorized")
    assert running.connect(authorization="Bearer secret").status == 101


def test_pages_of_other_sites_are_refused(serve: Callable[..., Running], make_app: MakeApp) -> None:
    running = serve(make_app(allow_origins=("https://friend.example",), allowed_hosts=()))
    evil = running.connect(origin="https://evil.example")
    assert (evil.status, evil.error["code"]) == (400, "origin_not_allowed")
    assert running.connect(origin="null").status == 400
    for origin in ("https://friend.example", f"http://127.0.0.1:{running.port}"):
        assert running.connect(origin=origin).status == 101
    rebound = running.connect(host="evil.example", origin="http://evil.example")
    assert (rebound.status, rebound.error["code"]) == (421, "host_not_allowed")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("top=0", "top"),
        ("tpo=1", "tpo"),
        ("prior=equal", "prior"),
        ("classes=11", "11 classes"),
        ("prior=half", "does not record"),
        ("top=1&top=2", "more than once: `top`"),
    ],
)
def test_invalid_parameters_are_refused(serve: Callable[..., Running], query: str, message: str) -> None:
    client = serve().connect(f"/v1/stream?{query}")
    assert (client.status, client.error["code"]) == (422, "invalid_parameter")
    assert message in client.error["message"]


def test_elsewhere_nothing_is_upgraded(serve: Callable[..., Running]) -> None:
    running = serve()
    response = running.get("/v1/stream")
    assert response.startswith(b"HTTP/1.1 426")
    assert b"upgrade_required" in response
    with socket.create_connection(("127.0.0.1", running.port), timeout=TIMEOUT) as connection:
        key = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        connection.sendall(f"GET /v1/model HTTP/1.1\r\nHost: localhost\r\n{key}\r\n".encode())
        assert connection.recv(1024).startswith(b"HTTP/1.1 200")


def test_a_stop_ends_streams(serve: Callable[..., Running], png: bytes) -> None:
    running = serve()
    idle, busy = running.connect(), running.connect()
    busy.send(png)
    busy.answer()
    start = time.monotonic()
    running.stop()
    assert not running.thread.is_alive()
    assert time.monotonic() - start < 8
    assert {idle.closing()[0], busy.closing()[0]} == {1012}


def test_a_reset_in_the_middle_of_a_frame_leaves_nothing(
    serve: Callable[..., Running], make_app: MakeApp, png: bytes, blocking_detector: Any
) -> None:
    app = make_app(app_detector=blocking_detector)
    running = serve(app)
    client = running.connect()
    client.send(png)
    assert blocking_detector.is_running.wait(TIMEOUT)
    client.send(png)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.close()
    running.wait_for(lambda: b"mien_streams_open 0" in app.metrics.to_text())
    blocking_detector.release.set()
    assert app.service is not None
    assert (app.service.budget.used, app.service.n_in_flight) == (0, 0)
