"""Prediction sets with a promise, from a report of `mien evaluate` on faces like those to be predicted.

Imports nothing heavy: the decision rule, from whose fields the command line is built, holds them.
"""

from __future__ import annotations

import csv
import logging
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.errors import ArtifactError
from mien.runtime.options import option

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mien.formats.onnx_model import OnnxModel
    from mien.inference.decision_rule import DecisionRule

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageOptions:
    """Which prediction sets faces get, if any."""

    coverage: float | None = option(
        None,
        "add to each face of an image a set of classes that contains the true one with this probability, whatever the class "
        "(conformal prediction); needs --coverage-from",
        metavar="P",
        least=0,
        most=1,
    )
    coverage_from: Path | None = option(
        None,
        "report of `mien evaluate` on the same model, from labeled faces like those to be predicted that it was neither trained "
        "nor selected on",
        metavar="REPORT",
    )

    def add_to(self, rule: DecisionRule, model: OnnxModel) -> DecisionRule:
        """Return a rule with the sets that were asked for.

        Raises:
            ArtifactError: an option lacks the other or is out of range, the rule changes the probabilities, for which nothing
                is promised, or as in `load_label_sets`.
        """
        if self.coverage is None and self.coverage_from is None:
            return rule
        if self.coverage is None or self.coverage_from is None:
            raise ArtifactError("--coverage P and --coverage-from REPORT go together: add the other one")
        if not 0 < self.coverage < 1:
            raise ArtifactError(
                f"--coverage must be more than 0 and less than 1, got {self.coverage:g}: 0.9 is usual"
            )
        if rule.changes_probabilities:
            raise ArtifactError(
                "--coverage is for the model's own probabilities: leave out --classes and --prior"
            )
        return replace(rule, label_sets=load_label_sets(self.coverage_from, self.coverage, model))


@dataclass(frozen=True, slots=True)
class LabelSets:
    """What decides which classes a set contains. Picklable.

    Attributes:
        coverage: the probability that a set contains the true class, in (0, 1).
        classes: of the model.
        quantiles: the largest nonconformity of each, see `mien.metrics.conformal.class_quantiles`.
        n_faces: how many faces of each class it comes from.
    """

    coverage: float
    classes: tuple[str, ...]
    quantiles: tuple[float, ...]
    n_faces: tuple[int, ...]

    @property
    def always_included(self) -> tuple[str, ...]:
        """The classes of which there were too few faces to ever leave them out."""
        return tuple(
            name for name, value in zip(self.classes, self.quantiles, strict=True) if value == float("inf")
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what a program needs to make the sets from probabilities, as plain values for JSON.

        A set has the classes for which 1 - probability is at most the limit; a class without a limit is in every set.
        """
        limits = [None if math.isinf(limit) else limit for limit in self.quantiles]
        return {
            "coverage": self.coverage,
            "limits": dict(zip(self.classes, limits, strict=True)),
            "n_faces": dict(zip(self.classes, self.n_faces, strict=True)),
        }

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
    label_sets = LabelSets(coverage, classes, tuple(quantiles.tolist()), tuple(counts.tolist()))
    if label_sets.always_included:
        _log.warning(
            "%s has too few faces of %s for a coverage of %g: they are in every set",
            report,
            ", ".join(label_sets.always_included),
            coverage,
        )
    return label_sets
