"""Damaged and malicious model files: each is rejected with a one-line message on loading."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="building a model file needs onnx")

from onnx import TensorProto, helper, numpy_helper

from mien.errors import ArtifactError, MienError
from mien.faces.crop import CropContract
from mien.formats.model_file import HASH_KEY, ZEROS, with_hash
from mien.formats.onnx_model import METADATA_KEY, ModelInfo, OnnxModel

SIZE = 8
INFO = ModelInfo(
    ("Neutral", "Happy", "Sad"), CropContract(method="whole", size=16), SIZE, tasks=("expression",)
)
value_info, node = helper.make_tensor_value_info, helper.make_node
FEATURES = value_info("features", TensorProto.FLOAT, ["N", 3])


@dataclass(frozen=True)
class ModelParts:
    """The parts of a model file; the default is valid."""

    nodes: tuple[Any, ...] = (
        node("Cast", ["images"], ["values"], to=TensorProto.FLOAT),
        node("ReduceMean", ["values"], ["features"], axes=[1, 2], keepdims=0),
        node("Mul", ["features", "scale"], ["logits"]),
        node("Softmax", ["logits"], ["expression"], axis=1),
    )
    inputs: tuple[Any, ...] = (value_info("images", TensorProto.UINT8, ["N", SIZE, SIZE, 3]),)
    outputs: tuple[Any, ...] = (value_info("expression", TensorProto.FLOAT, ["N", 3]), FEATURES)
    weights: tuple[Any, ...] = (numpy_helper.from_array(np.float32(0.02), "scale"),)
    metadata: dict[str, str] = field(
        default_factory=lambda: {METADATA_KEY: INFO.to_json(), HASH_KEY: ZEROS.decode()}
    )
    opset: int = 13
    ir_version: int = 8

    def build(self) -> Any:
        """Build the model, without writing it."""
        graph = helper.make_graph(self.nodes, "tiny", self.inputs, self.outputs, self.weights)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=self.ir_version
        )
        helper.set_model_props(model, self.metadata)
        return model


VALID = ModelParts()
WITHOUT_HASH = replace(VALID, metadata={METADATA_KEY: INFO.to_json()})
VALID_BYTES = WITHOUT_HASH.build().SerializeToString()


def write(path: Path, model: Any) -> Path:
    """Write a file with its hash, if its metadata has an entry for one, as its author would."""
    content = model.SerializeToString()
    path.write_bytes(with_hash(content) if ZEROS in content else content)
    return path


def reject(path: Path) -> str:
    """Load a file; return the one-line message that rejects it."""
    with pytest.raises(MienError) as caught:
        OnnxModel.load(path, threads=1)
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 1200
    line.encode()
    return line


def test_the_valid_file_is_loaded(tmp_path: Path) -> None:
    """The base of all the others is loaded, with and without a hash."""
    for recipe in (VALID, WITHOUT_HASH):
        path = write(tmp_path / "model.onnx", recipe.build())
        assert OnnxModel.load(path, threads=1).info == INFO


def test_every_flipped_bit_is_detected(tmp_path: Path) -> None:
    """A flipped bit is rejected, tried for a sample of the file and for every bit of the hash entry."""
    path = write(tmp_path / "model.onnx", VALID.build())
    content = path.read_bytes()
    hash_entry = content.index(HASH_KEY.encode()) - 4
    random = np.random.default_rng(0)
    bits = {
        *random.integers(0, 8 * len(content), 100).tolist(),
        *range(8 * hash_entry, 8 * hash_entry + 144),
    }
    bits |= set(range(8 * (hash_entry + 18), 8 * len(content), 7))
    for bit in sorted(bits):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        assert reject(path), bit


def test_the_hash_is_that_of_the_file_with_zeros(tmp_path: Path) -> None:
    """Another program can verify it by the rule in docs/formats.md, in three lines."""
    from hashlib import sha256

    content = write(tmp_path / "model.onnx", VALID.build()).read_bytes()
    start = content.index(b"mien_sha256\x12\x40") + len(b"mien_sha256\x12\x40")
    recorded = content[start : start + 64]
    zeroed = content[:start] + b"0" * 64 + content[start + 64 :]
    assert sha256(zeroed).hexdigest().encode() == recorded


def deep_graph() -> bytes:
    """Ten thousand nested subgraphs, too many for recursion."""

    def wrap(tag: int, content: bytes) -> bytes:
        length, size = b"", len(content)
        while size >= 128:
            length, size = length + bytes([size & 127 | 128]), size >> 7
        return bytes([tag]) + length + bytes([size]) + content

    content = b""
    for _ in range(10_000):
        content = wrap(0x0A, wrap(0x2A, wrap(0x32, content)))
    return wrap(0x3A, content) + VALID_BYTES


BYTES = {
    "empty": b"",
    "text": b"this is not a model",
    "zeros": bytes(1000),
    "ones": b"\xff" * 1000,
    "noise": np.random.default_rng(0).bytes(5000),
    "an image": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "a zip file": b"PK\x03\x04" + bytes(100),
    "onnxruntime's own format": b"\x20\x00\x00\x00ORTM" + bytes(200),
    "an endless number": b"\x08" + b"\xff" * 20,
    "a length past the end of the file": b"\x3a\xff\xff\xff\xff\x0f" + bytes(10),
    "a group": b"\x3b" + VALID_BYTES,
    "deeply nested": deep_graph(),
    "only metadata": VALID_BYTES[VALID_BYTES.index(METADATA_KEY.encode()) - 4 :],
    "text behind it": VALID_BYTES + b"\x32\x05hello",
}


@pytest.mark.parametrize("name", BYTES)
def test_bytes_that_are_not_a_model(tmp_path: Path, name: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(BYTES[name])
    assert "is not a loadable ONNX model" in reject(path)


def test_truncated_anywhere(tmp_path: Path) -> None:
    content = write(tmp_path / "model.onnx", VALID.build()).read_bytes()
    for n_bytes in range(1, len(content), 17):
        (tmp_path / "model.onnx").write_bytes(content[:n_bytes])
        reject(tmp_path / "model.onnx")


def test_a_file_larger_than_any_model(tmp_path: Path) -> None:
    """It is rejected by its size, without reading it."""
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        file.truncate(2**32)
    assert "has 4,294,967,296 bytes" in reject(path)


images, expression = VALID.inputs[0], VALID.outputs[0]
TO_LOGITS = VALID.nodes[:3]


def of_type(kind: int) -> ModelParts:
    """The valid model with its output in another type."""
    nodes = (
        *TO_LOGITS,
        node("Softmax", ["logits"], ["p"], axis=1),
        node("Cast", ["p"], ["expression"], to=kind),
    )
    return replace(VALID, nodes=nodes, outputs=(value_info("expression", kind, ["N", 3]), FEATURES))


def with_output_nodes(*nodes: Any, **constants: np.ndarray) -> ModelParts:
    """The valid model with an output that is computed from its logits in another way."""
    weights = tuple(numpy_helper.from_array(array, name) for name, array in constants.items())
    return replace(VALID, nodes=(*TO_LOGITS, *nodes), weights=VALID.weights + weights)


def with_metadata(**changes: Any) -> ModelParts:
    """The valid model with other metadata."""
    return replace(
        VALID,
        metadata={**VALID.metadata, METADATA_KEY: json.dumps({**json.loads(INFO.to_json()), **changes})},
    )


def with_text(text: str) -> ModelParts:
    return replace(VALID, metadata={**VALID.metadata, METADATA_KEY: text})


def with_input(kind: int, shape: list[Any], name: str = "images") -> ModelParts:
    return replace(VALID, inputs=(value_info(name, kind, shape),))


def with_affect(scale: float) -> ModelParts:
    nodes = (
        *VALID.nodes,
        node("Slice", ["logits", "from", "to", "axis"], ["two"]),
        node("Mul", ["two", "by"], ["valence_arousal"]),
    )
    constants = {"from": np.array([0]), "to": np.array([2]), "axis": np.array([1]), "by": np.float32(scale)}
    return replace(
        with_metadata(tasks=["expression", "valence_arousal"]),
        nodes=nodes,
        outputs=(expression, value_info("valence_arousal", TensorProto.FLOAT, ["N", 2]), FEATURES),
        weights=(*VALID.weights, *(numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items())),
    )


RECIPES: dict[str, ModelParts] = {
    "input of floats": with_input(TensorProto.FLOAT, ["N", SIZE, SIZE, 3]),
    "input of signed bytes": with_input(TensorProto.INT8, ["N", SIZE, SIZE, 3]),
    "input without faces": with_input(TensorProto.UINT8, [SIZE, SIZE, 3]),
    "input of any size": with_input(TensorProto.UINT8, ["N", "H", "W", 3]),
    "input of channels first": with_input(TensorProto.UINT8, ["N", 3, SIZE, SIZE]),
    "input of one face": with_input(TensorProto.UINT8, [1, SIZE, SIZE, 3]),
    "input of no shape": with_input(TensorProto.UINT8, []),
    "a second input": replace(VALID, inputs=(images, value_info("more", TensorProto.FLOAT, [1]))),
    "half precision": of_type(TensorProto.FLOAT16),
    "double precision": of_type(TensorProto.DOUBLE),
    "integers": of_type(TensorProto.INT64),
    "another output": replace(VALID, outputs=(*VALID.outputs, value_info("logits", TensorProto.FLOAT, ["N", 3]))),
    "another number of classes": replace(VALID, outputs=(value_info("expression", TensorProto.FLOAT, ["N", 4]), FEATURES)),
    "no features": replace(VALID, outputs=(expression,)),
    "features of one face": replace(VALID, outputs=(expression, value_info("features", TensorProto.FLOAT, [1, 3]))),
    "integers as features": replace(VALID, outputs=(expression, value_info("features", TensorProto.INT64, ["N", 3]))),
    "an unknown operator": with_output_nodes(node("Nonsense", ["logits"], ["expression"])),
    "an operator of another domain": with_output_nodes(node("Softmax", ["logits"], ["expression"], domain="x.y")),
    "an unknown opset": replace(VALID, opset=999),
    "an unknown version of ONNX": replace(VALID, ir_version=999),
    "logits": with_output_nodes(node("Identity", ["logits"], ["expression"])),
    "negative probabilities": with_output_nodes(
        node("Softmax", ["logits"], ["p"], axis=1), node("Sub", ["p", "shift"], ["expression"]),
        shift=np.array([-1, 0.5, 0.5], np.float32),
    ),
    "probabilities that sum to half": with_output_nodes(
        node("Softmax", ["logits"], ["p"], axis=1), node("Mul", ["p", "half"], ["expression"]), half=np.float32(0.5)
    ),
    "not a number": with_output_nodes(node("Mul", ["logits", "nan"], ["expression"]), nan=np.float32(np.nan)),
    "another shape than declared": with_output_nodes(
        node("Softmax", ["logits"], ["p"], axis=1), node("Expand", ["p", "shape"], ["expression"]),
        shape=np.array([5, 1, 3]),
    ),
    "an impossible shape": with_output_nodes(
        node("Reshape", ["logits", "shape"], ["seven"]), node("Softmax", ["seven"], ["expression"], axis=1),
        shape=np.array([7, 3]),
    ),
    "valence beyond 1": with_affect(100.0),
    "an additional metadata entry": replace(VALID, metadata={**VALID.metadata, "other": "x"}),
    "no metadata": replace(VALID, metadata={}),
    "only the hash": replace(VALID, metadata={HASH_KEY: ZEROS.decode()}),
    "a short hash": replace(VALID, metadata={METADATA_KEY: INFO.to_json(), HASH_KEY: "0"}),
    "no text": with_text(""),
    "no JSON": with_text("{"),
    "a list": with_text("[]"),
    "a number": with_text("1"),
    "deeply nested metadata": with_text("[" * 100_000),
    "megabytes of metadata": with_metadata(license="x" * 2**21),
    "no classes": with_metadata(classes=[]),
    "a duplicate class": with_metadata(classes=["Sad", "Sad", "Happy"]),
    "classes as text": with_metadata(classes="abc"),
    "classes as numbers": with_metadata(classes=[1, 2, 3]),
    "a class without a name": with_metadata(classes=["Sad", "", "Happy"]),
    "a class that moves the cursor": with_metadata(classes=["Sad", "\x1b[2J", "Happy"]),
    "a class of two lines": with_metadata(classes=["Sad", "a\nb", "Happy"]),
    "a class that no terminal can print": with_metadata(classes=["Sad", "\ud800", "Happy"]),
    "classes as an object": with_metadata(classes={"a": 1, "b": 2, "c": 3}),
    "two classes": with_metadata(classes=["Sad", "Happy"]),
    "no tasks": with_metadata(tasks=[]),
    "tasks as text": with_metadata(tasks="expression"),
    "a duplicate task": with_metadata(tasks=["expression", "expression"]),
    "an unknown task": with_metadata(tasks=["expression", "age"]),
    "a task that the graph lacks": with_metadata(tasks=["expression", "landmarks"]),
    "no crop": with_metadata(crop=None),
    "an empty crop": with_metadata(crop={}),
    "an unknown resampling": with_metadata(crop={**INFO.crop.to_dict(), "resampling": "nearest"}),
    "an unknown border": with_metadata(crop={**INFO.crop.to_dict(), "border": "white"}),
    "a crop of no pixels": with_metadata(crop={**INFO.crop.to_dict(), "size": 0}),
    "a crop of too many pixels": with_metadata(crop={**INFO.crop.to_dict(), "size": 10**9}),
    "a crop of half pixels": with_metadata(crop={**INFO.crop.to_dict(), "size": 20.5}),
    "a margin that is not a number": with_metadata(crop={**INFO.crop.to_dict(), "margin": float("nan")}),
    "a crop with an unknown key": with_metadata(crop={**INFO.crop.to_dict(), "more": 1}),
    "no input size": with_metadata(input_size=0),
    "a negative input size": with_metadata(input_size=-8),
    "an absurd input size": with_metadata(input_size=10**6),
    "an input size that is true": with_metadata(input_size=True),
    "an input size with a fraction": with_metadata(input_size=8.0),
    "an absurd input size on both sides": replace(
        with_metadata(input_size=10**6), inputs=(value_info("images", TensorProto.UINT8, ["N", 10**6, 10**6, 3]),)
    ),
    **{
        f"a temperature of {odd!r}": with_metadata(temperature=odd)
        for odd in (0, -1.0, float("nan"), float("inf"), "1", None, True, [])
    },
    "training with NaN": with_metadata(training={"dev": {"accuracy": float("nan")}}),
    "training with infinity": with_text(INFO.to_json().replace('"training": {}', '"training": {"a": 1e999}')),
    "training of huge numbers": with_text(INFO.to_json().replace('"training": {}', '"training": {"a": 1' + 99 * "0" + "}")),
    "training as a list": with_metadata(training=[1]),
    "a license that is not text": with_metadata(license=7),
    "quantization that is not an object": with_metadata(quantization="int8"),
    "another format version": with_metadata(format_version=1),
    "a format version that is true": with_metadata(format_version=True),
    "no format version": with_metadata(format_version=None),
    "an unknown key": with_metadata(color="red"),
}  # fmt: skip


def test_valence_within_its_range_is_loaded(tmp_path: Path) -> None:
    """The model with out-of-range valence is otherwise valid."""
    OnnxModel.load(write(tmp_path / "model.onnx", with_affect(0.1).build()), threads=1)


@pytest.mark.parametrize("name", RECIPES)
def test_invalid_models(tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str) -> None:
    """Each is rejected with a one-line message, and onnxruntime prints nothing."""
    reject(write(tmp_path / "model.onnx", RECIPES[name].build()))
    assert capfd.readouterr() == ("", "")


def test_an_output_of_another_name(tmp_path: Path) -> None:
    nodes = (*TO_LOGITS, node("Softmax", ["logits"], ["answer"], axis=1))
    recipe = replace(
        VALID, nodes=nodes, outputs=(value_info("answer", TensorProto.FLOAT, ["N", 3]), FEATURES)
    )
    assert "does not describe its network" in reject(write(tmp_path / "model.onnx", recipe.build()))


def external(name: str, location: str) -> Any:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def in_a_weight(model: Any, location: str) -> None:
    model.graph.initializer[0].CopyFrom(external("scale", location))


def in_a_constant(model: Any, location: str) -> None:
    model.graph.node.append(node("Constant", [], ["unused"], value=external("", location)))


def in_a_branch(model: Any, location: str) -> None:
    branch = helper.make_graph(
        [], "b", [], [value_info("e", TensorProto.FLOAT, [1])], [external("e", location)]
    )
    model.graph.node.append(node("If", ["condition"], ["unused"], then_branch=branch, else_branch=branch))


def in_a_sparse_weight(model: Any, location: str) -> None:
    model.graph.sparse_initializer.add(values=external("s", location), dims=[9])


def in_a_function(model: Any, location: str) -> None:
    inner = node("Constant", [], ["y"], value=external("", location))
    model.functions.append(helper.make_function("x", "f", [], ["y"], [inner], [helper.make_opsetid("", 13)]))


@pytest.mark.parametrize(
    "insert", [in_a_weight, in_a_constant, in_a_branch, in_a_sparse_weight, in_a_function]
)
@pytest.mark.parametrize("location", ["weights.bin", "../secret.bin", "/etc/passwd"])
def test_weights_in_other_files(tmp_path: Path, insert: Callable[[Any, str], None], location: str) -> None:
    """A model that refers to other files is rejected before any of them is opened, inside its folder and outside."""
    folder = tmp_path / "models"
    folder.mkdir()
    for path in (folder / "weights.bin", tmp_path / "secret.bin"):
        path.write_bytes(np.float32(0.02).tobytes())
    model = WITHOUT_HASH.build()
    insert(model, location)
    with pytest.raises(ArtifactError, match="stores weights in another file, which is not supported"):
        OnnxModel.load(write(folder / "model.onnx", model), threads=1)


def test_a_weight_of_absurd_size(tmp_path: Path) -> None:
    """A weight that claims more values than the file has is rejected before memory is allocated for it."""
    resource = pytest.importorskip("resource", reason="memory is measured on Unix only")
    model = VALID.build()
    model.graph.initializer[0].ClearField("dims")
    model.graph.initializer[0].dims.extend([2**20, 2**14])
    path = write(tmp_path / "model.onnx", model)
    unit = 1 if sys.platform == "darwin" else 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    reject(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit < before + 2**28
