"""Startup time of commands, relative to starting Python itself.

python benchmarks/startup.py --model MODEL.onnx --photo PHOTO.jpg [--rounds 9]
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path


def median_seconds(command: list[str], rounds: int) -> float:
    """Return the median wall time of a successful command."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path)
    parser.add_argument("--photo", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    mien = str(Path(sys.executable).with_name("mien"))
    commands = {"python -c pass": [sys.executable, "-c", "pass"], "mien --help": [mien, "--help"]}
    if args.model and args.photo:
        commands["mien predict PHOTO"] = [mien, "predict", str(args.photo), "--model", str(args.model)]
    base = None
    for name, command in commands.items():
        seconds = median_seconds(command, args.rounds)
        base = base or seconds
        print(f"{name}: {seconds:.3f} s (median of {args.rounds}), {seconds / base:.1f} times Python itself")


if __name__ == "__main__":
    main()
