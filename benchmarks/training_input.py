"""Loading training data from a pack, augmentation included, relative to the usual loader, on one core each.

    python benchmarks/training_input.py [--raw AFFECTNET_LAYOUT] [--photos 500] [--rounds 5]

The usual loader reads the original JPEG with OpenCV, resizes it to 224 px and normalizes it. mien decodes the pack's crop, applies a random
transform to it and its landmarks, jitters its colors and erases a part. Both run in this one process, on one thread: images per second
per core.
"""

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from mien.formats.pack import Pack
from mien.prepare.options import PrepareOptions
from mien.prepare.stage import prepare
from mien.recipe import AugmentConfig, DataConfig
from mien.train.dataloader import FaceBatches
from mien.train.dataset import read_training_faces
from mien.train.sampler import EpochBatches, FaceOrder
from photos import make_photos

SIZE = 224
BATCH = 64


def usual_loader(paths: list[Path]) -> float:
    """Return images per second of the usual loader."""
    mean = np.array([0.485, 0.456, 0.406], dtype=np.float32)
    std = np.array([0.229, 0.224, 0.225], dtype=np.float32)
    start = time.perf_counter()
    batch = []
    for path in paths:
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        image = cv2.resize(image, (SIZE, SIZE)).astype(np.float32) / 255
        batch.append(torch.from_numpy(((image - mean) / std).transpose(2, 0, 1)))
        if len(batch) == BATCH:
            torch.stack(batch)
            batch = []
    return len(paths) / (time.perf_counter() - start)


def from_pack(dataset: FaceBatches, epoch: int) -> float:
    """Return faces per second from a pack, with every augmentation enabled."""
    start, n_faces = time.perf_counter(), 0
    for draws in EpochBatches(FaceOrder(dataset.faces.labels), BATCH, epoch):
        n_faces += len(dataset.__getitems__(draws).images_rgb)
    return n_faces / (time.perf_counter() - start)


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--raw", type=Path, help="a set in AffectNet's layout (default: drawn faces)")
    parser.add_argument("--photos", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        photos = make_photos(Path(folder), args.raw, args.photos)
        paths = sorted(photos.glob("Manually_Annotated_Images/*/*"))
        with contextlib.redirect_stderr(io.StringIO()):
            prepare("affectnet", photos, Path(folder) / "pack", PrepareOptions())
        faces = read_training_faces([Pack.open(Path(folder) / "pack")], DataConfig())
        dataset = FaceBatches(faces.train, SIZE, AugmentConfig())
        from_pack(dataset, 0), usual_loader(paths[:BATCH])
        rounds = [(from_pack(dataset, n + 1), usual_loader(paths)) for n in range(args.rounds)]
    ratios = [ours / usual for ours, usual in rounds]
    print(f"{len(paths)} images, {SIZE} px, {args.rounds} rounds, one core each")
    print(f"usual loader: {statistics.median(usual for _, usual in rounds):.0f} per second")
    print(f"from a pack, with augmentation: {statistics.median(ours for ours, _ in rounds):.0f} per second")
    print(f"ratio: {statistics.median(ratios):.1f} (median, {min(ratios):.1f} to {max(ratios):.1f})")


if __name__ == "__main__":
    main()
