"""Predictions per second of the page in Chromium, with a video of one face as its camera, and the browser's CPU time for each.

    python benchmarks/page.py [--photo PHOTO.jpg] [--seconds 20] [--rounds 1] [--fps 60] [--baseline ADDRESS] [--model MODEL.onnx]

With ADDRESS, that of an earlier version's `mien serve`, both pages take turns, and the ratios are printed too: on a busy machine only
they mean something. The video is 640x480 and shows one face, the photo's (default: a drawn one), moving a little. `mien serve` serves
the page; everything runs in the browser, with WebAssembly on the CPU. On a machine that is too busy for every frame of 60 per second,
`--fps 3` measures the CPU time for each prediction: the camera gives 3 frames per second, of which none is missed, and the page's clock
runs as much slower, so that it does for each frame what it does at 60. Needs Linux, Node, `npm ci --prefix page` and Chromium (CHROMIUM
names it).
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

import cv2
import numpy as np

from serve import serving

ROOT = Path(__file__).parents[1]
SIZE_WH, FRAMES, FPS = (640, 480), 120, 60
N_THREADS_SHOWN = 6


def write_video(photo: Path, path: Path, fps: int) -> None:
    """Write uncompressed frames in which a photo moves from side to side, in the format that Chromium accepts as a camera."""
    face = cv2.resize(cv2.imread(str(photo)), (320, 320))
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{SIZE_WH[0]} H{SIZE_WH[1]} F{fps}:1 Ip A1:1 C420jpeg\n".encode())
        for number in range(FRAMES):
            frame = np.full((SIZE_WH[1], SIZE_WH[0], 3), 96, np.uint8)
            x = 160 + round(40 * np.sin(2 * np.pi * number / FRAMES))
            frame[80:400, x : x + 320] = face
            file.write(b"FRAME\n" + cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420).tobytes())


def main() -> None:
    """Run the pages and print their rates."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photo", type=Path, default=ROOT / "src" / "mien" / "bench" / "image.jpg")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--fps", type=int, default=FPS)
    parser.add_argument("--baseline")
    parser.add_argument("--model")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(args.model) as (port, _):
        video = Path(folder) / "video.y4m"
        write_video(args.photo, video, args.fps)
        address = f"http://127.0.0.1:{port}/"
        addresses = [*([args.baseline] if args.baseline else []), address]
        command = [
            "node",
            str(ROOT / "page" / "speed.mjs"),
            str(video),
            str(args.seconds),
            str(args.rounds),
            str(FPS / args.fps),
        ]
        done = subprocess.run(
            [*command, *addresses], stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT / "page"
        )
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {args.rounds} x {args.seconds} s")
    measured = [json.loads(line) for line in done.stdout.splitlines()]
    medians = {}
    for url in addresses:
        runs = [run for run in measured if run["url"] == url]
        names = [name for name in runs[0] if name not in ("url", "threads")]
        values = {name: statistics.median(run[name] for run in runs) for name in names}
        medians[url] = values
        rates = [run["rate"] for run in runs]
        print(
            f"{'baseline' if url == args.baseline else 'this version'}: {values['rate']:.1f} predictions per second "
            f"({min(rates):.1f} to {max(rates):.1f}), {values['cpu_ms']:.0f} ms of CPU each; median ms: "
            + ", ".join(f"{step} {values[step]:.1f}" for step in ("pixels", "faces", "model", "all"))
        )
        threads = {
            name: statistics.median(run["threads"].get(name, 0) for run in runs)
            for name in runs[0]["threads"]
        }
        most = sorted(threads.items(), key=lambda item: -item[1])[:N_THREADS_SHOWN]
        print("  ms of CPU: " + ", ".join(f"{name} {ms:.1f}" for name, ms in most))
    if args.baseline:
        before, now = medians[args.baseline], medians[address]
        print(
            f"{now['rate'] / before['rate']:.2f} times the predictions, {now['cpu_ms'] / before['cpu_ms']:.2f} times the CPU time"
        )


if __name__ == "__main__":
    main()
