"""The options of `mien predict`. Imports nothing heavy: the command line is built from them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mien.inference.decision_rule import DecisionRule
from mien.inference.video.options import VideoOptions
from mien.runtime.options import DETECTOR_HELP, FORCE_HELP, name_formats, option

# The classes that write the formats of --out, by suffix, as ``module:class``.
PREDICTION_FORMATS = {
    ".jsonl": "mien.predict.prediction_files:JsonLinesWriter",
    ".csv": "mien.predict.prediction_files:CsvWriter",
    ".parquet": "mien.predict.prediction_files:ParquetWriter",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictOptions:
    """How faces are found and predicted, and where the predictions go.

    The video options `cropped` and `keep_images` follow from the others.
    """

    crop: Literal["detect", "whole"] = option(
        "detect", "detect: find the faces; whole: every image and frame is already one cropped face"
    )
    rule: DecisionRule = field(default_factory=DecisionRule)
    max_pixels: int = option(
        50_000_000,
        "images of more pixels are `image_too_large`; raise it for photographs that you trust, at 10 bytes of memory per pixel",
        metavar="N",
        least=1,
    )
    out: Path | None = option(
        None,
        f"write predictions to a {name_formats(PREDICTION_FORMATS)} file (default: print a table, or a few lines per "
        "video)",
        metavar="FILE",
    )
    draw: Path | None = option(None, "write annotated images and videos (.mp4) to this folder", metavar="DIR")
    timeline: Path | None = option(
        None,
        "plot each person's expressions over time, as .png or .svg; takes one video or camera",
        metavar="FILE",
    )
    show: bool = option(False, "show the video in a window during prediction; q or Esc closes it")
    video: VideoOptions = field(default_factory=VideoOptions)
    detector_path: Path | None = option(None, DETECTOR_HELP, flag="--detector", metavar="FILE")
    force: bool = option(False, FORCE_HELP)
