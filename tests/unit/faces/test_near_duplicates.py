"""Groups of near-duplicates."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mien.faces.near_duplicates import MAX_DISTANCE, count_duplicates, find_groups
from mien.faces.perceptual_hash import mirrored_hashes

Hashes = NDArray[np.uint8]


def random_hashes(random: np.random.Generator, count: int) -> Hashes:
    return random.integers(0, 256, (count, 32), dtype=np.uint8)


def flip_bits(hash_row: Hashes, random: np.random.Generator, count: int) -> Hashes:
    bits = np.unpackbits(hash_row)
    bits[random.choice(256, count, replace=False)] ^= 1
    return np.packbits(bits)


def group_by_brute_force(hashes: Hashes) -> NDArray[np.int64]:
    """Compare everything with everything and its mirror image, and merge until nothing changes."""
    distance = np.minimum(
        np.bitwise_count(hashes[:, None] ^ hashes[None]).sum(axis=2),
        np.bitwise_count(hashes[:, None] ^ mirrored_hashes(hashes)[None]).sum(axis=2),
    )
    groups = np.arange(len(hashes))
    while True:
        joined = np.array([groups[row <= MAX_DISTANCE].min() for row in distance])
        if (joined == groups).all():
            return groups
        groups = joined


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_random=st.integers(0, 40),
    planted=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 26), st.booleans()), max_size=25),
)
def test_groups_are_those_of_brute_force(
    seed: int, n_random: int, planted: list[tuple[int, int, bool]]
) -> None:
    """Among random hashes and copies of them, just within, at and beyond the limit, none is missed or added."""
    random = np.random.default_rng(seed)
    rows = list(random_hashes(random, n_random + 1))
    for original, n_bits, is_mirrored in planted:
        row = rows[original % len(rows)]
        rows.append(flip_bits(mirrored_hashes(row) if is_mirrored else row, random, n_bits))
    hashes = np.array(rows)[random.permutation(len(rows))]
    np.testing.assert_array_equal(find_groups(hashes), group_by_brute_force(hashes))


@pytest.mark.parametrize("far", range(MAX_DISTANCE - 1, MAX_DISTANCE + 3))
def test_the_limit_is_the_limit(far: int) -> None:
    """Hashes that differ in the limit's number of bits are one group, in one more they are two."""
    random = np.random.default_rng(0)
    for _ in range(50):
        original = random_hashes(random, 1)[0]
        groups = find_groups(np.array([original, flip_bits(original, random, far)]))
        assert groups.tolist() == ([0, 0] if far <= MAX_DISTANCE else [0, 1])


def test_chains_are_one_group() -> None:
    """If A is near B and B near C they are one group, though A and C are not near."""
    random = np.random.default_rng(0)
    chain = [random_hashes(random, 1)[0]]
    for step in range(10):
        bits = np.unpackbits(chain[-1])
        bits[step * 12 : step * 12 + 12] ^= 1
        chain.append(np.packbits(bits))
    assert find_groups(np.array(chain)).tolist() == [0] * 11


def test_near_duplicates_are_found_behind_other_neighbors() -> None:
    """Two that agree in only one band are found although dozens of other hashes in that band lie between them."""
    random = np.random.default_rng(0)
    band = np.arange(256) % (MAX_DISTANCE + 1) == 5
    one = random.integers(0, 2, 256)
    one[:8] = 0
    other = one.copy()
    other[[0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12]] ^= 1  # a bit of each other band
    between = random.integers(0, 2, (40, 256))
    between[:, :8] = [0, 1, 0, 0, 0, 0, 0, 0]
    between[:, band] = one[band]
    hashes = np.packbits(np.array([one, *between, other]).astype(bool), axis=1)
    assert hashes[0, 0] < hashes[1:-1, 0].min() <= hashes[1:-1, 0].max() < hashes[-1, 0]
    assert find_groups(hashes).tolist() == [*range(41), 0]


def test_thousands_of_equal_hashes() -> None:
    """Equal hashes are one group however many there are and wherever they are."""
    random = np.random.default_rng(0)
    hashes = random_hashes(random, 6000)
    blank = random.choice(6000, 3000, replace=False)
    hashes[blank] = 0
    groups = find_groups(hashes)
    assert set(groups[blank]) == {blank.min()}
    assert len(np.unique(groups)) == 3001


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_hashes(count: int) -> None:
    """No hash, or one, is not a special case."""
    hashes = random_hashes(np.random.default_rng(0), count)
    assert find_groups(hashes).tolist() == list(range(count))


def test_counts() -> None:
    """Exact and near copies, and faces in more than one split, are counted as defined."""
    groups = np.array([0, 0, 0, 3, 3, 5])
    digests = np.array([[1], [1], [2], [3], [4], [5]], np.uint8).repeat(32, axis=1)
    splits = np.array([0, 0, 1, 0, 0, 1])
    assert count_duplicates(groups, digests, splits) == {
        "exact_copies": 1,
        "near_copies": 3,
        "in_several_splits": 3,
    }
    empty = np.empty(0, np.int64)
    assert set(count_duplicates(empty, np.empty((0, 32), np.uint8), empty).values()) == {0}


@pytest.mark.slow
def test_a_million_hashes_in_a_minute(run_measured: Callable[[str], tuple[float, float]]) -> None:
    """Grouping a million faces takes under 500 MB beyond their hashes, and no more than minutes."""
    code = """
import numpy as np
from mien.faces.near_duplicates import find_groups
hashes = np.random.default_rng(0).integers(0, 256, (1_000_000, 32), dtype=np.uint8)
hashes[500_000:510_000] = hashes[:10_000]
hashes[700_000:900_000] = 0
groups = find_groups(hashes)
assert len(np.unique(groups)) == 1_000_000 - 10_000 - 199_999
"""
    seconds, megabytes = run_measured(code)
    assert megabytes < 700
    assert seconds < 180
