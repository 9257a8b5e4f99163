"""Rows a second and memory of `mien prepare` over a large set, by engine and number of workers; the ratio is to the pool.

The set is a CSV that repeats 2,000 drawn images of 48x48 pixels, the size of FER2013's, until it has the given number of
rows. So small an image shows what the engine itself costs: a photograph takes many times as long on any of them. All
packs must have the same content hash. Memory is the proportional set size (Linux) of the command and all processes below
it, which include Ray's own, sampled twice a second; and the resident set size of the command alone, at its highest.

    python benchmarks/prepare_scale.py --rows 120000 --folder /tmp/scale --engines pool:1 pool:2 ray:1 ray:2
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

N_DRAWN = 2000


def main() -> None:
    """Make the set, prepare it by each engine, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=12_000)
    parser.add_argument("--folder", type=Path, required=True, help="for the set and one pack at a time")
    parser.add_argument("--engines", nargs="+", default=["pool:1", "pool:2"], metavar="NAME:WORKERS")
    args = parser.parse_args()
    raw = draw_set(args.folder / f"drawn-{args.rows}", args.rows)
    # Each Ray run starts a cluster of its own.
    os.environ["RAY_ADDRESS"] = "local"
    hashes, first_rate = set(), None
    print(f"{args.rows:,} rows, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print("engine   seconds   rows a second   ratio   command, MB   all processes, MB", flush=True)
    for engine in args.engines:
        name, _, workers = engine.partition(":")
        pack = args.folder / "scale.pack"
        shutil.rmtree(pack, ignore_errors=True)
        seconds, own_mb, all_mb = measure(raw, pack, name, workers)
        hashes.add(json.loads((pack / "pack.json").read_text())["content_sha256"])
        rate = args.rows / seconds
        first_rate = first_rate or rate
        print(
            f"{engine:8} {seconds:7.0f} {rate:15.0f} {rate / first_rate:7.2f} {own_mb:13.0f} {all_mb:19.0f}",
            f"  load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
        shutil.rmtree(pack)
    print("content hash equal" if len(hashes) == 1 else f"CONTENT HASHES DIFFER: {hashes}")


def draw_set(folder: Path, n_rows: int) -> Path:
    """Draw images and list them again and again."""
    if not (folder / "faces.csv").exists():
        folder.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(0)
        for number in range(N_DRAWN):
            small = random.integers(0, 256, (6, 6, 3), dtype=np.uint8)
            cv2.imwrite(
                str(folder / f"{number}.jpg"), cv2.resize(small, (48, 48), interpolation=cv2.INTER_CUBIC)
            )
        with (folder / "faces.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("path", "label", "split"))
            for row in range(n_rows):
                number = row % N_DRAWN
                writer.writerow(
                    (
                        f"{number}.jpg",
                        ("happy", "sad", "calm")[number % 3],
                        "val" if number % 10 == 9 else "train",
                    )
                )
    return folder


def measure(raw: Path, pack: Path, engine: str, workers: str) -> tuple[float, float, float]:
    """Return the seconds, the highest resident set size of the command, and that of all its processes, in MB."""
    command = [sys.executable, "-m", "mien", "prepare", "csv", str(raw), "--out", str(pack), "--size", "48"]
    start = time.monotonic()
    own_kb = all_kb = 0
    with subprocess.Popen(
        [*command, "--engine", engine, "--workers", workers],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        while process.poll() is None:
            own_kb = max(own_kb, read_kb(process.pid, "status", "VmHWM"))
            all_kb = max(all_kb, sum(read_kb(pid, "smaps_rollup", "Pss") for pid in tree(process.pid)))
            time.sleep(0.5)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return time.monotonic() - start, own_kb / 1000, all_kb / 1000


def tree(pid: int) -> Iterator[int]:
    """Yield a process and those below it."""
    yield pid
    try:
        children = [
            child
            for thread in Path(f"/proc/{pid}/task").iterdir()
            for child in (thread / "children").read_text().split()
        ]
    except OSError:
        return
    for child in children:
        yield from tree(int(child))


def read_kb(pid: int, file: str, field: str) -> int:
    """Return a field of a process's status in kB; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{field}:")), 0)


if __name__ == "__main__":
    main()
