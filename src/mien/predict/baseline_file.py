"""`--baseline` of `mien predict`: what it requires, and a person's neutral face from files."""

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from mien.errors import ArtifactError, SourceError
from mien.faces.detector import Detector
from mien.faces.images import UnreadableImage
from mien.formats.onnx_model import OnnxModel
from mien.inference.baseline import measure_baseline
from mien.inference.media_sources import find_sources
from mien.inference.pipeline import predict_files
from mien.inference.results import ImagePrediction
from mien.inference.video.capture import open_frames
from mien.inference.video.stream import predict_frames
from mien.predict.options import PredictOptions

_log = logging.getLogger(__name__)


def require_baseline_fits(options: PredictOptions, *, n_images: int) -> None:
    """Check the options that go with a baseline.

    Raises:
        ArtifactError: there is no file for its columns, or they cannot be computed.
    """
    if options.baseline is None:
        return
    if options.out is None or options.layout is not None:
        raise ArtifactError(
            "--baseline adds columns to files of mien's own format: add --out, without --format"
        )
    if options.rule.top is not None:
        raise ArtifactError("--baseline needs the probabilities of all classes: leave out --top")
    if isinstance(options.baseline, float) and n_images:
        raise ArtifactError(
            f"--baseline {options.baseline:g} is a number of seconds, but an image has none: name images or a video of the "
            "person's neutral face"
        )


def read_baseline(
    path: Path, model: OnnxModel, *, detector: Detector | None, options: PredictOptions
) -> dict[str, float]:
    """Return the mean measures of the neutral face in an image, a video, or a folder of these.

    Raises:
        SourceError: the path does not exist, or no face is found.
    """

    def predictions() -> Iterator[ImagePrediction]:
        for source in find_sources([path]):
            if not source.is_video:
                yield from predict_files(
                    [Path(source.name)],
                    model,
                    detector=detector,
                    rule=options.rule,
                    max_pixels=options.max_pixels,
                )
                continue
            try:
                frames = open_frames(source.location)
            except UnreadableImage as error:
                raise SourceError(f"--baseline {source.name} cannot be read: {error}") from None
            # All of it, whatever part of the sources is predicted.
            video = replace(
                options.video, start_seconds=0.0, end_seconds=None, max_frames=None, max_seconds=None
            )
            with closing(
                predict_frames(frames, model, detector=detector, rule=options.rule, options=video)
            ) as found:
                yield from found

    statuses: Counter[str] = Counter()

    def counted() -> Iterator[ImagePrediction]:
        for prediction in predictions():
            statuses[prediction.rows[0].status] += 1
            yield prediction

    try:
        measures = measure_baseline(counted())
    except ValueError as error:
        problem = (
            str(error) if statuses["ok"] else "no face is found. Use images or a video of the person's face"
        )
        raise SourceError(f"--baseline {path}: {problem}") from None
    n_used = statuses.pop("ok")
    if statuses:
        others = ", ".join(f"{count:,} {status}" for status, count in sorted(statuses.items()))
        _log.warning(
            "--baseline %s: the mean of %s images or frames, without %s", path, f"{n_used:,}", others
        )
    return measures
