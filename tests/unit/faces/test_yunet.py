"""The network of YuNet's file, compared with OpenCV's own implementation."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mien.faces.images import to_rgb
from mien.faces.yunet import YuNet

Photographs = list[tuple[NDArray[np.uint8], NDArray[np.float64]]]


@pytest.mark.parametrize("size_wh", [(350, 350), (320, 240), (161, 203), (640, 480), (64, 64)])
def test_yunet_computes_what_opencv_computes(
    yunet_path: Path, photographs: Photographs, size_wh: tuple[int, int]
) -> None:
    """Boxes and points to a hundredth of a pixel, scores to a ten-thousandth, in the same order of scores."""
    opencv = cv2.FaceDetectorYN.create(str(yunet_path), "", size_wh, 0.6, 0.3, 5000)
    network = YuNet(yunet_path.read_bytes())
    n_faces = 0
    for image, _ in photographs[:12]:
        photo = np.ascontiguousarray(cv2.resize(to_rgb(image), size_wh)[:, :, ::-1])
        # several faces, and one that is truncated
        photo = np.ascontiguousarray(np.roll(photo, size_wh[0] // 3, axis=1))
        expected, found = opencv.detect(photo)[1], network.detect(photo, score_threshold=0.6)
        expected = np.empty((0, 15)) if expected is None else expected
        assert len(expected) == len(found)
        n_faces += len(found)
        np.testing.assert_allclose(found[:, :14], expected[:, :14], atol=0.01)
        np.testing.assert_allclose(found[:, 14], expected[:, 14], atol=1e-4)
    assert n_faces >= 8


@pytest.mark.parametrize("n_bytes", [0, 1, 100, 20_000, 232_588])
def test_a_truncated_yunet_file_is_an_error(yunet_path: Path, n_bytes: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        YuNet(yunet_path.read_bytes()[:n_bytes])


def test_another_network_is_not_yunet(model_path: Path) -> None:
    """A model that onnxruntime loads, but whose outputs are others."""
    with pytest.raises(ValueError, match="its outputs are "):
        YuNet(model_path.read_bytes())
