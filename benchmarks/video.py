"""Video speed: `Model.watch` relative to a plain loop over frames, its memory over a long video, and a photo of 20 faces.

    python benchmarks/video.py [--photo PHOTO.jpg] [--model MODEL] [--frames 300] [--long 10000] [--repeats 3]

The video is 640x480 and shows one face: the photo, which should contain one (default: a drawn face), moving a little. The plain loop is
`cv2.VideoCapture` and `Model.predict` for each frame: two detector passes and one model call. Both alternate, and their medians are
compared. The photo of 20 faces is made of 20 copies of the photo; its time is compared with one model call on 20 crops. YuNet's file is
located as in `mien` (`MIEN_DETECTOR`).

Other programs on the machine slow down both sides, but not equally: the load is printed with the ratios.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import mien
from mien.faces.images import decode_image, to_rgb
from mien.sample.image import draw_image

SIZE_WH = (640, 480)
RATE = 30
# Side of the photo in the video, and of each of the 20 in the group.
FACE_PX, CELL_PX = 300, 160
GROUP = (5, 4)
WARM_FRAMES = 500


def moving(photo_rgb: NDArray[np.uint8], n_frames: int) -> Iterator[NDArray[np.uint8]]:
    """Yield BGR frames in which the photo moves, turns and grows a little."""
    photo = cv2.cvtColor(fitted(photo_rgb, FACE_PX), cv2.COLOR_RGB2BGR)
    noise = np.random.default_rng(0).integers(0, 255, (SIZE_WH[1], SIZE_WH[0], 3), np.uint8)
    background = cv2.GaussianBlur(noise, (0, 0), 9)
    center = (photo.shape[1] / 2, photo.shape[0] / 2)
    for index in range(n_frames):
        motion = cv2.getRotationMatrix2D(center, 6 * np.sin(index / 20), 1 + 0.1 * np.sin(index / 33))
        motion[:, 2] += (170 + 110 * np.sin(index / 25), 90 + 50 * np.cos(index / 31))
        frame = background.copy()
        cv2.warpAffine(photo, motion, SIZE_WH, dst=frame, borderMode=cv2.BORDER_TRANSPARENT)
        yield frame


def fitted(photo_rgb: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return the photo with this longer side."""
    scale = side / max(photo_rgb.shape[:2])
    return np.asarray(cv2.resize(photo_rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def write_video(path: Path, photo_rgb: NDArray[np.uint8], n_frames: int) -> Path:
    """Write the video as MP4."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), RATE, SIZE_WH)
    for frame in moving(photo_rgb, n_frames):
        writer.write(frame)
    writer.release()
    return path


def group_of(photo_rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image of 20 faces."""
    small = fitted(photo_rgb, CELL_PX)
    image = np.full((GROUP[1] * CELL_PX, GROUP[0] * CELL_PX, 3), 120, np.uint8)
    for row in range(GROUP[1]):
        for column in range(GROUP[0]):
            y, x = row * CELL_PX, column * CELL_PX
            image[y : y + small.shape[0], x : x + small.shape[1]] = small
    return image


def plain_loop(model: mien.Model, video: Path) -> int:
    """Process a video without `watch`, and return the number of faces."""
    capture = cv2.VideoCapture(str(video))
    n_faces = 0
    while True:
        is_there, frame = capture.read()
        if not is_there:
            return n_faces
        n_faces += len(model.predict(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)))


def watched(model: mien.Model, video: Path) -> int:
    """Process a video with `watch`, and return the number of faces."""
    return sum(len(reading) for reading in model.watch(video))


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Return the wall time and the CPU time of a call, in seconds."""
    start, used = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - start, time.process_time() - used


def median(times: list[tuple[float, float]]) -> tuple[float, float]:
    """Return the medians of both."""
    return statistics.median(clock for clock, _ in times), statistics.median(used for _, used in times)


def load() -> str:
    """Return how busy the machine is."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def compare_video(model: mien.Model, video: Path, *, n_frames: int, repeats: int) -> None:
    """Print the frames per second of both, and their ratio."""
    ways: dict[str, Callable[[mien.Model, Path], int]] = {"watch": watched, "plain loop": plain_loop}
    faces = {name: run(model, video) for name, run in ways.items()}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, run in ways.items():
            times[name].append(timed(lambda run=run: run(model, video)))
    for name in ways:
        clock, used = median(times[name])
        print(
            f"{name:<12} {n_frames / clock:6.1f} frames/s, {1000 * used / n_frames:5.1f} ms of CPU time per frame, "
            f"a face in {faces[name] / n_frames:.1%} of the frames"
        )
    (clock, used), (plain_clock, plain_used) = median(times["watch"]), median(times["plain loop"])
    print(
        f"watch is {plain_clock / clock:.2f} times as fast, with {plain_used / used:.2f} times less CPU time; {load()}"
    )


def resident_mib() -> float:
    """Return the memory of this process (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure_memory(model: mien.Model, video: Path, n_frames: int) -> None:
    """Print the memory after the first frames and after the last."""
    first = last = 0.0
    for index, _ in enumerate(model.watch(video), start=1):
        if index == min(WARM_FRAMES, n_frames // 2):
            first = resident_mib()
        last = resident_mib() if index == n_frames else last
    print(
        f"memory: {first:.0f} MiB at the beginning, {last:.0f} MiB after {n_frames:,} frames: {last / first:.3f} times"
    )


def compare_group(model: mien.Model, photo_rgb: NDArray[np.uint8], *, repeats: int) -> None:
    """Print the time of a photo of 20 faces, relative to a model call on 20 crops."""
    group = group_of(photo_rgb)
    crops = np.stack([face.crop for face in model.preprocess(group).faces])
    photo_times, model_times = [], []
    for _ in range(5 * repeats):
        photo_times.append(timed(lambda: model.predict(group)))
        model_times.append(timed(lambda: model.onnx_model.run(crops)))
    (photo_clock, photo_used), (model_clock, model_used) = median(photo_times), median(model_times)
    print(
        f"a photo of {group.shape[1]}x{group.shape[0]} with {len(crops)} faces: {1000 * photo_clock:.0f} ms; the model "
        f"on {len(crops)} crops: {1000 * model_clock:.0f} ms: {photo_clock / model_clock:.2f} times, {photo_used / model_used:.2f} times the CPU time; {load()}"
    )


def main() -> None:
    """Run the three measurements."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photo", type=Path, help="photo of one face (default: a drawn one)")
    parser.add_argument("--model", help="model file, or name of a bundled model (default: the bundled one)")
    parser.add_argument(
        "--frames", type=int, default=300, help="frames of the video for the speed measurement"
    )
    parser.add_argument(
        "--long",
        type=int,
        default=10_000,
        help="frames of the video for the memory measurement; 0: leave it out",
    )
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    if args.frames < 1 or args.repeats < 1 or args.long < 0 or args.long == 1:
        parser.error("--frames and --repeats must be 1 or more, --long 2 or more, or 0")
    photo_rgb = (
        draw_image("Happy", seed=3, index=2).pixels
        if args.photo is None
        else to_rgb(decode_image(args.photo.read_bytes()))
    )
    model = mien.load(args.model)
    with tempfile.TemporaryDirectory() as folder:
        short = write_video(Path(folder) / "short.mp4", photo_rgb, args.frames)
        compare_video(model, short, n_frames=args.frames, repeats=args.repeats)
        compare_group(model, photo_rgb, repeats=args.repeats)
        if args.long:
            long = write_video(Path(folder) / "long.mp4", photo_rgb, args.long)
            measure_memory(model, long, args.long)


if __name__ == "__main__":
    main()
