"""Pairs of faces that may be turned, cut, shifted or mirrored copies of each other, found without comparing all pairs.

A window of three quarters of the thumbnail is described by its low DCT frequencies, free of brightness and contrast,
whitened over the set and reduced to 32 signs. Every face is indexed under windows at several shifts; it is looked up
under its central window turned, zoomed and mirrored. A copy is a turn, zoom and shift of its original, so that one of
these lookups meets one of those windows: with m shifts and n turns and zooms that takes m + n descriptions of a face
instead of m * n. Since each face of a pair looks the other one up, only one of a transform and its inverse is in the
lookups. Equal signs are found by sorting on several subsets of them (locality-sensitive hashing by random projections:
Charikar 2002, https://doi.org/10.1145/509907.509965).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.faces.thumbnail import OUTSIDE, THUMBNAIL_SIDE, fill_outside

# The descriptions need half of a thumbnail's resolution.
_SIDE = THUMBNAIL_SIDE // 2
_WINDOW = 0.74
_MAX_FREQUENCY = 7
_N_SIGNS = 32
_SHIFTS = (-0.06, -0.03, 0.0, 0.03, 0.06)
_TURNS_DEG = (-10, -5, 0, 5, 10)
_ZOOM = 1.11

_N_TABLES = 16
# More signs than this many times the faces have values: two random windows then rarely agree in all.
_SIGNS_BEYOND_LOG2 = 4
# A face in many pairs of a table shows little, such as fog: it is not compared with all others.
_MAX_MATCHES = 64
_MAX_DIFFERENT_SIGNS = 5
_MAX_DIFFERENT_BITS = 15
# The median of a normal distribution's absolute values.
_LARGE = 0.6745
# Of the windows by which two faces were found, those that differ in the fewest signs are compared exactly.
_N_COMPARED = 6
_MIN_COSINE = 0.85
# The gray levels' root mean square below which a window shows nothing.
_MIN_CONTRAST = 3.0
_BLOCK = 4096
_PRIOR_FACES = 64
_FITTED_FACES = 1024
_FREQUENCIES = tuple(
    (v, u) for v in range(_MAX_FREQUENCY + 1) for u in range(_MAX_FREQUENCY + 1 - v) if u + v
)


class Transform(NamedTuple):
    """Where a window lies: turned by degrees and zoomed about the center, mirrored, shifted by fractions of the image."""

    turn_deg: float = 0
    zoom: float = 1
    is_mirrored: bool = False
    shift_x: float = 0
    shift_y: float = 0

    def matrix(self) -> NDArray[np.float64]:
        """Return the ``(2, 3)`` matrix from the window to the image, both as fractions with the origin at the center."""
        angle = math.radians(self.turn_deg)
        cos, sin = math.cos(angle) / self.zoom, math.sin(angle) / self.zoom
        sign = -1 if self.is_mirrored else 1
        return np.array([[sign * cos, -sin, self.shift_x], [sign * sin, cos, self.shift_y]])


INDEXED = tuple(Transform(shift_x=x, shift_y=y) for x in _SHIFTS for y in _SHIFTS)
LOOKED_UP = (
    *(Transform(turn) for turn in _TURNS_DEG if turn >= 0),
    *(Transform(turn, _ZOOM) for turn in _TURNS_DEG),
    *(Transform(turn, zoom, is_mirrored=True) for turn in _TURNS_DEG for zoom in (1, _ZOOM)),
)


@dataclass(frozen=True)
class Candidates:
    """Pairs of faces that may be copies.

    Attributes:
        looked_up: ``(P,)`` int64 faces; the window that matched is ``LOOKED_UP[lookup]``.
        lookup: ``(P,)`` int64.
        indexed: ``(P,)`` int64 faces; the window that matched is ``INDEXED[window]``.
        window: ``(P,)`` int64.
    """

    looked_up: NDArray[np.int64]
    lookup: NDArray[np.int64]
    indexed: NDArray[np.int64]
    window: NDArray[np.int64]


def find_candidates(thumbnails: NDArray[np.uint8]) -> Candidates:
    """Return each pair of faces once, by the windows that agree best.

    Args:
        thumbnails: ``(N, 32, 32)`` uint8 from `mien.faces.thumbnail`; may be memory-mapped, it is read in blocks.
    """
    halved = _halve(thumbnails)
    space = _fit_space(halved)
    looked_up, indexed, different = _match(halved, space)
    face, other = looked_up // len(LOOKED_UP), indexed // len(INDEXED)
    pair = np.minimum(face, other) * len(thumbnails) + np.maximum(face, other)
    order = np.argsort(pair * (2 * _N_SIGNS) + different, kind="stable")
    ranked = pair[order]
    first = np.flatnonzero(np.diff(ranked, prepend=-1))
    rank = np.arange(len(order)) - np.repeat(first, np.diff(first, append=len(order)))
    chosen = order[rank < _N_COMPARED]
    found = Candidates(
        face[chosen], looked_up[chosen] % len(LOOKED_UP), other[chosen], indexed[chosen] % len(INDEXED)
    )
    cosines = _cosines(halved, found, space)
    order = np.lexsort((-cosines, pair[chosen]))
    best = order[np.unique(pair[chosen][order], return_index=True)[1]]
    best = best[cosines[best] >= _MIN_COSINE]
    return Candidates(found.looked_up[best], found.lookup[best], found.indexed[best], found.window[best])


def _match(
    halved: NDArray[np.uint8], space: "_Space"
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """Return numbers of lookups and of indexed windows whose codes are similar, and how many bits are different."""
    lookups, is_blank = _describe(halved, LOOKED_UP, space)
    windows, _ = _describe(halved, INDEXED, space)
    # Faces that show nothing would all match each other.
    shown = np.flatnonzero(~is_blank)
    lookups, windows = lookups[shown].ravel(), windows[shown].ravel()
    found = [np.empty(0, dtype=np.int64)]
    for one, other in _equal_pairs(_signs(lookups), _signs(windows)):
        bits = lookups[one] ^ windows[other]
        keep = np.flatnonzero(np.bitwise_count(bits) <= _MAX_DIFFERENT_BITS)
        keep = keep[np.bitwise_count(_signs(bits[keep])) <= _MAX_DIFFERENT_SIGNS]
        pairs = one[keep] * len(windows) + other[keep]
        found.append(pairs[one[keep] // len(LOOKED_UP) != other[keep] // len(INDEXED)])
    looked_up, indexed = np.divmod(np.unique(np.concatenate(found)), max(1, len(windows)))
    different = np.bitwise_count(lookups[looked_up] ^ windows[indexed])
    (face, lookup), (other, window) = divmod(looked_up, len(LOOKED_UP)), divmod(indexed, len(INDEXED))
    return shown[face] * len(LOOKED_UP) + lookup, shown[other] * len(INDEXED) + window, different


def _cosines(halved: NDArray[np.uint8], pairs: Candidates, space: "_Space") -> NDArray[np.float32]:
    """Return how similar the two windows of each pair are, 1 if they are equal."""
    one = np.empty((len(pairs.looked_up), _N_SIGNS), dtype=np.float32)
    other = np.empty_like(one)
    for features, faces, numbers, transforms in (
        (one, pairs.looked_up, pairs.lookup, LOOKED_UP),
        (other, pairs.indexed, pairs.window, INDEXED),
    ):
        for number, transform in enumerate(transforms):
            chosen = np.flatnonzero(numbers == number)
            if not len(chosen):
                continue
            features[chosen] = space.project(halved[faces[chosen]], (transform,))[0][:, 0]
    cosines: NDArray[np.float32] = (one * other).sum(axis=1)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return np.asarray(cosines / (lengths + 1e-6), dtype=np.float32)


def _halve(thumbnails: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return ``(N, 256)`` uint8 thumbnails at half size, one row each."""
    halved = np.empty((len(thumbnails), _SIDE**2), dtype=np.uint8)
    for start in range(0, len(thumbnails), _BLOCK):
        block = thumbnails[start : start + _BLOCK].astype(np.uint16)
        for index in np.flatnonzero((block == OUTSIDE).any(axis=(1, 2))):
            block[index] = fill_outside(thumbnails[start + index])
        rows = block[:, ::2] + block[:, 1::2]
        halved[start : start + _BLOCK] = ((rows[:, :, ::2] + rows[:, :, 1::2] + 2) >> 2).reshape(-1, _SIDE**2)
    return halved


