"""A tiny real model file, images of colored squares, and a detector that takes the squares for faces."""

import base64
import hashlib
import http.server
import io
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mien.faces.crop import ALIGNED_ANCHORS, CropContract
from mien.faces.detector import DetectedFace
from mien.formats.model_file import HASH_KEY, ZEROS, with_hash
from mien.formats.onnx_model import METADATA_KEY, ModelInfo

CLASSES = ("Neutral", "Happy", "Sad")
COLORS = {"Neutral": (255, 0, 0), "Happy": (0, 255, 0), "Sad": (0, 0, 255)}
INPUT_SIZE = 32
CONTRACT = CropContract(method="aligned", margin=0.0, size=64)


def template_landmarks() -> NDArray[np.float32]:
    """Return 68 points whose anchors stand where an aligned crop without margin puts them."""
    points = np.random.default_rng(0).uniform(0.2, 0.8, (68, 2))
    points[36:42], points[42:48] = ALIGNED_ANCHORS[0], ALIGNED_ANCHORS[1]
    points[48], points[54] = ALIGNED_ANCHORS[2], ALIGNED_ANCHORS[3]
    return points.astype(np.float32)


def save_model(
    path: Path,
    *,
    landmarks: NDArray[np.float32],
    contract: CropContract = CONTRACT,
    training: dict[str, Any] | None = None,
) -> Path:
    """Write a model that calls red Neutral, green Happy and blue Sad, and red pleasant and blue calm."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    constants = {
        "scale": np.float32(0.05),
        "template": landmarks.reshape(1, 68, 2),
        "nothing": np.zeros((3, 1), np.float32),
        "to_affect": np.array([[1, 0], [0, 0], [0, 1]], np.float32) / 255,
        "axes": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["values"], ["features"], axes=[1, 2], keepdims=0),
        helper.make_node("Mul", ["features", "scale"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["expression"], axis=1),
        helper.make_node("MatMul", ["features", "to_affect"], ["valence_arousal"]),
        helper.make_node("MatMul", ["features", "nothing"], ["zero"]),
        helper.make_node("Unsqueeze", ["zero", "axes"], ["zeros"]),
        helper.make_node("Add", ["zeros", "template"], ["landmarks"]),
    ]
    size = INPUT_SIZE
    graph = helper.make_graph(
        nodes,
        "colors",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", size, size, 3])],
        [
            helper.make_tensor_value_info("expression", TensorProto.FLOAT, ["N", len(CLASSES)]),
            helper.make_tensor_value_info("landmarks", TensorProto.FLOAT, ["N", 68, 2]),
            helper.make_tensor_value_info("valence_arousal", TensorProto.FLOAT, ["N", 2]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 3]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    info = ModelInfo(CLASSES, contract, size, training=training or {})
    helper.set_model_props(model, {METADATA_KEY: info.to_json()})
    onnx.save(model, path)
    return path


class SquareDetector:
    """Takes the bounding box of each pure color for a face whose anchors an aligned crop would put there."""

    def find_faces(self, image_rgb: NDArray[np.uint8]) -> list[DetectedFace]:
        """Return a face a color, the largest first."""
        faces = []
        for color in COLORS.values():
            rows, columns = np.nonzero((image_rgb == color).all(axis=2))
            if len(rows):
                low = np.array([columns.min(), rows.min()], dtype=np.float64)
                high = np.array([columns.max(), rows.max()], dtype=np.float64) + 1
                eyes_mouth = low + ALIGNED_ANCHORS * (high - low)
                points = np.insert(eyes_mouth, 2, eyes_mouth.mean(axis=0), axis=0)
                faces.append(DetectedFace(np.concatenate([low, high]), 0.9, points))
        return sorted(faces, key=lambda face: -face.area)


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the tiny model's file."""
    return save_model(tmp_path_factory.mktemp("model") / "colors.onnx", landmarks=template_landmarks())


@pytest.fixture
def detector() -> SquareDetector:
    """Return the detector of colored squares."""
    return SquareDetector()


