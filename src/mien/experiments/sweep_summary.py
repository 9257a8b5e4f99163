"""What the runs of a sweep say together: each setting's dev metrics over its seeds, as a table and an image."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.artifacts import disk_errors, write_atomically, write_json
from mien.drawing.fonts import plot_style, plot_text
from mien.experiments.series import SUMMARY, Series, open_finished
from mien.experiments.settings import format_value, name_setting, short_names
from mien.experiments.statistics import (
    NOTHING,
    MeanStd,
    mean_std_of_metrics,
    metric_names,
    write_table,
)
from mien.runtime.text_table import format_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMAT_VERSION = 1
_DRAWN = ("accuracy", "balanced_accuracy", "macro_f1")
_POINT, _MEAN, _GRID = "#3554d1", "#e8743b", "#e1e5eb"


@dataclass(frozen=True)
class SettingResult:
    """A row of the table.

    Attributes:
        setting: the values that were tried, by recipe key.
        n_dev: faces of the dev split.
        metrics: each dev metric over the seeds.
        runs: ``folder``, ``seed``, ``best_epoch`` and ``dev`` (n and metrics) of each run.
    """

    setting: dict[str, Any]
    n_dev: int
    metrics: dict[str, MeanStd]
    runs: list[dict[str, Any]]

    @property
    def name(self) -> str:
        """The setting in words."""
        return name_setting(self.setting, separator=", ") or "the recipe"


@dataclass(frozen=True)
class SweepSummary:
    """How a sweep ended. Its text is what the command prints.

    Attributes:
        out: the series' folder.
        select_by: the dev metrics that chose checkpoints.
        results: a row of each setting.
    """

    out: Path
    select_by: list[str]
    results: list[SettingResult]

    @property
    def n_dev(self) -> str:
        """The faces of the dev split in words; settings that cut it differently have several."""
        return " or ".join(f"{n:,}" for n in sorted({result.n_dev for result in self.results}))

    def __str__(self) -> str:
        lines = [
            *format_table(self._cells()),
            "",
            f"mean ± standard deviation over the seeds, on the dev split of train (n = {self.n_dev}).",
            f"The dev split chose the checkpoint of every run, by {' or '.join(self.select_by)}: these figures",
            "compare settings and are no headline numbers. `mien evaluate` makes those.",
            f"summary: {self.out / 'summary.csv'}, {SUMMARY}, summary.png",
        ]
        return "\n".join(lines)

    def _cells(self) -> list[list[str]]:
        names = metric_names([result.metrics for result in self.results])
        keys = short_names(list(self.results[0].setting))
        rows = [[*keys, "seeds", "dev n", *(name.replace("_", " ") for name in names)]]
        for result in self.results:
            values = [format_value(value) for value in result.setting.values()]
            scores = [str(result.metrics.get(name, NOTHING)) for name in names]
            rows.append([*values, str(len(result.runs)), f"{result.n_dev:,}", *scores])
        return rows


def summarize_sweep(series: Series) -> SweepSummary:
    """Return what the finished runs of a sweep say.

    Raises:
        ArtifactError: a run is missing or has not finished.
    """
    finished = open_finished(series)
    results = []
    for _, group in groupby(finished, key=lambda entry: list(entry[0].setting.items())):
        members = list(group)
        dev = [result["dev"] for _, _, result in members]
        runs = [
            {
                "folder": planned.folder,
                "seed": planned.recipe.runtime.seed,
                "best_epoch": result["best_epoch"],
                "dev": result["dev"],
            }
            for planned, _, result in members
        ]
        results.append(SettingResult(members[0][0].setting, dev[0]["n"], mean_std_of_metrics(dev), runs))
    select_by = list(dict.fromkeys(result["select_by"] for _, _, result in finished))
    return SweepSummary(series.out, select_by, results)


def write_sweep_summary(summary: SweepSummary) -> None:
    """Write summary.csv, summary.png, and last summary.json into the series' folder."""
    with disk_errors(summary.out, "free some space and add --resume"):
        write_table(summary.out / "summary.csv", [_csv_row(result) for result in summary.results])
        draw_sweep(summary, summary.out / "summary.png")
        write_json(
            summary.out / SUMMARY,
            {
                "format_version": FORMAT_VERSION,
                "kind": "sweep",
                "select_by": summary.select_by,
                "settings": [
                    {
                        "setting": result.setting,
                        "n_seeds": len(result.runs),
                        "n_dev": result.n_dev,
                        "metrics": {name: vars(spread) for name, spread in result.metrics.items()},
                        "runs": result.runs,
                    }
                    for result in summary.results
                ],
            },
        )


def _csv_row(result: SettingResult) -> dict[str, Any]:
    # YAML's other word for null, which tables do not take for a missing value
    row: dict[str, Any] = {
        key: "~" if value is None else format_value(value) for key, value in result.setting.items()
    }
    row |= {"n_seeds": len(result.runs), "n_dev": result.n_dev}
    for name, spread in result.metrics.items():
        row |= {f"{name}_mean": spread.mean, f"{name}_sd": spread.sd}
    return row


def draw_sweep(summary: SweepSummary, out: Path) -> None:
    """Draw a PNG: a line for each setting, a point for each seed, a bar at their mean."""
    from matplotlib import rc_context  # noqa: PLC0415 - half a second, once all is trained

    with rc_context(plot_style(result.name for result in summary.results)):
        figure = _draw_figure(summary)
        write_atomically(out, lambda partial: figure.savefig(partial, format="png"))


def _draw_figure(summary: SweepSummary) -> "Figure":
    from matplotlib.figure import Figure  # noqa: PLC0415

    results = summary.results
    figure = Figure(figsize=(11, 1.9 + 0.42 * len(results)), layout="constrained", dpi=110)
    for axes, metric in zip(figure.subplots(1, len(_DRAWN), sharey=True), _DRAWN, strict=True):
        for place, result in enumerate(results):
            values = list(_values(result, metric))
            axes.plot(values, [place] * len(values), "o", color=_POINT, alpha=0.6, markersize=6, mew=0)
            mean = result.metrics[metric].mean
            axes.plot([mean, mean], [place - 0.3, place + 0.3], color=_MEAN, linewidth=2.5)
        axes.set(title=f"dev {metric.replace('_', ' ').replace('f1', 'F1')}", ylim=(len(results) - 0.4, -0.6))
        axes.grid(axis="x", color=_GRID)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_yticks(range(len(results)), [plot_text(result.name) for result in results])
    figure.supxlabel(
        "a point: one seed; the bar: their mean. The dev split chose the checkpoints", fontsize=9
    )
    return figure


def _values(result: SettingResult, metric: str) -> Iterator[float]:
    return (run["dev"][metric] for run in result.runs)
