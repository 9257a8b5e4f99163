"""A real server on loopback and raw sockets: whatever clients do or leave undone has an end, and health is answered."""

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
from mien.serve.command import Server, _listen
from mien.serve.connections import FREE_CHUNKS, MAX_HEAD_BYTES, MAX_HEADERS, MIN_CHUNK_BYTES
from mien.serve.crowd import ACCEPTED_AT_ONCE, MAX_GUESTS, CrowdLimits
from mien.serve.settings import ServeSettings

MakeApp = Callable[..., ServeApp]
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
PATIENCE = 15.0


class Running:
    """A server in a thread of this process."""

    def __init__(self, app: ServeApp, limits: CrowdLimits, **settings: float) -> None:
        self.app, self.has_begun = app, threading.Event()
        self._listener = _listen("127.0.0.1", 0)
        self.address = self._listener.getsockname()
        self.server = Server(app, ServeSettings(**settings), limits, on_start=self.has_begun.set)
        self.thread = threading.Thread(target=self.server.run, args=([self._listener],))

    def connect(self, data: bytes = b"") -> socket.socket:
        """Return a connection that has sent so much."""
        connection = socket.create_connection(self.address, timeout=PATIENCE)
        connection.sendall(data)
        return connection

    def ask(self, data: bytes) -> bytes:
        """Return all that comes back."""
        with self.connect(data) as connection:
            return rest_of(connection)

    def is_well(self) -> bool:
        """Whether the server says so."""
        return self.ask(HEALTH + b"Connection: close\r\n\r\n").startswith(b"HTTP/1.1 200")

    def stop(self) -> None:
        """Begin to stop, if it has not."""
        if self.server.should_exit or not self.thread.is_alive():
            return
        self.server.handle_exit(signal.SIGTERM, None)


def rest_of(connection: socket.socket) -> bytes:
    """Return what comes until the server closes; a connection that is reset is closed."""
    answer = b""
    try:
        while part := connection.recv(65536):
            answer += part
    except ConnectionError:
        pass
    return answer


def error_of(answer: bytes) -> dict[str, object]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head.lower(), answer
    error = json.loads(body)["error"]
    assert error["status"] == int(answer[9:12])
    return dict(error)


@pytest.fixture
def serve(make_app: MakeApp) -> Iterator[Callable[..., Running]]:
    """Return a function that starts a server; limits are settings by name."""
    with ExitStack() as stack:

        def start(*, finder: object = None, detector_file: Path | None = None, **settings: float) -> Running:
            limits = CrowdLimits(
                int(settings.get("connections", 100)), int(settings.get("connections_per_client", 100))
            )
            app = make_app(finder=finder, detector_file=detector_file, **settings)
            running = Running(app, limits, **settings)
            running.thread.start()
            stack.callback(running.thread.join, PATIENCE)
            stack.callback(running.stop)
            assert running.has_begun.wait(PATIENCE)
            return running

        yield start


SLOW = 0.3


@pytest.mark.parametrize(
    ("data", "is_answered"),
    [
        pytest.param(b"", False, id="nothing"),
        pytest.param(HEALTH, False, id="half a head"),
        pytest.param(HEALTH + b"\r\n", True, id="idle"),
        pytest.param(HEALTH + b"\r\nGET /he", True, id="half of a second head"),
        pytest.param(HEALTH + b"Content-Length: 1000\r\n\r\nx", True, id="a body that is not due"),
        pytest.param(HEALTH + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx", True, id="a chunk that is not due"),
        pytest.param(POST + b"Content-Length: 1000\r\n\r\nx", True, id="a body that stops"),
        pytest.param(POST.replace(b"predict", b"x") + b"Content-Length: 9\r\n\r\nx", True, id="a body for no route"),
    ],
)  # fmt: skip
def test_what_is_left_undone_has_an_end(
    data: bytes, is_answered: bool, serve: Callable[..., Running]
) -> None:
    """Each connection is closed by the server, although its client stays and goes on a byte at a time."""
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
        answer = rest_of(connection)
        is_over.set()
        dripping.join()
    assert answer.startswith(b"HTTP/1.1") == is_answered
    assert running.is_well()


@pytest.mark.parametrize("later", [b"x", b"xx"])
def test_a_byte_after_the_answer_disarms_nothing(later: bytes, serve: Callable[..., Running]) -> None:
    """A body of a refused request that goes on, or comes to its end, after the answer."""
    running = serve(keep_alive_seconds=1)
    head = POST.replace(b"predict", b"x") + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    with running.connect(head) as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 404")
        connection.sendall(later)
        rest_of(connection)
    assert b'mien_connections_ended_total{reason="' in running.app.counters.to_text()


def test_a_client_that_takes_no_answer_is_left(serve: Callable[..., Running], tmp_path: Path) -> None:
    """A download that stands still is ended, and one that goes on is not."""
    file = tmp_path / "large.onnx"
    file.write_bytes(bytes(16_000_000))
    running = serve(detector_file=file, answer_seconds=1.0)
    request = b"GET /models/detector.onnx HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with closing(socket.socket()) as stands, closing(socket.socket()) as goes_on:
        for connection in (stands, goes_on):
            connection.settimeout(PATIENCE)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            connection.connect(running.address)
            connection.sendall(request)
        n_bytes = 0
        for _ in range(6):
            time.sleep(0.4)
            n_bytes += len(goes_on.recv(500_000, socket.MSG_WAITALL))
        n_bytes += len(rest_of(goes_on))
        assert n_bytes > 16_000_000
        assert b'reason="answer"} 1.0' in running.app.counters.to_text()
        assert len(rest_of(stands)) < 16_000_000


@pytest.mark.parametrize("limits", [{"connections": 5}, {"connections_per_client": 5}])
def test_health_is_told_beyond_the_limit(
    limits: dict[str, int], serve: Callable[..., Running], png: bytes
) -> None:
    """Of many connections that stay, so many may ask; the rest are told why not, and health is told to all."""
    running = serve(head_seconds=1000, **limits)
    with ExitStack() as stack:
        held = [stack.enter_context(running.connect(POST)) for _ in range(5)]
        assert running.is_well()
        assert running.ask(HEALTH.replace(b"healthz", b"readyz") + b"\r\n").startswith(b"HTTP/1.1 200")
        refused = error_of(running.ask(POST + b"Content-Length: 1\r\n\r\nx"))
        assert (refused["code"], refused["status"]) == ("too_many_connections", 503)
        # A guest is told once.
        told = running.ask((HEALTH + b"\r\n") * 2)
        assert (told.count(b"HTTP/1.1"), told.count(b"connection: close")) == (1, 1)
        stays = stack.enter_context(running.connect())
        assert rest_of(stays) == b""
        held[0].close()
        body = POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(png), png)
        until(lambda: running.ask(body).startswith(b"HTTP/1.1 200"))


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_large_body_is_refused_before_it_is_sent(serve: Callable[..., Running]) -> None:
    """Who asks first is not told to go on."""
    answer = serve().ask(POST + b"Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n")
    assert error_of(answer)["code"] == "body_too_large"


