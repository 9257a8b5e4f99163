"""The options of `mien predict`. Imports nothing heavy: the command line is built from them."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mien.inference.decision_rule import DecisionRule
from mien.inference.label_sets import CoverageOptions
from mien.inference.video.options import VideoOptions
from mien.runtime.addresses import local_path, path_or_address
from mien.runtime.engines import parse_engine
from mien.runtime.options import DETECTOR_HELP, ENGINE_HELP, FORCE_HELP, name_formats, option

# The classes that write the formats of --out, by suffix, as ``module:class``.
PREDICTION_FORMATS = {
    ".jsonl": "mien.predict.prediction_files:JsonLinesWriter",
    ".csv": "mien.predict.prediction_files:CsvWriter",
    ".parquet": "mien.predict.prediction_files:ParquetWriter",
}
# The layouts of other programs: the suffix of their files, and the class that writes them.
PeerFormat = Literal["openface", "py-feat", "label-studio"]
PEER_FORMATS = {
    "openface": (".csv", "mien.predict.peer_formats:OpenFaceWriter"),
    "py-feat": (".csv", "mien.predict.peer_formats:PyFeatWriter"),
    "label-studio": (".json", "mien.predict.peer_formats:LabelStudioWriter"),
}


def parse_baseline(text: str) -> float | Path:
    """Return a number of seconds, or the path of a file or folder.

    Raises:
        ValueError: the seconds are not positive, or it is an address.
    """
    try:
        seconds = float(text)
    except ValueError:
        return local_path(text)
    if not 0 < seconds < math.inf:
        raise ValueError(f"must be more than 0 seconds, got {text}")
    return seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictOptions:
    """How faces are found and predicted, and where the predictions go.

    The video options `cropped` and `keep_images` follow from the others.
    """

    crop: Literal["detect", "whole"] = option(
        "detect", "detect: find the faces; whole: every image and frame is already one cropped face"
    )
    rule: DecisionRule = field(default_factory=DecisionRule)
    min_face_px: int = option(
        0,
        "leave out faces whose box's shorter side is less than N pixels; the larger N, the less time finding faces takes",
        metavar="N",
        least=0,
    )
    max_pixels: int = option(
        50_000_000,
        "images of more pixels are `image_too_large`; raise it for photographs that you trust, at 10 bytes of memory per pixel",
        metavar="N",
        least=1,
    )
    faces: Path | None = option(
        None,
        "take the faces of the images from a CSV, instead of detecting them: a face per row, with the columns source, box_x0, "
        "box_y0, box_x1, box_y1 and landmarks, or either of box and landmarks; an image without a row has no face",
        metavar="CSV",
    )
    sets: CoverageOptions = field(default_factory=CoverageOptions)
    out: Path | None = option(
        None,
        f"write predictions to a {name_formats(PREDICTION_FORMATS)} file (default: print a table, or a few lines per "
        "video); or to the address of one, such as s3://bucket/faces.csv",
        metavar="FILE",
        parse=path_or_address,
    )
    layout: PeerFormat | None = option(
        None,
        "write --out in the layout of another program: OpenFace 2 (.csv), py-feat (.csv), or Label Studio's "
        "pre-annotations (.json, images only)",
        flag="--format",
    )
    aggregate: tuple[str, ...] | None = option(
        None,
        "write one row per second, per track (person), per both (track,second) or per file to --out: counts, means, and the "
        "most frequent expression (default: one row per face)",
        metavar="second|track|file",
        parse="mien.inference.aggregation:parse_by",
    )
    draw: Path | None = option(None, "write annotated images and videos (.mp4) to this folder", metavar="DIR")
    baseline: float | Path | None = option(
        None,
        "add columns change_...: probabilities and measures minus those of the person's neutral face, which is the mean over "
        "the first SECONDS of each track, or over the images, folder or video FILE",
        metavar="SECONDS|FILE",
        parse=parse_baseline,
    )
    blur: bool = option(False, "make the faces in annotated copies unrecognizable")
    timeline: Path | None = option(
        None,
        "plot each person's expressions over time, as .png or .svg; takes one video or camera",
        metavar="FILE",
    )
    show: bool = option(False, "show the video in a window during prediction; q or Esc closes it")
    video: VideoOptions = field(default_factory=VideoOptions)
    detector_path: Path | None = option(None, DETECTOR_HELP, flag="--detector", metavar="FILE")
    engine: str | None = option(
        None,
        f"predict images with --out in worker processes; {ENGINE_HELP} (default: in this process)",
        metavar="ENGINE",
        parse=parse_engine,
    )
    workers: int | None = option(
        None, "worker processes of the engine (default: one per core)", metavar="N", least=1
    )
    resume: bool = option(
        False,
        "resume an interrupted run on images with --out; start it if there is none to resume, and do nothing if it is finished",
    )
    force: bool = option(False, FORCE_HELP)
