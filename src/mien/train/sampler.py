"""The faces of each step: a pure function of the seed, the epoch and the rank.

Nothing here has state, so a resumed run and an uninterrupted one see the same batches, and every process of
a distributed run computes the same order and takes its own part of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from mien.errors import DatasetError
from mien.formats.pack.schema import NO_LABEL
from mien.recipe import Recipe
from mien.train.imbalance import class_quotas


class Draw(NamedTuple):
    """A face in a step.

    Attributes:
        epoch: from 0.
        position: index in the epoch's order, over all ranks; decides the face's augmentation.
        face: index of the face.
    """

    epoch: int
    position: int
    face: int


def random_generator(*keys: int) -> np.random.Generator:
    """Return a generator that depends only on its keys."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(keys)))


def step_seed(seed: int, *, step: int, rank: int) -> np.random.SeedSequence:
    """Return the seed of everything random in a step.

    Args:
        seed: the run's seed.
        step: from 0, over all epochs.
        rank: rank of the process.
    """
    return np.random.SeedSequence((seed, step, rank))


def uniform_draws(
    positions: NDArray[np.int64], n_draws: int, *, seed: int, epoch: int
) -> NDArray[np.float64]:
    """Return ``(B, n_draws)`` numbers in [0, 1) that depend only on the seed, the epoch and each position.

    Philox is advanced to the first position, so that a batch needs one generator, not one per face.

    Args:
        positions: ``(B,)`` indices in the epoch's order.
        n_draws: numbers per position, a multiple of the four that one count of Philox gives.
        seed: the run's seed.
        epoch: from 0.
    """
    first = int(positions.min())
    bits = np.random.Philox(np.random.SeedSequence((seed, epoch, 1)))
    bits.advance(first * (n_draws // 4))
    table = np.random.Generator(bits).random((int(positions.max()) - first + 1, n_draws))
    return table[positions - first]


@dataclass(frozen=True, eq=False)
class FaceOrder:
    """The order of the faces in each epoch, the same on every rank.

    Each class gets its quota, which is filled with shuffled passes over the class, so that its faces are drawn equally
    often, give or take one, and repeated only after all the others. Drawing faces one by one with replacement would
    leave out a third of them.

    Attributes:
        labels: ``(N,)`` classes of the faces.
        quotas: ``(C,)`` mean draws of each class in an epoch; None for every face once.
        seed: seed of the order.
    """

    labels: NDArray[np.int64]
    quotas: NDArray[np.float64] | None = None
    seed: int = 0

    def __len__(self) -> int:
        """Return the number of faces in an epoch."""
        return len(self.labels) if self.quotas is None else int(self.quotas.sum() + 1e-6)

    def faces(self, epoch: int) -> NDArray[np.int64]:
        """Return the indices of an epoch's faces."""
        random = random_generator(self.seed, epoch, 0)
        if self.quotas is None:
            return random.permutation(len(self.labels))
        # Quotas are rounded up or down at random, each right on average, to a fixed sum (systematic sampling).
        edges = np.concatenate([[0], np.cumsum(self.quotas)]) * (len(self) / self.quotas.sum())
        edges[-1] = len(self)
        n_draws = [int(n) for n in np.diff(np.floor(edges + random.random() * (1 - 1e-9)))]
        classes = random.permutation(np.repeat(np.arange(len(n_draws)), n_draws))
        faces = np.empty(len(classes), dtype=np.int64)
        for label, n in enumerate(n_draws):
            members = np.flatnonzero(self.labels == label)
            passes = [random.permutation(members) for _ in range(-(-n // max(1, len(members))))]
            faces[classes == label] = np.concatenate([members[:0], *passes])[:n]
        return faces


def build_order(labels: NDArray[np.int64], n_classes: int, recipe: Recipe) -> FaceOrder:
    """Return the order in which a recipe draws its training faces; those without a label are drawn once an epoch.

    Args:
        labels: ``(N,)`` classes of the faces, `NO_LABEL` for none.
        n_classes: number of the network's classes.
        recipe: the recipe.
    """
    data, seed = recipe.data, recipe.runtime.seed
    if data.sampling == "uniform":
        return FaceOrder(labels, None, seed)
    is_labeled = labels != NO_LABEL
    counts = np.bincount(labels[is_labeled], minlength=n_classes)
    quotas = class_quotas(counts, data.sampling, n_draws=int(counts.sum()), cap=data.sampling_max_repeats)
    if not is_labeled.all():
        quotas = np.append(quotas, np.count_nonzero(~is_labeled))
    return FaceOrder(np.where(is_labeled, labels, n_classes), quotas, seed)


def require_steps(order: FaceOrder, batch_size: int) -> int:
    """Return the number of steps in an epoch, at least one.

    Raises:
        DatasetError: there are too few faces for a single step.
    """
    n_steps = len(EpochBatches(order, batch_size, epoch=0))
    if n_steps < 1:
        raise DatasetError(
            f"`schedule.batch_size` is {batch_size}, but an epoch has only {len(order)} training faces. "
            "Use a smaller one"
        )
    return n_steps


@dataclass(frozen=True, eq=False)
class EpochBatches(Sampler[list[Draw]]):
    """The batches of one epoch on one rank.

    An epoch's last incomplete batch is dropped, so that every rank has the same number.

    Attributes:
        order: order of the faces.
        batch_size: faces per step, over all ranks together.
        epoch: from 0.
        rank: rank of this process.
        world_size: number of processes.
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
