"""Which training faces are leaks, within a pack and between packs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mien.faces.perceptual_hash import mirrored_hashes
from mien.formats.pack import Pack, PackSplit
from mien.formats.pack.leaks import find_leaks


@pytest.fixture
def two_packs(
    make_training_pack: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[Pack]:
    """Packs of 30 training and 6 val faces; train 4 (mirrored) and 5 of the first recur in val of the second."""
    random = np.random.default_rng(0)
    one, other = random.integers(0, 256, (2, 36, 32), dtype=np.uint8)
    other[31], other[32] = mirrored_hashes(one[4]), one[5]
    noise = {name: random.integers(0, 256, (36, 32, 32), dtype=np.uint8) for name in ("a.pack", "b.pack")}
    monkeypatch.setattr(
        PackSplit,
        "read_thumbnails",
        lambda split: noise[split.pack.path.name][{"train": slice(30), "val": slice(30, 36)}[split.name]],
    )
    one[7] = mirrored_hashes(one[6])
    return [
        Pack.open(make_training_pack(tmp_path / name, n_train=30, n_val=6, hashes=hashes))
        for name, hashes in (("a.pack", one), ("b.pack", other))
    ]


@pytest.mark.parametrize("first", [0, 1])
def test_copies_in_another_split_of_any_pack_are_leaks(two_packs: list[Pack], first: int) -> None:
    """In either order of the packs; a mirrored copy within train is in the same group, but not a leak."""
    packs = [two_packs[first], two_packs[1 - first]]
    groups, leaks = find_leaks(packs)
    assert np.flatnonzero(leaks).tolist() == [30 * first + 4, 30 * first + 5]
    assert groups[30 * first + 6] == groups[30 * first + 7]
    assert len(np.unique(groups)) == 59


def test_a_single_pack_uses_its_stored_groups(
    make_training_pack: Callable[..., Path], tmp_path: Path
) -> None:
    """Its stored groups determine which faces are leaks."""
    groups = np.arange(36)
    groups[2] = groups[35]
    pack = Pack.open(make_training_pack(tmp_path / "a.pack", n_train=30, n_val=6, groups=groups))
    found, leaks = find_leaks([pack])
    assert np.flatnonzero(leaks).tolist() == [2]
    np.testing.assert_array_equal(found, groups[:30])
