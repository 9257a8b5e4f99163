"""Rows of predictions summarized by second, by track or by file: counts, means, and the most frequent expression."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mien.faces.classes import UNSURE
from mien.inference.baseline import baseline_measures
from mien.inference.results import (
    NO_FACE,
    OK,
    VALUE_DECIMALS,
    FacePrediction,
    ImagePrediction,
    as_predictions,
)

# What a measure has besides its mean: an expression varies, a blink is a minimum, and an open mouth a maximum.
FURTHER_STATISTICS: dict[str, Literal["sd", "min", "max"]] = {
    "valence": "sd",
    "arousal": "sd",
    "eye_aspect_ratio": "min",
    "mouth_aspect_ratio": "max",
}


def parse_by(text: str | Sequence[str]) -> tuple[str, ...]:
    """Return by what rows are aggregated: ``file``, or ``track``, ``second`` or both, in this order.

    Raises:
        ValueError: it is something else.

    Example:
        >>> parse_by("second, track"), parse_by(["file"])
        (('track', 'second'), ('file',))
    """
    names = {name.strip() for name in (text.split(",") if isinstance(text, str) else text)}
    if names != {"file"} and not (names and names <= {"track", "second"}):
        raise ValueError(f"must be file, track, second, or track,second; got {text!r}")
    return tuple(name for name in ("file", "track", "second") if name in names)


def aggregate_columns(
    by: Sequence[str], measures: Sequence[str], *, has_change: bool = False
) -> tuple[str, ...]:
    """Return the columns of aggregated rows.

    Args:
        by: see `parse_by`.
        measures: of the model, see `mien.inference.baseline.measure_names`.
        has_change: whether the rows have the change from a baseline.
    """
    further = {name: (f"{name}_{statistic}",) for name, statistic in FURTHER_STATISTICS.items()}
    return (
        *("source", *(name for name in by if name != "file"), "start_seconds", "end_seconds"),
        *("status", "detail", "n_frames", "n_faces", "n_unsure", "n_unreadable"),
        *("expression", "expression_share", "confidence"),
        *(column for name in measures for column in (name, *further.get(name, ()))),
        *(f"change_{name}" for name in measures if has_change),
    )


def aggregate(
    predictions: ImagePrediction | Iterable[ImagePrediction], by: str | Sequence[str] = "file"
) -> Iterator[dict[str, Any]]:
    """Yield one row per file, per person (track) or per second, as soon as it is complete.

    Means are over faces, each of which counts the same: they are those of ``to_pandas(predictions).groupby(...).mean()``.
    The columns are those of `mien predict --aggregate`, see the formats in the documentation.

    Args:
        predictions: such as what `Model.watch` yields, a list from `Model.predict`, or a single prediction.
        by: ``file`` (each video, each image), ``track``, ``second``, or both of the latter: ``["track", "second"]``.

    Raises:
        ValueError: `by` is something else, an image has no track or second, the frames of two videos are mixed, or the
            probabilities are limited to the top K classes.

    Example:
        >>> import mien
        >>> model = mien.load()
        >>> for row in mien.aggregate(model.watch("talk.mp4"), by="second"):  # doctest: +SKIP
        ...     print(row["second"], row["expression"], row["expression_share"])
    """
    aggregator = Aggregator(parse_by(by))

    def rows() -> Iterator[dict[str, Any]]:
        for prediction in as_predictions(predictions):
            for row in prediction.rows:
                yield from aggregator.add(row)
        yield from aggregator.finish()

    return rows()


class _Statistics:
    """Mean, standard deviation and extremes of a measure, updated value by value (Welford 1962)."""

    __slots__ = ("_squares", "max", "mean", "min", "n")

    def __init__(self) -> None:
        self.n, self.mean, self._squares = 0, 0.0, 0.0
        self.min, self.max = math.inf, -math.inf

    def add(self, value: float) -> None:
        self.n += 1
        difference = value - self.mean
        self.mean += difference / self.n
        self._squares += difference * (value - self.mean)
        self.min, self.max = min(self.min, value), max(self.max, value)

    @property
    def sd(self) -> float | None:
        """With n - 1 in the denominator; None for a single value."""
        return math.sqrt(self._squares / (self.n - 1)) if self.n > 1 else None


@dataclass(slots=True)
class _Group:
    """What is known so far of the rows that become one."""

    first: FacePrediction
    last: FacePrediction
    n_frames: int = 0
    n_unreadable: int = 0
    problem: FacePrediction | None = None
    expressions: Counter[str] = field(default_factory=Counter)
    statistics: dict[str, _Statistics] = field(default_factory=dict)

    def add(self, row: FacePrediction, *, is_new_frame: bool) -> None:
        """Add a row; several faces may be in one frame."""
        self.last = row
        if row.status not in (OK, NO_FACE):
            self.n_unreadable += 1
            self.problem = self.problem or row
            return
        self.n_frames += is_new_frame
        if row.status == NO_FACE:
            return
        if row.probabilities is not None and abs(sum(row.probabilities.values()) - 1) > 1e-3:
            raise ValueError("mean probabilities need those of all classes: predict without `top`")
        self.expressions[str(row.expression)] += 1
        values = {"confidence": row.confidence or 0.0, **baseline_measures(row)}
        values |= {f"change_{name}": value for name, value in (row.change or {}).items()}
        for name, value in values.items():
            self.statistics.setdefault(name, _Statistics()).add(value)

    def to_dict(self, keys: dict[str, int | None]) -> dict[str, Any]:
        """Return the aggregated row.

        Args:
            keys: its track and second, those of them by which rows are aggregated.
        """
        n_faces = self.expressions.total()
        status, detail = (OK if n_faces else NO_FACE), ""
        if self.problem is not None:
            detail = self.problem.detail
            status = status if self.n_frames else self.problem.status
        means = {name: values.mean for name, values in self.statistics.items()}
        # Of equally frequent expressions, the one with the higher mean probability.
        expression, n_frequent = max(
            self.expressions.items(),
            key=lambda item: (item[1], means.get(f"p_{item[0]}", 0.0)),
            default=(None, 0),
        )
        row: dict[str, Any] = {
            "source": self.first.source,
            **keys,
            "start_seconds": self.first.seconds,
            "end_seconds": self.last.seconds,
            "status": status,
            "detail": detail,
            "n_frames": self.n_frames,
            "n_faces": n_faces,
            "n_unsure": self.expressions[UNSURE],
            "n_unreadable": self.n_unreadable,
            "expression": expression,
            "expression_share": n_frequent / n_faces if n_faces else None,
        }
        for name, values in self.statistics.items():
            row[name] = values.mean
            if name in FURTHER_STATISTICS:
                row[f"{name}_{FURTHER_STATISTICS[name]}"] = getattr(values, FURTHER_STATISTICS[name])
        return {
            name: round(value, VALUE_DECIMALS) if isinstance(value, float) else value
            for name, value in row.items()
        }


class Aggregator:
    """Takes rows in their order, and returns aggregated ones as soon as they are complete."""

    def __init__(self, by: Sequence[str]) -> None:
        """Start without rows; ``by`` is what `parse_by` returns."""
        self._by = tuple(by)
        self._groups: dict[tuple[int | None, int | None], _Group] = {}
        self._last: FacePrediction | None = None
        self._finished: set[str] = set()

    def add(self, row: FacePrediction) -> list[dict[str, Any]]:
        """Add a row, and return the aggregated rows that are complete: those of the file or second before it.

        Raises:
            ValueError: as in `aggregate`.
        """
        if row.seconds is None and row.status in (OK, NO_FACE) and self._by != ("file",):
            raise ValueError(
                f"an image has no {' or '.join(self._by)}: aggregate images by file, and videos on their own"
            )
        # Times are sums of frame durations, which are not exact, and files have this many decimals.
        now = None if row.seconds is None else math.floor(round(row.seconds, VALUE_DECIMALS))
        second = now if "second" in self._by else None
        track = row.track if "track" in self._by else None
        is_new_frame, last = not row.face, self._last
        is_same_video = (
            (last is not None and last.frame is not None and row.frame is not None)
            and last.source == row.source
            and last.frame <= row.frame
        )
        complete = []
        if is_new_frame and not is_same_video:
            complete = self.finish()
            if row.source and row.frame is not None and row.source in self._finished:
                raise ValueError(
                    f"frames of {row.source} come again after others: aggregate each video on its own"
                )
        elif any(other not in (None, second) for _, other in self._groups):
            complete = self._complete()
        group = self._groups.setdefault((track, second), _Group(row, row))
        group.add(row, is_new_frame=is_new_frame or "track" in self._by)
        self._last = row
        return complete

    def finish(self) -> list[dict[str, Any]]:
        """Return the remaining rows, after the last one of a file was added."""
        if self._last is not None and self._last.frame is not None:
            self._finished.add(self._last.source)
        self._last = None
        return self._complete()

    def _complete(self) -> list[dict[str, Any]]:
        """Return the groups as rows, by second and track.

        What has no track is left out where there are tracks, unless it could not be read: nothing disappears unnoticed.
        """
        with_track = {second for track, second in self._groups if track is not None}
        groups, self._groups = self._groups, {}
        return [
            group.to_dict(
                {name: {"track": track, "second": second}[name] for name in self._by if name != "file"}
            )
            for (track, second), group in sorted(
                groups.items(), key=lambda item: [(number is None, number or 0) for number in item[0][::-1]]
            )
            if track is not None or second not in with_track or group.n_unreadable
        ]
