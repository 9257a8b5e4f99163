"""Mean and standard deviation of metrics over several runs."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mien.metrics.seeds import mean_and_std

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
