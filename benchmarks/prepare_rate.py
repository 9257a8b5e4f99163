"""`mien prepare`, relative to only decoding every image with the same decoder and number of processes.

    python benchmarks/prepare_rate.py [--raw AFFECTNET_LAYOUT] [--photos 1000] [--rounds 5]

Prints the ratio of the two rates from alternating rounds. 1.0 would mean that cropping, encoding, hashing and writing cost nothing.
"""

import argparse
import contextlib
import io
import os
import shutil
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2

from mien.faces.images import decode_image
from mien.prepare.options import PrepareOptions
from mien.prepare.stage import prepare
from photos import make_photos


def decode_all(paths: list[Path]) -> int:
    """Read and decode an image; the pixels are returned so that nothing can be skipped."""
    cv2.setNumThreads(1)
    return sum(decode_image(path.read_bytes()).size for path in paths)


def time_decoding(paths: list[Path], workers: int) -> float:
    """Return seconds to decode all images in parallel, in chunks of the same size as those of `prepare`."""
    start = time.perf_counter()
    parts = [paths[index : index + 64] for index in range(0, len(paths), 64)]
    with ProcessPoolExecutor(workers, mp_context=get_context("forkserver")) as pool:
        list(pool.map(decode_all, parts))
    return time.perf_counter() - start


def time_preparing(photos: Path, out: Path, workers: int) -> float:
    """Return seconds to prepare all images."""
    shutil.rmtree(out, ignore_errors=True)
    start = time.perf_counter()
    with contextlib.redirect_stderr(io.StringIO()):
        prepare("affectnet", photos, out, PrepareOptions(workers=workers))
    return time.perf_counter() - start


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--raw", type=Path, help="a set in AffectNet's layout (default: drawn faces)")
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photos = make_photos(Path(folder), args.raw, args.photos)
        paths = sorted(photos.glob("Manually_Annotated_Images/*/*"))
        time_decoding(paths, args.workers)
        ratios, rates = [], []
        for _ in range(args.rounds):
            decoding = time_decoding(paths, args.workers)
            preparing = time_preparing(photos, Path(folder) / "pack", args.workers)
            ratios.append(decoding / preparing)
            rates.append(len(paths) / preparing)
    print(f"{len(paths)} images of {1000} px, {args.workers} processes, {args.rounds} rounds")
    print(f"prepare: {statistics.median(rates):.0f} faces per second (median)")
    print(
        f"rate of prepare / rate of decoding: {statistics.median(ratios):.2f} (median, {min(ratios):.2f} to {max(ratios):.2f})"
    )


if __name__ == "__main__":
    main()
