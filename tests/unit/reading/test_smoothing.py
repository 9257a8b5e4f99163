"""Smoothing over time, and its limits."""

import math

import numpy as np
import pytest

from mien.reading.smoothing import FORGET_S, ExponentialMean, OneEuro, Smoothers

SIDE = 100.0


def noise(n: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1, (n, *shape))


def test_a_time_constant_of_zero_changes_nothing() -> None:
    mean, euro = ExponentialMean(0.0), OneEuro(0.0)
    for index, values in enumerate(noise(20, 5, 2)):
        np.testing.assert_array_equal(mean(values, index / 30), values)
        np.testing.assert_array_equal(euro(values, index / 30, side=SIDE), values)


def test_what_is_constant_stays() -> None:
    mean, euro = ExponentialMean(0.3), OneEuro(0.3)
    values = noise(1, 5, 2)[0]
    for index in range(20):
        np.testing.assert_allclose(mean(values, index / 30), values, atol=1e-12)
        np.testing.assert_allclose(euro(values, index / 30, side=SIDE), values, atol=1e-12)


def test_a_step_has_come_through_to_63_percent_after_the_time_constant() -> None:
    for rate in (10, 25, 60):
        mean = ExponentialMean(0.4)
        mean(np.zeros(1), 0.0)
        values = [float(mean(np.ones(1), index / rate)[0]) for index in range(1, 1 + round(0.4 * rate))]
        assert values[-1] == pytest.approx(1 - math.exp(-1), abs=1e-9)


def test_probabilities_sum_to_one() -> None:
    mean = ExponentialMean(0.3)
    for index in range(50):
        given = np.random.default_rng(index).dirichlet(np.ones(8))
        smooth = mean(given, index / 30)
        assert smooth.sum() == pytest.approx(1, abs=1e-12)
        assert (smooth >= 0).all()


def test_after_a_long_gap_the_new_values_count_alone() -> None:
    mean = ExponentialMean(0.1)
    mean(np.zeros(2), 0.0)
    np.testing.assert_allclose(mean(np.ones(2), 60.0), 1, atol=1e-12)


def test_points_that_tremble_are_steadied() -> None:
    """Of a tremble of 1 % of the face less than half remains."""
    euro = OneEuro(0.25)
    trembling = noise(200, 68, 2)
    smooth = np.stack([euro(points, index / 30, side=SIDE) for index, points in enumerate(trembling)])
    assert smooth[30:].std() < 0.5 * trembling[30:].std()


def test_points_that_move_do_not_lag() -> None:
    """At one face a second they are behind by less than 3 % of the face."""
    euro = OneEuro(0.25)
    for index in range(60):
        points = np.full((68, 2), SIDE * index / 30)
        smooth = euro(points, index / 30, side=SIDE)
    assert np.abs(smooth - points).max() < 0.03 * SIDE


def published_one_euro(track: np.ndarray, times: list[float], side: float) -> list[list[float]]:
    """Filter one point by algorithm 1 of Casiez et al. 2012, with the speed of both coordinates together.

    The minimum cut-off is that of a time constant of 0.25 s, beta is 10 Hz for a side a second, dcutoff 1 Hz.
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


def test_points_are_filtered_by_the_published_formula() -> None:
    """At uneven times, of points that rest, drift and dash."""
    random = np.random.default_rng(3)
    times = np.cumsum(random.uniform(0.01, 0.08, 80)).tolist()
    speeds = np.array([0.0, 0.1, 2.0])[random.integers(0, 3, 80)][:, None] * SIDE
    track = np.cumsum(random.normal(0, 1, (80, 2)) * speeds / 30, axis=0) + random.normal(0, 0.5, (80, 2))
    euro = OneEuro(0.25)
    ours = [euro(point[None], seconds, side=SIDE)[0] for point, seconds in zip(track, times, strict=True)]
    np.testing.assert_allclose(ours, published_one_euro(track, times, SIDE), rtol=1e-12, atol=1e-9)


def test_a_time_that_stands_still_keeps_the_points() -> None:
    euro = OneEuro(0.25)
    euro(np.zeros((2, 2)), 1.0, side=SIDE)
    np.testing.assert_array_equal(euro(np.ones((2, 2)), 1.0, side=SIDE), 1)


def test_people_have_their_own_filters_and_are_forgotten() -> None:
    smoothers = Smoothers(0.3)
    assert smoothers.of(0, 0.0) is smoothers.of(0, 0.1)
    assert smoothers.of(1, 0.2) is not smoothers.of(0, 0.2)
    for track in range(2, 500):
        smoothers.of(track, 0.2 + track)
    assert len(smoothers) <= FORGET_S + 2
