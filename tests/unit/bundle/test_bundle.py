"""Loading and running a model file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.bundle import FORMAT_VERSION, METADATA_KEY, Bundle, BundleInfo
from mien.errors import ArtifactError
from mien.faces.crop import CropContract

SIZE = 8
INFO = BundleInfo(
    classes=("Neutral", "Happy", "Sad"),
    crop=CropContract(method="whole", size=16),
    input_size=SIZE,
    tasks=("expression",),
    temperature=1.5,
    training={"recipe": "tiny", "dev": {"accuracy": 0.5}},
    licence="CC0",
)


@pytest.fixture
def save_model(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a model whose probabilities are softmax(mean of RGB / 50)."""
    onnx = pytest.importorskip("onnx", reason="building a model file needs onnx")
    from onnx import TensorProto, helper, numpy_helper

    def save(metadata: str | None) -> Path:
        nodes = [
            helper.make_node("Cast", ["images"], ["values"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["values"], ["rgb"], axes=[1, 2], keepdims=0),
            helper.make_node("Mul", ["rgb", "scale"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["expression"], axis=1),
        ]
        graph = helper.make_graph(
            nodes,
            "tiny",
            [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", SIZE, SIZE, 3])],
            [helper.make_tensor_value_info("expression", TensorProto.FLOAT, ["N", 3])],
            [numpy_helper.from_array(np.float32(0.02), "scale")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        if metadata is not None:
            helper.set_model_props(model, {METADATA_KEY: metadata})
        path = tmp_path / "model.onnx"
        onnx.save(model, path)
        return path

    return save


def test_info_survives_the_file(save_model: Callable[..., Path]) -> None:
    """What a model says of itself is read back as it was written."""
    assert Bundle.load(save_model(INFO.to_json())).info == INFO


def test_run_gives_what_the_graph_computes(save_model: Callable[..., Path]) -> None:
    """Outputs are the graph's; tasks that the model lacks are None."""
    images = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 3), dtype=np.uint8)
    outputs = Bundle.load(save_model(INFO.to_json()), threads=1).run(images)
    powers = np.exp(images.mean(axis=(1, 2)) / 50)
    np.testing.assert_allclose(outputs.probabilities, powers / powers.sum(axis=1, keepdims=True), rtol=1e-4)
    assert (outputs.landmarks, outputs.valence_arousal) == (None, None)


@pytest.mark.parametrize(
    "images",
    [
        pytest.param(np.zeros((1, SIZE, SIZE, 3), np.float32), id="float"),
        pytest.param(np.zeros((1, SIZE + 1, SIZE, 3), np.uint8), id="size"),
        pytest.param(np.zeros((SIZE, SIZE, 3), np.uint8), id="no batch"),
        pytest.param(np.zeros((1, 3, SIZE, SIZE), np.uint8), id="channels first"),
    ],
)
def test_wrong_images_are_refused(save_model: Callable[..., Path], images: Any) -> None:
    """Another type or shape is told with what is needed, before onnxruntime sees it."""
    with pytest.raises(ValueError, match=r"must be uint8 \(N, 8, 8, 3\)"):
        Bundle.load(save_model(INFO.to_json())).run(images)


def test_missing_file(tmp_path: Path) -> None:
    """A model that is not there is told with the command that makes one."""
    with pytest.raises(ArtifactError, match=r"does not exist. Make one with `mien export"):
        Bundle.load(tmp_path / "none.onnx")


@pytest.mark.parametrize("content", [b"", b"this is no model", b"\x08\x08" + bytes(500)])
def test_file_that_is_no_model(tmp_path: Path, content: bytes) -> None:
    """What onnxruntime cannot load is one clear line."""
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"is no ONNX model that can be loaded") as caught:
        Bundle.load(path)
    assert "\n" not in str(caught.value)


def test_truncated_model(save_model: Callable[..., Path]) -> None:
    """A model that was cut while it was copied is one clear line."""
    path = save_model(INFO.to_json())
    path.write_bytes(path.read_bytes()[:-150])
    with pytest.raises(ArtifactError) as caught:
        Bundle.load(path)
    assert "\n" not in str(caught.value)


def test_foreign_model(save_model: Callable[..., Path]) -> None:
    """An ONNX model of another maker is told as that."""
    with pytest.raises(ArtifactError, match=r"is an ONNX model, but not one of mien's"):
        Bundle.load(save_model(None))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"classes": ["Neutral", "Happy"]}, id="a class too few"),
        pytest.param({"tasks": ["landmarks"]}, id="another task"),
        pytest.param({"tasks": ["expression", "landmarks"]}, id="a task too many"),
        pytest.param({"tasks": [["expression"]]}, id="a task that is no name"),
        pytest.param({"input_size": 9}, id="another size"),
        pytest.param({"input_size": "8"}, id="a size that is no number"),
        pytest.param({"training": [1]}, id="training that is no object"),
    ],
)
def test_metadata_of_another_network(save_model: Callable[..., Path], changes: dict[str, object]) -> None:
    """What does not describe the graph is refused when the file is loaded, not when the first face is read."""
    metadata = json.dumps({**json.loads(INFO.to_json()), **changes})
    with pytest.raises(ArtifactError, match=r"does not describe its network|is damaged"):
        Bundle.load(save_model(metadata))


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, None, "1"])
def test_other_version(save_model: Callable[..., Path], version: object) -> None:
    """Another format version is told with the one that is read, and with what to do."""
    metadata = json.dumps({**json.loads(INFO.to_json()), "format_version": version})
    with pytest.raises(
        ArtifactError, match=rf"format version {version!r}, this release reads 1. Export it again"
    ):
        Bundle.load(save_model(metadata))


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="cut"),
        pytest.param("[]", id="list"),
        pytest.param(json.dumps({"format_version": 1}), id="fields missing"),
        pytest.param(json.dumps({**json.loads(INFO.to_json()), "colour": 1}), id="unknown field"),
        pytest.param(
            json.dumps({**json.loads(INFO.to_json()), "crop": {"size": 3}}), id="crop that cannot be"
        ),
    ],
)
def test_damaged_metadata(save_model: Callable[..., Path], metadata: str) -> None:
    """Metadata that cannot be read is one clear line."""
    with pytest.raises(ArtifactError, match=r"The metadata of .* is damaged") as caught:
        Bundle.load(save_model(metadata))
    assert "\n" not in str(caught.value)


def test_a_class_of_an_earlier_release_has_its_name_of_today(save_model: Callable[..., Path]) -> None:
    text = json.dumps(json.loads(INFO.to_json()) | {"classes": ["Neutral", "Happy", "None"]})
    assert Bundle.load(save_model(text)).info.classes == ("Neutral", "Happy", "NoneOfEight")


@pytest.mark.parametrize(
    ("classes", "told"),
    [
        (["Neutral", "Happy", "Happy"], "stands twice"),
        (["Neutral", "Happy", "Sad\nmien: all is well"], "line break"),
        (["Neutral", "Happy", 3], "list of names"),
    ],
)
def test_classes_that_cannot_be_told(
    save_model: Callable[..., Path], classes: list[object], told: str
) -> None:
    text = json.dumps(json.loads(INFO.to_json()) | {"classes": classes})
    with pytest.raises(
        ArtifactError, match=f"metadata of .* is damaged: .*{told}.* Export it again"
    ) as error:
        Bundle.load(save_model(text))
    assert "\n" not in str(error.value)
