"""How often such an answer is right, from the confusion matrix of a report."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import ArtifactError
from mien.faces.classes import current_class
from mien.formats.report_file import read_report_on

ADVICE = "Run `mien evaluate` with this model"


@dataclass(frozen=True, slots=True)
class Confusion:
    """The confusion matrix of a report.

    Attributes:
        labels: the model's classes.
        counts: ``(C, C)``; rows are true classes, columns answers.
        where: what it was measured on.
    """

    labels: tuple[str, ...]
    counts: NDArray[np.int64]
    where: str

    def describe(self, answer: str, truth: str | None) -> dict[str, Any]:
        """Return how the report's faces with this answer are labeled, and the cell of this face if its label is known."""
        column = self.counts[:, self.labels.index(answer)]
        labeled = {name: int(n) for name, n in zip(self.labels, column, strict=True) if n}
        found: dict[str, Any] = {
            "measured_on": self.where,
            "answer": answer,
            "n_answered": int(column.sum()),
            "labeled": dict(sorted(labeled.items(), key=lambda item: -item[1])),
            "cell": None,
        }
        if truth in self.labels:
            row = self.counts[self.labels.index(truth)]
            n_cell = int(row[self.labels.index(answer)])
            found["cell"] = {"label": truth, "answer": answer, "n": n_cell, "n_labeled": int(row.sum())}
        return found


def read_confusion(report: Path, model: Path) -> Confusion:
    """Read the confusion matrix of a report on a model file.

    Raises:
        ArtifactError: the report is missing or damaged, has no expression, or is of another model.
    """
    metrics = read_report_on(report, model)
    try:
        matrix = metrics["confusion_matrix"]
        if matrix is None:
            raise ArtifactError(
                f"Report {report} has no confusion matrix: its faces have no expression label. Give another --report"
            )
        counts = np.asarray(matrix["counts"], dtype=np.int64)
        labels = tuple(current_class(name) for name in matrix["labels"])
        where = f"{metrics['pack']['folder']}, split {metrics['split']}"
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{report / 'metrics.json'} is damaged: {error}. {ADVICE}") from None
    if counts.shape != (len(labels), len(labels)):
        raise ArtifactError(
            f"{report / 'metrics.json'} is damaged: {len(labels)} labels for counts of shape {counts.shape}. {ADVICE}"
        )
    return Confusion(labels, counts, where)
