"""Landmarks for faces that have none, placed by the landmark head of a model instead of by people.

The face is detected first and cropped as the model requires: on FER+ the mean error is then 3.4% of the distance between
the eyes, instead of 8.1% on the full image (docs/results.md).
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.artifacts import file_sha256
from mien.assets.bundled_models import find_model, model_name, model_names
from mien.errors import ModelError
from mien.faces.boxes import area_xyxy, intersection_xyxy
from mien.faces.crop import transform_points
from mien.faces.detector import SAME_FACE_COVER, DetectedFace
from mien.formats.onnx_model import OnnxModel
from mien.inference.pipeline import crop_face

TASK = "landmarks"


class LandmarkModel(NamedTuple):
    """A model whose head places landmarks.

    Attributes:
        model: name of a bundled model, or the absolute path of a file, which a worker loads.
        sha256: hash of its file.
        label: what a pack calls it: its name and the start of the hash.
    """

    model: str
    sha256: str
    label: str

    def load(self) -> OnnxModel:
        """Return the loaded model, once per process."""
        return _load(self.model)


def find_landmark_model(model: str) -> LandmarkModel:
    """Return a model that places landmarks.

    Args:
        model: name of a bundled model, or path of a file written by `mien export`.

    Raises:
        ArtifactError: it does not exist, or cannot be used.
        ModelError: it has no landmark head.
    """
    path = find_model(model)
    tasks = OnnxModel.load(path, threads=1).info.tasks
    if TASK not in tasks:
        raise ModelError(
            f"--place-landmarks needs a model that outputs {TASK}, {path} outputs {', '.join(tasks)}: train one with "
            f"`--model.landmarks true`, or give {' or '.join(model_names())}"
        )
    sha256 = file_sha256(path)
    # The path of a bundled file may be another one on another machine.
    name = model if model in model_names() and not Path(model).is_file() else str(path.resolve())
    return LandmarkModel(name, sha256, f"{model_name(path)} ({sha256[:12]})")


@cache
def _load(model: str) -> OnnxModel:
    return OnnxModel.load(find_model(model), threads=1)


def match_face(found: Sequence[DetectedFace], box_xyxy: NDArray[np.float64] | None) -> DetectedFace | None:
    """Return the detected face that an annotated box is of: boxes of sets are tighter or wider than the head knows.

    Args:
        found: the faces in the image, the largest first.
        box_xyxy: the box in pixels; None for the largest face.

    Returns:
        The face; one that is only the box if none of those found is in it; None if there is neither.
    """
    if box_xyxy is None:
        return found[0] if found else None

    def overlap(face: DetectedFace) -> tuple[bool, float]:
        common = float(intersection_xyxy(face.box_xyxy, box_xyxy))
        areas = face.area, float(area_xyxy(box_xyxy))
        return common >= SAME_FACE_COVER * min(areas), common / max(sum(areas) - common, 1e-9)

    best = max(found, key=overlap, default=None)
    return best if best is not None and overlap(best)[0] else DetectedFace(box_xyxy, None, None)


def place_landmarks(
    image_rgb: NDArray[np.uint8], face: DetectedFace, model: OnnxModel
) -> NDArray[np.float64]:
    """Return the ``(68, 2)`` landmarks of a face in pixels of its image, ``(H, W, 3)`` uint8."""
    cropped = crop_face(image_rgb, face, model.info)
    return transform_points(cropped.to_image, model.run(cropped.crop[None])[TASK][0])
