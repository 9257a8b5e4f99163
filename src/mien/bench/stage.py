"""The stage: time detection, cropping and inference with a model file on this machine."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.artifacts import claim_output, disk_errors, one_writer, write_json
from mien.assets.bundled_models import find_model
from mien.bench.options import BenchOptions
from mien.bench.report import BenchReport
from mien.bench.timing import Step, time_steps
from mien.errors import SourceError
from mien.faces.detector import DetectedFace, Detector, YuNetDetector
from mien.faces.image_files import read_image_file
from mien.faces.images import UnreadableImage, decode_image, to_rgb
from mien.formats.onnx_model import OnnxModel
from mien.inference.pipeline import crop_face
from mien.runtime.cpu import usable_cpu_cores

# 640 x 480 pixels with one drawn face. A detector's cost depends on the content: a cascade takes four times as long
# on noise.
DRAWN_IMAGE = Path(__file__).with_name("image.jpg")
BATCH_SIZES = (1, 8, 32)


def bench(
    model: str | Path | None,
    detector: Detector,
    options: BenchOptions | None = None,
    *,
    out: Path | None = None,
    force: bool = False,
) -> BenchReport:
    """Time the steps from a decoded image to a prediction.

    Args:
        model: name of a bundled model, a file that `export` wrote, or None for the default.
        detector: the face detector to time.
        options: what to time; None for the defaults.
        out: JSON file for the report, or None.
        force: replace an existing ``out``.

    Raises:
        ArtifactError: the model cannot be read, or ``out`` exists.
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
    onnx_model = OnnxModel.load(find_model(model), threads=options.threads)
    image_rgb = read_image(options.photo or DRAWN_IMAGE)
    height, width = image_rgb.shape[:2]
    with _opencv_threads(options.threads):
        found = detector.find_faces(image_rgb)
        center = DetectedFace(np.array([width, height, 3 * width, 3 * height]) / 4, None, None)
        crop = partial(crop_face, image_rgb, found[0] if found else center, onnx_model.info)
        crop_rgb = crop().crop
        steps = [Step("detect", 1, partial(detector.find_faces, image_rgb)), Step("crop", 1, crop)]
        for batch_size in BATCH_SIZES:
            batch = np.repeat(crop_rgb[None], batch_size, axis=0)
            steps.append(Step("infer", batch_size, partial(onnx_model.run, batch)))
        timings = time_steps(steps, options.rounds)
    return BenchReport(
        model=onnx_model.path.name,
        n_bytes=onnx_model.path.stat().st_size,
        input_size=onnx_model.info.input_size,
        detector="yunet" if isinstance(detector, YuNetDetector) else "cascade",
        image=None if options.photo is None else options.photo.name,
        image_wh=(width, height),
        n_found=len(found),
        threads=options.threads or usable_cpu_cores(),
        rounds=options.rounds,
        timings=timings,
    )


def read_image(path: Path) -> NDArray[np.uint8]:
    """Return an image file as ``(H, W, 3)`` uint8 RGB, upright.

    Raises:
        SourceError: it cannot be read.
    """
    try:
        return to_rgb(decode_image(read_image_file(path)))
    except UnreadableImage as error:
        reason = error.detail or error.reason
        raise SourceError(
            f"The photo {path} cannot be read: {reason}. Give another one with --photo"
        ) from None


@contextmanager
def _opencv_threads(threads: int | None) -> Iterator[None]:
    """Give OpenCV, which crops, as many threads as the model."""
    before = cv2.getNumThreads()
    if threads is not None:
        cv2.setNumThreads(threads)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
