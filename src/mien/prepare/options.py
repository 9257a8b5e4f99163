"""The options of `mien prepare`. Imports nothing heavy: the command line is built from them."""

from dataclasses import dataclass
from pathlib import Path

from mien.datasets.registry import DatasetOptions
from mien.faces.crop_options import DEFAULT_MARGIN, DEFAULT_SIZE, CropMethod
from mien.runtime.options import DETECTOR_HELP, FORCE_HELP, option, option_group


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """How a raw data set becomes a pack."""

    size: int = option(
        DEFAULT_SIZE, "side of the crops in pixels, 16 to 1024", metavar="PX", least=16, most=1024
    )
    crop: CropMethod | None = option(
        None,
        "aligned: upright, by eyes and mouth; box: square around the face box; whole: the full image "
        "(default: depends on the kind)",
    )
    margin: float = option(
        DEFAULT_MARGIN,
        "margin on each side of the face, as a fraction of its crop, 0 to 2",
        metavar="F",
        least=0,
        most=2,
    )
    workers: int | None = option(None, "worker processes (default: one per core)", metavar="N", least=1)
    detector_path: Path | None = option(
        None, f"for faces without a box: {DETECTOR_HELP}", flag="--detector", metavar="FILE"
    )
    corrections: Path | None = option(
        None,
        "CSV of labels to replace and rows to drop: columns key, label (a class, or drop), why, and split and row where a "
        "key is not unique",
        metavar="CSV",
    )
    annotations: Path | None = option(None, "also write train.txt and val.txt to this folder", metavar="DIR")
    dataset: DatasetOptions = option_group(DatasetOptions, "options for certain kinds, see below")
    force: bool = option(False, FORCE_HELP)
