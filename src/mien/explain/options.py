"""The options of `mien explain`. Imports nothing heavy: the command line is built from them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mien.runtime.language import LanguageCode
from mien.runtime.options import DETECTOR_HELP, FORCE_HELP, language_option, option


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainOptions:
    """What is explained, and with what it is compared."""

    crop: Literal["detect", "whole"] = option(
        "detect", "detect: find the faces; whole: every image already is one cropped face"
    )
    target: str | None = option(
        None,
        "explain this class instead of the most probable one: what is evidence for it, and what against",
        metavar="CLASS",
    )
    keys: tuple[str, ...] = option(
        (),
        "explain the face of the pack that has this key, as predictions.csv and report.html name it; may be repeated",
        flag="--key",
        metavar="KEY",
    )
    split: str = option("val", "split of the pack that --key is in: train, val or test")
    neighbors: int = option(
        6, "show this many of the most similar training faces of the pack", metavar="K", least=1, most=100
    )
    report: Path | None = option(
        None,
        "report of the same model, written by `mien evaluate`: adds how often this prediction is right",
        metavar="REPORT",
    )
    detector_path: Path | None = option(None, DETECTOR_HELP, flag="--detector", metavar="FILE")
    language: LanguageCode = language_option("explain.html")
    force: bool = option(False, FORCE_HELP)
