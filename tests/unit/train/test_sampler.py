"""The faces of each step, and their random numbers."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch", reason="training needs the train extra")

from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mien.errors import DatasetError
from mien.recipe import DataConfig, Recipe, RuntimeConfig
from mien.train.imbalance import class_quotas
from mien.train.sampler import (
    Draw,
    EpochBatches,
    FaceOrder,
    build_order,
    require_steps,
    step_seed,
    uniform_draws,
)

N_FACES, BATCH = 103, 8
UNIFORM = FaceOrder(np.arange(N_FACES) % 3)
# Four classes, one of them without faces; no size divides another.
COUNTS = np.array([70, 0, 26, 7])
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(4), COUNTS))
QUOTAS = class_quotas(COUNTS, "inverse", n_draws=N_FACES)
INVERSE = FaceOrder(LABELS, QUOTAS)

orders = pytest.mark.parametrize(
    "order", [pytest.param(UNIFORM, id="uniform"), pytest.param(INVERSE, id="inverse")]
)


def batches(
    order: FaceOrder = UNIFORM, epoch: int = 0, *, rank: int = 0, world_size: int = 1
) -> list[list[Draw]]:
    return list(EpochBatches(order, BATCH, epoch, rank=rank, world_size=world_size))


@orders
@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_the_ranks_share_each_batch(order: FaceOrder, world_size: int) -> None:
    """With any number of processes, a step is that of one process, sharded in turn."""
    ranks = [batches(order, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert {len(rank) for rank in ranks} == {N_FACES // BATCH}
    for step, expected in enumerate(batches(order)):
        shares = [rank[step] for rank in ranks]
        assert {len(share) for share in shares} == {BATCH // world_size}
        assert [draw for turn in zip(*shares, strict=True) for draw in turn] == expected


def test_a_face_is_drawn_at_most_once_per_epoch() -> None:
    """Drawn uniformly, every complete batch is used, and only the last incomplete one is dropped."""
    faces = [draw.face for batch in batches() for draw in batch]
    assert len(faces) == len(set(faces)) == N_FACES // BATCH * BATCH


def test_every_face_is_drawn_when_the_batch_size_divides() -> None:
    """With nothing left over an epoch shows each face exactly once."""
    order = FaceOrder(np.zeros(64, dtype=np.int64))
    faces = [draw.face for batch in EpochBatches(order, 16, 3) for draw in batch]
    assert sorted(faces) == list(range(64))


@orders
def test_length(order: FaceOrder) -> None:
    """The length is the number of batches."""
    assert len(order) == len(order.faces(0)) == N_FACES
    assert len(EpochBatches(order, BATCH, 0)) == len(batches(order)) == 12


@orders
def test_the_same_again(order: FaceOrder) -> None:
    """The order has no state: it is the same every time, from any object."""
    sampler = EpochBatches(order, BATCH, 5)
    assert list(sampler) == list(sampler) == batches(replace(order), 5)


@orders
def test_another_order_each_epoch_and_seed(order: FaceOrder) -> None:
    """Epochs and seeds are shuffled differently."""
    drawn = [tuple(replace(order, seed=seed).faces(epoch)) for seed in (0, 1) for epoch in (0, 1, 2)]
    assert len(set(drawn)) == len(drawn)


@given(st.integers(1, 300), st.integers(0, 2**32 - 1), st.integers(0, 1000))
def test_an_order_is_a_permutation(n_faces: int, seed: int, epoch: int) -> None:
    """No face is lost or repeated, whatever the seed."""
    order = FaceOrder(np.zeros(n_faces, dtype=np.int64), seed=seed)
    assert sorted(order.faces(epoch)) == list(range(n_faces))


@orders
def test_positions_number_the_faces_of_an_epoch(order: FaceOrder) -> None:
    """A face's position is the same on any rank, so that its augmentation is too."""
    alone = {draw.position: draw.face for batch in batches(order) for draw in batch}
    shared = {
        draw.position: draw.face
        for rank in (0, 1)
        for batch in batches(order, rank=rank, world_size=2)
        for draw in batch
    }
    assert alone == shared
    assert sorted(alone) == list(range(len(alone)))


