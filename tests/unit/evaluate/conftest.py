"""A pack of single-color faces, and a real ONNX model that classifies them by color."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from mien.evaluate.stage import evaluate
from mien.faces.crop import CropContract
from mien.faces.images import encode_jpeg
from mien.formats.onnx_model import METADATA_KEY, ModelInfo
from mien.formats.pack.schema import FORMAT_VERSION, NO_LABEL, PackedFace, PackInfo
from mien.formats.pack.writer import close_pack, compute_content_sha256, write_shard

onnx = pytest.importorskip("onnx", reason="onnx is part of the train extra")

CLASSES = ("Neutral", "Happy", "Sad")
COLORS = {"Neutral": (220, 30, 30), "Happy": (30, 220, 30), "Sad": (30, 30, 220)}
CROP = CropContract(method="whole", size=32)
INPUT_SIZE = 16
# 6 of 8 have the color of their label
VAL = [
    ("a.jpg", "Neutral", "Neutral"),
    ("b.jpg", "Neutral", "Neutral"),
    ("c.jpg", "Neutral", "Happy"),
    ("d.jpg", "Happy", "Happy"),
    ("e.jpg", "Happy", "Happy"),
    ("f, with comma.jpg", "Sad", "Sad"),
    ("g.jpg", "Sad", "Neutral"),
    ('<script>alert("x")</script>', "Sad", "Sad"),
]
# Outer eye corners 0.4 apart.
LANDMARKS = np.random.default_rng(0).uniform(0.3, 0.7, (68, 2)).astype(np.float32)
LANDMARKS[36], LANDMARKS[45] = (0.3, 0.4), (0.7, 0.4)


def make_face(key: str, label: str, *, color: str, classes: Sequence[str], bare: bool = False) -> PackedFace:
    """A face labeled with one class, or with none if that is empty, in the color of another; `bare` ones have only a label."""
    pixels = np.full((CROP.size, CROP.size, 3), COLORS[color], dtype=np.uint8)
    jpeg = encode_jpeg(pixels)
    return PackedFace(
        key=key,
        row=1,
        jpeg=jpeg,
        image_sha256=hashlib.sha256(jpeg).digest(),
        perceptual_hash=bytes(32),
        label=classes.index(label) if label else NO_LABEL,
        crop_method="whole",
        distribution=None,
        landmarks=None if bare else LANDMARKS,
        valence=None if bare else {"Neutral": 0.0, "Happy": 0.8, "Sad": -0.6}.get(label or color, 0.1),
        arousal=None if bare else {"Neutral": 0.0, "Happy": 0.4, "Sad": -0.2}.get(label or color, 0.3),
    )


def write_pack(
    parent: Path,
    name: str = "colors.pack",
    *,
    classes: tuple[str, ...] = CLASSES,
    bare: bool = False,
    groups: Sequence[int] | None = None,
    persons: dict[str, str] | None = None,
    **splits: list[tuple[str, str, str]],
) -> Path:
    """Write a pack of (key, label, color) faces for each split; ``persons`` are by key."""
    folder = parent / name
    folder.mkdir()
    counts, unlabeled, shards = {}, {}, []
    for split, rows in splits.items():
        faces = [make_face(k, label, color=color, classes=classes, bare=bare) for k, label, color in rows]
        faces = [replace(face, person=(persons or {}).get(face.key)) for face in faces]
        shards.append(write_shard(folder / f"{split}-00000.arrow", split, faces, len(classes)))
        counts[split] = {c: sum(label == c for _, label, _ in rows) for c in classes}
        unlabeled |= {split: n_bare} if (n_bare := sum(not label for _, label, _ in rows)) else {}
    n = sum(shard.n_faces for shard in shards)
    info = PackInfo(
        format_version=FORMAT_VERSION, mien_version="0", source="test", classes=classes, crop=CROP,
        counts=counts, rejected={}, rejected_by_reason={}, warnings={}, crop_methods={"whole": n},
        duplicates={}, n_rows=n, n_kept=n, n_rejected=0,
        content_sha256=compute_content_sha256(folder, shards, classes), shards=tuple(shards),
        unlabeled=unlabeled,
    )  # fmt: skip
    close_pack(folder, info, np.array(groups if groups is not None else range(n), dtype=np.int64))
    return folder


def write_model(
    parent: Path,
    name: str = "colors.onnx",
    *,
    classes: tuple[str, ...] = CLASSES,
    tasks: tuple[str, ...] = ("expression", "landmarks", "valence_arousal"),
    crop: CropContract = CROP,
    training: dict | None = None,
    scale: float = 4.0,
) -> Path:
    """Write a model file: its first three classes are red, green and blue, others are never predicted."""
    weights = np.zeros((3, len(classes)), np.float32)
    weights[range(3), range(3)] = scale
    bias = np.array([0.0] * 3 + [-9.0] * (len(classes) - 3), np.float32)
    constants = {
        "byte": np.float32(1 / 255), "weights": weights, "bias": bias,
        "nothing": np.zeros((3, 136), np.float32), "points": (LANDMARKS + 0.01).reshape(-1),
        "shape": np.array([0, 68, 2]), "axes": np.array([2, 3]),
        "feeling": np.array([[0, 0], [0.9, 0.5], [-0.7, -0.1]], np.float32), "zero": np.zeros(2, np.float32),
    }  # fmt: skip
    node = onnx.helper.make_node
    nodes = [
        node("Cast", ["images"], ["float"], to=onnx.TensorProto.FLOAT),
        node("Mul", ["float", "byte"], ["unit"]),
        node("Transpose", ["unit"], ["planes"], perm=[0, 3, 1, 2]),
        node("ReduceMean", ["planes", "axes"], ["features"], keepdims=0),
        node("Gemm", ["features", "weights", "bias"], ["logits"]),
        node("Softmax", ["logits"], ["expression"], axis=1),
        node("Gemm", ["features", "nothing", "points"], ["flat"]),
        node("Reshape", ["flat", "shape"], ["landmarks"]),
        node("Gemm", ["features", "feeling", "zero"], ["valence_arousal"]),
    ]
    shapes = {
        "expression": ["N", len(classes)],
        "landmarks": ["N", 68, 2],
        "valence_arousal": ["N", 2],
        "features": ["N", 3],
    }
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "colors",
        [value("images", onnx.TensorProto.UINT8, ["N", INPUT_SIZE, INPUT_SIZE, 3])],
        [value(task, onnx.TensorProto.FLOAT, shapes[task]) for task in (*tasks, "features")],
        [onnx.numpy_helper.from_array(np.asarray(array), key) for key, array in constants.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    info = ModelInfo(
        classes=classes,
        crop=crop,
        input_size=INPUT_SIZE,
        tasks=tasks,
        training=training or {},
        license="MIT",
    )
    model.metadata_props.add(key=METADATA_KEY, value=info.to_json())
    path = parent / name
    onnx.save(model, path)
    return path


@pytest.fixture
def make_pack(tmp_path: Path) -> Callable[..., Path]:
    """Write a pack into the test's folder."""
    return partial(write_pack, tmp_path)


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    """Write a model into the test's folder."""
    return partial(write_model, tmp_path)


@pytest.fixture
def val() -> list[tuple[str, str, str]]:
    """Eight faces, six of which have the color of their label."""
    return list(VAL)


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the model on the eight faces, made once for the tests that only read it."""
    folder = tmp_path_factory.mktemp("report")
    out = folder / "report"
    evaluate(write_model(folder), write_pack(folder, val=VAL), out=out)
    return out
