"""Smoothing over time."""

import math

import numpy as np
import pytest

from mien.inference.video.smoothing import FORGET_S, ExponentialMovingAverage, OneEuroFilter, VideoSmoother

SIDE = 100.0


def noise(n: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1, (n, *shape))


def test_a_time_constant_of_zero_changes_nothing() -> None:
    mean, one_euro = ExponentialMovingAverage(0.0), OneEuroFilter(0.0)
    for index, values in enumerate(noise(20, 5, 2)):
        np.testing.assert_array_equal(mean(values, index / 30), values)
        np.testing.assert_array_equal(one_euro(values, index / 30, side=SIDE), values)


def test_constant_values_stay() -> None:
    mean, one_euro = ExponentialMovingAverage(0.3), OneEuroFilter(0.3)
    values = noise(1, 5, 2)[0]
    for index in range(20):
        np.testing.assert_allclose(mean(values, index / 30), values, atol=1e-12)
        np.testing.assert_allclose(one_euro(values, index / 30, side=SIDE), values, atol=1e-12)


def test_a_step_reaches_63_percent_after_the_time_constant() -> None:
    for rate in (10, 25, 60):
        mean = ExponentialMovingAverage(0.4)
        mean(np.zeros(1), 0.0)
        values = [float(mean(np.ones(1), index / rate)[0]) for index in range(1, 1 + round(0.4 * rate))]
        assert values[-1] == pytest.approx(1 - math.exp(-1), abs=1e-9)


def test_probabilities_sum_to_one() -> None:
    mean = ExponentialMovingAverage(0.3)
    for index in range(50):
        given = np.random.default_rng(index).dirichlet(np.ones(8))
        smooth = mean(given, index / 30)
        assert smooth.sum() == pytest.approx(1, abs=1e-12)
        assert (smooth >= 0).all()


def test_after_a_long_gap_only_new_values_count() -> None:
    mean = ExponentialMovingAverage(0.1)
    mean(np.zeros(2), 0.0)
    np.testing.assert_allclose(mean(np.ones(2), 60.0), 1, atol=1e-12)


def test_jitter_is_reduced() -> None:
    """Less than half of a jitter of 1% of the face remains."""
    one_euro = OneEuroFilter(0.25)
    jittery = noise(200, 68, 2)
    smooth = np.stack([one_euro(points, index / 30, side=SIDE) for index, points in enumerate(jittery)])
    assert smooth[30:].std() < 0.5 * jittery[30:].std()


def test_moving_points_do_not_lag() -> None:
    """At one face side per second, the lag is below 3% of the face."""
    one_euro = OneEuroFilter(0.25)
    for index in range(60):
        points = np.full((68, 2), SIDE * index / 30)
        smooth = one_euro(points, index / 30, side=SIDE)
    assert np.abs(smooth - points).max() < 0.03 * SIDE


def published_one_euro(track: np.ndarray, times: list[float], side: float) -> list[list[float]]:
    """Filter a point by algorithm 1 of Casiez et al. 2012, with the joint speed of both coordinates.

    The minimum cutoff is that of a time constant of 0.25 s, beta is 10 Hz per face side per second, dcutoff 1 Hz.
    """

    def alpha(rate: float, cutoff: float) -> float:
        tau = 1.0 / (2 * math.pi * cutoff)
        return 1.0 / (1.0 + tau * rate)

    hat_x, hat_dx, filtered = list(track[0]), [0.0, 0.0], [list(track[0])]
    for before, now, x in zip(times, times[1:], track[1:], strict=False):
        rate = 1 / (now - before)
        for axis in range(2):
            dx = (x[axis] - hat_x[axis]) * rate / side
            hat_dx[axis] = alpha(rate, 1.0) * dx + (1 - alpha(rate, 1.0)) * hat_dx[axis]
        cutoff = 1.0 / (2 * math.pi * 0.25) + 10.0 * math.hypot(*hat_dx)
        hat_x = [alpha(rate, cutoff) * x[axis] + (1 - alpha(rate, cutoff)) * hat_x[axis] for axis in range(2)]
        filtered.append(hat_x)
    return filtered


def test_points_are_filtered_by_the_published_algorithm() -> None:
    """At irregular times, for points at rest, drifting and moving fast."""
    random = np.random.default_rng(3)
    times = np.cumsum(random.uniform(0.01, 0.08, 80)).tolist()
    speeds = np.array([0.0, 0.1, 2.0])[random.integers(0, 3, 80)][:, None] * SIDE
    track = np.cumsum(random.normal(0, 1, (80, 2)) * speeds / 30, axis=0) + random.normal(0, 0.5, (80, 2))
    one_euro = OneEuroFilter(0.25)
    ours = [one_euro(point[None], seconds, side=SIDE)[0] for point, seconds in zip(track, times, strict=True)]
    np.testing.assert_allclose(ours, published_one_euro(track, times, SIDE), rtol=1e-12, atol=1e-9)


def test_points_at_an_unchanged_time_are_returned() -> None:
    one_euro = OneEuroFilter(0.25)
    one_euro(np.zeros((2, 2)), 1.0, side=SIDE)
    np.testing.assert_array_equal(one_euro(np.ones((2, 2)), 1.0, side=SIDE), 1)


def test_tracks_have_their_own_filters_which_are_discarded() -> None:
    smoother = VideoSmoother(0.3)
    assert smoother.for_track(0, 0.0) is smoother.for_track(0, 0.1)
    assert smoother.for_track(1, 0.2) is not smoother.for_track(0, 0.2)
    for track in range(2, 500):
        smoother.for_track(track, 0.2 + track)
    assert len(smoother) <= FORGET_S + 2
