"""The timeline of a video: each person's predictions over time, as a plot."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.artifacts import claim_output, disk_errors, new_file, one_writer, require_suffix
from mien.drawing.fonts import plot_style, plot_text
from mien.drawing.label_card import class_color
from mien.errors import ArtifactError
from mien.inference.results import ImagePrediction
from mien.tasks import NO_ANNOTATIONS, TASKS, Annotations, task_shapes

SUFFIXES = (".png", ".svg")
# However long the video, a track has at most this many time bins in memory and in the plot: once they are used up, the
# duration of a bin doubles.
MAX_BINS = 2000
FIRST_BIN_S = 0.04
# Only the people seen longest are drawn.
MAX_DRAWN = 6
# A person who was gone for longer than this, and than two bins, leaves a gap.
GAP_S = 0.5
# Up to so many values of a task are drawn as lines, more as strips whose darkness is the value.
MAX_LINES = 3
_LINE_COLORS = ("#1f77b4", "#d62728", "#2ca02c")
_STRIP_HEIGHT = 0.2


class _Panel(NamedTuple):
    """What is drawn of a task below the probabilities: its values' names and range, and their columns in a segment."""

    names: tuple[str, ...]
    limits: tuple[float, float]
    columns: slice

    @property
    def has_lines(self) -> bool:
        return len(self.names) <= MAX_LINES


