"""The model file against torch, for several backbones."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="export needs the train extra")

import torch

from mien.bundle import TASKS, Bundle, BundleInfo
from mien.export.stage import CalibratedNetwork, check_against_torch, to_onnx
from mien.faces.crop import CropContract
from mien.network import FaceNetwork, create_backbone
from mien.recipe import ModelConfig

SIZE = 32
CLASSES = ("Neutral", "Happy", "Sad", "Anger")


def build_graph(backbone: str, *, heads: bool, temperature: float) -> torch.nn.Module:
    """A network whose batch norms and heads are not at their starting values, as after training."""
    torch.manual_seed(0)
    config = ModelConfig(landmarks=heads, valence_arousal=heads)
    network = FaceNetwork(create_backbone(backbone, input_size=SIZE), len(CLASSES), config)
    network.train()
    for _ in range(3):
        network(torch.randint(0, 256, (8, SIZE, SIZE, 3), dtype=torch.uint8))
    for head in (network.landmark_head, network.affect_head):
        if head is not None:
            torch.nn.init.normal_(head.weight, std=0.02)
    return CalibratedNetwork(network, temperature).eval()


@pytest.mark.parametrize(
    ("backbone", "heads"),
    [
        pytest.param("resnet18", False, id="resnet18 without heads"),
        pytest.param("resnet18", True, id="resnet18", marks=pytest.mark.slow),
        pytest.param("mobilenetv3_small_050", True, id="mobilenetv3", marks=pytest.mark.slow),
        pytest.param("efficientnet_b0", True, id="efficientnet_b0", marks=pytest.mark.slow),
        pytest.param("vit_tiny_patch16_224", True, id="vit", marks=pytest.mark.slow),
    ],
)
def test_the_file_computes_what_torch_computes(tmp_path: Path, backbone: str, heads: bool) -> None:
    """Every output of one face and of many agrees with torch, and nothing else is in the file."""
    graph = build_graph(backbone, heads=heads, temperature=1.7)
    info = BundleInfo(CLASSES, CropContract(size=SIZE), SIZE, TASKS if heads else TASKS[:1], temperature=1.7)
    path = tmp_path / "model.onnx"
    path.write_bytes(to_onnx(graph, info))
    bundle = Bundle.load(path, threads=1)
    assert bundle.info == info
    random = np.random.default_rng(0)
    for n_faces in (1, 2, 5):
        crops = random.integers(0, 256, (n_faces, SIZE, SIZE, 3), dtype=np.uint8)
        assert check_against_torch(bundle, graph, crops) < 1e-4
        outputs = bundle.run(crops)
        assert outputs.probabilities.shape == (n_faces, len(CLASSES))
        np.testing.assert_allclose(outputs.probabilities.sum(axis=1), 1, rtol=1e-5)
        assert (outputs.landmarks is not None) == heads
        assert (outputs.valence_arousal is not None) == heads
        with torch.inference_mode():
            logits = graph.network(torch.from_numpy(crops)).logits.double().numpy() / 1.7
        softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(outputs.probabilities, softmax, atol=1e-5)
