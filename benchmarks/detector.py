"""Time of YuNet in mien, relative to OpenCV's own runner of the same file, and how well their detections agree.

    python benchmarks/detector.py --photo PHOTO.jpg [PHOTO.jpg ...] [--rounds 15]

Both get the same pixels, at several sizes of the photo, and alternate with pauses; OpenCV uses its default threads, mien one. YuNet's
file is located as in `mien` (MIEN_DETECTOR).
"""

import argparse
import logging
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from mien.faces.detector import SCORE_THRESHOLD
from mien.faces.detector_file import find_detector_file
from mien.faces.images import decode_image, to_rgb
from mien.faces.yunet import YuNet

SIZES_WH = ((320, 320), (640, 480), (800, 640), (1280, 960))
REST_SECONDS = 0.1
CALLS_A_TURN = 3


def turn_ms(call: Callable[[], object]) -> list[float]:
    """Return the times of a few calls after a pause, without the first."""
    time.sleep(REST_SECONDS)
    times = []
    for _ in range(CALLS_A_TURN + 1):
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return times[1:]


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photo", type=Path, nargs="+", required=True)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    path = find_detector_file()
    if path is None:
        raise SystemExit("YuNet's file is needed: name it in MIEN_DETECTOR")
    ours, opencv = (
        YuNet(path.read_bytes()),
        cv2.FaceDetectorYN.create(str(path), "", (320, 320), SCORE_THRESHOLD),
    )
    images = [to_rgb(decode_image(photo.read_bytes()))[:, :, ::-1] for photo in args.photo]
    for size_wh in SIZES_WH:
        photos = [np.ascontiguousarray(cv2.resize(image, size_wh)) for image in images]
        opencv.setInputSize(size_wh)
        times: dict[str, list[float]] = {"mien": [], "OpenCV": []}
        for number in range(args.rounds):
            photo = photos[number % len(photos)]
            times["mien"] += turn_ms(lambda: ours.detect(photo, score_threshold=SCORE_THRESHOLD))  # noqa: B023
            times["OpenCV"] += turn_ms(lambda: opencv.detect(photo))  # noqa: B023
        mien, other = (statistics.median(values) for values in times.values())
        apart = max(_apart(ours, opencv, photo) for photo in photos)
        print(
            f"{size_wh[0]}x{size_wh[1]}: mien {mien:.1f} ms, OpenCV {other:.1f} ms, ratio {mien / other:.2f}; "
            f"boxes differ by at most {apart:.4f} px"
        )


def _apart(ours: YuNet, opencv: "cv2.FaceDetectorYN", photo: np.ndarray) -> float:
    """Return the largest difference between the boxes of both, or infinity if they find different faces."""
    expected, found = opencv.detect(photo)[1], ours.detect(photo, score_threshold=SCORE_THRESHOLD)
    expected = np.empty((0, 15)) if expected is None else expected
    if len(expected) != len(found):
        return float("inf")
    return float(np.abs(expected[:, :4] - found[:, :4]).max(initial=0.0))


if __name__ == "__main__":
    main()
