"""What is printed without an output file: a table of images, and a few lines per video."""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TextIO

import numpy as np

from mien.faces.action_units import ActionUnits, is_present
from mien.inference.decision_rule import sort_by_probability
from mien.inference.results import NO_FACE, OK, FacePrediction, ImagePrediction
from mien.runtime.terminal import on_one_line
from mien.tasks import NO_ANNOTATIONS, Annotations

MAX_SOURCE_COLUMNS = 56
# Of a crowd, only the people seen longest are listed.
MAX_TRACKS = 20
# Expressions that a person showed for a smaller fraction of the time are left out.
MIN_TIME_FRACTION = 0.01


class TableWriter:
    """Aligned columns for a terminal, with control characters escaped.

    The width of the first column is set by the names, which are known before the first row.
    """

    def __init__(
        self,
        stream: TextIO,
        classes: Sequence[str],
        sources: Sequence[str],
        *,
        top: int | None = None,
        annotations: Annotations = NO_ANNOTATIONS,
        has_affect: bool = True,
    ) -> None:
        self._stream = stream
        self._has_affect = has_affect
        self._units: ActionUnits | None = annotations.get("action_units")
        self._top = top or 1
        longest = max((_width(on_one_line(source)) for source in sources), default=0)
        self._source_columns = min(MAX_SOURCE_COLUMNS, max(longest, len("image")))
        self._class_columns = max(len("expression"), *(_width(name) for name in classes))
        self._has_header = False

    def write(self, row: FacePrediction, _size_wh: tuple[int, int] | None = None, /) -> None:
        """Write one row, and the header before the first."""
        if not self._has_header:
            top_classes = ("most probable",) if self._top > 1 else ()
            units = () if self._units is None else ("action units",)
            affect = ("valence", "arousal") if self._has_affect else ()
            header = ("image", "face", "expression", "conf.", *affect, *top_classes, *units)
            self._write_cells(header)
            self._has_header = True
        source = on_one_line(row.source)
        if row.status != OK:
            message = "no face found" if row.status == NO_FACE else f"{row.status}: {row.detail}"
            self._write_cells((source, "-", message))
            return
        cells = [source, str(row.face), str(row.expression), f"{row.confidence or 0:.0%}"]
        if self._has_affect:
            cells += ["-" if value is None else f"{value:+.2f}" for value in (row.valence, row.arousal)]
        if self._top > 1 and row.probabilities is not None:
            ranked = sort_by_probability(row.probabilities)[: self._top]
            cells.append(", ".join(f"{name} {probability:.0%}" for name, probability in ranked))
        if self._units is not None:
            present = is_present(np.array([*(row.action_units or {}).values()]), self._units.kind)
            shown = [name for name, is_shown in zip(row.action_units or {}, present, strict=True) if is_shown]
            cells.append(" ".join(shown) or "-")
        if row.reason:
            cells.append(row.reason)
        if row.label_set is not None:
            cells.append("{" + ", ".join(row.label_set) + "}")
        self._write_cells(cells)

    def _write_cells(self, cells: Sequence[str]) -> None:
        source, face, *rest = cells
        line = f"{_padded(_shortened(source, self._source_columns), self._source_columns)}  {face:>4}"
        if len(rest) == 1:
            line += f"  {rest[0]}"
        else:
            line += f"  {_padded(rest[0], self._class_columns)}"
            line += "".join(f"  {cell:>7}" for cell in rest[1:])
        self._stream.write(on_one_line(line.rstrip()) + "\n")


