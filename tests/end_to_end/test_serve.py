"""A real `mien serve` process: the rows of `mien predict`, hostile clients, graceful shutdown, sustained load."""

import io
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="serving needs the serve extra")

import httpx2

from mien.cli import main
from mien.inference.results import ImagePrediction

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "src" / "mien" / "assets" / "models" / "mien-base.onnx"
IMAGE = ROOT / "tests" / "golden" / "image.png"
# YuNet if it is available; otherwise the download fails immediately, and OpenCV's cascade is used.
ENVIRONMENT = {**os.environ, "https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
MAX_PIXELS = 4_000_000
LOAD_SECONDS = float(os.environ.get("MIEN_LOAD_SECONDS", "1800"))


class Server:
    """A `mien serve` process on a free port."""

    def __init__(
        self, *options: str, prefix: tuple[str, ...] = (), python: tuple[str, ...] = ("-m", "mien")
    ) -> None:
        command = [*prefix, sys.executable, *python, "serve", "--model", str(MODEL), "--port", "0", *options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
        self.lines: list[str] = []
        self.is_ready = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        assert self.is_ready.wait(60), self.lines
        self.url = re.findall(r"http://\S+", self.lines[-1])[0]
        self.port = int(self.url.rsplit(":", 1)[1].strip("/"))

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr:
            for line in self.process.stderr:
                self.lines.append(line)
                if "http://127" in line:
                    self.is_ready.set()

    def get(self, path: str) -> httpx2.Response:
        """Send a GET request."""
        return httpx2.get(self.url + path, timeout=30)

    def predict(self, *files: tuple[str, bytes]) -> httpx2.Response:
        """Send files with their names for prediction."""
        return httpx2.post(self.url + "v1/predict", files=[("images", file) for file in files], timeout=60)

    def send(self, data: bytes, *, half_close: bool) -> bytes:
        """Send raw bytes, close the sending side if asked to, and return everything received."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            response = b""
            try:
                connection.sendall(data)
                if half_close:
                    connection.shutdown(socket.SHUT_WR)
                while part := connection.recv(65536):
                    response += part
            except OSError:
                pass
            return response

    def memory_mb(self, kind: str) -> float:
        """Return ``VmHWM``, the peak memory of the process, or ``VmRSS``, its current memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(rf"{kind}:\s+(\d+) kB", status)[0]) / 1024

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Wait for the process to exit and return the exit code."""
        self._reader.join(60)
        return self.process.wait(60)

    def kill(self) -> None:
        """Kill the process if it is still running."""
        self.process.kill()
        self.wait()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server shared by the tests of this file; it must survive them and exit cleanly."""
    server = Server("--image-pixels", str(MAX_PIXELS), "--body-seconds", "5", "--head-seconds", "2")
    yield server
    assert server.process.poll() is None, server.lines
    assert server.stop() == 0
    assert not any("Traceback" in line for line in server.lines), server.lines


def test_the_rows_are_those_of_predict(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The response has what `mien predict` writes for the same image."""
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    out = tmp_path / "rows.jsonl"
    assert main(["predict", str(IMAGE), "--model", str(MODEL), "--out", str(out)]) == 0
    written = [json.loads(line) for line in out.read_text().splitlines()]
    response = server.predict((str(IMAGE), IMAGE.read_bytes()))
    (result,) = response.json()["results"]
    with Image.open(IMAGE) as image:
        size_wh = list(image.size)
    assert result == {
        "source": str(IMAGE),
        "size_wh": size_wh,
        "rows": written,
        "n_more_images": 0,
    }
    assert ImagePrediction.from_dict(result).to_dict() == result


def test_the_duty_to_inform_is_named_before_the_address(server: Server) -> None:
    """Once, when it starts; the last line of the start has the address."""
    (index,) = [number for number, line in enumerate(server.lines) if "Article 50(3)" in line]
    assert server.url in server.lines[index + 1]


def test_the_page_is_served(server: Server) -> None:
    """The installed page comes with the model and its metadata."""
    assert "<!doctype html>" in server.get("").text.lower()
    assert server.get("model.json").json()["name"] == MODEL.stem
    assert server.get("models/model.onnx").content == MODEL.read_bytes()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int, *extra: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1_000_000)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + b"".join(extra) + png_chunk(b"IDAT", pixels)


def jpeg_of(pixels: np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "JPEG")
    return data.getvalue()


def polyglot() -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("run.sh", "echo no")
    return jpeg_of(np.full((60, 60, 3), 90, np.uint8)) + archive.getvalue()


GRAY_JPEG = jpeg_of(np.full((60, 60, 3), 90, np.uint8))
HUGE_JPEG = re.sub(
    rb"(\xff\xc0.{3}).{4}", lambda found: found[1] + b"\xff" * 4, GRAY_JPEG, count=1, flags=re.DOTALL
)
MANY_SCANS = GRAY_JPEG[:-2] + GRAY_JPEG[GRAY_JPEG.rindex(b"\xff\xda") : -2] * 100_000 + b"\xff\xd9"
TEXT_BOMB = png_chunk(b"zTXt", b"k\0\0" + zlib.compress(b"\0" * 50_000_000))


@pytest.mark.parametrize(
    ("data", "statuses"),
    [
        pytest.param(png_of(50_000, 50_000), {"image_too_large"}, id="PNG of 2,500 megapixels"),
        pytest.param(png_of(2_000, 2_000), {"truncated_image"}, id="PNG with too few pixels"),
        pytest.param(png_of(100, 100, TEXT_BOMB), {"truncated_image", "no_face", "ok"}, id="PNG with a text bomb"),
        pytest.param(HUGE_JPEG, {"image_too_large"}, id="JPEG of 4,295 megapixels"),
        pytest.param(MANY_SCANS, {"image_too_large"}, id="JPEG of 100,000 scans"),
        pytest.param(GRAY_JPEG[:300], {"truncated_image"}, id="truncated JPEG"),
        pytest.param(polyglot(), {"no_face", "ok"}, id="JPEG and ZIP polyglot"),
        pytest.param(b"GIF89a" + b"\xff" * 4 + b"\0" * 30, {"truncated_image", "image_too_large"}, id="huge GIF"),
        pytest.param(b"BM" + b"\xff" * 60, {"truncated_image", "image_too_large", "not_an_image"}, id="corrupt BMP"),
        pytest.param(b"II*\0" + b"\xff" * 4, {"truncated_image", "not_an_image"}, id="TIFF with an invalid offset"),
        pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", {"not_an_image"}, id="SVG"),
        pytest.param(b"<html><script>alert(1)</script>", {"not_an_image"}, id="HTML"),
        pytest.param(b"%!PS-Adobe-3.0\n(run) run", {"not_an_image"}, id="PostScript"),
        pytest.param(b"\x7fELF" + b"\0" * 100, {"not_an_image"}, id="executable"),
        pytest.param(b"\0" * 1_000_000, {"not_an_image"}, id="zeros"),
        pytest.param(np.random.default_rng(0).bytes(100_000), {"not_an_image"}, id="noise"),
    ],
)  # fmt: skip
def test_a_hostile_file_is_a_row(data: bytes, statuses: set[str], server: Server) -> None:
    """A bad image harms neither a good one in the same request nor the server."""
    response = server.predict(("bad", data), ("good.png", IMAGE.read_bytes()))
    bad, good = response.json()["results"]
    assert bad["rows"][0]["status"] in statuses
    assert good["rows"][0]["status"] == "ok"


def form_of(*parts: bytes) -> bytes:
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"
    return (
        b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n" % len(body)
    ) + body


PART = b'Content-Disposition: form-data; name="images"; filename="a.png"\r\n'
TINY = PART + b"\r\nx"
NESTED = b"\r\n".join(
    b'--%d\r\nContent-Type: multipart/mixed; boundary="%d"\r\n' % (i, i + 1) for i in range(5_000)
)
HEAD = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "statuses"),
    [
        pytest.param(form_of(*[TINY] * 10_000), {413}, id="10,000 images"),
        pytest.param(form_of(*[b'Content-Disposition: form-data; name="x"\r\n\r\ny'] * 10_000), {400}, id="10,000 fields"),
        pytest.param(form_of(b"Content-Type: multipart/mixed; boundary=0\r\n\r\n" + NESTED), {422}, id="nested forms"),
        pytest.param(form_of(PART * 1_000 + b"\r\nx"), {400}, id="part with 1,000 headers"),
        pytest.param(form_of(b"A: " + b"a" * 1_000_000 + b"\r\n\r\nx"), {400}, id="part header of 1 MB"),
        pytest.param(form_of(PART.replace(b"a.png", b"\xff\xfe\xfd") + b"\r\nx"), {422}, id="file name in no encoding"),
        pytest.param(form_of(PART.replace(b"a.png", b"a" * 5_000) + b"\r\nx"), {400}, id="file name of 5 kB"),
        pytest.param(HEAD + b"Content-Length: -1\r\n\r\nx", {400}, id="negative Content-Length"),
        pytest.param(HEAD + b"Content-Length: 99999999999999999999\r\n\r\nx", {400, 413}, id="huge Content-Length"),
        pytest.param(HEAD + b"Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n", {413}, id="Expect: 100-continue"),
        pytest.param(HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nxxxxx", {400}, id="two Content-Lengths"),
        pytest.param(HEAD + b"Content-Length: 100\r\n\r\nx", {400, None}, id="truncated body"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzzz\r\n", {400, None}, id="invalid chunks"),
        pytest.param(HEAD + b"A: " + b"a" * 1_000_000, {431, None}, id="endless header"),
        pytest.param(b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", {431, None}, id="long URL"),
        pytest.param(b"GET /%00%ff/..%2f..%2fetc HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", {404}, id="invalid URL"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00", {400, None}, id="TLS"),
    ],
)  # fmt: skip
def test_a_hostile_request_is_rejected(
    request_bytes: bytes, statuses: set[int | None], server: Server
) -> None:
    """The server responds with an error or closes the connection, and stays available."""
    response = server.send(request_bytes, half_close=None in statuses)
    status = int(response[9:12]) if response else None
    assert status in statuses, response[:200]
    assert server.get("healthz").status_code == 200


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"", id="zeros"),
        pytest.param(b"GET /healthz HTTP/1.1\r\nHost: a\r\n", id="partial headers"),
        pytest.param(
            b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /heal", id="partial headers of a second request"
        ),
    ],
)
def test_a_connection_with_incomplete_headers_is_closed(server: Server, head: bytes) -> None:
    """Otherwise a few thousand of them would exhaust the system (slowloris)."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(head)
        response = b""
        while part := connection.recv(65536):
            response += part
    assert response.startswith(b"HTTP/1.1 200") == head.endswith(b"/heal")


def test_unfinished_requests_do_not_block_other_clients(server: Server) -> None:
    """Connections that stop in the middle of a request, nearly as many as one address may open, do not affect others."""
    held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(90)]
    try:
        for connection in held:
            connection.sendall(HEAD)
        assert server.predict(("a.png", IMAGE.read_bytes())).status_code == 200
    finally:
        for connection in held:
            connection.close()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_hostile_files_use_little_memory(server: Server) -> None:
    """Many bad files at once use about as much memory as good ones."""
    server.predict(("a.png", IMAGE.read_bytes()))
    before = server.memory_mb("VmHWM")
    bombs = [png_of(50_000, 50_000), png_of(2_000, 2_000), png_of(100, 100, TEXT_BOMB), HUGE_JPEG]

    def send(number: int) -> int:
        return server.predict(*[("bomb", bombs[(number + i) % len(bombs)]) for i in range(16)]).status_code

    with ThreadPoolExecutor(8) as clients:
        assert set(clients.map(send, range(16))) == {200}
    assert server.memory_mb("VmHWM") < before + 200


def test_sigterm_finishes_requests_in_flight() -> None:
    """After SIGTERM new work gets 503, a request with a partial body is still answered, and the exit code is 0."""
    server = Server()
    try:
        image = IMAGE.read_bytes()
        head = HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(image)
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as in_flight:
            in_flight.sendall(head + image[:100])
            wait_until(lambda: "mien_requests_in_flight 1.0" in server.get("metrics").text)
            server.process.send_signal(signal.SIGTERM)
            wait_until(lambda: server.get("readyz").status_code == 503)
            assert server.predict(("a.png", image)).json()["error"]["code"] == "service_unavailable"
            in_flight.sendall(image[100:])
            response = b"".join(iter(lambda: in_flight.recv(65536), b""))
        assert response.startswith(b"HTTP/1.1 200")
        assert b'"status": "ok"' in response
        assert server.wait() == 0
    finally:
        server.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no open-file limit")
def test_health_checks_work_at_the_open_file_limit() -> None:
    """More clients than the process may open files, each with an unfinished body, do not block health checks."""
    server = Server(prefix=("sh", "-c", 'ulimit -n 140; exec "$0" "$@"'))
    held: list[socket.socket] = []
    try:
        for _ in range(200):
            held.append(socket.create_connection(("127.0.0.1", server.port), timeout=10))
            held[-1].sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nx")
        assert [server.get("healthz").status_code for _ in range(5)] == [200] * 5
        assert server.stop() == 0
        assert not any("resource" in line for line in server.lines), server.lines
    finally:
        for connection in held:
            connection.close()
        server.kill()


HANGING_DETECTOR = """
import sys, time
from mien.cli import main
from mien.faces.detector import CascadeDetector, YuNetDetector
CascadeDetector.find_faces = YuNetDetector.find_faces = lambda self, image_rgb: time.sleep(1000)
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("n_signals", [1, 2])
def test_a_stuck_thread_does_not_block_shutdown(n_signals: int) -> None:
    """Python cannot kill a thread and would wait for it; the process exits anyway and says why."""
    limits = ("--request-seconds", "0.2", "--stall-seconds", "0.3", "--threads", "1", "--stop-seconds", "1")
    server = Server(*limits, python=("-c", HANGING_DETECTOR))
    try:
        assert server.predict(("a.png", IMAGE.read_bytes())).status_code == 504
        wait_until(lambda: server.get("healthz").status_code == 503)
        assert server.get("healthz").json()["error"]["code"] == "stalled"
        for _ in range(n_signals):
            server.process.send_signal(signal.SIGTERM)
        assert server.wait() == 0
        assert "Abandoning" in server.lines[-1]
        assert not any("Traceback" in line for line in server.lines), server.lines
    finally:
        server.kill()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_port_in_use_fails_in_one_line(server: Server) -> None:
    """The message names the port."""
    command = [sys.executable, "-m", "mien", "serve", "--model", str(MODEL), "--port", str(server.port)]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"mien: Cannot listen on port {server.port} of 127.0.0.1")


def test_without_the_extra_the_install_command_is_shown() -> None:
    """Without FastAPI `mien serve` says what to install; `mien page` does not need it."""
    block = "import sys; sys.modules.update(dict.fromkeys(('fastapi', 'starlette', 'uvicorn', 'prometheus_client')));"
    serve = run_python(block + "from mien.cli import main; sys.exit(main(['serve']))")
    assert (serve.returncode, serve.stdout) == (1, "")
    assert serve.stderr == "mien: `mien serve` needs the `serve` extra: pip install 'mien[serve]'\n"
    page = run_python(block + "import mien.serve.site; print('ok')")
    assert page.stdout == "ok\n", page.stderr


def run_python(code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_sustained_load() -> None:
    """Eight clients send valid and invalid requests for `MIEN_LOAD_SECONDS`: no 5xx, and no memory or file leaks."""
    server = Server()
    try:
        counts = load(server, LOAD_SECONDS / 10)
        settled = server.memory_mb("VmRSS")
        n_files = len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))
        counts.update(load(server, LOAD_SECONDS * 9 / 10))
        assert set(counts) <= {200, 413, 415, 422}, counts
        assert counts[200] > LOAD_SECONDS
        assert server.memory_mb("VmRSS") < settled * 1.2 + 50
        assert len(list(Path(f"/proc/{server.process.pid}/fd").iterdir())) < n_files + 20
        assert server.stop() == 0
    finally:
        server.kill()


def load(server: Server, seconds: float) -> Counter[int]:
    """Run eight clients for some seconds and return the count of each status."""
    good = ("good.png", IMAGE.read_bytes())
    requests: list[dict[str, Any]] = [
        {"files": [("images", good)]},
        {"files": [("images", good)] * 3 + [("images", ("truncated.jpg", GRAY_JPEG[:300]))]},
        {"files": [("images", good), ("images", ("bomb.png", png_of(50_000, 50_000)))]},
        {"content": IMAGE.read_bytes(), "headers": {"Content-Type": "image/png"}},
        {"files": [("images", ("text", b"no image"))]},
        {"files": [("images", ("a", b"x"))] * 65},
        {"json": {}},
    ]
    end = time.monotonic() + seconds

    def send(seed: int) -> Counter[int]:
        rng, counts = np.random.default_rng(seed), Counter[int]()
        with httpx2.Client(base_url=server.url, timeout=60) as client:
            while time.monotonic() < end:
                counts[client.post("/v1/predict", **requests[rng.integers(len(requests))]).status_code] += 1
        return counts

    with ThreadPoolExecutor(8) as clients:
        return sum(clients.map(send, range(8)), Counter[int]())
