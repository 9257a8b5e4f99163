"""Reading reports, aligning their faces, and finding the faces that count in all of them."""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.artifacts import read_json
from mien.errors import ArtifactError
from mien.faces.classes import current_class
from mien.metrics.bootstrap import Interval
from mien.metrics.protocols import ClassProtocol, class_protocols
from mien.runtime.nested import find_dict
from mien.tasks import TASKS, ReportedMetric, reported_metrics

PROBABILITY_PREFIX = "p_"


class ReportedValue(NamedTuple):
    """A metric in a report, and its 95% interval or None."""

    value: float
    ci95: Interval | None


@dataclass(frozen=True, slots=True)
class Report:
    """The parts of a report that a comparison needs.

    Attributes:
        path: the folder.
        metrics: content of metrics.json.
        classes: the model's classes, in the order of the probabilities.
        label_classes: classes of the labels.
        faces: ``(N,)`` key of every face, and how often the key occurred before.
        truth: ``(N,)`` true class names; empty for a face without a label.
        probabilities: ``(N, C)`` float32.
        columns: ``(N,)`` the columns of predictions.csv that metrics of other tasks are computed from, NaN for empty cells.
    """

    path: Path
    metrics: dict[str, Any]
    classes: tuple[str, ...]
    label_classes: tuple[str, ...]
    faces: tuple[tuple[str, int], ...]
    truth: tuple[str, ...]
    probabilities: NDArray[np.float32]
    columns: dict[str, NDArray[np.float64]]

    @property
    def ece(self) -> float | None:
        """Calibration error, as reported."""
        return self.metrics.get("ece")

    @property
    def has_labels(self) -> bool:
        """Whether a face has an expression label."""
        return any(self.truth)

    def reported(self) -> dict[str, ReportedValue]:
        """Return the metrics of the tasks other than the expression, as reported, by name."""
        found = {}
        for name, (task, metric) in reported_metrics().items():
            *parents, key = metric.path
            entry = find_dict(self.metrics, task, *parents)
            value, interval = entry.get(key), entry.get(f"{key}_ci95")
            if isinstance(value, int | float):
                ci95 = (float(interval[0]), float(interval[1])) if interval else None
                found[name] = ReportedValue(float(value), ci95)
        return found

    def protocols(self) -> dict[str, ClassProtocol]:
        """Return the class protocols that the classes of model and labels allow, by name."""
        no_label = int(TASKS["expression"].missing)
        index_of = {label: index for index, label in enumerate(self.label_classes)} | {"": no_label}
        found = class_protocols(
            self.probabilities,
            np.array([index_of[label] for label in self.truth], dtype=np.int64),
            classes=self.classes,
            label_classes=self.label_classes,
        )
        return {one.name: one for one in found}

    def rows_of(self, metric: ReportedMetric) -> NDArray[np.float64] | None:
        """Return the ``(N, K)`` values that a metric is computed from, NaN where there are none; None if the report lacks them."""
        if not metric.columns or not set(metric.columns) <= set(self.columns):
            return None
        return np.column_stack([self.columns[name] for name in metric.columns])


def read_report(path: Path) -> Report:
    """Read a report folder.

    Raises:
        ArtifactError: it is missing, unfinished or damaged.
    """
    metrics = read_json(path / "metrics.json", what="report", advice="Run `mien evaluate` again")
    predictions = path / "predictions.csv"
    try:
        with predictions.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            header = next(rows)
            columns = [i for i, name in enumerate(header) if name.startswith(PROBABILITY_PREFIX)]
            key, true = header.index("key"), header.index("true")
            used = {name for _, metric in reported_metrics().values() for name in metric.columns}
            further = [header.index(name) for name in header if name in used]
            records = [
                (
                    row[key],
                    current_class(row[true]),
                    [float(row[i]) for i in columns],
                    [float(row[i]) if row[i] else np.nan for i in further],
                )
                for row in rows
            ]
    except (OSError, ValueError, IndexError, StopIteration) as damage:
        raise ArtifactError(
            f"{predictions} of the report cannot be read: {damage}. Run `mien evaluate` again"
        ) from None
    label_classes = tuple(map(current_class, find_dict(metrics, "pack").get("classes") or ()))
    if not {record[1] for record in records} <= {*label_classes, ""}:
        raise ArtifactError(
            f"{predictions} names true classes that metrics.json does not list. Run `mien evaluate` again"
        )
    if not columns or not records:
        raise ArtifactError(f"{predictions} has no predictions. Run `mien evaluate` again")
    n_seen: Counter[str] = Counter()
    faces = []
    for face_key, *_ in records:
        faces.append((face_key, n_seen[face_key]))
        n_seen[face_key] += 1
    return Report(
        path=path,
        metrics=metrics,
        classes=tuple(current_class(header[i].removeprefix(PROBABILITY_PREFIX)) for i in columns),
        label_classes=label_classes,
        faces=tuple(faces),
        truth=tuple(record[1] for record in records),
        probabilities=np.array([record[2] for record in records], dtype=np.float32),
        columns={
            header[i]: np.array([record[3][number] for record in records]) for number, i in enumerate(further)
        },
    )


