"""Faces of a pack: those to explain by their keys, and the training faces that are most similar to a face."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.errors import ArtifactError
from mien.faces.crop import IDENTITY, resize_crop
from mien.faces.detector import DetectedFace
from mien.faces.quality import measure_quality
from mien.formats.onnx_model import OnnxModel
from mien.formats.pack import Pack, PackSplit
from mien.formats.pack.schema import NO_LABEL
from mien.formats.pack.selection import read_batches
from mien.inference.pipeline import CroppedFace, CroppedImage
from mien.metrics.embedding import nearest
from mien.runtime.progress import Progress
from mien.runtime.suggestion import did_you_mean

_log = logging.getLogger(__name__)

BATCH_FACES = 64


class Neighbor(NamedTuple):
    """A training face.

    Attributes:
        key: its key in the pack.
        label: its class; None if it has none.
        similarity: cosine of the angle between its features and those of the explained face, in [-1, 1].
        image_rgb: ``(S, S, 3)`` uint8.
    """

    key: str
    label: str | None
    similarity: float
    image_rgb: NDArray[np.uint8]


class PackedFace(NamedTuple):
    """A face of a pack that is to be explained.

    Attributes:
        image: the face, cropped as in an evaluation.
        label: its class; None if it has none.
        group: number of its near-duplicate group.
    """

    image: CroppedImage
    label: str | None
    group: int


def find_faces(faces: PackSplit, keys: Sequence[str], input_size: int) -> Iterator[PackedFace]:
    """Yield the faces of a split that have these keys, in the order of the keys.

    Raises:
        ArtifactError: no face has a key.
    """
    rows: dict[str, list[int]] = {}
    for row, key in enumerate(faces.keys):
        rows.setdefault(key, []).append(row)
    for key in keys:
        if key not in rows:
            raise ArtifactError(
                f"Split {faces.name!r} of pack {faces.pack.path} has no face with the key {key!r}, "
                f"predictions.csv of a report lists the keys{did_you_mean(key, rows)}"
            )
        for row in rows[key]:
            stored = faces.image(row)
            detection = DetectedFace(np.array([0.0, 0.0, *stored.shape[1::-1]]), None, None)
            to_image = IDENTITY * np.array([[stored.shape[1]], [stored.shape[0]]])
            face = CroppedFace(
                resize_crop(stored, input_size), to_image, detection, measure_quality(stored, detection)
            )
            image = CroppedImage(key, (face,), size_wh=(stored.shape[1], stored.shape[0]))
            yield PackedFace(image, _label(faces, row), int(faces.groups[row]))


@dataclass(frozen=True, slots=True)
class TrainingFaces:
    """The training faces of a pack, with their features.

    Attributes:
        model: the model.
        faces: the split train.
        features: ``(N, F)``.
    """

    model: OnnxModel
    faces: PackSplit
    features: NDArray[np.float32]

    @classmethod
    def read(cls, pack: Pack, model: OnnxModel) -> "TrainingFaces":
        """Run the model on all training faces.

        Raises:
            ArtifactError: the pack has no split train, or a shard is damaged.
            ModelError: the model's output is not finite.
        """
        faces = pack.split("train")
        if misfit := model.info.crop.explain_misfit(pack.info.crop, input_size=model.info.input_size):
            _log.warning("%s", misfit)
        batches = read_batches(faces, size=model.info.input_size, batch_size=BATCH_FACES)
        with Progress("Reading training faces", total=len(faces), unit="face") as progress:
            _, features = model.run_batches_with_features(batches, progress=progress)
        return cls(model, faces, features)

    def find_nearest(self, crop_rgb: NDArray[np.uint8], k: int, *, other_than: int | None) -> list[Neighbor]:
        """Return the K training faces that are most similar to one.

        Args:
            crop_rgb: ``(S, S, 3)`` uint8, the model's input.
            k: number of faces.
            other_than: the number of a near-duplicate group whose faces are left out; None for none.
        """
        _, features = self.model.run_with_features(crop_rgb[None])
        candidates = np.flatnonzero(self.faces.groups != (-1 if other_than is None else other_than))
        (order,), (similarity,) = nearest(features, self.features[candidates], k)
        return [
            Neighbor(self.faces.keys[row], _label(self.faces, row), float(cosine), self.faces.image(row))
            for row, cosine in zip(candidates[order].tolist(), similarity, strict=True)
        ]


def _label(faces: PackSplit, row: int) -> str | None:
    label = int(faces.labels[row])
    return None if label == NO_LABEL else faces.pack.info.classes[label]
