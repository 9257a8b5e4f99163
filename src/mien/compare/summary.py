"""The outcome of a comparison as text: a table, and a sentence for each model against the first."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mien.metrics.bootstrap import Interval
from mien.metrics.comparison import PairedComparison
from mien.runtime.text_table import format_table

# The usual level: one in twenty comparisons of equal models is significant by chance.
SIGNIFICANCE_LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class ComparedModel:
    """One report's row.

    Attributes:
        name: the shortest part of the report's path that distinguishes it from the others.
        model: name of the model file.
        metrics: accuracy, balanced accuracy and macro-F1 on the shared faces.
        intervals: their 95 % intervals.
        ece: expected calibration error in the report, or None.
        nme: landmark error in the report, or None.
        ccc: CCC of valence and of arousal in the report, or None.
        paired: comparison with the first model; None for the first model itself.
    """

    name: str
    model: str
    metrics: dict[str, float]
    intervals: dict[str, Interval]
    ece: float | None
    nme: float | None
    ccc: tuple[float | None, float | None]
    paired: PairedComparison | None


@dataclass(frozen=True, slots=True)
class ComparisonSummary:
    """What the command line shows.

    Attributes:
        protocol: name of the class protocol.
        description: description of the protocol.
        n: number of faces that count in all reports.
        models: one row each, in the order given.
        written: files that were written.
        notes: warnings for readers of the table.
    """

    protocol: str
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
            "models": [asdict(model) for model in self.models],
        }

    def table(self) -> list[tuple[str, ...]]:
        """Return the header and a row for each model."""
        rows: list[tuple[str, ...]] = [
            ("report", "accuracy, %", "balanced accuracy, %", "macro-F1, %", "ECE, %", "NME, %", "CCC v/a")
        ]
        for model in self.models:
            scores = (
                f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
                for value, (low, high) in zip(model.metrics.values(), model.intervals.values(), strict=True)
            )
            errors = ("–" if value is None else f"{100 * value:.1f}" for value in (model.ece, model.nme))
            ccc = " / ".join("–" if value is None else f"{value:.2f}" for value in model.ccc)
            rows.append((model.name, *scores, *errors, ccc))
        return rows

    def __str__(self) -> str:
        lines = [f"{self.n:,} faces, protocol {self.protocol}; intervals are 95 %", self.description, ""]
        lines += [*format_table(self.table()), ""]
        for model in self.models[1:]:
            if model.paired is not None:
                sentence = _format_paired(model.paired)
                lines.append(f"{model.name} against {self.models[0].name}: {sentence}")
        lines += [f"Warning: {note}" for note in self.notes]
        return "\n".join([*lines, *(f"Written: {path}" for path in self.written)])


def _format_paired(paired: PairedComparison) -> str:
    low, high = paired.difference_ci95
    points = f"{100 * paired.difference:+.1f} points of accuracy [{100 * low:+.1f}, {100 * high:+.1f}]"
    counts = f"{paired.n_only_second:,} faces only it gets right, {paired.n_only_first:,} only the other does"
    p_value = "p < 0.0001" if paired.p_value < 1e-4 else f"p = {paired.p_value:.4f}"
    is_significant = paired.p_value < SIGNIFICANCE_LEVEL
    conclusion = "significant difference" if is_significant else "no significant difference"
    return f"{points}, {counts}; McNemar {p_value}: {conclusion}"
