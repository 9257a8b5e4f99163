"""A real server on loopback and raw sockets: no client can hold a connection forever, and health checks always work."""

import json
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from mien.serve.app import ServeApp
from mien.serve.connection_limits import ACCEPTED_PER_TURN, MAX_EXCESS_CONNECTIONS, ConnectionLimits
from mien.serve.connections import FREE_CHUNKS, MAX_HEAD_BYTES, MAX_HEADERS, MIN_CHUNK_BYTES
from mien.serve.server import Server, bind_socket
from mien.serve.settings import ServeSettings

MakeApp = Callable[..., ServeApp]
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
TIMEOUT = 15.0


class Running:
    """A server in a thread of this process."""

    def __init__(self, app: ServeApp, limits: ConnectionLimits, **settings: float) -> None:
        self.app, self.has_started = app, threading.Event()
        self._listener = bind_socket("127.0.0.1", 0)
        self.address = self._listener.getsockname()
        self.server = Server(app, ServeSettings(**settings), limits, on_start=self.has_started.set)
        self.thread = threading.Thread(target=self.server.run, args=([self._listener],))

    def connect(self, data: bytes = b"") -> socket.socket:
        """Return a connection that has sent some bytes."""
        connection = socket.create_connection(self.address, timeout=TIMEOUT)
        connection.sendall(data)
        return connection

    def send(self, data: bytes) -> bytes:
        """Send bytes and return the complete response."""
        with self.connect(data) as connection:
            return read_all(connection)

    def is_healthy(self) -> bool:
        """Return whether the health check succeeds."""
        return self.send(HEALTH + b"Connection: close\r\n\r\n").startswith(b"HTTP/1.1 200")

    def stop(self) -> None:
        """Send the stop signal, unless it is already stopping."""
        if self.server.should_exit or not self.thread.is_alive():
            return
        self.server.handle_exit(signal.SIGTERM, None)


def read_all(connection: socket.socket) -> bytes:
    """Return the bytes received until the server closes or resets the connection."""
    response = b""
    try:
        while part := connection.recv(65536):
            response += part
    except ConnectionError:
        pass
    return response


def error_of(response: bytes) -> dict[str, object]:
    head, _, body = response.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head.lower(), response
    error = json.loads(body)["error"]
    assert error["status"] == int(response[9:12])
    return dict(error)


@pytest.fixture
def serve(make_app: MakeApp) -> Iterator[Callable[..., Running]]:
    """Return a function that starts a server; settings are keyword arguments."""
    with ExitStack() as stack:

        def start(
            *, app_detector: object = None, detector_file: Path | None = None, **settings: float
        ) -> Running:
            limits = ConnectionLimits(
                int(settings.get("connections", 100)), int(settings.get("connections_per_client", 100))
            )
            app = make_app(app_detector=app_detector, detector_file=detector_file, **settings)
            running = Running(app, limits, **settings)
            running.thread.start()
            stack.callback(running.thread.join, TIMEOUT)
            stack.callback(running.stop)
            assert running.has_started.wait(TIMEOUT)
            return running

        yield start


SLOW = 0.3


