"""The outcome of a comparison, and how it reads: a table, and a sentence for each model against the first."""

from dataclasses import dataclass
from pathlib import Path

from mien.metrics.bootstrap import Interval
from mien.metrics.comparison import PairedComparison

# The usual level: a difference this large comes by luck once in twenty comparisons.
SIGNIFICANCE_LEVEL = 0.05
_HEADER = ("report", "accuracy", "balanced accuracy", "macro-F1", "ECE", "NME", "CCC v/a")


@dataclass(frozen=True, slots=True)
class ComparedModel:
    """One report's row.

    Attributes:
        name: the report folder's name.
        model: the model file's name.
        figures: accuracy, balanced accuracy and macro-F1 on the shared faces.
        intervals: their 95 % intervals.
        ece: expected calibration error, as the report has it, or None.
        nme: landmark error, as the report has it, or None.
        ccc: concordance of valence and of arousal, as the report has it, or None.
        paired: this model against the first one; None for the first itself.
    """

    name: str
    model: str
    figures: dict[str, float]
    intervals: dict[str, Interval]
    ece: float | None
    nme: float | None
    ccc: tuple[float | None, float | None]
    paired: PairedComparison | None


@dataclass(frozen=True, slots=True)
class ComparisonSummary:
    """What the command line shows.

    Attributes:
        protocol: the class protocol that counts.
        description: what it is.
        n: faces that count in all reports.
        models: a row each, in the order given.
        written: files that were made.
        notes: what a reader must know before believing the table.
    """

    protocol: str
    description: str
    n: int
    models: tuple[ComparedModel, ...]
    written: tuple[Path, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        rows = [_HEADER, *(_row(model) for model in self.models)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
        lines = [f"{self.n:,} faces, protocol {self.protocol}; intervals are 95 %", self.description, ""]
        lines += [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        lines.append("")
        lines += [_state_difference(model, self.models[0]) for model in self.models[1:]]
        lines += [f"Warning: {note}" for note in self.notes]
        return "\n".join([*lines, *(f"Written: {path}" for path in self.written)])


def _row(model: ComparedModel) -> tuple[str, ...]:
    figures = (
        f"{100 * value:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
        for value, (low, high) in zip(model.figures.values(), model.intervals.values(), strict=True)
    )
    valence, arousal = (_number(value, "{:.2f}") for value in model.ccc)
    return (
        model.name,
        *figures,
        _number(model.ece, "{:.1%}"),
        _number(model.nme, "{:.1%}"),
        f"{valence} / {arousal}",
    )


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value).replace("%", " %")


def _state_difference(model: ComparedModel, first: ComparedModel) -> str:
    paired = model.paired
    if paired is None:
        return ""
    low, high = paired.difference_ci95
    points = f"{100 * paired.difference:+.1f} points of accuracy [{100 * low:+.1f}, {100 * high:+.1f}]"
    counts = f"{paired.n_only_second:,} faces right that it has wrong, {paired.n_only_first:,} the other way"
    is_real = paired.p_value < SIGNIFICANCE_LEVEL
    conclusion = "a real difference" if is_real else "no difference shown"
    p_value = "p < 0.0001" if paired.p_value < 1e-4 else f"p = {paired.p_value:.4f}"
    return f"{model.name} against {first.name}: {points}, {counts}; McNemar {p_value}: {conclusion}"
