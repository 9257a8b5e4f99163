"""The metrics by groups of faces that the dataset names: by person, by clip or by an attribute of the person.

Nothing about a person is inferred from an image: a column is what the set's authors state.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from mien.errors import ArtifactError
from mien.evaluate.task_scores import Estimate, estimate_rows, percent, percent_interval
from mien.formats.pack import PackSplit
from mien.metrics.bootstrap import Interval, bootstrap_confusion
from mien.metrics.calibration import expected_calibration_error, reliability_bins
from mien.metrics.classification import accuracy, balanced_accuracy, confusion_matrix
from mien.metrics.groups import N_PERMUTATIONS, Gap, find_largest_gap, rate_interval
from mien.metrics.protocols import ClassProtocol
from mien.runtime.suggestion import did_you_mean
from mien.runtime.text_table import format_table

GROUPS_NOTE = (
    f"The largest gap in accuracy is tested by permuting, {N_PERMUTATIONS:,} times, which of the faces of a true class belong "
    "to which group. A small p-value says that the groups differ by more than chance and their mix of classes explain, but "
    "not why. Faces of one person or video are not independent, so intervals and p-values over them are too small."
)
# More groups that are too small are not named one by one.
_NAMED = 10


class ErrorRates(NamedTuple):
    """How often a group's faces of a class are missed, and how often others are taken for it.

    Attributes:
        n: number of faces of the class.
        miss_rate: fraction of them that are predicted as another class (1 - recall); None without any.
        miss_rate_ci95: its interval (Wilson).
        false_alarm_rate: fraction of the group's other faces that are predicted as the class; None without any.
        false_alarm_rate_ci95: its interval (Wilson).
    """

    n: int
    miss_rate: float | None
    miss_rate_ci95: Interval | None
    false_alarm_rate: float | None
    false_alarm_rate_ci95: Interval | None

    @classmethod
    def of_class(cls, confusion: NDArray[np.integer], label: int) -> Self:
        """Return the rates of one class of a group's ``(C, C)`` confusion matrix."""
        hits, n = int(confusion[label, label]), int(confusion[label].sum())
        n_others, alarms = int(confusion.sum()) - n, int(confusion[:, label].sum()) - hits
        return cls(
            n,
            (n - hits) / n if n else None,
            rate_interval(n - hits, n),
            alarms / n_others if n_others else None,
            rate_interval(alarms, n_others),
        )


class GroupScores(NamedTuple):
    """The metrics of one group under the protocol ``all``.

    Attributes:
        name: the value of the column.
        n: number of faces.
        n_classes: number of classes that they have; balanced accuracy is the mean recall of these.
        accuracy: top-1 accuracy.
        balanced_accuracy: mean recall.
        ece: expected calibration error, which tends to be larger in small groups.
        confidence: mean top-1 probability; above the accuracy the model is overconfident.
        classes: error rates by class.
    """

    name: str
    n: int
    n_classes: int
    accuracy: Estimate
    balanced_accuracy: Estimate
    ece: Estimate
    confidence: float
    classes: dict[str, ErrorRates]


@dataclass(frozen=True, slots=True)
class GroupedScores:
    """The metrics by the values of one column.

    Attributes:
        column: what the faces are grouped by.
        min_faces: smaller groups are left out.
        groups: the others, the largest first.
        gap: the largest difference of accuracy between them.
        too_small: number of faces of each group that was left out.
        n_unstated: number of faces for which the set states no value.
    """

    column: str
    min_faces: int
    groups: tuple[GroupScores, ...]
    gap: Gap
    too_small: dict[str, int]
    n_unstated: int

    @property
    def verdict(self) -> str:
        """The largest gap and its test, as a sentence."""
        best, worst = self.groups[self.gap.best], self.groups[self.gap.worst]
        return (
            f"Largest gap in accuracy: {100 * self.gap.gap:.1f} points, {best.name} {percent(best.accuracy.value)} (n = "
            f"{best.n:,}) against {worst.name} {percent(worst.accuracy.value)} (n = {worst.n:,}); permutation test within "
            f"classes p {format_p(self.gap.p_value)}"
        )

    @property
    def left_out(self) -> str:
        """What is not in the table, as a sentence; empty if everything is."""
        parts = []
        if self.too_small:
            named = ", ".join(f"{name} ({n})" for name, n in [*self.too_small.items()][:_NAMED])
            more = f" and {len(self.too_small) - _NAMED:,} more" if len(self.too_small) > _NAMED else ""
            parts.append(f"groups of fewer than {self.min_faces} faces: {named}{more}")
        if self.n_unstated:
            parts.append(f"{self.n_unstated:,} faces for which the set states no {self.column}")
        return f"Left out: {'; '.join(parts)}" if parts else ""

    def to_dict(self) -> dict[str, Any]:
        """Return the column's entry in metrics.json."""
        return {
            "min_faces": self.min_faces,
            "groups": {
                group.name: {
                    "n": group.n,
                    "n_classes": group.n_classes,
                    **{
                        key: value
                        for name in ("accuracy", "balanced_accuracy", "ece")
                        for key, value in (
                            (name, getattr(group, name).value),
                            (f"{name}_ci95", list(getattr(group, name).ci95)),
                        )
                    },
                    "confidence": group.confidence,
                    "classes": {name: rates._asdict() for name, rates in group.classes.items()},
                }
                for group in self.groups
            },
            "largest_gap": {
                "metric": "accuracy",
                "best": self.groups[self.gap.best].name,
                "worst": self.groups[self.gap.worst].name,
                "gap": self.gap.gap,
                "p_value": self.gap.p_value,
                "test": "permutation within true classes",
                "n_permutations": N_PERMUTATIONS,
            },
            "too_small": self.too_small,
            "n_unstated": self.n_unstated,
        }

    def lines(self) -> list[str]:
        """Return the table and the gap as lines of text."""
        rows: list[tuple[str, ...]] = [
            (self.column, "faces", "accuracy", "balanced accuracy", "calibration error", "mean confidence")
        ]
        for group in self.groups:
            estimates = (group.accuracy, group.balanced_accuracy, group.ece)
            cells = (f"{percent(one.value)} {percent_interval(one.ci95)}" for one in estimates)
            rows.append((group.name, f"{group.n:,}", *cells, percent(group.confidence)))
        return [*format_table(rows), f"{self.verdict}.", *([f"{self.left_out}."] if self.left_out else [])]


