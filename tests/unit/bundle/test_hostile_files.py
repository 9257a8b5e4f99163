"""Model files that are damaged or made to harm: each is refused in one line when it is loaded."""

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

from mien.bundle import METADATA_KEY, Bundle, BundleInfo
from mien.errors import ArtifactError, MienError
from mien.faces.crop import CropContract
from mien.model_file import HASH_KEY, ZEROS, with_hash

SIZE = 8
INFO = BundleInfo(
    ("Neutral", "Happy", "Sad"), CropContract(method="whole", size=16), SIZE, tasks=("expression",)
)
value_info, node = helper.make_tensor_value_info, helper.make_node


@dataclass(frozen=True)
class Recipe:
    """What a model file is made of; the default is a good one."""

    nodes: tuple[Any, ...] = (
        node("Cast", ["images"], ["values"], to=TensorProto.FLOAT),
        node("ReduceMean", ["values"], ["rgb"], axes=[1, 2], keepdims=0),
        node("Mul", ["rgb", "scale"], ["logits"]),
        node("Softmax", ["logits"], ["expression"], axis=1),
    )
    inputs: tuple[Any, ...] = (value_info("images", TensorProto.UINT8, ["N", SIZE, SIZE, 3]),)
    outputs: tuple[Any, ...] = (value_info("expression", TensorProto.FLOAT, ["N", 3]),)
    weights: tuple[Any, ...] = (numpy_helper.from_array(np.float32(0.02), "scale"),)
    metadata: dict[str, str] = field(
        default_factory=lambda: {METADATA_KEY: INFO.to_json(), HASH_KEY: ZEROS.decode()}
    )
    opset: int = 13
    ir_version: int = 8

    def build(self) -> Any:
        """Return the model, not written yet."""
        graph = helper.make_graph(self.nodes, "tiny", self.inputs, self.outputs, self.weights)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=self.ir_version
        )
        helper.set_model_props(model, self.metadata)
        return model


GOOD = Recipe()
WITHOUT_HASH = replace(GOOD, metadata={METADATA_KEY: INFO.to_json()})
GOOD_BYTES = WITHOUT_HASH.build().SerializeToString()


def write(path: Path, model: Any) -> Path:
    """Write a file with the hash of what it holds, where it has a place for one, as its maker would."""
    content = model.SerializeToString()
    path.write_bytes(with_hash(content) if ZEROS in content else content)
    return path


def refuse(path: Path) -> str:
    """Load a file; return the one line that refuses it."""
    with pytest.raises(MienError) as caught:
        Bundle.load(path, threads=1)
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 1200
    line.encode()
    return line


def test_the_good_one_is_loaded(tmp_path: Path) -> None:
    """What the others are changed from is read, with its hash and without."""
    for recipe in (GOOD, WITHOUT_HASH):
        path = write(tmp_path / "model.onnx", recipe.build())
        assert Bundle.load(path, threads=1).info == INFO


def test_no_flipped_bit_is_silent(tmp_path: Path) -> None:
    """Whichever bit of a file is another one, it is refused; of the metadata and the hash every single one."""
    path = write(tmp_path / "model.onnx", GOOD.build())
    content = path.read_bytes()
    hash_entry = content.index(HASH_KEY.encode()) - 4
    random = np.random.default_rng(0)
    places = {
        *random.integers(0, 8 * len(content), 100).tolist(),
        *range(8 * hash_entry, 8 * hash_entry + 144),
    }
    places |= set(range(8 * (hash_entry + 18), 8 * len(content), 7))
    for place in sorted(places):
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        assert refuse(path), place


def test_the_hash_is_that_of_the_file_with_zeros(tmp_path: Path) -> None:
    """Another program checks it by the rule of docs/formats.md, in three lines."""
    from hashlib import sha256

    content = write(tmp_path / "model.onnx", GOOD.build()).read_bytes()
    start = content.index(b"mien_sha256\x12\x40") + len(b"mien_sha256\x12\x40")
    recorded = content[start : start + 64]
    zeroed = content[:start] + b"0" * 64 + content[start + 64 :]
    assert sha256(zeroed).hexdigest().encode() == recorded


