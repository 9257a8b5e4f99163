"""Plots of comparisons: bars for models, points for groups of seeds, both with 95% intervals."""

from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mien.compare.grouped_summary import GroupedSummary, is_percent, metric_titles
from mien.compare.summary import ComparisonSummary
from mien.drawing.figures import save_figure
from mien.drawing.fonts import plot_style, plot_text
from mien.drawing.palette import series_color
from mien.tasks import reported_metrics

TEXT, GRID = "#2b3038", "#e1e5eb"
_COLUMNS = 3
# Vertical range over which the points of a group are spread.
_OFFSET = 0.22


def draw(path: Path, summary: ComparisonSummary | GroupedSummary) -> None:
    """Write the plot of a comparison in the format that the suffix selects."""
    with rc_context(plot_style(summary.names)):
        figure = draw_groups(summary) if isinstance(summary, GroupedSummary) else draw_bars(summary)
        save_figure(figure, path)


def draw_bars(summary: ComparisonSummary) -> Figure:
    """Return a group of bars per metric and a bar per model; draw and save it within the `plot_style` of the names."""
    n_models = len(summary.models)
    figure = Figure(figsize=(max(7.0, 2.4 + 1.1 * n_models), 4.4), layout="constrained", dpi=160)
    axes = figure.subplots()
    width = 0.8 / n_models
    # Without expression labels, the metrics of other tasks for which 1 is the best, or those for which 0 is.
    tasks = summary.task_metrics()
    names = list(summary.models[0].metrics) or [
        name for name, metric in tasks.items() if not metric.lower_is_better
    ]
    is_error = not names
    names = names or list(tasks)
    positions, lowest = np.arange(len(names)), 0.0
    for index, model in enumerate(summary.models):
        found = {name: (one.value, one.ci95) for name, one in model.tasks.items()}
        found |= {name: (value, model.intervals[name]) for name, value in model.metrics.items()}
        shown = [found.get(name, (np.nan, None)) for name in names]
        values = np.array([value for value, _ in shown]) * 100
        bounds = np.array([interval or (value, value) for value, interval in shown]).T * 100
        lowest = min(lowest, float(np.nan_to_num(bounds[0], nan=0.0).min()) * 1.1)
        left = positions + (index - (n_models - 1) / 2) * width
        axes.bar(left, values, width * 0.9, color=series_color(index), label=plot_text(model.name))
        errors = np.abs(bounds - values)
        axes.errorbar(left, values, yerr=errors, fmt="none", ecolor=TEXT, elinewidth=1.2, capsize=3)
        for x, value, top in zip(left, values, bounds[1], strict=True):
            if np.isnan(value):
                continue
            axes.annotate(
                f"{value:.1f}", (x, top), xytext=(0, 4), textcoords="offset points", ha="center", fontsize=8
            )
    axes.set_xticks(positions, [metric_titles()[name] for name in names])
    axes.set_ylim(lowest, None if is_error else 105)
    label = "in hundredths, lower is better" if is_error else "in hundredths of the best value, 1"
    axes.set_ylabel("%" if summary.protocol else label)
    protocol = f", protocol {summary.protocol}" if summary.protocol else ""
    axes.set_title(f"{summary.n:,} faces{protocol}, 95% intervals", loc="left", fontsize=10)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)
    axes.grid(axis="y", color=GRID)
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=min(n_models, 4), frameon=False)
    return figure


def draw_groups(summary: GroupedSummary) -> Figure:
    """Return a panel per metric and a line per group; draw and save it within the `plot_style` of the names."""
    names = summary.metric_names
    n_columns = min(_COLUMNS, len(names))
    n_rows = -(-len(names) // n_columns)
    height = 0.9 + 0.45 * len(summary.groups)
    figure = Figure(figsize=(2.0 + 2.9 * n_columns, 0.7 + height * n_rows), layout="constrained", dpi=160)
    panels = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True).ravel()
    for panel, name in zip(panels, names, strict=False):
        _draw_panel(panel, name, summary)
    for panel in panels[len(names) :]:
        panel.remove()
    protocol = f", protocol {summary.protocol}" if summary.protocol else ""
    figure.suptitle(
        f"{summary.n:,} faces{protocol}; points: seeds, bars: means, lines: 95% intervals, "
        "dashed: first group",
        x=0.01, ha="left", fontsize=9, color=TEXT,
    )  # fmt: skip
    return figure


def _draw_panel(panel: Axes, name: str, summary: GroupedSummary) -> None:
    scale, unit = (100, ", %") if is_percent(name) else (1, "")
    for row, group in enumerate(summary.groups):
        mean = group.metrics.get(name)
        if mean is None:
            continue
        color = series_color(row)
        if mean.ci95 is not None:
            bounds = [bound * scale for bound in mean.ci95]
            panel.plot(bounds, [row, row], color=color, linewidth=2, solid_capstyle="round")
        n = len(mean.values)
        offsets = np.zeros(1) if n == 1 else np.linspace(-_OFFSET, _OFFSET, n)
        panel.scatter(
            [value * scale for value in mean.values], row + offsets,
            s=18, facecolors="white", edgecolors=color, linewidths=1.2, zorder=3,
        )  # fmt: skip
        panel.plot([mean.mean * scale] * 2, [row - 0.3, row + 0.3], color=color, linewidth=2.4, zorder=2)
    reference = summary.groups[0].metrics.get(name)
    if reference is not None:
        panel.axvline(
            reference.mean * scale, color=TEXT, linewidth=0.8, linestyle=(0, (3, 3)), alpha=0.5, zorder=0
        )
    lower = name == "ece" or (name in reported_metrics() and reported_metrics()[name][1].lower_is_better)
    better = " (lower is better)" if lower else ""
    panel.set_title(f"{metric_titles()[name]}{unit}{better}", loc="left", fontsize=9, color=TEXT)
    panel.set_yticks(
        range(len(summary.groups)), [plot_text(group.name) for group in summary.groups], fontsize=9
    )
    panel.set_ylim(len(summary.groups) - 0.5, -0.5)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.tick_params(length=0, labelsize=8)
    panel.grid(axis="x", color=GRID)
    panel.set_axisbelow(True)
