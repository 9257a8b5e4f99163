"""The timeline of a video: what each person's face showed, second by second, as a picture."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.artifacts import claim_output, disk_errors, new_file, one_writer
from mien.errors import ArtifactError
from mien.fonts import plot_style, plot_text
from mien.reading.card import class_color
from mien.reading.readings import PictureReading

SUFFIXES = (".png", ".svg")
# However long the video, a person has at most this many places in memory and in the plot: where they are used up,
# each holds twice the time from then on.
MAX_PLACES = 2000
FIRST_PLACE_S = 0.04
# Persons drawn: those who were seen longest.
MAX_DRAWN = 6
# A face that was away longer than this, and than two places, leaves a gap.
GAP_S = 0.5
_VALENCE_COLOR, _AROUSAL_COLOR = "#1f77b4", "#d62728"


@dataclass(slots=True)
class Timeline:
    """Collects the readings of one video, as means over places of equal time.

    Attributes:
        classes: whose probabilities are drawn, in order.
        place_s: how long a place is.
        people: by track: place -> the number of rows, and sums of seconds, valence, arousal and the probabilities.
    """

    classes: tuple[str, ...]
    place_s: float = FIRST_PLACE_S
    people: dict[int, dict[int, NDArray[np.float64]]] = field(default_factory=dict)
    _last_s: float = 0.0
    _has_affect: bool = False

    def take(self, reading: PictureReading) -> None:
        """Add a frame."""
        for row in reading.faces:
            seconds = row.seconds or 0.0
            while seconds >= self.place_s * MAX_PLACES:
                self._double()
            shares = row.probabilities or {}
            values = [1.0, seconds, row.valence or 0.0, row.arousal or 0.0]
            values += [shares.get(name, 0.0) for name in self.classes]
            self._has_affect |= row.valence is not None
            places = self.people.setdefault(row.track or 0, {})
            place = int(seconds / self.place_s)
            places[place] = places.get(place, 0.0) + np.array(values)
        self._last_s = max(self._last_s, reading.rows[0].seconds or 0.0)

    def _double(self) -> None:
        self.place_s *= 2
        for track, places in self.people.items():
            halved: dict[int, NDArray[np.float64]] = {}
            for place, sums in places.items():
                halved[place // 2] = halved.get(place // 2, 0.0) + sums
            self.people[track] = halved

    def stretches(self, track: int) -> list[NDArray[np.float64]]:
        """Return a person's stretches without a gap: ``(T, 3 + C)`` seconds, valence, arousal, probabilities."""
        places = self.people[track]
        sums = np.stack([places[place] for place in sorted(places)])
        means = sums[:, 1:] / sums[:, :1]
        cuts = np.nonzero(np.diff(means[:, 0]) > max(GAP_S, 2 * self.place_s))[0] + 1
        return [np.asarray(part, dtype=np.float64) for part in np.split(means, cuts)]

    def draw(self, path: Path, *, title: str) -> None:
        """Draw the persons one under the other: probabilities as areas, valence and arousal as lines.

        Raises:
            ArtifactError: the file cannot be written.
            SourceError: what ``MIEN_FONT`` names is no font.
        """
        from matplotlib import rc_context  # noqa: PLC0415 - only a timeline needs it

        with rc_context(plot_style([title, *self.classes])):
            self._draw(path, title)

    def _draw(self, path: Path, title: str) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - only a timeline needs it
        from matplotlib.figure import Figure  # noqa: PLC0415

        tracks = sorted(self.people, key=lambda track: (-self._n_rows(track), track))
        drawn = sorted(tracks[:MAX_DRAWN])
        heights = ([3, 1] if self._has_affect else [3]) * max(1, len(drawn))
        figure = Figure(figsize=(12, 0.9 + 0.62 * sum(heights)), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        n_hidden = len(tracks) - len(drawn)
        title += f" ({n_hidden} more, seen for less time)" if n_hidden else ""
        figure.suptitle(plot_text(title))
        step = len(heights) // max(1, len(drawn))
        for index, track in enumerate(drawn):
            self._draw_person(axes[index * step : (index + 1) * step], track)
        if not drawn:
            axes[0].text(0.5, 0.5, "no face found", ha="center", transform=axes[0].transAxes)
        axes[-1].set_xlim(0, max(self._last_s, self.place_s))
        axes[-1].set_xlabel("seconds")
        self._add_legend(figure)
        kind = path.suffix.lower().removeprefix(".")
        with disk_errors(path), new_file(path) as partial:
            figure.savefig(partial, format=kind, dpi=130, metadata={"Date": None} if kind == "svg" else None)

    def _n_rows(self, track: int) -> float:
        return float(sum(sums[0] for sums in self.people[track].values()))

    def _draw_person(self, axes: NDArray[Any], track: int) -> None:
        areas = axes[0]
        for stretch in self.stretches(track):
            # the last place is drawn as wide as it is, so that a face seen once shows
            end = stretch[-1:] + np.eye(1, stretch.shape[1]) * self.place_s
            seconds, valence, arousal, *shares = np.concatenate([stretch, end]).T
            areas.stackplot(seconds, *shares, colors=self._colors(), linewidth=0)
            if self._has_affect:
                axes[1].plot(seconds, valence, color=_VALENCE_COLOR, linewidth=1.2)
                axes[1].plot(seconds, arousal, color=_AROUSAL_COLOR, linewidth=1.2)
        areas.set_ylim(0, 1)
        areas.set_yticks([0, 0.5, 1], ["0%", "50%", "100%"])
        areas.set_ylabel(f"track {track}")
        if self._has_affect:
            axes[1].set_ylim(-1, 1)
            axes[1].axhline(0, color="#999999", linewidth=0.6)

    def _colors(self) -> list[tuple[float, float, float]]:
        known = [class_color(name) for name in self.classes]
        # classes of one color are told apart by how dark they are
        repeats = [known[:index].count(color) for index, color in enumerate(known)]
        return [
            (color[0] / 255 * 0.75**n, color[1] / 255 * 0.75**n, color[2] / 255 * 0.75**n)
            for color, n in zip(known, repeats, strict=True)
        ]

    def _add_legend(self, figure: Any) -> None:
        from matplotlib.lines import Line2D  # noqa: PLC0415
        from matplotlib.patches import Patch  # noqa: PLC0415

        entries: list[Any] = [
            Patch(color=color, label=plot_text(name))
            for name, color in zip(self.classes, self._colors(), strict=True)
        ]
        if self._has_affect:
            entries += [
                Line2D([], [], color=_VALENCE_COLOR, label="valence"),
                Line2D([], [], color=_AROUSAL_COLOR, label="arousal"),
            ]
        figure.legend(handles=entries, loc="outside lower center", ncols=min(6, len(entries)), frameon=False)


@contextmanager
def claim_timeline(path: Path, *, force: bool) -> Iterator[None]:
    """Make sure that a timeline may be written, by nobody else meanwhile.

    Raises:
        ArtifactError: its name says neither PNG nor SVG, its folder cannot be written into, or it exists and
            ``force`` is not set.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ArtifactError(
            f"--timeline {path} must end in {' or '.join(SUFFIXES)}, which says what is drawn"
        )
    if path.is_dir():
        raise ArtifactError(
            f"--timeline {path} is a folder, and the timeline needs a file. Choose another path"
        )
    # It is drawn at the end of the video: too late to find out.
    with one_writer(path):
        claim_output(path, force=force)
        yield
