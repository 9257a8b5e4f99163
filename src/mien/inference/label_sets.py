"""Sets of classes with a promise, from a report of `mien evaluate` on faces like those to be predicted.

Imports nothing heavy: the decision rule, from whose fields the command line is built, holds them.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mien.errors import ArtifactError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from mien.formats.onnx_model import OnnxModel


@dataclass(frozen=True, slots=True)
class LabelSets:
    """What decides which classes a set contains. Picklable.

    Attributes:
        classes: of the model.
        quantiles: the largest nonconformity of each, see `mien.metrics.conformal.class_quantiles`.
        n_faces: how many faces of each class it comes from.
    """

    classes: tuple[str, ...]
    quantiles: tuple[float, ...]
    n_faces: tuple[int, ...]

    @property
    def always_included(self) -> tuple[str, ...]:
        """The classes of which there were too few faces to ever leave them out."""
        return tuple(
            name for name, value in zip(self.classes, self.quantiles, strict=True) if value == float("inf")
        )

    def choose(self, probabilities: NDArray[np.floating]) -> tuple[str, ...]:
        """Return the classes in the set of a face, in the model's order.

        Args:
            probabilities: ``(C,)`` as the model returns them.
        """
        import numpy as np  # noqa: PLC0415 - see the module

        from mien.metrics.conformal import is_in_set  # noqa: PLC0415

        chosen = is_in_set(probabilities, np.array(self.quantiles))
        return tuple(name for name, is_in in zip(self.classes, chosen, strict=True) if is_in)


def load_label_sets(report: Path, coverage: float, model: OnnxModel) -> LabelSets:
    """Return the sets of a coverage from the predictions in a report.

    Args:
        report: folder written by `mien evaluate`, of the same model, on a split that selected nothing.
        coverage: probability that a set contains the true class, in (0, 1).
        model: the model whose predictions get sets.

    Raises:
        ArtifactError: it is no report, is damaged, or belongs to another model.
    """
    import numpy as np  # noqa: PLC0415 - see the module

    from mien.formats.report_file import read_report_on  # noqa: PLC0415
    from mien.metrics.conformal import class_quantiles  # noqa: PLC0415

    read_report_on(report, model.path)
    classes = model.info.classes
    path = report / "predictions.csv"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["true"] in classes]
        labels = np.array([classes.index(row["true"]) for row in rows], dtype=np.int64)
        probabilities = np.array([[float(row[f"p_{name}"]) for name in classes] for row in rows])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} cannot be read as predictions of `mien evaluate`: {error}") from None
    if not len(labels):
        raise ArtifactError(f"{path} has no face with a label that the model knows")
    quantiles = class_quantiles(probabilities, labels, coverage)
    counts = np.bincount(labels, minlength=len(classes))
    return LabelSets(classes, tuple(quantiles.tolist()), tuple(counts.tolist()))