@pytest.mark.parametrize(
    ("data", "is_answered"),
    [
        pytest.param(b"", False, id="nothing"),
        pytest.param(HEALTH, False, id="partial headers"),
        pytest.param(HEALTH + b"\r\n", True, id="idle"),
        pytest.param(HEALTH + b"\r\nGET /he", True, id="partial headers of a second request"),
        pytest.param(HEALTH + b"Content-Length: 1000\r\n\r\nx", True, id="unexpected body"),
        pytest.param(HEALTH + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx", True, id="unexpected chunk"),
        pytest.param(POST + b"Content-Length: 1000\r\n\r\nx", True, id="stalled body"),
        pytest.param(POST.replace(b"predict", b"x") + b"Content-Length: 9\r\n\r\nx", True, id="body for an unknown route"),
    ],
)  # fmt: skip
def test_every_phase_of_a_connection_times_out(
    data: bytes, is_answered: bool, serve: Callable[..., Running]
) -> None:
    """The server closes the connection, even if its client keeps sending single bytes."""
    running = serve(head_seconds=SLOW, body_seconds=SLOW, keep_alive_seconds=1)
    connection = running.connect(data)
    is_over = threading.Event()

    def drip() -> None:
        try:
            while data.endswith(b"x") and not is_over.wait(0.2):
                connection.sendall(b"x")
        except OSError:
            return

    dripping = threading.Thread(target=drip)
    with connection:
        dripping.start()
        response = read_all(connection)
        is_over.set()
        dripping.join()
    assert response.startswith(b"HTTP/1.1") == is_answered
    assert running.is_healthy()


@pytest.mark.parametrize("later", [b"x", b"xx"])
def test_bytes_after_the_response_do_not_disable_timeouts(
    later: bytes, serve: Callable[..., Running]
) -> None:
    """The body of a rejected request continues, or ends, after the response."""
    running = serve(keep_alive_seconds=1)
    head = POST.replace(b"predict", b"x") + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    with running.connect(head) as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 404")
        connection.sendall(later)
        read_all(connection)
    assert b'mien_connections_ended_total{reason="' in running.app.metrics.to_text()


def test_a_client_that_does_not_read_its_response_is_disconnected(
    serve: Callable[..., Running], tmp_path: Path
) -> None:
    """A stalled download is closed, a slow one is not."""
    file = tmp_path / "large.onnx"
    file.write_bytes(bytes(16_000_000))
    running = serve(detector_file=file, answer_seconds=1.0)
    request = b"GET /models/detector.onnx HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with closing(socket.socket()) as stalled, closing(socket.socket()) as slow:
        for connection in (stalled, slow):
            connection.settimeout(TIMEOUT)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            connection.connect(running.address)
            connection.sendall(request)
        n_bytes = 0
        for _ in range(6):
            time.sleep(0.4)
            n_bytes += len(slow.recv(500_000, socket.MSG_WAITALL))
        n_bytes += len(read_all(slow))
        assert n_bytes > 16_000_000
        assert b'reason="response"} 1.0' in running.app.metrics.to_text()
        assert len(read_all(stalled)) < 16_000_000


@pytest.mark.parametrize("limits", [{"connections": 5}, {"connections_per_client": 5}])
def test_health_checks_work_beyond_the_connection_limit(
    limits: dict[str, int], serve: Callable[..., Running], png: bytes
) -> None:
    """Connections beyond the limit get 503, except for one health check each."""
    running = serve(head_seconds=1000, **limits)
    with ExitStack() as stack:
        held = [stack.enter_context(running.connect(POST)) for _ in range(5)]
        assert running.is_healthy()
        assert running.send(HEALTH.replace(b"healthz", b"readyz") + b"\r\n").startswith(b"HTTP/1.1 200")
        rejected = error_of(running.send(POST + b"Content-Length: 1\r\n\r\nx"))
        assert (rejected["code"], rejected["status"]) == ("too_many_connections", 503)
        # An excess connection gets one response.
        response = running.send((HEALTH + b"\r\n") * 2)
        assert (response.count(b"HTTP/1.1"), response.count(b"connection: close")) == (1, 1)
        for path in (b"/healthz/v1/stream", b"/healthz?/v1/stream", b"/healthzx"):
            upgrade = (
                b"GET %b HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" % path
            )
            key = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            assert b" 101 " not in running.send(upgrade + key)
        assert b"too_many_connections" in running.send(POST + b"Content-Length: 1\r\n\r\nx")
        idle = stack.enter_context(running.connect())
        assert read_all(idle) == b""
        held[0].close()
        body = POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(png), png)
        wait_until(lambda: running.send(body).startswith(b"HTTP/1.1 200"))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_large_body_is_rejected_before_it_is_sent(serve: Callable[..., Running]) -> None:
    """A client that sends `Expect: 100-continue` gets 413 instead of 100."""
    response = serve().send(POST + b"Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n")
    assert error_of(response)["code"] == "body_too_large"


