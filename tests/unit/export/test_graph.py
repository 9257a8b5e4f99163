"""The exported graph in another library."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="export needs the train extra")

import cv2
import onnx
import torch

from mien.export.graph import CalibratedNetwork, to_onnx
from mien.faces.crop import CropContract
from mien.formats.onnx_model import ModelInfo
from mien.nets.network import build_face_network
from mien.recipe import ModelConfig


@pytest.mark.parametrize("backbone", ["mien_resnet10", "test_resnet"])
def test_opencv_reads_the_file_and_computes_the_same(backbone: str, tmp_path: Path) -> None:
    """Its importer takes no shapes that are computed from integers, as torch exports adaptive pooling by itself."""
    torch.manual_seed(0)
    config = ModelConfig(backbone=backbone, pretrained=False)
    network = build_face_network(config, 8, input_size=48, pretrained=False).eval()
    graph = CalibratedNetwork(network.fold_normalization(48), 1.5).eval()
    info = ModelInfo(tuple("abcdefgh"), CropContract(), 48, network.tasks)
    onnx.save_model(to_onnx(graph, info), tmp_path / "model.onnx")
    crops = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), dtype=np.uint8)
    with torch.inference_mode():
        expected = [value.numpy() for value in graph(torch.from_numpy(crops))]
    reader = cv2.dnn.readNetFromONNX(str(tmp_path / "model.onnx"))
    reader.setInput(crops, "images")
    outputs = reader.forward([*network.tasks, "features"])
    for output, value in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(output.reshape(value.shape), value, atol=1e-4)
