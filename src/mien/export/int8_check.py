"""The gate: what int8 changes on the run's dev split, and whether that is little enough to ship."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.export.calibration_faces import ChosenFaces
from mien.formats.onnx_model import OnnxModel, Outputs
from mien.metrics.calibration import expected_calibration_error, reliability_bins
from mien.metrics.classification import accuracy, confusion_matrix, macro_f1
from mien.metrics.landmarks import mean_nme, nme_per_face
from mien.runtime.progress import Progress

LEAST_AGREEMENT = 0.98
LARGEST_LOSS = 0.005
BATCH_SIZE = 32


@dataclass(frozen=True, slots=True)
class FileScores:
    """What one file scores on the dev split. Shares in [0, 1].

    Attributes:
        accuracy: of the top_class class.
        macro_f1: mean F1.
        ece: expected calibration error.
        nme: landmark error by the distance of the outer eye corners; None without landmarks.
    """

    accuracy: float
    macro_f1: float
    ece: float
    nme: float | None


@dataclass(frozen=True, slots=True)
class Int8Check:
    """A float file and its int8 file on the same faces.

    Attributes:
        n: faces.
        n_landmarks: those of them that have landmarks to compare with.
        agreement: share of the faces that both files call alike.
        float_scores: of the float file.
        int8_scores: of the int8 file.
    """

    n: int
    n_landmarks: int
    agreement: float
    float_scores: FileScores
    int8_scores: FileScores

    @property
    def passes(self) -> bool:
        """Whether the int8 file may be shipped."""
        lost = self.float_scores.accuracy - self.int8_scores.accuracy
        return self.agreement >= LEAST_AGREEMENT and lost <= LARGEST_LOSS + 1e-9

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for the metadata."""
        return {
            "n": self.n,
            "n_landmarks": self.n_landmarks,
            "agreement": self.agreement,
            "float": asdict(self.float_scores),
            "int8": asdict(self.int8_scores),
        }

    def table(self) -> str:
        """Return the comparison as lines of text."""
        rows = [
            ("accuracy", "accuracy", 100, "%"),
            ("macro-F1", "macro_f1", 100, "%"),
            ("ECE", "ece", 100, "%"),
            ("landmark error", "nme", 100, "%"),
        ]
        lines = [f"dev split, n = {self.n:,}", f"{'':16}{'float':>9}{'int8':>9}"]
        for title, name, factor, unit in rows:
            before, after = getattr(self.float_scores, name), getattr(self.int8_scores, name)
            if before is not None and after is not None:
                note = f"  (n = {self.n_landmarks:,})" if name == "nme" else ""
                lines.append(f"{title:16}{before * factor:7.2f} {unit}{after * factor:7.2f} {unit}{note}")
        lines.append(f"{'same answer':16}{'':9}{100 * self.agreement:7.2f} %")
        return "\n".join(lines)


def compare_files(float_model: OnnxModel, int8_model: OnnxModel, faces: ChosenFaces) -> Int8Check:
    """Read faces with both files and score them."""
    float_parts, int8_parts = [], []
    with Progress("Measuring int8", total=len(faces), unit="face") as progress:
        for images_rgb in faces.batches(float_model.info.input_size, BATCH_SIZE):
            float_parts.append(float_model.run(images_rgb))
            int8_parts.append(int8_model.run(images_rgb))
            progress.advance(len(images_rgb))
    return score_files(
        Outputs.concatenate(float_parts),
        Outputs.concatenate(int8_parts),
        labels=faces.labels,
        landmarks=faces.landmarks,
    )


def score_files(
    float_outputs: Outputs,
    int8_outputs: Outputs,
    *,
    labels: NDArray[np.int64],
    landmarks: NDArray[np.float32],
) -> Int8Check:
    """Score what two files say of the same N faces.

    Args:
        float_outputs: of the float file.
        int8_outputs: of the int8 file.
        labels: ``(N,)`` classes of the model.
        landmarks: ``(N, 68, 2)`` fractions of the crop, NaN where missing.
    """
    answers = [outputs.probabilities.argmax(axis=1) for outputs in (float_outputs, int8_outputs)]
    has_landmarks = float_outputs.landmarks is not None
    return Int8Check(
        n=len(labels),
        n_landmarks=int(np.isfinite(nme_per_face(landmarks, landmarks)).sum()) if has_landmarks else 0,
        agreement=float((answers[0] == answers[1]).mean()),
        float_scores=_score(float_outputs, labels, landmarks),
        int8_scores=_score(int8_outputs, labels, landmarks),
    )


def _score(outputs: Outputs, labels: NDArray[np.int64], landmarks: NDArray[np.float32]) -> FileScores:
    probabilities = outputs.probabilities
    answers = probabilities.argmax(axis=1)
    confusion = confusion_matrix(labels, answers, n_classes=probabilities.shape[1])
    bins = reliability_bins(probabilities.max(axis=1), answers == labels)
    return FileScores(
        accuracy=float(accuracy(confusion)),
        macro_f1=float(macro_f1(confusion)),
        ece=expected_calibration_error(bins) or 0.0,
        nme=None if outputs.landmarks is None else mean_nme(nme_per_face(landmarks, outputs.landmarks)),
    )
