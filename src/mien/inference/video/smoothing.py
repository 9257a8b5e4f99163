"""Smoothing each person's predictions over time, by elapsed seconds and not by the number of frames.

Landmarks use the 1 euro filter (Casiez, Roussel and Vogel 2012, https://doi.org/10.1145/2207676.2208639): steady at rest,
without lag in motion. Everything else is an exponential moving average: averaged probabilities still sum to 1.
"""

import math

import numpy as np
from numpy.typing import NDArray

# 1 euro filter: growth of the cutoff, in Hz, per face side that a point moves in a second, and the cutoff for the
# speed itself, in Hz.
SPEED_GAIN = 10.0
SPEED_CUTOFF_HZ = 1.0
# After a gap this long, a track's filter state is discarded.
FORGET_S = 5.0


class ExponentialMovingAverage:
    """An exponential moving average of values at irregular times."""

    def __init__(self, time_s: float) -> None:
        """Start without a value; `time_s` is the time constant in seconds."""
        self._time_s = time_s
        self._mean: NDArray[np.float64] | None = None
        self._seconds = 0.0

    def __call__(self, values: NDArray[np.floating], seconds: float) -> NDArray[np.float64]:
        """Return the average after the values of a later time; with a time constant of 0, the values themselves."""
        mean = np.asarray(values, dtype=np.float64)
        if self._mean is not None and self._time_s > 0:
            decay = math.exp(-max(0.0, seconds - self._seconds) / self._time_s)
            mean = decay * self._mean + (1 - decay) * mean
        self._mean, self._seconds = mean, seconds
        return mean


class OneEuroFilter:
    """The 1 euro filter for points, with speeds in face sides per second."""

    def __init__(self, time_s: float) -> None:
        """Start without points; `time_s` is the time constant at rest, in seconds."""
        self._time_s = time_s
        self._points: NDArray[np.float64] | None = None
        self._speed = np.zeros(0)
        self._seconds = 0.0

    def __call__(self, points: NDArray[np.floating], seconds: float, *, side: float) -> NDArray[np.float64]:
        """Return the filtered ``(N, 2)`` points at a later time; with a time constant of 0, the points themselves.

        Args:
            points: ``(N, 2)`` in pixels.
            seconds: their time.
            side: side of the face, in pixels.
        """
        filtered = np.asarray(points, dtype=np.float64)
        interval = seconds - self._seconds
        if self._points is None:
            self._speed = np.zeros_like(filtered)
        elif self._time_s > 0 and interval > 0:
            speed = (filtered - self._points) / (interval * max(side, 1e-9))
            self._speed += _weight(SPEED_CUTOFF_HZ, interval) * (speed - self._speed)
            cutoff = 1 / (2 * np.pi * self._time_s) + SPEED_GAIN * np.linalg.norm(
                self._speed, axis=1, keepdims=True
            )
            filtered = self._points + _weight(cutoff, interval) * (filtered - self._points)
        self._points, self._seconds = filtered, seconds
        return filtered


def _weight(cutoff_hz: float | NDArray[np.float64], interval: float) -> NDArray[np.float64]:
    """Return the weight of a new value, given a cutoff and the seconds since the last value."""
    return np.asarray(1 / (1 + 1 / (2 * np.pi * np.asarray(cutoff_hz) * interval)), dtype=np.float64)


class TrackSmoother:
    """The filters of one track."""

    def __init__(self, time_s: float) -> None:
        """Start without a value; `time_s` is the time constant in seconds, and 0 changes nothing."""
        self.landmarks = OneEuroFilter(time_s)
        self.seconds = 0.0
        self._time_s = time_s
        self._averages: dict[str, ExponentialMovingAverage] = {}

    def average(self, task: str, values: NDArray[np.floating], seconds: float) -> NDArray[np.float64]:
        """Return the moving average of a task's values."""
        average = self._averages.setdefault(task, ExponentialMovingAverage(self._time_s))
        return average(values, seconds)


class VideoSmoother:
    """The filters of all tracks of a video; those of people who have been gone for a while are discarded."""

    def __init__(self, time_s: float) -> None:
        """Start without a track; `time_s` as in `TrackSmoother`."""
        self._time_s = time_s
        self._by_track: dict[int, TrackSmoother] = {}

    def __len__(self) -> int:
        return len(self._by_track)

    def for_track(self, track: int, seconds: float) -> TrackSmoother:
        """Return the filters of a track that is visible now."""
        smoother = self._by_track.get(track)
        if smoother is None:
            self._by_track = {
                number: other
                for number, other in self._by_track.items()
                if seconds - other.seconds <= FORGET_S
            }
            smoother = self._by_track.setdefault(track, TrackSmoother(self._time_s))
        smoother.seconds = seconds
        return smoother