def _width(text: str) -> int:
    """Return the number of terminal columns: East Asian characters take two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _padded(text: str, columns: int) -> str:
    return text + " " * (columns - _width(text))


def _shortened(text: str, columns: int) -> str:
    """Shorten a long name at its start, since its end is more informative."""
    if _width(text) <= columns:
        return text
    while _width(text) > columns - 1:
        text = text[1:]
    return "…" + text


class _TrackSummary:
    """Sums over the time that a person was seen, in seconds."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.expressions: Counter[str] = Counter()
        self.valence: float | None = None
        self.arousal: float | None = None

    def add(self, row: FacePrediction, seconds: float) -> None:
        self.seconds += seconds
        self.expressions[str(row.expression)] += seconds  # type: ignore[assignment]
        if row.valence is not None and row.arousal is not None:
            self.valence = (self.valence or 0.0) + row.valence * seconds
            self.arousal = (self.arousal or 0.0) + row.arousal * seconds

    def mean(self, total: float | None) -> str:
        return "-" if total is None or not self.seconds else f"{total / self.seconds:+.2f}"


class VideoSummary:
    """Summarizes a video by person: time seen, mean valence and arousal, and the expressions' fractions of time."""

    def __init__(self, name: str, *, frame_rate: float, min_face_px: int = 0) -> None:
        """Start a video.

        Args:
            name: of the video.
            frame_rate: frames per second, for the duration of the last frame.
            min_face_px: smaller faces are left out.
        """
        self._name, self._last_frame_s = name, 1 / frame_rate
        self._face = f"a face of at least {min_face_px:,} px" if min_face_px else "a face"
        self._by_track: dict[int, _TrackSummary] = {}
        # The frame whose duration is not known yet, and its time.
        self._shown: tuple[ImagePrediction, float] | None = None
        self._n_frames = self._n_with_face = 0
        self._seconds = 0.0
        self._problems: list[str] = []

    def add(self, prediction: ImagePrediction) -> None:
        """Add a frame, weighted by the time until the next one: for so long a player shows it."""
        first = prediction.rows[0]
        self._end_frame(first.seconds)
        if first.status not in (OK, NO_FACE):
            self._problems.append(f"{first.status}: {first.detail}")
            return
        self._shown = prediction, first.seconds or 0.0
        self._n_frames += 1
        self._n_with_face += first.status == OK

    def _end_frame(self, now: float | None = None) -> None:
        """Add the duration of the frame that has been shown until now, or that was the last."""
        if self._shown is None:
            return
        prediction, since = self._shown
        seconds = self._last_frame_s if now is None else max(0.0, now - since)
        self._seconds += seconds
        for row in prediction.faces:
            self._by_track.setdefault(row.track or 0, _TrackSummary()).add(row, seconds)
        self._shown = None

    def lines(self) -> Iterator[str]:
        """Yield a line for the video, one per person, and one per unreadable part."""
        self._end_frame()
        if self._n_frames:
            fraction = self._n_with_face / self._n_frames
            frames = "1 frame" if self._n_frames == 1 else f"{self._n_frames:,} frames"
            yield f"{self._name}: {frames}, {self._seconds:.1f} s, {self._face} in {fraction:.0%} of them"
            tracks = sorted(self._by_track.items(), key=lambda item: (-item[1].seconds, item[0]))
            has_affect = any(track.valence is not None for _, track in tracks)
            if tracks:
                affect = f"  {'valence':>7}  {'arousal':>7}" if has_affect else ""
                yield f"  {'track':>5}  {'seen':>8}{affect}  expressions"
            for number, track in tracks[:MAX_TRACKS]:
                fractions = [
                    (name, s / (track.seconds or 1.0)) for name, s in track.expressions.most_common()
                ]
                expressions = ", ".join(f"{name} {f:.0%}" for name, f in fractions if f >= MIN_TIME_FRACTION)
                means = (track.mean(track.valence), track.mean(track.arousal)) if has_affect else ()
                affect = "".join(f"  {mean:>7}" for mean in means)
                yield f"  {number:>5}  {track.seconds:>6.1f} s{affect}  {expressions}"
            if len(tracks) > MAX_TRACKS:
                longest_s = tracks[MAX_TRACKS][1].seconds
                yield f"  and {len(tracks) - MAX_TRACKS:,} more, each seen {longest_s:.1f} s or less"
        for problem, count in Counter(self._problems).items():
            yield f"{self._name}: {problem}" + (f" ({count:,} frames like this)" if count > 1 else "")