def deep_graph() -> bytes:
    """A node in a graph in an attribute of a node, ten thousand times: what recursion would not bear."""

    def wrap(tag: int, content: bytes) -> bytes:
        length, size = b"", len(content)
        while size >= 128:
            length, size = length + bytes([size & 127 | 128]), size >> 7
        return bytes([tag]) + length + bytes([size]) + content

    content = b""
    for _ in range(10_000):
        content = wrap(0x0A, wrap(0x2A, wrap(0x32, content)))
    return wrap(0x3A, content) + GOOD_BYTES


BYTES = {
    "empty": b"",
    "text": b"this is no model",
    "zeros": bytes(1000),
    "ones": b"\xff" * 1000,
    "noise": np.random.default_rng(0).bytes(5000),
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "a zip file": b"PK\x03\x04" + bytes(100),
    "onnxruntime's own format": b"\x20\x00\x00\x00ORTM" + bytes(200),
    "an endless number": b"\x08" + b"\xff" * 20,
    "a length beyond the file": b"\x3a\xff\xff\xff\xff\x0f" + bytes(10),
    "a group": b"\x3b" + GOOD_BYTES,
    "deeply nested": deep_graph(),
    "metadata alone": GOOD_BYTES[GOOD_BYTES.index(METADATA_KEY.encode()) - 4 :],
    "text behind it": GOOD_BYTES + b"\x32\x05hello",
}