def test_guests_displace_each_other(serve: Callable[..., Running]) -> None:
    """More connections beyond the limit than are kept: the oldest goes, and the newest is heard."""
    running = serve(connections=1)
    with ExitStack() as stack:
        stack.enter_context(running.connect(POST))
        guests = [stack.enter_context(running.connect()) for _ in range(MAX_GUESTS + 1)]
        assert rest_of(guests[0]) == b""
        assert running.is_well()


def test_a_head_may_be_as_large_as_is_said(serve: Callable[..., Running]) -> None:
    """Its limit does not depend on the pieces in which it comes."""
    running = serve()
    for n_bytes, status in ((MAX_HEAD_BYTES, b"200"), (MAX_HEAD_BYTES + 1, b"431")):
        start = HEALTH + b"Connection: close\r\nA: "
        head = start + b"a" * (n_bytes - len(start) - 4) + b"\r\n\r\n"
        assert len(head) == n_bytes
        for n_first in (n_bytes, 9_000):
            with running.connect(head[:n_first]) as connection:
                time.sleep(0.02)
                connection.sendall(head[n_first:])
                assert rest_of(connection).startswith(b"HTTP/1.1 " + status)


def test_tiny_chunks_are_refused(serve: Callable[..., Running]) -> None:
    """A body of one-byte chunks costs a bounded time; one of fair chunks, and a few small ones, is read."""
    running = serve()
    error = error_of(running.ask(CHUNKED + b"1\r\nx\r\n" * 1_000))
    assert (error["code"], error["status"]) == ("chunks_too_small", 400)
    fair = b"1\r\nx\r\n" * FREE_CHUNKS + b"%x\r\n%b\r\n" % (MIN_CHUNK_BYTES, bytes(MIN_CHUNK_BYTES)) * 100
    error = error_of(
        running.ask(CHUNKED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + fair + b"0\r\n\r\n")
    )
    assert error["code"] == "not_an_image"


