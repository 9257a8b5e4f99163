"""The outcome of a comparison as text: a table, and a sentence for each model against the first."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mien.compare.reports import ReportedValue
from mien.metrics.bootstrap import Interval
from mien.metrics.comparison import PairedComparison
from mien.runtime.text_table import format_table
from mien.tasks import ReportedMetric, reported_metrics

# The usual level: one in twenty comparisons of equal models is significant by chance.
SIGNIFICANCE_LEVEL = 0.05


class TaskDifference(NamedTuple):
    """A metric of a model minus that of the first, on the n faces that both have, with its 95% interval."""

    difference: float
    ci95: Interval | None
    n: int


@dataclass(frozen=True, slots=True)
class ComparedModel:
    """One report's row.

    Attributes:
        name: the shortest part of the report's path that distinguishes it from the others.
        model: name of the model file.
        metrics: accuracy, balanced accuracy and macro-F1 on the shared faces; empty if no face has an expression label.
        intervals: their 95% intervals.
        ece: expected calibration error in the report, or None.
        tasks: the metrics of other tasks in the report, by their name in `mien.tasks.reported_metrics`.
        paired: comparison with the first model; None for the first model itself, and without expression labels.
        differences: of the metrics of other tasks from the first model's, by name.
    """

    name: str
    model: str
    metrics: dict[str, float]
    intervals: dict[str, Interval]
    ece: float | None
    tasks: dict[str, ReportedValue]
    paired: PairedComparison | None
    differences: dict[str, TaskDifference]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        named = {
            key: {name: value._asdict() for name, value in getattr(self, key).items()}
            for key in ("tasks", "differences")
        }
        return asdict(self) | named


@dataclass(frozen=True, slots=True)
class ComparisonSummary:
    """What the command line shows.

    Attributes:
        protocol: name of the class protocol; None if no face has an expression label.
        description: description of the protocol.
        n: number of faces that count in all reports.
        models: one row each, in the order given.
        written: files that were written.
        notes: warnings for readers of the table.
    """

    protocol: str | None
    description: str
    n: int
    models: tuple[ComparedModel, ...]
    written: tuple[Path, ...]
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The models' names."""
        return tuple(model.name for model in self.models)

    def document(self) -> dict[str, Any]:
        """Return all numbers, as they are written to a JSON file."""
        return {
            "protocol": self.protocol,
            "description": self.description,
            "n": self.n,
            "models": [model.to_dict() for model in self.models],
            "notes": list(self.notes),
        }

    def task_metrics(self) -> dict[str, ReportedMetric]:
        """Return the metrics of other tasks that the table shows: those that any report has."""
        return {
            name: metric
            for name, (_, metric) in reported_metrics().items()
            if any(name in model.tasks for model in self.models)
            and not (metric.is_detail and self.protocol is not None)
        }

    def table(self) -> list[tuple[str, ...]]:
        """Return the header and a row for each model."""
        metrics = self.task_metrics()
        expression = ("accuracy", "balanced accuracy", "macro-F1", "ECE") if self.protocol else ()
        rows = [("report", *expression, *(metric.title for metric in metrics.values()))]
        for model in self.models:
            scores = [
                format_value(value, model.intervals[name], is_percent=True)
                for name, value in model.metrics.items()
            ]
            if self.protocol is not None:
                scores.append("–" if model.ece is None else f"{model.ece:.1%}")
            for name, metric in metrics.items():
                found = model.tasks.get(name)
                scores.append("–" if found is None else format_value(*found, is_percent=metric.is_percent))
            rows.append((model.name, *scores))
        return rows

    def __str__(self) -> str:
        what = "" if self.protocol is None else f", protocol {self.protocol}"
        lines = [f"{self.n:,} faces{what}; intervals are 95%", self.description, ""]
        lines += [*format_table(self.table()), ""]
        for model in self.models[1:]:
            subject = f"{model.name} against {self.models[0].name}"
            if model.paired is not None:
                lines.append(f"{subject}: {_format_paired(model.paired)}")
            for name, metric in self.task_metrics().items():
                if name in model.differences:
                    lines.append(f"{subject}: {_format_difference(metric, model.differences[name])}")
        lines += [f"Warning: {note}" for note in self.notes]
        return "\n".join([*lines, *(f"Written: {path}" for path in self.written)])


def format_value(value: float, interval: Interval | None, *, is_percent: bool, signed: bool = False) -> str:
    """Return a metric with its interval as text."""
    scale, digits = (100, 1) if is_percent else (1, 3)

    def number(one: float) -> str:
        # Adding 0 turns -0 into 0.
        return f"{round(scale * one, digits) + 0.0:{'+' if signed else ''}.{digits}f}"

    unit = "%" if is_percent and not signed else ""
    ends = "" if interval is None else f" [{number(interval[0])}, {number(interval[1])}]"
    return f"{number(value)}{unit}{ends}"


def _format_difference(metric: ReportedMetric, found: TaskDifference) -> str:
    value = format_value(found.difference, found.ci95, is_percent=metric.is_percent, signed=True)
    is_significant = found.ci95 is not None and not found.ci95[0] <= 0 <= found.ci95[1]
    conclusion = "significant difference" if is_significant else "no significant difference"
    unit = " points" if metric.is_percent else ""
    return f"{metric.title} {value}{unit} on {found.n:,} faces: {conclusion}"


def _format_paired(paired: PairedComparison) -> str:
    low, high = paired.difference_ci95
    points = f"{100 * paired.difference:+.1f} points of accuracy [{100 * low:+.1f}, {100 * high:+.1f}]"
    counts = f"{paired.n_only_second:,} faces only it gets right, {paired.n_only_first:,} only the other does"
    p_value = "p < 0.0001" if paired.p_value < 1e-4 else f"p = {paired.p_value:.4f}"
    is_significant = paired.p_value < SIGNIFICANCE_LEVEL
    conclusion = "significant difference" if is_significant else "no significant difference"
    return f"{points}, {counts}; McNemar {p_value}: {conclusion}"