@pytest.mark.parametrize("name", BYTES)
def test_bytes_that_are_no_model(tmp_path: Path, name: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(BYTES[name])
    assert "is no ONNX model that can be loaded" in refuse(path)


def test_truncated_anywhere(tmp_path: Path) -> None:
    content = write(tmp_path / "model.onnx", GOOD.build()).read_bytes()
    for n_bytes in range(1, len(content), 17):
        (tmp_path / "model.onnx").write_bytes(content[:n_bytes])
        refuse(tmp_path / "model.onnx")


def test_a_file_larger_than_any_model(tmp_path: Path) -> None:
    """It is refused by its size, before it is read."""
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        file.truncate(2**32)
    assert "has 4,294,967,296 bytes" in refuse(path)


images, expression = GOOD.inputs[0], GOOD.outputs[0]
TO_LOGITS = GOOD.nodes[:3]


def of_type(kind: int) -> Recipe:
    """The good one, with its answers in another type."""
    nodes = (
        *TO_LOGITS,
        node("Softmax", ["logits"], ["p"], axis=1),
        node("Cast", ["p"], ["expression"], to=kind),
    )
    return replace(GOOD, nodes=nodes, outputs=(value_info("expression", kind, ["N", 3]),))


def answering(*nodes: Any, **constants: np.ndarray) -> Recipe:
    """The good one, with an answer that is computed from its logits in another way."""
    weights = tuple(numpy_helper.from_array(array, name) for name, array in constants.items())
    return replace(GOOD, nodes=(*TO_LOGITS, *nodes), weights=GOOD.weights + weights)


def told(**changes: Any) -> Recipe:
    """The good one, with other metadata."""
    return replace(
        GOOD, metadata={**GOOD.metadata, METADATA_KEY: json.dumps({**json.loads(INFO.to_json()), **changes})}
    )


def with_text(text: str) -> Recipe:
    return replace(GOOD, metadata={**GOOD.metadata, METADATA_KEY: text})


def with_input(kind: int, shape: list[Any], name: str = "images") -> Recipe:
    return replace(GOOD, inputs=(value_info(name, kind, shape),))


def with_affect(scale: float) -> Recipe:
    nodes = (
        *GOOD.nodes,
        node("Slice", ["logits", "from", "to", "axis"], ["two"]),
        node("Mul", ["two", "by"], ["valence_arousal"]),
    )
    constants = {"from": np.array([0]), "to": np.array([2]), "axis": np.array([1]), "by": np.float32(scale)}
    return replace(
        told(tasks=["expression", "valence_arousal"]),
        nodes=nodes,
        outputs=(expression, value_info("valence_arousal", TensorProto.FLOAT, ["N", 2])),
        weights=(*GOOD.weights, *(numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items())),
    )


RECIPES: dict[str, Recipe] = {
    "input of floats": with_input(TensorProto.FLOAT, ["N", SIZE, SIZE, 3]),
    "input of signed bytes": with_input(TensorProto.INT8, ["N", SIZE, SIZE, 3]),
    "input without faces": with_input(TensorProto.UINT8, [SIZE, SIZE, 3]),
    "input of any size": with_input(TensorProto.UINT8, ["N", "H", "W", 3]),
    "input of channels first": with_input(TensorProto.UINT8, ["N", 3, SIZE, SIZE]),
    "input of one face": with_input(TensorProto.UINT8, [1, SIZE, SIZE, 3]),
    "input of no shape": with_input(TensorProto.UINT8, []),
    "a second input": replace(GOOD, inputs=(images, value_info("more", TensorProto.FLOAT, [1]))),
    "half precision": of_type(TensorProto.FLOAT16),
    "double precision": of_type(TensorProto.DOUBLE),
    "whole numbers": of_type(TensorProto.INT64),
    "a second output": replace(GOOD, outputs=(expression, value_info("logits", TensorProto.FLOAT, ["N", 3]))),
    "another number of classes": replace(GOOD, outputs=(value_info("expression", TensorProto.FLOAT, ["N", 4]),)),
    "an unknown operator": answering(node("Nonsense", ["logits"], ["expression"])),
    "an operator of another domain": answering(node("Softmax", ["logits"], ["expression"], domain="x.y")),
    "an unknown opset": replace(GOOD, opset=999),
    "an unknown version of ONNX": replace(GOOD, ir_version=999),
    "logits": answering(node("Identity", ["logits"], ["expression"])),
    "negative probabilities": answering(
        node("Softmax", ["logits"], ["p"], axis=1), node("Sub", ["p", "shift"], ["expression"]),
        shift=np.array([-1, 0.5, 0.5], np.float32),
    ),
    "probabilities that sum to half": answering(
        node("Softmax", ["logits"], ["p"], axis=1), node("Mul", ["p", "half"], ["expression"]), half=np.float32(0.5)
    ),
    "no numbers": answering(node("Mul", ["logits", "nan"], ["expression"]), nan=np.float32(np.nan)),
    "another shape than it says": answering(
        node("Softmax", ["logits"], ["p"], axis=1), node("Expand", ["p", "shape"], ["expression"]),
        shape=np.array([5, 1, 3]),
    ),
    "a shape that cannot be": answering(
        node("Reshape", ["logits", "shape"], ["seven"]), node("Softmax", ["seven"], ["expression"], axis=1),
        shape=np.array([7, 3]),
    ),
    "valence beyond 1": with_affect(100.0),
    "two metadata entries more": replace(GOOD, metadata={**GOOD.metadata, "other": "x"}),
    "no metadata": replace(GOOD, metadata={}),
    "the hash alone": replace(GOOD, metadata={HASH_KEY: ZEROS.decode()}),
    "a short hash": replace(GOOD, metadata={METADATA_KEY: INFO.to_json(), HASH_KEY: "0"}),
    "no text": with_text(""),
    "no JSON": with_text("{"),
    "a list": with_text("[]"),
    "a number": with_text("1"),
    "deeply nested metadata": with_text("[" * 100_000),
    "megabytes of metadata": told(licence="x" * 2**21),
    "no classes": told(classes=[]),
    "a class twice": told(classes=["Sad", "Sad", "Happy"]),
    "classes as text": told(classes="abc"),
    "classes as numbers": told(classes=[1, 2, 3]),
    "a class without a name": told(classes=["Sad", "", "Happy"]),
    "a class that moves the cursor": told(classes=["Sad", "\x1b[2J", "Happy"]),
    "a class of two lines": told(classes=["Sad", "a\nb", "Happy"]),
    "a class that no terminal can write": told(classes=["Sad", "\ud800", "Happy"]),
    "classes as an object": told(classes={"a": 1, "b": 2, "c": 3}),
    "two classes": told(classes=["Sad", "Happy"]),
    "no tasks": told(tasks=[]),
    "tasks as text": told(tasks="expression"),
    "a task twice": told(tasks=["expression", "expression"]),
    "an unknown task": told(tasks=["expression", "age"]),
    "a task that the graph lacks": told(tasks=["expression", "landmarks"]),
    "no crop": told(crop=None),
    "an empty crop": told(crop={}),
    "an unknown resampling": told(crop={**INFO.crop.to_dict(), "resampling": "nearest"}),
    "an unknown border": told(crop={**INFO.crop.to_dict(), "border": "white"}),
    "a crop of no pixels": told(crop={**INFO.crop.to_dict(), "size": 0}),
    "a crop of too many pixels": told(crop={**INFO.crop.to_dict(), "size": 10**9}),
    "a crop of half pixels": told(crop={**INFO.crop.to_dict(), "size": 20.5}),
    "a margin that is no number": told(crop={**INFO.crop.to_dict(), "margin": float("nan")}),
    "a crop of more": told(crop={**INFO.crop.to_dict(), "more": 1}),
    "no input size": told(input_size=0),
    "a negative input size": told(input_size=-8),
    "an absurd input size": told(input_size=10**6),
    "an input size that is true": told(input_size=True),
    "an input size with a fraction": told(input_size=8.0),
    "an absurd input size on both sides": replace(
        told(input_size=10**6), inputs=(value_info("images", TensorProto.UINT8, ["N", 10**6, 10**6, 3]),)
    ),
    **{
        f"a temperature of {odd!r}": told(temperature=odd)
        for odd in (0, -1.0, float("nan"), float("inf"), "1", None, True, [])
    },
    "training that is no number": told(training={"dev": {"accuracy": float("nan")}}),
    "training beyond all numbers": with_text(INFO.to_json().replace('"training": {}', '"training": {"a": 1e999}')),
    "training of huge numbers": with_text(INFO.to_json().replace('"training": {}', '"training": {"a": 1' + 99 * "0" + "}")),
    "training as a list": told(training=[1]),
    "a licence that is no text": told(licence=7),
    "quantisation that is no object": told(quantisation="int8"),
    "another format version": told(format_version=2),
    "a format version that is true": told(format_version=True),
    "no format version": told(format_version=None),
    "an unknown value": told(colour="red"),
}  # fmt: skip


def test_the_probes_of_affect_are_good_but_for_one_thing(tmp_path: Path) -> None:
    """A model of the same graph whose valence is in its range is loaded."""
    Bundle.load(write(tmp_path / "model.onnx", with_affect(0.1).build()), threads=1)


@pytest.mark.parametrize("name", RECIPES)
def test_models_that_are_not_what_they_should_be(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    """Each is refused in one line, and onnxruntime adds none of its own."""
    refuse(write(tmp_path / "model.onnx", RECIPES[name].build()))
    assert capfd.readouterr() == ("", "")


def test_an_output_of_another_name(tmp_path: Path) -> None:
    nodes = (*TO_LOGITS, node("Softmax", ["logits"], ["answer"], axis=1))
    recipe = replace(GOOD, nodes=nodes, outputs=(value_info("answer", TensorProto.FLOAT, ["N", 3]),))
    assert "does not describe its network" in refuse(write(tmp_path / "model.onnx", recipe.build()))


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
    "place", [in_a_weight, in_a_constant, in_a_branch, in_a_sparse_weight, in_a_function]
)
@pytest.mark.parametrize("location", ["weights.bin", "../secret.bin", "/etc/passwd"])
def test_weights_in_other_files(tmp_path: Path, place: Callable[[Any, str], None], location: str) -> None:
    """A model that refers to other files is refused before any of them is opened, inside its folder and outside."""
    folder = tmp_path / "models"
    folder.mkdir()
    for path in (folder / "weights.bin", tmp_path / "secret.bin"):
        path.write_bytes(np.float32(0.02).tobytes())
    model = WITHOUT_HASH.build()
    place(model, location)
    with pytest.raises(ArtifactError, match="keeps weights in another file, which is not read"):
        Bundle.load(write(folder / "model.onnx", model), threads=1)


def test_a_weight_of_absurd_size(tmp_path: Path) -> None:
    """A weight that claims more numbers than the file has is refused before memory is taken for it."""
    resource = pytest.importorskip("resource", reason="memory is measured on Unix alone")
    model = GOOD.build()
    model.graph.initializer[0].ClearField("dims")
    model.graph.initializer[0].dims.extend([2**20, 2**14])
    path = write(tmp_path / "model.onnx", model)
    unit = 1 if sys.platform == "darwin" else 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    refuse(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit < before + 2**28
