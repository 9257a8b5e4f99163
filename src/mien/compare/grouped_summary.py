"""The outcome of a comparison of groups, and how it reads: a table, and the differences in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.metrics.bootstrap import Interval
from mien.metrics.classification import MINORITY_FRACTION
from mien.metrics.seeds import SeedDifference, SeedMean

# Every figure there may be, in the table's order, and its name in words.
FIGURE_NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "minority_recall": "minority recall",
    "ece": "ECE",
    "nme": "NME",
    "ccc_valence": "CCC valence",
    "ccc_arousal": "CCC arousal",
}
_NOT_SHARES = frozenset({"ccc_valence", "ccc_arousal"})
INTERVALS_NOTE = (
    "Intervals are 95 %: over other faces of the same kind, by resampling the same faces for all reports, and "
    "over other seeds, by Student's t on the spread between seeds, for a difference pooled over its two groups"
)


@dataclass(frozen=True, slots=True)
class ComparedGroup:
    """One group's row.

    Attributes:
        name: what its reports' paths have in common and others' have not.
        reports: their folders.
        figures: by name, those that all its reports have.
        against_first: each of them against the first group's; None for the first group itself.
    """

    name: str
    reports: tuple[str, ...]
    figures: dict[str, SeedMean]
    against_first: dict[str, SeedDifference] | None


@dataclass(frozen=True, slots=True)
class GroupedSummary:
    """What the command line shows.

    Attributes:
        protocol: the class protocol that counts.
        description: what it is.
        n: faces that count in all reports.
        minority: the classes of few faces, and how many they have.
        groups: a row each, in order of first appearance.
        written: files that were made.
        notes: what a reader must know before believing the table.
    """

    protocol: str
    description: str
    n: int
    minority: dict[str, int]
    groups: tuple[ComparedGroup, ...]
    written: tuple[Path, ...]
    notes: tuple[str, ...] = ()

    @property
    def figure_names(self) -> tuple[str, ...]:
        """The figures that any group has, in the table's order."""
        return tuple(name for name in FIGURE_NAMES if any(name in group.figures for group in self.groups))

    @property
    def minority_note(self) -> str:
        """Which classes the minority recall is of."""
        limit = f"fewer than {100 * MINORITY_FRACTION:g} % of the faces"
        if not self.minority:
            return f"No minority recall: no class has {limit}"
        named = ", ".join(f"{name} ({count:,} faces)" for name, count in self.minority.items())
        return f"Minority recall: the mean recall of the classes with {limit}, here {named}"

    def __str__(self) -> str:
        n_reports = sum(len(group.reports) for group in self.groups)
        head = (
            f"{n_reports} reports of {self.n:,} faces, protocol {self.protocol}; mean ± standard deviation over "
            "seeds, and the mean's 95 % interval"
        )
        lines = [
            head,
            self.description,
            "",
            *_align(self._table()),
            "",
            f"{self.minority_note}.",
            f"{INTERVALS_NOTE}.",
        ]
        for group in self.groups[1:]:
            lines += ["", *_state_differences(group, self.groups[0])]
        lines += ["", *(f"Warning: {note}" for note in self.notes)] if self.notes else []
        return "\n".join([*lines, *(f"Written: {path}" for path in self.written)])

    def _table(self) -> list[tuple[str, ...]]:
        units = {name: "" if name in _NOT_SHARES else ", %" for name in self.figure_names}
        titles = (f"{FIGURE_NAMES[name]}{unit}" for name, unit in units.items())
        rows: list[tuple[str, ...]] = [("group", "reports", "faces", *titles)]
        for group in self.groups:
            found = [(name, group.figures.get(name)) for name in self.figure_names]
            means = (_state_mean(name, mean) for name, mean in found)
            rows.append((group.name, str(len(group.reports)), f"{self.n:,}", *means))
            intervals = (_state_interval(name, mean) for name, mean in found)
            rows.append(("  95 %" if len(group.reports) > 1 else "  95 %, one seed", "", "", *intervals))
        return rows


def _state_mean(name: str, mean: SeedMean | None) -> str:
    if mean is None:
        return "–"
    deviation = "–" if mean.std is None else _number(name, mean.std)
    return f"{_number(name, mean.mean)} ± {deviation}"


def _state_interval(name: str, mean: SeedMean | None) -> str:
    return "" if mean is None or mean.ci95 is None else _span(name, mean.ci95)


def _state_differences(group: ComparedGroup, first: ComparedGroup) -> list[str]:
    rows = [
        (
            f"  {FIGURE_NAMES[name]}",
            f"{_number(name, found.difference, signed=True)}{'' if name in _NOT_SHARES else ' points'}",
            "" if found.ci95 is None else _span(name, found.ci95, signed=True),
            _conclude(found),
        )
        for name, found in (group.against_first or {}).items()
    ]
    return [f"{group.name} against {first.name}, difference of the means:", *_align(rows)]


def _conclude(found: SeedDifference) -> str:
    if found.ci95 is None:
        return "no interval"
    low, high = found.ci95
    if low <= 0 <= high:
        return "no difference shown"
    return "a real difference" if found.covers_seeds else "a difference of these models, whatever their seeds"


def _span(name: str, interval: Interval, *, signed: bool = False) -> str:
    low, high = (_number(name, end, signed=signed) for end in interval)
    return f"[{low}, {high}]"


def _number(name: str, value: float, *, signed: bool = False) -> str:
    scaled, digits = (value, 3) if name in _NOT_SHARES else (100 * value, 1)
    # adding 0 makes a negative nothing a plain one
    return f"{round(scaled, digits) + 0.0:{'+' if signed else ''}.{digits}f}"


def _align(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
