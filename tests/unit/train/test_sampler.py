"""Which faces make up which step."""

import pytest

pytest.importorskip("torch", reason="training needs the train extra")

from hypothesis import given
from hypothesis import strategies as st

from mien.train.sampler import EpochBatches, epoch_order

N_FACES, BATCH = 103, 8


def batches(epoch: int = 0, *, rank: int = 0, world_size: int = 1, seed: int = 0) -> list:
    return list(EpochBatches(N_FACES, BATCH, seed, epoch, rank=rank, world_size=world_size))


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_the_ranks_share_each_batch(world_size: int) -> None:
    """However many processes, the faces of a step are the same, and none is dealt twice."""
    ranks = [batches(rank=rank, world_size=world_size) for rank in range(world_size)]
    for step, expected in enumerate(batches()):
        shares = [rank[step] for rank in ranks]
        assert {len(share) for share in shares} == {BATCH // world_size}
        assert sorted(draw for share in shares for draw in share) == sorted(expected)


def test_a_face_comes_at_most_once_an_epoch() -> None:
    """Every whole batch is dealt, and only the last incomplete one is dropped."""
    faces = [draw.face for batch in batches() for draw in batch]
    assert len(faces) == len(set(faces)) == N_FACES // BATCH * BATCH


def test_every_face_comes_when_the_batches_divide_them() -> None:
    """With nothing left over an epoch shows each face exactly once."""
    faces = [draw.face for batch in EpochBatches(64, 16, 0, 3) for draw in batch]
    assert sorted(faces) == list(range(64))


def test_length() -> None:
    """The length is the number of batches."""
    assert len(EpochBatches(N_FACES, BATCH, 0, 0)) == len(batches()) == 12


def test_the_same_again() -> None:
    """The order has no state: asked twice, it is the same."""
    sampler = EpochBatches(N_FACES, BATCH, 0, 5)
    assert list(sampler) == list(sampler) == batches(5)


def test_another_order_each_epoch_and_seed() -> None:
    """Epochs and seeds are shuffled differently."""
    orders = [tuple(epoch_order(N_FACES, seed=seed, epoch=epoch)) for seed in (0, 1) for epoch in (0, 1, 2)]
    assert len(set(orders)) == len(orders)


@given(st.integers(1, 300), st.integers(0, 2**32 - 1), st.integers(0, 1000))
def test_an_order_is_a_permutation(n_faces: int, seed: int, epoch: int) -> None:
    """No face is lost and none doubled, whatever the seed."""
    assert sorted(epoch_order(n_faces, seed=seed, epoch=epoch)) == list(range(n_faces))


def test_positions_number_the_faces_of_an_epoch() -> None:
    """A face's position is the same on whichever rank it comes, so that its augmentation is too."""
    alone = {draw.face: draw.position for batch in batches() for draw in batch}
    shared = {
        draw.face: draw.position
        for rank in (0, 1)
        for batch in batches(rank=rank, world_size=2)
        for draw in batch
    }
    assert alone == shared
    assert sorted(alone.values()) == list(range(len(alone)))
