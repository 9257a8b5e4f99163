"""What is taught is cropped as what is predicted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mien.datasets.base import FaceRecord
from mien.faces.crop import CropContract
from mien.faces.crop_options import CropMethod
from mien.faces.detector import DetectedFace
from mien.faces.landmarks import anchors_from_landmarks
from mien.formats.onnx_model import OnnxModel
from mien.inference.given_faces import GivenFaces
from mien.inference.pipeline import crop_face
from mien.teach.stage import crop_record

RANDOM = np.random.default_rng(0)
LANDMARKS = RANDOM.uniform((45, 30), (95, 80), (68, 2))
LANDMARKS[36:42], LANDMARKS[42:48] = (58, 45), (82, 46)
LANDMARKS[30], LANDMARKS[48], LANDMARKS[54] = (70, 58), (61, 68), (79, 69)
IMAGE = RANDOM.integers(0, 256, (120, 150, 3), dtype=np.uint8)


class NeverAsked:
    """A detector that nobody needs."""

    def find_faces(self, image_rgb: object) -> list[DetectedFace]:
        """Fail."""
        raise AssertionError


@pytest.mark.parametrize("method", ["box", "aligned"])
@pytest.mark.parametrize("has_all", [True, False], ids=["landmarks", "anchors"])
def test_points_without_a_box(method: CropMethod, has_all: bool, model_path: Path) -> None:
    """The box is that of the whole face, as for `Model.predict`."""
    crop = CropContract(method=method, margin=0.1, size=64)
    info = replace(OnnxModel.load(model_path).info, crop=crop)
    anchors = anchors_from_landmarks(LANDMARKS)
    five = np.insert(anchors, 2, anchors.mean(axis=0), axis=0)
    given = GivenFaces(None, (LANDMARKS if has_all else five)[None])
    expected = crop_face(IMAGE, given.find_faces(IMAGE)[0], info).crop
    record = FaceRecord(IMAGE, 0, **({"landmarks": LANDMARKS} if has_all else {"anchors": anchors}))
    np.testing.assert_array_equal(crop_record(record, info, NeverAsked()).crop, expected)
