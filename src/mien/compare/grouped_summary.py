"""The outcome of a comparison of groups as text: a table of means, and the differences from the first group."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mien.metrics.bootstrap import Interval
from mien.metrics.classification import MINORITY_FRACTION
from mien.metrics.seeds import SeedDifference, SeedMean
from mien.runtime.text_table import format_table
from mien.tasks import reported_metrics

# The metrics of the expression, in the table's order, with their titles; those of other tasks follow.
EXPRESSION_TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "minority_recall": "minority recall",
    "ece": "ECE",
}
INTERVALS_NOTE = (
    "Intervals are 95%: over faces, by resampling the same faces for all reports, and over seeds, by Student's t with "
    "the standard deviation over seeds, pooled over both groups for a difference; what a metric cannot reach is cut off"
)


def metric_titles() -> dict[str, str]:
    """Return the titles of all possible metrics by name, in the table's order."""
    return EXPRESSION_TITLES | {name: metric.title for name, (_, metric) in reported_metrics().items()}


def is_percent(name: str) -> bool:
    """Return whether a metric is shown in percent."""
    return name in EXPRESSION_TITLES or reported_metrics()[name][1].is_percent


@dataclass(frozen=True, slots=True)
class ComparedGroup:
    """One group's row.

    Attributes:
        name: the part of its reports' paths that distinguishes it from the other groups.
        reports: their folders.
        metrics: mean of each metric that all its reports have.
        against_first: difference of each mean from the first group's; None for the first group itself.
    """

    name: str
    reports: tuple[str, ...]
    metrics: dict[str, SeedMean]
    against_first: dict[str, SeedDifference] | None


@dataclass(frozen=True, slots=True)
class GroupedSummary:
    """What the command line shows.

    Attributes:
        protocol: name of the class protocol; None if no face has an expression label.
        description: description of the protocol.
        n: number of faces that count in all reports.
        minority: minority classes and their numbers of faces.
        groups: one row each, in order of first appearance.
        written: files that were written.
        notes: warnings for readers of the table.
    """

    protocol: str | None
    description: str
    n: int
    minority: dict[str, int]
    groups: tuple[ComparedGroup, ...]
    written: tuple[Path, ...]
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The groups' names."""
        return tuple(group.name for group in self.groups)

    def document(self) -> dict[str, Any]:
        """Return all numbers, as they are written to a JSON file."""
        return {
            "protocol": self.protocol,
            "description": self.description,
            "n": self.n,
            "minority": {"fraction_below": MINORITY_FRACTION, "classes": self.minority},
            "intervals": f"{INTERVALS_NOTE}.",
            "groups": [{"n_reports": len(group.reports), **asdict(group)} for group in self.groups],
            "notes": list(self.notes),
        }

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The metrics that any group has, in the table's order."""
        has_expression = any("accuracy" in group.metrics for group in self.groups)
        details = {name for name, (_, metric) in reported_metrics().items() if metric.is_detail}
        return tuple(
            name
            for name in metric_titles()
            if any(name in group.metrics for group in self.groups)
            and not (has_expression and name in details)
        )

    @property
    def minority_note(self) -> str:
        """A sentence on the classes that the minority recall is about."""
        limit = f"fewer than {100 * MINORITY_FRACTION:g}% of the faces"
        if not self.minority:
            return f"No minority recall: no class has {limit}"
        named = ", ".join(f"{name} ({count:,} faces)" for name, count in self.minority.items())
        return f"Minority recall: the mean recall of the classes with {limit}, here {named}"

    def __str__(self) -> str:
        n_reports = sum(len(group.reports) for group in self.groups)
        what = "" if self.protocol is None else f", protocol {self.protocol}"
        lines = [
            (
                f"{n_reports} reports of {self.n:,} faces{what}; mean ± standard deviation over "
                "seeds, with the 95% interval of the mean"
            ),
            self.description,
            "",
            *format_table([*self.table()]),
            "",
            *([] if self.protocol is None else [f"{self.minority_note}."]),
            f"{INTERVALS_NOTE}.",
        ]
        for group in self.groups[1:]:
            lines += ["", f"{group.name} against {self.groups[0].name}, difference of the means:"]
            found = group.against_first or {}
            rows = [_difference_row(name, found[name]) for name in self.metric_names if name in found]
            lines += format_table(rows)
        lines += ["", *(f"Warning: {note}" for note in self.notes)] if self.notes else []
        return "\n".join([*lines, *(f"Written: {path}" for path in self.written)])

    def table(self) -> Iterator[tuple[str, ...]]:
        """Yield the header, and two rows for each group: the means and their intervals."""
        titles = metric_titles()
        units = {name: ", %" if is_percent(name) else "" for name in self.metric_names}
        yield "group", "reports", "faces", *(f"{titles[name]}{unit}" for name, unit in units.items())
        for group in self.groups:
            means, intervals = [], []
            for name in self.metric_names:
                mean = group.metrics.get(name)
                std = "–" if mean is None or mean.std is None else _number(name, mean.std)
                means.append("–" if mean is None else f"{_number(name, mean.mean)} ± {std}")
                intervals.append("" if mean is None else _interval(name, mean.ci95))
            yield group.name, str(len(group.reports)), f"{self.n:,}", *means
            yield "  95%" if len(group.reports) > 1 else "  95%, one seed", "", "", *intervals


def _difference_row(name: str, found: SeedDifference) -> tuple[str, ...]:
    unit = " points" if is_percent(name) else ""
    if found.ci95 is None:
        conclusion = "no interval"
    elif found.ci95[0] <= 0 <= found.ci95[1]:
        conclusion = "no significant difference"
    elif found.covers_seeds:
        conclusion = "significant difference"
    else:
        conclusion = "significant for these models, other seeds not covered"
    difference = f"{_number(name, found.difference, signed=True)}{unit}"
    return f"  {metric_titles()[name]}", difference, _interval(name, found.ci95, signed=True), conclusion


def _interval(name: str, interval: Interval | None, *, signed: bool = False) -> str:
    if interval is None:
        return ""
    low, high = (_number(name, end, signed=signed) for end in interval)
    return f"[{low}, {high}]"


def _number(name: str, value: float, *, signed: bool = False) -> str:
    scaled, digits = (100 * value, 1) if is_percent(name) else (value, 3)
    # Adding 0 turns -0 into 0.
    return f"{round(scaled, digits) + 0.0:{'+' if signed else ''}.{digits}f}"
