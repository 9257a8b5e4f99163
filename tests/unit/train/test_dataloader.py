"""Data loading: batches from a pack."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")

import torch

from mien.faces.crop import CropContract, resize_crop
from mien.formats.pack import Pack
from mien.recipe import AugmentConfig, DataConfig
from mien.train.dataloader import Batch, FaceBatches, build_loader, plain_batches
from mien.train.dataset import LabeledFaces, network_crop, read_training_faces
from mien.train.imbalance import class_quotas
from mien.train.sampler import Draw, EpochBatches, FaceOrder


@pytest.fixture(scope="module")
def faces(training_pack: Path) -> LabeledFaces:
    """The pack's training faces, with one class a fifth the size of the others."""
    faces = read_training_faces([Pack.open(training_pack)], DataConfig(dev_fraction=0.25)).train
    return faces.part((faces.labels != 1) | (np.arange(len(faces)) % 5 == 0))


def order_of(faces: LabeledFaces, sampling: str) -> FaceOrder:
    counts = np.bincount(faces.labels)
    if sampling == "uniform":
        return FaceOrder(faces.labels)
    return FaceOrder(faces.labels, class_quotas(counts, "inverse", n_draws=len(faces)))


def read_epoch(
    faces: LabeledFaces,
    *,
    sampling: str = "uniform",
    workers: int = 0,
    epoch: int = 0,
    rank: int = 0,
    world_size: int = 1,
) -> list[Batch]:
    batches = EpochBatches(order_of(faces, sampling), 16, epoch, rank=rank, world_size=world_size)
    return list(build_loader(FaceBatches(faces, 32, AugmentConfig(), seed=0), batches, workers=workers))


def assert_same(one: Batch, other: Batch) -> None:
    torch.testing.assert_close(tuple(one), tuple(other), rtol=0, atol=0, equal_nan=True)


