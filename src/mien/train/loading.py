"""Feeding training: whole batches of uint8 faces with their targets, made in the loader's processes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mien.faces.crop import cut, resize_crop
from mien.recipe import AugmentConfig
from mien.train.augment import change_pixels, draw_geometry, move_landmarks
from mien.train.faces import LabelledFaces
from mien.train.sampler import Draw, EpochBatches, random_generator


class Batch(NamedTuple):
    """Faces and their targets; NaN stands where a face has no landmarks or no valence and arousal.

    Attributes:
        images_rgb: ``(B, S, S, 3)`` uint8.
        targets: ``(B, C)`` float32 share of each class.
        landmarks: ``(B, 68, 2)`` float32 fractions of the input.
        valence_arousal: ``(B, 2)`` float32.
    """

    images_rgb: Tensor
    targets: Tensor
    landmarks: Tensor
    valence_arousal: Tensor


@dataclass(frozen=True)
class FaceBatches(Dataset[Batch]):
    """Makes the batch that a list of draws asks for. Without ``augment`` the faces come as they are.

    Attributes:
        faces: to draw from.
        input_size: side of the network's input.
        augment: random changes, or None.
        seed: of the changes; each depends on the seed and the draw alone.
    """

    faces: LabelledFaces
    input_size: int
    augment: AugmentConfig | None = None
    seed: int = 0

    def __getitems__(self, draws: Sequence[Draw]) -> Batch:
        """Return the faces of the draws as one batch."""
        indices = np.array([draw.face for draw in draws])
        images = np.empty((len(draws), self.input_size, self.input_size, 3), dtype=np.uint8)
        landmarks = self.faces.landmarks[indices].copy()
        for place, draw in enumerate(draws):
            images[place] = self._read(draw, landmarks[place : place + 1])
        return Batch(
            torch.from_numpy(images),
            torch.from_numpy(self.faces.targets[indices]),
            torch.from_numpy(landmarks),
            torch.from_numpy(self.faces.valence_arousal[indices]),
        )

    def _read(self, draw: Draw, landmarks: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return a face's pixels, and move its landmarks in place."""
        crop = self.faces.split.image(int(self.faces.indices[draw.face]))
        if self.augment is None:
            return resize_crop(crop, self.input_size)
        random = random_generator(self.seed, draw.epoch, draw.position)
        matrix, mirrored = draw_geometry(self.augment, random)
        landmarks[0] = move_landmarks(landmarks[0], matrix, mirrored=mirrored)
        side = crop.shape[0]
        moved = cut(crop, matrix / np.array([side, side, 1.0]), self.input_size)
        return change_pixels(moved, self.augment, random)


def _one_thread(_: int) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def _as_it_is(batch: Any) -> Any:
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
        # A worker forked while OpenCV's threads run here would hang when it sets its own number of them.
        cv2.setNumThreads(1)
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=_as_it_is,
        worker_init_fn=_one_thread,
        pin_memory=pin_memory,
        prefetch_factor=4 if workers else None,
    )


def plain_batches(n_faces: int, batch_size: int, *, rank: int = 0, world_size: int = 1) -> list[list[Draw]]:
    """Return every face once over all ranks together, in order, for measuring; nothing is padded."""
    mine = [Draw(0, index, index) for index in range(rank, n_faces, world_size)]
    return [mine[start : start + batch_size] for start in range(0, len(mine), batch_size)]
