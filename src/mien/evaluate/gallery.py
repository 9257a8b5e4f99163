"""The faces that the report shows: the most confident mistakes, and landmarks from the best to the worst."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.drawing.heat_map import encode_heat
from mien.evaluate.score import Evaluation
from mien.evaluate.task_scores import LandmarkScores
from mien.faces.crop import resize_crop
from mien.faces.images import image_uri
from mien.faces.landmarks import CONTOURS
from mien.formats.onnx_model import OnnxModel
from mien.formats.pack import PackSplit
from mien.inference.occlusion import occlusion_map
from mien.runtime.progress import Progress
from mien.tasks import Values

N_MISTAKES = 24
# Fewer positions than `mien explain` has: 64 runs of the model for each mistake.
HEAT_STEPS = 8
# Quantiles of the landmark error at which faces are shown.
_NME_QUANTILES = {
    0.05: "5th percentile",
    0.25: "25th percentile",
    0.5: "median",
    0.75: "75th percentile",
    0.95: "95th percentile",
    1.0: "worst",
}


class Mistake(NamedTuple):
    """A misclassified face: its image, what the answer depends on, its label, the prediction, and the probabilities of both."""

    image: str
    heat: str
    key: str
    truth: str
    predicted: str
    confidence: float
    confidence_in_truth: float


class LandmarkFace(NamedTuple):
    """A face with true and predicted landmarks as SVG paths on a unit square."""

    image: str
    key: str
    quantile: str
    nme: float
    true_path: str
    predicted_path: str


def choose_mistakes(
    faces: PackSplit, outputs: Values, evaluation: Evaluation, model: OnnxModel
) -> list[Mistake]:
    """Return the most confident mistakes under the protocol ``all``, with the map of each by occlusion."""
    if evaluation.main is None:
        return []
    protocol = evaluation.main.protocol
    indices = np.flatnonzero(protocol.faces)
    wrong = np.flatnonzero(protocol.truth != protocol.predicted)
    confidence = outputs["expression"][indices[wrong], protocol.predicted[wrong]]
    chosen = wrong[np.argsort(-confidence, kind="stable")[:N_MISTAKES]]
    heats = []
    with Progress("Explaining mistakes", total=len(chosen), unit="face") as progress:
        for i in chosen:
            crop = resize_crop(faces.image(int(indices[i])), model.info.input_size)
            target = int(protocol.predicted[i])
            heats.append(
                occlusion_map(crop, target, lambda crops: model.run(crops)["expression"], steps=HEAT_STEPS)
            )
            progress.advance()
    return [
        Mistake(
            image=image_uri(faces.jpeg(int(indices[i]))),
            heat=encode_heat(heat),
            key=faces.keys[indices[i]],
            truth=evaluation.classes[protocol.truth[i]],
            predicted=evaluation.classes[protocol.predicted[i]],
            confidence=float(outputs["expression"][indices[i], protocol.predicted[i]]),
            confidence_in_truth=float(outputs["expression"][indices[i], protocol.truth[i]]),
        )
        for i, heat in zip(chosen, heats, strict=True)
    ]


def choose_landmark_faces(
    faces: PackSplit, predicted: NDArray[np.float32], scores: LandmarkScores
) -> list[LandmarkFace]:
    """Return faces at quantiles of the landmark error, from small to large."""
    known = np.flatnonzero(np.isfinite(scores.errors))
    ordered = known[np.argsort(scores.errors[known], kind="stable")]
    chosen = {int(ordered[round(q * (len(ordered) - 1))]): name for q, name in _NME_QUANTILES.items()}
    return [
        LandmarkFace(
            image=image_uri(faces.jpeg(index)),
            key=faces.keys[index],
            quantile=name,
            nme=float(scores.errors[index]),
            true_path=_contour_path(faces.landmarks[index]),
            predicted_path=_contour_path(predicted[index]),
        )
        for index, name in chosen.items()
    ]


def _contour_path(points: NDArray[np.float32]) -> str:
    """Return the contours of a face as the ``d`` of an SVG path on the unit square."""
    parts = []
    for contour, is_closed in CONTOURS:
        corners = " L".join(f"{x:.4f} {y:.4f}" for x, y in points[contour])
        parts.append(f"M{corners}{'Z' if is_closed else ''}")
    return "".join(parts)