def join(batches: list[Batch]) -> Batch:
    """The faces of batches in turn: the first of each, then the second of each, ..."""

    def interleave(values: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack(values, dim=1).flatten(0, 1)

    targets = {task: interleave([one.targets[task] for one in batches]) for task in batches[0].targets}
    return Batch(interleave([one.images_rgb for one in batches]), targets)


def test_without_augmentation_the_faces_are_the_packs(faces: LabeledFaces) -> None:
    """For evaluation, the images are the stored ones at the input's size, with their own labels."""
    batch = FaceBatches(faces, 32).__getitems__([Draw(0, i, i) for i in (5, 2)])
    for place, face in enumerate((5, 2)):
        expected = resize_crop(faces.image(face), 32)
        np.testing.assert_array_equal(batch.images_rgb[place].numpy(), expected)
    for ours, theirs in (
        (batch.targets["expression"], faces.targets["expression"]),
        (batch.targets["landmarks"], faces.targets["landmarks"]),
        (batch.targets["valence_arousal"], faces.targets["valence_arousal"]),
    ):
        np.testing.assert_array_equal(ours.numpy(), theirs[[5, 2]])


@pytest.mark.parametrize("size", [32, 40, 64])
def test_augmentation_that_is_off_changes_nothing(
    faces: LabeledFaces, still: AugmentConfig, size: int
) -> None:
    """With every transform off, training and evaluation see the same bytes, at any input size."""
    draws = [Draw(3, place, face) for place, face in enumerate((5, 2, 60))]
    assert_same(
        FaceBatches(faces, size, still).__getitems__(draws), FaceBatches(faces, size).__getitems__(draws)
    )


def test_types(faces: LabeledFaces) -> None:
    """Images stay uint8 until they are on the device."""
    batch = read_epoch(faces)[0]
    assert batch.images_rgb.dtype == torch.uint8
    assert batch.images_rgb.shape == (16, 32, 32, 3)
    assert {value.dtype for value in batch.targets.values()} == {torch.float32}


def test_the_labels_of_the_pack_are_never_changed(faces: LabeledFaces) -> None:
    """Augmented landmarks are copies, and so is everything in a batch of plain faces."""
    before = {task: values.copy() for task, values in faces.targets.items()}
    read_epoch(faces)
    for value in FaceBatches(faces, 32).__getitems__([Draw(0, 0, 0)]).targets.values():
        value.zero_()
    np.testing.assert_equal(faces.targets, before)


@pytest.mark.parametrize("sampling", ["uniform", "inverse"])
def test_an_epoch_is_the_same_however_it_is_read(faces: LabeledFaces, sampling: str) -> None:
    """A second pass, and a worker process, give the same bytes as the first."""
    first = read_epoch(faces, sampling=sampling)
    for again in (read_epoch(faces, sampling=sampling), read_epoch(faces, sampling=sampling, workers=1)):
        assert len(first) == len(again) == len(faces) // 16
        for ours, theirs in zip(first, again, strict=True):
            assert_same(ours, theirs)


def test_epochs_are_augmented_differently(faces: LabeledFaces) -> None:
    """A face looks different the next time, at another position in an epoch, and with another seed."""
    looks = [
        FaceBatches(faces, 32, AugmentConfig(), seed=seed).__getitems__([Draw(epoch, place, 3)]).images_rgb
        for seed, epoch, place in ((0, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 0))
    ]
    for number, one in enumerate(looks):
        assert not any(torch.equal(one, other) for other in looks[:number])


def test_a_face_looks_alike_in_any_batch(faces: LabeledFaces) -> None:
    """A face's augmentation depends only on its position in the epoch, not on the other faces of its batch."""
    dataset = FaceBatches(faces, 32, AugmentConfig(erase_prob=0.5), seed=0)
    draws = [Draw(2, place, face) for place, face in ((40, 5), (7, 9), (23, 5), (900, 2))]
    together = dataset.__getitems__(draws)
    for place, draw in enumerate(draws):
        alone = dataset.__getitems__([draw])
        one = slice(place, place + 1)
        targets = {task: values[one] for task, values in together.targets.items()}
        assert_same(alone, Batch(together.images_rgb[one], targets))


@pytest.mark.parametrize("sampling", ["uniform", "inverse"])
@pytest.mark.parametrize("world_size", [2, 4])
def test_all_ranks_together_read_one_epoch(faces: LabeledFaces, sampling: str, world_size: int) -> None:
    """Sharded across processes, an epoch's batches hold the same augmented faces and targets."""
    ranks = [
        read_epoch(faces, sampling=sampling, epoch=1, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    for step, alone in enumerate(read_epoch(faces, sampling=sampling, epoch=1)):
        assert_same(join([rank[step] for rank in ranks]), alone)


def test_faces_of_two_packs_in_a_batch(
    faces: LabeledFaces, make_training_pack: Callable[..., Path], tmp_path: Path
) -> None:
    """A batch may hold faces of several packs, each its own image."""
    other = Pack.open(make_training_pack(tmp_path / "other.pack", n_train=60, n_missing=0)).split("train")
    both = replace(
        faces,
        splits=(other, *faces.splits),
        pack_numbers=np.where(np.arange(len(faces)) % 2 == 0, 1, 0),
        rows=np.where(np.arange(len(faces)) % 2 == 0, faces.rows, np.arange(len(faces)) % 60),
    )
    batch = FaceBatches(both, 40).__getitems__([Draw(0, place, place) for place in range(8)])
    for place in range(8):
        expected = faces.image(place) if place % 2 == 0 else other.image(place)
        np.testing.assert_array_equal(batch.images_rgb[place].numpy(), expected)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_evaluation_covers_every_face_once(world_size: int) -> None:
    """Over all ranks each dev face is evaluated once, with no padding."""
    ranks = [plain_batches(50, 8, rank=rank, world_size=world_size) for rank in range(world_size)]
    assigned = [draw.face for batches in ranks for batch in batches for draw in batch]
    assert sorted(assigned) == list(range(50))
    assert max(len(batch) for batches in ranks for batch in batches) == 8


@pytest.mark.parametrize("box_crop_prob", [0.0, 0.5, 1.0])
def test_landmarks_follow_the_crop(training_pack: Path, still: AugmentConfig, box_crop_prob: float) -> None:
    """Faces that are cropped again show the disk where their landmarks are, aligned and by their box."""
    config = DataConfig(dev_fraction=0.25, crop="aligned")
    faces = read_training_faces([Pack.open(training_pack)], config).train
    faces = faces.part(np.isfinite(faces.targets["landmarks"]).all(axis=(1, 2)))
    # A disk has neither eyes nor a mouth, so that some of its crops are far off; the others are enough.
    augment = replace(still, affine_prob=1, rotation_deg=15, shift=0.05, box_crop_prob=box_crop_prob)
    batch = FaceBatches(faces, 64, augment, seed=3).__getitems__([Draw(0, i, i) for i in range(len(faces))])
    n_compared, sizes = 0, []
    for image, points in zip(
        batch.images_rgb.numpy().astype(int), batch.targets["landmarks"].numpy(), strict=True
    ):
        center, radii = points.mean(axis=0), np.hypot(*(points - points.mean(axis=0)).T)
        sizes.append(2 * radii.mean())
        # A disk has neither eyes nor a mouth: aligned, it is off the center, and much larger or smaller.
        for factor, is_disk in ((0.0, True), (0.7, True), (1.3, False)):
            places = center + factor * (points[::4] - center)
            places = places[((places > 0.02) & (places < 0.98)).all(axis=1)]
            columns, rows = (64 * places).astype(int).T
            colorful = np.ptp(image[rows, columns], axis=1) > 60
            assert colorful.mean() > 0.9 if is_disk else colorful.mean() < 0.1
            n_compared += len(places)
    assert n_compared > 1000
    if box_crop_prob == 1:
        np.testing.assert_allclose(sizes, 0.5, atol=0.01)  # the disk's own size


def test_packs_with_other_crops_are_trained_together_if_aligned(
    make_training_pack: Callable[..., Path], tmp_path: Path
) -> None:
    """Their network's crop is the aligned one, at the size of its input."""
    packs = [Pack.open(make_training_pack(tmp_path / "a.pack"))]
    config = DataConfig(input_size=32, crop="aligned")
    assert network_crop(packs, config) == CropContract("aligned", margin=0.0, size=32)
    assert network_crop(packs, DataConfig(input_size=32)) == packs[0].info.crop