def test_the_oldest_excess_connection_is_closed(serve: Callable[..., Running]) -> None:
    """With too many excess connections, the oldest one is closed and the newest still gets its health check."""
    running = serve(connections=1)
    with ExitStack() as stack:
        stack.enter_context(running.connect(POST))
        excess = [stack.enter_context(running.connect()) for _ in range(MAX_EXCESS_CONNECTIONS + 1)]
        assert read_all(excess[0]) == b""
        assert running.is_healthy()


def test_the_size_limit_of_the_headers_is_exact(serve: Callable[..., Running]) -> None:
    """It does not depend on the pieces in which they arrive."""
    running = serve()
    for n_bytes, status in ((MAX_HEAD_BYTES, b"200"), (MAX_HEAD_BYTES + 1, b"431")):
        start = HEALTH + b"Connection: close\r\nA: "
        head = start + b"a" * (n_bytes - len(start) - 4) + b"\r\n\r\n"
        assert len(head) == n_bytes
        for n_first in (n_bytes, 9_000):
            with running.connect(head[:n_first]) as connection:
                time.sleep(0.02)
                connection.sendall(head[n_first:])
                assert read_all(connection).startswith(b"HTTP/1.1 " + status)


def test_tiny_chunks_are_rejected(serve: Callable[..., Running]) -> None:
    """A body of one-byte chunks is rejected early; large chunks and a few small ones are accepted."""
    running = serve()
    error = error_of(running.send(CHUNKED + b"1\r\nx\r\n" * 1_000))
    assert (error["code"], error["status"]) == ("chunks_too_small", 400)
    allowed = b"1\r\nx\r\n" * FREE_CHUNKS + b"%x\r\n%b\r\n" % (MIN_CHUNK_BYTES, bytes(MIN_CHUNK_BYTES)) * 100
    error = error_of(
        running.send(CHUNKED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + allowed + b"0\r\n\r\n")
    )
    assert error["code"] == "not_an_image"


def test_health_checks_work_during_floods_of_tiny_chunks(serve: Callable[..., Running]) -> None:
    """Eight clients that endlessly send one-byte chunks do not starve others."""
    running = serve()
    is_over = threading.Event()

    def flood() -> None:
        while not is_over.is_set():
            try:
                running.send(CHUNKED + b"1\r\nx\r\n" * 40_000)
            except OSError:
                continue

    floods = [threading.Thread(target=flood) for _ in range(8)]
    for thread in floods:
        thread.start()
    try:
        assert all(running.is_healthy() for _ in range(5))
    finally:
        is_over.set()
        for thread in floods:
            thread.join()
    metrics = running.app.metrics.to_text().decode()
    assert 'reason="bad_request"}' in metrics


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        pytest.param(b"\x16\x03\x01\x02\x00\r\n\r\n", 400, "bad_request", id="TLS"),
        pytest.param(POST + b"Content-Length: -1\r\n\r\n", 400, "bad_request", id="negative length"),
        pytest.param(CHUNKED + b"0\r\n" + b"A: a\r\n" * 8_000 + b"\r\n", 431, "headers_too_large", id="long trailers"),
        pytest.param(CHUNKED + b"zz\r\n", 400, "bad_request", id="invalid chunk"),
        pytest.param(POST + b"Transfer-Encoding: gzip\r\n\r\n", 501, "not_implemented", id="other encoding"),
        pytest.param(HEALTH + b"A: " + b"a" * 17_000, 431, "headers_too_large", id="long headers"),
        pytest.param(HEALTH + b"A: " + b"a" * 17_000 + b"\r\n\r\n", 431, "headers_too_large", id="long headers, complete"),
        pytest.param(HEALTH + b"Connection: keep-alive\r\n\r\n" + HEALTH + b"A: a\r\n" * 8_000 + b"\r\n", 431, "headers_too_large", id="long headers of a second request"),
        pytest.param(HEALTH + b"A: a\r\n" * MAX_HEADERS + b"\r\n", 431, "headers_too_large", id="many headers"),
        pytest.param(HEALTH + b"Connection: close\r\nContent-Length: 1\r\n\r\nx", 400, "unexpected_body", id="GET with a body"),
    ],
)  # fmt: skip
def test_invalid_http_has_the_error_format(
    request_bytes: bytes,
    status: int,
    code: str,
    serve: Callable[..., Running],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Parser errors look like the API's, have its security headers, and are not logged."""
    response = serve().send(request_bytes)
    error = error_of(response[response.rindex(b"HTTP/1.1 ") :])
    assert (error["status"], error["code"]) == (status, code)
    assert b"x-content-type-options: nosniff" in response
    assert not caplog.records


def test_shutdown_does_not_wait_for_idle_clients(serve: Callable[..., Running], tmp_path: Path) -> None:
    """Clients that send nothing or partial headers, or read no response, are disconnected long before the time is up."""
    file = tmp_path / "large.onnx"
    file.write_bytes(bytes(16_000_000))
    running = serve(detector_file=file, stop_seconds=1000, answer_seconds=1000, head_seconds=1000)
    download = b"GET /models/detector.onnx HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with (
        running.connect(),
        running.connect(HEALTH),
        running.connect(HEALTH + b"\r\n"),
        running.connect(download) as stalled,
    ):
        assert stalled.recv(10) == b"HTTP/1.1 2"
        running.stop()
        running.thread.join(TIMEOUT)
        assert not running.thread.is_alive()


