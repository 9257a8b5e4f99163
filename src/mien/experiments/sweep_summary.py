"""The summary of a sweep: each setting's dev metrics over its seeds, as a table and a plot."""

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from mien.artifacts import disk_errors, write_json, write_text
from mien.drawing.figures import FIGURE_SUFFIXES, save_figure
from mien.drawing.fonts import plot_style, plot_text
from mien.experiments.series import SUMMARY, Series, open_finished
from mien.experiments.settings import format_value, name_setting, short_names
from mien.experiments.statistics import (
    MISSING,
    MeanStd,
    mean_std_of_metrics,
    metric_names,
)
from mien.formats.csv_file import write_csv
from mien.runtime.text_table import format_latex_table, format_markdown_table, format_table

FORMAT_VERSION = 1
_DRAWN = ("accuracy", "balanced_accuracy", "macro_f1")
_POINT, _MEAN, _GRID = "#3554d1", "#e8743b", "#e1e5eb"


class SettingResult(NamedTuple):
    """A row of the table.

    Attributes:
        setting: the values tried, by recipe key.
        n_dev: number of dev faces.
        metrics: each dev metric over the seeds.
        runs: ``folder``, ``seed``, ``best_epoch`` and ``dev`` (n and metrics) of each run.
    """

    setting: dict[str, Any]
    n_dev: int
    metrics: dict[str, MeanStd]
    runs: list[dict[str, Any]]

    @property
    def name(self) -> str:
        """The setting as text."""
        return name_setting(self.setting, separator=", ") or "the recipe"


@dataclass(frozen=True)
class SweepSummary:
    """The results of a sweep. Its text is what the command prints.

    Attributes:
        out: the series' folder.
        select_by: the dev metrics that selected checkpoints.
        results: a row for each setting.
    """

    out: Path
    select_by: list[str]
    results: list[SettingResult]

    @property
    def n_dev(self) -> str:
        """The number of dev faces as text; settings that split differently have several."""
        return " or ".join(f"{n:,}" for n in sorted({result.n_dev for result in self.results}))

    def table(self) -> list[list[str]]:
        """Return the header and a row for each setting."""
        names = metric_names([result.metrics for result in self.results])
        keys = short_names(list(self.results[0].setting))
        rows = [[*keys, "seeds", "dev n", *(name.replace("_", " ") for name in names)]]
        for result in self.results:
            values = [format_value(value) for value in result.setting.values()]
            scores = [str(result.metrics.get(name, MISSING)) for name in names]
            rows.append([*values, str(len(result.runs)), f"{result.n_dev:,}", *scores])
        return rows

    @property
    def caption(self) -> str:
        """What the figures are, and what they are not."""
        return (
            f"mean ± standard deviation over the seeds, on the dev split of train (n = {self.n_dev}).\n"
            f"The dev split selected the checkpoint of every run, by {' or '.join(self.select_by)}: use these figures\n"
            "to compare settings, not as results. For those run `mien evaluate`."
        )

    def __str__(self) -> str:
        others = ", ".join(f"summary{suffix}" for suffix in (".md", ".tex", *FIGURE_SUFFIXES))
        written = f"summary: {self.out / 'summary.csv'}, {SUMMARY}, {others}"
        return "\n".join([*format_table(self.table()), "", self.caption, written])


def summarize_sweep(series: Series) -> SweepSummary:
    """Return the results of the finished runs of a sweep.

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
    """Write the summary as a table and as a plot, each in several formats, and last summary.json, into the series' folder."""
    with disk_errors(summary.out, "free some space and add --resume"):
        rows = []
        for result in summary.results:
            # `~` is YAML's other word for null, which tables do not take for a missing value.
            row: dict[str, Any] = {
                key: "~" if value is None else format_value(value) for key, value in result.setting.items()
            }
            row |= {"n_seeds": len(result.runs), "n_dev": result.n_dev}
            for name, metric in result.metrics.items():
                row |= {f"{name}_mean": metric.mean, f"{name}_sd": metric.sd}
            rows.append(row)
        write_csv(summary.out / "summary.csv", rows)
        caption = " ".join(summary.caption.split())
        write_text(summary.out / "summary.md", f"{caption}\n\n{format_markdown_table(summary.table())}\n")
        latex = format_latex_table(summary.table(), caption=caption.replace("`", ""))
        write_text(summary.out / "summary.tex", f"{latex}\n")
        draw_sweep(summary, *(summary.out / f"summary{suffix}" for suffix in FIGURE_SUFFIXES))
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
                        "metrics": {name: metric._asdict() for name, metric in result.metrics.items()},
                        "runs": result.runs,
                    }
                    for result in summary.results
                ],
            },
        )


def draw_sweep(summary: SweepSummary, *outs: Path) -> None:
    """Plot a row for each setting, with a point for each seed and a bar at their mean, to files of any figure format."""
    from matplotlib import rc_context  # noqa: PLC0415 - half a second, once training is done
    from matplotlib.figure import Figure  # noqa: PLC0415

    results = summary.results
    with rc_context(plot_style(result.name for result in results)):
        figure = Figure(figsize=(11, 1.9 + 0.42 * len(results)), layout="constrained", dpi=110)
        for axes, metric in zip(figure.subplots(1, len(_DRAWN), sharey=True), _DRAWN, strict=True):
            for row, result in enumerate(results):
                values = [run["dev"][metric] for run in result.runs]
                axes.plot(values, [row] * len(values), "o", color=_POINT, alpha=0.6, markersize=6, mew=0)
                mean = result.metrics[metric].mean
                axes.plot([mean, mean], [row - 0.3, row + 0.3], color=_MEAN, linewidth=2.5)
            title = f"dev {metric.replace('_', ' ').replace('f1', 'F1')}"
            axes.set(title=title, ylim=(len(results) - 0.4, -0.6))
            axes.grid(axis="x", color=_GRID)
            axes.spines[["top", "right"]].set_visible(False)
        figure.axes[0].set_yticks(range(len(results)), [plot_text(result.name) for result in results])
        figure.supxlabel("points: seeds; bar: their mean. The dev split selected the checkpoints", fontsize=9)
        for out in outs:
            save_figure(figure, out)
