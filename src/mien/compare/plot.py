"""The comparison as a picture: bars with their 95 % intervals."""

from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from mien.artifacts import write_atomically
from mien.compare.summary import ComparisonSummary
from mien.fonts import plot_style, plot_text

COLORS = ("#3554d1", "#e8743b", "#19a979", "#945ecf", "#13a4b4", "#bf399e", "#6c8893", "#d9a400")
TEXT, GRID = "#2b3038", "#e1e5eb"


def draw_comparison(path: Path, summary: ComparisonSummary) -> None:
    """Write a PNG with a group of bars for each figure and a bar for each model."""
    with rc_context(plot_style(model.name for model in summary.models)):
        figure = draw_bars(summary)
        write_atomically(path, lambda partial: figure.savefig(partial, format="png"))


def draw_bars(summary: ComparisonSummary) -> Figure:
    """Return the figure, to be drawn and saved within the style of its names."""
    n_models = len(summary.models)
    figure = Figure(figsize=(max(7.0, 2.4 + 1.1 * n_models), 4.4), layout="constrained", dpi=160)
    axes = figure.subplots()
    width = 0.8 / n_models
    names = list(summary.models[0].figures)
    places = np.arange(len(names))
    for index, model in enumerate(summary.models):
        values = np.array(list(model.figures.values())) * 100
        ends = np.array(list(model.intervals.values())).T * 100
        left = places + (index - (n_models - 1) / 2) * width
        axes.bar(left, values, width * 0.9, color=COLORS[index % len(COLORS)], label=plot_text(model.name))
        whiskers = np.abs(ends - values)
        axes.errorbar(left, values, yerr=whiskers, fmt="none", ecolor=TEXT, elinewidth=1.2, capsize=3)
        for x, value, top in zip(left, values, ends[1], strict=True):
            axes.annotate(
                f"{value:.1f}", (x, top), xytext=(0, 4), textcoords="offset points", ha="center", fontsize=8
            )
    axes.set_xticks(places, [name.replace("_", " ").replace("f1", "F1") for name in names])
    axes.set(ylabel="%", ylim=(0, 105))
    axes.set_title(
        f"{summary.n:,} faces, protocol {summary.protocol}, 95 % intervals", loc="left", fontsize=10
    )
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)
    axes.grid(axis="y", color=GRID)
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=min(n_models, 4), frameon=False)
    return figure
