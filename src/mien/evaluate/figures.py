"""The report's plots, as SVG that takes its colors from the page, so that one plot serves light mode, dark mode and print.

matplotlib draws in placeholder colors, which are then replaced by variables of the page's style. Only this module
imports matplotlib, and only its non-interactive part.
"""

import io
import re
from collections.abc import Sequence
from html import escape, unescape
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mien.drawing.palette import series_color
from mien.metrics.calibration import ReliabilityBin
from mien.metrics.landmarks import cumulative_error
from mien.runtime.language import Language

_INK, _SOFT, _LINE, _ACCENT, _ALERT = "#010101", "#020202", "#030303", "#040404", "#050505"
_VARIABLES = {
    _INK: "var(--ink)",
    _SOFT: "var(--soft)",
    _LINE: "var(--line)",
    _ACCENT: "var(--accent)",
    _ALERT: "var(--alert)",
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _SOFT,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _LINE,
    "grid.linewidth": 0.8,
    "xtick.color": _LINE,
    "ytick.color": _LINE,
    "xtick.labelcolor": _SOFT,
    "ytick.labelcolor": _SOFT,
    "text.color": _SOFT,
    "legend.frameon": False,
}
# Color and opacity of the gap between confidence and accuracy, by whether the model is overconfident.
_GAPS = {True: (_ALERT, 0.4), False: (_ACCENT, 0.35)}
# Larger errors, beyond a fifth of the eye distance, are failures.
_NME_LIMIT = 0.2
# More points would make the page heavy and the scatter plot illegible.
MAX_POINTS = 800


