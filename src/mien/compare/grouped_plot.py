"""Groups as a picture: a point for each seed, a mark for the mean, a line for its 95 % interval."""

from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mien.artifacts import write_atomically
from mien.compare.grouped_summary import FIGURE_NAMES, GroupedSummary
from mien.compare.plot import COLORS, GRID, TEXT
from mien.fonts import plot_style, plot_text
from mien.metrics.seeds import SeedMean

_COLUMNS = 3
# Lower is better in these.
_ERRORS = frozenset({"ece", "nme"})
_SHIFT = 0.22


def draw_groups(path: Path, summary: GroupedSummary) -> None:
    """Write a PNG with a panel for each figure and a line for each group."""
    with rc_context(plot_style(group.name for group in summary.groups)):
        figure = _draw(summary)
        write_atomically(path, lambda partial: figure.savefig(partial, format="png"))


def _draw(summary: GroupedSummary) -> Figure:
    names = summary.figure_names
    n_columns = min(_COLUMNS, len(names))
    n_rows = -(-len(names) // n_columns)
    height = 0.9 + 0.45 * len(summary.groups)
    figure = Figure(figsize=(2.0 + 2.9 * n_columns, 0.7 + height * n_rows), layout="constrained", dpi=160)
    panels = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True).ravel()
    for panel, name in zip(panels, names, strict=False):
        _draw_panel(panel, name, summary)
    for panel in panels[len(names) :]:
        panel.remove()
    figure.suptitle(
        f"{summary.n:,} faces, protocol {summary.protocol}: a point a seed, bars for means, lines for their 95 % "
        "intervals; dashed: the first group",
        x=0.01, ha="left", fontsize=9, color=TEXT,
    )  # fmt: skip
    return figure


def _draw_panel(panel: Axes, name: str, summary: GroupedSummary) -> None:
    scale, unit = (1, "") if name.startswith("ccc") else (100, ", %")
    for place, group in enumerate(summary.groups):
        mean = group.figures.get(name)
        if mean is not None:
            _draw_group(panel, place, mean, scale)
    reference = summary.groups[0].figures.get(name)
    if reference is not None:
        panel.axvline(
            reference.mean * scale, color=TEXT, linewidth=0.8, linestyle=(0, (3, 3)), alpha=0.5, zorder=0
        )
    better = " (lower is better)" if name in _ERRORS else ""
    panel.set_title(f"{FIGURE_NAMES[name]}{unit}{better}", loc="left", fontsize=9, color=TEXT)
    panel.set_yticks(
        range(len(summary.groups)), [plot_text(group.name) for group in summary.groups], fontsize=9
    )
    panel.set_ylim(len(summary.groups) - 0.5, -0.5)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.tick_params(length=0, labelsize=8)
    panel.grid(axis="x", color=GRID)
    panel.set_axisbelow(True)


def _draw_group(panel: Axes, place: int, mean: SeedMean, scale: float) -> None:
    color = COLORS[place % len(COLORS)]
    if mean.ci95 is not None:
        low, high = (end * scale for end in mean.ci95)
        panel.plot([low, high], [place, place], color=color, linewidth=2, solid_capstyle="round")
    n = len(mean.values)
    offsets = np.zeros(1) if n == 1 else np.linspace(-_SHIFT, _SHIFT, n)
    panel.scatter(
        [value * scale for value in mean.values], place + offsets,
        s=18, facecolors="white", edgecolors=color, linewidths=1.2, zorder=3,
    )  # fmt: skip
    panel.plot([mean.mean * scale] * 2, [place - 0.3, place + 0.3], color=color, linewidth=2.4, zorder=2)