class Timeline:
    """Collects the predictions of a video, as means over time bins of equal length.

    Attributes:
        classes: whose probabilities are drawn, in order.
        bin_s: duration of a bin in seconds.
        tracks: by track number and bin: the number of rows, and sums of seconds, of the values of other tasks, and of
            probabilities.
    """

    def __init__(self, classes: tuple[str, ...], annotations: Annotations = NO_ANNOTATIONS) -> None:
        """Start a video of a model with these classes and columns of optional tasks."""
        self.classes = classes
        self.bin_s = FIRST_BIN_S
        self.tracks: dict[int, dict[int, NDArray[np.float64]]] = {}
        self._last_s = 0.0
        self._panels: dict[str, _Panel] = {}
        self._seen: set[str] = set()
        end = 1
        for name, shape in task_shapes(len(classes), annotations).items():
            task = TASKS[name]
            if name == "expression" or task.is_geometric or (limits := task.limits(annotations)) is None:
                continue
            start, end = end, end + math.prod(shape)
            self._panels[name] = _Panel(task.columns(classes, annotations), limits, slice(start, end))
        self._width = end + len(classes)

    def add(self, prediction: ImagePrediction) -> None:
        """Add a frame."""
        for row in prediction.faces:
            seconds = row.seconds or 0.0
            while seconds >= self.bin_s * MAX_BINS:
                self._double_bins()
            values = np.zeros(1 + self._width)
            values[:2] = 1.0, seconds
            found = row.to_numpy()
            for name, panel in self._panels.items():
                if name in found:
                    values[1:][panel.columns] = found[name]
                    self._seen.add(name)
            probabilities = row.probabilities or {}
            values[len(values) - len(self.classes) :] = [
                probabilities.get(name, 0.0) for name in self.classes
            ]
            bins = self.tracks.setdefault(row.track or 0, {})
            index = int(seconds / self.bin_s)
            bins[index] = bins.get(index, 0.0) + values
        self._last_s = max(self._last_s, prediction.rows[0].seconds or 0.0)

    def _double_bins(self) -> None:
        self.bin_s *= 2
        for track, bins in self.tracks.items():
            merged: dict[int, NDArray[np.float64]] = {}
            for index, sums in bins.items():
                merged[index // 2] = merged.get(index // 2, 0.0) + sums
            self.tracks[track] = merged

    def segments(self, track: int) -> list[NDArray[np.float64]]:
        """Return a track's segments without a gap: ``(T, M)`` seconds, values of other tasks, probabilities."""
        bins = self.tracks[track]
        sums = np.stack([bins[index] for index in sorted(bins)])
        means = sums[:, 1:] / sums[:, :1]
        starts = np.nonzero(np.diff(means[:, 0]) > max(GAP_S, 2 * self.bin_s))[0] + 1
        return [np.asarray(segment, dtype=np.float64) for segment in np.split(means, starts)]

    def draw(self, path: Path, *, title: str) -> None:
        """Draw the tracks one below the other: probabilities as stacked areas, other values as lines or strips.

        Raises:
            ArtifactError: the file cannot be written.
            SourceError: the file that ``MIEN_FONT`` names is not a font.
        """
        from matplotlib import rc_context  # noqa: PLC0415 - only a timeline needs it
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
        from matplotlib.figure import Figure  # noqa: PLC0415

        n_rows = {track: sum(sums[0] for sums in bins.values()) for track, bins in self.tracks.items()}
        longest = sorted(n_rows, key=lambda track: (-n_rows[track], track))
        drawn = sorted(longest[:MAX_DRAWN])
        n_hidden = len(longest) - len(drawn)
        panels = self._shown_panels()
        strips = (1 if panel.has_lines else 0.4 + _STRIP_HEIGHT * len(panel.names) for panel in panels)
        heights = [3.0, *strips] * max(1, len(drawn))
        with rc_context(plot_style([title, *self.classes])):
            figure = Figure(figsize=(12, 0.9 + 0.62 * sum(heights)), layout="constrained")
            FigureCanvasAgg(figure)
            axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
            title += f" ({n_hidden} more, seen for less time)" if n_hidden else ""
            figure.suptitle(plot_text(title))
            step = len(heights) // max(1, len(drawn))
            for index, track in enumerate(drawn):
                self._draw_track(axes[index * step : (index + 1) * step], track)
            if not drawn:
                axes[0].text(0.5, 0.5, "no face found", ha="center", transform=axes[0].transAxes)
            axes[-1].set_xlim(0, max(self._last_s, self.bin_s))
            axes[-1].set_xlabel("seconds")
            self._add_legend(figure)
            kind = path.suffix.lower().removeprefix(".")
            metadata = {"Date": None} if kind == "svg" else None
            with disk_errors(path), new_file(path) as partial:
                figure.savefig(partial, format=kind, dpi=130, metadata=metadata)

    def _shown_panels(self) -> list[_Panel]:
        return [panel for name, panel in self._panels.items() if name in self._seen]

    def _draw_track(self, axes: NDArray[Any], track: int) -> None:
        areas, panels = axes[0], self._shown_panels()
        for segment in self.segments(track):
            # the last bin is drawn at its full width, so that a face seen once is visible
            end = segment[-1:] + np.eye(1, segment.shape[1]) * self.bin_s
            values = np.concatenate([segment, end])
            seconds = values[:, 0]
            probabilities = values[:, values.shape[1] - len(self.classes) :]
            areas.stackplot(seconds, *probabilities.T, colors=self._colors(), linewidth=0)
            for below, panel in zip(axes[1:], panels, strict=True):
                shown = values[:, panel.columns]
                if panel.has_lines:
                    for line, color in zip(shown.T, _LINE_COLORS, strict=False):
                        below.plot(seconds, line, color=color, linewidth=1.2)
                else:
                    low, high = panel.limits
                    edges = np.arange(len(panel.names) + 1) - 0.5
                    below.pcolormesh(seconds, edges, shown[:-1].T, cmap="binary", vmin=low, vmax=high)
        areas.set_ylim(0, 1)
        areas.set_yticks([0, 0.5, 1], ["0%", "50%", "100%"])
        areas.set_ylabel(f"track {track}")
        for below, panel in zip(axes[1:], panels, strict=True):
            if panel.has_lines:
                below.set_ylim(*panel.limits)
                below.axhline(0, color="#999999", linewidth=0.6)
            else:
                below.set_ylim(len(panel.names) - 0.5, -0.5)
                below.set_yticks(range(len(panel.names)), panel.names, fontsize=7)

    def _add_legend(self, figure: Any) -> None:
        from matplotlib.lines import Line2D  # noqa: PLC0415
        from matplotlib.patches import Patch  # noqa: PLC0415

        entries: list[Any] = [
            Patch(color=color, label=plot_text(name))
            for name, color in zip(self.classes, self._colors(), strict=True)
        ]
        for panel in self._shown_panels():
            if panel.has_lines:
                colors = zip(panel.names, _LINE_COLORS, strict=False)
                entries += [Line2D([], [], color=color, label=name) for name, color in colors]
            else:
                low, high = panel.limits
                label = f"{panel.names[0]} to {panel.names[-1]}: {low:g} white, {high:g} black"
                entries.append(Patch(color="#808080", label=label))
        figure.legend(handles=entries, loc="outside lower center", ncols=min(6, len(entries)), frameon=False)

    def _colors(self) -> list[tuple[float, float, float]]:
        """Return a color per class; classes of one color differ in brightness."""
        known = [class_color(name) for name in self.classes]
        repeats = [known[:index].count(color) for index, color in enumerate(known)]
        return [
            (color[0] / 255 * 0.75**n, color[1] / 255 * 0.75**n, color[2] / 255 * 0.75**n)
            for color, n in zip(known, repeats, strict=True)
        ]


@contextmanager
def claim_timeline(path: Path, *, force: bool) -> Iterator[None]:
    """Reserve the file of a timeline before any work: it is drawn at the end of the video.

    Raises:
        ArtifactError: its suffix is neither PNG nor SVG, its folder is not writable, or it exists and ``force`` is not
            set.
    """
    require_suffix(path, SUFFIXES, option="--timeline")
    if path.is_dir():
        raise ArtifactError(
            f"--timeline {path} is a folder, but the timeline is written to a file. Choose another path"
        )
    with one_writer(path):
        claim_output(path, force=force)
        yield