@pytest.fixture
def make_image(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a gray image with squares: ``(expression, x, y, side)`` each."""

    def make(name: str, *squares: tuple[str, int, int, int], size_wh: tuple[int, int] = (200, 120)) -> Path:
        pixels = np.full((size_wh[1], size_wh[0], 3), 100, np.uint8)
        for expression, x, y, side in squares:
            pixels[y : y + side, x : x + side] = COLORS[expression]
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = io.BytesIO()
        Image.fromarray(pixels).save(data, "PNG")
        path.write_bytes(data.getvalue())
        return path

    return make


@pytest.fixture
def write_model(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the tiny model with other landmarks, another crop or a record of its training."""

    def write(
        *,
        landmarks: NDArray[np.float32] | None = None,
        contract: CropContract = CONTRACT,
        training: dict[str, Any] | None = None,
    ) -> Path:
        points = template_landmarks() if landmarks is None else landmarks
        return save_model(tmp_path / "other.onnx", landmarks=points, contract=contract, training=training)

    return write


@pytest.fixture
def template() -> NDArray[np.float32]:
    """Return the landmarks, as fractions of the crop, that the tiny model gives every face."""
    return template_landmarks()


class PageText(HTMLParser):
    """Collects what a page shows, except code and names of faces.

    Attributes:
        lang: the page's language.
        found: the texts.
    """

    _sentence = re.compile(r"[A-Za-z]{2,}[ ,]+[A-Za-z]{2,}[ ,]+[a-z]{2,}")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[str] = []
        self.lang = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take what attributes say, and leave out the content of some elements."""
        values = dict(attrs)
        self.lang = self.lang or (values.get("lang") or "")
        self.found += [values[name] or "" for name in ("alt", "aria-label") if name in values]
        if tag in ("style", "script", "code", "pre") or values.get("class") == "path":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Resume after an element that is left out."""
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        """Take text."""
        if not self.open:
            self.found.append(" ".join(data.split()))

    def english(self) -> list[str]:
        """Return what looks like a part of an English sentence."""
        return [text for text in self.found if self._sentence.search(text)]


@pytest.fixture(scope="session")
def read_page() -> Callable[[Path], PageText]:
    """Return a function that reads what an HTML page shows."""

    def read(path: Path) -> PageText:
        page = PageText()
        page.feed(path.read_text("utf-8"))
        return page

    return read


@pytest.fixture(scope="session")
def run_measured() -> Any:
    """Return a function that runs Python code in a process of its own and measures it."""

    def run(code: str) -> tuple[float, float]:
        start = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", code + MEASURE], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return time.monotonic() - start, float(done.stdout.split()[-1]) / 1024

    return run


# On Linux the unit is a kilobyte; children are not counted.
MEASURE = "\nimport resource\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"


class StandInHub:
    """A Hugging Face Hub on this machine, with the requests that fetching and pushing a model take.

    Attributes:
        repos: by ``org/name``: whether it is private, and its commits, the newest last, each with the files by path.
        requests: method and path of each request, with the token that came with it.
        is_gated: whether every repository needs its authors' permission.
    """

    TOKEN = "hf_" + "a" * 34

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str, str]] = []
        self.is_gated = False
        self._objects: dict[str, bytes] = {}
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                """Print nothing."""

            def respond(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                while self.headers.get("transfer-encoding") == "chunked":
                    size = int(self.rfile.readline(), 16)
                    body += self.rfile.read(size)
                    self.rfile.readline()
                    if not size:
                        break
                token = self.headers.get("authorization", "").removeprefix("Bearer ")
                hub.requests.append((self.command, self.path, token))
                status, headers, content = hub.answer(self.command, self.path.partition("?")[0], body, token)
                self.send_response(status)
                for name, value in {"content-length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_HEAD = do_POST = do_PUT = respond  # noqa: N815 - http.server's names

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def add(self, repo: str, files: dict[str, bytes], *, private: bool = False) -> str:
        """Add a commit that holds these files and the earlier ones; return its id."""
        commits = self.repos.setdefault(repo, {"private": private, "commits": []})["commits"]
        oid = hashlib.sha1(f"{repo} {len(commits)}".encode(), usedforsecurity=False).hexdigest()
        commits.append((oid, {**(commits[-1][1] if commits else {}), **files}))
        return oid

    def answer(  # noqa: C901, PLR0911, PLR0912 - one branch per route
        self, method: str, path: str, body: bytes, token: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of the response to a request."""

        def reply(value: Any, status: int = 200, **headers: str) -> tuple[int, dict[str, str], bytes]:
            return status, {"content-type": "application/json", **headers}, json.dumps(value).encode()

        if method == "PUT":
            self._objects[path.rpartition("/")[2]] = body
            return reply({})
        if (match := re.fullmatch(r"/([\w-]+/[\w-]+)\.git/info/lfs/objects/batch", path)) is not None:
            objects = [
                {**entry, "actions": {"upload": {"href": f"{self.address}/lfs/{entry['oid']}"}}}
                for entry in json.loads(body)["objects"]
            ]
            return reply({"transfer": "basic", "objects": objects})
        if path == "/api/validate-yaml":
            return reply({"errors": [], "warnings": []})
        if path == "/api/repos/create":
            if token != self.TOKEN:
                return reply({"error": "Invalid username or password."}, 401)
            wanted = json.loads(body)
            repo = f"{wanted['organization']}/{wanted['name']}"
            if repo.startswith("others/"):
                return reply({"error": "You don't have the rights"}, 403)
            self.add(
                repo,
                {".gitattributes": b""},
                private=wanted.get("visibility") == "private" or bool(wanted.get("private")),
            )
            return reply({"url": f"{self.address}/{repo}"})
        match = re.fullmatch(
            r"(?:/api/models)?/([\w-]+/[\w.-]+)(?:/(resolve|revision|preupload|commit)/([^/]+))?(?:/(.+))?",
            path,
        )
        repo, action, revision, name = match.groups() if match else ("", None, None, None)
        held = self.repos.get(repo)
        if held is None or (held["private"] and token != self.TOKEN):
            return reply({"error": "not found"}, 404 if token else 401, **{"x-error-code": "RepoNotFound"})
        if self.is_gated and token != self.TOKEN:
            return reply({"error": "gated"}, 403, **{"x-error-code": "GatedRepo"})
        named = dict(held["commits"]) | {"main": held["commits"][-1][1]}
        if (revision or "main") not in named:
            return reply({"error": "no revision"}, 404, **{"x-error-code": "RevisionNotFound"})
        files = named[revision or "main"]
        oid = next(oid for oid, content in reversed(held["commits"]) if content is files)
        if action == "resolve":
            if name not in files:
                return reply({}, 404, **{"x-error-code": "EntryNotFound", "x-repo-commit": oid})
            etag = f'"{hashlib.sha256(files[name]).hexdigest()}"'
            return 200, {"x-repo-commit": oid, "etag": etag}, files[name]
        if action == "preupload":
            modes = [
                {
                    "path": entry["path"],
                    "uploadMode": "lfs" if entry["path"].endswith(".onnx") else "regular",
                    "shouldIgnore": False,
                }
                for entry in json.loads(body)["files"]
            ]
            return reply({"files": modes})
        if action == "commit":
            head, *lines = (json.loads(line) for line in body.splitlines())
            if head["value"].get("parentCommit") not in (None, held["commits"][-1][0]):
                return reply({"error": "the branch has moved"}, 412)
            added = {}
            for line in lines:
                value = line["value"]
                is_lfs = line["key"] == "lfsFile"
                added[value["path"]] = (
                    self._objects[value["oid"]] if is_lfs else base64.b64decode(value["content"])
                )
            oid = self.add(repo, added)
            return reply(
                {"success": True, "commitUrl": f"{self.address}/{repo}/commit/{oid}", "commitOid": oid}
            )
        siblings = [{"rfilename": path} for path in files]
        return reply({"id": repo, "sha": oid, "private": held["private"], "siblings": siblings, "tags": []})


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandInHub]:
    """Return a Hub that huggingface_hub asks instead of the public one, with a cache of its own and no token."""
    constants = pytest.importorskip("huggingface_hub.constants")
    stand_in = StandInHub()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    # Nothing waits between attempts.
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _seconds: None)
    # The protocol of large files that any Hub understands.
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    # Read from the environment when it was imported.
    template = stand_in.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", stand_in.address)
    monkeypatch.setenv("HF_ENDPOINT", stand_in.address)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    yield stand_in
    stand_in.close()


@pytest.fixture(scope="session")
def hashed_model(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the tiny model as `mien export` writes it: with its hash, a license and the record of its training."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(model_path)
    training = {
        "backbone": "colors",
        "pack": {
            "source": "squares",
            "n_train": 6,
            "train_counts": [1, 2, 3],
            "terms": {"squares": "research only"},
        },
        "selection": {"metric": "accuracy", "n": 3},
    }
    info = replace(ModelInfo(CLASSES, CONTRACT, INPUT_SIZE), license="CC BY 4.0", training=training)
    onnx.helper.set_model_props(model, {METADATA_KEY: info.to_json(), HASH_KEY: ZEROS.decode()})
    path = tmp_path_factory.mktemp("hashed") / "model.onnx"
    path.write_bytes(with_hash(model.SerializeToString()))
    return path