def read_aligned(paths: Sequence[Path]) -> list[Report]:
    """Read reports and reorder their faces like the first report's.

    Raises:
        ArtifactError: fewer than two reports, one cannot be read, they are of different faces, or they disagree on the
            true class of a face.
    """
    if len(paths) < 2:
        raise ArtifactError(f"A comparison needs at least two reports, got {len(paths)}. Add another one")
    first, *others = (read_report(path) for path in paths)
    return [first, *(_align(report, first) for report in others)]


def _align(report: Report, first: Report) -> Report:
    index_of = {face: index for index, face in enumerate(report.faces)}
    n_shared = sum(face in index_of for face in first.faces)
    if n_shared != len(first.faces) or n_shared != len(report.faces):
        raise ArtifactError(
            f"Reports to compare must be of the same faces: {first.path} has {len(first.faces):,} "
            f"({_origin(first)}), {report.path} has {len(report.faces):,} ({_origin(report)}), they share "
            f"{n_shared:,}. Evaluate both models on the same split of the same pack"
        )
    order = [index_of[face] for face in first.faces]
    truth = tuple(report.truth[index] for index in order)
    differing = [i for i, (one, other) in enumerate(zip(truth, first.truth, strict=True)) if one != other]
    if differing:
        example = differing[0]
        raise ArtifactError(
            f"Reports to compare must agree on the truth: {first.path} and {report.path} differ on "
            f"{len(differing):,} faces, such as {first.faces[example][0]!r} ({first.truth[example]} and "
            f"{truth[example]}). Evaluate both models on the same pack"
        )
    return replace(
        report,
        faces=first.faces,
        truth=truth,
        probabilities=report.probabilities[order],
        columns={name: values[order] for name, values in report.columns.items()},
    )


def _origin(report: Report) -> str:
    folder = find_dict(report.metrics, "pack").get("folder")
    return f"split {report.metrics.get('split')!r} of pack {folder!r}"


class SharedFaces(NamedTuple):
    """The faces that count for every model.

    Attributes:
        description: description of the class protocol.
        truths: ``(n,)`` true classes for each report, as indices of its model's classes.
        predicted: ``(n,)`` predicted classes, likewise.
    """

    description: str
    truths: tuple[NDArray[np.int64], ...]
    predicted: tuple[NDArray[np.int64], ...]

    @property
    def n(self) -> int:
        """Number of faces that count."""
        return len(self.truths[0])


def find_shared_faces(reports: Sequence[Report], protocol: str) -> SharedFaces:
    """Return the faces that count under a class protocol in all of some aligned reports.

    Without any expression label, no face counts.

    Raises:
        ArtifactError: a report does not have the protocol, or faces have labels but none counts in all of the reports.
    """
    if not reports[0].has_labels:
        nothing = tuple(np.zeros(0, dtype=np.int64) for _ in reports)
        return SharedFaces("No face has an expression label.", nothing, nothing)
    found = []
    for report in reports:
        by_name = report.protocols()
        if protocol not in by_name:
            raise ArtifactError(
                f"Report {report.path} has no protocol {protocol!r}, its classes allow: {', '.join(by_name)}"
            )
        found.append(by_name[protocol])
    is_shared = np.logical_and.reduce([one.faces for one in found])
    if not is_shared.any():
        raise ArtifactError(
            "No face counts in all reports: their models share no class. Compare other reports"
        )
    return SharedFaces(
        description=found[0].description,
        truths=tuple(one.truth[is_shared[one.faces]] for one in found),
        predicted=tuple(one.predicted[is_shared[one.faces]] for one in found),
    )


def note_models(reports: Sequence[Report], protocol: str, n: int) -> tuple[str, ...]:
    """Return warnings on what does not compare.

    That is: the models know different classes; ECE is of other faces or classes than the rest; two reports are of one
    model file and pack.

    Args:
        reports: aligned.
        protocol: the class protocol.
        n: number of faces that count under it.
    """
    notes = []
    with_ece = [report for report in reports if report.ece is not None]
    is_of_fewer = protocol != "all" and any(
        str(len(report.classes)) != protocol.partition("_")[0] for report in with_ece
    )
    counts = {find_dict(report.metrics, "protocols", "all").get("n", n) for report in with_ece}
    if is_of_fewer or counts - {n}:
        notes.append(
            f"ECE is that of each report: over all of its faces and the model's classes, not only those of {protocol}"
        )
    if len({frozenset(report.classes) for report in reports}) > 1:
        names = set.intersection(*(set(report.protocols()) for report in reports))
        closed = [name for name in reports[0].protocols() if name in names and name.endswith("_closed")]
        advice = (
            f"For a fair comparison, use a closed protocol such as --protocol {closed[0]}"
            if closed
            else "These faces allow no protocol with the same classes for all: say so where you report the figures"
        )
        notes.append(
            f"The models know different classes, so some can make mistakes that others cannot. {advice}"
        )
    first_of: dict[tuple[str, str], Report] = {}
    for report in reports:
        model, pack = find_dict(report.metrics, "model"), find_dict(report.metrics, "pack")
        measured = (str(model.get("sha256", "")), str(pack.get("content_sha256", "")))
        first = first_of.setdefault(measured, report)
        if first is not report and all(measured):
            notes.append(
                f"{first.path} and {report.path} are of the same model file on the same pack, so they cannot differ. "
                "Evaluate the other model"
            )
    return tuple(notes)
