"""The int8 check: what quantization changes on the run's dev split, and whether that is acceptable."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.formats.onnx_model import OnnxModel, Outputs
from mien.formats.pack.selection import FaceSelection, read_batches
from mien.metrics.calibration import expected_calibration_error, reliability_bins
from mien.metrics.classification import accuracy, confusion_matrix, macro_f1
from mien.metrics.landmarks import mean_nme, nme_per_face
from mien.runtime.progress import Progress

MIN_AGREEMENT = 0.98
MAX_ACCURACY_LOSS = 0.005
BATCH_SIZE = 32


@dataclass(frozen=True, slots=True)
class FileScores:
    """The scores of one file on the dev split. Fractions in [0, 1].

    Attributes:
        accuracy: top-1 accuracy.
        macro_f1: mean F1.
        ece: expected calibration error.
        nme: landmark error relative to the distance between the outer eye corners; None without landmarks.
    """

    accuracy: float
    macro_f1: float
    ece: float
    nme: float | None


@dataclass(frozen=True, slots=True)
class Int8Check:
    """A float file and its int8 file on the same faces.

    Attributes:
        n: number of faces.
        n_landmarks: number of faces with annotated landmarks.
        agreement: fraction of faces with the same top-1 prediction.
        float_scores: scores of the float file.
        int8_scores: scores of the int8 file.
    """

    n: int
    n_landmarks: int
    agreement: float
    float_scores: FileScores
    int8_scores: FileScores

    @property
    def passes(self) -> bool:
        """Whether the int8 file is good enough to ship."""
        loss = self.float_scores.accuracy - self.int8_scores.accuracy
        return self.agreement >= MIN_AGREEMENT and loss <= MAX_ACCURACY_LOSS + 1e-9

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the metadata."""
        return {
            "n": self.n,
            "n_landmarks": self.n_landmarks,
            "agreement": self.agreement,
            "float": asdict(self.float_scores),
            "int8": asdict(self.int8_scores),
        }

    def table(self) -> str:
        """Return the comparison as lines of text."""
        titles = {"accuracy": "accuracy", "macro_f1": "macro-F1", "ece": "ECE", "nme": "landmark error"}
        lines = [f"dev split, n = {self.n:,}", f"{'':16}{'float':>9}{'int8':>9}"]
        for name, title in titles.items():
            before, after = getattr(self.float_scores, name), getattr(self.int8_scores, name)
            if before is not None and after is not None:
                note = f"  (n = {self.n_landmarks:,})" if name == "nme" else ""
                lines.append(f"{title:16}{100 * before:7.2f} %{100 * after:7.2f} %{note}")
        lines.append(f"{'agreement':16}{'':9}{100 * self.agreement:7.2f} %")
        return "\n".join(lines)


def compare_files(float_model: OnnxModel, int8_model: OnnxModel, faces: FaceSelection) -> Int8Check:
    """Run both files on faces and score them."""
    with Progress("Evaluating int8", total=2 * len(faces), unit="face") as progress:
        float_outputs, int8_outputs = (
            model.run_batches(
                read_batches(faces, size=model.info.input_size, batch_size=BATCH_SIZE), progress=progress
            )
            for model in (float_model, int8_model)
        )
    return score_files(float_outputs, int8_outputs, labels=faces.labels, landmarks=faces.read_landmarks())


def score_files(
    float_outputs: Outputs,
    int8_outputs: Outputs,
    *,
    labels: NDArray[np.int64],
    landmarks: NDArray[np.float32],
) -> Int8Check:
    """Score the outputs of two files for the same N faces.

    Args:
        float_outputs: outputs of the float file.
        int8_outputs: outputs of the int8 file.
        labels: ``(N,)`` classes of the model.
        landmarks: ``(N, 68, 2)`` fractions of the crop, NaN where missing.
    """
    predictions = [outputs.probabilities.argmax(axis=1) for outputs in (float_outputs, int8_outputs)]
    has_landmarks = float_outputs.landmarks is not None
    return Int8Check(
        n=len(labels),
        n_landmarks=int(np.isfinite(nme_per_face(landmarks, landmarks)).sum()) if has_landmarks else 0,
        agreement=float((predictions[0] == predictions[1]).mean()),
        float_scores=_score(float_outputs, labels, landmarks),
        int8_scores=_score(int8_outputs, labels, landmarks),
    )


def _score(outputs: Outputs, labels: NDArray[np.int64], landmarks: NDArray[np.float32]) -> FileScores:
    probabilities = outputs.probabilities
    predicted = probabilities.argmax(axis=1)
    confusion = confusion_matrix(labels, predicted, n_classes=probabilities.shape[1])
    bins = reliability_bins(probabilities.max(axis=1), predicted == labels)
    return FileScores(
        accuracy=float(accuracy(confusion)),
        macro_f1=float(macro_f1(confusion)),
        ece=expected_calibration_error(bins) or 0.0,
        nme=None if outputs.landmarks is None else mean_nme(nme_per_face(landmarks, outputs.landmarks)),
    )