def format_p(p_value: float) -> str:
    """Return a p-value with its relation.

    Example:
        >>> format_p(0.0421), format_p(0.00003)
        ('= 0.042', '< 0.001')
    """
    return "< 0.001" if p_value < 0.001 else f"= {p_value:.3f}"


def read_groups(
    faces: PackSplit, columns: Iterable[str], counted: NDArray[np.bool_], *, min_faces: int
) -> dict[str, list[str | None]]:
    """Return the value of each face in each column, None where the set states none.

    Args:
        faces: the split.
        columns: ``person``, ``clip`` or names of attributes.
        counted: ``(N,)`` the faces that have a class which the model knows.
        min_faces: a group needs as many of them.

    Raises:
        ArtifactError: the split lacks a column, or fewer than two of its groups are large enough.
    """
    attributes = faces.read_attributes()
    found: dict[str, list[str | None]] = {
        name: [one.get(name) for one in attributes]
        for name in sorted({name for one in attributes for name in one})
    }
    named = {"person": faces.persons, "clip": faces.clips}
    found |= {name: values for name, values in named.items() if values is not None}
    for column in columns:
        if column not in found:
            having = f"only {', '.join(found)}" if found else "and no persons, clips or attributes at all"
            raise ArtifactError(
                f"Split {faces.name!r} of pack {faces.pack.path} has no column {column!r} to group by, {having}. Groups are what "
                f"the dataset states; mien infers nothing about a person{did_you_mean(column, found)}"
            )
        sizes = Counter(
            value for value, is_counted in zip(found[column], counted, strict=True) if value and is_counted
        )
        large = [name for name, n in sizes.items() if n >= min_faces]
        if len(large) < 2:
            shown = ", ".join(f"{name} {n:,}" for name, n in sizes.most_common(_NAMED)) or "none"
            raise ArtifactError(
                f"Groups of {min_faces} faces or more are compared, and {column!r} has {len(large)} of them in split "
                f"{faces.name!r} of pack {faces.pack.path}: {shown}. Lower --min-group, or group by another column"
            )
    return {column: found[column] for column in columns}


def score_groups(
    column: str,
    values: Sequence[str | None],
    protocol: ClassProtocol,
    probabilities: NDArray[np.floating],
    *,
    classes: tuple[str, ...],
    min_faces: int,
) -> GroupedScores:
    """Compute the metrics of each group.

    Args:
        column: what is grouped by.
        values: the value of each of N faces, None where the set states none.
        protocol: the protocol ``all``.
        probabilities: ``(N, C)``.
        classes: the model's classes.
        min_faces: smaller groups are left out.
    """
    counted = np.flatnonzero(protocol.faces)
    stated = [values[face] or None for face in counted.tolist()]
    sizes = Counter(value for value in stated if value is not None)
    names = [name for name, n in sizes.most_common() if n >= min_faces]
    place = {name: number for number, name in enumerate(names)}
    numbers = np.array([place.get(value, -1) if value is not None else -1 for value in stated])
    correct = protocol.truth == protocol.predicted
    confidence = probabilities[counted].max(axis=1).astype(np.float64)
    kept = numbers >= 0

    def calibration_error(pairs: NDArray[np.floating]) -> float | None:
        return expected_calibration_error(reliability_bins(pairs[:, 0], pairs[:, 1] > 0))

    groups = []
    for number, name in enumerate(names):
        members = numbers == number
        confusion = confusion_matrix(
            protocol.truth[members], protocol.predicted[members], n_classes=len(classes)
        )
        pairs = np.column_stack([confidence[members], correct[members]])
        groups.append(
            GroupScores(
                name,
                int(members.sum()),
                int((confusion.sum(axis=1) > 0).sum()),
                Estimate(float(accuracy(confusion)), bootstrap_confusion(confusion, accuracy)),
                Estimate(
                    float(balanced_accuracy(confusion)), bootstrap_confusion(confusion, balanced_accuracy)
                ),
                estimate_rows(pairs, calibration_error) or Estimate(0.0, (0.0, 0.0)),
                float(confidence[members].mean()),
                {name: ErrorRates.of_class(confusion, label) for label, name in enumerate(classes)},
            )
        )
    return GroupedScores(
        column,
        min_faces,
        tuple(groups),
        find_largest_gap(correct[kept], numbers[kept], protocol.truth[kept]),
        {name: n for name, n in sizes.most_common() if n < min_faces},
        sum(value is None for value in stated),
    )
