"""A training step of EfficientNet-B0 fed from a pack, relative to the same step on a batch that stays in memory.

    python benchmarks/training_step.py [--raw AFFECTNET_LAYOUT] [--steps 12] [--rounds 5]

Prints the ratio of the two median times of alternating rounds: 1.00 means that data loading costs nothing. A round that is disturbed by
other programs counts like any other.
"""

import argparse
import contextlib
import io
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `mien train` does

import numpy as np

from mien.formats.pack import Pack
from mien.nets.network import build_face_network
from mien.prepare.options import PrepareOptions
from mien.prepare.stage import prepare
from mien.recipe import AugmentConfig, DataConfig, LossConfig, ModelConfig, ScheduleConfig
from mien.train.dataloader import Batch, FaceBatches, build_loader
from mien.train.dataset import TrainingFaces, read_training_faces
from mien.train.objective import Objective
from mien.train.optimization import build_optimizer
from mien.train.sampler import EpochBatches, FaceOrder
from photos import make_photos


def fed_batches(faces: TrainingFaces, size: int, batch_size: int) -> Iterator[Batch]:
    """Yield augmented batches forever, prefetched by one loader process."""
    for epoch in itertools.count():
        batches = EpochBatches(FaceOrder(faces.train.labels), batch_size, epoch)
        yield from build_loader(FaceBatches(faces.train, size, AugmentConfig()), batches, workers=1)


class Trainer:
    """The training step of `mien train`, without its bookkeeping."""

    def __init__(self, n_classes: int, size: int) -> None:
        model = ModelConfig(backbone="efficientnet_b0")
        self.network = build_face_network(model, n_classes, input_size=size, pretrained=False).train()
        self.objective = Objective(LossConfig(), np.ones(n_classes, dtype=np.int64))
        self.optimizer = build_optimizer(self.network, ScheduleConfig())

    def seconds(self, batches: Iterator[Batch], n_steps: int) -> float:
        """Return the time of some steps."""
        start = time.perf_counter()
        for batch in itertools.islice(batches, n_steps):
            loss = self.objective(self.network(batch.images_rgb), batch).total
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        return time.perf_counter() - start


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--raw", type=Path, help="a set in AffectNet's layout (default: drawn faces)")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photos = make_photos(Path(folder), args.raw, 400)
        with contextlib.redirect_stderr(io.StringIO()):
            prepare("affectnet", photos, Path(folder) / "pack", PrepareOptions())
        faces = read_training_faces([Pack.open(Path(folder) / "pack")], DataConfig())
        trainer = Trainer(len(faces.classes), args.size)
        fed = fed_batches(faces, args.size, args.batch)
        fixed = itertools.repeat(next(fed))
        trainer.seconds(fixed, 2)
        rounds = [
            (trainer.seconds(fed, args.steps), trainer.seconds(fixed, args.steps)) for _ in range(args.rounds)
        ]
        fed.close()
    fed_seconds, memory_seconds = (statistics.median(times) for times in zip(*rounds, strict=True))
    ratios = sorted(ours / memory for ours, memory in rounds)
    quarter = len(ratios) // 4
    print(f"efficientnet_b0, {args.size} px, batch {args.batch}, {args.rounds} rounds of {args.steps} steps")
    print(f"fed from a pack: {args.batch * args.steps / fed_seconds:.1f} faces per second")
    print(
        f"time fed / time from memory: {fed_seconds / memory_seconds:.3f} (medians; the middle half of the rounds: "
        f"{ratios[quarter]:.3f} to {ratios[-1 - quarter]:.3f})"
    )


if __name__ == "__main__":
    main()
