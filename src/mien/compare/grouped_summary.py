"""The outcome of a comparison of groups as text: a table of means, and the differences from the first group."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mien.metrics.bootstrap import Interval
from mien.metrics.classification import MINORITY_FRACTION
from mien.metrics.seeds import SeedDifference, SeedMean
from mien.runtime.text_table import format_table

# All possible metrics, in the table's order, with their titles.
METRIC_TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "minority_recall": "minority recall",
    "ece": "ECE",
    "nme": "NME",
    "ccc_valence": "CCC valence",
    "ccc_arousal": "CCC arousal",
}
_NOT_PERCENT = frozenset({"ccc_valence", "ccc_arousal"})
INTERVALS_NOTE = (
    "Intervals are 95 %: over faces, by resampling the same faces for all reports, and over seeds, by Student's t with "
    "the standard deviation over seeds, pooled over both groups for a difference; what a metric cannot reach is cut off"
)


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
        protocol: name of the class protocol.
        description: description of the protocol.
        n: number of faces that count in all reports.
        minority: minority classes and their numbers of faces.
        groups: one row each, in order of first appearance.
        written: files that were written.
        notes: warnings for readers of the table.
    """

    protocol: str
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
        return tuple(name for name in METRIC_TITLES if any(name in group.metrics for group in self.groups))

    @property
    def minority_note(self) -> str:
        """A sentence on the classes that the minority recall is about."""
        limit = f"fewer than {100 * MINORITY_FRACTION:g} % of the faces"
        if not self.minority:
            return f"No minority recall: no class has {limit}"
        named = ", ".join(f"{name} ({count:,} faces)" for name, count in self.minority.items())
        return f"Minority recall: the mean recall of the classes with {limit}, here {named}"

    def __str__(self) -> str:
        n_reports = sum(len(group.reports) for group in self.groups)
        lines = [
            (
                f"{n_reports} reports of {self.n:,} faces, protocol {self.protocol}; mean ± standard deviation over "
                "seeds, with the 95 % interval of the mean"
            ),
            self.description,
            "",
            *format_table([*self.table()]),
            "",
            f"{self.minority_note}.",
            f"{INTERVALS_NOTE}.",
        ]
        for group in self.groups[1:]:
            lines += ["", f"{group.name} against {self.groups[0].name}, difference of the means:"]
            differences = (group.against_first or {}).items()
            lines += format_table([_difference_row(name, found) for name, found in differences])
        lines += ["", *(f"Warning: {note}" for note in self.notes)] if self.notes else []
        return "\n".join([*lines, *(f"Written: {path}" for path in self.written)])

    def table(self) -> Iterator[tuple[str, ...]]:
        """Yield the header, and two rows for each group: the means and their intervals."""
        units = {name: "" if name in _NOT_PERCENT else ", %" for name in self.metric_names}
        yield "group", "reports", "faces", *(f"{METRIC_TITLES[name]}{unit}" for name, unit in units.items())
        for group in self.groups:
            means, intervals = [], []
            for name in self.metric_names:
                mean = group.metrics.get(name)
                std = "–" if mean is None or mean.std is None else _number(name, mean.std)
                means.append("–" if mean is None else f"{_number(name, mean.mean)} ± {std}")
                intervals.append("" if mean is None else _interval(name, mean.ci95))
            yield group.name, str(len(group.reports)), f"{self.n:,}", *means
            yield "  95 %" if len(group.reports) > 1 else "  95 %, one seed", "", "", *intervals


def _difference_row(name: str, found: SeedDifference) -> tuple[str, ...]:
    unit = "" if name in _NOT_PERCENT else " points"
    if found.ci95 is None:
        conclusion = "no interval"
    elif found.ci95[0] <= 0 <= found.ci95[1]:
        conclusion = "no significant difference"
    elif found.covers_seeds:
        conclusion = "significant difference"
    else:
        conclusion = "significant for these models, other seeds not covered"
    difference = f"{_number(name, found.difference, signed=True)}{unit}"
    return f"  {METRIC_TITLES[name]}", difference, _interval(name, found.ci95, signed=True), conclusion


def _interval(name: str, interval: Interval | None, *, signed: bool = False) -> str:
    if interval is None:
        return ""
    low, high = (_number(name, end, signed=signed) for end in interval)
    return f"[{low}, {high}]"


def _number(name: str, value: float, *, signed: bool = False) -> str:
    scaled, digits = (value, 3) if name in _NOT_PERCENT else (100 * value, 1)
    # Adding 0 turns -0 into 0.
    return f"{round(scaled, digits) + 0.0:{'+' if signed else ''}.{digits}f}"
