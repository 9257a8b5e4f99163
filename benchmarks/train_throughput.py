"""Training by a recipe from a pack, relative to the straightforward script, and to a batch that stays on the device.

    python benchmarks/train_throughput.py [--recipe RECIPE] [--raw AFFECTNET_LAYOUT] [--seconds 20] [--rounds 3]

The straightforward script is that of a tutorial: torchvision's transforms on each original photo in a DataLoader with as many workers (one
on a CPU), the same network, batch and optimizer, in float32 with channels first. mien loads from a pack, with the recipe's augmentation,
mixing, moving average and precision, channels last. The third rate is mien's step on one batch that stays on the device: if data loading is
never the bottleneck, the first reaches at least 0.95 of it.
"""

import argparse
import contextlib
import io
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `mien train` does

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from mien.formats.pack import Pack
from mien.nets.network import build_face_network
from mien.prepare.options import PrepareOptions
from mien.prepare.stage import prepare
from mien.recipe import Recipe, read_recipe
from mien.train.dataloader import Batch, FaceBatches, build_loader
from mien.train.dataset import TrainingFaces, read_training_faces
from mien.train.mixing import mix_faces
from mien.train.objective import Objective
from mien.train.optimization import build_optimizer
from mien.train.sampler import EpochBatches, FaceOrder
from photos import make_photos

Step = Callable[[Any], None]


class OriginalImages(Dataset[tuple[torch.Tensor, int]]):
    """The original files with torchvision's transforms."""

    def __init__(self, paths: list[Path], size: int) -> None:
        self.paths = paths
        self.transform = transforms.Compose(
            [
                transforms.Resize((size, size)),
                transforms.RandomHorizontalFlip(),
                transforms.RandomAffine(15, translate=(0.08, 0.08), scale=(0.85, 1.15)),
                transforms.ColorJitter(0.2, 0.2),
                transforms.ToTensor(),
                transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
                transforms.RandomErasing(0.25),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """Return an augmented photo and its label."""
        return self.transform(Image.open(self.paths[index]).convert("RGB")), index % 8


def endless(make: Callable[[int], DataLoader[Any]]) -> Iterator[Any]:
    """Yield the batches of one epoch after another."""
    for epoch in itertools.count():
        yield from make(epoch)


def straightforward(
    recipe: Recipe, paths: list[Path], device: torch.device, workers: int
) -> tuple[Iterator[Any], Step]:
    """Return the tutorial's batches and step."""
    alone = replace(recipe.model, landmarks=False, condition_on_landmarks=False, valence_arousal=False)
    size, batch_size = recipe.data.input_size, recipe.schedule.batch_size
    parts = build_face_network(alone, 8, input_size=size, pretrained=False)
    network = nn.Sequential(parts.backbone, parts.dropout, parts.expression_head).to(device).train()
    network.to(memory_format=torch.contiguous_format)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)

    def loader(_: int) -> DataLoader[Any]:
        photos = OriginalImages(paths, size)
        return DataLoader(photos, batch_size, shuffle=True, drop_last=True, num_workers=workers)

    def step(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
        images, labels = (value.to(device) for value in batch)
        optimizer.zero_grad()
        functional.cross_entropy(network(images), labels).backward()
        optimizer.step()

    return endless(loader), step


def by_recipe(
    recipe: Recipe, faces: TrainingFaces, device: torch.device, workers: int
) -> tuple[Iterator[Batch], Step]:
    """Return mien's batches and step."""
    schedule, data = recipe.schedule, recipe.data
    network = build_face_network(
        recipe.model, len(faces.classes), input_size=data.input_size, pretrained=False
    )
    network.to(device).train()
    if recipe.runtime.compile:
        network.compile()
    counts = np.bincount(faces.train.labels, minlength=len(faces.classes))
    objective = Objective(schedule.loss, counts, tasks=network.tasks).to(device)
    optimizer = build_optimizer(network, schedule, further=objective.parameters())
    average = None
    if schedule.ema_decay is not None:
        average = AveragedModel(
            network, multi_avg_fn=get_ema_multi_avg_fn(schedule.ema_decay), use_buffers=True
        )
    random = np.random.default_rng(0)
    low = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(recipe.runtime.precision)

    def loader(epoch: int) -> DataLoader[Batch]:
        batches = EpochBatches(FaceOrder(faces.train.labels), schedule.batch_size, epoch)
        dataset = FaceBatches(faces.train, data.input_size, data.augment)
        return build_loader(dataset, batches, workers=workers, pin_memory=device.type == "cuda")

    def gradients(batch: Batch) -> torch.Tensor:
        optimizer.zero_grad()
        with torch.autocast(device.type, dtype=low, enabled=low is not None):
            total = objective(network(batch.images_rgb), batch).total
        total.backward()
        return total

    def step(batch: Batch) -> None:
        batch = to_device(batch, device)
        batch = mix_faces(batch, data.augment, random)
        optimizer.step(lambda: gradients(batch))
        if average is not None:
            average.update_parameters(network)

    return endless(loader), step


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Return a batch on a device."""
    targets = {task: value.to(device, non_blocking=True) for task, value in batch.targets.items()}
    return Batch(batch.images_rgb.to(device, non_blocking=True), targets)


def rate(batches: Iterator[Any], step: Step, *, batch_size: int, seconds: float) -> float:
    """Return photos per second, measured for about this many seconds."""
    step(next(batches))
    _wait()
    start, n_steps = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        step(next(batches))
        n_steps += 1
    _wait()
    return n_steps * batch_size / (time.perf_counter() - start)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", default="ferplus_resnet10_fine_48")
    parser.add_argument("--raw", type=Path, help="a set in AffectNet's layout (default: drawn faces)")
    parser.add_argument("--photos", type=int, default=500)
    parser.add_argument(
        "--pack-size", type=int, help="side of the pack's crops (default: the recipe's input)"
    )
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    args, overrides = parser.parse_known_args()
    recipe = read_recipe(args.recipe, [*overrides, "--data.labels", "hard"])
    size = args.pack_size or recipe.data.input_size
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    workers = recipe.runtime.workers
    if workers is None:
        workers = 8 if device.type == "cuda" else 0
    timing = {"batch_size": recipe.schedule.batch_size, "seconds": args.seconds}
    with tempfile.TemporaryDirectory() as folder:
        photos = make_photos(Path(folder), args.raw, args.photos)
        with contextlib.redirect_stderr(io.StringIO()):
            prepare("affectnet", photos, Path(folder) / "pack", PrepareOptions(size=size))
        faces = read_training_faces([Pack.open(Path(folder) / "pack")], recipe.data)
        originals = sorted(photos.glob("Manually_Annotated_Images/*/*"))
        plain = straightforward(recipe, originals, device, max(1, workers))
        fed, step = by_recipe(recipe, faces, device, workers)
        fixed = itertools.repeat(to_device(next(fed), device))
        rounds = [
            (rate(fed, step, **timing), rate(fixed, step, **timing), rate(*plain, **timing))
            for _ in range(args.rounds)
        ]
    name = (
        torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    )
    print(f"{recipe.model.backbone}, {recipe.data.input_size} px, batch {recipe.schedule.batch_size}, {name}")
    for title, rates in zip(
        ("from a pack", "one batch", "straightforward"), zip(*rounds, strict=True), strict=True
    ):
        print(f"{title}: {statistics.median(rates):.0f} per second (median)")
    for title, column in (("from a pack / one batch", 1), ("from a pack / straightforward", 2)):
        ratios = [values[0] / values[column] for values in rounds]
        print(f"{title}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
