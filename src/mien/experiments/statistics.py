"""Mean and standard deviation of metrics over several runs, and tables of them as text and as a file."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mien.artifacts import write_atomically
from mien.metrics.seeds import mean_and_std
from mien.runtime.csv_text import CsvLines

MISSING = "–"


class MeanStd(NamedTuple):
    """Mean and standard deviation of a metric.

    Attributes:
        mean: the mean.
        sd: the standard deviation (n - 1 in the denominator); None for a single value.
    """

    mean: float
    sd: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "MeanStd":
        """Return the mean and standard deviation of one or more values."""
        return cls(*mean_and_std(values))

    def __str__(self) -> str:
        return f"{self.mean:.4f}" if self.sd is None else f"{self.mean:.4f} ± {self.sd:.4f}"


def mean_std_of_metrics(dev: Sequence[Mapping[str, float]]) -> dict[str, MeanStd]:
    """Return the mean and standard deviation of every dev metric that all runs have.

    Args:
        dev: ``dev`` from each run's result.json.
    """
    return {name: MeanStd.of([scores[name] for scores in dev]) for name in metric_names(dev, all)}


def metric_names(dev: Sequence[Mapping[str, Any]], which: Any = any) -> list[str]:
    """Return the names of the metrics that any run has, or with ``which=all`` those that all have, in order."""
    names = dict.fromkeys(name for scores in dev for name in scores if name != "n")
    return [name for name in names if which(name in scores for scores in dev)]


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV, with a column for every key that any of them has. None becomes an empty cell."""

    def write(partial: Path) -> None:
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(CsvLines(file), list(dict.fromkeys(name for row in rows for name in row)))
            writer.writeheader()
            writer.writerows(rows)

    write_atomically(path, write)
