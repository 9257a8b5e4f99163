"""Predictions per second of the page in Chromium, with a video of one face as its camera, as shown by the page itself.

    python benchmarks/page.py [--photo PHOTO.jpg] [--seconds 20]

The video is 640x480 at 30 frames per second and shows one face, the photo's (default: a drawn one), moving a little. `mien serve` serves
the page; everything runs in the browser, with WebAssembly on the CPU. Needs Node, `npm ci --prefix page` and Chromium (CHROMIUM names it).
"""

import argparse
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
SIZE_WH, FRAMES = (640, 480), 60


def write_video(photo: Path, path: Path) -> None:
    """Write uncompressed frames in which a photo moves from side to side, in the format that Chromium accepts as a camera."""
    face = cv2.resize(cv2.imread(str(photo)), (320, 320))
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{SIZE_WH[0]} H{SIZE_WH[1]} F30:1 Ip A1:1 C420jpeg\n".encode())
        for number in range(FRAMES):
            frame = np.full((SIZE_WH[1], SIZE_WH[0], 3), 96, np.uint8)
            x = 160 + round(40 * np.sin(2 * np.pi * number / FRAMES))
            frame[80:400, x : x + 320] = face
            file.write(b"FRAME\n" + cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420).tobytes())


def main() -> None:
    """Run the page and print its rate."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photo", type=Path, default=ROOT / "tests" / "golden" / "image.png")
    parser.add_argument("--seconds", type=int, default=20)
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
            command = ["node", str(ROOT / "page" / "speed.mjs"), address, str(video), str(args.seconds)]
            done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT / "page")
        finally:
            server.terminate()
    rates = [float(rate) for rate in re.findall(r"([\d.]+) predictions/s", done.stdout)]
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {len(rates)} looks at what the page says")
    print(
        f"{statistics.median(rates):.1f} predictions per second (median; {min(rates):.1f} to {max(rates):.1f})"
    )


if __name__ == "__main__":
    main()