def test_health_is_told_among_clients_of_tiny_chunks(serve: Callable[..., Running]) -> None:
    """Eight clients that send nothing but one-byte chunks, without end, starve nobody."""
    running = serve()
    is_over = threading.Event()

    def flood() -> None:
        while not is_over.is_set():
            try:
                running.ask(CHUNKED + b"1\r\nx\r\n" * 40_000)
            except OSError:
                continue

    floods = [threading.Thread(target=flood) for _ in range(8)]
    for thread in floods:
        thread.start()
    try:
        assert all(running.is_well() for _ in range(5))
    finally:
        is_over.set()
        for thread in floods:
            thread.join()
    figures = running.app.counters.to_text().decode()
    assert 'reason="bad_request"}' in figures


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        pytest.param(b"\x16\x03\x01\x02\x00\r\n\r\n", 400, "bad_request", id="TLS"),
        pytest.param(POST + b"Content-Length: -1\r\n\r\n", 400, "bad_request", id="negative length"),
        pytest.param(CHUNKED + b"0\r\n" + b"A: a\r\n" * 8_000 + b"\r\n", 431, "head_too_large", id="long trailers"),
        pytest.param(CHUNKED + b"zz\r\n", 400, "bad_request", id="no chunk"),
        pytest.param(POST + b"Transfer-Encoding: gzip\r\n\r\n", 501, "not_implemented", id="another encoding"),
        pytest.param(HEALTH + b"A: " + b"a" * 17_000, 431, "head_too_large", id="long head"),
        pytest.param(HEALTH + b"A: " + b"a" * 17_000 + b"\r\n\r\n", 431, "head_too_large", id="long head, whole"),
        pytest.param(HEALTH + b"Connection: keep-alive\r\n\r\n" + HEALTH + b"A: a\r\n" * 8_000 + b"\r\n", 431, "head_too_large", id="long second head"),
        pytest.param(HEALTH + b"A: a\r\n" * MAX_HEADERS + b"\r\n", 431, "head_too_large", id="many headers"),
        pytest.param(HEALTH + b"Connection: close\r\nContent-Length: 1\r\n\r\nx", 400, "unexpected_body", id="body of a GET"),
    ],
)  # fmt: skip
def test_what_is_no_http_has_the_one_shape(
    request_bytes: bytes,
    status: int,
    code: str,
    serve: Callable[..., Running],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The parser's refusals are the API's, with its headers, and fill no log."""
    answer = serve().ask(request_bytes)
    error = error_of(answer[answer.rindex(b"HTTP/1.1 ") :])
    assert (error["status"], error["code"]) == (status, code)
    assert b"x-content-type-options: nosniff" in answer
    assert not caplog.records


def test_a_stop_does_not_wait_for_clients_that_do_nothing(
    serve: Callable[..., Running], tmp_path: Path
) -> None:
    """Those who say nothing, half of something, or take no answer, however much time there is."""
    file = tmp_path / "large.onnx"
    file.write_bytes(bytes(16_000_000))
    running = serve(detector_file=file, stop_seconds=1000, answer_seconds=1000, head_seconds=1000)
    download = b"GET /models/detector.onnx HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with (
        running.connect(),
        running.connect(HEALTH),
        running.connect(HEALTH + b"\r\n"),
        running.connect(download) as stands,
    ):
        assert stands.recv(10) == b"HTTP/1.1 2"
        running.stop()
        running.thread.join(PATIENCE)
        assert not running.thread.is_alive()


def test_a_stop_tells_those_who_are_too_late(serve: Callable[..., Running]) -> None:
    """Whose body is not there when the time is up is refused in words, and holds the end up no further."""
    running = serve(stop_seconds=0.3, body_seconds=1000)
    with running.connect(POST + b"Content-Length: 100\r\n\r\nx") as in_hand:
        until(lambda: running.app.n_in_hand == 1)
        running.stop()
        assert error_of(rest_of(in_hand))["code"] == "stopping"
        running.thread.join(PATIENCE)
        assert not running.thread.is_alive()


def test_a_second_signal_ends_it_at_once(
    serve: Callable[..., Running], caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is in hand, and without a traceback."""
    running = serve(stop_seconds=1000, body_seconds=1000)
    with running.connect(POST + b"Content-Length: 100\r\n\r\nx"):
        until(lambda: running.app.n_in_hand == 1)
        running.stop()
        running.server.handle_exit(signal.SIGTERM, None)
        running.thread.join(PATIENCE)
        assert not running.thread.is_alive()
    assert not caplog.records


@pytest.mark.skipif(sys.platform != "linux", reason="the system tells only here")
def test_many_clients_may_wait_to_be_accepted(serve: Callable[..., Running]) -> None:
    """Though few are accepted at once: others would be told nothing, and try again a second later."""
    running = serve()
    # `tcpi_sacked` of a socket that listens is how many may wait.
    told = running._listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)
    assert struct.unpack_from("I", told, 28)[0] > 4 * ACCEPTED_AT_ONCE


@pytest.mark.parametrize("threads", [1, 2])
def test_health_tells_of_stuck_work(
    threads: int, serve: Callable[..., Running], held_detector: object, png: bytes
) -> None:
    """Not ready while a picture takes too long; not well when no thread is left; both again when it is done."""
    running = serve(finder=held_detector, stall_seconds=0.2, request_seconds=0.1, threads=threads)
    ready = HEALTH.replace(b"healthz", b"readyz") + b"Connection: close\r\n\r\n"
    well = HEALTH + b"Connection: close\r\n\r\n"
    answer = running.ask(POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(png), png))
    assert error_of(answer)["code"] == "too_slow"
    until(lambda: running.ask(ready).startswith(b"HTTP/1.1 503"))
    assert error_of(running.ask(ready))["code"] == "stalled"
    assert running.is_well() == (threads == 2)
    assert running.app.is_at_work
    assert b"mien_oldest_work_seconds 0.0" not in running.app.counters.to_text()
    held_detector.release.set()
    until(lambda: running.ask(ready).startswith(b"HTTP/1.1 200"))
    assert running.ask(well).startswith(b"HTTP/1.1 200")
