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


class Draw(NamedTuple):
    """One face of one step.

    Attributes:
        epoch: from 0.
        position: in the epoch's order, over all ranks; seeds the face's augmentation.
        face: its index.
    """

    epoch: int
    position: int
    face: int


def random_generator(*keys: int) -> np.random.Generator:
    """Return a generator that depends on its keys alone."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(keys)))


def epoch_order(n_faces: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order of all faces in one epoch, the same on every rank."""
    return random_generator(seed, epoch, 0).permutation(n_faces)


@dataclass(frozen=True)
class EpochBatches(Sampler[list[Draw]]):
    """The batches of one epoch on one rank.

    An epoch's last incomplete batch is dropped, so that every rank has equally many.

    Attributes:
        n_faces: to draw from.
        batch_size: faces of a step, over all ranks together.
        seed: of the order.
        epoch: from 0.
        rank: of this process.
        world_size: processes.
    """

    n_faces: int
    batch_size: int
    seed: int
    epoch: int
    rank: int = 0
    world_size: int = 1

    def __len__(self) -> int:
        return self.n_faces // self.batch_size

    def __iter__(self) -> Iterator[list[Draw]]:
        order = epoch_order(self.n_faces, seed=self.seed, epoch=self.epoch)
        for step in range(len(self)):
            positions = range(
                step * self.batch_size + self.rank, (step + 1) * self.batch_size, self.world_size
            )
            yield [Draw(self.epoch, position, int(order[position])) for position in positions]