def test_requests_that_miss_the_shutdown_deadline_get_503(serve: Callable[..., Running]) -> None:
    """A request whose body is incomplete when the time is up gets an error response, and the server exits."""
    running = serve(stop_seconds=0.3, body_seconds=1000)
    with running.connect(POST + b"Content-Length: 100\r\n\r\nx") as in_flight:
        wait_until(lambda: running.app.n_in_flight == 1)
        running.stop()
        assert error_of(read_all(in_flight))["code"] == "service_unavailable"
        running.thread.join(TIMEOUT)
        assert not running.thread.is_alive()


def test_a_second_signal_exits_immediately(
    serve: Callable[..., Running], caplog: pytest.LogCaptureFixture
) -> None:
    """Even with requests in flight, and without a traceback."""
    running = serve(stop_seconds=1000, body_seconds=1000)
    with running.connect(POST + b"Content-Length: 100\r\n\r\nx"):
        wait_until(lambda: running.app.n_in_flight == 1)
        running.stop()
        running.server.handle_exit(signal.SIGTERM, None)
        running.thread.join(TIMEOUT)
        assert not running.thread.is_alive()
    assert not caplog.records


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reports the backlog")
def test_the_backlog_is_larger_than_the_accept_batch(serve: Callable[..., Running]) -> None:
    """Otherwise clients beyond it would get no response and retry a second later."""
    running = serve()
    # `tcpi_sacked` of a listening socket is its backlog.
    info = running._listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)
    assert struct.unpack_from("I", info, 28)[0] > 4 * ACCEPTED_PER_TURN


@pytest.mark.parametrize("threads", [1, 2])
def test_health_checks_report_stuck_work(
    threads: int, serve: Callable[..., Running], blocking_detector: object, png: bytes
) -> None:
    """Not ready while an image takes too long, not alive when no thread is left, and both again once it is done."""
    running = serve(app_detector=blocking_detector, stall_seconds=0.2, request_seconds=0.1, threads=threads)
    ready = HEALTH.replace(b"healthz", b"readyz") + b"Connection: close\r\n\r\n"
    alive = HEALTH + b"Connection: close\r\n\r\n"
    response = running.send(POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(png), png))
    assert error_of(response)["code"] == "processing_timeout"
    wait_until(lambda: running.send(ready).startswith(b"HTTP/1.1 503"))
    assert error_of(running.send(ready))["code"] == "stalled"
    assert running.is_healthy() == (threads == 2)
    assert running.app.is_busy
    assert b"mien_oldest_work_seconds 0.0" not in running.app.metrics.to_text()
    blocking_detector.release.set()
    wait_until(lambda: running.send(ready).startswith(b"HTTP/1.1 200"))
    assert running.send(alive).startswith(b"HTTP/1.1 200")
