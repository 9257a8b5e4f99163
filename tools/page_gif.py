"""Record the page with a camera, in which a drawn person changes expression, as the GIF of the READMEs.

    python tools/page_gif.py [OUT.gif]

The person is drawn as by `mien sample`, so that the recording shows nobody. Everything runs in the browser. Needs Node,
`npm ci --prefix page` and Chromium (CHROMIUM names it).
"""

import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.sample.expressions import blend, sample_expression
from mien.sample.geometry import build_face, sample_view
from mien.sample.identity import sample_identity
from mien.sample.image import paint_head
from mien.sample.light import apply_light, sample_light
from mien.sample.scenes import paint_background

ROOT = Path(__file__).parents[1]
SEED = 31
# `mien sample` draws no larger images; the camera is twice as large.
SIZE_WH = (400, 225)
# Seed by class: the recording shows what the page does, so they are chosen for expressions that the bundled model recognizes.
CLASSES = {"Neutral": 0, "Happy": 15, "Surprise": 23, "Sad": 6}
# Frames per second of the camera, and frames for which an expression is held and changes.
RATE, HELD, CHANGING = 10, 31, 5
# The camera is this many times slower than the GIF, so that a busy machine records it as smoothly as an idle one.
SLOWER = 6
# Frames per second of the GIF at most, its width, and the colors of its palette.
SHOWN_RATE, WIDTH, COLORS = 5, 720, 192


def draw_frames() -> Iterator[NDArray[np.uint8]]:
    """Yield ``(H, W, 3)`` RGB frames in which one person shows each class in turn."""
    rng = np.random.default_rng(SEED)
    person, light = sample_identity(rng), sample_light(rng)
    background = paint_background(SIZE_WH, rng)
    movements = [
        sample_expression(name, np.random.default_rng(seed)).movement for name, seed in CLASSES.items()
    ]
    for number, movement in enumerate(movements):
        following = movements[(number + 1) % len(movements)]
        for step in range(HELD + CHANGING):
            part = max(0.0, (step - HELD + 1) / CHANGING)
            face = build_face(person, blend([(1 - part, movement), (part, following)]))
            # The same pose and noise in every frame.
            again = np.random.default_rng(SEED)
            view = sample_view(face, SIZE_WH, again)
            painted = background.copy()
            paint_head(painted, face, view, light_x=light.x)
            yield apply_light(painted, light, view, background=background, rng=again)


def write_camera(path: Path) -> int:
    """Write the frames in the format that Chromium accepts as a camera; return the duration in seconds, rounded up."""
    n_frames = 0
    with path.open("wb") as file:
        file.write(
            f"YUV4MPEG2 W{2 * SIZE_WH[0]} H{2 * SIZE_WH[1]} F{RATE}:{SLOWER} Ip A1:1 C420jpeg\n".encode()
        )
        for frame in draw_frames():
            larger = cv2.resize(frame, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
            file.write(b"FRAME\n" + cv2.cvtColor(larger, cv2.COLOR_RGB2YUV_I420).tobytes())
            n_frames += 1
    return -(-n_frames // RATE)


def main() -> None:
    """Write the GIF."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images" / "page.gif"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        site, camera, shots = folder / "site", folder / "camera.y4m", folder / "shots"
        seconds = write_camera(camera)
        subprocess.run([sys.executable, "-m", "mien", "page", str(site), "--quiet"], check=True)
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=site))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = ["node", str(ROOT / "page" / "record.mjs"), f"http://127.0.0.1:{server.server_port}/"]
        subprocess.run(
            [*command, str(camera), str(shots), str(seconds * SLOWER), str(SHOWN_RATE / SLOWER)], check=True
        )
        server.shutdown()
        images, times_ms = [], []
        for path in sorted(shots.iterdir()):
            times_ms.append(int(path.stem) // SLOWER)
            with Image.open(path) as shot:
                scaled = shot.convert("RGB").resize(
                    (WIDTH, round(WIDTH * shot.height / shot.width)), Image.Resampling.LANCZOS
                )
            images.append(scaled)
        # One palette for all frames, so that what stays the same is not stored again.
        some = images[:: len(images) // 10]
        sheet = Image.fromarray(np.concatenate([np.asarray(image) for image in some]))
        palette = sheet.quantize(COLORS)
        # Each is shown until the next was taken.
        durations = np.diff([*times_ms, max(1000 * seconds, times_ms[-1] + 100)]).tolist()
        first, *others = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
        first.save(out, save_all=True, append_images=others, duration=durations, loop=0, optimize=True)
    print(f"{out}: {len(images)} frames, {out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
