"""Loading and running a model file."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.errors import ArtifactError
from mien.faces.action_units import ActionUnits
from mien.faces.crop import CropContract
from mien.faces.quality import QUALITY
from mien.formats.onnx_model import FORMAT_VERSION, METADATA_KEY, ModelInfo, OnnxModel

SIZE = 8
INFO = ModelInfo(
    classes=("Neutral", "Happy", "Sad"),
    crop=CropContract(method="whole", size=16),
    input_size=SIZE,
    tasks=("expression",),
    temperature=1.5,
    training={"recipe": "tiny", "dev": {"accuracy": 0.5}},
    license="CC0",
)


@pytest.fixture
def save_model(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a model whose probabilities are softmax(mean of RGB / 50)."""
    onnx = pytest.importorskip("onnx", reason="building a model file needs onnx")
    from onnx import TensorProto, helper, numpy_helper

    def save(metadata: str | None) -> Path:
        nodes = [
            helper.make_node("Cast", ["images"], ["values"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["values"], ["features"], axes=[1, 2], keepdims=0),
            helper.make_node("Mul", ["features", "scale"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["expression"], axis=1),
        ]
        graph = helper.make_graph(
            nodes,
            "tiny",
            [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", SIZE, SIZE, 3])],
            [
                helper.make_tensor_value_info("expression", TensorProto.FLOAT, ["N", 3]),
                helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 3]),
            ],
            [numpy_helper.from_array(np.float32(0.02), "scale")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        if metadata is not None:
            helper.set_model_props(model, {METADATA_KEY: metadata})
        path = tmp_path / "model.onnx"
        onnx.save(model, path)
        return path

    return save


def test_action_units_in_the_metadata() -> None:
    """Names and kind are read back; a task without them, or with other shapes, is refused."""
    units = ActionUnits(("AU06", "AU12"), "intensity")
    info = replace(INFO, tasks=("expression", "action_units"), annotations={"action_units": units})
    assert ModelInfo.from_json(info.to_json(), where="file") == info
    assert info.output_shapes() == {"expression": [3], "action_units": [2]}
    assert "annotations" not in json.loads(INFO.to_json())
    with pytest.raises(
        ArtifactError, match="`tasks` must be a subset of expression, landmarks, valence_arousal that"
    ):
        ModelInfo.from_json(replace(info, annotations={}).to_json(), where="file")


def test_the_quality_rule_in_the_metadata() -> None:
    """It is read back; a file without one has no key, and a wrong one is refused."""
    rule = {part: dict(QUALITY[part]) for part in ("limits", "right_answers")}
    info = replace(INFO, quality_rule=rule)
    assert ModelInfo.from_json(info.to_json(), where="file") == info
    assert "quality_rule" not in json.loads(INFO.to_json())
    wrong = replace(INFO, quality_rule={"limits": rule["limits"]})
    with pytest.raises(ArtifactError, match="`quality_rule`: `right_answers` must have too small"):
        ModelInfo.from_json(wrong.to_json(), where="file")


def test_info_survives_the_file(save_model: Callable[..., Path]) -> None:
    """The metadata is read back as it was written."""
    assert OnnxModel.load(save_model(INFO.to_json())).info == INFO


def test_run_returns_what_the_graph_computes(save_model: Callable[..., Path]) -> None:
    """Outputs are the graph's; tasks that the model lacks are None."""
    images = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 3), dtype=np.uint8)
    outputs = OnnxModel.load(save_model(INFO.to_json()), threads=1).run(images)
    powers = np.exp(images.mean(axis=(1, 2)) / 50)
    np.testing.assert_allclose(outputs["expression"], powers / powers.sum(axis=1, keepdims=True), rtol=1e-4)
    assert list(outputs) == ["expression"]


def test_features_are_returned_when_they_are_asked_for(save_model: Callable[..., Path]) -> None:
    """With the same outputs beside them."""
    images = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 3), dtype=np.uint8)
    model = OnnxModel.load(save_model(INFO.to_json()), threads=1)
    outputs, features = model.run_with_features(images)
    assert model.n_features == 3
    np.testing.assert_allclose(features, images.mean(axis=(1, 2)), rtol=1e-5)
    assert list(outputs) == ["expression"]
    assert np.array_equal(outputs["expression"], model.run(images)["expression"])


