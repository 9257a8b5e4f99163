"""Data loading: whole batches of uint8 faces with their targets, made in the loader's processes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mien.faces.crop import IDENTITY, compose, crop_image, resize_crop
from mien.recipe import AugmentConfig
from mien.tasks import TASKS
from mien.train.augment import N_DRAWS, augment_pixels, sample_augmentations, transform_landmarks
from mien.train.dataset import LabeledFaces
from mien.train.degrade import N_DEGRADATION_DRAWS, degrade_pixels, degrades, sample_degradations
from mien.train.sampler import Draw, EpochBatches, uniform_draws


class Batch(NamedTuple):
    """Faces and their targets.

    Attributes:
        images_rgb: ``(B, S, S, 3)`` uint8.
        targets: ``(B, *shape)`` float32 by task, with the task's mark where missing; for the expression the
            probability of each class, for geometric tasks fractions of the input.
    """

    images_rgb: Tensor
    targets: dict[str, Tensor]


@dataclass(frozen=True)
class FaceBatches(Dataset[Batch]):
    """A dataset whose items are batches, each made from a list of draws.

    Attributes:
        faces: the faces to draw from.
        input_size: side of the network's input.
        augment: augmentation, or None for the faces as they are.
        seed: seed of the augmentation, which depends only on the seed and the draw.
    """

    faces: LabeledFaces
    input_size: int
    augment: AugmentConfig | None = None
    seed: int = 0

    def __getitems__(self, draws: Sequence[Draw]) -> Batch:
        """Return the faces of the draws, all of one epoch, as one batch."""
        indices = np.array([draw.face for draw in draws])
        # numpy asks for huge pages, which torch does not; small ones cost as much as the decoding.
        images = np.empty((len(draws), self.input_size, self.input_size, 3), dtype=np.uint8)
        targets = {task: values[indices] for task, values in self.faces.targets.items()}
        if self.augment is None:
            for index, face in enumerate(indices):
                images[index] = resize_crop(self.faces.image(int(face)), self.input_size)
        else:
            positions = np.array([draw.position for draw in draws])
            numbers = uniform_draws(positions, N_DRAWS, seed=self.seed, epoch=draws[0].epoch)
            augmentations = sample_augmentations(self.augment, numbers)
            by_box = augmentations.by_box[:, None, None]
            shown = np.where(by_box, self.faces.box_matrices(indices), IDENTITY)
            augmentations = augmentations._replace(matrices=compose(augmentations.matrices, shown))
            for task, values in targets.items():
                if TASKS[task].is_geometric:
                    targets[task] = transform_landmarks(values, augmentations)
            to_input = compose(augmentations.matrices, self.faces.crop_matrices(indices))
            degradations = None
            if degrades(self.augment):
                numbers = uniform_draws(
                    positions, N_DEGRADATION_DRAWS, seed=self.seed, epoch=draws[0].epoch, stream="degradation"
                )
                degradations = sample_degradations(self.augment, numbers)
            for index, face in enumerate(indices):
                stored = self.faces.stored_image(int(face))
                matrix = to_input[index] / (stored.shape[0], stored.shape[0], 1.0)
                crop_image(stored, matrix, self.input_size, out=images[index])
                augment_pixels(images[index], augmentations, index)
                if degradations is not None:
                    degrade_pixels(images[index], degradations, index)
        return Batch(
            torch.from_numpy(images), {task: torch.from_numpy(values) for task, values in targets.items()}
        )


def use_one_thread(_: int) -> None:
    """Keep OpenCV and torch to one thread in a loader's process."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def identity(batch: Any) -> Any:
    """Return a batch, which needs no collating."""
    return batch


def build_loader(
    dataset: FaceBatches,
    batches: "EpochBatches | list[list[Draw]]",
    *,
    workers: int,
    pin_memory: bool = False,
) -> DataLoader[Batch]:
    """Return a loader of whole batches."""
    if workers:
        # A worker forked while OpenCV's threads run here would hang when it sets their number.
        cv2.setNumThreads(1)
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=identity,
        worker_init_fn=use_one_thread,
        pin_memory=pin_memory,
        prefetch_factor=4 if workers else None,
    )


def plain_batches(n_faces: int, batch_size: int, *, rank: int = 0, world_size: int = 1) -> list[list[Draw]]:
    """Return every face once over all ranks together, in order, for evaluation; nothing is padded."""
    mine = [Draw(0, index, index) for index in range(rank, n_faces, world_size)]
    return [mine[start : start + batch_size] for start in range(0, len(mine), batch_size)]
