"""Which faces make up which step: a pure function of the seed, the epoch and the rank.

Nothing here has state, so a resumed run and an uninterrupted one see the same batches, and every process of
a distributed run computes the same order and takes its own share of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from mien.errors import DatasetError
from mien.recipe import Recipe
from mien.train.imbalance import class_quotas


class Draw(NamedTuple):
    """One face of one step.

    Attributes:
        epoch: from 0.
        position: in the epoch's order, over all ranks; decides the face's random changes.
        face: its index.
    """

    epoch: int
    position: int
    face: int


def random_generator(*keys: int) -> np.random.Generator:
    """Return a generator that depends on its keys alone."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(keys)))


def step_keys(seed: int, *, step: int, rank: int) -> np.random.SeedSequence:
    """Return what everything random in a step depends on.

    Args:
        seed: of the run.
        step: from 0, over all epochs.
        rank: of the process.
    """
    return np.random.SeedSequence((seed, step, rank))


def uniform_draws(
    positions: NDArray[np.int64], n_draws: int, *, seed: int, epoch: int
) -> NDArray[np.float64]:
    """Return ``(B, n_draws)`` numbers in [0, 1) that depend on the seed, the epoch and each position alone.

    Philox is counted forward to the first position, so that a batch needs one generator, not one a face.

    Args:
        positions: ``(B,)`` places in the epoch's order.
        n_draws: numbers of a place, a multiple of the four that one count of Philox gives.
        seed: of the run.
        epoch: from 0.
    """
    first = int(positions.min())
    bits = np.random.Philox(np.random.SeedSequence((seed, epoch, 1)))
    bits.advance(first * (n_draws // 4))
    table = np.random.Generator(bits).random((int(positions.max()) - first + 1, n_draws))
    return table[positions - first]


@dataclass(frozen=True, eq=False)
class FaceOrder:
    """Which faces an epoch shows, in which order: the same on every rank.

    Classes get their quotas first, then each class is gone through in shuffled passes, so that its faces come
    equally often, give or take one, and again only after all the others. Drawing faces one by one with replacement
    would leave out a third of them.

    Attributes:
        labels: ``(N,)`` classes of the faces.
        quotas: ``(C,)`` draws of each class in an epoch, on average; None for every face once.
        seed: of the order.
    """

    labels: NDArray[np.int64]
    quotas: NDArray[np.float64] | None = None
    seed: int = 0

    def __len__(self) -> int:
        """Return how many faces an epoch draws."""
        return len(self.labels) if self.quotas is None else int(self.quotas.sum() + 1e-6)

    def faces(self, epoch: int) -> NDArray[np.int64]:
        """Return the faces of an epoch, by number."""
        random = random_generator(self.seed, epoch, 0)
        if self.quotas is None:
            return random.permutation(len(self.labels))
        n_draws = _round_to_sum(self.quotas, len(self), random)
        classes = random.permutation(np.repeat(np.arange(len(n_draws)), n_draws))
        faces = np.empty(len(classes), dtype=np.int64)
        for label, n_faces in enumerate(n_draws):
            faces[classes == label] = _draw(np.flatnonzero(self.labels == label), n_faces, random)
        return faces


def build_order(labels: NDArray[np.int64], n_classes: int, recipe: Recipe) -> FaceOrder:
    """Return the order in which a recipe draws its training faces.

    Args:
        labels: ``(N,)`` classes of the faces.
        n_classes: of the network.
        recipe: the recipe.
    """
    data, seed = recipe.data, recipe.runtime.seed
    if data.sampling == "uniform":
        return FaceOrder(labels, None, seed)
    counts = np.bincount(labels, minlength=n_classes)
    quotas = class_quotas(counts, data.sampling, n_draws=int(counts.sum()), cap=data.sampling_max_repeats)
    return FaceOrder(labels, quotas, seed)


def require_steps(order: FaceOrder, batch_size: int) -> int:
    """Return how many steps an epoch has, at least one.

    Raises:
        DatasetError: there are too few faces for a single one.
    """
    n_steps = len(EpochBatches(order, batch_size, epoch=0))
    if n_steps < 1:
        raise DatasetError(
            f"`schedule.batch_size` is {batch_size}, but an epoch has only {len(order)} faces to learn from. "
            "Give a smaller one"
        )
    return n_steps


def _round_to_sum(quotas: NDArray[np.float64], total: int, random: np.random.Generator) -> list[int]:
    """Round quotas up or down at random, each right on average, so that they sum to a total (systematic sampling)."""
    edges = np.concatenate([[0], np.cumsum(quotas)]) * (total / quotas.sum())
    edges[-1] = total
    return [int(n) for n in np.diff(np.floor(edges + random.random() * (1 - 1e-9)))]


def _draw(members: NDArray[np.int64], n_draws: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Return whole shuffled passes over a class and a part of one more."""
    n_passes = -(-n_draws // max(1, len(members)))
    passes = [random.permutation(members) for _ in range(n_passes)]
    return np.concatenate([members[:0], *passes])[:n_draws]


@dataclass(frozen=True, eq=False)
class EpochBatches(Sampler[list[Draw]]):
    """The batches of one epoch on one rank.

    An epoch's last incomplete batch is dropped, so that every rank has equally many.

    Attributes:
        order: of the faces.
        batch_size: faces of a step, over all ranks together.
        epoch: from 0.
        rank: of this process.
        world_size: processes.
    """

    order: FaceOrder
    batch_size: int
    epoch: int
    rank: int = 0
    world_size: int = 1

    def __len__(self) -> int:
        return len(self.order) // self.batch_size

    def __iter__(self) -> Iterator[list[Draw]]:
        faces = self.order.faces(self.epoch)
        for step in range(len(self)):
            positions = range(
                step * self.batch_size + self.rank, (step + 1) * self.batch_size, self.world_size
            )
            yield [Draw(self.epoch, position, int(faces[position])) for position in positions]