@pytest.mark.parametrize(
    "images",
    [
        pytest.param(np.zeros((1, SIZE, SIZE, 3), np.float32), id="float"),
        pytest.param(np.zeros((1, SIZE + 1, SIZE, 3), np.uint8), id="size"),
        pytest.param(np.zeros((SIZE, SIZE, 3), np.uint8), id="no batch"),
        pytest.param(np.zeros((1, 3, SIZE, SIZE), np.uint8), id="channels first"),
    ],
)
def test_wrong_images_are_rejected(save_model: Callable[..., Path], images: Any) -> None:
    """Another dtype or shape is rejected with the required one, before onnxruntime sees it."""
    model = OnnxModel.load(save_model(INFO.to_json()))
    for run in (model.run, model.run_with_features):
        with pytest.raises(ValueError, match=r"must be uint8 \(N, 8, 8, 3\)"):
            run(images)


def test_missing_file(tmp_path: Path) -> None:
    """The message for a missing file names the command that writes one."""
    with pytest.raises(ArtifactError, match=r"does not exist. Make one with `mien export"):
        OnnxModel.load(tmp_path / "none.onnx")


@pytest.mark.parametrize("content", [b"", b"this is not a model", b"\x08\x08" + bytes(500)])
def test_file_that_is_not_a_model(tmp_path: Path, content: bytes) -> None:
    """A file that onnxruntime cannot load gives a one-line message."""
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"is not a loadable ONNX model") as caught:
        OnnxModel.load(path)
    assert "\n" not in str(caught.value)


def test_truncated_model(save_model: Callable[..., Path]) -> None:
    """A truncated copy gives a one-line message."""
    path = save_model(INFO.to_json())
    path.write_bytes(path.read_bytes()[:-150])
    with pytest.raises(ArtifactError) as caught:
        OnnxModel.load(path)
    assert "\n" not in str(caught.value)


def test_foreign_model(save_model: Callable[..., Path]) -> None:
    """An ONNX model written by another program is recognized as such."""
    with pytest.raises(ArtifactError, match=r"is an ONNX model, but was not written by mien"):
        OnnxModel.load(save_model(None))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"classes": ["Neutral", "Happy"]}, id="one class too few"),
        pytest.param({"tasks": ["landmarks"]}, id="another task"),
        pytest.param({"tasks": ["expression", "landmarks"]}, id="one task too many"),
        pytest.param({"tasks": [["expression"]]}, id="a task that is not a name"),
        pytest.param({"input_size": 9}, id="another size"),
        pytest.param({"input_size": "8"}, id="a size that is not a number"),
        pytest.param({"training": [1]}, id="training that is not an object"),
    ],
)
def test_metadata_of_another_network(save_model: Callable[..., Path], changes: dict[str, object]) -> None:
    """Metadata that does not describe the graph is rejected on loading, not on the first inference."""
    metadata = json.dumps({**json.loads(INFO.to_json()), **changes})
    with pytest.raises(ArtifactError, match=r"does not describe its network|is damaged"):
        OnnxModel.load(save_model(metadata))


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, None, "1"])
def test_other_version(save_model: Callable[..., Path], version: object) -> None:
    """The message for another format version names the supported one and what to do."""
    metadata = json.dumps({**json.loads(INFO.to_json()), "format_version": version})
    with pytest.raises(
        ArtifactError,
        match=rf"format version {version!r}, this release reads {FORMAT_VERSION}. Export it again",
    ):
        OnnxModel.load(save_model(metadata))


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="truncated"),
        pytest.param("[]", id="list"),
        pytest.param(json.dumps({"format_version": FORMAT_VERSION}), id="fields missing"),
        pytest.param(json.dumps({**json.loads(INFO.to_json()), "color": 1}), id="unknown field"),
        pytest.param(json.dumps({**json.loads(INFO.to_json()), "crop": {"size": 3}}), id="an invalid crop"),
    ],
)
def test_damaged_metadata(save_model: Callable[..., Path], metadata: str) -> None:
    """Unreadable metadata gives a one-line message."""
    with pytest.raises(ArtifactError, match=r"The metadata of .* is damaged") as caught:
        OnnxModel.load(save_model(metadata))
    assert "\n" not in str(caught.value)


def test_class_names_of_earlier_releases_are_updated(save_model: Callable[..., Path]) -> None:
    text = json.dumps(json.loads(INFO.to_json()) | {"classes": ["Neutral", "Happy", "None"]})
    assert OnnxModel.load(save_model(text)).info.classes == ("Neutral", "Happy", "NoneOfEight")


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["Neutral", "Happy", "Happy"], "is repeated"),
        (["Neutral", "Happy", "Sad\nmien: all is well"], "line break"),
        (["Neutral", "Happy", 3], "list of names"),
    ],
)
def test_invalid_classes(save_model: Callable[..., Path], classes: list[object], message: str) -> None:
    text = json.dumps(json.loads(INFO.to_json()) | {"classes": classes})
    with pytest.raises(
        ArtifactError, match=f"metadata of .* is damaged: .*{message}.* Export it again"
    ) as error:
        OnnxModel.load(save_model(text))
    assert "\n" not in str(error.value)