@dataclass(frozen=True)
class _Space:
    """The whitened space of a set's descriptions."""

    mean: NDArray[np.float32]
    whitening: NDArray[np.float32]

    def project(
        self, halved: NDArray[np.uint8], transforms: tuple[Transform, ...]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return ``(N, T, 32)`` whitened descriptions of windows, and their ``(N, T)`` contrasts."""
        described, contrasts = _frequencies(halved, transforms)
        described -= self.mean
        return np.asarray(described @ self.whitening, dtype=np.float32), contrasts


def _fit_space(halved: NDArray[np.uint8]) -> _Space:
    """Return the space in which the descriptions of these faces, evenly chosen, have independent values."""
    chosen = np.linspace(0, len(halved) - 1, min(len(halved), _FITTED_FACES)).astype(np.int64)
    described, _ = _frequencies(halved[chosen], INDEXED)
    flat = described.reshape(-1, described.shape[-1]).astype(np.float64)
    # Of few faces the covariance is unknown: as many are added as natural images have it, 1 / frequency^2.
    prior = np.diag([1 / (v * v + u * u) for v, u in _FREQUENCIES])
    prior /= np.trace(prior)
    known = len(chosen) / (len(chosen) + _PRIOR_FACES)
    mean = known * flat.mean(axis=0)
    flat -= mean
    covariance = known * flat.T @ flat / len(flat) + (1 - known) * prior
    variances, axes = np.linalg.eigh(covariance)
    variances, axes = variances[::-1][:_N_SIGNS], axes[:, ::-1][:, :_N_SIGNS]
    whitening = axes / np.sqrt(variances + 0.01 * variances[0] + 1e-12)
    return _Space(mean.astype(np.float32), whitening.astype(np.float32))


def _frequencies(
    halved: NDArray[np.uint8], transforms: tuple[Transform, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return ``(N, T, F)`` low DCT frequencies of windows without the mean, as unit vectors, and ``(N, T)`` contrasts."""
    projection = np.concatenate([_window_projection(transform) for transform in transforms])
    values = (halved.astype(np.float32) @ projection.T).reshape(len(halved), len(transforms), -1)
    norms = np.sqrt(np.einsum("ntf,ntf->nt", values, values))
    values /= norms[:, :, None] + 1e-6
    return values, norms / _SIDE


@cache
def _window_projection(transform: Transform) -> NDArray[np.float32]:
    """Return the ``(F, side * side)`` matrix that samples a window bilinearly and applies the DCT to it."""
    along = ((np.arange(_SIDE) + 0.5) / _SIDE - 0.5) * _WINDOW
    window = np.stack([*np.meshgrid(along, along), np.ones((_SIDE, _SIDE))]).reshape(3, -1)
    x, y = (transform.matrix() @ window + 0.5) * _SIDE - 0.5
    sampling = np.zeros((_SIDE**2, _SIDE, _SIDE))
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    for column in (left, left + 1):
        for row in (top, top + 1):
            weights = (1 - abs(x - column)) * (1 - abs(y - row))
            inside = column.clip(0, _SIDE - 1), row.clip(0, _SIDE - 1)
            np.add.at(sampling, (np.arange(_SIDE**2), inside[1], inside[0]), weights)
    return (_dct_basis() @ sampling.reshape(_SIDE**2, -1)).astype(np.float32)


@cache
def _dct_basis() -> NDArray[np.float64]:
    """Return the ``(F, side * side)`` orthonormal DCT functions of `_FREQUENCIES`."""
    cosines = np.cos(np.pi * np.outer(np.arange(_MAX_FREQUENCY + 1), np.arange(_SIDE) + 0.5) / _SIDE)
    cosines[1:] *= math.sqrt(2)
    return np.array([np.outer(cosines[v], cosines[u]).ravel() for v, u in _FREQUENCIES]) / _SIDE


def _describe(
    halved: NDArray[np.uint8], transforms: tuple[Transform, ...], space: _Space
) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Return the ``(N, T)`` codes of windows, and which faces show nothing in one of them.

    A code has a bit for the sign of each value and, in its upper half, one for whether the value is large.
    """
    codes = np.empty((len(halved), len(transforms), 2), dtype=np.uint32)
    is_blank = np.empty(len(halved), dtype=bool)
    for start in range(0, len(halved), _BLOCK):
        block = slice(start, start + _BLOCK)
        values, contrasts = space.project(halved[block], transforms)
        typical = np.sqrt(np.einsum("ntd,ntd->nt", values, values) / _N_SIGNS)[:, :, None]
        for half, bits in enumerate((values > 0, np.abs(values) > _LARGE * typical)):
            codes[block, :, half] = np.packbits(bits, axis=2).view(np.uint32)[:, :, 0]
        is_blank[block] = contrasts.min(axis=1) < _MIN_CONTRAST
    return codes.view(np.uint64)[:, :, 0], is_blank


def _signs(codes: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """Return the lower half of codes."""
    return (codes & np.uint64(0xFFFFFFFF)).astype(np.uint32)


def _equal_pairs(
    lookups: NDArray[np.uint32], index: NDArray[np.uint32]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield pairs of a lookup and an indexed window whose signs are equal in one of several fixed subsets."""
    if not len(lookups):
        return
    n_faces = len(lookups) // len(LOOKED_UP)
    n_signs = min(_N_SIGNS, max(12, math.ceil(math.log2(n_faces)) + _SIGNS_BEYOND_LOG2))
    generator = np.random.Generator(np.random.Philox(0))
    for _ in range(_N_TABLES):
        bits = generator.permutation(_N_SIGNS)[:n_signs].astype(np.uint32)
        mask = np.bitwise_or.reduce(np.uint32(1) << bits)
        keys, indexed_order = _sort(index & mask)
        wanted, order = _sort(lookups & mask)
        runs = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))  # where another key begins
        run = np.minimum(np.searchsorted(keys[runs], wanted), len(runs) - 1)
        is_met = keys[runs[run]] == wanted
        order, run = order[is_met], run[is_met]
        first, counts = runs[run], np.diff(runs, append=len(keys))[run]
        counts = np.minimum(counts, _MAX_MATCHES * len(INDEXED))
        ends = np.cumsum(counts)
        start = 0
        while start < len(order):  # a few million pairs at a time
            before = ends[start] - counts[start]
            stop = max(start + 1, int(np.searchsorted(ends, before + 2_000_000)))
            part = slice(start, stop)
            offsets = np.arange(ends[stop - 1] - before) - np.repeat(
                ends[part] - counts[part] - before, counts[part]
            )
            yield (
                np.repeat(order[part], counts[part]),
                indexed_order[np.repeat(first[part], counts[part]) + offsets],
            )
            start = stop


def _sort(values: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Return values in order, and the index of each.

    Sorting pairs of value and index in one number takes a fifth of the time of `np.argsort`.
    """
    packed = values.astype(np.uint64) << np.uint64(32) | np.arange(len(values), dtype=np.uint64)
    packed.sort()
    return (packed >> np.uint64(32)).astype(np.uint32), (packed & np.uint64(0xFFFFFFFF)).astype(np.int64)
