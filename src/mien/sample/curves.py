"""Curves and outlines as ``(N, 2)`` float arrays of x, y in any unit, with y pointing down."""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


def points(*pairs: tuple[float, float]) -> Points:
    """Return a curve from pairs of coordinates."""
    return np.array(pairs, dtype=np.float64)


def join(x: NDArray[np.float64] | float, y: NDArray[np.float64]) -> Points:
    """Return a curve from its x and y coordinates."""
    curve = np.empty((len(y), 2))
    curve[:, 0] = x
    curve[:, 1] = y
    return curve


def shift(curve: Points, dx: float, dy: float) -> Points:
    """Return a curve or a single point, translated."""
    return np.asarray(curve + (dx, dy))  # noqa: RUF005 - arrays add


@cache
def _catmull_rom(count: int, closed: bool, steps: int) -> NDArray[np.float64]:
    """Return the ``(M, count)`` matrix that maps control points to points of the curve."""
    t = (np.arange(steps) / steps)[:, None]
    basis = 0.5 * np.hstack(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2]
    )
    unit = np.eye(count)
    if closed:
        padded = np.concatenate([unit[-1:], unit, unit[:2]])
    else:
        padded = np.concatenate([2 * unit[:1] - unit[1:2], unit, 2 * unit[-1:] - unit[-2:-1]])
    parts = [basis @ padded[start : start + 4] for start in range(len(padded) - 3)]
    return np.concatenate(parts if closed else [*parts, unit[-1:]])


def smooth(through: Points, *, closed: bool = False, steps: int = 6) -> Points:
    """Return a Catmull-Rom curve through all of the given points.

    Args:
        through: ``(N, 2)`` with N >= 2.
        closed: whether the curve returns to its first point.
        steps: points of the curve per given point.
    """
    return _catmull_rom(len(through), closed, steps) @ through


def resample(curve: Points, count: int, *, even: bool = True) -> Points:
    """Return ``count`` points along an open curve, including both ends.

    Args:
        curve: ``(N, 2)``.
        count: number of points.
        even: space the points evenly by distance; otherwise by the index of the curve's points.
    """
    if even:
        step = np.diff(curve, axis=0)
        lengths = np.concatenate([[0.0], np.cumsum(np.hypot(step[:, 0], step[:, 1]))])
    else:
        lengths = np.arange(len(curve), dtype=np.float64)
    positions = np.linspace(0, lengths[-1], count)
    return join(np.interp(positions, lengths, curve[:, 0]), np.interp(positions, lengths, curve[:, 1]))


def band(curve: Points, widths: float | NDArray[np.float64]) -> Points:
    """Return the outline of a stroke along a curve.

    Args:
        curve: ``(N, 2)`` center line, N >= 2.
        widths: full width of the stroke, one number or one per point.
    """
    # With complex numbers a right angle is a factor of i, which halves the work.
    z = np.ascontiguousarray(curve).view(np.complex128)[:, 0]
    across = np.empty_like(z)
    np.subtract(z[2:], z[:-2], out=across[1:-1])
    across[0], across[-1] = z[1] - z[0], z[-1] - z[-2]
    across *= widths * 0.5j / (np.abs(across) + 1e-12)
    outline = np.concatenate([z + across, (z - across)[::-1]])
    return outline.view(np.float64).reshape(-1, 2)


@cache
def taper(count: int, *, start: float = 0.15, end: float = 0.15) -> NDArray[np.float64]:
    """Return relative widths of a stroke that is 1 in the middle and thinner at the ends."""
    t = np.linspace(0, 1, count)
    swell = np.sin(math.pi * t).clip(0) ** 0.7
    floor = start + (end - start) * t
    widths = np.asarray(floor + (1 - floor) * swell)
    widths.flags.writeable = False
    return widths


@cache
def _unit_circle(count: int) -> Points:
    angles = np.arange(count) * (2 * math.pi / count)
    return join(np.cos(angles), np.sin(angles))


def ellipse(
    center: tuple[float, float] | Points, radii: tuple[float, float], *, tilt: float = 0.0, count: int = 24
) -> Points:
    """Return an ellipse's outline.

    Args:
        center: center of the ellipse.
        radii: half of its width and height.
        tilt: angle in radians, clockwise on screen.
        count: number of points.
    """
    outline = _unit_circle(count) * radii
    if tilt:
        cos, sin = math.cos(tilt), math.sin(tilt)
        outline = outline @ np.array([[cos, sin], [-sin, cos]])
    outline += center
    return outline
