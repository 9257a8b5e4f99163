"""Predictions per second of the page in Chromium, with a video of one face as its camera, and the browser's CPU time for each.

    python benchmarks/page.py [--photo PHOTO.jpg] [--seconds 20] [--rounds 1] [--baseline ADDRESS]

With ADDRESS, that of an earlier version's `mien serve`, both pages take turns, and the ratios are printed too: on a busy machine only
they mean something. The video is 640x480 at 60 frames per second and shows one face, the photo's (default: a drawn one), moving a
little. `mien serve` serves the page; everything runs in the browser, with WebAssembly on the CPU. Needs Linux, Node,
`npm ci --prefix page` and Chromium (CHROMIUM names it).
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).parents[1]
SIZE_WH, FRAMES = (640, 480), 120


def write_video(photo: Path, path: Path) -> None:
    """Write uncompressed frames in which a photo moves from side to side, in the format that Chromium accepts as a camera."""
    face = cv2.resize(cv2.imread(str(photo)), (320, 320))
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{SIZE_WH[0]} H{SIZE_WH[1]} F60:1 Ip A1:1 C420jpeg\n".encode())
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
    parser.add_argument("--photo", type=Path, default=ROOT / "tests" / "golden" / "image.png")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--baseline")
    args = parser.parse_args()
    words = [sys.executable, "-m", "mien", "serve", "--port", "0"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as server,
    ):
        try:
            video = Path(folder) / "video.y4m"
            write_video(args.photo, video)
            lines = iter(server.stderr or ())
            address = next(found[0] for line in lines if (found := re.search(r"http://\S+/", line)))
            addresses = [*([args.baseline] if args.baseline else []), address]
            command = [
                "node",
                str(ROOT / "page" / "speed.mjs"),
                str(video),
                str(args.seconds),
                str(args.rounds),
            ]
            done = subprocess.run(
                [*command, *addresses], capture_output=True, text=True, check=True, cwd=ROOT / "page"
            )
        finally:
            server.terminate()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {args.rounds} x {args.seconds} s")
    measured = [json.loads(line) for line in done.stdout.splitlines()]
    medians = {}
    for url in addresses:
        runs = [run for run in measured if run["url"] == url]
        values = {name: statistics.median(run[name] for run in runs) for name in runs[0] if name != "url"}
        medians[url] = values
        rates = [run["rate"] for run in runs]
        print(
            f"{'baseline' if url == args.baseline else 'this version'}: {values['rate']:.1f} predictions per second "
            f"({min(rates):.1f} to {max(rates):.1f}), {values['cpu_ms']:.0f} ms of CPU each; median ms: "
            + ", ".join(f"{step} {values[step]:.1f}" for step in ("pixels", "faces", "model", "all"))
        )
    if args.baseline:
        before, now = medians[args.baseline], medians[address]
        print(
            f"{now['rate'] / before['rate']:.2f} times the predictions, {now['cpu_ms'] / before['cpu_ms']:.2f} times the CPU time"
        )


if __name__ == "__main__":
    main()
