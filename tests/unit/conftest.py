"""A tiny real model file, images of colored squares, and a detector that takes the squares for faces."""

import io
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mien.faces.crop import ALIGNED_ANCHORS, CropContract
from mien.faces.detector import DetectedFace
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
