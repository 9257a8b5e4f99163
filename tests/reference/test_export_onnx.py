"""The model file against torch, for several backbones."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="export needs the train extra")

import torch

from mien.export.graph import CalibratedNetwork, check_against_torch, to_file, to_onnx
from mien.faces.crop import CropContract
from mien.formats.onnx_model import TASKS, ModelInfo, OnnxModel
from mien.nets.network import build_face_network
from mien.recipe import ModelConfig

SIZE = 32
CLASSES = ("Neutral", "Happy", "Sad", "Anger")


def build_graph(model: ModelConfig, *, temperature: float) -> torch.nn.Module:
    """A network with batch norms and heads away from their initial values, as after training."""
    torch.manual_seed(0)
    network = build_face_network(model, len(CLASSES), input_size=SIZE, pretrained=False)
    network.train()
    for _ in range(3):
        network(torch.randint(0, 256, (8, SIZE, SIZE, 3), dtype=torch.uint8))
    for name, value in network.named_parameters():
        if name in ("landmark_head.weight", "affect_head.weight"):
            torch.nn.init.normal_(value, std=0.02)
    return CalibratedNetwork(network, temperature).eval()


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            ModelConfig("resnet18", landmarks=False, valence_arousal=False, grayscale=True),
            id="resnet18 without heads, reading brightness",
        ),
        pytest.param(
            ModelConfig(
                "mobilenetv3_small_050", stem_stride=1, head_hidden_size=32, condition_on_landmarks=True
            ),
            id="stride, hidden layer, fed landmarks",
            marks=pytest.mark.slow,
        ),
        *(
            pytest.param(ModelConfig(backbone), id=backbone, marks=pytest.mark.slow)
            for backbone in ("resnet18", "mobilenetv3_small_050", "efficientnet_b0", "vit_tiny_patch16_224")
        ),
        pytest.param(
            ModelConfig("efficientnet_b0", stem_stride=1, condition_on_landmarks=True),
            id="efficientnet_b0 with another stride",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ModelConfig(
                "vit_tiny_patch16_224",
                head_hidden_size=32,
                condition_on_landmarks=True,
                valence_arousal=False,
            ),
            id="vit with a hidden layer",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_the_file_computes_what_torch_computes(tmp_path: Path, model: ModelConfig) -> None:
    """Every output for one face and for many agrees with torch, and the file has no other outputs."""
    graph = build_graph(model, temperature=1.7)
    info = ModelInfo(CLASSES, CropContract(size=SIZE), SIZE, graph.network.tasks, temperature=1.7)
    assert set(info.tasks) <= set(TASKS)
    path = tmp_path / "model.onnx"
    path.write_bytes(to_file(to_onnx(graph, info), info))
    exported = OnnxModel.load(path, threads=1)
    assert exported.info == info
    random = np.random.default_rng(0)
    for n_faces in (1, 2, 5):
        crops = random.integers(0, 256, (n_faces, SIZE, SIZE, 3), dtype=np.uint8)
        assert check_against_torch(exported, graph, crops) < 1e-4
        outputs = exported.run(crops)
        assert outputs["expression"].shape == (n_faces, len(CLASSES))
        np.testing.assert_allclose(outputs["expression"].sum(axis=1), 1, rtol=1e-5)
        assert ("landmarks" in outputs) == model.landmarks
        assert ("valence_arousal" in outputs) == model.valence_arousal
        with torch.inference_mode():
            logits = graph.network(torch.from_numpy(crops))["expression"].double().numpy() / 1.7
        softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(outputs["expression"], softmax, atol=1e-5)
