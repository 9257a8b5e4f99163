"""The options of `mien prepare`. Imports nothing heavy: the command line is built from them."""

from dataclasses import dataclass
from pathlib import Path

from mien.assets import DEFAULT_MODEL
from mien.datasets.registry import DatasetOptions
from mien.faces.crop_options import DEFAULT_MARGIN, DEFAULT_SIZE, CropMethod
from mien.runtime.engines import parse_engine
from mien.runtime.options import DETECTOR_HELP, ENGINE_HELP, FORCE_HELP, option, option_group

# In place of a kind: say what the set is.
AUTO = "auto"
ALLOWANCES = ("empty-classes", "mostly-rejected", "unusable-annotations")


def parse_allowances(text: str) -> tuple[str, ...]:
    """Parse a comma-separated list of `ALLOWANCES`.

    Raises:
        ValueError: one of them is unknown.

    Example:
        >>> parse_allowances("empty-classes, mostly-rejected")
        ('empty-classes', 'mostly-rejected')
    """
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in ALLOWANCES:
            raise ValueError(f"must be of {', '.join(ALLOWANCES)}, got {name!r}")
    return names


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """How a raw dataset becomes a pack."""

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
    engine: str = option("pool", ENGINE_HELP, metavar="ENGINE", parse=parse_engine)
    detector_path: Path | None = option(
        None, f"for faces without a box: {DETECTOR_HELP}", flag="--detector", metavar="FILE"
    )
    place_landmarks: str | None = option(
        None,
        "place the landmarks of faces that have none with a model's landmark head; MODEL is a file or a bundled model (default: "
        f"{DEFAULT_MODEL}). The pack, and what is trained on it, say so",
        nargs="?",
        const=DEFAULT_MODEL,
        metavar="MODEL",
    )
    corrections: Path | None = option(
        None,
        "CSV of labels to replace and rows to drop: columns key, label (a class, or drop), why, and split and row where a "
        "key is not unique",
        metavar="CSV",
    )
    annotations: Path | None = option(
        None, "also write train.txt, val.txt and classes.txt to this folder", metavar="DIR"
    )
    dataset: DatasetOptions = option_group(DatasetOptions, "options for certain kinds, see below")
    allow: tuple[str, ...] = option(
        (),
        "make the pack although a class has rows but no face, or none in train (empty-classes), more than half of the rows are "
        "rejected (mostly-rejected), or more than half of the faces lost their box, landmarks, valence or arousal "
        "(unusable-annotations)",
        metavar="WHAT,...",
        parse=parse_allowances,
    )
    force: bool = option(False, FORCE_HELP)
