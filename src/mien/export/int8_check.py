"""The int8 check: what quantization changes on the run's dev split, and whether that is acceptable."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.formats.onnx_model import OnnxModel
from mien.formats.pack.selection import FaceSelection, read_batches
from mien.metrics.calibration import expected_calibration_error, reliability_bins
from mien.metrics.classification import accuracy, confusion_matrix, macro_f1
from mien.runtime.progress import Progress
from mien.tasks import NO_ANNOTATIONS, TASKS, Annotations, Values, optional_tasks

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
        tasks: the `Task.file_score` of each task that has one, by its name; None without labels.
    """

    accuracy: float
    macro_f1: float
    ece: float
    tasks: dict[str, float | None] = field(default_factory=dict)

    def to_dict(self) -> dict[str, float | None]:
        """Return the scores by name."""
        return {"accuracy": self.accuracy, "macro_f1": self.macro_f1, "ece": self.ece, **self.tasks}


@dataclass(frozen=True, slots=True)
class Int8Check:
    """A float file and its int8 file on the same faces.

    Attributes:
        n: number of faces.
        n_labeled: number of faces with labels, by task with a `Task.file_score`.
        agreement: fraction of faces with the same top-1 prediction.
        float_scores: scores of the float file.
        int8_scores: scores of the int8 file.
    """

    n: int
    n_labeled: dict[str, int]
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
            **{f"n_{task}": n for task, n in self.n_labeled.items()},
            "agreement": self.agreement,
            "float": self.float_scores.to_dict(),
            "int8": self.int8_scores.to_dict(),
        }

    def table(self) -> str:
        """Return the comparison as lines of text."""
        titles = {"accuracy": "accuracy", "macro_f1": "macro-F1", "ece": "ECE"}
        notes = {}
        for task, n in self.n_labeled.items():
            name, title = TASKS[task].file_score or ("", "")
            titles[name], notes[name] = title, f"  (n = {n:,})"
        float_scores, int8_scores = self.float_scores.to_dict(), self.int8_scores.to_dict()
        lines = [f"dev split, n = {self.n:,}", f"{'':16}{'float':>9}{'int8':>9}"]
        for name, title in titles.items():
            before, after = float_scores.get(name), int8_scores.get(name)
            if before is not None and after is not None:
                note = notes.get(name, "")
                lines.append(f"{title:16}{100 * before:7.2f} %{100 * after:7.2f} %{note}")
        lines.append(f"{'agreement':16}{'':9}{100 * self.agreement:7.2f}%")
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
    annotations = float_model.info.annotations
    return score_files(
        float_outputs,
        int8_outputs,
        labels=faces.labels,
        truth=faces.read_annotations(annotations),
        annotations=annotations,
    )


def score_files(
    float_outputs: Values,
    int8_outputs: Values,
    *,
    labels: NDArray[np.int64],
    truth: Values,
    annotations: Annotations = NO_ANNOTATIONS,
) -> Int8Check:
    """Score the outputs of two files for the same N faces.

    Args:
        float_outputs: outputs of the float file.
        int8_outputs: outputs of the int8 file.
        labels: ``(N,)`` classes of the model.
        truth: ``(N, *shape)`` labels of the other tasks, with the task's mark where missing.
        annotations: the columns of optional tasks.
    """
    predictions = [outputs["expression"].argmax(axis=1) for outputs in (float_outputs, int8_outputs)]
    n_labeled = {}
    for task, entry in TASKS.items():
        if entry.file_score is not None and (task in float_outputs or task not in optional_tasks()):
            is_labeled = np.isfinite(truth[task].reshape(len(labels), -1)).any(axis=1)
            n_labeled[task] = int(is_labeled.sum()) if task in float_outputs else 0
    return Int8Check(
        n=len(labels),
        n_labeled=n_labeled,
        agreement=float((predictions[0] == predictions[1]).mean()),
        float_scores=_score(float_outputs, labels, truth, n_labeled, annotations),
        int8_scores=_score(int8_outputs, labels, truth, n_labeled, annotations),
    )


def _score(
    outputs: Values,
    labels: NDArray[np.int64],
    truth: Values,
    tasks: Iterable[str],
    annotations: Annotations,
) -> FileScores:
    probabilities = outputs["expression"]
    predicted = probabilities.argmax(axis=1)
    confusion = confusion_matrix(labels, predicted, n_classes=probabilities.shape[1])
    bins = reliability_bins(probabilities.max(axis=1), predicted == labels)
    scores: dict[str, float | None] = {}
    for task in tasks:
        name, _ = TASKS[task].file_score or ("", "")
        found = {}
        if task in outputs:
            found = TASKS[task].resolve("dev_scores")(truth[task], outputs[task], annotations)
        scores[name] = found.get(name)
    return FileScores(
        accuracy=float(accuracy(confusion)),
        macro_f1=float(macro_f1(confusion)),
        ece=expected_calibration_error(bins) or 0.0,
        tasks=scores,
    )
