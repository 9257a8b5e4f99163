"""The faces that the report shows: the most confident mistakes, and landmarks from the best to the worst."""

import base64
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.evaluate.score import Evaluation, LandmarkScores
from mien.faces.landmarks import CONTOURS
from mien.formats.onnx_model import Outputs
from mien.formats.pack import PackSplit

N_MISTAKES = 24
# From a good face to the worst one: where each shown face stands among all, by landmark error.
_NME_RANKS = (0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_RANK_NAMES = ("among the best 5 %", "better than most", "the median face", "worse than most", "among the worst 5 %",
               "the worst face")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mistake:
    """A face called wrong: its image, the truth, the answer, and how sure the model was of each."""

    image: str
    key: str
    truth: str
    predicted: str
    confidence: float
    confidence_in_truth: float


@dataclass(frozen=True, slots=True)
class LandmarkFace:
    """A face with true and predicted landmarks as SVG paths on a unit square."""

    image: str
    key: str
    rank: str
    nme: float
    true_path: str
    predicted_path: str


def choose_mistakes(faces: PackSplit, outputs: Outputs, evaluation: Evaluation) -> list[Mistake]:
    """Return the wrong answers that the model was surest of, under the protocol ``all``."""
    protocol = evaluation.main.protocol
    places = np.flatnonzero(protocol.faces)
    wrong = np.flatnonzero(protocol.truth != protocol.predicted)
    confidence = outputs.probabilities[places[wrong], protocol.predicted[wrong]]
    surest = wrong[np.argsort(-confidence, kind="stable")[:N_MISTAKES]]
    return [
        Mistake(
            image=_inline(faces, int(places[i])),
            key=faces.keys[places[i]],
            truth=evaluation.classes[protocol.truth[i]],
            predicted=evaluation.classes[protocol.predicted[i]],
            confidence=float(outputs.probabilities[places[i], protocol.predicted[i]]),
            confidence_in_truth=float(outputs.probabilities[places[i], protocol.truth[i]]),
        )
        for i in surest
    ]


def choose_landmark_faces(
    faces: PackSplit, predicted: NDArray[np.float32], scores: LandmarkScores
) -> list[LandmarkFace]:
    """Return faces from a small landmark error to the largest."""
    known = np.flatnonzero(np.isfinite(scores.errors))
    ordered = known[np.argsort(scores.errors[known], kind="stable")]
    chosen = {int(ordered[round(rank * (len(ordered) - 1))]): name
              for rank, name in zip(_NME_RANKS, _RANK_NAMES, strict=True)}  # fmt: skip
    return [
        LandmarkFace(
            image=_inline(faces, place),
            key=faces.keys[place],
            rank=name,
            nme=float(scores.errors[place]),
            true_path=_contour_path(faces.landmarks[place]),
            predicted_path=_contour_path(predicted[place]),
        )
        for place, name in chosen.items()
    ]


def _inline(faces: PackSplit, place: int) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(faces.jpeg(place)).decode("ascii")


def _contour_path(points: NDArray[np.float32]) -> str:
    """Return the lines of a face as the ``d`` of an SVG path, the crop being the unit square."""
    parts = []
    for contour, is_closed in CONTOURS:
        corners = " L".join(f"{x:.4f} {y:.4f}" for x, y in points[contour])
        parts.append(f"M{corners}{'Z' if is_closed else ''}")
    return "".join(parts)