@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=8).filter(any),
    scheme=st.sampled_from(["inverse", "square_root", "effective"]),
    cap=st.none() | st.floats(1, 10),
    seed=st.integers(0, 2**32 - 1),
    epoch=st.integers(0, 100),
)
def test_an_epoch_keeps_its_quotas(
    counts: list[int], scheme: str, cap: float | None, seed: int, epoch: int
) -> None:
    """Each class is drawn as often as its quota, rounded up or down, in full passes over its faces and one partial pass.

    So its faces come equally often, give or take one, none again before all others have come, and a class
    without faces never does.
    """
    n_of_class = np.array(counts)
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    quotas = class_quotas(n_of_class, scheme, n_draws=len(labels), cap=cap)  # type: ignore[arg-type]
    faces = FaceOrder(labels, quotas, seed).faces(epoch)
    assert len(faces) == len(labels)
    for label, quota in enumerate(quotas):
        drawn = faces[labels[faces] == label]
        assert abs(len(drawn) - quota) < 1 + 1e-6
        members = set(np.flatnonzero(labels == label))
        for start in range(0, len(drawn), max(1, len(members))):
            part = drawn[start : start + len(members)]
            assert len(set(part)) == len(part)
            assert set(part) <= members
    if cap is not None:
        assert np.bincount(faces).max() <= np.ceil(cap)


def count_by_class(order: FaceOrder, n_epochs: int) -> NDArray[np.int64]:
    """How often each class is drawn in each epoch, ``(epochs, C)``."""
    epochs = [order.labels[order.faces(epoch)] for epoch in range(n_epochs)]
    return np.array([np.bincount(labels, minlength=len(COUNTS)) for labels in epochs])


def test_quotas_are_right_on_average() -> None:
    """Over many epochs the rounding evens out, for every class."""
    n_epochs = 600
    drawn = count_by_class(INVERSE, n_epochs)
    assert (QUOTAS % 1)[[0, 2, 3]].min() > 0.2  # something is to be rounded
    assert ((drawn == np.floor(QUOTAS)) | (drawn == np.ceil(QUOTAS))).all()
    np.testing.assert_allclose(drawn.mean(axis=0), QUOTAS, atol=4 * 0.5 / np.sqrt(n_epochs))


def test_each_face_of_a_class_has_the_same_chance() -> None:
    """Faces of a class that is shown in part are drawn equally often over the epochs, and so are oversampled ones."""
    n_epochs = 300
    times = sum(np.bincount(INVERSE.faces(epoch), minlength=N_FACES) for epoch in range(n_epochs))
    for label in (0, 2, 3):
        seen = times[label == LABELS]
        chance = QUOTAS[label] / COUNTS[label]
        assert seen.mean() == pytest.approx(n_epochs * chance, rel=0.01)
        # Of one face in one epoch, the number of draws is one of two neighbors, at most a fair coin's spread.
        assert np.abs(seen - n_epochs * chance).max() < 4.5 * np.sqrt(n_epochs * 0.25)


def test_classes_are_mixed_through_the_epoch() -> None:
    """No class has its faces at the start or the end: every part of an epoch is like all of it."""
    place = np.concatenate([np.argsort(INVERSE.faces(epoch), kind="stable") for epoch in range(50)])
    labels = np.concatenate([np.sort(INVERSE.faces(epoch)) for epoch in range(50)])
    for label in (0, 2, 3):
        of_class = place[LABELS[labels] == label] / N_FACES
        assert stats.kstest(of_class, "uniform").pvalue > 1e-3


def test_quotas_with_a_fractional_sum() -> None:
    """A fraction of a face left by a cap is dropped, and the epoch has the length that it reports."""
    order = FaceOrder(np.repeat([0, 1], [10, 30]), np.array([10.4, 20.3]))
    assert len(order) == 30
    for epoch in range(20):
        drawn = np.bincount(order.labels[order.faces(epoch)])
        assert drawn.sum() == 30
        assert drawn[0] in (10, 11)


