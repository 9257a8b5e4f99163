"""Groups of faces that share a person, a clip or a near-duplicate."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from mien.formats.pack import Pack
from mien.formats.pack.grouping import connect, find_shared_persons, join_persons, read_names


def connect_by_search(columns: list[list[object]]) -> list[int]:
    """The definition: a breadth-first search from every row."""
    n_rows = len(columns[0])
    groups = [-1] * n_rows
    for start in range(n_rows):
        pending = [start] if groups[start] < 0 else []
        while pending:
            row = pending.pop()
            groups[row] = start
            for column in columns:
                pending += [
                    other
                    for other in range(n_rows)
                    if groups[other] < 0 and column[row] is not None and column[other] == column[row]
                ]
    return groups


def test_rows_are_connected_through_others() -> None:
    """The groups are the connected components, numbered by their first member."""
    random = np.random.default_rng(0)
    for _ in range(20):
        columns = [
            [None if random.random() < 0.4 else int(random.integers(0, 25)) for _ in range(60)]
            for _ in range(3)
        ]
        assert connect(*columns).tolist() == connect_by_search(columns)


def test_a_long_chain_is_one_group() -> None:
    """Each row shares one value with the next."""
    n_rows = 1001
    one, other = [row // 2 for row in range(n_rows)], [(row + 1) // 2 for row in range(n_rows)]
    assert set(connect(one, other).tolist()) == {0}


def test_names_of_no_one(training_pack: Path) -> None:
    """Without persons and clips, the near-duplicate groups are returned as they are."""
    split = Pack.open(training_pack).split("train")
    assert join_persons([split], split.groups) is split.groups
    assert not find_shared_persons([Pack.open(training_pack)]).any()


def test_a_name_means_the_same_in_packs_of_one_source(
    make_training_pack: Callable[..., Path], tmp_path: Path
) -> None:
    """A person of one pack's val is shared by another pack's train."""
    packs = [
        Pack.open(
            make_training_pack(
                tmp_path / f"{first}.pack",
                n_train=6,
                n_val=3,
                stated=lambda row, first=first: {"person": f"S{first + row}"},
            )
        )
        for first in (0, 6)
    ]
    persons, clips = read_names([pack.split("train") for pack in packs])
    assert persons[6] == ("test", "S6")
    assert clips == [None] * 12
    # S6 to S8 are val of the first pack and train of the second.
    assert find_shared_persons(packs).tolist() == [False] * 6 + [True] * 3 + [False] * 3
    groups = join_persons([pack.split("train") for pack in packs], np.arange(12))
    assert len(set(groups.tolist())) == 12
