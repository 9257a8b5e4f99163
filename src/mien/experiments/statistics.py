"""One metric over several runs: its mean and spread, and a table of them as text and as a file."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.artifacts import write_atomically
from mien.metrics.seeds import mean_and_std
from mien.runtime.csv_text import CsvLines

NOTHING = "–"


@dataclass(frozen=True)
class MeanStd:
    """Several values of one metric.

    Attributes:
        mean: their mean.
        sd: their standard deviation (n - 1 in the denominator); None for a single value.
    """

    mean: float
    sd: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "MeanStd":
        """Return the spread of one or more values."""
        return cls(*mean_and_std(values))

    def __str__(self) -> str:
        return f"{self.mean:.4f}" if self.sd is None else f"{self.mean:.4f} ± {self.sd:.4f}"


def mean_std_of_metrics(dev: Sequence[Mapping[str, float]]) -> dict[str, MeanStd]:
    """Return the spread of every dev metric that all of some runs have.

    Args:
        dev: the ``dev`` of each run's result.json.
    """
    return {name: MeanStd.of([scores[name] for scores in dev]) for name in metric_names(dev, all)}


def metric_names(dev: Sequence[Mapping[str, Any]], which: Any = any) -> list[str]:
    """Return the metrics that any run has, or with ``which=all`` those that all have, in their order."""
    names = dict.fromkeys(name for scores in dev for name in scores if name != "n")
    return [name for name in names if which(name in scores for scores in dev)]


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV, a column for every key that any of them has. None is an empty cell."""

    def write(partial: Path) -> None:
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(CsvLines(file), list(dict.fromkeys(name for row in rows for name in row)))
            writer.writeheader()
            writer.writerows(rows)

    write_atomically(path, write)
