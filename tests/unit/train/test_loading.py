"""Feeding: batches from a pack."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import torch

from mien.faces.crop import resize_crop
from mien.pack import Pack
from mien.recipe import AugmentConfig, DataConfig
from mien.train.faces import LabelledFaces, read_training_faces
from mien.train.loading import FaceBatches, build_loader, plain_batches
from mien.train.sampler import Draw, EpochBatches


@pytest.fixture(scope="module")
def faces(training_pack: Path) -> LabelledFaces:
    """The training faces of the pack."""
    return read_training_faces([Pack.open(training_pack)], DataConfig(dev_fraction=0.25)).train


def read_epoch(
    faces: LabelledFaces, *, workers: int = 0, epoch: int = 0, rank: int = 0, world_size: int = 1
) -> Any:
    batches = EpochBatches(len(faces), 16, 0, epoch, rank=rank, world_size=world_size)
    return list(build_loader(FaceBatches(faces, 32, AugmentConfig(), seed=0), batches, workers=workers))


def test_without_augmentation_the_faces_are_the_packs(faces: LabelledFaces) -> None:
    """For measuring, the pictures are the stored ones at the input's size, with their own labels."""
    batch = FaceBatches(faces, 32).__getitems__([Draw(0, i, i) for i in (5, 2)])
    for place, face in enumerate((5, 2)):
        expected = resize_crop(faces.split.image(int(faces.indices[face])), 32)
        np.testing.assert_array_equal(batch.images_rgb[place].numpy(), expected)
    for ours, theirs in (
        (batch.targets, faces.targets),
        (batch.landmarks, faces.landmarks),
        (batch.valence_arousal, faces.valence_arousal),
    ):
        np.testing.assert_array_equal(ours.numpy(), theirs[[5, 2]])


def test_types(faces: LabelledFaces) -> None:
    """Pictures stay bytes until they are on the device."""
    batch = read_epoch(faces)[0]
    assert batch.images_rgb.dtype == torch.uint8
    assert batch.images_rgb.shape == (16, 32, 32, 3)
    assert {value.dtype for value in batch[1:]} == {torch.float32}


def test_the_labels_of_the_pack_are_never_changed(faces: LabelledFaces) -> None:
    """Augmented landmarks are copies."""
    before = faces.landmarks.copy()
    read_epoch(faces)
    np.testing.assert_array_equal(faces.landmarks, before)


def test_an_epoch_is_the_same_however_it_is_read(faces: LabelledFaces) -> None:
    """A second reading, and a worker process, give every byte of the first."""
    first = read_epoch(faces)
    for again in (read_epoch(faces), read_epoch(faces, workers=1)):
        for ours, theirs in zip(first, again, strict=True):
            for one, other in zip(ours, theirs, strict=True):
                torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


def test_epochs_are_augmented_differently(faces: LabelledFaces) -> None:
    """A face looks otherwise the next time."""
    dataset = FaceBatches(faces, 32, AugmentConfig(), seed=0)
    one, other = (dataset.__getitems__([Draw(epoch, 0, 3)]).images_rgb for epoch in (0, 1))
    assert not torch.equal(one, other)


def test_two_ranks_read_what_one_reads(faces: LabelledFaces) -> None:
    """Shared between two processes, a batch holds the same augmented faces."""
    alone = read_epoch(faces)[0].images_rgb
    shares = [read_epoch(faces, rank=rank, world_size=2)[0].images_rgb for rank in (0, 1)]
    assert torch.equal(torch.stack(shares, dim=1).flatten(0, 1), alone)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_measuring_deals_every_face_once(world_size: int) -> None:
    """Over all ranks each dev face is measured once, none is padded."""
    ranks = [plain_batches(50, 8, rank=rank, world_size=world_size) for rank in range(world_size)]
    dealt = [draw.face for batches in ranks for batch in batches for draw in batch]
    assert sorted(dealt) == list(range(50))
    assert max(len(batch) for batches in ranks for batch in batches) == 8