def draw_reliability(bins: Sequence[ReliabilityBin]) -> str:
    """Draw the reliability diagram: accuracy against confidence, above a histogram of confidence."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(5.2, 5.0), layout="constrained")
        upper, lower = figure.subplots(2, 1, height_ratios=[4, 1], sharex=True)
        upper.plot(
            [0, 1], [0, 1], color=_SOFT, linestyle=(0, (4, 4)), linewidth=1, label="perfectly calibrated"
        )
        for bin_ in bins:
            if bin_.confidence is None or bin_.accuracy is None:
                continue
            width, left = (bin_.high - bin_.low) * 0.92, bin_.low + (bin_.high - bin_.low) * 0.04
            base, gap = min(bin_.accuracy, bin_.confidence), abs(bin_.accuracy - bin_.confidence)
            color, alpha = _GAPS[bin_.confidence > bin_.accuracy]
            upper.bar(left, base, width, align="edge", color=_ACCENT, linewidth=0)
            upper.bar(left, gap, width, bottom=base, align="edge", color=color, alpha=alpha, linewidth=0)
            lower.bar(left, bin_.n, width, align="edge", color=_SOFT, alpha=0.5, linewidth=0)
        for label, (color, alpha) in (("overconfident", _GAPS[True]), ("underconfident", _GAPS[False])):
            upper.bar(0, 0, 0, color=color, alpha=alpha, label=label)
        upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
        upper.legend(loc="upper left", fontsize=9)
        lower.set(xlabel="confidence (top-1 probability)", ylabel="number of faces")
        lower.locator_params(axis="y", nbins=3)
        return _to_svg(figure, "reliability", "Reliability diagram: accuracy against confidence")


def draw_cumulative_error(errors: NDArray[np.floating]) -> str:
    """Draw the cumulative distribution of the landmark error."""
    thresholds = np.linspace(0, _NME_LIMIT, 201)
    fractions = cumulative_error(errors, thresholds)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(5.2, 3.6), layout="constrained")
        axes = figure.subplots()
        if fractions is not None:
            axes.fill_between(thresholds * 100, fractions * 100, color=_ACCENT, alpha=0.12, linewidth=0)
            axes.plot(thresholds * 100, fractions * 100, color=_ACCENT, linewidth=2)
        axes.set(
            xlim=(0, _NME_LIMIT * 100),
            ylim=(0, 100),
            xlabel="landmark error (NME), % of the inter-ocular distance",
            ylabel="faces with at most this error, %",
        )
        return _to_svg(figure, "nme", "Cumulative landmark error")


def draw_affect(truth: NDArray[np.floating], predicted: NDArray[np.floating], name: str) -> str:
    """Draw predicted against true values of one dimension, one point per face, at most `MAX_POINTS`."""
    chosen = sample_points(truth)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(4.2, 4.2), layout="constrained")
        axes = figure.subplots()
        _draw_plane(axes)
        axes.plot([-1, 1], [-1, 1], color=_SOFT, linestyle=(0, (4, 4)), linewidth=1)
        axes.scatter(truth[chosen], predicted[chosen], s=11, color=_ACCENT, alpha=0.45, linewidths=0)
        axes.set(xlabel=f"true {name}", ylabel=f"predicted {name}")
        return _to_svg(figure, name, f"Predicted against true {name}")


def draw_affect_plane(truth: NDArray[np.floating], predicted: NDArray[np.floating]) -> str:
    """Draw true and predicted values in the plane of valence and arousal.

    Args:
        truth: ``(N, 2)``, NaN where not annotated.
        predicted: ``(N, 2)``.
    """
    chosen = sample_points(truth.sum(axis=1))
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(4.2, 4.2), layout="constrained")
        axes = figure.subplots()
        _draw_plane(axes)
        axes.scatter(
            truth[chosen, 0], truth[chosen, 1], s=11, color=_SOFT, alpha=0.4, linewidths=0, label="true"
        )
        axes.scatter(
            predicted[chosen, 0],
            predicted[chosen, 1],
            s=11,
            color=_ACCENT,
            alpha=0.5,
            linewidths=0,
            label="predicted",
        )
        axes.set(xlabel="valence (unpleasant to pleasant)", ylabel="arousal (calm to excited)")
        axes.legend(loc="lower left", fontsize=9, handletextpad=0.1)
        return _to_svg(figure, "plane", "True and predicted valence and arousal")


def draw_features(
    points: NDArray[np.floating], labels: NDArray[np.integer], is_wrong: NDArray[np.bool_]
) -> str:
    """Draw faces in the plane of two principal components, in the colors of their labels.

    Args:
        points: ``(N, 2)``.
        labels: ``(N,)`` indices of colors, negative for a face without a label.
        is_wrong: ``(N,)`` which faces get a ring.
    """
    chosen = sample_points(points[:, 0])
    colors = np.array([_SOFT if label < 0 else series_color(label) for label in labels[chosen].tolist()])
    wrong = is_wrong[chosen]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(5.2, 5.2), layout="constrained")
        axes = figure.subplots()
        for part, ring, width in ((~wrong, "none", 0.0), (wrong, _INK, 0.9)):
            x, y = points[chosen][part].T
            axes.scatter(x, y, s=17, c=colors[part], alpha=0.8, edgecolors=ring, linewidths=width)
        axes.set(xlabel="first principal component", ylabel="second principal component")
        axes.tick_params(labelbottom=False, labelleft=False)
        return _to_svg(figure, "features", "Faces in the plane of two principal components of their features")


def translate(svg: str, language: Language) -> str:
    """Return a plot with its text in another language: matplotlib may have no font for it, the browser has."""
    return re.sub(
        r'(<text[^>]*>|aria-label=")([^<"]+)',
        lambda match: match[1] + escape(language.text(unescape(match[2]))),
        svg,
    )


def sample_points(values: NDArray[np.floating]) -> NDArray[np.intp]:
    """Return the indices of at most `MAX_POINTS` evenly spaced values that are not NaN."""
    known = np.flatnonzero(np.isfinite(values))
    if len(known) <= MAX_POINTS:
        return known
    return known[np.linspace(0, len(known) - 1, MAX_POINTS).astype(np.intp)]


def _draw_plane(axes: Axes) -> None:
    axes.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal")
    axes.set_xticks([-1, -0.5, 0, 0.5, 1])
    axes.set_yticks([-1, -0.5, 0, 0.5, 1])
    axes.axhline(0, color=_LINE, linewidth=1.4)
    axes.axvline(0, color=_LINE, linewidth=1.4)


def _to_svg(figure: Figure, name: str, label: str) -> str:
    """Return a figure as an SVG element for the page: scalable, themed, with unique ids."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', "", svg, count=2)
    svg = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, variable)
    return svg
