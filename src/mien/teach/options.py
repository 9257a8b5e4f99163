"""The options of `mien teach`. Imports nothing heavy: the command line is built from them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mien.datasets.list_options import ColumnOptions
from mien.runtime.language import LanguageCode
from mien.runtime.options import DETECTOR_HELP, FORCE_HELP, language_option, option, option_group


def parse_merge(text: str) -> tuple[str, tuple[str, ...]]:
    """Parse classes to combine: the new name, and the names that become it.

    Raises:
        ValueError: it is not like ``Anger+Disgust=Negative``.

    Example:
        >>> parse_merge("Anger+Disgust=Negative")
        ('Negative', ('Anger', 'Disgust'))
    """
    left, equals, into = text.partition("=")
    names = tuple(name.strip() for name in left.split("+"))
    if not equals or not into.strip() or not all(names):
        raise ValueError(f"must be like Anger+Disgust=Negative, got {text!r}")
    return into.strip(), names


@dataclass(frozen=True, slots=True, kw_only=True)
class TeachOptions:
    """What is taught, and how the faces are found.

    Attributes:
        keep_classes: see `mien.inference.teaching.lesson.teach`.
        merge: pairs of a new name and the classes that become it.
        label_names: see `DatasetOptions`.
        images: see `DatasetOptions`.
        columns: see `DatasetOptions`.
        crop: ``detect`` uses the box or landmarks of a list, and otherwise finds the face.
    """

    keep_classes: bool = option(
        False,
        "keep the model's classes in addition to the new ones; needs some faces of the model's classes too, as counterexamples",
    )
    merge: tuple[tuple[str, tuple[str, ...]], ...] = option(
        (),
        "combine classes into one, such as Anger+Disgust=Negative; may be repeated",
        metavar="A+B=NAME",
        parse_each=parse_merge,
    )
    crop: Literal["detect", "whole"] = option(
        "detect",
        "detect: by the list's boxes or landmarks, otherwise the largest face; whole: every image is one cropped face",
    )
    detector_path: Path | None = option(None, DETECTOR_HELP, flag="--detector", metavar="FILE")
    label_names: tuple[tuple[str, str], ...] | None = option(
        None,
        "class of each label or folder, such as 1=Surprise,2=Fear (default: the names themselves)",
        metavar="L=CLASS,...",
        parse="mien.datasets.labels:parse_label_names",
    )
    images: tuple[Path, ...] = option(
        (), "for a CSV: folder of images that are not next to it; may be repeated", metavar="DIR"
    )
    columns: ColumnOptions = option_group(ColumnOptions, "columns of a CSV")
    language: LanguageCode = language_option("the model card")
    force: bool = option(False, FORCE_HELP)