def build(data: DataConfig) -> FaceOrder:
    return build_order(LABELS, 4, Recipe(data=data, runtime=RuntimeConfig(seed=3)))


def test_the_order_of_a_recipe() -> None:
    """A recipe's sampling, cap and seed make the order; uniform has no quotas."""
    uniform = build(DataConfig(sampling_max_repeats=2))
    assert uniform.quotas is None
    assert sorted(uniform.faces(0)) == list(range(N_FACES))
    inverse = build(DataConfig(sampling="inverse"))
    np.testing.assert_allclose(inverse.quotas, QUOTAS)
    np.testing.assert_array_equal(inverse.faces(2), replace(INVERSE, seed=3).faces(2))
    capped = build(DataConfig(sampling="inverse", sampling_max_repeats=2))
    np.testing.assert_allclose(capped.quotas, [103 - 14 - (103 - 14) / 2, 0, (103 - 14) / 2, 14])
    assert len(capped) == N_FACES


def test_an_epoch_has_a_step_at_least() -> None:
    """A batch larger than the epoch is one clear error."""
    assert require_steps(UNIFORM, N_FACES) == 1
    assert require_steps(UNIFORM, 8) == 12
    with pytest.raises(
        DatasetError, match=r"`schedule\.batch_size` is 104, but an epoch has only 103 training faces"
    ):
        require_steps(UNIFORM, N_FACES + 1)


def test_every_step_and_rank_has_its_own_seed() -> None:
    """Everything random in a step differs between seeds, steps and ranks, and is reproducible."""
    keys = [(seed, step, rank) for seed in (0, 1, 2) for step in (0, 1, 2) for rank in (0, 1, 2)]
    states = [tuple(step_seed(seed, step=step, rank=rank).generate_state(4)) for seed, step, rank in keys * 2]
    assert states[: len(keys)] == states[len(keys) :]
    assert len(set(states)) == len(keys)


TABLE = uniform_draws(np.arange(300), 16, seed=5, epoch=2)


@given(st.lists(st.integers(0, 299), min_size=1, max_size=40))
def test_draws_depend_only_on_the_position(positions: list[int]) -> None:
    """Whatever positions are requested together, in whatever order, each has its own numbers."""
    np.testing.assert_array_equal(
        uniform_draws(np.array(positions), 16, seed=5, epoch=2), TABLE[np.array(positions)]
    )


@pytest.mark.parametrize("n_draws", [4, 8, 16])
def test_positions_share_no_number(n_draws: int) -> None:
    """Two positions have different numbers, however many each has."""
    one_by_one = [uniform_draws(np.array([place]), n_draws, seed=0, epoch=0)[0] for place in range(200)]
    assert len(np.unique(one_by_one)) == 200 * n_draws
    np.testing.assert_array_equal(one_by_one, uniform_draws(np.arange(200), n_draws, seed=0, epoch=0))


def test_far_positions() -> None:
    """The ten-millionth face of an epoch has numbers too, without drawing those before it."""
    far = np.array([10_000_003, 10_000_000])
    draws = uniform_draws(far, 16, seed=0, epoch=0)
    assert len(np.unique(draws)) == 32
    np.testing.assert_array_equal(draws[1], uniform_draws(far[1:], 16, seed=0, epoch=0)[0])


def test_draws_are_uniform_and_independent() -> None:
    """Every column is uniform in [0, 1), and independent of the others, and of its neighbor, epoch and seed."""
    n_places = 20_000
    draws = uniform_draws(np.arange(n_places), 16, seed=1, epoch=3)
    assert draws.min() >= 0
    assert draws.max() < 1
    for column in draws.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-4
    others = [
        np.roll(draws, 1, axis=0),
        uniform_draws(np.arange(n_places), 16, seed=1, epoch=4),
        uniform_draws(np.arange(n_places), 16, seed=2, epoch=3),
        uniform_draws(np.arange(n_places), 16, seed=3, epoch=1),
    ]
    table = np.corrcoef(np.hstack([draws, *others]).T)[:16]
    np.fill_diagonal(table, 0)
    assert np.abs(table).max() < 5 / np.sqrt(n_places)
