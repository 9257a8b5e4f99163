"""The stage: time finding, cutting and reading faces with a model file on this machine."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.artifacts import claim_output, disk_errors, one_writer, write_json
from mien.bench.picture import DRAWN_PICTURE, read_picture
from mien.bench.report import BenchReport
from mien.bench.timing import Step, time_in_turns
from mien.bundle import Bundle
from mien.faces.detector import DetectedFace, Detector, YuNetDetector
from mien.reading.recognise import cut_face
from mien.zoo import find_model

BATCH_SIZES = (1, 8, 32)


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What to time.

    Attributes:
        photo: a picture file, or None for the drawn one.
        threads: of each call, or None for one a core.
        rounds: calls of each step.
    """

    photo: Path | None = None
    threads: int | None = None
    rounds: int = 50


def bench(
    model: str | Path | None,
    detector: Detector,
    options: BenchOptions | None = None,
    *,
    out: Path | None = None,
    force: bool = False,
) -> BenchReport:
    """Time the steps between a decoded picture and a reading.

    Args:
        model: the name of a model in the box, a file that `export` wrote, or None for the default.
        detector: finds the faces.
        options: what to time; None for the defaults.
        out: JSON file for the report, or None.
        force: replace an existing ``out``.

    Raises:
        ArtifactError: the model cannot be read, or ``out`` is in the way.
        SourceError: the photo cannot be read.
    """
    options = options or BenchOptions()
    with ExitStack() as stack:
        if out is not None:
            stack.enter_context(one_writer(out))
            claim_output(out, force=force)
        report = _measure(model, detector, options)
        if out is not None:
            with disk_errors(out):
                write_json(out, report.to_dict(), replace=force)
    return report


def _measure(model: str | Path | None, detector: Detector, options: BenchOptions) -> BenchReport:
    bundle = Bundle.load(find_model(model), threads=options.threads)
    image_rgb = read_picture(options.photo or DRAWN_PICTURE)
    with _opencv_threads(options.threads) as threads:
        found = detector.find_faces(image_rgb)
        steps = _plan_steps(bundle, detector, image_rgb, found)
        timings = time_in_turns(steps, options.rounds)
    return BenchReport(
        model=bundle.path.name,
        n_bytes=bundle.path.stat().st_size,
        input_size=bundle.info.input_size,
        detector="yunet" if isinstance(detector, YuNetDetector) else "cascade",
        picture=None if options.photo is None else options.photo.name,
        picture_wh=(image_rgb.shape[1], image_rgb.shape[0]),
        n_found=len(found),
        threads=threads,
        rounds=options.rounds,
        timings=timings,
    )


@contextmanager
def _opencv_threads(threads: int | None) -> Iterator[int]:
    """Let OpenCV use as many threads as the model, and give how many that is."""
    before = cv2.getNumThreads()
    if threads is not None:
        cv2.setNumThreads(threads)
    try:
        yield before if threads is None else threads
    finally:
        cv2.setNumThreads(before)


def _plan_steps(
    bundle: Bundle, detector: Detector, image_rgb: NDArray[np.uint8], found: list[DetectedFace]
) -> list[Step]:
    crop = partial(cut_face, image_rgb, found[0] if found else _middle(image_rgb), bundle.info)
    batches = [(n, np.repeat(crop().crop[None], n, axis=0)) for n in BATCH_SIZES]
    return [
        Step("detect", 1, partial(detector.find_faces, image_rgb)),
        Step("crop", 1, crop),
        *(Step("infer", n, partial(bundle.run, batch)) for n, batch in batches),
    ]


def _middle(image_rgb: NDArray[np.uint8]) -> DetectedFace:
    height, width = image_rgb.shape[:2]
    return DetectedFace(np.array([width, height, 3 * width, 3 * height]) / 4, None, None)
