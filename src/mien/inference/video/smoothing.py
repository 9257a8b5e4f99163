"""Smoothing what is read of a person over time, by the seconds that pass and not by the number of frames.

Probabilities and affect are exponential means: a mean of probabilities sums to 1 again. Landmarks follow the 1 euro
filter (Casiez, Roussel and Vogel 2012, https://doi.org/10.1145/2207676.2208639): steady while they are still, without
lag while they move.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

# Of the 1 euro filter: how much its cut-off grows, in Hz, for each face side that a point moves in a second, and the
# cut-off of the speed itself, in Hz.
SPEED_GAIN = 10.0
SPEED_CUTOFF_HZ = 1.0
# What a person looked like before a gap this long says nothing any more.
FORGET_S = 5.0


@dataclass(slots=True, eq=False)
class ExponentialMean:
    """An exponential mean of values that come at any times."""

    time_s: float
    _mean: NDArray[np.float64] | None = None
    _seconds: float = 0.0

    def __call__(self, values: NDArray[np.floating], seconds: float) -> NDArray[np.float64]:
        """Return the mean after the values of a later time; with a time constant of 0 the values themselves."""
        now = np.asarray(values, dtype=np.float64)
        if self._mean is not None and self.time_s > 0:
            kept = math.exp(-max(0.0, seconds - self._seconds) / self.time_s)
            now = kept * self._mean + (1 - kept) * now
        self._mean, self._seconds = now, seconds
        return now


@dataclass(slots=True, eq=False)
class OneEuro:
    """The 1 euro filter of points, whose speed counts in sides of the face."""

    time_s: float
    _points: NDArray[np.float64] | None = None
    _speed: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    _seconds: float = 0.0

    def __call__(self, points: NDArray[np.floating], seconds: float, *, side: float) -> NDArray[np.float64]:
        """Return ``(N, 2)`` points after those of a later time; with a time constant of 0 the points themselves.

        Args:
            points: ``(N, 2)`` in pixels.
            seconds: when they were.
            side: of the face, in pixels.
        """
        now = np.asarray(points, dtype=np.float64)
        interval = seconds - self._seconds
        if self._points is None:
            self._speed = np.zeros_like(now)
        elif self.time_s > 0 and interval > 0:
            speed = (now - self._points) / (interval * max(side, 1e-9))
            self._speed += _weight(SPEED_CUTOFF_HZ, interval) * (speed - self._speed)
            cutoff = 1 / (2 * np.pi * self.time_s) + SPEED_GAIN * np.linalg.norm(
                self._speed, axis=1, keepdims=True
            )
            now = self._points + _weight(cutoff, interval) * (now - self._points)
        self._points, self._seconds = now, seconds
        return now


def _weight(cutoff_hz: float | NDArray[np.float64], interval: float) -> NDArray[np.float64]:
    """Return how much a new value counts, for a cut-off and the time since the last."""
    return np.asarray(1 / (1 + 1 / (2 * np.pi * np.asarray(cutoff_hz) * interval)), dtype=np.float64)


class Smoother:
    """The filters of one person."""

    def __init__(self, time_s: float) -> None:
        """Begin with nothing known.

        Args:
            time_s: time constant in seconds; 0 changes nothing.
        """
        self.probabilities = ExponentialMean(time_s)
        self.affect = ExponentialMean(time_s)
        self.landmarks = OneEuro(time_s)
        self.seconds = 0.0


class Smoothers:
    """The filters of everybody in a video; who has not been seen for a while is forgotten."""

    def __init__(self, time_s: float) -> None:
        """Begin with nobody.

        Args:
            time_s: as in `Smoother`.
        """
        self._time_s = time_s
        self._of_track: dict[int, Smoother] = {}

    def __len__(self) -> int:
        return len(self._of_track)

    def of(self, track: int, seconds: float) -> Smoother:
        """Return the filters of a person who is seen now."""
        smoother = self._of_track.get(track)
        if smoother is None:
            self._of_track = {
                number: other
                for number, other in self._of_track.items()
                if seconds - other.seconds <= FORGET_S
            }
            smoother = self._of_track.setdefault(track, Smoother(self._time_s))
        smoother.seconds = seconds
        return smoother
